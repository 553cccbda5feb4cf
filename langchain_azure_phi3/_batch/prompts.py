"""Converts all forms of prompts in a table to LangChain messages."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    BaseMessage,
    HumanMessage,
    convert_to_messages,
    messages_from_dict,
)

from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.images import image_block


def to_messages(prompt: Any, images: Any = None) -> list[BaseMessage]:
    """Convert one row to a conversation.

    Args:
        prompt: A text; a list of `{"role", "content"}`; or LangChain messages in the form of
            `dumps` or `messages_to_dict`. The lists may be JSON as well.
        images: `None`, or the bytes or the path of an image, or a list of them. They become part
            of the last user message.

    Raises:
        InvalidInputError: There is no prompt, or it has another form.
        OSError: An image cannot be read.
    """
    messages = _parse(prompt)
    if images is None:
        return messages
    sources = images if isinstance(images, list) else [images]
    blocks: list[Any] = [image_block(source) for source in sources]
    index = next(
        (n for n in reversed(range(len(messages))) if isinstance(messages[n], HumanMessage)), None
    )
    if index is None:
        return [*messages, HumanMessage(blocks)]
    content = messages[index].content
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    messages[index] = HumanMessage([*parts, *blocks])
    return messages


def prompt_digest(prompt: Any, images: Any) -> str:
    """Return a text that is equal for equal rows, and short for large images."""
    text = json.dumps([prompt, images], default=_bytes_digest, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _bytes_digest(value: Any) -> str:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)


def _parse(prompt: Any) -> list[BaseMessage]:
    if isinstance(prompt, str) and prompt.lstrip().startswith("[{"):
        prompt = _decode(prompt)
    if isinstance(prompt, str) and prompt.strip():
        return [HumanMessage(prompt)]
    if isinstance(prompt, list) and prompt:
        return _from_list(prompt)
    raise InvalidInputError(
        "The row has no prompt. It must be a text, a list of {'role', 'content'}, or LangChain "
        "messages as JSON."
    )


def _decode(text: str) -> Any:
    """Decode a list of messages from a text; return the text itself if it is not one."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, list) and all(map(_is_message, found)) else text


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and (
        "role" in item or {"type", "data"} <= item.keys() or item.get("lc") == 1
    )


def _from_list(items: Sequence[Any]) -> list[BaseMessage]:
    if all(isinstance(item, dict) and "role" in item for item in items):
        # Arrow fills missing fields with nulls.
        given = [{key: value for key, value in item.items() if value is not None} for item in items]
        return convert_to_messages(given)
    try:
        return messages_from_dict([_to_langchain_dict(item) for item in items])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"The prompt is not a list of messages: {error!r}.") from error


def _to_langchain_dict(item: Any) -> dict[str, Any]:
    """Convert a message in the form of `dumps` to that of `messages_to_dict`.

    LangChain's `load` would create other objects than messages, which a table must not do.
    """
    if item.get("lc") == 1:
        return {"type": item["kwargs"]["type"], "data": item["kwargs"]}
    return {"type": item["type"], "data": item["data"]}
