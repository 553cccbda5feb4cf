"""The HTTP clients that all models of a process share."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from langchain_azure_phi3 import ChatAzurePhi3, ConnectionFailedError, InvalidInputError
from langchain_azure_phi3._http import client
from langchain_azure_phi3._http import environment as environment_module
from langchain_azure_phi3._http.client import (
    AsyncClient,
    BorrowedAsyncClient,
    BorrowedClient,
    Client,
    aclose_shared,
    close_shared,
)
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is shared yet; what other tests share is left alone."""
    monkeypatch.setattr(client, "_shared", client._Shared())


class Closing:
    """A client that remembers whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        """Remember it."""
        self.is_closed = True

    async def aclose(self) -> None:
        """Remember it."""
        self.is_closed = True


@pytest.fixture
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients whose end can be seen."""
    monkeypatch.setattr(client, "_make_client", Closing)
    monkeypatch.setattr(client, "_make_async_client", Closing)


async def borrowed() -> AsyncClient:
    """The loop's client, given back at once."""
    async with BorrowedAsyncClient(None) as found:
        return found


def test_all_threads_share_one_client() -> None:
    """Even if they all come first."""
    found: list[Client] = []

    def borrow() -> None:
        with BorrowedClient(None) as shared:
            found.append(shared)

    threads = [threading.Thread(target=borrow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 == len(found)
    assert 1 == len({id(each) for each in found})


async def test_closing_without_a_client_is_harmless() -> None:
    """A process that sent nothing ends as quietly."""
    close_shared()
    await aclose_shared()


@pytest.mark.usefixtures("_watched")
async def test_a_client_closes_after_its_last_response() -> None:
    """The response is read to its end; the next request gets another client."""
    with BorrowedClient(None) as sync:
        close_shared()
        with BorrowedClient(None) as other:
            assert other is not sync
        assert not sync.is_closed  # type: ignore[union-attr]
    async with BorrowedAsyncClient(None) as asynchronous:
        await aclose_shared()
        assert await borrowed() is not asynchronous
        assert not asynchronous.is_closed  # type: ignore[union-attr]

    assert sync.is_closed  # type: ignore[union-attr]
    assert asynchronous.is_closed  # type: ignore[union-attr]
    assert not other.is_closed  # type: ignore[union-attr]
    close_shared()
    assert other.is_closed  # type: ignore[union-attr]


async def test_own_clients_are_never_closed() -> None:
    """They are used as they are."""
    with httpx.Client() as own, BorrowedClient(own) as sync:
        close_shared()
        assert sync is own
        assert not own.is_closed
    async with httpx.AsyncClient() as mine, BorrowedAsyncClient(mine) as asynchronous:
        await aclose_shared()
        assert asynchronous is mine
        assert not mine.is_closed


@pytest.mark.usefixtures("_watched")
def test_each_loop_has_its_own_client() -> None:
    """It ends with its loop; a loop that was closed without cleaning up is forgotten."""

    async def both() -> tuple[AsyncClient, AsyncClient]:
        return await borrowed(), await borrowed()

    first, again = asyncio.run(both())
    other, _ = asyncio.run(both())

    assert first is again
    assert first is not other
    assert first.is_closed  # type: ignore[union-attr]
    assert other.is_closed  # type: ignore[union-attr]

    loop = asyncio.new_event_loop()
    loop.run_until_complete(borrowed())
    loop.close()
    asyncio.run(borrowed())
    assert loop not in client._shared.by_loop


UNCLEAN = """
    import asyncio, os, sys
    from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError

    model = ChatAzurePhi3()
    for _ in range(2):  # the second finds the first's loop closed
        loop = asyncio.new_event_loop()
        loop.run_until_complete(model.ainvoke("Hi"))
        loop.close()
    kept = asyncio.new_event_loop()  # never closed
    kept.run_until_complete(model.ainvoke("Hi"))
    if sys.argv[1] == "fork":
        if os.fork():
            os.wait()
        print(model.invoke("Hi").text != "", asyncio.run(model.ainvoke("Hi")).text != "")
"""


@pytest.mark.parametrize("how", ["exit", "fork"])
def test_abandoned_loops_leave_no_warnings(phi: Emulator, how: str) -> None:
    """Notebooks and servers end without closing their loops, and fork."""
    environment = {
        **os.environ,
        "AZURE_INFERENCE_ENDPOINT": phi.endpoint,
        "AZURE_INFERENCE_CREDENTIAL": phi.key,
    }
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", textwrap.dedent(UNCLEAN), how],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ("", 0) == (done.stderr, done.returncode)
    assert done.stdout == ("True True\n" * 2 if how == "fork" else "")


async def test_proxies_are_left_to_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows those of the environment, of all types."""
    monkeypatch.setattr(environment_module, "getproxies", lambda: {"https": "http://127.0.0.1:9"})
    made, made_async = client._make_client(), client._make_async_client()
    assert isinstance(made, client.ProxyClient)
    assert isinstance(made_async, client.AsyncProxyClient)
    for each in (made._client, made_async._client):
        assert each.timeout == client.DEFAULT_TIMEOUT
    await made_async.aclose()
    monkeypatch.setattr(environment_module, "getproxies", lambda: {"no": "127.0.0.1"})
    assert isinstance(client._make_client(), client.LeanClient)
    direct = client._make_async_client()
    assert isinstance(direct, client.AsyncLeanClient)
    await direct.aclose()


async def test_proxies_see_no_call_to_this_machine(
    phi: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is plain http, so that they would see its key."""
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for host in ("127.0.0.1", "localhost", "0.0.0.0"):  # noqa: S104
        endpoint = phi.endpoint.replace("127.0.0.1", host)
        model = ChatAzurePhi3(endpoint=endpoint, credential=phi.key, max_retries=0)
        for mode in CALL_MODES:
            assert (await call_model(model, mode, "Hi")).text
        assert model.get_model_info().model_name
        assert (await model.aget_model_info()).model_name
    assert client._shared.sync is not None
    assert isinstance(client._shared.sync.client, client.ProxyClient)
    model.close()
    await model.aclose()

    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, phi.endpoint)
    phi.requests.clear()
    unusual = ChatAzurePhi3(endpoint="http://127.0.0.2:9", credential=phi.key, max_retries=0)
    for mode in CALL_MODES:
        with pytest.raises(ConnectionFailedError):
            await call_model(unusual, mode, "Hi")
    assert phi.requests == []
    unusual.close()
    await unusual.aclose()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment without proxies or certificates, and clients that are made in it."""
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(client, "_shared", client._Shared())
    client.ssl_context.cache_clear()
    yield monkeypatch
    client.ssl_context.cache_clear()


async def message_of_both(error: type[Exception] = InvalidInputError) -> str:
    """The message of the error that both paths raise."""
    model = ChatAzurePhi3(endpoint="https://localhost:9/v1", credential="k", max_retries=0)
    with pytest.raises(error) as sync:
        model.invoke("Hi")
    with pytest.raises(error) as asynchronous:
        await model.ainvoke("Hi")
    with pytest.raises(error):
        await anext(model.astream("Hi"))
    await model.aclose()
    assert str(sync.value) == str(asynchronous.value)
    return str(sync.value)


async def test_missing_certificates_are_named(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the variable; Python's own error has neither."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        with environment.context() as changed:
            changed.setenv(variable, str(tmp_path / "missing"))
            message = await message_of_both()
        assert f"{variable} names" in message
        assert str(tmp_path / "missing") in message
    (tmp_path / "notes.txt").write_text("no certificate", encoding="utf-8")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with environment.context() as changed:
            changed.setenv("SSL_CERT_FILE", str(path))
            assert f"SSL_CERT_FILE={str(path)!r}" in await message_of_both()


async def test_unusable_proxies_are_refused(environment: pytest.MonkeyPatch) -> None:
    """Whatever httpx, the SOCKS package or the event loop would raise; never with the password."""
    for variable, url in [
        ("HTTPS_PROXY", "http://127.0.0.1:none"),
        ("HTTPS_PROXY", "http://user:Passw0rd@127.0.0.1:70000"),
        ("HTTPS_PROXY", "http://two..dots:80"),
        ("https_proxy", "http://[::1"),
        ("ALL_PROXY", "ftp://user:Passw0rd@127.0.0.1:9"),
        ("all_proxy", "socks4://127.0.0.1:9"),
    ]:
        with environment.context() as changed:
            changed.setenv(variable, url)
            changed.setattr(client, "_shared", client._Shared())
            message = await message_of_both()
        assert f"{variable.upper()} is invalid" in message
        assert "Passw0rd" not in message


@pytest.mark.usefixtures("over_httpx")
def test_an_own_async_client_keeps_sync_timeouts(phi: Emulator) -> None:
    """Behind a proxy, calls in threads wait longer than httpx's five seconds."""
    with BorrowedClient(None) as shared:
        assert isinstance(shared, httpx.Client)
        sent: list[httpx.Request] = []
        shared.event_hooks["request"].append(sent.append)
        own = httpx.AsyncClient()
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, http_async_client=own)
        model.invoke("Hi")
        assert client.READ_SECONDS == sent[0].extensions["timeout"]["read"]


def test_a_forked_child_starts_anew() -> None:
    """It must not write into its parent's connections, nor close them."""
    with BorrowedClient(None):
        known = client._shared
    client._reset_after_fork()

    assert client._shared is not known
    assert client._shared.sync is None
    assert client._inherited.pop() is known
