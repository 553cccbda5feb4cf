"""Server-sent events out of bytes, incrementally, in bounded memory.

The WHATWG algorithm (HTML standard, 9.2.6 "Interpreting an event stream"), with one difference
on purpose: `finish` also gives a last event that lacks its blank line, because some servers
close the connection right after it.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import NamedTuple

from langchain_azure_phi3.errors import InvalidResponseError

MAX_EVENT_BYTES = 16 * 1024 * 1024


class Event(NamedTuple):
    """One event: its data as UTF-8 bytes, and its name (`b""` where the server gave none)."""

    data: bytes
    name: bytes = b""


class EventParser:
    """Bytes in any cut, events out; `feed` for each piece, `finish` at the end."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._held = 0
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        self._after_cr = False
        self._start: bytes | None = b""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that `chunk` completes, to be taken before the next piece is fed.

        Raises:
            InvalidResponseError: An event is larger than the bound; nothing of it is kept.
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
        """`chunk` after the byte order mark, which may arrive in pieces."""
        start = (self._start or b"") + chunk
        if len(start) < len(BOM_UTF8) and BOM_UTF8.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(BOM_UTF8)

    def _content(self, line: bytes) -> bytes | None:
        """A line without its end; `None` while it has none, and for the second half of CRLF."""
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
        """Return what to raise; nothing of the event is kept."""
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
        # Comments (an empty name), id, retry and unknown fields mean nothing for a completion.

    def _dispatched(self) -> Event | None:
        event = Event(b"\n".join(self._data), self._name) if self._data else None
        self._data.clear()
        self._name, self._held = b"", 0
        return event
