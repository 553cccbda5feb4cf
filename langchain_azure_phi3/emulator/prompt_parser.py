"""Find the tools, schema and tool results in a prompt: in the request's fields or in its text."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.conversation import Message, Prompt
from langchain_azure_phi3.emulator.wire import is_deep

_REQUIRED = re.compile(r"\bmust call (?:the tool )?([\w-]+)")
_CORRECTION = re.compile(r"^That cannot be used\.", re.M)
_RESULT = re.compile(
    r"^(?:Result of the tool ([\w-]+)|The tool ([\w-]+) failed)(?:, without any text\.|:\n)", re.M
)
_MAX_FAILURES = 1000  # each may take as long as the text
_SCHEMA_DISTANCE = 50  # the characters that `_SCHEMA` needs
_SCHEMA = re.compile(r"\bschema\b[^{]{0,40}$", re.I)
_JSON_ONLY = re.compile(r"\bJSON object only\b|\b(?:as|in|only) (?:an? |valid )?JSON\b", re.I)
_ANY_OBJECT: Json = {"properties": {"answer": {"type": "string"}}, "required": ["answer"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """The instructions in a prompt."""

    tools: Mapping[str, Json] = field(default_factory=dict)  # names and parameters
    required: bool = False  # the response must be a tool call
    tool_name: str | None = None  # the tool that must be called
    call_format: Literal["native", "tagged", "plain"] = "plain"
    schema: Json | None = None  # of the response, if it must be JSON
    results: tuple[tuple[str, str], ...] = ()  # names and texts since the last question


def parse_instructions(prompt: Prompt) -> Instructions:
    """Parse the instructions in a prompt. The request's fields take precedence over its text."""
    return _parse_fields(prompt.parameters, _parse_text(prompt.messages))


def find_json_objects(text: str) -> Iterator[tuple[str, Json]]:
    """Yield the outermost JSON objects in a text, each with the end of the text before it."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    failures = 0
    while start >= 0 and failures < _MAX_FAILURES:
        try:
            value, end = decoder.raw_decode(text, start)
        except RecursionError:
            return
        except ValueError:
            end = start + 1
            failures += 1
        else:
            if not is_deep(value):
                yield text[max(0, start - _SCHEMA_DISTANCE) : start], value
        start = text.find("{", end)


def _parse_text(messages: Sequence[Message]) -> Instructions:
    texts = [message.text for message in messages if message.role in ("system", "user")]
    prompts = [text[: found.start()] if (found := _RESULT.search(text)) else text for text in texts]
    objects = [found for text in prompts for found in find_json_objects(text)]
    tools = _parse_tools(value for _, value in objects)
    schemas = [value for before, value in objects if _SCHEMA.search(before) is not None]
    if len(schemas) == 0 and len(tools) == 0 and any(map(_JSON_ONLY.search, prompts)):
        schemas = [_ANY_OBJECT]
    required = [found[1] for text in prompts for found in _REQUIRED.finditer(text)]
    if len(texts) > 0 and _CORRECTION.search(texts[-1]) and "corrected call" in texts[-1]:
        required += ["", *(str(value.get("name")) for _, value in find_json_objects(texts[-1]))]
    return Instructions(
        tools=tools,
        required=len(tools) > 0 and len(required) > 0,
        tool_name=next((name for name in reversed(required) if name in tools), None),
        call_format="tagged" if any("<|tool_call|>" in text for text in texts) else "plain",
        schema=schemas[-1] if len(schemas) > 0 else None,
        results=tuple(_parse_results(messages)),
    )


def _parse_tools(values: Any) -> dict[str, Json]:
    tools = {}
    for value in values:
        function = value.get("function", value)
        if not isinstance(function, dict) or "name" not in function:
            continue
        parameters = function.get("parameters")
        if parameters is None and function is not value:  # optional in OpenAI's format
            parameters = {}
        if isinstance(parameters, dict):
            tools[str(function["name"])] = parameters
    return tools


def _parse_results(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    start = 0
    for index, message in enumerate(messages):
        is_reply = _RESULT.match(message.text) or _CORRECTION.match(message.text)
        start = index if message.role == "user" and not is_reply else start
    for message in messages[start:]:
        if message.tool_name is not None:
            yield message.tool_name, message.text
        elif message.role == "user":
            _, *fields = _RESULT.split(message.text)
            for name, failed, text in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
                yield name or failed, text.strip()


def _parse_fields(fields: Mapping[str, Any], found: Instructions) -> Instructions:
    choice: Any = fields.get("tool_choice")
    if fields.get("tools") and choice != "none":
        found = replace(
            found,
            tools=_parse_tools(fields["tools"]),
            required=isinstance(choice, dict) or choice == "required",
            tool_name=choice["function"]["name"] if isinstance(choice, dict) else None,
            call_format="native",
        )
    response_format = fields.get("response_format") or {}
    schema = _ANY_OBJECT if response_format.get("type") == "json_object" else found.schema
    if response_format.get("type") == "json_schema":
        schema = response_format["json_schema"]["schema"]
    return replace(found, schema=schema)
