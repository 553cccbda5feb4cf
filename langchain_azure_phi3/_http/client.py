"""The HTTP clients that all models of a process share: one for threads, one for each event loop."""

import asyncio
import atexit
import logging
import os
import threading
import weakref
from collections.abc import AsyncGenerator
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import httpx

from langchain_azure_phi3._http.environment import (
    CheckProxies,
    certificate_error,
    has_proxy,
    ssl_context,
)
from langchain_azure_phi3._http.routes import is_loopback

if TYPE_CHECKING:
    from langchain_azure_phi3._http.aiohttp_transport import AiohttpTransport

logger = logging.getLogger(__name__)

LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=1000, keepalive_expiry=30.0)

CONNECT_SECONDS = 10.0
READ_SECONDS = 180.0  # the time limit of managed compute for a request
DEFAULT_TIMEOUT = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=None)

_url = lru_cache(maxsize=256)(httpx.URL)


def build_request(
    method: str,
    url: str,
    *,
    headers: httpx.Headers,
    content: bytes,
    timeout: httpx.Timeout = DEFAULT_TIMEOUT,
) -> httpx.Request:
    """Build a request from exactly these parts."""
    return httpx.Request(
        method,
        _url(url),
        headers=headers,
        stream=httpx.ByteStream(content),  # `content=` would make httpx check the headers again
        extensions={"timeout": timeout.as_dict()},
    )


class LeanClient:
    """Sends requests over one transport.

    It leaves out the steps that `httpx.Client` adds to each request: cookies, redirects, event
    hooks, and the merging of URLs, parameters and headers. They take a third of a call. Tools that
    observe or replace `httpx.HTTPTransport` or httpcore still see every request.
    """

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    build_request = staticmethod(build_request)

    def send(self, request: httpx.Request, **_: Any) -> httpx.Response:
        """Send a signed request and return the open response."""
        response = self._transport.handle_request(request)
        response.request = request
        if logger.isEnabledFor(logging.DEBUG):
            _log(response)
        return response

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()


class AsyncLeanClient:
    """`LeanClient` for one event loop."""

    def __init__(self, transport: "AiohttpTransport") -> None:
        self._transport = transport

    build_request = staticmethod(build_request)

    async def send(self, request: httpx.Request, **_: Any) -> httpx.Response:
        """Send a signed request and return the open response."""
        response = await self._transport.handle_async_request(request)
        response.request = request
        if logger.isEnabledFor(logging.DEBUG):
            _log(response)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def abandon(self) -> None:
        """Detach the connections of a loop that has ended."""
        self._transport.abandon()


class ProxyClient:
    """Sends requests through the environment's proxies, except to this machine.

    Keys may be sent to this machine over plain http, and a proxy would see them. httpx's mounts
    cannot match all addresses of 127.0.0.0/8.
    """

    def __init__(self, client: httpx.Client, direct: LeanClient) -> None:
        self._client = client
        self._direct = direct

    build_request = staticmethod(build_request)

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a signed request and return the open response."""
        client = self._direct if is_loopback(request.url.host) else self._client
        return client.send(request, **options)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()
        self._direct.close()


class AsyncProxyClient:
    """`ProxyClient` for one event loop."""

    def __init__(self, client: httpx.AsyncClient, direct: AsyncLeanClient) -> None:
        self._client = client
        self._direct = direct

    build_request = staticmethod(build_request)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a signed request and return the open response."""
        client = self._direct if is_loopback(request.url.host) else self._client
        return await client.send(request, **options)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        await self._direct.aclose()

    def abandon(self) -> None:
        """Detach the connections of a loop that has ended."""
        self._direct.abandon()


Client = httpx.Client | LeanClient | ProxyClient
AsyncClient = httpx.AsyncClient | AsyncLeanClient | AsyncProxyClient


def _log(response: httpx.Response) -> None:
    request = response.request
    url = request.url.copy_with(query=None)  # a gateway's query may contain a key
    logger.debug("%s %s: %s", request.method, url, response.status_code)


# -- sharing -------------------------------------------------------------------------------------


class _SharedClient:
    """A client, and the number of its running requests."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.users = 0
        self.is_retired = False


class _SharedAsyncClient:
    """A client of one event loop, which is closed when the loop ends."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.users = 0
        self.is_retired = False
        self.lifetime = _close_with_loop(client)


class _Shared:
    """The clients that the models of one process share."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sync: _SharedClient | None = None
        self.by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _SharedAsyncClient] = (
            weakref.WeakKeyDictionary()
        )


_shared = _Shared()
_inherited: list[_Shared] = []


class BorrowedClient:
    """A context with the client for one request: the user's own, or the process's."""

    def __init__(self, own: httpx.Client | None) -> None:
        self._own = own
        self._borrowed: _SharedClient | None = None

    def __enter__(self) -> Client:
        if self._own is not None:
            return self._own
        shared = _shared
        with shared.lock:
            if shared.sync is None:
                shared.sync = _SharedClient(_make_client())
            self._borrowed = borrowed = shared.sync
            borrowed.users += 1
        return borrowed.client

    def __exit__(self, *_: object) -> None:
        borrowed = self._borrowed
        if borrowed is None:
            return
        with _shared.lock:
            borrowed.users -= 1
            is_last = borrowed.is_retired and borrowed.users == 0
        if is_last:
            borrowed.client.close()


class BorrowedAsyncClient:
    """A context with the async client for one request: the user's own, or the running loop's."""

    def __init__(self, own: httpx.AsyncClient | None) -> None:
        self._own = own
        self._borrowed: _SharedAsyncClient | None = None

    async def __aenter__(self) -> AsyncClient:
        if self._own is not None:
            return self._own
        self._borrowed = borrowed = await _client_of_loop()
        borrowed.users += 1
        return borrowed.client

    async def __aexit__(self, *_: object) -> None:
        borrowed = self._borrowed
        if borrowed is None:
            return
        borrowed.users -= 1
        if borrowed.is_retired and borrowed.users == 0:
            await borrowed.lifetime.aclose()


async def _client_of_loop() -> _SharedAsyncClient:
    loop = asyncio.get_running_loop()
    with _shared.lock:
        known = _shared.by_loop.get(loop)
        if known is not None:
            return known
        _abandon_ended_loops()
        shared = _SharedAsyncClient(_make_async_client())
        _shared.by_loop[loop] = shared
    await anext(shared.lifetime)
    return shared


def _abandon_ended_loops() -> None:
    """Forget loops that were closed without `shutdown_asyncgens`."""
    for loop in [loop for loop in _shared.by_loop if loop.is_closed()]:
        client = _shared.by_loop.pop(loop).client
        if isinstance(client, AsyncLeanClient | AsyncProxyClient):
            client.abandon()


def close_shared() -> None:
    """Close the process's client now, or when its last open response has been read."""
    with _shared.lock:
        shared, _shared.sync = _shared.sync, None
        if shared is None:
            return
        shared.is_retired = True
        is_idle = shared.users == 0
    if is_idle:
        shared.client.close()


async def aclose_shared() -> None:
    """Close the running loop's client now, or when its last open response has been read."""
    with _shared.lock:
        shared = _shared.by_loop.pop(asyncio.get_running_loop(), None)
    if shared is None:
        return
    shared.is_retired = True
    if shared.users == 0:
        await shared.lifetime.aclose()


async def _close_with_loop(client: AsyncClient) -> AsyncGenerator[None, None]:
    """Close `client` with its loop.

    A loop closes its suspended async generators before it ends (`shutdown_asyncgens`, which
    `asyncio.run` and every runner calls). This is the only hook that still runs inside the loop.
    """
    try:
        yield
    finally:
        await client.aclose()


def _make_client() -> Client:
    proxied = _make_httpx_client() if has_proxy() else None
    direct = LeanClient(httpx.HTTPTransport(verify=ssl_context(), limits=LIMITS))
    return direct if proxied is None else ProxyClient(proxied, direct)


def make_httpx_client(host: str | None) -> httpx.Client:
    """A client of httpx for one host, through the environment's proxies unless it is this machine.

    Raises:
        InvalidInputError: The environment's certificates or proxies cannot be used.
    """
    if is_loopback(host):
        return httpx.Client(verify=ssl_context(), trust_env=False, **_httpx_options())
    return _make_httpx_client()


def _make_httpx_client() -> httpx.Client:
    with CheckProxies():
        return httpx.Client(verify=ssl_context(), **_httpx_options())


def _make_async_client() -> AsyncClient:
    # Imported here: aiohttp takes as long to import as all of this package.
    try:
        from langchain_azure_phi3._http.aiohttp_transport import AiohttpTransport
    except OSError as problem:  # aiohttp sets up TLS when it is imported
        raise certificate_error(problem) from None
    proxied = _make_async_httpx_client() if has_proxy() else None
    direct = AsyncLeanClient(AiohttpTransport(LIMITS))
    return direct if proxied is None else AsyncProxyClient(proxied, direct)


def _make_async_httpx_client() -> httpx.AsyncClient:
    with CheckProxies():
        return httpx.AsyncClient(verify=ssl_context(), **_httpx_options())


def _httpx_options() -> dict[str, Any]:
    return {"limits": LIMITS, "timeout": DEFAULT_TIMEOUT, "cookies": _no_cookies()}


def _no_cookies() -> CookieJar:
    # Load balancers set cookies; those of one deployment must not be sent to another one.
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _close_at_exit() -> None:
    close_shared()
    for shared in list(_shared.by_loop.values()):
        if isinstance(shared.client, AsyncLeanClient | AsyncProxyClient):
            shared.client.abandon()


def _reset_after_fork() -> None:
    """Reset the clients in a forked child, which must not write into its parent's connections.

    They are kept, not closed: closing them would unregister them from the parent's selectors.
    """
    global _shared
    _inherited.append(_shared)
    _shared = _Shared()


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
