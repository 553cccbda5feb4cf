"""Streamed responses: bytes in, JSON objects out, or an error."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator

from langchain_azure_phi3._http.error_mapping import (
    find_choice_error,
    is_error,
    map_error_body,
    parse_completion,
    without_choice_errors,
)
from langchain_azure_phi3._http.json_body import JsonBody
from langchain_azure_phi3._http.json_codec import EventDecoder, decode, iter_values
from langchain_azure_phi3._http.sse import Event, EventParser
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import AzurePhi3Error, InterruptedStreamError, InvalidResponseError

_DONE = b"[DONE]"
_REPORTED = "The stream reported an error"
# How a body begins that is not an event stream: a complete JSON response from a server that ignores
# `stream` (managed-compute server 0.1.8), or the web page of a proxy.
_NOT_EVENTS = b'{[<"'
_FIELDS = (b"data", b"event", b"id", b"retry", b":")
_LEADING_SPACE = 1024
_SHOWN = 200


class StreamDecoder:
    """Bytes of a successful response in, completion chunks out.

    `done` turns true at `[DONE]`: nothing after it counts.
    """

    def __init__(self, info: ResponseInfo) -> None:
        self.done = False
        self._info = info
        self._parser = EventParser()
        self._decoder = EventDecoder()
        self._undecided: bytes | None = b""
        self._head = b""
        self._body: JsonBody | None = None
        self._is_chunked = True  # a body of JSON may also be one complete response
        self._seen = self._finished = False
        self._failure: AzurePhi3Error | None = None

    def feed(self, chunk: bytes) -> Iterator[Json]:
        """The objects that `chunk` completes; what came before a failure is given first.

        Raises:
            AzurePhi3Error: The stream reports a failure, or holds what is no JSON object.
        """
        if len(self._head) < _SHOWN:
            self._head += chunk[: _SHOWN - len(self._head)]
        if self._undecided is not None:
            chunk = self._decided(self._undecided + chunk)
        if self._body is None:
            yield from self._objects(self._parser.feed(chunk))
        else:
            yield from self._lines(self._body.feed(chunk))

    def finish(self) -> Iterator[Json]:
        """What the end of the bytes completes.

        Raises:
            InterruptedStreamError: The stream gave neither a `finish_reason` nor `[DONE]`.
            InvalidResponseError: It was no stream of completions at all.
        """
        if self.done:
            return
        if self._undecided is not None:
            self._body = JsonBody()
        if self._body is None:
            # The last event lacks its blank line. Where it is cut as well, it is no garbage but
            # the place of the interruption.
            yield from self._objects(e for e in self._parser.finish() if _is_readable(e.data))
        elif self._body.is_lines:
            rest = bytes(self._body.content)
            yield from self._lines([rest] if _is_readable(rest) else [])
        else:
            yield from self._values(bytes(self._body.content))
        if self._is_chunked and not (self.done or self._finished):
            raise self._incomplete()
        self.done = True

    def _objects(self, events: Iterable[Event]) -> Iterator[Json]:
        for event in events:
            body = self._object(event)
            if body is not None:
                yield body
            if self._failure is not None:
                raise self._failure
            if self.done:
                return

    def _lines(self, lines: list[bytes]) -> Iterator[Json]:
        """The objects of lines of JSON."""
        for line in filter(bytes.strip, lines):
            if self._seen and (self._is_chunked or _is_readable(line)):
                self._is_chunked = True
                yield from self._objects([Event(line)])
            elif not self._seen:
                body = parse_completion(line, self._info)
                self._is_chunked = _is_chunk(body)
                yield from self._objects([Event(line)])
            # Else a sentence that a gateway appends to a complete response.

    def _values(self, content: bytes) -> Iterator[Json]:
        """The objects of a body that is not divided into lines."""
        if not _is_readable(content):
            values = list(iter_values(content.decode("utf-8", errors="replace")))
            if len(values) > 1:
                yield from self._lines([json.dumps(value).encode() for value in values])
                return
        self._is_chunked = False
        yield parse_completion(content, self._info)

    def _decided(self, start: bytes) -> bytes:
        """The bytes to read now, once it is clear whether they are an event stream."""
        # No more than this is looked at, so that it does not matter where the network cuts.
        significant = start[:_LEADING_SPACE].removeprefix(BOM_UTF8).lstrip()[:1]
        undecided = not significant or BOM_UTF8.startswith(start)
        if undecided and len(start) < _LEADING_SPACE:
            self._undecided = start
            return b""
        self._undecided = None
        if significant and significant in _NOT_EVENTS:
            self._body = JsonBody()
        return start

    def _object(self, event: Event) -> Json | None:
        """The object that an event holds; `None` if it holds none, such as the last one."""
        self._seen = True
        data = event.data.strip()
        if data == _DONE:
            self.done = True
            return None
        if not data and event.name != b"error":
            return None  # it only keeps the connection alive
        try:
            body = self._decoder.decode(data)
        except ValueError:
            body = None
        if event.name == b"error" or is_error(body):
            raise map_error_body(data, self._info, what=_REPORTED)
        if not isinstance(body, dict):
            raise map_error_body(
                data, self._info, what="The stream holds an event that is not a JSON object"
            )
        if (error := find_choice_error(body)) is not None:
            self._failure = map_error_body(data, self._info, what=_REPORTED, error=error)
            return without_choice_errors(body)
        self._finished = self._finished or _finishes(body)
        return body

    def _incomplete(self) -> AzurePhi3Error:
        info = self._info
        head = self._head.removeprefix(BOM_UTF8).lstrip()
        if self._seen or _begins_a_field(head):
            return InterruptedStreamError(
                "The stream broke off: neither a finish_reason nor [DONE] came. "
                "The text until then is in `partial`; the same request may succeed again.",
                status_code=info.status_code,
                request_id=info.request_id,
                partial=None if self._seen else "",
            )
        text = head.decode("utf-8", errors="replace")
        return InvalidResponseError(
            f"The server answered {info.status_code} with text that is not an event stream: "
            f"{text!r}. Check that the endpoint is the model's own.",
            status_code=info.status_code,
            request_id=info.request_id,
        )


def _begins_a_field(head: bytes) -> bool:
    """Whether text is the beginning of an event, however short."""
    return head != b"" and any(f.startswith(head) or head.startswith(f) for f in _FIELDS)


def _is_readable(data: bytes) -> bool:
    """Whether the data of an event is complete."""
    data = data.strip()
    if not data or data == _DONE:
        return True
    try:
        decode(data)
    except ValueError:
        return False
    return True


def _is_chunk(body: Json) -> bool:
    """Whether an object is a part of a response, not all of it."""
    choices = body.get("choices")
    return isinstance(choices, list) and any(isinstance(c, dict) and "delta" in c for c in choices)


def _finishes(body: Json) -> bool:
    choices = body.get("choices")
    if not isinstance(choices, list):
        return False
    for choice in choices:  # noqa: SIM110 -- any() with a generator costs three times as much
        if isinstance(choice, dict) and choice.get("finish_reason"):
            return True
    return False
