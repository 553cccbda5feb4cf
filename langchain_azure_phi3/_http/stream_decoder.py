"""Decodes streamed responses to JSON objects."""

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
# The start of a body that is not an event stream: a complete JSON response from a server that
# ignores `stream` (managed-compute server 0.1.8), or the web page of a proxy.
_NOT_EVENTS = b'{[<"'
_FIELDS = (b"data", b"event", b"id", b"retry", b":")
_LEADING_SPACE = 1024
_SHOWN = 200


class StreamDecoder:
    """Decodes the bytes of a successful response to the JSON objects of chunks."""

    def __init__(self, info: ResponseInfo) -> None:
        self._info = info
        self._reader = _EventReader(info)
        self._parser = EventParser()
        self._undecided: bytes | None = b""
        self._head = b""
        self._body: JsonBody | None = None
        self._is_chunked = True  # a body of JSON may also be one complete response

    @property
    def done(self) -> bool:
        """Whether `[DONE]` arrived; nothing after it counts."""
        return self._reader.done

    def feed(self, chunk: bytes) -> Iterator[Json]:
        """Yield the objects that `chunk` completes, including those before a failure.

        Raises:
            AzurePhi3Error: The stream reports a failure, or contains something that is not a JSON
                object.
        """
        if len(self._head) < _SHOWN:
            self._head += chunk[: _SHOWN - len(self._head)]
        if self._undecided is not None:
            chunk = self._decided(self._undecided + chunk)
        if self._body is None:
            yield from self._reader.objects(self._parser.feed(chunk))
        else:
            yield from self._lines(filter(bytes.strip, self._body.feed(chunk)))

    def finish(self) -> Iterator[Json]:
        """Yield the objects that the end of the body completes.

        Raises:
            InterruptedStreamError: The stream contained neither a `finish_reason` nor `[DONE]`.
            InvalidResponseError: It was not a stream of completions.
        """
        if self.done:
            return
        if self._undecided is not None:
            self._body = JsonBody()
        if self._body is None:
            # The last event lacks its blank line. If it is also truncated, the stream was
            # interrupted there, so it is not an invalid event.
            last = (event for event in self._parser.finish() if _is_readable(event.data))
            yield from self._reader.objects(last)
        elif self._body.is_lines:
            rest = bytes(self._body.content)
            yield from self._lines([rest] if rest.strip() and _is_readable(rest) else [])
        else:
            yield from self._values(bytes(self._body.content))
        if self._is_chunked and not (self.done or self._reader.is_finished):
            raise self._incomplete()

    def _lines(self, lines: Iterable[bytes]) -> Iterator[Json]:
        """Yield the objects of JSON lines, or of the one line of a complete response."""
        for line in lines:
            if not self._reader.has_begun:
                self._is_chunked = _is_chunk(parse_completion(line, self._info))
            elif self._is_chunked or _is_readable(line):
                self._is_chunked = True
            else:
                continue  # gateways append a sentence to a complete response
            yield from self._reader.objects([Event(line)])

    def _values(self, content: bytes) -> Iterator[Json]:
        """Yield the objects of a body that is not divided into lines."""
        lines = [content]
        if not _is_readable(content):
            values = iter_values(content.decode("utf-8", errors="replace"))
            lines = [json.dumps(value).encode() for value in values] or lines
        yield from self._lines(lines)

    def _decided(self, start: bytes) -> bytes:
        """Return the bytes to decode, once it is known whether they are an event stream."""
        # The decision uses a fixed number of bytes, so that it does not depend on the chunks.
        significant = start[:_LEADING_SPACE].removeprefix(BOM_UTF8).lstrip()[:1]
        undecided = not significant or BOM_UTF8.startswith(start)
        if undecided and len(start) < _LEADING_SPACE:
            self._undecided = start
            return b""
        self._undecided = None
        if significant and significant in _NOT_EVENTS:
            self._body = JsonBody()
        return start

    def _incomplete(self) -> AzurePhi3Error:
        info = self._info
        head = self._head.removeprefix(BOM_UTF8).lstrip()
        if self._reader.has_begun or _begins_a_field(head):
            return InterruptedStreamError(
                "The stream was interrupted: neither a finish_reason nor [DONE] arrived. "
                "The text received so far is in `partial`; the same request may succeed again.",
                status_code=info.status_code,
                request_id=info.request_id,
                partial=None if self._reader.has_begun else "",
            )
        text = head.decode("utf-8", errors="replace")
        return InvalidResponseError(
            f"The server returned {info.status_code} with text that is not an event stream: "
            f"{text!r}. Check that the endpoint is the model's own.",
            status_code=info.status_code,
            request_id=info.request_id,
        )


class _EventReader:
    """Reads the objects of a stream's events.

    Attributes:
        done: Whether `[DONE]` arrived.
        is_finished: Whether a `finish_reason` arrived.
        has_begun: Whether anything arrived.
    """

    def __init__(self, info: ResponseInfo) -> None:
        self.done = self.is_finished = self.has_begun = False
        self._info = info
        self._decoder = EventDecoder()
        self._failure: AzurePhi3Error | None = None

    def objects(self, events: Iterable[Event]) -> Iterator[Json]:
        """Yield the objects of events, up to `[DONE]`.

        Raises:
            AzurePhi3Error: An event reports a failure, or contains something that is not a JSON
                object.
        """
        for event in events:
            body = self._object(event)
            if body is not None:
                yield body
            if self._failure is not None:
                raise self._failure
            if self.done:
                return

    def _object(self, event: Event) -> Json | None:
        """Return the object in an event; `None` if there is none, as in `[DONE]`."""
        self.has_begun = True
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
                data, self._info, what="The stream contains an event that is not a JSON object"
            )
        if (error := find_choice_error(body)) is not None:
            self._failure = map_error_body(data, self._info, what=_REPORTED, error=error)
            return without_choice_errors(body)
        self.is_finished = self.is_finished or _finishes(body)
        return body


def _begins_a_field(head: bytes) -> bool:
    """Whether text may be the beginning of an event."""
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
    """Whether an object is a part of a response, rather than a complete one."""
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
