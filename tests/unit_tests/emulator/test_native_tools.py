"""Servers that take tools and schemas as fields of the request."""

import json
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator

Json = dict[str, Any]

CITY: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ANY_FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY}}
QUESTION = {"role": "user", "content": "What is the weather in Rome?"}
CALL: Json = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'},
}


def tool(name: Any = "get_weather", parameters: Any = CITY, **more: Any) -> Json:
    """A tool as OpenAI writes it."""
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def post(phi: Emulator, **fields: Any) -> httpx.Response:
    """The reply to a question about the weather."""
    with httpx.Client(transport=phi.transport(), base_url=phi.endpoint) as client:
        headers = {"authorization": f"Bearer {phi.key}"}
        return client.post(
            "/chat/completions", json={"messages": [QUESTION], **fields}, headers=headers
        )


def choice(**fields: Any) -> Json:
    """The first choice of a server that takes tools."""
    found: Json = post(Emulator("Phi-4", tools="native"), **fields).json()["choices"][0]
    return found


def error(**fields: Any) -> Json:
    """The refusal of a server that takes tools."""
    reply = post(Emulator("Phi-4", tools="native"), **fields)
    assert 400 == reply.status_code
    assert "invalid_request_error" == reply.json()["error"]["type"]
    found: Json = reply.json()["error"]
    return found


def test_tools_are_refused_unless_the_server_takes_them() -> None:
    """As Azure does for every Phi model."""
    reply = post(Emulator("Phi-4"), tools=[tool()])
    assert (400, "Tools and tool_choice are not supported.") == (
        reply.status_code,
        reply.json()["detail"],
    )
    assert 422 == post(Emulator("Phi-4"), response_format=ANY_FORMAT).status_code
    with pytest.raises(ValueError, match="tools='yes' is unknown"):
        Emulator(tools="yes")  # type: ignore[arg-type]


def test_a_call_is_answered_on_the_wire() -> None:
    """With no content, and a finish reason of its own."""
    found = choice(tools=[tool()])
    assert "tool_calls" == found["finish_reason"]
    assert found["message"]["content"] is None
    [call] = found["message"]["tool_calls"]
    assert {"name": "get_weather", "arguments": '{"city": "Rome"}'} == call["function"]
    assert "function" == call["type"]
    assert call["id"].startswith("call_")


def test_a_call_is_streamed_in_pieces() -> None:
    """Name and id first, with empty arguments; the arguments after them."""
    text = post(Emulator("Phi-4", tools="native"), tools=[tool()], stream=True).text
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    deltas = [event["choices"][0]["delta"] for event in events]
    [first, *rest] = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert {"name": "get_weather", "arguments": ""} == first["function"]
    assert "function" == first["type"]
    assert first["id"].startswith("call_")
    assert {("index", "function")} == {tuple(piece) for piece in rest}
    assert '{"city": "Rome"}' == "".join(piece["function"]["arguments"] for piece in rest)
    assert "tool_calls" == events[-1]["choices"][0]["finish_reason"]
    assert len(rest) + 1 == events[-1]["usage"]["completion_tokens"]


@pytest.mark.parametrize(
    ("tool_choice", "called"),
    [
        ("none", None),
        ("auto", None),
        (None, None),
        ("required", "get_weather"),
        ({"type": "function", "function": {"name": "roll_dice"}}, "roll_dice"),
    ],
)
def test_the_choice_of_tools_is_honoured(tool_choice: Any, called: str | None) -> None:
    """A question that needs no tool."""
    hello = [{"role": "user", "content": "Hello!"}]
    found = choice(
        messages=hello,
        tools=[tool(), tool("roll_dice")],
        tool_choice=tool_choice,
        parallel_tool_calls=False,
    )
    calls = found["message"]["tool_calls"]
    assert called == (None if calls is None else calls[0]["function"]["name"])


def test_a_result_is_told() -> None:
    """By the name of the tool whose call it answers; all models see tool turns here."""
    turns = [
        QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ]
    phi = Emulator("Phi-3-medium-4k-instruct", tools="native")
    body = post(phi, messages=turns, tools=[tool()]).json()
    assert "The tool get_weather says: sunny" == body["choices"][0]["message"]["content"]
    bare = post(phi, messages=[QUESTION]).json()
    assert body["usage"]["prompt_tokens"] > bare["usage"]["prompt_tokens"] + 10


def test_tools_cost_tokens() -> None:
    """They are written into the prompt."""
    phi = Emulator("Phi-4", tools="native")
    costs = [
        post(phi, **fields).json()["usage"]["prompt_tokens"] for fields in ({}, {"tools": [tool()]})
    ]
    assert costs[0] + 20 < costs[1]


@pytest.mark.parametrize("limit", [1, 4])
def test_a_limit_ends_a_call(limit: int) -> None:
    """In its arguments; the name is one token."""
    found = choice(tools=[tool()], max_tokens=limit)
    assert "length" == found["finish_reason"]
    arguments = found["message"]["tool_calls"][0]["function"]["arguments"]
    assert '{"city": "Rome"}'.startswith(arguments)
    assert arguments != '{"city": "Rome"}'


def test_no_tokens_leave_no_call() -> None:
    """Not even its name."""
    found = choice(tools=[tool()], max_tokens=0)
    assert ("length", None) == (found["finish_reason"], found["message"]["tool_calls"])


def test_a_schema_is_honoured() -> None:
    """Without a word about it in the prompt."""
    assert '{"city": "Rome"}' == choice(response_format=ANY_FORMAT)["message"]["content"]


def test_json_mode_is_honoured() -> None:
    """Where the conversation speaks of JSON, as OpenAI wants it."""
    turns = [{"role": "user", "content": "Speak json."}]
    found = choice(messages=turns, response_format={"type": "json_object"})
    assert isinstance(json.loads(found["message"]["content"]), dict)
    assert "json" in error(response_format={"type": "json_object"})["message"]
    assert "scripted" in choice(response_format={"type": "text"})["message"]["content"]
    assert (
        422 == post(Emulator("Phi-4", tools="native"), response_format={"type": "xml"}).status_code
    )


@pytest.mark.parametrize(
    ("tools", "param", "code"),
    [
        ({}, "tools", "invalid_type"),
        ([], "tools", "empty_array"),
        ([3], "tools[0]", "invalid_type"),
        ([{"type": "function"}], "tools[0].function", "missing_required_parameter"),
        ([{"function": {}}], "tools[0].type", "missing_required_parameter"),
        ([{"type": "web", "function": {}}], "tools[0].type", "invalid_value"),
        ([{"type": "function", "function": "x"}], "tools[0].function", "invalid_type"),
        ([tool(None)], "tools[0].function.name", "missing_required_parameter"),
        ([tool(True)], "tools[0].function.name", "invalid_type"),
        ([tool(), tool("a b")], "tools[1].function.name", "invalid_value"),
        ([tool("a" * 65)], "tools[0].function.name", "string_above_max_length"),
        ([tool(parameters=[])], "tools[0].function.parameters", "invalid_type"),
        ([tool(parameters={})], "tools[0].function.parameters", "invalid_function_parameters"),
    ],
)
def test_broken_tools_are_refused(tools: Any, param: str, code: str) -> None:
    """With the place and the kind of the fault."""
    found = error(tools=tools)
    assert (param, code) == (found["param"], found["code"])


def test_a_tool_without_parameters_is_fine() -> None:
    """It takes none."""
    found = choice(tools=[tool("weather", None)])
    assert "{}" == found["message"]["tool_calls"][0]["function"]["arguments"]


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (CITY, None),
        ({**CITY, "additionalProperties": True}, "'additionalProperties' is required"),
        ({**CITY, "required": []}, "Missing 'city'"),
        (
            {**CITY, "properties": {"city": {"type": "array", "items": {"type": "object"}}}},
            "In context=('properties', 'city', 'items')",
        ),
    ],
)
def test_strict_schemas_are_checked(schema: Json, problem: str | None) -> None:
    """Of tools and of answers alike."""
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    for fields in ({"tools": [tool(parameters=schema, strict=True)]}, {"response_format": wanted}):
        reply = post(Emulator("Phi-4", tools="native"), **fields)
        assert (200 if problem is None else 400) == reply.status_code
        assert problem is None or problem in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls"),
        ({"tools": [tool()], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": 3}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tools": [tool()], "tool_choice": {"function": {"name": "x"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {}},
                }
            },
            "response_format",
        ),
    ],
)
def test_broken_wishes_are_refused(fields: Json, param: str) -> None:
    """With the place of the fault."""
    assert param == error(**fields)["param"]


@pytest.mark.parametrize("identity", ["call_1", {}, []])
def test_an_id_on_a_turn_that_is_no_result_means_nothing(identity: Any) -> None:
    """Whatever it is."""
    turns = [{**QUESTION, "tool_call_id": identity}]
    assert choice(messages=turns) == choice()


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([{"role": "tool", "content": "x", "tool_call_id": "call_1"}], "must be a response to"),
        ([{"role": "assistant", "content": "", "tool_calls": [CALL]}], "must be followed by"),
        ([{"role": "assistant", "content": "", "tool_calls": [CALL]}, QUESTION], "call_1"),
        ([{"role": "assistant", "content": "", "tool_calls": "x"}], "expected an array of objects"),
        (
            [{"role": "assistant", "content": "", "tool_calls": [{"function": CALL["function"]}]}],
            "'messages[1].tool_calls[0].id'",
        ),
        (
            [
                {
                    "role": "assistant",
                    "tool_calls": [{**CALL, "function": {"name": "x", "arguments": {}}}],
                }
            ],
            "expected a string, but got an object",
        ),
    ],
)
def test_broken_histories_are_refused(turns: list[Json], message: str) -> None:
    """Calls and results belong together."""
    assert message in error(messages=[QUESTION, *turns])["message"]
