"""What httpx's asynchronous client rides on: failures have httpx's names, and hold no request."""

import asyncio
import socket

import httpx
import pytest
from langchain_azure_phi3._http.lean_client import AsyncDirectClient, DirectClient

from langchain_azure_phi3._http import clients
from langchain_azure_phi3._http.aiohttp_transport import AiohttpTransport
from tests.raw_server import Server, answering

LIMITS = httpx.Limits(max_connections=10, keepalive_expiry=5.0)


async def closed(server: Server) -> None:
    """Wait until the client has closed its connection, while the loop goes on."""
    assert await asyncio.to_thread(server.ended.wait, 5)


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
    with answering(lambda c, _: c.sendall(answer), once=True) as server:
        async with httpx.AsyncClient(transport=AiohttpTransport(LIMITS)) as client:
            with pytest.raises(expected) as caught:
                await client.get(server.url)
        await closed(server)

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_silent_server_is_a_read_timeout() -> None:
    """It is not tried again: the model may be at work."""
    with answering(lambda *_: None) as server:
        transport = AiohttpTransport(LIMITS)
        async with httpx.AsyncClient(transport=transport, timeout=0.05) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(server.url)
        await closed(server)


async def test_a_reset_is_named_without_the_url() -> None:
    """It may hold a gateway's key, and aiohttp quotes it."""
    with answering(lambda c, _: c.close(), once=True) as server:
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
    with answering(lambda *_: None) as server:
        async with httpx.AsyncClient(transport=AiohttpTransport(LIMITS)) as client:
            with pytest.raises(httpx.LocalProtocolError):
                await client.get(server.url, headers={"x-a": "1\r\nx-b: 2"})
        await closed(server)


async def test_an_answer_that_nobody_reads_to_its_end_leaves_no_connection() -> None:
    """What comes late must not be taken for the next answer."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning"
    transport = AiohttpTransport(LIMITS)
    with answering(lambda c, _: c.sendall(head)) as server:
        async with httpx.AsyncClient(transport=transport) as client:
            async with client.stream("GET", server.url) as response:
                assert b"beginning" == await anext(response.aiter_raw())
            connector = transport._open().connector
            assert connector is not None
            assert not connector._conns
        await closed(server)


def test_behind_a_proxy_httpx_connects_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows the environment's proxies of all kinds."""
    monkeypatch.setattr(clients, "getproxies", lambda: {"https": "http://127.0.0.1:9"})
    assert httpx.AsyncClient is type(clients._async_client())
    assert httpx.Client is type(clients._client())
    monkeypatch.setattr(clients, "getproxies", lambda: {"no": "127.0.0.1"})
    assert isinstance(clients._async_client(), AsyncDirectClient)
    assert isinstance(clients._client(), DirectClient)
