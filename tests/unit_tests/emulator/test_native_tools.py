"""Servers that accept tools and schemas as fields of the request."""

import json
from typing import Any

import pytest

from tests.unit_tests.emulator.conftest import Client, Json, MakeClient

CITY: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY}}
QUESTION = {"role": "user", "content": "What is the weather in Rome?"}
FUNCTION = {"name": "get_weather", "arguments": '{"city": "city"}'}
CALL: Json = {"id": "call_1", "type": "function", "function": FUNCTION}


def tool(name: Any = "get_weather", parameters: Any = CITY, **more: Any) -> Json:
    """A tool as OpenAI writes it."""
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


@pytest.fixture
def native(make_client: MakeClient) -> Client:
    """A server that accepts tools."""
    return make_client("Phi-4", tools="native")


def error_of(client: Client, **fields: Any) -> Json:
    """The error of a request."""
    response = client.post(**fields)
    assert response.status_code == 400, fields
    error: Json = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    return error


def test_calls_are_fields_of_the_message(native: Client) -> None:
    """Without content, and with their own finish reason."""
    choice = native.choice(tools=[tool()])

    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]) == ("function", FUNCTION)
    assert call["id"].startswith("call_")


def test_calls_are_streamed_in_pieces(native: Client) -> None:
    """Name and id first, then the arguments."""
    chunks = native.chunks(tools=[tool()])
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    first, *rest = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]

    assert first["function"] == {"name": "get_weather", "arguments": ""}
    assert first["type"] == "function"
    assert first["id"].startswith("call_")
    assert {tuple(piece) for piece in rest} == {("index", "function")}
    arguments = "".join(piece["function"]["arguments"] for piece in rest)
    assert arguments == FUNCTION["arguments"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"]["completion_tokens"] == len(rest) + 1


def test_the_tool_choice_is_followed(native: Client) -> None:
    """With `auto`, a question gets the tool that it names, or the first."""
    named = {"type": "function", "function": {"name": "roll_dice"}}
    for choice, content, called in (
        ("none", "Hello!", None),
        ("auto", "Hello!", "get_weather"),
        (None, "Please roll_dice.", "roll_dice"),
        ("required", "Hello!", "get_weather"),
        (named, "Hello!", "roll_dice"),
    ):
        tools = [tool(), tool("roll_dice", None)]
        fields = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": False}
        calls = native.choice(content, **fields)["message"]["tool_calls"]
        assert called == (None if calls is None else calls[0]["function"]["name"])
    assert calls[0]["function"]["arguments"] == "{}"


def test_results_are_repeated(make_client: MakeClient) -> None:
    """Every model sees tool messages here; they and the tools count as tokens."""
    client = make_client("Phi-3-medium-4k-instruct", tools="native")
    messages = [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    body = client.post(messages=messages, tools=[tool()]).json()
    counts = [
        client.post(messages=[QUESTION], **fields).json()["usage"]["prompt_tokens"]
        for fields in ({}, {"tools": [tool()]})
    ]

    assert body["choices"][0]["message"]["content"] == "The tool get_weather says: sunny"
    assert counts[0] + 20 < counts[1] < body["usage"]["prompt_tokens"] - 10
    required = client.choice(messages=messages, tools=[tool()], tool_choice="required")
    assert required["finish_reason"] == "tool_calls"


def test_limits_end_calls(native: Client) -> None:
    """The name is one token; without tokens there is no call."""
    for limit in (1, 4):
        choice = native.choice(tools=[tool()], max_tokens=limit)
        arguments = choice["message"]["tool_calls"][0]["function"]["arguments"]
        assert choice["finish_reason"] == "length"
        assert FUNCTION["arguments"].startswith(arguments)
        assert arguments != FUNCTION["arguments"]
    choice = native.choice(tools=[tool()], max_tokens=0)
    assert (choice["finish_reason"], choice["message"]["tool_calls"]) == ("length", None)


def test_response_formats_are_followed(native: Client) -> None:
    """JSON mode requires the word in the messages, as OpenAI's servers do."""
    assert native.text(response_format=FORMAT) == '{"city": "city"}'
    json_mode = {"type": "json_object"}
    assert isinstance(json.loads(native.text("Speak json.", response_format=json_mode)), dict)
    assert "json" in error_of(native, response_format=json_mode)["message"]
    assert "scripted" in native.text(response_format={"type": "text"})
    assert native.post(response_format={"type": "xml"}).status_code == 422


def test_invalid_tools_are_rejected(native: Client) -> None:
    """With the place and the code of the error."""
    function = "tools[0].function"
    cases: list[tuple[Any, str, str]] = [
        ({}, "tools", "invalid_type"),
        ([], "tools", "empty_array"),
        ([3], "tools[0]", "invalid_type"),
        ([{"type": "function"}], function, "missing_required_parameter"),
        ([{"function": {}}], "tools[0].type", "missing_required_parameter"),
        ([{"type": "web", "function": {"name": "x"}}], "tools[0].type", "invalid_value"),
        ([{"type": "function", "function": "x"}], function, "invalid_type"),
        ([tool(None)], f"{function}.name", "missing_required_parameter"),
        ([tool(True)], f"{function}.name", "invalid_type"),
        ([tool(), tool("a b")], "tools[1].function.name", "invalid_value"),
        ([tool("a" * 65)], f"{function}.name", "string_above_max_length"),
        ([tool(parameters=[])], f"{function}.parameters", "invalid_type"),
        ([tool(parameters={})], f"{function}.parameters", "invalid_function_parameters"),
    ]
    for tools, param, code in cases:
        error = error_of(native, tools=tools)
        assert (error["param"], error["code"]) == (param, code)


def test_strict_schemas_are_checked(native: Client) -> None:
    """Of tools and of response formats."""
    inner = {"city": {"type": "array", "items": {"type": "object"}}}
    for schema, problem in (
        (CITY, None),
        ({**CITY, "additionalProperties": True}, "'additionalProperties' is required"),
        ({**CITY, "required": []}, "Missing 'city'"),
        ({**CITY, "properties": inner}, "In context=('properties', 'city', 'items')"),
    ):
        json_schema = {"name": "x", "schema": schema, "strict": True}
        for fields in (
            {"tools": [tool(parameters=schema, strict=True)]},
            {"response_format": {"type": "json_schema", "json_schema": json_schema}},
        ):
            if problem is None:
                assert native.post(**fields).status_code == 200
            else:
                assert problem in error_of(native, **fields)["message"]


def test_invalid_choices_and_formats_are_rejected(native: Client) -> None:
    """With the place of the error."""
    json_schema = "response_format.json_schema"
    cases: list[tuple[Json, str]] = [
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls"),
        ({"tools": [tool()], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": 3}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tools": [tool()], "tool_choice": {"function": {"name": "x"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, json_schema),
        ({"response_format": {**FORMAT, "json_schema": {"name": "x"}}}, f"{json_schema}.schema"),
        (
            {"response_format": {**FORMAT, "json_schema": {"name": "x", "schema": {}}}},
            "response_format",
        ),
    ]
    for fields, param in cases:
        assert error_of(native, **fields)["param"] == param


def test_calls_and_results_belong_together(native: Client) -> None:
    """Other messages may carry any id."""
    assistant: Json = {"role": "assistant", "content": ""}
    no_id = {"function": CALL["function"]}
    no_text = {**CALL, "function": {"name": "x", "arguments": {}}}
    cases: list[tuple[list[Json], str]] = [
        ([{"role": "tool", "content": "x", "tool_call_id": "call_1"}], "must be a response to"),
        ([{**assistant, "tool_calls": [CALL]}], "must be followed by"),
        ([{**assistant, "tool_calls": [CALL]}, QUESTION], "call_1"),
        ([{**assistant, "tool_calls": "x"}], "expected an array of objects"),
        ([{**assistant, "tool_calls": [no_id]}], "'messages[1].tool_calls[0].id'"),
        ([{**assistant, "tool_calls": [no_text]}], "expected a string, but got an object"),
    ]
    for messages, message in cases:
        assert message in error_of(native, messages=[QUESTION, *messages])["message"]
    for call_id in ("call_1", {}, []):
        messages = [{**QUESTION, "tool_call_id": call_id}]
        assert native.text(messages=messages) == native.text(QUESTION["content"])
