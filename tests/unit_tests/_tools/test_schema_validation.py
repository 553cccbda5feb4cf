"""Values are checked against schemas in bounded time, and without the network."""

import time
from typing import Any

import pytest

from langchain_azure_phi3._tools.schema_validation import compile_schema
from tests.growth import grows_linearly


def _errors(schema: Any, value: Any) -> list[str]:
    compiled = compile_schema(schema, schema)
    assert compiled is not None
    errors = compiled.errors(value, 3)
    assert compiled.accepts(value) == (errors == [])
    return errors


def test_errors_say_where_they_are() -> None:
    """By keys and indexes; at the top without."""
    schema = {"properties": {"a": {"items": {"type": "integer"}}}, "required": ["b"]}

    assert ['[\'a\'][1]: "x" is not of type "integer"', '"b" is a required property'] == sorted(
        _errors(schema, {"a": [1, "x"]}), reverse=True
    )


def test_a_union_says_only_that_nothing_fits() -> None:
    """The errors of all its branches would be longer than a correction may be."""
    either = [{"type": "integer"}, {"minimum": 3}]

    assert ["1.5 is not valid under any of the given schemas"] == _errors({"anyOf": either}, 1.5)
    assert ["1.5 is not valid under any of the given schemas"] == _errors({"oneOf": either}, 1.5)
    assert ["5 is valid under more than one of the given schemas"] == _errors({"oneOf": either}, 5)


def test_a_part_uses_the_definitions_of_its_root() -> None:
    """Also of a root of an older draft."""
    root = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"A": {"exclusiveMinimum": 3}},
    }
    compiled = compile_schema({"$ref": "#/definitions/A"}, root)

    assert compiled is not None
    assert [False, True] == [compiled.accepts(value) for value in (3, 4)]


def test_nothing_is_fetched() -> None:
    """Neither a schema nor a dialect: its address would be asked for a long time in vain."""
    start = time.thread_time()
    for address in ("http://192.0.2.1/schema", "file:///etc/hostname"):
        assert compile_schema({"$ref": address}, {}) is None
        assert ['1 is not of type "string"'] == _errors({"$schema": address, "type": "string"}, 1)

    assert time.thread_time() - start < 5


def test_formats_are_not_checked() -> None:
    """As most servers do; models write dates in many ways."""
    draft = "http://json-schema.org/draft-07/schema#"

    assert [] == _errors({"$schema": draft, "format": "date"}, "tomorrow")


@pytest.mark.parametrize("pattern", ["^(a+)+$", r"^(a|a)*\1?c$", "^(?=(a+)+$)b"])
def test_a_pattern_cannot_hang(pattern: str) -> None:
    """Python's own expressions would take years for these."""
    assert [] != _errors({"pattern": pattern}, "a" * 60 + "b")


def test_work_grows_linearly_with_nested_unions() -> None:
    """Also for the errors: each branch is tried once for each part of the value."""
    branch = {"type": "object", "properties": {"x": {"$ref": "#/$defs/Any"}}, "required": ["x"]}
    either = {"anyOf": [{"type": "string"}, *({**branch, "minProperties": n} for n in range(5))]}
    schema = {"$ref": "#/$defs/Any", "$defs": {"Any": either}}

    def check(depth: int) -> None:
        value: Any = 1
        for _ in range(depth):
            value = {"x": value}
        assert [] != _errors(schema, value)

    assert grows_linearly(check, 100)


def test_excessive_nesting_is_an_error() -> None:
    """The validator is recursive, and would exhaust the stack of a thread."""
    value: Any = []
    for _ in range(100_000):
        value = [value]

    assert ["This is nested too deeply"] == _errors({"type": "array"}, value)


def test_lone_surrogates_are_checked_as_characters() -> None:
    """JSON can hold half an emoji, where a model was cut off."""
    assert [] == _errors({"type": "object", "maxProperties": 1}, {"\ud83d": "\ud83d"})
    assert [] != _errors({"type": "integer"}, "\ud83d")
