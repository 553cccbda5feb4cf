"""Generate a minimal value that fits a JSON schema."""

import math
from typing import Any

from langchain_azure_phi3._types import Json

_MAX_DEPTH, _MAX_SIZE = 8, 1000  # prompts may hold any schema, which may refer to itself
_FORMATS = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T12:00:00Z",
    "email": "someone@example.com",
    "time": "12:00:00",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def generate_value(schema: Any, name: str = "text", *, root: Any = None, depth: int = 0) -> Any:
    """Return a value with required keys only. Strings repeat the `name` of their key."""
    root = schema if root is None else root
    schema = _resolve(schema, root, depth)
    fixed = [schema[keyword] for keyword in ("const", "default") if keyword in schema]
    fixed += _list(schema.get("enum"))
    if len(fixed) > 0:
        return fixed[0]
    branches = _list(schema.get("anyOf")) or _list(schema.get("oneOf"))
    if len(branches) > 0:
        # Deep values take the last branch, such as null, which may end the recursion.
        branch = branches[-1 if depth > _MAX_DEPTH // 2 else 0]
        return generate_value(branch, name, root=root, depth=depth + 1)
    types = schema.get("type", "object" if "properties" in schema else "string")
    schema_type = types[0] if isinstance(types, list) and len(types) > 0 else types
    if depth > _MAX_DEPTH or schema_type == "null":
        return None
    if schema_type == "object":
        required = _list(schema.get("required"))
        return {
            key: generate_value(subschema, key, root=root, depth=depth + 1)
            for key, subschema in _dict(schema.get("properties")).items()
            if key in required
        }
    if schema_type == "array":
        items = _list(schema.get("prefixItems"))
        items += [schema.get("items")] * (_size(schema, "minItems", 0) - len(items))
        return [generate_value(item, name, root=root, depth=depth + 1) for item in items]
    return _generate_scalar(schema, str(schema_type), name)


def _generate_scalar(schema: Json, schema_type: str, name: str) -> Any:
    if schema_type == "boolean":
        return False
    if schema_type not in ("integer", "number"):
        text = _FORMATS.get(str(schema.get("format")), name)
        return text.ljust(_size(schema, "minLength", 0), ".")[
            : _size(schema, "maxLength", _MAX_SIZE)
        ]
    step = _number(schema, "multipleOf", 1 if schema_type == "integer" else 0.001)
    low = _number(schema, "minimum", _number(schema, "exclusiveMinimum", -math.inf) + step)
    high = _number(schema, "maximum", _number(schema, "exclusiveMaximum", math.inf) - step)
    value = math.ceil(round(min(max(1, low), high) / step, 6)) * step
    return int(value) if float(value).is_integer() else round(value, 6)


def _resolve(value: Any, root: Any, depth: int) -> Json:
    """Follow `$ref` and merge `allOf`."""
    schema = _dict(value)
    parts = _list(schema.get("allOf"))
    if "$ref" in schema:
        target = root
        for step in str(schema["$ref"]).lstrip("#/").split("/"):
            target = _dict(target).get(step.replace("~1", "/").replace("~0", "~")) if step else root
        parts = [*parts, target]
    if len(parts) == 0 or depth > _MAX_DEPTH:
        return schema
    merged: Json = {}
    for part in [*(_resolve(part, root, depth + 1) for part in parts), schema]:
        for key, value in part.items():
            old = merged.get(key)
            merged[key] = {**_dict(old), **value} if isinstance(value, dict) else value
            if key == "required":
                merged[key] = [*_list(old), *_list(value)]
    return merged


def _size(schema: Json, keyword: str, default: int) -> int:
    return max(0, min(int(_number(schema, keyword, default)), _MAX_SIZE))


def _number(schema: Json, keyword: str, default: float) -> float:
    value = schema.get(keyword)
    return value if isinstance(value, int | float) and math.isfinite(value) else default


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else []
