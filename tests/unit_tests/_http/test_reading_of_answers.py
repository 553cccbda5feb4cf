"""Answers that are hardly HTTP: threads and event loops read them alike, and refuse the same."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from langchain_azure_phi3._http.aiohttp_transport import AiohttpTransport
from langchain_azure_phi3._http.socket_transport import SocketTransport
from tests.raw_server import serving

Read = Callable[[str], Awaitable[httpx.Response]]
SECONDS = 5.0


async def in_a_thread(url: str) -> httpx.Response:
    """The answer to a question over the transport for threads."""
    with httpx.Client(transport=SocketTransport(httpx.Limits()), timeout=SECONDS) as client:
        return await asyncio.to_thread(client.post, url, content=b"?")


async def in_a_loop(url: str) -> httpx.Response:
    """The same over the one for event loops."""
    transport = AiohttpTransport(httpx.Limits())
    async with httpx.AsyncClient(transport=transport, timeout=SECONDS) as client:
        return await client.post(url, content=b"?")


@pytest.fixture(params=[in_a_thread, in_a_loop])
def read(request: pytest.FixtureRequest) -> Read:
    """Each of the two."""
    return request.param


def with_length(*lines: bytes) -> bytes:
    """An answer of two bytes, with these lines before its last header."""
    return b"\r\n".join((*lines, b"content-length: 2", b"", b"Hi"))


OK = b"HTTP/1.1 200 OK"
CHUNKED = OK + b"\r\ntransfer-encoding: chunked\r\n\r\n"

READABLE = {
    "with a length": with_length(OK),
    "in chunks": CHUNKED + b"1\r\nH\r\n1\r\ni\r\n0\r\n\r\n",
    "in chunks with extensions": CHUNKED + b"2;a=b\r\nHi\r\n0\r\n\r\n",
    "in chunks with spaces behind their sizes": CHUNKED + b"2  \r\nHi\r\n0\r\n\r\n",
    "with trailers": CHUNKED + b"2\r\nHi\r\n0\r\nx-seconds: 2\r\n\r\n",
    "until the connection ends": OK + b"\r\n\r\nHi",
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nHi",
    "without a reason": with_length(b"HTTP/1.1 200"),
    "with bytes beyond ASCII": with_length(b"HTTP/1.1 200 \xe9", b"x-name: \xe9\xff"),
    "with bare line feeds": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nHi",
    "with a folded header": with_length(OK, b"x-name: 1", b" 2"),
    "with empty headers": with_length(OK, b"x-name:", b"x-other: "),
    "with a long header": with_length(OK, b"x-name: " + b"a" * 60_000),
    "with an upgrade on offer": with_length(OK, b"upgrade: h2c", b"connection: upgrade"),
    "after an interim answer": with_length(b"HTTP/1.1 100 Continue", b"x-a: b", b"", OK),
    "after hints": with_length(b"HTTP/1.1 103 Early Hints", b"link: </x>", b"", OK),
    "before a second answer": with_length(OK) + with_length(OK),
}


@pytest.mark.parametrize("how", READABLE)
async def test_an_answer_is_read_however_it_is_written(how: str, read: Read) -> None:
    """Gateways and small servers write what no standard has."""
    with serving(READABLE[how]) as url:
        response = await read(url)

    assert (200, b"Hi") == (response.status_code, response.content)
    assert "x-seconds" not in response.headers
    assert "link" not in response.headers


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_can_have_no_body_ends_with_its_head(status: int, read: Read) -> None:
    """Whatever length it names."""
    with serving(b"HTTP/1.1 %d No\r\ncontent-length: 9\r\n\r\n" % status) as url:
        response = await read(url)

    assert (status, b"") == (response.status_code, response.content)


NO_HTTP = "does not speak HTTP/1.1"
UNREADABLE = {
    "nothing": (b"", "the server disconnected"),
    "half a head": (OK + b"\r\ncontent-le", "the server disconnected"),
    "half a body": (OK + b"\r\ncontent-length: 9\r\n\r\nHi", "no proper end"),
    "half a chunk": (CHUNKED + b"9\r\nHi", "no proper end"),
    "no last chunk": (CHUNKED + b"2\r\nHi\r\n", "no proper end"),
    "no HTTP": (b"Hi\r\n\r\n", NO_HTTP),
    "another version": (with_length(b"HTTP/1.7 200 OK"), NO_HTTP),
    "no status": (with_length(b"HTTP/1.1 99 OK"), NO_HTTP),
    "no header": (with_length(OK, b"x-name = 1"), NO_HTTP),
    "a space before a colon": (with_length(OK, b"x-name : 1"), NO_HTTP),
    "two lengths": (with_length(OK, b"content-length: 3"), NO_HTTP),
    "a negative length": (OK + b"\r\ncontent-length: -2\r\n\r\nHi", NO_HTTP),
    "a length and chunks": (with_length(OK, b"transfer-encoding: chunked"), NO_HTTP),
    "no chunk": (CHUNKED + b"zz\r\n", NO_HTTP),
    "a chunk of more bytes than there are": (CHUNKED + b"f" * 18 + b"\r\n", NO_HTTP),
}


@pytest.mark.parametrize("how", UNREADABLE)
async def test_what_is_no_answer_is_refused_with_the_reason(how: str, read: Read) -> None:
    """And without the line that cannot be read: it may hold what the server was sent."""
    answer, said = UNREADABLE[how]
    with serving(answer) as url, pytest.raises(httpx.RemoteProtocolError) as caught:
        await read(f"{url}?key=abc")

    assert said in str(caught.value)
    assert "abc" not in str(caught.value)
    assert "x-name" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_nul_in_a_header_is_refused_in_threads() -> None:
    """RFC 9110, 5.5: it is dangerous; aiohttp refuses it from 3.14 on."""
    with (
        serving(with_length(OK, b"x-name: 1\0")) as url,
        pytest.raises(httpx.RemoteProtocolError, match=NO_HTTP),
    ):
        await in_a_thread(url)


ENDLESS = {
    "head": OK + b"\r\nx-name: ",
    "trailer": CHUNKED + b"2\r\nHi\r\n0\r\nx-name: ",
    "chunk extension": CHUNKED + b"2;x-name=",
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_has_no_end_is_refused(what: str, read: Read) -> None:
    """In threads after a hundred kilobytes; aiohttp bounds the head alone."""
    said = "have no end" if read is in_a_thread else r"more than|no proper end"
    with (
        serving(ENDLESS[what] + b"a" * 2_000_000) as url,
        pytest.raises(httpx.RemoteProtocolError, match=said),
    ):
        await read(url)
