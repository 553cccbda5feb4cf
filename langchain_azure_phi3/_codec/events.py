"""The events of LangChain's streaming protocol, written from the chunks of an answer."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_protocol.protocol import MessagesData

Json = dict[str, Any]

# Pieces of calls are told as "tool-call-delta" since LangChain 1.7, which says each piece once;
# before, all that is known of the call was told with each.
CURRENT = tuple(int(part) for part in VERSION.split(".")[:2]) >= (1, 7)

# What grows in a block, and what an event with a piece of it is called.
_GROWING = {
    "text": ("text", "text-delta"),
    "reasoning": ("reasoning", "reasoning-delta"),
    "tool_call_chunk": ("args", "tool-call-delta"),
}
_TEXT = ("text", 0)
_THOUGHTS = ("reasoning", 0)
_START = {"provider": "model_provider", "model": "model_name"}


@dataclass(slots=True)
class _Block:
    """A content block that is still written, and the pieces of what grows in it."""

    index: int
    content: Json
    pieces: list[str] = field(default_factory=list)


class EventWriter:
    """Tells an answer as events: `feed` it each chunk, and `finish` it.

    They are the events that LangChain makes of the same chunks itself, where a model does not:
    see `langchain_core.language_models.BaseChatModel.stream_events` with `version="v3"`. Nearly
    all chunks hold words and nothing else; those are told without looking for anything else.

    Args:
        message_id: What the message is called; empty where LangChain names it.
    """

    def __init__(self, message_id: str = "") -> None:
        self._message_id = message_id
        self._began = False
        self._blocks: dict[Any, _Block] = {}
        self._words: _Block | None = None
        self._metadata: Json = {}
        self._kept: Json = {}
        self._usage: Json = {}

    def feed(self, chunk: ChatGenerationChunk) -> "Sequence[MessagesData]":
        """The events that one chunk gives."""
        message = cast("AIMessageChunk", chunk.message)
        if chunk.generation_info:
            self._metadata.update(chunk.generation_info)
        self._metadata.update(message.response_metadata)
        words = self._words
        if (
            words is None
            or message.additional_kwargs
            or message.tool_call_chunks
            or message.usage_metadata
        ):
            return self._told(message)
        text = message.content
        if not text:
            return ()
        words.pieces.append(text)  # type: ignore[arg-type]
        return (
            {
                "event": "content-block-delta",
                "index": words.index,
                "delta": {"type": "text-delta", "text": text},  # type: ignore[typeddict-item]
            },
        )

    def _told(self, message: AIMessageChunk) -> "Sequence[MessagesData]":
        """The events of a chunk that may hold anything."""
        events = [] if self._began else [self._start(message)]
        self._began = True
        for key, value in message.additional_kwargs.items():
            self._kept[key] = self._kept.get(key, "") + value
        for position, block in enumerate(message.content_blocks):
            events += self._piece(position, cast("Json", block))
        if message.usage_metadata:
            self._usage = dict(message.usage_metadata)
        self._words = self._blocks.get(_TEXT)
        return cast("Sequence[MessagesData]", events)

    def _start(self, message: AIMessageChunk) -> Json:
        told = message.response_metadata
        found = {ours: told[theirs] for ours, theirs in _START.items() if theirs in told}
        start = {"event": "message-start", "role": "ai", "id": self._message_id}
        return {**start, "metadata": found} if found else start

    def _piece(self, position: int, block: Json) -> list[Json]:
        """A block's start, where it is new, and what was added to it."""
        kind = block["type"]
        key = block["index"] if "index" in block else (kind, position)
        grows, delta = _GROWING.get(kind, ("args", ""))
        events = []
        if (found := self._blocks.get(key)) is None:
            found = self._blocks[key] = _Block(len(self._blocks), block)
            content = {**block, grows: "" if delta else {}}
            events.append(_event("content-block-start", found.index, content=content))
        else:
            found.content |= {name: value for name, value in block.items() if value is not None}
        if delta and (piece := block[grows]):
            found.pieces.append(piece)
            told = {"type": delta, grows: piece}
            events.append(_event("content-block-delta", found.index, delta=told))
        return events

    def finish(self) -> "Sequence[MessagesData]":
        """The end of each block, and of the message; nothing, where there was no chunk."""
        if not self._began:
            return ()
        events = [
            _event("content-block-finish", block.index, content=_whole(block))
            for block in self._blocks.values()
        ]
        ends = {"usage": self._usage, "metadata": self._metadata, "additional_kwargs": self._kept}
        told = {name: value for name, value in ends.items() if value}
        events.append({"event": "message-finish", **told})
        return cast("Sequence[MessagesData]", events)


def _event(name: str, index: int, **more: Json) -> Json:
    return {"event": name, "index": index, **more}


def _whole(block: _Block) -> Json:
    content = block.content
    kind = content["type"]
    if kind not in _GROWING:
        return content
    grown = "".join(block.pieces)
    if kind != "tool_call_chunk":
        return {**content, _GROWING[kind][0]: grown}
    call = {"id": content["id"], "name": content["name"]}
    try:
        args = json.loads(grown or "{}")
    except json.JSONDecodeError:
        why = "Failed to parse tool call arguments as JSON"
        return {"type": "invalid_tool_call", **call, "args": grown, "error": why}
    return {"type": "tool_call", **{key: each or "" for key, each in call.items()}, "args": args}
