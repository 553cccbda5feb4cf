"""Converts Anthropic's blocks for tool calls and results to LangChain's messages for them.

Histories in that form reach a Phi when an agent changes its model half-way: calls are blocks of
an assistant message there (`tool_use`), results blocks of a user message (`tool_result`).
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall, tool_call

from langchain_azure_phi3.errors import InvalidInputError


def from_anthropic_blocks(message: BaseMessage) -> Iterator[BaseMessage]:
    """The message with its `tool_use` and `tool_result` blocks as calls and tool messages.

    Raises:
        InvalidInputError: Such a block lacks a required field.
    """
    if isinstance(message, AIMessage) and not message.tool_calls:
        calls = [_to_call(block) for block in message.content if _is_type(block, "tool_use")]
        yield message.model_copy(update={"tool_calls": calls}) if calls else message
    elif isinstance(message, HumanMessage) and any(map(_is_result, message.content)):
        for is_result, blocks in groupby(message.content, key=_is_result):
            if is_result:
                yield from map(_to_tool_message, blocks)
            else:
                yield message.model_copy(update={"content": list(blocks)})
    else:
        yield message


def _is_type(block: Any, name: str) -> bool:
    return isinstance(block, dict) and block.get("type") == name


def _is_result(block: Any) -> bool:
    return _is_type(block, "tool_result")


def _to_call(block: Any) -> ToolCall:
    name, arguments = block.get("name"), block.get("input", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise InvalidInputError("A tool_use block needs a 'name', and an 'input' that is a dict.")
    return tool_call(name=name, args=arguments, id=_required_id(block, "id"))


def _to_tool_message(block: Any) -> ToolMessage:
    content = block.get("content") or ""
    is_list = isinstance(content, list) and all(isinstance(part, str | dict) for part in content)
    if not (is_list or isinstance(content, str)):
        raise InvalidInputError("A tool_result's 'content' is a text or a list of blocks.")
    return ToolMessage(
        content,
        tool_call_id=_required_id(block, "tool_use_id"),
        status="error" if block.get("is_error") is True else "success",
    )


def _required_id(block: Any, key: str) -> str:
    found = block.get(key)
    if not isinstance(found, str):
        raise InvalidInputError(f"A {block['type']} block needs {key!r}, a string.")
    return found
