"""Server-sent events, as Azure writes them, and in other forms of real servers."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal, get_args

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.wire import BodyPart, to_json_bytes

FramingName = Literal[
    "bom", "bytewise", "comments", "crlf", "no-done", "no-final-blank-line", "no-space"
]
FRAMINGS = frozenset(get_args(FramingName))


def encode_events(chunks: Iterable[Json], framing: frozenset[str]) -> Iterator[bytes]:
    """Encode each chunk as one event, and end the stream with `[DONE]`; see `FRAMINGS`."""
    lines = chain(map(to_json_bytes, chunks), () if "no-done" in framing else (b"[DONE]",))
    events: Iterator[bytes] = (_encode_event(data, framing) for data in lines)
    if "no-final-blank-line" in framing:
        events = _without_final_blank_line(events)
    prefix = b"\xef\xbb\xbf" if "bom" in framing else b""
    for event in events:
        yield prefix + event
        prefix = b""


def split_bytes(parts: Iterable[BodyPart]) -> Iterator[BodyPart]:
    """Yield the same parts, with each byte in a separate part."""
    for part in parts:
        if isinstance(part, bytes):
            yield from (part[index : index + 1] for index in range(len(part)))
        else:
            yield part


def _without_final_blank_line(events: Iterator[bytes]) -> Iterator[bytes]:
    held = next(events)
    for event in events:
        yield held
        held = event
    yield held.rstrip(b"\r\n")


def _encode_event(data: bytes, framing: frozenset[str]) -> bytes:
    end = b"\r\n" if "crlf" in framing else b"\n"
    prefix = b"data:" if "no-space" in framing else b"data: "
    comment = b": keep-alive" + end + end if "comments" in framing else b""
    return comment + prefix + data + end + end
