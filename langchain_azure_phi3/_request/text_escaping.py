"""Escapes what a server would take for control tokens, in the content of one message."""

import re
from typing import Any

from langchain_azure_phi3._tools.control_tokens import escape_control_tokens, escape_split_token
from langchain_azure_phi3._types import Json

# The processors of the vision models insert these where an image or audio belongs. In the text of
# a user, or of a document that a tool found, one would claim an image that is not there.
_PLACEHOLDER = re.compile(r"<\|((?:image|audio)_[0-9]+)\|>")


def escape_parts(parts: list[Json]) -> list[Json]:
    """The parts of a message without control tokens, within one text or across two neighbors."""
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
    """Return the content of a message with `<|image_1|>` in its texts as `<image_1>`."""
    if isinstance(content, str):
        return _PLACEHOLDER.sub(r"<\1>", content)
    return [
        {**part, "text": _PLACEHOLDER.sub(r"<\1>", part["text"])}
        if part["type"] == "text"
        else part
        for part in content
    ]
