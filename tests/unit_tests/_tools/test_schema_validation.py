"""Values are checked against schemas in bounded time, and without the network."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3._request.build import (
    ChatRequest,
    EndpointFeatures,
    RequestSettings,
    build_request,
)
from langchain_azure_phi3._response.text_parser import parse_text
from langchain_azure_phi3._tools.schema_validation import compile_schema, schema_problem
from tests.growth import grows_linearly
from tests.raw_server import answering


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


def test_nothing_is_fetched(tmp_path: Path) -> None:
    """Neither a schema nor a dialect, from a server or a file, though both would be found there."""
    document = b'{"type": "object", "properties": {"q": {"type": "integer"}}}'
    (tmp_path / "schema.json").write_bytes(document)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    response = head % len(document) + document
    with answering(lambda connection, _: connection.sendall(response)) as server:
        for address in (f"{server.url}/schema", (tmp_path / "schema.json").as_uri()):
            for schema in (
                {"$ref": address},
                {"$ref": f"{address}#/properties/q"},
                {"allOf": [{"$ref": address}]},
                {"$id": address, "$ref": "other"},
                {"$dynamicRef": address},
            ):
                assert compile_schema(schema, {}) is None, schema
                request = _request_for({"type": "object", **schema})
                parse_text('{"name": "t", "arguments": {"q": 1}}', request.output, **_COMPLETE)
            dialect = {"$schema": address, "type": "string"}
            assert ['1 is not of type "string"'] == _errors(dialect, 1)
            assert schema_problem(dialect) is None
            properties = {"properties": {"q": {"$ref": address}}}
            model = ChatAzurePhi3(endpoint="http://127.0.0.1:9")
            for schema in ({"$schema": address, **properties}, {"$id": address, **properties}):
                model.with_structured_output({"title": "x", "type": "object", **schema})
        assert [] == server.accepted


_COMPLETE = {"parses_reasoning": False, "truncated": False}


def _request_for(schema: dict[str, Any]) -> ChatRequest:
    """A request that requires a call with such arguments, constrained where that is possible."""
    tool = {"type": "function", "function": {"name": "t", "parameters": schema}}
    settings = RequestSettings(endpoint=EndpointFeatures(constraints=("response_format",)))
    return build_request(settings, [HumanMessage("Hi")], {"tools": [tool], "tool_choice": "any"})


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
