"""The HTTP clients that all instances share: one for threads, one for each event loop."""

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import AsyncGenerator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.request import getproxies

import httpx

from langchain_azure_phi3._http.lean_client import AsyncDirectClient, DirectClient

_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=30.0)


class _Lent:
    """A client, and how many requests are under way on it."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.users = 0
        self.is_retired = False


class _LentAsync:
    """The same for one event loop, with what ends it when the loop ends."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.users = 0
        self.is_retired = False
        self.lifetime = _until_the_loop_ends(client)


class _Shared:
    """What one process shares."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lent: _Lent | None = None
        self.by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LentAsync] = (
            weakref.WeakKeyDictionary()
        )


_shared = _Shared()


class LentClient:
    """The user's own client, else the process's, for the time of one request."""

    def __init__(self, own: httpx.Client | None) -> None:
        self._own = own
        self._lent: _Lent | None = None

    def __enter__(self) -> httpx.Client:
        if self._own is not None:
            return self._own
        shared = _shared
        with shared.lock:
            if shared.lent is None or shared.lent.client.is_closed:
                shared.lent = _Lent(_client())
            self._lent = lent = shared.lent
            lent.users += 1
        return lent.client

    def __exit__(self, *_: object) -> None:
        lent = self._lent
        if lent is None:
            return
        with _shared.lock:
            lent.users -= 1
            is_last = lent.is_retired and lent.users == 0
        if is_last:
            lent.client.close()


class LentAsyncClient:
    """The user's own client, else the running loop's, for the time of one request.

    A connection cannot outlive the loop it was opened in.
    """

    def __init__(self, own: httpx.AsyncClient | None) -> None:
        self._own = own
        self._lent: _LentAsync | None = None

    async def __aenter__(self) -> httpx.AsyncClient:
        if self._own is not None:
            return self._own
        self._lent = lent = await _of_this_loop()
        lent.users += 1
        return lent.client

    async def __aexit__(self, *_: object) -> None:
        lent = self._lent
        if lent is None:
            return
        lent.users -= 1
        if lent.is_retired and lent.users == 0:
            await lent.lifetime.aclose()


async def _of_this_loop() -> _LentAsync:
    loop = asyncio.get_running_loop()
    with _shared.lock:
        known = _shared.by_loop.get(loop)
        if known is not None and not known.client.is_closed:
            return known
        for ended in [other for other in _shared.by_loop if other.is_closed()]:
            del _shared.by_loop[ended]
        lent = _LentAsync(_async_client())
        _shared.by_loop[loop] = lent
    await anext(lent.lifetime)
    return lent


def retire() -> None:
    """Close the process's client: now, or when the last answer under way has come."""
    with _shared.lock:
        lent, _shared.lent = _shared.lent, None
        if lent is None:
            return
        lent.is_retired = True
        is_idle = lent.users == 0
    if is_idle:
        lent.client.close()


async def aretire() -> None:
    """Close the running loop's client: now, or when the last answer under way has come."""
    with _shared.lock:
        lent = _shared.by_loop.pop(asyncio.get_running_loop(), None)
    if lent is None:
        return
    lent.is_retired = True
    if lent.users == 0:
        await lent.lifetime.aclose()


async def _until_the_loop_ends(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """Close `client` with its loop.

    A loop closes its suspended async generators before it ends (`shutdown_asyncgens`, which
    `asyncio.run` and every runner calls): the one hook that is still inside the loop.
    """
    try:
        yield
    finally:
        await client.aclose()


def _client() -> httpx.Client:
    if _has_proxy():
        return httpx.Client(limits=_LIMITS, cookies=_no_cookies())
    # Imported where they are used, both: they take as long as all of this package.
    from langchain_azure_phi3._http.socket_transport import SocketTransport

    return DirectClient(SocketTransport(_LIMITS))


def _async_client() -> httpx.AsyncClient:
    if _has_proxy():
        return httpx.AsyncClient(limits=_LIMITS, cookies=_no_cookies())
    from langchain_azure_phi3._http.aiohttp_transport import AiohttpTransport

    return AsyncDirectClient(AiohttpTransport(_LIMITS))


def _has_proxy() -> bool:
    # httpx's own clients know them all: SOCKS, credentials, exceptions.
    return any(scheme in getproxies() for scheme in ("all", "http", "https"))


def _no_cookies() -> CookieJar:
    # Load balancers set cookies; what one deployment sets must not follow another's requests.
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _forget() -> None:
    """Start afresh in a forked child: it must not write into its parent's connections."""
    global _shared
    _shared = _Shared()


atexit.register(retire)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
