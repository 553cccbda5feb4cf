"""The default responder: it follows prompted tools and schemas with minimal values."""

import json
from typing import Any

import jsonschema
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator
from tests.unit_tests.emulator.conftest import Client, Json, MakeClient


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@tool
def roll_dice(sides: int) -> int:
    """Roll dice."""
    return sides


def called(answer: AIMessage) -> list[str]:
    """The names of the called tools."""
    return [call["name"] for call in answer.tool_calls]


@pytest.mark.parametrize("name", ["Phi-3-mini-4k-instruct", "Phi-4-mini-instruct"])
def test_prompted_tools_are_called(name: str) -> None:
    """The required tool, the one that the question names, or the first; once."""
    with Emulator(name) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model=name)
        tools = [get_weather, roll_dice]
        auto = model.bind_tools(tools)
        first = auto.invoke("Hello")
        assert called(first) == ["get_weather"]
        assert first.tool_calls[0]["args"] == {"city": "city"}
        assert called(auto.invoke("Please use roll_dice.")) == ["roll_dice"]
        required = model.bind_tools(tools, tool_choice="roll_dice").invoke("Hello")
        assert required.tool_calls[0]["args"] == {"sides": 1}
        result = ToolMessage("sunny", tool_call_id=first.tool_calls[0]["id"], name="get_weather")
        history = [HumanMessage("Hello"), first, result]
        assert auto.invoke(history).text == "The tool get_weather says: sunny"
        failed = result.model_copy(update={"status": "error", "content": "no such city"})
        assert "no such city" in auto.invoke([*history[:2], failed]).text
        again = model.bind_tools(tools, tool_choice="any").invoke(history)
        assert called(again) == ["roll_dice"]
        assert called(auto.invoke([*history, AIMessage("Sunny."), HumanMessage("And now?")])) == [
            "get_weather"
        ]


def test_invalid_calls_are_corrected() -> None:
    """The correction names the tool."""
    with Emulator(model_errors="no call") as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        answer = model.bind_tools([get_weather], tool_choice="any").invoke("Hello")

    assert called(answer) == ["get_weather"]
    assert len(phi.requests) == 2


class Answer(BaseModel):
    """An answer."""

    text: str
    sources: list[str]


def test_prompted_schemas_are_filled() -> None:
    """With or without tools."""
    with Emulator() as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        for method in ("json_schema", "function_calling"):
            structured = model.with_structured_output(Answer, method=method)  # type: ignore[arg-type]
            assert structured.invoke("Hello") == Answer(text="text", sources=[])
        schema = {"title": "x", "type": "object", "properties": {"answer": {"type": "string"}}}
        json_mode = model.with_structured_output(schema, method="json_mode")
        assert json_mode.invoke("Hello") == {"answer": "answer"}


SCHEMAS: list[Json] = [
    {"const": 5},
    {"enum": ["a", "b"]},
    {"type": "string", "default": "x"},
    {"type": "string", "minLength": 9},
    {"type": "string", "maxLength": 2},
    *({"type": "string", "format": name} for name in ("date", "date-time", "email", "uri")),
    {"type": "integer", "minimum": 7},
    {"type": "integer", "exclusiveMaximum": -2},
    {"type": "integer", "multipleOf": 5, "exclusiveMinimum": 5},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
    {"type": "number", "minimum": 1.5, "maximum": 1.6},
    {"type": "boolean"},
    {"type": "null"},
    {"type": ["string", "null"]},
    {"anyOf": [{"type": "null"}, {"type": "integer"}]},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {"type": "array", "items": {"type": "integer"}, "minItems": 2},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2},
    {"$ref": "#/$defs/leaf", "$defs": {"leaf": {"type": "integer"}}},
    {
        "allOf": [
            {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
                "required": ["next"],
            }
        },
    },
]


def test_generated_values_fit_their_schemas(client: Client) -> None:
    """Bounds, formats, references, branches and recursion."""
    for schema in SCHEMAS:
        described: Any = {
            "type": "object",
            "properties": {"value": {key: v for key, v in schema.items() if key != "$defs"}},
            "required": ["value"],
            "$defs": schema.get("$defs", {}),
        }
        text = client.text(f"It must fit this JSON schema:\n{json.dumps(described)}")
        jsonschema.validate(json.loads(text), described)


def test_malformed_schemas_do_no_harm(make_client: MakeClient) -> None:
    """A prompt may hold anything."""
    client = make_client("Phi-3-mini-128k-instruct")
    for schema in (
        {"type": 5, "properties": [], "required": "x"},
        {"type": "object", "properties": {"a": 3}, "required": ["a"]},
        {"type": "string", "minLength": 10**9, "maxLength": -1},
        {"type": "array", "minItems": 10**9},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"anyOf": [], "allOf": 3},
    ):
        assert client.post(f"The JSON schema: {json.dumps(schema)}").status_code == 200
    assert client.post("Tools: " + '{"a":' * 5000).status_code == 200
    assert client.post('Tools: {"name": "x", "parameters": 5}').status_code == 200
