"""Converts content blocks with calls and results to LangChain's tool calls and tool messages.

Such conversations reach a Phi when an agent switches models. Calls are blocks of an assistant
message: Anthropic's and Bedrock's `tool_use`, OpenAI's and Google's `function_call`, LangChain's
own `tool_call`. Anthropic's results are blocks of a user message (`tool_result`).
"""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from langchain_azure_phi3._request.readable_text import readable_text
from langchain_azure_phi3.errors import InvalidInputError

# The fields with the arguments and the id of a call, by block type. In streams, `input` is empty
# and `partial_json` contains the arguments.
_CALL_FIELDS = {
    "tool_use": (("partial_json", "input"), ("id",)),
    "tool_call": (("args",), ("id",)),
    "function_call": (("arguments", "args"), ("call_id", "id")),
}


def from_anthropic_blocks(message: BaseMessage) -> Iterator[BaseMessage]:
    """Yield the message with its call blocks as tool calls and its result blocks as tool messages.

    Raises:
        InvalidInputError: A result does not name its call.
    """
    if isinstance(message, AIMessage):
        yield message if _has_calls(message) else _with_calls(message)
    elif isinstance(message, HumanMessage) and any(map(_is_result, message.content)):
        for is_result, blocks in groupby(message.content, key=_is_result):
            if is_result:
                yield from map(_to_tool_message, blocks)
            else:
                yield message.model_copy(update={"content": list(blocks)})
    else:
        yield message


def _has_calls(message: AIMessage) -> bool:
    return bool(message.tool_calls or message.invalid_tool_calls)


def _with_calls(message: AIMessage) -> AIMessage:
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for block in message.content:
        call = _to_call(block)
        if call is not None and call["type"] == "tool_call":
            calls.append(call)
        elif call is not None:
            invalid.append(call)
    if not (calls or invalid):
        return message
    return message.model_copy(update={"tool_calls": calls, "invalid_tool_calls": invalid})


def _to_call(block: Any) -> ToolCall | InvalidToolCall | None:
    """Convert a block to a call; `None` for other blocks, and for calls without a name."""
    block_type = block.get("type") if isinstance(block, dict) else None
    if not isinstance(block_type, str) or block_type not in _CALL_FIELDS:
        return None
    name = block.get("name")
    if not isinstance(name, str) or not name:
        return None
    argument_keys, id_keys = _CALL_FIELDS[block_type]
    given: Any = next((block[key] for key in argument_keys if block.get(key)), {})
    call_id = next((block[key] for key in id_keys if isinstance(block.get(key), str)), None)
    arguments = _parse(given) if isinstance(given, str) else given
    if isinstance(arguments, dict):
        return tool_call(name=name, args=arguments, id=call_id)
    text = given if isinstance(given, str) else readable_text(given)
    return invalid_tool_call(name=name, args=text, id=call_id)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_result(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _to_tool_message(block: Any) -> ToolMessage:
    call_id = block.get("tool_use_id")
    if not isinstance(call_id, str):
        raise InvalidInputError("A tool_result block needs 'tool_use_id', a string.")
    content = block.get("content")
    is_list = isinstance(content, list) and all(isinstance(part, str | dict) for part in content)
    if content is None:
        content = ""
    elif not (is_list or isinstance(content, str)):
        content = readable_text(content)
    return ToolMessage(
        content,
        tool_call_id=call_id,
        status="error" if block.get("is_error") is True else "success",
    )
