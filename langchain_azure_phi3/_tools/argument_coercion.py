"""Arguments as small models write them, coerced to the tool's schema and validated.

Only what has one meaning is coerced (`"3"` where the schema has an integer), and arguments that
the tool does not have are dropped. Nothing is filled in: missing arguments are an error.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from langchain_azure_phi3._tools.schema_validation import CompiledSchema, compile_schema
from langchain_azure_phi3._tools.tools import normalize_name, properties_of
from langchain_azure_phi3._types import Json

_MAX_ERRORS = 3
_MAX_ERROR_LENGTH = 200
_MAX_DEPTH = 32
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?([eE][+-]?\d{1,2})?")
_BOOLEANS = {"true": True, "false": False}
_NULL_WORDS = ("null", "none")


class ArgumentCoercer:
    """Fits arguments to one tool's schema.

    A schema that is not valid, or that refers to one that is not there, is a mistake of the tool's
    author: nothing is changed or held against the model for it.
    """

    def __init__(self, schema: Json) -> None:
        self._schema = schema if "type" in schema else {"type": "object", **schema}

    def coerce(self, arguments: Json) -> Json:
        """The arguments, coerced where that is unambiguous, without invented ones."""
        if compile_schema(self._schema, self._schema) is None:
            return arguments
        coerced = _Coercion(self._schema).coerce(arguments, self._schema, 0)
        return coerced if isinstance(coerced, dict) else arguments

    def validate(self, arguments: Json) -> str | None:
        """What is wrong with the arguments, a sentence without its full stop; `None` if nothing."""
        compiled = compile_schema(self._schema, self._schema)
        errors = [] if compiled is None else compiled.errors(arguments, _MAX_ERRORS)
        return "; ".join(map(_shorten, errors)) if errors else None


class _Coercion:
    """One coercion of arguments, in which each part is fitted to the same branches only once."""

    def __init__(self, root: Json) -> None:
        self._root = root
        # By the ids of value and schema; the value is kept, so that no other one gets its id.
        self._branches: dict[tuple[int, int], tuple[Any, Any]] = {}
        self._compiled: dict[int, CompiledSchema | None] = {}

    def coerce(self, value: Any, schema: Any, depth: int) -> Any:
        """The value as a schema has it, as far as that is unambiguous."""
        schema = _resolve(schema, self._root)
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return value
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list):
                return self._coerce_to_branch(value, schema, schema[key], depth)
        value = _coerce_type(value, schema)
        if isinstance(value, dict):
            return self._coerce_object(value, schema, depth)
        if isinstance(value, list):
            return [self.coerce(item, schema.get("items"), depth + 1) for item in value]
        return value

    def _coerce_to_branch(self, value: Any, schema: Json, branches: list[Any], depth: int) -> Any:
        key = id(value), id(schema)
        if key not in self._branches:
            self._branches[key] = value, self._first_fitting(value, schema, branches, depth)
        return self._branches[key][1]

    def _first_fitting(self, value: Any, schema: Json, branches: list[Any], depth: int) -> Any:
        """The value coerced to the first branch that accepts it; unchanged if it can stay."""
        if not isinstance(value, dict | list) and self._accepts(value, schema):
            return value
        for branch in branches:
            coerced = self.coerce(value, branch, depth + 1)
            if isinstance(branch, dict) and self._accepts(coerced, branch):
                return coerced
        return value

    def _coerce_object(self, value: Json, schema: Json, depth: int) -> Json:
        if not isinstance(schema.get("properties"), dict):
            return {} if depth == 0 and not _allows_more(schema) else value
        properties = properties_of(schema)
        coerced: Json = {}
        for name, given in _match_keys(value, properties).items():
            if name not in properties:
                if _allows_more(schema):
                    coerced[name] = given
                continue
            argument = self.coerce(given, properties[name], depth + 1)
            if argument is None and self._null_means_omitted(name, schema):
                continue
            coerced[name] = argument
        return coerced

    def _null_means_omitted(self, name: str, schema: Json) -> bool:
        """Whether null means "not given", as small models write it for what they leave out."""
        own = schema["properties"][name]
        required = name in schema.get("required", ())
        return not required and isinstance(own, dict) and not self._accepts(None, own)

    def _accepts(self, value: Any, schema: Json) -> bool:
        if id(schema) not in self._compiled:
            self._compiled[id(schema)] = compile_schema(schema, self._root)
        compiled = self._compiled[id(schema)]
        return compiled is None or compiled.accepts(value)


def _shorten(error: str) -> str:
    """An error without the middle of a long value: its place stands before, the reason after."""
    if len(error) <= _MAX_ERROR_LENGTH:
        return error
    return f"{error[: _MAX_ERROR_LENGTH // 2]}...{error[-_MAX_ERROR_LENGTH // 2 :]}"


def _allows_more(schema: Json) -> bool:
    """Whether a schema explicitly allows properties that it does not list."""
    more = schema.get("additionalProperties", False)
    return more is not False or any(
        key in schema for key in ("patternProperties", "allOf", "anyOf", "oneOf", "$ref")
    )


def _match_keys(value: Json, properties: Json) -> Json:
    """The object with its keys spelled as in the schema, where that is unambiguous."""
    spellings: dict[str, list[str]] = {}
    for name in properties:
        spellings.setdefault(normalize_name(name), []).append(name)
    matched: Json = {}
    for name, given in value.items():
        similar = spellings.get(normalize_name(name), [])
        target = similar[0] if name not in properties and len(similar) == 1 else name
        matched[name if target in value else target] = given
    return matched


def _resolve(schema: Any, root: Json) -> Any:
    """The schema that a local reference names; the reference itself if it names none."""
    for _ in range(_MAX_DEPTH):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        found: Any = root
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        if found is None:
            return schema
        schema = found
    return schema


def _types(schema: Json) -> tuple[str, ...]:
    declared = schema.get("type", ())
    return (declared,) if isinstance(declared, str) else tuple(declared)


def _coerce_type(value: Any, schema: Json) -> Any:
    """The value as the schema's type, if it can only mean that."""
    choices = schema.get("enum")
    if isinstance(choices, list):
        return _match_enum(value, choices)
    types = _types(schema)
    if not types or _is_of_type(value, types):
        return int(value) if types == ("integer",) and isinstance(value, float) else value
    for name in types:
        coerced = _COERCIONS[name](value) if name in _COERCIONS else None
        if coerced is not None:
            return coerced
    if "null" in types and isinstance(value, str) and value.strip().casefold() in _NULL_WORDS:
        return None
    return _wrap_in_list(value, schema) if "array" in types and value is not None else value


def _wrap_in_list(value: Any, schema: Json) -> list[Any]:
    return [
        _coerce_type(value, schema["items"]) if isinstance(schema.get("items"), dict) else value
    ]


def _match_enum(value: Any, choices: list[Any]) -> Any:
    """The choice that differs from the value only in what models get wrong; else the value."""
    if value in choices or isinstance(value, dict | list | bool) or value is None:
        return value
    matches = [
        choice for choice in choices if normalize_name(str(choice)) == normalize_name(str(value))
    ]
    return matches[0] if len(matches) == 1 else value


_PYTHON_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: (
        not isinstance(value, bool)
        and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}


def _is_of_type(value: Any, types: tuple[str, ...]) -> bool:
    return any(name in _PYTHON_TYPES and _PYTHON_TYPES[name](value) for name in types)


def _integer(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and float(number).is_integer() else None


def _number(value: Any) -> int | float | None:
    if not isinstance(value, str) or _NUMBER.fullmatch(value.strip()) is None:
        return None
    number: int | float = json.loads(value.strip())
    return number


def _boolean(value: Any) -> bool | None:
    return _BOOLEANS.get(value.strip().casefold()) if isinstance(value, str) else None


def _string(value: Any) -> str | None:
    written = isinstance(value, int | float) and not isinstance(value, bool)
    return json.dumps(value) if written else None


def _structure(type_: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return None
        try:
            parsed = json.loads(value, strict=False)
        except (ValueError, RecursionError):
            return None
        return parsed if isinstance(parsed, type_) else None

    return read


_COERCIONS: dict[str, Callable[[Any], Any]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "string": _string,
    "object": _structure(dict),
    "array": _structure(list),
}
