"""Arguments as a small model writes them, made to fit the tool's schema or refused.

Nothing is filled in: a missing argument is the model's to give. What is changed has one meaning
only (`"3"` where an integer is asked for), or none (an argument that the tool does not have).
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from langchain_azure_phi3._tools.schema_validation import errors, is_sound, validator
from langchain_azure_phi3._tools.tools import normalize_name, properties_of
from langchain_azure_phi3._types import Json

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_MAX_PROBLEMS = 3
_MAX_PROBLEM_LENGTH = 200
_MAX_DEPTH = 32
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?([eE][+-]?\d{1,2})?")
_BOOLEANS = {"true": True, "false": False}
_NOTHING = ("null", "none")
_ALTERNATIVES = ("anyOf", "oneOf")


class ArgumentCoercer:
    """Fits arguments to one tool's schema.

    A schema that is none, or that refers to one that is not here, is the tool's author's mistake:
    nothing is changed or held against the model for it.
    """

    def __init__(self, schema: Json) -> None:
        self._schema = schema if "type" in schema else {"type": "object", **schema}
        self._validators: dict[int, Validator] = {}
        # What became of a value under a schema, by their ids; the value is kept, for its id's sake.
        self._fits: dict[tuple[int, int], tuple[Any, Any]] = {}
        self._is_sound: bool | None = None

    def coerced(self, arguments: Json) -> Json:
        """The arguments, coerced where that is unambiguous, without invented ones."""
        if not self._can_be_used():
            return arguments
        coerced = self._fit(arguments, self._schema, 0)
        self._fits.clear()
        return coerced if isinstance(coerced, dict) else arguments

    def problem(self, arguments: Json) -> str | None:
        """What the schema has against these arguments; `None` if nothing."""
        if not self._can_be_used():
            return None
        problems = list(self._problems(arguments, self._schema))
        return "; ".join(problems) if problems else None

    def _can_be_used(self) -> bool:
        if self._is_sound is None:
            self._is_sound = is_sound(self._schema)
        return self._is_sound

    def _problems(self, value: Any, schema: Json) -> Iterator[str]:
        for error in islice(errors(self._validator(schema), value), _MAX_PROBLEMS):
            where = "".join(f"[{part!r}]" for part in error.absolute_path)
            message = f"{where}: {error.message}" if where else error.message
            yield message[:_MAX_PROBLEM_LENGTH]

    def _validator(self, schema: Json) -> "Validator":
        known = self._validators.get(id(schema))
        if known is None:
            known = self._validators[id(schema)] = validator(schema, self._schema)
        return known

    def _accepts(self, value: Any, schema: Json) -> bool:
        return next(self._problems(value, schema), None) is None

    def _fit(self, value: Any, schema: Any, depth: int) -> Any:
        schema = _resolved(schema, self._schema)
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return value
        for key in _ALTERNATIVES:
            if isinstance(schema.get(key), list):
                return self._fit_one_of(value, schema, schema[key], depth)
        value = _coerced(value, schema)
        if isinstance(value, dict):
            return self._fit_object(value, schema, depth)
        if isinstance(value, list):
            return [self._fit(item, schema.get("items"), depth + 1) for item in value]
        return value

    def _fit_one_of(self, value: Any, schema: Json, branches: list[Any], depth: int) -> Any:
        """The value fitted to the first branch that takes it, as it is if possible."""
        key = id(value), id(schema)
        known = self._fits.get(key)  # not twice: another thread may clear it meanwhile
        if known is None:
            known = self._fits[key] = value, self._tried(value, schema, branches, depth)
        return known[1]

    def _tried(self, value: Any, schema: Json, branches: list[Any], depth: int) -> Any:
        if self._accepts(value, schema) and not isinstance(value, dict | list):
            return value
        for branch in branches:
            attempt = self._fit(value, branch, depth + 1)
            if isinstance(branch, dict) and self._accepts(attempt, branch):
                return attempt
        return value

    def _fit_object(self, value: Json, schema: Json, depth: int) -> Json:
        if not isinstance(schema.get("properties"), dict):
            return {} if depth == 0 and not _is_open(schema) else value
        properties = properties_of(schema)
        coerced: Json = {}
        for name, given in _renamed(value, properties).items():
            if name not in properties:
                if _is_open(schema):
                    coerced[name] = given
                continue
            argument = self._fit(given, properties[name], depth + 1)
            if argument is None and self._means_absent(name, schema):
                continue
            coerced[name] = argument
        return coerced

    def _means_absent(self, name: str, schema: Json) -> bool:
        """Whether null says "not given" here, as small models write it for what they leave out."""
        own = schema["properties"][name]
        required = name in schema.get("required", ())
        return not required and isinstance(own, dict) and not self._accepts(None, own)


def _is_open(schema: Json) -> bool:
    """Whether a schema allows, in so many words, properties that it does not list."""
    more = schema.get("additionalProperties", False)
    return more is not False or any(
        key in schema for key in ("patternProperties", "allOf", "anyOf", "oneOf", "$ref")
    )


def _renamed(value: Json, properties: Json) -> Json:
    """The object with its keys spelt as the schema spells them, where that is unmistakable."""
    spelt: dict[str, list[str]] = {}
    for name in properties:
        spelt.setdefault(normalize_name(name), []).append(name)
    renamed: Json = {}
    for name, given in value.items():
        similar = spelt.get(normalize_name(name), [])
        target = similar[0] if name not in properties and len(similar) == 1 else name
        renamed[name if target in value else target] = given
    return renamed


def _resolved(schema: Any, root: Json) -> Any:
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


def _coerced(value: Any, schema: Json) -> Any:
    """The value as the type that the schema asks for, where it can only mean that."""
    choices = schema.get("enum")
    if isinstance(choices, list):
        return _chosen(value, choices)
    types = _types(schema)
    if not types or _is_of(value, types):
        return int(value) if types == ("integer",) and isinstance(value, float) else value
    for wanted in types:
        coerced = _COERCIONS[wanted](value) if wanted in _COERCIONS else None
        if coerced is not None:
            return coerced
    if "null" in types and isinstance(value, str) and value.strip().casefold() in _NOTHING:
        return None
    return _wrapped(value, schema) if "array" in types and value is not None else value


def _wrapped(value: Any, schema: Json) -> list[Any]:
    return [_coerced(value, schema["items"]) if isinstance(schema.get("items"), dict) else value]


def _chosen(value: Any, choices: list[Any]) -> Any:
    """The one choice that reads like the value."""
    if value in choices or isinstance(value, dict | list | bool) or value is None:
        return value
    like = [
        choice for choice in choices if normalize_name(str(choice)) == normalize_name(str(value))
    ]
    return like[0] if len(like) == 1 else value


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


def _is_of(value: Any, types: tuple[str, ...]) -> bool:
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


def _structure(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return None
        try:
            parsed = json.loads(value, strict=False)
        except (ValueError, RecursionError):
            return None
        return parsed if isinstance(parsed, kind) else None

    return read


_COERCIONS: dict[str, Callable[[Any], Any]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "string": _string,
    "object": _structure(dict),
    "array": _structure(list),
}
