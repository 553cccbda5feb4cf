"""What httpx's asynchronous client rides on: failures have httpx's names, and hold no request."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from langchain_azure_phi3._http import clients
from langchain_azure_phi3._http.aiohttp_transport import AiohttpTransport
from langchain_azure_phi3._http.direct import AsyncDirectClient, DirectClient
from tests.raw_server import answering as answering_raw

LIMITS = httpx.Limits(max_connections=10, keepalive_expiry=5.0)


@asynccontextmanager
async def answering(answer: bytes, *, held: bool = False) -> AsyncIterator[str]:
    """A server that gives these bytes; `held`: and then says nothing more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        if held:
            await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.wait_for(ended.wait(), 5)
    finally:
        server.close()


BROKEN = {
    "nothing": (b"", httpx.RemoteProtocolError),
    "no HTTP": (b"hello\r\n\r\n", httpx.RemoteProtocolError),
    "half a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", httpx.RemoteProtocolError),
    "no chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        httpx.RemoteProtocolError,
    ),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_broken_answer_is_httpxs_failure_of_that_meaning(how: str) -> None:
    """Without a cause: aiohttp's holds the request, and with it the credential."""
    answer, expected = BROKEN[how]
    async with (
        answering(answer) as url,
        httpx.AsyncClient(transport=AiohttpTransport(LIMITS)) as client,
    ):
        with pytest.raises(expected) as caught:
            await client.get(url)

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_silent_server_is_a_read_timeout() -> None:
    """It is not tried again: the model may be at work."""
    async with (
        answering(b"", held=True) as url,
        httpx.AsyncClient(transport=AiohttpTransport(LIMITS), timeout=0.05) as client,
    ):
        with pytest.raises(httpx.ReadTimeout):
            await client.get(url)


async def test_a_reset_is_named_without_the_url() -> None:
    """It may hold a gateway's key, and aiohttp quotes it."""
    with answering_raw(lambda c, _: c.close(), once=True) as server:
        async with httpx.AsyncClient(transport=AiohttpTransport(LIMITS)) as client:
            for _ in range(10):
                with pytest.raises(httpx.TransportError) as caught:
                    await client.post(f"{server.url}?gateway=abc", content=bytes(20_000_000))
                assert "abc" not in str(caught.value)


async def test_a_refused_connection_is_a_connect_error() -> None:
    """It may be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with httpx.AsyncClient(transport=AiohttpTransport(LIMITS)) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_a_header_that_cannot_be_sent_is_the_callers_failure() -> None:
    """Line breaks are refused, as by httpx itself."""
    async with (
        answering(b"") as url,
        httpx.AsyncClient(transport=AiohttpTransport(LIMITS)) as client,
    ):
        with pytest.raises(httpx.LocalProtocolError):
            await client.get(url, headers={"x-a": "1\r\nx-b: 2"})


async def test_an_answer_that_nobody_reads_to_its_end_leaves_no_connection() -> None:
    """What comes late must not be taken for the next answer."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning"
    transport = AiohttpTransport(LIMITS)
    async with answering(head, held=True) as url, httpx.AsyncClient(transport=transport) as client:
        async with client.stream("GET", url) as response:
            assert b"beginning" == await anext(response.aiter_raw())
        connector = transport._open().connector
        assert connector is not None
        assert not connector._conns


def test_behind_a_proxy_httpx_connects_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows the environment's proxies of all kinds."""
    monkeypatch.setattr(clients, "getproxies", lambda: {"https": "http://127.0.0.1:9"})
    assert httpx.AsyncClient is type(clients._async_client())
    assert httpx.Client is type(clients._client())
    monkeypatch.setattr(clients, "getproxies", lambda: {"no": "127.0.0.1"})
    assert isinstance(clients._async_client(), AsyncDirectClient)
    assert isinstance(clients._client(), DirectClient)
