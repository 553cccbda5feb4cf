"""Parses server-sent events incrementally, in bounded memory.

It implements the WHATWG algorithm (HTML standard, 9.2.6 "Interpreting an event stream"), with one
difference: `finish` also returns a last event without its blank line, because some servers close
the connection right after it.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import NamedTuple

from langchain_azure_phi3.errors import InvalidResponseError

MAX_EVENT_BYTES = 16 * 1024 * 1024


class Event(NamedTuple):
    """One event: its data as UTF-8 bytes, and its name (`b""` if the server sends none)."""

    data: bytes
    name: bytes = b""


class EventParser:
    """Parses events from bytes; call `feed` with each piece, then `finish`."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._held = 0
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        self._after_cr = False
        self._start: bytes | None = b""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that `chunk` completes; consume them before the next call.

        Raises:
            InvalidResponseError: An event is too large; nothing of it is kept.
        """
        if self._start is not None:
            chunk = self._without_bom(chunk)
        for line in chunk.splitlines(keepends=True):
            content = self._content(line)
            if content is None:
                continue
            if content.startswith(b"data: "):  # nearly all lines with content
                self._data.append(content[6:])
            elif content:
                self._field(content)
            elif (event := self._dispatched()) is not None:
                yield event

    def finish(self) -> list[Event]:
        """Return the event that the end of the stream completes, if any."""
        rest = [self._start] if self._start else self._line
        if line := b"".join(rest):
            self._field(line)
        self._line, self._start = [], None
        event = self._dispatched()
        return [] if event is None else [event]

    def _without_bom(self, chunk: bytes) -> bytes:
        """Remove the byte order mark, which may arrive in pieces."""
        start = (self._start or b"") + chunk
        if len(start) < len(BOM_UTF8) and BOM_UTF8.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(BOM_UTF8)

    def _content(self, line: bytes) -> bytes | None:
        """Return a line without its end; `None` if it has no end yet, or is the LF of a CRLF."""
        if self._after_cr:
            self._after_cr = False
            if line == b"\n":
                return None
        self._held += len(line)
        if self._held > self._max:
            raise self._too_large()
        content = line.rstrip(b"\r\n")
        if len(content) == len(line):
            self._line.append(line)
            return None
        self._after_cr = line.endswith(b"\r")
        if self._line:
            content = b"".join((*self._line, content))
            self._line.clear()
        return content

    def _too_large(self) -> InvalidResponseError:
        """Drop the event, and return the error to raise."""
        self._line.clear()
        self._data.clear()
        return InvalidResponseError(
            f"The server sent an event larger than {self._max:,} bytes; it was dropped."
        )

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._name = value
        # Comments (an empty name), id, retry and unknown fields are irrelevant for a completion.

    def _dispatched(self) -> Event | None:
        event = Event(b"\n".join(self._data), self._name) if self._data else None
        self._data.clear()
        self._name, self._held = b"", 0
        return event
