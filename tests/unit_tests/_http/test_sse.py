"""The event parser against the WHATWG's text, against httpx-sse, and against hostile streams."""

import tracemalloc
from codecs import BOM_UTF8

import pytest
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3 import InvalidResponseError
from langchain_azure_phi3._http.sse import Event, EventParser

MB = 1024 * 1024


def events(*pieces: bytes, limit: int = MB) -> list[tuple[bytes, bytes]]:
    """Data and name of all events, the unterminated one at the end included."""
    parser = EventParser(limit)
    found = [event for piece in pieces for event in parser.feed(piece)]
    return [*found, *parser.finish()]


def data(*pieces: bytes) -> list[bytes]:
    """The data alone."""
    return [event[0] for event in events(*pieces)]


# -- the examples of the HTML standard, section 9.2.6 --


def test_the_standards_first_example() -> None:
    """Example 1: YHOO, +2, 10."""
    assert data(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [b"YHOO\n+2\n10"]


def test_the_standards_second_example() -> None:
    """Example 2: the third event keeps one of its two spaces."""
    stream = (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"
    )
    assert data(stream) == [b"first event", b"second event", b" third event"]


def test_the_standards_third_example() -> None:
    """Example 3: an empty string, a line feed; the last, unterminated one is given on purpose."""
    assert data(b"data\n\ndata\ndata\n\ndata:") == [b"", b"\n", b""]


def test_the_standards_fourth_example() -> None:
    """Example 4: two identical events."""
    assert data(b"data:test\n\ndata: test\n\n") == [b"test", b"test"]


def test_named_events_keep_their_names() -> None:
    """Section 9.2.1: add, remove, add."""
    stream = b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 1\n\n"
    assert events(stream) == [(b"73857293", b"add"), (b"2153", b"remove"), (b"1", b"add")]


# -- what servers send --


def test_all_three_line_ends_are_equal() -> None:
    """Some gateways write CRLF (semantic-kernel#11956)."""
    for end in [b"\n", b"\r", b"\r\n"]:
        stream = end.join([b": hi", b"", b"data: a", b"data: b", b"", b"data: c", b"", b""])
        assert data(stream) == [b"a\nb", b"c"]


def test_mixed_line_ends_each_end_one_line() -> None:
    """CR LF is one end; LF CR is two."""
    assert data(b"data: a\r\n\ndata: b\n\rdata: c\r\r\n") == [b"a", b"b", b"c"]


def test_a_split_crlf_is_one_line_end() -> None:
    """Else the LF would end the event early."""
    assert data(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [b"a\nb"]


def test_a_lone_cr_ends_an_event_at_once() -> None:
    """A CR may be the last byte for a long time."""
    assert list(EventParser().feed(b"data: a\r\r")) == [Event(b"a")]


def test_a_leading_byte_order_mark_is_dropped() -> None:
    """One at the start is no part of the first field's name."""
    for cut in range(4):
        stream = BOM_UTF8 + b"data: a\n\n"
        assert data(stream[:cut], stream[cut:]) == [b"a"]
        assert data(*(stream[at : at + 1] for at in range(len(stream)))) == [b"a"]


def test_a_later_byte_order_mark_is_kept() -> None:
    """Only the stream's own start is looked at."""
    assert data(b"data: a\n\n", BOM_UTF8 + b"data: b\n\n") == [b"a"]


def test_a_partial_byte_order_mark_is_no_event() -> None:
    """The stream ends inside the mark."""
    assert events(BOM_UTF8[:2]) == []


def test_a_second_byte_order_mark_is_kept() -> None:
    """The standard drops one."""
    assert data(BOM_UTF8 + BOM_UTF8 + b"data: a\n\n") == []


def test_other_fields_are_ignored() -> None:
    """Signs of life, and everything that a completion has no use for."""
    stream = b": keep-alive\n\nid: 7\nretry: 10\nfoo: bar\n:\ndata: a\nid\n\nretry: 5\n\n"
    assert data(stream) == [b"a"]


def test_an_event_without_data_is_dropped() -> None:
    """The standard resets the name as well."""
    assert events(b"event: error\n\ndata: a\n\n") == [(b"a", b"")]


def test_field_names_are_exact() -> None:
    """Case and spaces before the colon make another field."""
    assert data(b"Data: a\ndata : b\n data: c\n\n") == []


def test_unicode_line_separators_end_no_line() -> None:
    """U+2028, U+0085, form feed and vertical tab are text."""
    text = "a\u2028b\u0085c\x0cd\x0be".encode()
    assert data(b"data: " + text + b"\n\n") == [text]


def test_the_last_event_needs_no_blank_line() -> None:
    """Servers close the connection right after it; the standard would drop it."""
    assert data(b"data: a\n\ndata: b") == [b"a", b"b"]
    assert data(b"data: a\n\ndata: b\n") == [b"a", b"b"]


def test_finishing_twice_gives_nothing_more() -> None:
    """The second time there is no rest."""
    parser = EventParser()
    assert list(parser.feed(b"data: a")) == []
    assert parser.finish() == [Event(b"a")]
    assert parser.finish() == []


# -- bounds --


def test_an_event_beyond_the_bound_is_refused() -> None:
    """Whatever it is made of."""
    for piece in [b"x" * MB, b"data: " + b"y" * 1000 + b"\n", b"data\n" * 1000, b": c\n" * 1000]:
        parser = EventParser(2 * MB)
        pieces = (event for _ in range(3 * MB // len(piece) + 2) for event in parser.feed(piece))
        with pytest.raises(InvalidResponseError, match="larger than 2,097,152 bytes"):
            list(pieces)


def test_nothing_of_an_endless_event_is_kept() -> None:
    """64 MB are fed; the memory used stays near the bound of 4 MB."""
    parser = EventParser(4 * MB)
    piece = b"data: " + b"x" * (MB - 6)
    refused = 0
    tracemalloc.start()
    try:
        for _ in range(64):
            try:
                list(parser.feed(bytes(bytearray(piece))))
            except InvalidResponseError:
                refused += 1
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused == 60
    assert held < MB
    assert peak < 12 * MB


def test_events_before_an_oversized_one_are_given() -> None:
    """What arrived whole is not lost with what did not."""
    given: list[Event] = []
    with pytest.raises(InvalidResponseError):
        given.extend(EventParser(100).feed(b"data: a\n\ndata: b\n\n" + b"x" * 101))
    assert given == [Event(b"a"), Event(b"b")]


def test_the_bound_is_per_event() -> None:
    """A thousand small events pass a small bound."""
    assert len(events(*[b"data: 0123456789\n\n"] * 1000, limit=64)) == 1000


def test_an_event_of_exactly_the_bound_passes() -> None:
    """The bound counts the event's bytes with its line ends."""
    stream = b"data: a\n\n"
    assert events(stream, limit=len(stream)) == [(b"a", b"")]


# -- against httpx-sse --

LINES = st.one_of(
    st.sampled_from(
        [
            *("", "", "data", "data:", "data: x", "data:  y", ":", ": c", "event: e", "event:"),
            *("id: 1", "id", "retry: 5", "retry: x", "foo", "foo: bar", "dat", "data : z"),
        ]
    ),
    st.text("a: \u00e9\u2028\U0001f600", max_size=6).map(lambda text: f"data:{text}"),
)


@st.composite
def streams(draw: st.DrawFn) -> str:
    """Lines of all kinds with line ends of all kinds, all terminated."""
    ends = st.sampled_from(["\n", "\r\n", "\r"])
    lines = draw(st.lists(st.tuples(LINES, ends), max_size=20))
    return "".join(line + end for line, end in lines)


def by_httpx_sse(stream: str) -> list[tuple[bytes, bytes]]:
    """What httpx-sse makes of it."""
    splitter, decoder, found = SSELineDecoder(), SSEDecoder(), []
    lines = [*(splitter.decode(stream) if stream else []), *splitter.flush()]
    seen_data = False
    for line in lines:
        seen_data = seen_data or line.partition(":")[0] == "data"
        event = decoder.decode(line)
        # It also gives events that have only an id or a retry; those mean nothing here.
        if event is not None and seen_data:
            name = "" if event.event == "message" else event.event  # its name for no name
            found.append((event.data.encode(), name.encode()))
        seen_data = seen_data and line != ""
    return found


@given(streams())
def test_it_agrees_with_httpx_sse(stream: str) -> None:
    """Every cut in two, and byte by byte; only what `finish` adds is ours."""
    content = stream.encode()
    expected = by_httpx_sse(stream)
    cuts = [[content[:at], content[at:]] for at in range(len(content) + 1)]
    bytewise = [content[at : at + 1] for at in range(len(content))]
    for pieces in [*cuts, bytewise]:
        parser = EventParser()
        found = [event for piece in pieces for event in parser.feed(piece)]
        assert found == expected
