"""JSON as server-sent events, the way Azure writes them and the other ways that were seen."""

from collections.abc import Iterable, Iterator

from langchain_azure_phi3.emulator.wire import Json, Step, dumped

DONE = b"[DONE]"


def events(chunks: Iterable[Json], framing: frozenset[str]) -> Iterator[bytes]:
    """Each chunk as the bytes of one event, then the event that ends the stream.

    Args:
        chunks: What the events say.
        framing: Names out of `quirks.FRAMINGS`.
    """
    written: Iterator[bytes] = (_event(line, framing) for line in _lines(chunks, framing))
    if "no-final-blank-line" in framing:
        written = _unended(written)
    prefix = b"\xef\xbb\xbf" if "bom" in framing else b""
    for event in written:
        yield prefix + event
        prefix = b""


def _lines(chunks: Iterable[Json], framing: frozenset[str]) -> Iterator[bytes]:
    yield from map(dumped, chunks)
    if "no-done" not in framing:
        yield DONE


def _unended(events: Iterator[bytes]) -> Iterator[bytes]:
    """The same events, the last without its line ends."""
    held = next(events)
    for event in events:
        yield held
        held = event
    yield held.rstrip(b"\r\n")


def _event(line: bytes, framing: frozenset[str]) -> bytes:
    end = b"\r\n" if "crlf" in framing else b"\n"
    prefix = b"data:" if "no-space" in framing else b"data: "
    comment = b": keep-alive" + end + end if "comments" in framing else b""
    return comment + prefix + line + end + end


def bytewise(steps: Iterable[Step]) -> Iterator[Step]:
    """The same steps, every byte written on its own."""
    for step in steps:
        if isinstance(step, bytes):
            yield from (step[at : at + 1] for at in range(len(step)))
        else:
            yield step
