"""Reads the content blocks of LangChain messages as text and wire parts."""

from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from pydantic_core import PydanticSerializationError, to_json

from langchain_azure_phi3._request.media_parts import is_media_block, media_part
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

# LangChain's v0 and v1 text blocks, OpenAI's, v1's `text-plain` and v0's text files.
_TEXT_TYPES = ("text", "text-plain", "input_text", "output_text")

# What an assistant message holds besides its text: reasoning is not sent back, and tool calls have
# a field of their own.
_NON_TEXT_OUTPUT = frozenset(
    {"reasoning", "thinking", "redacted_thinking", "reasoning_content", "refusal"}
    | {"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "function_call"}
    | {"server_tool_call", "server_tool_call_chunk", "server_tool_result", "non_standard"}
)


def text_content(message: BaseMessage, separator: str = "\n") -> str:
    """The text of a message whose wire content can only be a string.

    Raises:
        InvalidInputError: The message holds a block that is not text.
    """
    if isinstance(message.content, str):
        return message.content
    texts = []
    for block in message.content:
        text = _block_text(block)
        if text is None and not _is_non_text_output(message, block):
            raise unsupported_block(block)
        texts.append(text)
    return separator.join(text for text in texts if text)


def split_media(message: BaseMessage) -> tuple[str, list[Json]]:
    """The text of a tool's result, and its images and audio as wire parts.

    Raises:
        InvalidInputError: The result holds a block that is neither.
    """
    if isinstance(message.content, str):
        return message.content, []
    texts: list[str] = []
    media: list[Json] = []
    for block in message.content:
        if isinstance(block, dict) and is_media_block(block):
            media += _block_parts(block)
        elif (text := _block_text(block)) is None:
            raise unsupported_block(block)
        elif text:
            texts.append(text)
    return "\n".join(texts), media


def user_content(message: BaseMessage) -> str | list[Json]:
    """The content of a user message: a string where it is a single text, else a list of parts.

    Raises:
        InvalidInputError: The message holds a block that cannot be sent.
    """
    if isinstance(message.content, str):
        return message.content
    parts = [part for block in message.content for part in _block_parts(block)]
    if not parts:
        return ""
    return str(parts[0]["text"]) if len(parts) == 1 and "text" in parts[0] else parts


def with_wire_media(message: BaseMessage) -> BaseMessage:
    """The message with its images and audio as wire parts; the same object where it has none.

    Raises:
        InvalidInputError: A block cannot be sent, or its type is not a string.
    """
    if isinstance(message.content, str):
        return message
    has_media = False
    for block in message.content:
        types = (block.get("type"), block.get("source_type")) if isinstance(block, dict) else ()
        # LangChain looks both up in sets, where a list raises TypeError.
        if not all(isinstance(each, str | None) for each in types):
            raise unsupported_block(block)
        has_media = has_media or is_media_block(block)
    if not has_media:
        return message
    content = [(media_part(b) if isinstance(b, dict) else None) or b for b in message.content]
    return message.model_copy(update={"content": content})


def message_tool_calls(message: AIMessage) -> list[tuple[str | None, str, str]]:
    """Id, name and JSON arguments of the tool calls of an assistant message, invalid ones included.

    Raises:
        InvalidInputError: Arguments cannot be written as JSON.
    """
    calls = [
        (call["id"], call["name"], _arguments_json(call["name"], call["args"]))
        for call in message.tool_calls
    ]
    calls += [
        (call["id"], call["name"] or "", call["args"] or "{}")
        for call in message.invalid_tool_calls
    ]
    legacy = message.additional_kwargs.get("function_call")
    if not calls and isinstance(legacy, dict):
        calls.append((None, str(legacy.get("name", "")), str(legacy.get("arguments") or "{}")))
    return calls


def unsupported_block(block: str | dict[Any, Any]) -> InvalidInputError:
    """The error for a content block that has no place in its message."""
    name = block.get("type") if isinstance(block, dict) else type(block).__name__
    if is_media_block(block):
        return InvalidInputError(
            f"A content block of type {name!r} has no place in this message: Phi models accept "
            "images and audio from the user. Put it into a HumanMessage, or into a ToolMessage."
        )
    return InvalidInputError(
        f"A content block of type {name!r} has no place in this message. "
        "Send its text as a block of type 'text', or leave it out."
    )


def _block_parts(block: str | dict[Any, Any]) -> Iterator[Json]:
    text = _block_text(block)
    if text:  # Managed compute answers 422 to an empty text part.
        yield {"type": "text", "text": text}
    elif text is None:
        part = media_part(block) if isinstance(block, dict) else None
        if part is None:
            raise unsupported_block(block)
        yield part


def _block_text(block: str | dict[Any, Any]) -> str | None:
    """The text of a text block, or `None` for any other block."""
    if isinstance(block, str):
        return block
    text = block.get("text")
    if isinstance(text, str) and block.get("type", "text") in _TEXT_TYPES:
        return text
    return None


def _is_non_text_output(message: BaseMessage, block: str | dict[Any, Any]) -> bool:
    return (
        isinstance(message, AIMessage)
        and isinstance(block, dict)
        and str(block.get("type")) in _NON_TEXT_OUTPUT
    )


def _arguments_json(name: str, arguments: Json) -> str:
    try:
        return to_json(arguments).decode()
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"The arguments of the call of {name!r} cannot be written as JSON: {error}"
        ) from None
