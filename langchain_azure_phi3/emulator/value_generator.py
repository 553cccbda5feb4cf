"""Generate a minimal value that fits a JSON schema."""

import math
from typing import Any

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.pattern_generator import generate_match

# Prompts may contain any schema, even a recursive one. These limit the depth and length of values,
# and the number of steps to generate them.
_MAX_DEPTH, _MAX_SIZE, _MAX_STEPS = 8, 1000, 2000
_COMBINING = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
_FORMATS = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T12:00:00Z",
    "email": "someone@example.com",
    "time": "12:00:00",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def generate_value(schema: Any) -> Any:
    """Return a value with required keys only. Strings repeat the name of their key."""
    return _Generator(schema).generate(schema, "text", 0)


class _Generator:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._steps = 0

    def generate(self, schema: Any, name: str, depth: int) -> Any:
        schema = self._resolve(schema, depth)
        if self._steps > _MAX_STEPS:
            return None
        fixed = [schema[keyword] for keyword in ("const", "default") if keyword in schema]
        fixed += _list(schema.get("enum"))
        if len(fixed) > 0:
            self._steps += len(str(fixed[0])) // 100
            return fixed[0]
        branches = _list(schema.get("anyOf")) or _list(schema.get("oneOf"))
        if len(branches) > 0:
            # Deep values take the last branch, such as null, which may end the recursion.
            branch = branches[-1 if depth > _MAX_DEPTH // 2 else 0]
            shared = {key: value for key, value in schema.items() if key not in _COMBINING}
            return self.generate({"allOf": [shared, branch]}, name, depth + 1)
        types = schema.get("type", "object" if "properties" in schema else "string")
        schema_type = types[0] if isinstance(types, list) and len(types) > 0 else types
        if depth > _MAX_DEPTH or schema_type == "null":
            return None
        if schema_type == "object":
            required: Json = {str(key): {} for key in _list(schema.get("required"))}
            properties = _dict(schema.get("properties"))
            keys = [key for key in {**properties, **required} if key in required]
            return {key: self.generate(properties.get(key, {}), key, depth + 1) for key in keys}
        if schema_type == "array":
            items = _list(schema.get("prefixItems"))
            items += [schema.get("items")] * (_size(schema, "minItems", 0) - len(items))
            return [self.generate(item, name, depth + 1) for item in items]
        value = _generate_scalar(schema, str(schema_type), name)
        self._steps += len(str(value)) // 100
        return value

    def _resolve(self, value: Any, depth: int) -> Json:
        """Follow `$ref` and merge `allOf`."""
        self._steps += 1
        schema = _dict(value)
        parts = _list(schema.get("allOf"))
        if "$ref" in schema:
            target = self._root
            for step in str(schema["$ref"]).lstrip("#/").split("/"):
                step = step.replace("~1", "/").replace("~0", "~")
                target = _dict(target).get(step) if step else self._root
            parts.append(target)
        if len(parts) == 0 or depth > _MAX_DEPTH or self._steps > _MAX_STEPS:
            return schema
        merged: Json = {}
        for part in [*(self._resolve(part, depth + 1) for part in parts), schema]:
            for key, value in part.items():
                old = merged.get(key)
                merged[key] = {**_dict(old), **value} if isinstance(value, dict) else value
                if key == "required":
                    merged[key] = [*_list(old), *_list(value)]
        return merged


def _generate_scalar(schema: Json, schema_type: str, name: str) -> Any:
    if schema_type == "boolean":
        return False
    if schema_type not in ("integer", "number"):
        pattern = schema.get("pattern")
        match = generate_match(pattern) if isinstance(pattern, str) else None
        text = _FORMATS.get(str(schema.get("format")), name) if match is None else match
        return text.ljust(_size(schema, "minLength", 0), ".")[
            : _size(schema, "maxLength", _MAX_SIZE)
        ]
    step = max(1e-9, _number(schema, "multipleOf", 1 if schema_type == "integer" else 0.001))
    low = _number(schema, "minimum", _number(schema, "exclusiveMinimum", -math.inf) + step)
    high = _number(schema, "maximum", _number(schema, "exclusiveMaximum", math.inf) - step)
    value = math.ceil(round(min(max(1, low), high) / step, 6)) * step
    return int(value) if float(value).is_integer() else round(value, 6)


def _size(schema: Json, keyword: str, default: int) -> int:
    return max(0, min(int(_number(schema, keyword, default)), _MAX_SIZE))


def _number(schema: Json, keyword: str, default: float) -> float:
    value = schema.get(keyword)  # calculations with larger numbers could overflow
    return value if isinstance(value, int | float) and abs(value) < 1e15 else default


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else []
