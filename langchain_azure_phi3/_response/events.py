"""Writes a response's chunks as the events of LangChain's streaming protocol (version v3)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.version import VERSION

from langchain_azure_phi3._types import Json

MATCHES_LANGCHAIN = not VERSION.startswith("1.6.")
"""Whether the installed langchain-core has these events; 1.6 has different ones for tool calls."""

# The field of a block that grows, and the type of the event that adds to it.
_DELTAS = {
    "text": ("text", "text-delta"),
    "reasoning": ("reasoning", "reasoning-delta"),
    "tool_call_chunk": ("args", "tool-call-delta"),
}
_TEXT_KEY = ("text", 0)
_START_METADATA = {"provider": "model_provider", "model": "model_name"}


@dataclass(slots=True)
class _Block:
    """A content block that is still incomplete, and its pieces."""

    index: int
    content: Json
    pieces: list[str] = field(default_factory=list)


class EventWriter:
    """Converts chunks to events: call `feed` with each chunk, then `finish`.

    The events are those that LangChain would create from the same chunks for
    `stream_events(version="v3")`, with one exception: a call whose arguments are JSON but not an
    object is an invalid call, as everywhere else, where LangChain's own conversion raises a
    ValidationError.

    Nearly all chunks contain only text, and take a fast path. Others are split into blocks by
    `content_blocks`.

    Args:
        message_id: The id of the message; empty to leave it to LangChain.
    """

    def __init__(self, message_id: str = "") -> None:
        self._message_id = message_id
        self._has_begun = False
        self._blocks: dict[Any, _Block] = {}
        self._text_block: _Block | None = None
        self._metadata: Json = {}
        self._additional_kwargs: Json = {}
        self._usage: Json = {}

    def feed(self, chunk: ChatGenerationChunk) -> Sequence[Json]:
        """Return the events of one chunk."""
        message = cast("AIMessageChunk", chunk.message)
        if chunk.generation_info:
            self._metadata.update(chunk.generation_info)
        self._metadata.update(message.response_metadata)
        block, text = self._text_block, message.content
        if (
            block is None
            or not isinstance(text, str)
            or message.additional_kwargs
            or message.tool_call_chunks
            or message.usage_metadata
        ):
            return self._message_events(message)
        if not text:
            return ()
        block.pieces.append(text)
        delta = {"type": "text-delta", "text": text}
        return ({"event": "content-block-delta", "index": block.index, "delta": delta},)

    def finish(self) -> Sequence[Json]:
        """Return the end of each block and of the message; nothing if there was no chunk."""
        if not self._has_begun:
            return ()
        events = [
            _event("finish", each, content=_complete_block(each)) for each in self._blocks.values()
        ]
        fields = {
            "usage": self._usage,
            "metadata": self._metadata,
            "additional_kwargs": self._additional_kwargs,
        }
        given = {name: value for name, value in fields.items() if value}
        return [*events, {"event": "message-finish", **given}]

    def _message_events(self, message: AIMessageChunk) -> list[Json]:
        """Return the events of a chunk with any content."""
        events = [] if self._has_begun else [self._start_event(message)]
        self._has_begun = True
        for key, value in message.additional_kwargs.items():
            known = self._additional_kwargs.get(key, "")
            self._additional_kwargs[key] = known + value if isinstance(value, str) else value
        for position, block in enumerate(message.content_blocks):
            events += self._block_events(position, dict(block))
        if message.usage_metadata:
            self._usage = dict(message.usage_metadata)
        self._text_block = self._blocks.get(_TEXT_KEY)
        return events

    def _start_event(self, message: AIMessageChunk) -> Json:
        metadata = message.response_metadata
        event: Json = {"event": "message-start", "role": "ai", "id": self._message_id}
        found = {name: metadata[key] for name, key in _START_METADATA.items() if key in metadata}
        return {**event, "metadata": found} if found else event

    def _block_events(self, position: int, block: Json) -> list[Json]:
        """Return the event that starts a block, if it is new, and the one that adds to it."""
        block_type = block["type"]
        growing, delta_type = _DELTAS.get(block_type, (None, ""))
        key = block.get("index", (block_type, position))
        events = []
        if (known := self._blocks.get(key)) is None:
            known = self._blocks[key] = _Block(len(self._blocks), block)
            empty = {} if growing is None else {growing: ""}
            events.append(_event("start", known, content={**block, **empty}))
        else:
            known.content |= {name: value for name, value in block.items() if value is not None}
        if growing is not None and (piece := block[growing]):
            known.pieces.append(piece)
            events.append(_event("delta", known, delta={"type": delta_type, growing: piece}))
        return events


def _event(name: str, block: _Block, **fields: Json) -> Json:
    return {"event": f"content-block-{name}", "index": block.index, **fields}


def _complete_block(block: _Block) -> Json:
    content, value = block.content, "".join(block.pieces)
    match content["type"]:
        case "text" | "reasoning" as key:
            return {**content, key: value}
        case "tool_call_chunk":
            return _tool_call(content["id"], content["name"], value)
    return content


def _tool_call(call_id: str | None, name: str | None, args: str) -> Json:
    try:
        arguments = json.loads(args or "{}")
    except (json.JSONDecodeError, RecursionError):
        error = "Failed to parse tool call arguments as JSON"
    else:
        if isinstance(arguments, dict):
            return {"type": "tool_call", "id": call_id or "", "name": name or "", "args": arguments}
        error = "Tool call arguments are not a JSON object"
    return {
        "type": "invalid_tool_call",
        "id": call_id,
        "name": name,
        "args": args,
        "error": error,
    }
