"""What a call asks of the answer, in every way to write it."""

from typing import Any

import pytest

from langchain_azure_phi3 import InvalidInputError
from langchain_azure_phi3._tools.tool_choice import OutputSpec, parse_output_spec, parse_tool_choice

NAMES = ["weather", "search"]
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "", "parameters": {}}}
    for name in NAMES
]


@pytest.mark.parametrize(
    ("given", "choice"),
    [
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
    ],
)
def test_a_choice_is_understood_in_every_spelling(given: Any, choice: str) -> None:
    """LangChain's words, OpenAI's objects, Anthropic's, and bools."""
    assert choice == parse_tool_choice(given, NAMES)


@pytest.mark.parametrize("given", ["searching", {"function": {"name": "x"}}, {}, 3, ["weather"]])
def test_an_unknown_choice_is_refused_with_the_names_that_there_are(given: Any) -> None:
    """A typing mistake must not become an unforced answer."""
    with pytest.raises(InvalidInputError, match="weather, search"):
        parse_tool_choice(given, NAMES)


def test_demanding_a_call_of_nothing_is_refused() -> None:
    """No model can do that."""
    with pytest.raises(InvalidInputError, match="no tool is bound"):
        parse_tool_choice("any", [])


def test_a_tool_may_be_called_like_a_word_of_the_choice() -> None:
    """A tool named `auto` is a tool."""
    assert "auto" == parse_tool_choice("auto", ["auto"])


@pytest.mark.parametrize("tool", [{"type": "web_search"}, {"function": "f"}, {"function": {}}])
def test_a_tool_that_is_no_function_is_refused(tool: Any) -> None:
    """Built-in tools of other providers."""
    with pytest.raises(InvalidInputError, match="Unsupported tool type"):
        parse_output_spec([tool])


def test_none_offers_no_tools() -> None:
    """Neither on the wire nor in words."""
    assert OutputSpec() == parse_output_spec(TOOLS, "none")


def test_a_named_tool_is_the_only_one_offered() -> None:
    """The others would only cost tokens."""
    assert ["search"] == [tool.name for tool in parse_output_spec(TOOLS, "search").allowed_tools]
    assert NAMES == [tool.name for tool in parse_output_spec(TOOLS, "any").allowed_tools]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (None, "auto"),
        ("any", "required"),
        ("search", {"type": "function", "function": {"name": "search"}}),
    ],
)
def test_tools_go_on_the_wire_with_their_choice(choice: Any, wire: Any) -> None:
    """In OpenAI's form."""
    fields = parse_output_spec(TOOLS, choice, parallel=False).native_fields

    assert {"tools": TOOLS, "tool_choice": wire, "parallel_tool_calls": False} == fields


def test_the_schema_of_a_format_is_found() -> None:
    """Any object for plain JSON mode, nothing for text."""
    schema = {"properties": {"a": {"type": "integer"}}}
    described = {"type": "json_schema", "json_schema": {"name": "A", "schema": schema}}

    assert schema == parse_output_spec(None, None, described).schema
    assert {} == parse_output_spec(None, None, {"type": "json_object"}).schema
    assert parse_output_spec(None, None, {"type": "text"}).schema is None
    assert parse_output_spec(None).schema is None
