"""Escapes text that a server would treat as control tokens, in the content of one message."""

import re

from langchain_azure_phi3._tools.control_tokens import (
    escape_control_tokens,
    escape_split_token,
    escape_strings,
)
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.models import PhiModel

# The processors of the vision models insert these for an image or audio. In the text of a user, or
# of a document that a tool found, one would refer to an image that does not exist.
_PLACEHOLDER = re.compile(r"<\|((?:image|audio)_[0-9]+)\|>")


def escape_parts(parts: list[Json]) -> list[Json]:
    """Escape control tokens in the parts of a message, also across two neighbors."""
    escaped = []
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if part["type"] == "text":
            text = escape_control_tokens(part["text"])
            if following is not None and following["type"] == "text":
                text = escape_split_token(text)
            part = {**part, "text": text}
        escaped.append(part)
    return escaped


def may_take_media(model: PhiModel | None) -> bool:
    """Whether a deployment may replace placeholders with images or audio; an unknown one may."""
    return model is None or model.modalities != ("text",)


def escape_placeholders(text: str) -> str:
    """Replace `<|image_1|>` in a text by `<image_1>`."""
    return _PLACEHOLDER.sub(r"<\1>", text)


def escape_message_placeholders(wire: Json) -> Json:
    """Escape the placeholders in the texts and tool calls of a wire message."""
    content = wire["content"]
    if isinstance(content, str):
        content = _PLACEHOLDER.sub(r"<\1>", content)
    else:
        content = [
            {**part, "text": escape_placeholders(part["text"])} if part["type"] == "text" else part
            for part in content
        ]
    escaped = {**wire, "content": content}
    for name in ("name", "tool_calls"):
        if name in wire:
            escaped[name] = escape_strings(wire[name], escape_placeholders)
    return escaped
