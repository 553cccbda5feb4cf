"""Combines JSON schemas that a value must fit at the same time into one."""

import json
import math
from collections.abc import Callable
from typing import Any

from langchain_azure_phi3._types import Json


def merge_schemas(first: Json, second: Json) -> Json:
    """Combine two schemas into one that requires both.

    If two values cannot be combined, such as two patterns, the first one is kept: the result
    accepts at least what both accept.
    """
    merged = dict(first)
    for key, value in second.items():
        combine = _COMBINE.get(key)
        if key not in merged:
            merged[key] = value
        elif combine is not None:
            merged[key] = combine(merged[key], value)
    return merged


def json_key(value: Any) -> str:
    """Return a text that is the same for equal JSON values, but differs for `1` and `true`."""
    return json.dumps(value, sort_keys=True)


def number_or_none(value: Any) -> float | int | None:
    """Return the value if it is a finite number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def _both(first: Any, second: Any) -> Any:
    """Return a subschema that requires two; they are combined when it is rewritten."""
    if first is False or second is False:
        return False
    return {"allOf": [part for part in (first, second) if part is not True]}


def _both_properties(first: Any, second: Any) -> Any:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return first
    shared = {name: _both(first[name], second[name]) for name in first if name in second}
    return {**first, **second, **shared}


def _union_of_names(first: Any, second: Any) -> Any:
    if not isinstance(first, list) or not isinstance(second, list):
        return first
    return [*first, *(name for name in second if name not in first)]


def _shared_values(first: Any, second: Any) -> Any:
    if not isinstance(first, list) or not isinstance(second, list):
        return first
    keys = {json_key(value) for value in second}
    return [value for value in first if json_key(value) in keys] or first


def _shared_types(first: Any, second: Any) -> Any:
    allowed, others = _type_names(first), _type_names(second)
    shared = [
        name for name in allowed if name in others or (name == "integer" and "number" in others)
    ]
    if "number" in allowed and "integer" in others and "integer" not in shared:
        shared.append("integer")
    return shared or first


def _type_names(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _stricter(choose: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def combine(first: Any, second: Any) -> Any:
        numbers = [number_or_none(value) for value in (first, second)]
        return first if None in numbers else choose(numbers)

    return combine


_LOWER_BOUNDS = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER_BOUNDS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "type": _shared_types,
    "enum": _shared_values,
    "required": _union_of_names,
    "properties": _both_properties,
    "patternProperties": _both_properties,
    "additionalProperties": _both,
    "items": _both,
    **dict.fromkeys(_LOWER_BOUNDS, _stricter(max)),
    **dict.fromkeys(_UPPER_BOUNDS, _stricter(min)),
}
