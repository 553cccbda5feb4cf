"""An endpoint that does no work: fixed bytes over HTTP/1.1, from a separate process.

The first part of a path selects the response, so that one server serves every measurement:
`/complete/...` a JSON response, `/events-500/...` a stream of 500 chunks, each in a separate HTTP
chunk as servers write them, `/burst-500/...` the same bytes with a length and without HTTP chunks.
A request for `stream` on `/complete` gets a stream of one chunk. `/responses/...` has an answer in
OpenAI's Responses API for each of the messages that openaivec puts into one request.
"""

import asyncio
import json
import multiprocessing
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"[A-Z]+ /(?:(complete|events|burst|responses)(?:-(\d+))?)?")
_STREAMS = re.compile(rb'"stream": ?true')

_SHARED = {"id": "cmpl-1", "created": 1721774557, "model": "phi-3-mini-4k-instruct"}
_USAGE = {"prompt_tokens": 12, "completion_tokens": 80, "total_tokens": 92}
_TEXT = "There are about 7,000 languages in the world, spoken by people on every continent. " * 4


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _response(content_type: bytes, body: bytes, *more: bytes) -> bytes:
    head = (b"HTTP/1.1 200 OK", b"content-type: " + content_type, b"x-request-id: bench-1", *more)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


@lru_cache
def complete() -> bytes:
    """A chat completion in Azure's format."""
    message = {"role": "assistant", "content": _TEXT, "tool_calls": []}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = _json({**_SHARED, "object": "chat.completion", "choices": [choice], "usage": _USAGE})
    return _response(b"application/json", body, b"content-length: %d" % len(body))


def _event(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {**_SHARED, "object": "chat.completion.chunk", "choices": [choice], **more}
    return b"data: " + _json(chunk) + b"\n\n"


def _events(count: int) -> list[bytes]:
    first = _event({"role": "assistant", "content": ""})
    words = [_event({"content": f" word{number % 10}"}) for number in range(10)]
    last = _event({"content": ""}, "stop", usage=_USAGE)
    return [first, *(words[number % 10] for number in range(count)), last, b"data: [DONE]\n\n"]


@lru_cache
def events(count: int) -> bytes:
    """A stream of `count` chunks with text, each in a separate HTTP chunk."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in _events(count))
    return _response(b"text/event-stream", body + b"0\r\n\r\n", b"transfer-encoding: chunked")


@lru_cache
def burst(count: int) -> bytes:
    """The same stream in one write."""
    body = b"".join(_events(count))
    return _response(b"text/event-stream", body, b"content-length: %d" % len(body))


def responses(request: bytes) -> bytes:
    """A text for each message of a request, in the form that openaivec asks for."""
    messages = json.loads(json.loads(request)["input"])["user_messages"]
    answers = [{"id": message["id"], "body": _TEXT} for message in messages]
    text = json.dumps({"assistant_messages": answers})
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "msg-1", "role": "assistant", "status": "completed"}
    body = _json(
        {
            "id": "resp-1",
            "object": "response",
            "created_at": _SHARED["created"],
            "model": _SHARED["model"],
            "status": "completed",
            "output": [{**message, "content": content}],
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
        }
    )
    return _response(b"application/json", body, b"content-length: %d" % len(body))


class _Connection(asyncio.Protocol):
    """A connection, kept alive until the client closes it."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the responses."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Respond to each complete request."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._received, 0, end)
            size = end + 4 + (int(length[1]) if length is not None else 0)
            if len(self._received) < size:
                return
            request = bytes(self._received[:size])
            del self._received[:size]
            if self._transport is not None:
                self._transport.write(_reply(request, end))


def _reply(request: bytes, end: int) -> bytes:
    target = _TARGET.match(request)
    route, count = (target[1], int(target[2] or 1)) if target is not None else (None, 1)
    if route == b"responses":
        return responses(request[end:])
    if route == b"burst":
        return burst(count)
    if route == b"events" or _STREAMS.search(request, end) is not None:
        return events(count)
    return complete()


async def _serve(started: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(
        _Connection, "127.0.0.1", 0, backlog=1024
    )
    started.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _run(started: Connection) -> None:
    asyncio.run(_serve(started))


@contextmanager
def serving() -> Iterator[str]:
    """Run the server in a separate process, and yield its URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()
