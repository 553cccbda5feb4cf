"""Escapes text that a server would treat as control tokens, in the content of one message."""

import re
from typing import Any

from langchain_azure_phi3._tools.control_tokens import escape_control_tokens, escape_split_token
from langchain_azure_phi3._types import Json

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


def escape_placeholders(content: str | list[Json]) -> Any:
    """Replace `<|image_1|>` in the texts of a message by `<image_1>`."""
    if isinstance(content, str):
        return _PLACEHOLDER.sub(r"<\1>", content)
    return [
        {**part, "text": _PLACEHOLDER.sub(r"<\1>", part["text"])}
        if part["type"] == "text"
        else part
        for part in content
    ]
