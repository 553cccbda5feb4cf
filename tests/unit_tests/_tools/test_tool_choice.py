"""The tools and the format that a call requests, in every way to write them."""

from typing import Any

import pytest

from langchain_azure_phi3 import InvalidInputError
from langchain_azure_phi3._tools.tool_choice import OutputSpec, parse_output_spec, parse_tool_choice

NAMES = ["weather", "search"]
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "", "parameters": {}}}
    for name in NAMES
]


def test_a_choice_can_be_written_in_many_ways() -> None:
    """LangChain's words, OpenAI's objects, Anthropic's, and bools."""
    for given, choice in (
        (None, "auto"),
        ("auto", "auto"),
        ("any", "any"),
        ("required", "any"),
        (True, "any"),
        ("none", "none"),
        (False, "none"),
        ("search", "search"),
        ({"type": "function", "function": {"name": "search"}}, "search"),
        ({"name": "search"}, "search"),
        ({"type": "any"}, "any"),
        ({"type": "tool", "name": "search"}, "search"),
    ):
        assert choice == parse_tool_choice(given, NAMES), given


def test_an_unknown_choice_is_rejected_with_the_names() -> None:
    """A typing mistake must not become an unforced answer."""
    for given in ("searching", {"function": {"name": "x"}}, {}, 3, ["weather"]):
        with pytest.raises(InvalidInputError, match="weather, search"):
            parse_tool_choice(given, NAMES)


def test_requiring_a_call_without_tools_is_rejected() -> None:
    """No model can do that."""
    with pytest.raises(InvalidInputError, match="no tool is bound"):
        parse_tool_choice("any", [])


def test_a_tool_can_be_named_like_a_choice() -> None:
    """A tool named `auto` is a tool."""
    assert "auto" == parse_tool_choice("auto", ["auto"])


def test_a_tool_that_is_no_function_is_rejected() -> None:
    """Such as the built-in tools of other providers."""
    for tool in ({"type": "web_search"}, {"function": "f"}, {"function": {"name": 5}}):
        with pytest.raises(InvalidInputError, match="Unsupported tool type"):
            parse_output_spec([tool])
    with pytest.raises(InvalidInputError, match="A tool has no name"):
        parse_output_spec([{"function": {}}])


def test_none_requests_no_tools() -> None:
    """Neither in the request nor in the prompt."""
    assert OutputSpec() == parse_output_spec(TOOLS, "none")


def test_a_named_tool_is_the_only_allowed_one() -> None:
    """The others would only cost tokens."""
    assert ["search"] == [tool.name for tool in parse_output_spec(TOOLS, "search").allowed_tools]
    assert NAMES == [tool.name for tool in parse_output_spec(TOOLS, "any").allowed_tools]


def test_native_fields_hold_tools_and_choice() -> None:
    """In OpenAI's form."""
    for choice, field in (
        (None, "auto"),
        ("any", "required"),
        ("search", {"type": "function", "function": {"name": "search"}}),
    ):
        fields = parse_output_spec(TOOLS, choice, parallel=False).native_fields

        assert {"tools": TOOLS, "tool_choice": field, "parallel_tool_calls": False} == fields


def test_only_text_formats_accompany_prompted_tools() -> None:
    """A JSON format is described in the prompt instead."""
    text: dict[str, Any] = {"type": "text"}

    assert {"response_format": text} == parse_output_spec(TOOLS, None, text).prompted_fields
    assert {} == parse_output_spec(TOOLS, None, {"type": "json_object"}).prompted_fields
    assert {} == parse_output_spec(TOOLS).prompted_fields


def test_the_schema_of_a_format_is_found() -> None:
    """Any object for plain JSON mode, none for text."""
    schema = {"properties": {"a": {"type": "integer"}}}
    response_format = {"type": "json_schema", "json_schema": {"name": "A", "schema": schema}}

    assert schema == parse_output_spec(None, None, response_format).schema
    assert {} == parse_output_spec(None, None, {"type": "json_object"}).schema
    assert parse_output_spec(None, None, {"type": "text"}).schema is None
    assert parse_output_spec(None).schema is None
