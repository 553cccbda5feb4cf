"""Reads the content blocks of LangChain messages as text and wire parts."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, ToolMessage
from pydantic_core import PydanticSerializationError, to_json

from langchain_azure_phi3._request.media_parts import is_media_block, media_part
from langchain_azure_phi3._request.readable_text import readable_text
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

# LangChain's v0 and v1 text blocks, OpenAI's, v1's `text-plain` and v0's text files.
_ASSISTANT_ROLES = ("assistant", "ai")
_TEXT_TYPES = ("text", "text-plain", "input_text", "output_text")


def text_content(message: BaseMessage) -> str:
    """Return the text of a message whose content must be a string on the wire.

    Raises:
        InvalidInputError: The message contains a block that is not text.
    """
    if isinstance(message.content, str):
        return message.content
    texts = []
    for block in message.content:
        text = _block_text(block)
        if text is None:
            raise unsupported_block(block)
        texts.append(text)
    return "\n".join(filter(None, texts))


def assistant_text(message: BaseMessage) -> str:
    """Return the text of an assistant message, without other providers' blocks.

    A Phi cannot use reasoning, citations, searches and code that ran on a provider's servers, and
    tool calls have a separate field.

    Raises:
        InvalidInputError: It contains an image or audio from a user.
    """
    if isinstance(message.content, str):
        return message.content
    return "".join(filter(None, map(_block_text, _without_files(message))))


def split_media(
    message: BaseMessage, is_accepted: Callable[[Json], bool] = lambda _: True
) -> tuple[str, list[Json]]:
    """Split a tool's result into its text, and its images and audio as wire parts.

    Blocks that cannot be sent become readable text, because an agent cannot change a tool's result.

    Args:
        message: The result.
        is_accepted: Whether the model accepts an image or audio, given its wire part.
    """
    if isinstance(message.content, str):
        return _without_surrogates(message.content), []
    texts: list[str] = []
    media: list[Json] = []
    for block in message.content:
        part = _result_media(block)
        if part is not None and is_accepted(part):
            media.append(part)
        else:
            text = _block_text(block)
            texts.append(readable_text(block) if text is None else text)
    return _without_surrogates("\n".join(filter(None, texts))), media


def user_content(message: BaseMessage) -> str | list[Json]:
    """Return the content of a user message: a string if it is only text, else a list of parts.

    Raises:
        InvalidInputError: The message contains a block that cannot be sent.
    """
    if isinstance(message.content, str):
        return message.content
    parts = [part for block in message.content for part in _block_parts(block)]
    if not parts:
        return ""
    return str(parts[0]["text"]) if len(parts) == 1 and "text" in parts[0] else parts


def with_wire_media(message: BaseMessage) -> BaseMessage:
    """Convert the images and audio of a message to wire parts; return the same object if none.

    Blocks of tool results that cannot be sent become text, and an assistant's files are left out:
    LangChain's tracing reads both, and would raise its own errors.

    Raises:
        InvalidInputError: A block of another message cannot be sent, or its type is not a string.
    """
    if isinstance(message.content, str):
        return message
    if isinstance(message, AIMessage) or getattr(message, "role", "") in _ASSISTANT_ROLES:
        return _with_content(message, _without_files(message))
    if isinstance(message, ToolMessage | FunctionMessage):
        return _with_content(message, list(map(_result_block, message.content)))
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
    return _with_content(message, content)


def _with_content(message: BaseMessage, content: list[str | Json]) -> BaseMessage:
    return (
        message if content == message.content else message.model_copy(update={"content": content})
    )


def message_tool_calls(message: AIMessage) -> list[tuple[str | None, str, str]]:
    """Return id, name and JSON arguments of a message's tool calls, invalid ones included.

    Raises:
        InvalidInputError: Arguments cannot be written as JSON.
    """
    calls = [
        (call["id"], call["name"], _arguments_json(call["name"], call["args"]))
        for call in message.tool_calls
    ]
    calls += [
        (call["id"], call["name"] or "", _plain_json(call["args"] or "{}"))
        for call in message.invalid_tool_calls
    ]
    legacy = message.additional_kwargs.get("function_call")
    if not calls and isinstance(legacy, dict):
        calls.append((None, str(legacy.get("name", "")), str(legacy.get("arguments") or "{}")))
    return calls


def unsupported_block(block: str | dict[Any, Any]) -> InvalidInputError:
    """Return the error for a content block that is not allowed in its message."""
    name = block.get("type") if isinstance(block, dict) else type(block).__name__
    if is_media_block(block):
        return InvalidInputError(
            f"A content block of type {name!r} is not allowed in this message. Phi models accept "
            "images and audio from the user: put it into a HumanMessage, or into a ToolMessage."
        )
    if name == "text":
        return InvalidInputError("A content block of type 'text' has no text. Put it in 'text'.")
    if isinstance(block, dict) and _is_pdf(block):
        return InvalidInputError(
            "Phi models do not read PDF files. Send the text of the file, or its pages as images."
        )
    return InvalidInputError(
        f"A content block of type {name!r} is not allowed in this message. "
        "Send its text as a block of type 'text', or leave it out."
    )


def _is_pdf(block: dict[Any, Any]) -> bool:
    source = block.get("source")
    types = (block.get("mime_type"), source.get("media_type") if isinstance(source, dict) else None)
    return "application/pdf" in types or block.get("type") == "document"


def _block_parts(block: str | dict[Any, Any]) -> Iterator[Json]:
    text = _block_text(block)
    if text:  # Managed compute returns 422 for an empty text part.
        yield {"type": "text", "text": text}
    elif text is None:
        part = media_part(block) if isinstance(block, dict) else None
        if part is None:
            raise unsupported_block(block)
        yield part


def _block_text(block: str | dict[Any, Any]) -> str | None:
    """Return the text of a text block, or `None` for any other block."""
    if isinstance(block, str):
        return block
    text = block.get("text")
    if isinstance(text, str) and block.get("type", "text") in _TEXT_TYPES:
        return text
    return None


def _without_files(message: BaseMessage) -> list[str | Json]:
    """Return the blocks of an assistant message without media and files that a model generated.

    Messages of models have metadata. If there is none, images and audio are from a user.
    """
    kept: list[str | Json] = []
    for block in message.content:
        if not _is_file(block):
            kept.append(block)
        elif is_media_block(block) and not message.response_metadata:
            raise unsupported_block(block)
    return kept


def _is_file(block: str | dict[Any, Any]) -> bool:
    """Whether LangChain's tracing would read a block, or fail on its type."""
    if isinstance(block, str):
        return False
    types = block.get("type"), block.get("source_type")
    has_text_types = all(isinstance(each, str | None) for each in types)
    return not has_text_types or block.get("type") == "file" or is_media_block(block)


def _result_block(block: str | Json) -> str | Json:
    """Convert a block of a tool's result to a text block or a wire part."""
    part = _result_media(block)
    if part is not None or _block_text(block) is not None:
        return part or block
    return {"type": "text", "text": readable_text(block)}


def _result_media(block: str | Json) -> Json | None:
    """Convert an image or audio of a tool's result to a wire part; `None` if it is not usable."""
    if isinstance(block, str):
        return None
    block = _unwrap(block)
    try:
        return media_part(block) if is_media_block(block) else None
    except (InvalidInputError, ValueError):
        return None


def _unwrap(block: Json) -> Json:
    """Unwrap a block from LangChain's `non_standard`, an MCP resource, or Bedrock's `image`."""
    value, resource, image = (block.get(key) for key in ("value", "resource", "image"))
    if block.get("type") == "non_standard" and isinstance(value, dict):
        return _unwrap(value)
    if block.get("type") == "resource" and isinstance(resource, dict):
        mime, data = resource.get("mimeType"), resource.get("blob")
        return {"type": "file", "mime_type": mime, "base64": data} if data else block
    if len(block) == 1 and isinstance(image, dict) and isinstance(image.get("source"), dict):
        return {"type": "image", "data": image["source"].get("bytes")}
    return block


def _without_surrogates(text: str) -> str:
    """Replace lone surrogates, which file names on Linux may contain, by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _plain_json(text: str) -> str:
    """Write JSON without escaped characters; return text that is not JSON unchanged.

    Chat templates parse arguments, so an escaped character could form a control token there.
    """
    if "\\u" not in text:
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _arguments_json(name: str, arguments: Json) -> str:
    try:
        return to_json(arguments).decode()
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"The arguments of the call of {name!r} cannot be written as JSON: {error}"
        ) from None
