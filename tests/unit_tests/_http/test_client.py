"""The HTTP clients that all models of a process share."""

import asyncio
import os
import threading

import httpx
import pytest
from langchain_azure_phi3._http.clients import LentAsyncClient, LentClient
from langchain_azure_phi3._http.lean_client import DirectClient

from langchain_azure_phi3._http import clients
from langchain_azure_phi3._http.auth import Auth


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is shared yet; what other tests share is left alone."""
    monkeypatch.setattr(clients, "_shared", clients._Shared())


async def borrowed() -> httpx.AsyncClient:
    """The loop's client, given back at once."""
    async with LentAsyncClient(None) as client:
        return client


@pytest.mark.usefixtures("fresh")
def test_all_threads_share_one_client() -> None:
    """Also when they all come first; it is closed at exit."""
    found: list[httpx.Client] = []

    def borrow() -> None:
        with LentClient(None) as client:
            found.append(client)

    threads = [threading.Thread(target=borrow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == len({id(client) for client in found})
    clients.retire()
    assert found[0].is_closed


@pytest.mark.usefixtures("fresh")
async def test_nothing_to_close_is_no_failure() -> None:
    """A process that asked nobody ends as quietly."""
    clients.retire()
    await clients.aretire()


@pytest.mark.usefixtures("fresh")
async def test_what_is_closed_under_an_answer_ends_with_it() -> None:
    """The answer is finished; whoever comes next gets another client."""
    with LentClient(None) as client:
        clients.retire()
        with LentClient(None) as other:
            assert other is not client
        assert not client.is_closed
    async with LentAsyncClient(None) as asynchronous:
        await clients.aretire()
        assert await borrowed() is not asynchronous
        assert not asynchronous.is_closed

    assert client.is_closed
    assert asynchronous.is_closed
    assert not other.is_closed
    clients.retire()
    await clients.aretire()
    assert other.is_closed


async def test_the_users_own_client_is_lent_as_it_is() -> None:
    """And is open afterwards, whatever is closed."""
    with httpx.Client() as own, LentClient(own) as lent:
        clients.retire()
        assert lent is own
        assert not own.is_closed
    async with httpx.AsyncClient() as mine, LentAsyncClient(mine) as lent_mine:
        await clients.aretire()
        assert lent_mine is mine
        assert not mine.is_closed


def test_each_loop_has_a_client_that_ends_with_it() -> None:
    """A connection cannot outlive the loop that it was opened in."""

    async def both() -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
        return await borrowed(), await borrowed()

    first, again = asyncio.run(both())
    other, _ = asyncio.run(both())

    assert first is again
    assert first is not other
    assert first.is_closed
    assert other.is_closed


async def test_a_client_that_somebody_closed_is_replaced() -> None:
    """A closed one would fail every request."""
    await (await borrowed()).aclose()
    with LentClient(None) as client:
        client.close()

    assert not (await borrowed()).is_closed
    with LentClient(None) as client:
        assert not client.is_closed


def test_a_loop_that_never_said_goodbye_is_forgotten() -> None:
    """Its client cannot be closed any more, but must not be kept for ever."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(borrowed())
    loop.close()

    asyncio.run(borrowed())

    assert loop not in clients._shared.by_loop


def test_no_cookies_are_kept() -> None:
    """A load balancer's cookie for one deployment must not follow another's requests."""

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"set-cookie": "affinity=1; Domain=phi.example"})

    with DirectClient(httpx.MockTransport(answer)) as client:
        for _ in range(2):
            asked = client.build_request("GET", "https://phi.example", headers={})
            answered = client.send(asked, auth=Auth())

        assert [] == list(client.cookies.jar)
        assert "cookie" not in answered.request.headers


async def test_no_cookies_are_kept_in_a_loop() -> None:
    """The same for its client, over whatever it rides on."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.readuntil(b"\r\n\r\n"):
            seen.append(asked.lower())
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n")

    seen: list[bytes] = []
    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = await borrowed()
        for _ in range(2):
            await client.send(client.build_request("GET", url, headers={}), auth=Auth())
        await clients.aretire()

    assert 2 == len(seen)
    assert not any(b"\r\ncookie:" in asked for asked in seen)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork")
@pytest.mark.usefixtures("fresh")
def test_a_forked_child_starts_afresh() -> None:
    """It must not write into its parent's connections."""
    with LentClient(None) as client:
        known = clients._shared
    clients._forget()

    assert clients._shared is not known
    assert clients._shared.lent is None
    client.close()
