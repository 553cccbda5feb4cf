"""Coerces the arguments that small models write to the tool's schema, and validates them.

Only unambiguous values are coerced (`"3"` where the schema has an integer), and arguments that the
tool does not have are dropped. Nothing is filled in: missing arguments are an error.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from typing import Any, cast

from langchain_azure_phi3._tools.enum_names import ENUM_NAMES
from langchain_azure_phi3._tools.lenient_json import (
    WrittenFloat,
    WrittenInt,
    parse_lenient_json,
    to_plain,
)
from langchain_azure_phi3._tools.schema_cost import (
    Budgets,
    OverBudgetError,
    count_parts,
    is_other_by_constant,
    resolve_reference,
)
from langchain_azure_phi3._tools.schema_validation import CompiledSchema, compile_schema
from langchain_azure_phi3._tools.tools import normalize_name, properties_of
from langchain_azure_phi3._types import Json

_MAX_ERRORS = 3
_MAX_ERROR_LENGTH = 200
_MAX_DEPTH = 32
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?([eE][+-]?\d{1,2})?")
_BOOLEANS = {"true": True, "false": False}
_NULL_WORDS = ("null", "none", "")


class ArgumentCoercer:
    """Fits arguments to one tool's schema.

    If a schema is not valid, or refers to a missing one, that is a mistake of the tool's author:
    the arguments are neither changed nor rejected.
    """

    def __init__(self, schema: Json, budgets: Budgets | None = None) -> None:
        """Fit arguments to a schema.

        Args:
            schema: The tool's schema.
            budgets: The limits of the work, shared by all values of one response.
        """
        self._schema = schema if "type" in schema else {"type": "object", **schema}
        # An OpenAI tool without parameters has no arguments; a bare object accepts any.
        self._takes_nothing = not schema
        self._budgets = Budgets() if budgets is None else budgets

    def coerce(self, arguments: Json, *, keep_unknown: bool = False) -> Json:
        """Return the arguments, coerced where that is unambiguous, without invented ones.

        With `keep_unknown`, properties that the schema does not list stay.
        """
        if self._takes_nothing:
            return {}
        if self._compiled is None:
            return cast("Json", to_plain(arguments))
        size = count_parts(arguments) + len(str(arguments)) // 10  # texts may contain JSON
        self._budgets.coercion.extend_for(size)
        coercion = _Coercion(self._schema, self._branches, self._budgets, keep_unknown=keep_unknown)
        try:
            coerced = to_plain(coercion.coerce(arguments, self._schema, 0))
        except OverBudgetError:
            coerced = None
        return cast("Json", coerced if isinstance(coerced, dict) else to_plain(arguments))

    def is_emptied(self, arguments: Json, coerced: Json) -> bool:
        """Whether coercion dropped all arguments although the schema has properties."""
        return bool(arguments and properties_of(self._schema)) and not coerced

    def unknown_names(self, arguments: Json) -> str:
        """Return a sentence about arguments that are all unknown, without its full stop."""
        known = ", ".join(properties_of(self._schema))
        return f"There is no {', '.join(map(repr, arguments))}, only: {known}"

    def validate(self, arguments: Json) -> str | None:
        """Return the error of the arguments, a sentence without its full stop; `None` if valid."""
        if self._compiled is None:
            return None
        errors = self._compiled.errors(arguments, _MAX_ERRORS, self._budgets.validation)
        return "; ".join(map(_shorten, errors)) if errors else None

    @cached_property
    def _compiled(self) -> CompiledSchema | None:
        return compile_schema(self._schema, self._schema)

    @cached_property
    def _branches(self) -> "_CompiledBranches":
        return _CompiledBranches(self._schema, self._budgets)


class _CompiledBranches:
    """Parts of a schema, each compiled once, with all definitions."""

    def __init__(self, root: Json, budgets: Budgets) -> None:
        self._root = root
        self._size = count_parts(root)
        self._budget = budgets.compilation
        self._budget.extend_for(2 * self._size)
        self._compiled: dict[int, CompiledSchema | None] = {}

    def get(self, schema: Json) -> CompiledSchema | None:
        """Return a part, compiled; `None` if it is not valid.

        Raises:
            OverBudgetError: The response has used up its budget for compilation.
        """
        if id(schema) not in self._compiled:
            self._budget.spend(self._size)
            self._compiled[id(schema)] = compile_schema(schema, self._root)
        return self._compiled[id(schema)]


class _Coercion:
    """One coercion of arguments, which fits each part to the same branches only once.

    Schemas may be untrusted, so the work is bounded in proportion to the size of the arguments.
    """

    def __init__(
        self, root: Json, compiled: _CompiledBranches, budgets: Budgets, *, keep_unknown: bool
    ) -> None:
        self._root = root
        self._compiled = compiled
        self._budget = budgets.coercion
        self._keep_unknown = keep_unknown
        # Keyed by the ids of value and schema; the value is kept so that its id is not reused.
        self._branches: dict[tuple[int, int], tuple[Any, Any]] = {}

    def coerce(self, value: Any, schema: Any, depth: int) -> Any:
        """Coerce the value to a schema, as far as that is unambiguous."""
        schema = resolve_reference(schema, self._root)
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return value
        choices = schema.get("enum")
        self._budget.spend(1 + (len(choices) // 8 if isinstance(choices, list) else 0))
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            self._budget.spend(len(value) // 8)
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list):
                return self._coerce_to_branch(value, schema, schema[key], depth)
        value = _coerce_type(value, schema)
        if isinstance(value, dict):
            return self._coerce_object(value, schema, depth)
        if isinstance(value, list):
            return self._coerce_array(value, schema, depth)
        return value

    def _coerce_to_branch(self, value: Any, schema: Json, branches: list[Any], depth: int) -> Any:
        key = id(value), id(schema)
        if key not in self._branches:
            self._branches[key] = value, self._best_fitting(value, schema, branches, depth)
        return self._branches[key][1]

    def _best_fitting(self, value: Any, schema: Json, branches: list[Any], depth: int) -> Any:
        """Coerce the value to the branch that keeps most of it; leave it unchanged if it fits.

        If several branches keep as much, prefer one that changes nothing, else the first one.
        """
        written = self._as_number(value, schema)
        if not isinstance(value, dict | list) and self._accepts(written, schema):
            return written
        if _means_null(value) and self._accepts(None, schema):
            return None
        best, least_cost = value, None
        for branch in branches:
            self._budget.spend(1)
            if is_other_by_constant(value, branch):
                continue
            coerced = self.coerce(value, branch, depth + 1)
            if not isinstance(branch, dict) or not self._accepts(coerced, branch):
                continue
            if coerced == {} and value:
                continue  # nothing of the object is left
            cost = max(0, _count_values(value) - _count_values(coerced)), coerced != value
            if least_cost is None or cost < least_cost:
                best, least_cost = coerced, cost
        return best

    def _coerce_array(self, value: list[Any], schema: Json, depth: int) -> list[Any]:
        first = schema.get("prefixItems")
        schemas = first if isinstance(first, list) else []
        rest = [schema.get("items")] * (len(value) - len(schemas))
        items = [
            self.coerce(item, of_item, depth + 1)
            for item, of_item in zip(value, [*schemas, *rest], strict=False)
        ]
        items += value[len(items) :]
        return _without_duplicates(items) if schema.get("uniqueItems") is True else items

    def _coerce_object(self, value: Json, schema: Json, depth: int) -> Json:
        properties = properties_of(schema)
        more = schema.get("additionalProperties")
        is_free = not isinstance(schema.get("properties"), dict)
        keeps_unknown = self._keep_unknown or is_free or _allows_more(schema)
        coerced: Json = {}
        for name, given in match_keys(value, properties).items():
            if name not in properties:
                if keeps_unknown:
                    coerced[name] = self.coerce(given, more, depth + 1)
                continue
            argument = self.coerce(given, properties[name], depth + 1)
            is_absent = argument is None or (_means_null(argument) and _is_list(properties[name]))
            if is_absent and self._null_means_omitted(name, schema):
                continue
            coerced[name] = argument
        # At the top level, arguments that are all unknown are an error.
        return coerced if coerced or depth == 0 or not properties else value

    def _null_means_omitted(self, name: str, schema: Json) -> bool:
        """Whether null means "not given": small models write null for optional arguments."""
        own = schema["properties"][name]
        required = name in schema.get("required", ())
        return not required and isinstance(own, dict) and not self._accepts(None, own)

    def _as_number(self, value: Any, schema: Json) -> Any:
        """Keep a decimal number as text if the schema accepts both and a float loses digits."""
        if not isinstance(value, WrittenFloat):
            return value
        with suppress(ArithmeticError):  # the exponent is out of range
            if Decimal(value.text) == Decimal(repr(float(value))):
                return value
        return value.text if self._accepts(value.text, schema) else value

    def _accepts(self, value: Any, schema: Json) -> bool:
        compiled = self._compiled.get(schema)
        self._budget.spend(1 + count_parts(value) / 4)
        return compiled is None or compiled.accepts(to_plain(value), self._budget)


def _shorten(error: str) -> str:
    """Cut the middle of an error, a long value; its path is at the start, the reason at the end."""
    if len(error) <= _MAX_ERROR_LENGTH:
        return error
    return f"{error[: _MAX_ERROR_LENGTH // 2]}...{error[-_MAX_ERROR_LENGTH // 2 :]}"


def _allows_more(schema: Json) -> bool:
    """Whether a schema explicitly allows properties that it does not list."""
    more = schema.get("additionalProperties", False)
    return more is not False or any(
        key in schema for key in ("patternProperties", "allOf", "anyOf", "oneOf", "$ref")
    )


def match_keys(value: Json, properties: Json) -> Json:
    """Return the object with its keys spelled as in the schema, where that is unambiguous."""
    spellings: dict[str, list[str]] = {}
    for name in properties:
        spellings.setdefault(_normalize_key(name), []).append(name)
    matched: Json = {}
    for name, given in value.items():
        similar = spellings.get(_normalize_key(name), [])
        target = similar[0] if name not in properties and len(similar) == 1 else name
        matched[name if target in value else target] = given
    return matched


def _normalize_key(name: str) -> str:
    """Normalize case, dashes and underscores: models write `fullName` for `full_name`."""
    return normalize_name(name).replace("_", "")


def _count_values(value: Any) -> int:
    """Count the strings, numbers and booleans in a value."""
    if isinstance(value, dict):
        return sum(map(_count_values, value.values()))
    if isinstance(value, list):
        return sum(map(_count_values, value))
    return value is not None


def _without_duplicates(items: list[Any]) -> list[Any]:
    """Return the items without duplicates."""
    texts = [json.dumps(item, sort_keys=True) for item in items]
    return list(dict(zip(reversed(texts), reversed(items), strict=True)).values())[::-1]


def _means_null(value: Any) -> bool:
    """Whether a text is empty, or a word that models write for null."""
    return isinstance(value, str) and value.strip().casefold() in _NULL_WORDS


def _is_list(schema: Any) -> bool:
    return isinstance(schema, dict) and _types(schema) == ("array",)


def _types(schema: Json) -> tuple[str, ...]:
    declared = schema.get("type", ())
    return (declared,) if isinstance(declared, str) else tuple(declared)


def _coerce_type(value: Any, schema: Json) -> Any:
    """Convert the value to the schema's type, if that is unambiguous."""
    choices = schema.get("enum")
    if isinstance(choices, list):
        return _match_enum(value, choices, schema.get(ENUM_NAMES, {}))
    types = _types(schema)
    if not types or _is_of_type(value, types):
        return int(value) if types == ("integer",) and isinstance(value, float) else value
    for name in types:
        coerced = _COERCIONS[name](value) if name in _COERCIONS else None
        if coerced is not None:
            return coerced
    if _means_null(value):
        return None if "null" in types else value
    return _wrap_in_list(value, schema) if "array" in types and value is not None else value


def _wrap_in_list(value: Any, schema: Json) -> list[Any]:
    return [
        _coerce_type(value, schema["items"]) if isinstance(schema.get("items"), dict) else value
    ]


def _match_enum(value: Any, choices: list[Any], names: Json) -> Any:
    """Return the choice that equals the value after normalization, or that the value names."""
    if isinstance(value, dict | list | bool) or value is None:
        return value
    if any(choice == value and not isinstance(choice, bool) for choice in choices):
        return value
    text = normalize_name(_text_of(value))
    matches = [choice for choice in choices if normalize_name(str(choice)) == text]
    matches = matches or [names[name] for name in names if normalize_name(name) == text]
    return matches[0] if len(matches) == 1 else value


def _text_of(value: Any) -> str:
    """Return a string, or a number as the model wrote it."""
    return value.text if isinstance(value, WrittenInt | WrittenFloat) else str(value)


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
    if isinstance(value, WrittenInt | WrittenFloat):
        return value.text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return json.dumps(value) if is_number else None


def _structure(type_: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
            return None
        parsed = parse_lenient_json(value, keep_number_text=True)
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
