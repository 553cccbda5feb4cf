"""Writes JSON schemas with few tokens."""

import json
from collections.abc import Iterator
from typing import Any

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

# Used by validators and documentation, not by a model that writes arguments.
_DROPPED = frozenset({"title", "$schema", "$id", "$comment", "$defs", "definitions", "examples"})
_DEFINITIONS = ("$defs", "definitions")
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties"})
_LISTED_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_MAX_INLINED = 600
_MAX_REACHED = 100


def compact_schema(schema: Json) -> Json:
    """Remove what a model does not need from a schema, and inline small definitions.

    Types, descriptions, enums, formats, bounds and required names are kept. Long and recursive
    definitions are not inlined.

    Raises:
        InvalidInputError: The schema is nested too deeply.
    """
    definitions = _Definitions(schema)
    try:
        compacted: Json = definitions.compact(schema)
        used = definitions.used_by(compacted)
    except RecursionError:
        raise InvalidInputError(
            "A schema is nested too deeply to be described to a model. Make it flatter."
        ) from None
    return {**compacted, "$defs": used} if used else compacted


def is_recursive(schema: Json) -> bool:
    """Whether one of the schema's definitions refers to itself, directly or through others."""
    definitions = _Definitions(schema)
    return any(definitions.is_circular(reference) for reference in set(_references(schema)))


def to_compact_json(value: Any) -> str:
    """Write JSON without white space and without escapes for letters.

    Raises:
        InvalidInputError: The schema contains a value that JSON cannot represent.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as problem:
        raise InvalidInputError(f"The schema cannot be written as JSON: {problem}") from None


class _Definitions:
    """A schema's definitions, each compacted once, however often it is referred to."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._compacted: dict[str, Json] = {}
        self._circular: dict[str, bool] = {}
        self._direct: dict[str, set[str]] = {}

    def compact(self, schema: Any) -> Any:
        """Compact a part of the schema, with small definitions in place of references."""
        if not isinstance(schema, dict):
            return schema
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._inline(schema, reference)
        kept = {
            key: self._compact_value(key, value)
            for key, value in schema.items()
            if not _is_dropped(key, value, schema)
        }
        return _unwrap(kept)

    def used_by(self, schema: Json) -> Json:
        """Return the definitions that a compacted schema still refers to."""
        used: Json = {}
        waiting = list(_references(schema))
        while waiting:
            reference = waiting.pop()
            name = reference.rpartition("/")[2]
            if name not in used and _definition(reference, self._root) is not None:
                used[name] = self._compact_definition(reference)
                waiting.extend(_references(used[name]))
        return used

    def _compact_value(self, key: str, value: Any) -> Any:
        if key in _NAMED_SCHEMAS and isinstance(value, dict):
            return {name: self.compact(inner) for name, inner in value.items()}
        if key in _LISTED_SCHEMAS and isinstance(value, list):
            return [self.compact(branch) for branch in value]
        if key == "description" and isinstance(value, str):
            return " ".join(value.split())
        return self.compact(value) if key in ("items", "additionalProperties") else value

    def _inline(self, schema: Json, reference: str) -> Json:
        siblings = self.compact({key: value for key, value in schema.items() if key != "$ref"})
        referring: Json = {"$ref": reference, **siblings}
        if _definition(reference, self._root) is None or self.is_circular(reference):
            return referring
        inlined: Json = {**self._compact_definition(reference), **siblings}
        return referring if len(to_compact_json(inlined)) > _MAX_INLINED else inlined

    def _compact_definition(self, reference: str) -> Json:
        if reference not in self._compacted:
            target = _definition(reference, self._root)
            self._compacted[reference] = self.compact(target)
        return self._compacted[reference]

    def is_circular(self, reference: str) -> bool:
        """Whether a definition refers to itself, or to more definitions than can be followed."""
        if reference not in self._circular:
            reached = set(self._referred(reference))
            waiting = list(reached)
            while waiting and len(reached) <= _MAX_REACHED:
                further = self._referred(waiting.pop()) - reached
                reached |= further
                waiting.extend(further)
            self._circular[reference] = bool(waiting) or reference in reached
        return self._circular[reference]

    def _referred(self, reference: str) -> set[str]:
        if reference not in self._direct:
            self._direct[reference] = set(_references(_definition(reference, self._root)))
        return self._direct[reference]


def _is_dropped(key: str, value: Any, schema: Json) -> bool:
    return (
        key in _DROPPED
        or (key == "default" and value is None)
        or (key == "additionalProperties" and not isinstance(value, dict))
        or (key == "type" and value == "object" and "properties" in schema)
        or value in ([], {}, "")
    )


def _unwrap(schema: Json) -> Json:
    """Remove redundant unions of generated schemas: "or null", "all of" one schema."""
    for key in ("anyOf", "oneOf", "allOf"):
        branches = schema.get(key)
        if not isinstance(branches, list):
            continue
        real = [branch for branch in branches if branch != {"type": "null"}]
        if len(real) == 1 and isinstance(real[0], dict):
            others = {name: value for name, value in schema.items() if name != key}
            return {**real[0], **others}
    return schema


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
