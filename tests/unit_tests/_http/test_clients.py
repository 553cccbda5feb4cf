"""The HTTP clients that all models of a process share."""

import asyncio
import os
import threading
from typing import Any

import httpx
import pytest

from langchain_azure_phi3._http import clients
from langchain_azure_phi3._http.clients import shared_async_client, shared_client


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is shared yet; what other tests share is left alone."""
    monkeypatch.setattr(clients, "_shared", clients._Shared())


@pytest.mark.usefixtures("fresh")
def test_all_threads_share_one_client() -> None:
    """Also when they all come first."""
    found: list[httpx.Client] = []
    threads = [threading.Thread(target=lambda: found.append(shared_client())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(client) for client in found}) == 1
    clients._close()
    assert found[0].is_closed


@pytest.mark.usefixtures("fresh")
def test_nothing_to_close_is_no_failure() -> None:
    """A process that only used the async path ends as quietly."""
    clients._close()
    assert clients._shared.client is None


def test_each_loop_has_a_client_that_ends_with_it() -> None:
    """A connection cannot outlive the loop that it was opened in."""

    async def both() -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
        return await shared_async_client(), await shared_async_client()

    first, again = asyncio.run(both())
    other, _ = asyncio.run(both())
    assert first is again
    assert first is not other
    assert first.is_closed
    assert other.is_closed


async def test_a_client_that_somebody_closed_is_replaced() -> None:
    """A closed one would fail every request."""
    client = await shared_async_client()
    await client.aclose()
    assert (await shared_async_client()).is_closed is False


def test_clients_of_ended_loops_are_forgotten() -> None:
    """A loop that ended without closing its generators must not be kept."""
    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(shared_async_client())
    loop.close()
    assert any(known is loop for known in clients._shared.by_loop)
    asyncio.run(_touch())
    assert not any(known is loop for known in clients._shared.by_loop)
    assert client.is_closed is False


async def _touch() -> None:
    await shared_async_client()


def test_cookies_are_not_kept() -> None:
    """What one deployment sets must not follow another's requests."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"set-cookie": "affinity=a; Path=/"}, request=request)

    client = httpx.Client(cookies=clients._no_cookies(), transport=httpx.MockTransport(answer))
    client.get("https://phi.invalid")
    assert list(client.cookies.jar) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_starts_afresh() -> None:
    """It must not write into its parent's connections."""
    inherited: Any = shared_client()
    child = os.fork()
    if child == 0:  # pragma: no cover -- in the child, where nothing measures
        os._exit(0 if clients._shared.client is None and not inherited.is_closed else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shared_client() is inherited
