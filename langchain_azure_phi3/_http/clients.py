"""The HTTP clients that all instances share: one for threads, one for each event loop."""

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import AsyncGenerator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import NamedTuple

import httpx

_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=30.0)


class _LoopClient(NamedTuple):
    client: httpx.AsyncClient
    lifetime: AsyncGenerator[None, None]


class _Shared:
    """What one process shares."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.client: httpx.Client | None = None
        self.by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopClient] = (
            weakref.WeakKeyDictionary()
        )


_shared = _Shared()


def shared_client() -> httpx.Client:
    """The process's client for the sync path; connections are kept in it."""
    if _shared.client is None:
        with _shared.lock:
            if _shared.client is None:
                _shared.client = httpx.Client(limits=_LIMITS, cookies=_no_cookies())
    return _shared.client


async def shared_async_client() -> httpx.AsyncClient:
    """The running loop's client: a connection cannot outlive the loop it was opened in."""
    loop = asyncio.get_running_loop()
    with _shared.lock:
        known = _shared.by_loop.get(loop)
        if known is not None and not known.client.is_closed:
            return known.client
        for ended in [other for other in _shared.by_loop if other.is_closed()]:
            del _shared.by_loop[ended]
        client = httpx.AsyncClient(limits=_LIMITS, cookies=_no_cookies())
        lifetime = _until_the_loop_ends(client)
        _shared.by_loop[loop] = _LoopClient(client, lifetime)
    await anext(lifetime)
    return client


async def _until_the_loop_ends(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """Close `client` with its loop.

    A loop closes its suspended async generators before it ends (`shutdown_asyncgens`, which
    `asyncio.run` and every runner calls): the one hook that is still inside the loop.
    """
    try:
        yield
    finally:
        await client.aclose()


def _no_cookies() -> CookieJar:
    # Load balancers set cookies; what one deployment sets must not follow another's requests.
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _forget() -> None:
    """Start afresh in a forked child: it must not write into its parent's connections."""
    global _shared
    _shared = _Shared()


def _close() -> None:
    if _shared.client is not None:
        _shared.client.close()


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
