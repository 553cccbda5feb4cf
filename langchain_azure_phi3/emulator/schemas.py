"""JSON schemas as a writer of values reads them: references followed, nonsense left out."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from langchain_azure_phi3.emulator.wire import Json

_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_SIZES = ("minLength", "maxLength", "minItems", "maxItems")
_LISTS = ("enum", "anyOf", "oneOf", "allOf", "prefixItems")
_DEEPEST = 5  # references to references, schemas of all of schemas
_LARGEST = 1000  # characters or items that a schema may ask for at least
_KEYWORDS: Mapping[str, Callable[[Any], bool]] = {
    "properties": lambda value: isinstance(value, dict),
    **dict.fromkeys(_LISTS, lambda value: isinstance(value, list)),
    **dict.fromkeys(("$ref", "format", "pattern"), lambda value: isinstance(value, str)),
    **dict.fromkeys(_NUMBERS, lambda value: isinstance(value, int | float)),
    **dict.fromkeys(_SIZES, lambda value: isinstance(value, int) and 0 <= value <= _LARGEST),
    "multipleOf": lambda value: isinstance(value, int | float) and value > 0,
    "required": lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value),
    "type": lambda value: isinstance(value, str | list),
}


def _readable(schema: Any) -> Json:
    """What of a schema means something: prompts may hold anything."""
    if not isinstance(schema, dict):
        return {}
    return {key: value for key, value in schema.items() if _KEYWORDS.get(key, _any)(value)}


def _any(_: Any) -> bool:
    return True


def resolved(schema: Any, root: Json, depth: int = 0) -> Json:
    """The schema with its reference followed and what it is "all of" merged in."""
    found = _readable(schema)
    for _ in range(_DEEPEST):
        if "$ref" not in found:
            break
        others = {key: value for key, value in found.items() if key != "$ref"}
        found = _readable({**_target(root, found["$ref"]), **others})
    for part in found.get("allOf", ()) if depth < _DEEPEST else ():
        own = resolved(part, root, depth + 1)
        found = {**own, **found, **_merged(own, found)}
    return found


def _merged(one: Json, other: Json) -> Json:
    properties = {**one.get("properties", {}), **other.get("properties", {})}
    required = [*one.get("required", ()), *other.get("required", ())]
    return {"properties": properties, "required": required} if len(properties) > 0 else {}


def may_be_null(schema: Json) -> bool:
    """Whether a resolved schema allows null."""
    kinds = schema.get("type")
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return {"type": "null"} in branches or (isinstance(kinds, list) and "null" in kinds)


def kind_of(schema: Json) -> Any:
    """The type, or the list of them; guessed where only the keywords tell."""
    implied = "object" if "properties" in schema else "array" if "items" in schema else "string"
    kind = schema.get("type", implied)
    return [one for one in kind if isinstance(one, str)] if isinstance(kind, list) else kind


def _target(root: Json, reference: str) -> Json:
    target: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        target = target.get(step.replace("~1", "/").replace("~0", "~")) if step else target
        if not isinstance(target, dict):
            return {}
    return dict(target)


def number_of(text: str, *, whole: bool) -> int | float:
    """The number that a text writes, perhaps with commas between thousands."""
    value = float(text.replace(",", ""))
    return int(value) if whole or value.is_integer() else value


def fits(text: str, schema: Json) -> bool:
    """Whether the schema of a number allows the number that a text writes."""
    value = number_of(text, whole=False)
    whole = schema.get("type") == "integer"
    return bounded(value, schema, whole=whole) == value


def bounded(value: float, schema: Json, *, whole: bool) -> int | float:
    """The nearest number that the schema allows."""
    step = schema.get("multipleOf", 1 if whole else 0)
    nudge = step or 1e-3
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + nudge)
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - nudge)
    value = min(max(value, low), high)
    if step and value % step:
        above = math.ceil(value / step) * step
        value = above if above <= high else math.floor(value / step) * step
    return int(value) if float(value).is_integer() else value


def sized(text: str, schema: Json) -> str:
    """The text as long as the schema wants it."""
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
    while len(text) < shortest:
        text += " and so on" if text else "text"
    return text if longest is None else text[:longest]
