"""Schemas are written with few tokens, and say the same."""

import copy
import json
from typing import Any

import pytest

from langchain_azure_phi3._tools.schema_compaction import compact_schema, to_compact_json
from langchain_azure_phi3.errors import InvalidInputError

_COMPACTED: list[tuple[Any, Any]] = [
    ({"type": "object", "properties": {}}, {}),
    ({"title": "T", "$schema": "s", "type": "object"}, {"type": "object"}),
    ({"additionalProperties": False}, {}),
    (
        {"additionalProperties": {"type": "integer", "title": "T"}},
        {"additionalProperties": {"type": "integer"}},
    ),
    (
        {"properties": {"title": {"type": "string", "title": "Title", "format": "date"}}},
        {"properties": {"title": {"type": "string", "format": "date"}}},
    ),
    (
        {"properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}}},
        {"properties": {"a": {"type": "integer"}}},
    ),
    (
        {"properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "string"}]}}},
        {"properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "string"}]}}},
    ),
    (
        {"properties": {"a": {"type": "array", "items": {"type": "string", "title": "T"}}}},
        {"properties": {"a": {"type": "array", "items": {"type": "string"}}}},
    ),
    (
        {
            "properties": {"a": {"allOf": [{"$ref": "#/$defs/A"}], "description": "an  a"}},
            "$defs": {"A": {"enum": [1, 2], "title": "A"}},
        },
        {"properties": {"a": {"enum": [1, 2], "description": "an a"}}},
    ),
    (
        {"properties": {"a": True}, "required": ["a"]},
        {"properties": {"a": True}, "required": ["a"]},
    ),
    (
        {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": ["A"]},
        {"properties": {"a": {"$ref": "#/$defs/A"}}},
    ),
    (
        {"properties": {"a": {"$ref": "https://example.org/a"}}, "required": []},
        {"properties": {"a": {"$ref": "https://example.org/a"}}},
    ),
]


def test_a_schema_keeps_what_a_model_needs() -> None:
    """Types, descriptions, choices, formats, what is required."""
    for schema, compacted in _COMPACTED:
        assert compact_schema(schema) == compacted


def test_the_users_schema_is_not_changed() -> None:
    """It is compacted for each request."""
    schema = copy.deepcopy(_COMPACTED[8][0])
    compact_schema(schema)

    assert _COMPACTED[8][0] == schema


def test_what_json_cannot_represent_is_rejected() -> None:
    """Before anything is sent."""
    for value in (object(), {1, 2}):
        with pytest.raises(InvalidInputError, match="schema cannot be written as JSON"):
            to_compact_json(compact_schema({"properties": {"a": {"default": value}}}))


def test_a_recursive_definition_stays_a_definition() -> None:
    """A tree, in pydantic's form."""
    node = {
        "title": "Node",
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
    }

    assert compact_schema(
        {"properties": {"root": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}}
    ) == {
        "properties": {"root": {"$ref": "#/$defs/Node"}},
        "$defs": {
            "Node": {
                "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}
            }
        },
    }


def test_mutually_recursive_definitions_stay_definitions() -> None:
    """A syntax tree of a dozen types of nodes: there are billions of paths through it."""
    nodes = [f"Node{n}" for n in range(12)]
    one_of = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in nodes]}
    node = {"properties": {"left": one_of, "right": one_of}}
    compacted = compact_schema(
        {"properties": {"root": one_of}, "$defs": dict.fromkeys(nodes, node)}
    )

    assert compacted == {"properties": {"root": one_of}, "$defs": dict.fromkeys(nodes, node)}


def test_nested_definitions_are_inlined_until_long() -> None:
    """Forty levels, each twice in the one before: each is compacted once."""
    level = {
        f"L{n}": {"properties": {key: {"$ref": f"#/$defs/L{n + 1}"} for key in "ab"}}
        for n in range(40)
    }
    compacted = compact_schema(
        {"$ref": "#/$defs/L0", "$defs": {**level, "L40": {"type": "integer"}}}
    )

    assert '"a":{"type":"integer"}' in to_compact_json(compacted)
    assert 0 < len(compacted["$defs"]) < 20


def test_a_long_definition_is_written_once() -> None:
    """Inlining it at each use would cost more."""
    long = {"enum": [f"choice number {n}" for n in range(60)]}
    schema = {
        "properties": {"a": {"$ref": "#/definitions/L"}, "b": {"$ref": "#/definitions/L"}},
        "definitions": {"L": long},
    }
    compacted = json.dumps(compact_schema(schema))

    assert compacted.count("choice number 7") == 1
