"""A JSON schema in as few tokens as a model needs to follow it."""

import json
from collections.abc import Iterator
from typing import Any

from langchain_azure_phi3._codec.tools import Json
from langchain_azure_phi3.errors import InvalidInputError

# For validators and documentation, not for the writer of arguments.
_DROPPED = frozenset({"title", "$schema", "$id", "$comment", "$defs", "definitions", "examples"})
_DEFINITIONS = ("$defs", "definitions")
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties"})
_LISTED_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_MAX_INLINED = 600


def compact(schema: Json) -> Json:
    """The schema without what a model can do without; definitions inlined where they are small.

    Kept are types, descriptions, enums, formats, bounds and what is required. Definitions that
    are long or refer to themselves stay definitions.
    """
    compacted: Json = _compact(schema, schema, ())
    kept = _definitions_used(compacted, schema)
    return {**compacted, "$defs": kept} if kept else compacted


def dumped(value: Any) -> str:
    """JSON without white space, in the letters that the user wrote.

    Raises:
        InvalidInputError: A schema holds what JSON cannot.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as problem:
        raise InvalidInputError(f"The schema cannot be written as JSON: {problem}") from None


def _compact(schema: Any, root: Json, trail: tuple[str, ...]) -> Any:
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _referred(schema, reference, root, trail)
    compacted: Json = {}
    for key, value in schema.items():
        if not _is_dropped(key, value, schema):
            compacted[key] = _compact_value(key, value, root, trail)
    return _unwrapped(compacted)


def _compact_value(key: str, value: Any, root: Json, trail: tuple[str, ...]) -> Any:
    if key in _NAMED_SCHEMAS and isinstance(value, dict):
        return {name: _compact(own, root, trail) for name, own in value.items()}
    if key in _LISTED_SCHEMAS and isinstance(value, list):
        return [_compact(branch, root, trail) for branch in value]
    if key == "description" and isinstance(value, str):
        return " ".join(value.split())
    return _compact(value, root, trail) if key in ("items", "additionalProperties") else value


def _is_dropped(key: str, value: Any, schema: Json) -> bool:
    return (
        key in _DROPPED
        or (key == "default" and value is None)
        or (key == "additionalProperties" and not isinstance(value, dict))
        or (key == "type" and value == "object" and "properties" in schema)
        or value in ([], {}, "")
    )


def _unwrapped(schema: Json) -> Json:
    """Without the detours of generated schemas: "or null" of an option, "all of" one schema."""
    for key in ("anyOf", "oneOf", "allOf"):
        branches = schema.get(key)
        if not isinstance(branches, list):
            continue
        real = [branch for branch in branches if branch != {"type": "null"}]
        if len(real) == 1 and isinstance(real[0], dict):
            others = {name: value for name, value in schema.items() if name != key}
            return {**real[0], **others}
    return schema


def _referred(schema: Json, reference: str, root: Json, trail: tuple[str, ...]) -> Json:
    target = _definition(reference, root)
    if target is None or reference in trail:
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    inlined = _compact({**target, **beside}, root, (*trail, reference))
    is_recursive = reference in _references(inlined)
    return schema if is_recursive or len(dumped(inlined)) > _MAX_INLINED else inlined


def _definition(reference: str, root: Json) -> Json | None:
    for place in _DEFINITIONS:
        known, prefix = root.get(place), f"#/{place}/"
        if isinstance(known, dict) and reference.startswith(prefix):
            found = known.get(reference.removeprefix(prefix))
            return found if isinstance(found, dict) else None
    return None


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _references(item)


def _definitions_used(schema: Json, root: Json) -> Json:
    """The definitions that a compacted schema still refers to, each compacted itself."""
    used: Json = {}
    waiting = list(_references(schema))
    while waiting:
        reference = waiting.pop()
        name = reference.rpartition("/")[2]
        target = _definition(reference, root)
        if target is not None and name not in used:
            used[name] = _compact(target, root, (reference,))
            waiting.extend(_references(used[name]))
    return used
