"""An answer's chunks as the events of LangChain's streaming protocol."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.version import VERSION

from langchain_azure_phi3._types import Json

# Since LangChain 1.7 a piece of a call is told once ("tool-call-delta"); before, each piece came
# with all that was known of the call.
CURRENT = tuple(int(part) for part in VERSION.split(".")[:2]) >= (1, 7)

# What grows in a block, and what an event with a piece of it is called.
_GROWING = {
    "text": ("text", "text-delta"),
    "reasoning": ("reasoning", "reasoning-delta"),
    "tool_call_chunk": ("args", "tool-call-delta"),
}
_WORDS = ("text", 0)
_START = {"provider": "model_provider", "model": "model_name"}


@dataclass(slots=True)
class _Block:
    """A content block that is still written, and the pieces of what grows in it."""

    index: int
    content: Json
    pieces: list[str] = field(default_factory=list)


class EventWriter:
    """Tells an answer as events: `feed` it each chunk, then `finish` it.

    They are the events that LangChain would make of the same chunks for
    `stream_events(version="v3")`, but that a call whose arguments are JSON and no object is an
    invalid one, as everywhere else: LangChain's own end in a ValidationError.

    Nearly all chunks hold words and nothing else; these are told without looking for more. Others
    are taken apart as `content_blocks` does it.

    Args:
        message_id: What the message is called; empty where that is left to LangChain.
    """

    def __init__(self, message_id: str = "") -> None:
        self._message_id = message_id
        self._began = False
        self._blocks: dict[Any, _Block] = {}
        self._words: _Block | None = None
        self._metadata: Json = {}
        self._kept: Json = {}
        self._usage: Json = {}

    def feed(self, chunk: ChatGenerationChunk) -> Sequence[Json]:
        """The events that one chunk gives."""
        message = cast("AIMessageChunk", chunk.message)
        if chunk.generation_info:
            self._metadata.update(chunk.generation_info)
        self._metadata.update(message.response_metadata)
        words, text = self._words, message.content
        if (
            words is None
            or not isinstance(text, str)
            or message.additional_kwargs
            or message.tool_call_chunks
            or message.usage_metadata
        ):
            return self._told(message)
        if not text:
            return ()
        words.pieces.append(text)
        told = {"type": "text-delta", "text": text}
        return ({"event": "content-block-delta", "index": words.index, "delta": told},)

    def _told(self, message: AIMessageChunk) -> list[Json]:
        """The events of a chunk that may hold anything."""
        events = [] if self._began else [self._start(message)]
        self._began = True
        for key, value in message.additional_kwargs.items():
            texts = isinstance(value, str)
            self._kept[key] = self._kept.get(key, "") + value if texts else value
        for position, block in enumerate(message.content_blocks):
            events += self._piece(position, dict(block))
        if message.usage_metadata:
            self._usage = dict(message.usage_metadata)
        self._words = self._blocks.get(_WORDS)
        return events

    def _start(self, message: AIMessageChunk) -> Json:
        told = message.response_metadata
        start: Json = {"event": "message-start", "role": "ai", "id": self._message_id}
        if found := {ours: told[theirs] for ours, theirs in _START.items() if theirs in told}:
            start["metadata"] = found
        return start

    def _piece(self, position: int, block: Json) -> list[Json]:
        """A block's start, where it is new, and what was added to it."""
        kind = block["type"]
        grows, delta = _GROWING.get(kind, (None, ""))
        key = block.get("index", (kind, position))
        events = []
        if (found := self._blocks.get(key)) is None:
            found = self._blocks[key] = _Block(len(self._blocks), block)
            empty = {} if grows is None else {grows: ""}
            events.append(_event("start", found, content={**block, **empty}))
        else:
            found.content |= {name: value for name, value in block.items() if value is not None}
        if grows is not None and (piece := block[grows]):
            found.pieces.append(piece)
            events.append(_event("delta", found, delta={"type": delta, grows: piece}))
        return events

    def finish(self) -> Sequence[Json]:
        """The end of each block, and of the message; nothing, where there was no chunk."""
        if not self._began:
            return ()
        events = [_event("finish", each, content=_whole(each)) for each in self._blocks.values()]
        ends = {"usage": self._usage, "metadata": self._metadata, "additional_kwargs": self._kept}
        last = {name: value for name, value in ends.items() if value}
        return [*events, {"event": "message-finish", **last}]


def _event(name: str, block: _Block, **more: Json) -> Json:
    return {"event": f"content-block-{name}", "index": block.index, **more}


def _whole(block: _Block) -> Json:
    content, grown = block.content, "".join(block.pieces)
    match content["type"]:
        case "text" | "reasoning" as kind:
            return {**content, kind: grown}
        case "tool_call_chunk":
            return _call(content["id"], content["name"], grown)
    return content


def _call(identity: str | None, name: str | None, args: str) -> Json:
    try:
        found = json.loads(args or "{}")
    except json.JSONDecodeError:
        why = "Failed to parse tool call arguments as JSON"
    else:
        if isinstance(found, dict):
            return {"type": "tool_call", "id": identity or "", "name": name or "", "args": found}
        why = "Tool call arguments are no JSON object"
    told = {"id": identity, "name": name, "args": args}
    return {"type": "invalid_tool_call", **told, "error": why}
