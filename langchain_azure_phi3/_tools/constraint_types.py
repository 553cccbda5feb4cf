"""Rewrites schemas of one JSON type in the subset that the servers' grammar compilers share."""

import math
import re
from collections.abc import Callable
from typing import Any

from langchain_azure_phi3._tools.constraint_patterns import translate_pattern
from langchain_azure_phi3._tools.schema_merging import number_or_none
from langchain_azure_phi3._types import Json

DECIMAL = "decimal"
"""The format of the text of a decimal number, https://spec.openapis.org/registry/format/decimal."""

Child = Callable[[Any], Json]
"""Rewrites the schema of a property or an item."""

_MAX_ITEMS = 100
# xgrammar allows no escapes, not even of a line break, in a string of limited length.
_MAX_LENGTH = 100
# llama.cpp writes integers of up to 16 digits.
_MAX_INTEGER = 10**15
# llama.cpp does not escape the names that it excludes from additional properties.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+", re.ASCII)


def _amounts(units: list[str], digits: int) -> str:
    """Return a pattern for numbers with units: at least one of these units, in order."""
    amount = f"[0-9]{{1,{digits}}}"
    return "|".join(
        f"{amount}{unit}" + "".join(f"({amount}{later})?" for later in units[index + 1 :])
        for index, unit in enumerate(units)
    )


# Only values that pydantic accepts: years from 1 to 9999, days that exist, durations of fewer than
# 1,000,000,000 days, whose times are below 2**32 seconds.
_YEAR = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_FOURTH = "(0[48]|[2468][048]|[13579][26])"  # two digits divisible by 4, except 00
_LEAP_YEAR = f"([0-9]{{2}}{_FOURTH}|{_FOURTH}00)"
_DAY = (
    "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))"
)
_DATE = f"({_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)"
_FRACTION = r"\.[0-9]{1,6}"
_DAYS = _amounts(["Y", "M", "W", "D"], 6)
_SECONDS = f"T({_amounts(['H', 'M', f'({_FRACTION})?S'], 6)})"
# Pydantic reads a fraction only in the last amount.
_FRACTIONAL = f"[0-9]{{1,6}}{_FRACTION}[YMWD]|T[0-9]{{1,6}}{_FRACTION}[HM]"
_DURATION = f"[+-]?P(({_DAYS})({_SECONDS})?|{_SECONDS}|{_FRACTIONAL})"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?"
_OFFSET = "([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?"
_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
# As patterns, because compilers support different formats, and llguidance rejects unknown ones.
# Offsets are optional: pydantic writes "date-time" also for datetimes without one.
_FORMATS = {
    DECIMAL: r"-?[0-9]+(\.[0-9]+)?",
    "date": _DATE,
    "time": f"{_TIME}{_OFFSET}",
    "date-time": f"{_DATE}[Tt ]{_TIME}{_OFFSET}",
    "duration": _DURATION,
    "email": "[^@ ]+@[^@ ]+",
    "ipv4": rf"{_BYTE}(\.{_BYTE}){{3}}",
    "uri": "[A-Za-z][A-Za-z0-9+.-]*:[^ ]+",
    **dict.fromkeys(("uuid", *(f"uuid{version}" for version in range(1, 9))), _UUID),
}


def closed_object(properties: Json, required: list[str]) -> Json:
    """Return the schema of an object with these properties and no others."""
    schema: Json = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return {**schema, "additionalProperties": False}


def rewrite_object(node: Json, child: Child) -> Json:
    """Rewrite an object; close it if it declares properties and does not allow others."""
    declared = node.get("properties")
    others = _additional_properties(node, is_declared=isinstance(declared, dict))
    schemas = {
        name: schema
        for name, schema in (declared if isinstance(declared, dict) else {}).items()
        if schema is not False
    }
    required = node.get("required")
    names = (
        [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
    )
    for name in names:
        schemas.setdefault(name, True)
    rewritten = closed_object({name: child(schema) for name, schema in schemas.items()}, names)
    if others is False or not all(map(_PLAIN_NAME.fullmatch, schemas)):
        return rewritten
    if not schemas:
        del rewritten["properties"]
    is_any = others is True or others == {}
    return {**rewritten, "additionalProperties": True if is_any else child(others)}


def _additional_properties(node: Json, *, is_declared: bool) -> Any:
    """Return the schema of undeclared properties; `False` if none are allowed."""
    others = node.get("additionalProperties")
    patterns = node.get("patternProperties")
    if isinstance(patterns, dict) and patterns:
        return {"anyOf": [*patterns.values(), *([others] if isinstance(others, dict) else [])]}
    if isinstance(others, dict | bool):
        return others
    return not is_declared


def rewrite_array(node: Json, child: Child) -> Json:
    """Rewrite an array; as a tuple only if its length is fixed, as llama.cpp requires."""
    prefix, rest = _prefix_and_rest(node)
    fewest, most = _size(node.get("minItems")), _size(node.get("maxItems"))
    if prefix and _is_tuple(len(prefix), rest, fewest, most):
        items = {"prefixItems": [child(schema) for schema in prefix]}
        return {"type": "array", **items, "minItems": len(prefix), "maxItems": len(prefix)}
    if rest is False:
        most = len(prefix) if most is None else min(most, len(prefix))
    possible = [schema for schema in [*prefix, rest] if schema is not False]
    item = child({"anyOf": possible} if len(possible) > 1 else next(iter(possible), True))
    return {"type": "array", "items": item, **_bounds(fewest, most, "Items", _MAX_ITEMS)}


def _prefix_and_rest(node: Json) -> tuple[list[Any], Any]:
    """Return the schemas of the first items, and the schema of the others."""
    prefix, items = node.get("prefixItems"), node.get("items", True)
    if isinstance(items, list):  # before draft 2020-12
        return items, node.get("additionalItems", True)
    return (prefix if isinstance(prefix, list) else []), items


def _is_tuple(length: int, rest: Any, fewest: int | None, most: int | None) -> bool:
    return fewest is not None and fewest >= length and (rest is False or most == length)


def rewrite_string(node: Json, child: Child) -> Json:
    """Rewrite a string, with one of pattern, format and lengths: compilers do not combine them."""
    name = node.get("format")
    known = _FORMATS.get(name) if isinstance(name, str) else None
    for pattern in (node.get("pattern"), None if known is None else f"^{known}$"):
        translated = translate_pattern(pattern) if isinstance(pattern, str) else None
        if translated is not None:
            return {"type": "string", "pattern": translated}
    shortest, longest = _size(node.get("minLength")), _size(node.get("maxLength"))
    if longest is None or longest > _MAX_LENGTH:
        return {"type": "string"}
    return {"type": "string", **_bounds(shortest, longest, "Length", _MAX_LENGTH)}


def rewrite_integer(node: Json, child: Child) -> Json:
    """Rewrite an integer with inclusive bounds."""
    lowest = [math.ceil(bound) for bound in _numbers(node, "minimum")]
    highest = [math.floor(bound) for bound in _numbers(node, "maximum")]
    lowest += [math.floor(bound) + 1 for bound in _exclusive(node, "Minimum")]
    highest += [math.ceil(bound) - 1 for bound in _exclusive(node, "Maximum")]
    least, most = max(lowest, default=None), min(highest, default=None)
    if most is not None and most < 0 and least is None:
        least = -_MAX_INTEGER  # with one bound, llama.cpp would allow leading zeros
    if least is not None and most is not None and least > most:
        return {"type": "integer"}
    bounds = {"minimum": least, "maximum": most}
    kept = {key: bound for key, bound in bounds.items() if bound is not None}
    is_possible = all(abs(bound) <= _MAX_INTEGER for bound in kept.values())
    return {"type": "integer", **(kept if is_possible else {})}


def _numbers(node: Json, key: str) -> list[float | int]:
    number = number_or_none(node.get(key))
    return [] if number is None else [number]


def _exclusive(node: Json, side: str) -> list[float | int]:
    key = f"exclusive{side}"
    # In draft 4, it is a boolean that makes the other bound exclusive.
    return _numbers(node, side.lower() if node.get(key) is True else key)


def _size(value: Any) -> int | None:
    """Return a length or a number of items; `None` unless it is an integer of at least 0."""
    number = number_or_none(value)
    return int(number) if number is not None and number >= 0 and number == int(number) else None


def _bounds(fewest: int | None, most: int | None, name: str, limit: int) -> Json:
    """Return bounds that a grammar can write out; none if they contradict each other."""
    if fewest is not None and most is not None and fewest > most:
        return {}
    bounds = {f"min{name}": fewest or None, f"max{name}": most}
    return {key: size for key, size in bounds.items() if size is not None and size <= limit}


def rewrite_simple(node: Json, child: Child) -> Json:
    """Rewrite a boolean, null, or a number, whose bounds grammars cannot express exactly."""
    return {"type": node["type"]}


REWRITE_TYPE: dict[str, Callable[[Json, Child], Json]] = {
    "object": rewrite_object,
    "array": rewrite_array,
    "string": rewrite_string,
    "integer": rewrite_integer,
    "number": rewrite_simple,
    "boolean": rewrite_simple,
    "null": rewrite_simple,
}
