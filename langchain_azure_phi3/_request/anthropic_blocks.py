"""Anthropic's blocks for calls and results, as the messages that LangChain has for them.

Histories in that form reach a Phi when an agent changes its model half-way: calls are blocks of
an assistant turn there (`tool_use`), results blocks of a user turn (`tool_result`).
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall, tool_call

from langchain_azure_phi3.errors import InvalidInputError


def translated(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The conversation with its `tool_use` and `tool_result` blocks as calls and tool messages.

    Raises:
        InvalidInputError: Such a block lacks what it must have.
    """
    return [told for message in messages for told in _told(message)]


def _told(message: BaseMessage) -> Iterator[BaseMessage]:
    if isinstance(message.content, str):
        yield message
    elif isinstance(message, AIMessage) and not message.tool_calls:
        calls = [_call(block) for block in message.content if _is(block, "tool_use")]
        yield message.model_copy(update={"tool_calls": calls}) if calls else message
    elif isinstance(message, HumanMessage) and any(_is(b, "tool_result") for b in message.content):
        for is_result, blocks in groupby(message.content, key=lambda b: _is(b, "tool_result")):
            if is_result:
                yield from (_result(block) for block in blocks)
            else:
                yield message.model_copy(update={"content": list(blocks)})
    else:
        yield message


def _is(block: Any, kind: str) -> bool:
    return isinstance(block, dict) and block.get("type") == kind


def _call(block: Any) -> ToolCall:
    name, given = block.get("name"), block.get("input", {})
    if not isinstance(name, str) or not isinstance(given, dict):
        raise InvalidInputError("A tool_use block needs a 'name', and an 'input' that is a dict.")
    return tool_call(name=name, args=given, id=_identity(block, "id"))


def _result(block: Any) -> ToolMessage:
    content = block.get("content") or ""
    listed = isinstance(content, list) and all(isinstance(part, str | dict) for part in content)
    if not (listed or isinstance(content, str)):
        raise InvalidInputError("A tool_result's 'content' is a text or a list of blocks.")
    return ToolMessage(
        content,
        tool_call_id=_identity(block, "tool_use_id"),
        status="error" if block.get("is_error") is True else "success",
    )


def _identity(block: Any, key: str) -> str:
    identity = block.get(key)
    if not isinstance(identity, str):
        raise InvalidInputError(f"A {block['type']} block needs {key!r}, a text.")
    return identity
