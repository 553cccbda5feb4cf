"""What a model is told of its tools, and what that costs."""

import json
from typing import Any

import pytest

from langchain_azure_phi3._tools.schema_compaction import compact_schema, to_compact_json
from langchain_azure_phi3._tools.tool_call_parser import ToolCallParser
from langchain_azure_phi3._tools.tool_prompt import (
    correction,
    format_tool_calls,
    format_tool_result,
    instructions,
    is_trained,
)
from langchain_azure_phi3._tools.tools import Tool
from langchain_azure_phi3.errors import InvalidInputError

_CHARACTERS_A_TOKEN = 3.6
_FAMILIES = ("phi-3", "phi-3.5", "phi-4", "phi-4-mini")


def _realistic(number: int) -> Tool:
    """A tool as pydantic describes one: three arguments, a title and a default each."""
    properties = {
        "customer_id": {
            "title": "Customer Id",
            "type": "string",
            "description": "The customer's number, such as C-1042",
        },
        "status": {
            "anyOf": [{"enum": ["open", "closed", "all"], "type": "string"}, {"type": "null"}],
            "default": None,
            "title": "Status",
            "description": "Only orders in this state",
        },
        "limit": {"title": "Limit", "type": "integer", "default": 10},
    }
    return Tool(
        f"list_orders_{number}",
        "List a customer's orders, newest first.",
        {
            "title": "ListOrders",
            "description": "List a customer's orders,\n    newest first.",
            "type": "object",
            "properties": properties,
            "required": ["customer_id"],
            "additionalProperties": False,
        },
    )


@pytest.mark.parametrize("tool_format", _FAMILIES)
@pytest.mark.parametrize(("count", "bound"), [(1, 210), (5, 620), (20, 2150)])
def test_tools_cost_few_tokens(tool_format: str, count: int, bound: int) -> None:
    """Of 4,096: about 100 a tool of three arguments, and 100 once."""
    text = instructions(
        [_realistic(n) for n in range(count)], choice="auto", tool_format=tool_format
    )

    assert len(text) / _CHARACTERS_A_TOKEN < bound


@pytest.mark.parametrize("tool_format", _FAMILIES)
@pytest.mark.parametrize("choice", ["auto", "any", "list_orders_1"])
def test_the_form_that_is_asked_for_is_the_form_that_is_read(tool_format: str, choice: str) -> None:
    """The instructions' own example, with a tool's name, reads as a call."""
    tools = [_realistic(1)]
    form = format_tool_calls(
        [("TOOL" if choice != "list_orders_1" else choice, {"ARGUMENT": "VALUE"})], tool_format
    )

    assert form in instructions(tools, choice=choice, tool_format=tool_format)

    written = form.replace("TOOL", "list_orders_1").replace("ARGUMENT", "customer_id")
    reading = ToolCallParser(tools, required=False).feed(written)

    assert [(call.name, call.arguments) for call in reading.calls] == [
        ("list_orders_1", {"customer_id": "VALUE"})
    ]


@pytest.mark.parametrize("tool_format", _FAMILIES)
def test_words_are_right_where_no_tool_is_needed(tool_format: str) -> None:
    """Only where the choice is the model's."""
    said = {
        choice: "ordinary words"
        in instructions([_realistic(1)], choice=choice, tool_format=tool_format)
        for choice in ("auto", "any", "list_orders_1")
    }

    assert said == {"auto": True, "any": False, "list_orders_1": False}


def test_a_demanded_tool_is_the_only_one_told() -> None:
    """The others would cost tokens and tempt."""
    tools = [_realistic(1), _realistic(2)]
    text = instructions(tools, choice="list_orders_2", tool_format="phi-3")

    assert "You must call the tool list_orders_2 now" in text
    assert "list_orders_1" not in text


def test_a_description_is_told_once_and_the_users_schema_is_left_as_it_is() -> None:
    """Pydantic repeats it, and a schema that cannot be made smaller is the user's own object."""
    schema = {"$ref": "#/$defs/Elsewhere", "description": "Look it up."}
    text = instructions([Tool("look", "Look it up.", schema)], choice="auto", tool_format="phi-3")

    assert text.count("Look it up.") == 1
    assert schema == {"$ref": "#/$defs/Elsewhere", "description": "Look it up."}


@pytest.mark.parametrize("value", [object(), {1, 2}])
def test_a_schema_that_is_no_json_is_refused(value: object) -> None:
    """Before anything is sent; the error says what is in the way."""
    tool = Tool("look", "", {"properties": {"a": {"default": value}}})

    with pytest.raises(InvalidInputError, match="schema cannot be written as JSON"):
        instructions([tool], choice="auto", tool_format="phi-3")


def test_a_tool_of_which_nothing_is_said_costs_its_name() -> None:
    """No empty description is told."""
    text = instructions([Tool("now")], choice="auto", tool_format="phi-3")

    assert '\n{"name":"now","parameters":{}}\n' in text


def test_phi_4_mini_is_told_as_it_was_trained() -> None:
    """A JSON list between its tags, at the end, as its chat template puts it."""
    text = instructions([_realistic(1), _realistic(2)], choice="auto", tool_format="phi-4-mini")
    listed = text.partition("<|tool|>")[2].removesuffix("<|/tool|>")

    assert [tool["name"] for tool in json.loads(listed)] == ["list_orders_1", "list_orders_2"]


def test_only_the_families_trained_on_tools_get_their_tags() -> None:
    """By family, or by the model's name."""
    assert [
        is_trained(name)
        for name in (
            "phi-4-mini",
            "Phi-4-mini-instruct",
            "Phi-4-multimodal-instruct",
            "phi-4",
            "phi-3.5",
        )
    ] == [True, True, True, False, False]


@pytest.mark.parametrize("tool_format", _FAMILIES)
def test_earlier_calls_stand_in_the_history_as_the_model_wrote_them(tool_format: str) -> None:
    """Read again, they are the same calls."""
    calls = [("list_orders_1", {"customer_id": "Ä"}), ("list_orders_1", {"customer_id": "2"})]
    reader = ToolCallParser([_realistic(1)], required=False)
    found = reader.feed(format_tool_calls(calls, tool_format)).calls + reader.finish().calls

    assert calls == [(call.name, call.arguments) for call in found]


def test_a_result_says_whose_it_is() -> None:
    """So that several can stand in one turn."""
    assert format_tool_result("search", "42") == "Result of the tool search:\n42"
    assert (
        format_tool_result("search", "no net", is_error=True) == "The tool search failed:\nno net"
    )
    assert format_tool_result("search", " ") == "Result of the tool search, without any text."


def test_a_correction_quotes_what_was_wrong_and_shows_the_form() -> None:
    """A small model repeats its mistake unless it is shown."""
    text = correction(
        "There is no tool 'x'.", wrote='{"name": "x"}', choice="auto", tool_format="phi-3"
    )

    assert 'You wrote:\n{"name": "x"}' in text
    assert "There is no tool 'x'." in text
    assert '{"name": "TOOL", "arguments"' in text


def test_a_correction_quotes_shortly() -> None:
    """The context is 4,096 tokens."""
    text = correction("Too long.", wrote="x" * 5000, choice="any", tool_format="phi-3")

    assert len(text) < 600
    assert "You wrote" not in correction("No call.", choice="any", tool_format="phi-3")


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


@pytest.mark.parametrize(("schema", "compacted"), _COMPACTED)
def test_a_schema_keeps_only_what_a_writer_needs(schema: Any, compacted: Any) -> None:
    """Types, descriptions, choices, formats, what is required."""
    assert compact_schema(schema) == compacted


def test_a_definition_that_refers_to_itself_stays_a_definition() -> None:
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


def test_definitions_that_refer_to_each_other_stay_definitions() -> None:
    """A syntax tree of a dozen kinds of nodes: there are billions of ways through it."""
    kinds = [f"Node{n}" for n in range(12)]
    one_of = {"anyOf": [{"$ref": f"#/$defs/{kind}"} for kind in kinds]}
    node = {"properties": {"left": one_of, "right": one_of}}
    told = compact_schema({"properties": {"root": one_of}, "$defs": dict.fromkeys(kinds, node)})

    assert told == {"properties": {"root": one_of}, "$defs": dict.fromkeys(kinds, node)}


def test_definitions_within_definitions_are_each_looked_at_once() -> None:
    """Each of them twice in the one before: what is small is inlined, until it gets long."""
    level = {
        f"L{n}": {"properties": {key: {"$ref": f"#/$defs/L{n + 1}"} for key in "ab"}}
        for n in range(40)
    }
    told = compact_schema({"$ref": "#/$defs/L0", "$defs": {**level, "L40": {"type": "integer"}}})

    assert '"a":{"type":"integer"}' in to_compact_json(told)
    assert 0 < len(told["$defs"]) < 20


def test_a_long_definition_is_told_once() -> None:
    """Inlining it at each use would cost more."""
    long = {"enum": [f"choice number {n}" for n in range(60)]}
    schema = {
        "properties": {"a": {"$ref": "#/definitions/L"}, "b": {"$ref": "#/definitions/L"}},
        "definitions": {"L": long},
    }
    told = json.dumps(compact_schema(schema))

    assert told.count("choice number 7") == 1
