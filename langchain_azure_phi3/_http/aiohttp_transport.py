"""aiohttp beneath httpx's asynchronous client: its pool costs the same however many wait.

httpx's own looks through all connections and all waiting requests at each request, so that its
throughput falls as concurrency grows; and aiohttp reads HTTP in C.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import lru_cache
from io import BytesIO

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from langchain_azure_phi3._http.lean_client import (
    AFTERWARDS_BYTES,
    AFTERWARDS_SECONDS,
    DISCONNECTED,
    HEAD_BYTES,
    NO_END,
    NO_HEADER,
    NO_HTTP,
    AsyncDirectBody,
    trusted,
)

_AT_ONCE = 262_144  # bytes
_QUOTES = re.compile(r":?\s*\n|: b'")


def _no_http(problem: Exception) -> str:
    # "Invalid header token:", a line that quotes it, and in another form of it the URL.
    found = _QUOTES.split(getattr(problem, "message", ""), maxsplit=1)[0]
    return NO_HTTP.format(found)


def _refusal(problem: Exception) -> str:
    return str(getattr(problem, "os_error", None) or getattr(problem, "certificate_error", problem))


def _break(problem: Exception) -> str:
    number = getattr(problem, "errno", None)
    return "the connection broke" if number is None else os.strerror(number)


# What aiohttp raises, what httpx would have raised, and what to say: the first that fits. Its own
# words hold the URL, and with it perhaps a gateway's key.
_NAMES: tuple[
    tuple[type[Exception], type[httpx.TransportError], str | Callable[[Exception], str]], ...
] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout, "timed out"),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout, "timed out"),
    (aiohttp.ClientConnectorError, httpx.ConnectError, _refusal),
    (aiohttp.ClientSSLError, httpx.ConnectError, _refusal),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError, DISCONNECTED),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, NO_END),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError, _no_http),
    (HttpProcessingError, httpx.RemoteProtocolError, _no_http),
    (aiohttp.ClientConnectionError, httpx.ReadError, _break),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol, "the URL is none"),
    (ValueError, httpx.LocalProtocolError, NO_HEADER),
)
# They are raised without their cause, which holds the request and with it the credential.
_RAISED = tuple(theirs for theirs, _, _ in _NAMES)


def _as_httpx(problem: Exception) -> httpx.TransportError:
    kind, said = next((ours, said) for theirs, ours, said in _NAMES if isinstance(problem, theirs))
    return kind(said if isinstance(said, str) else said(problem))


class AiohttpTransport(httpx.AsyncBaseTransport):
    """For `httpx.AsyncClient(transport=...)`, in one event loop."""

    def __init__(self, limits: httpx.Limits) -> None:
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's body is still to be read."""
        seconds = request.extensions.get("timeout", {})
        try:
            response = await self._open().request(
                request.method,
                _url(str(request.url)),
                headers=request.headers.multi_items(),
                data=_upload(await request.aread()),
                allow_redirects=False,
                ssl=trusted() if request.url.scheme == "https" else True,
                timeout=_limits(seconds.get("pool"), seconds.get("connect"), seconds.get("read")),
            )
        except _RAISED as problem:
            raise _as_httpx(problem) from None
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Body(response),
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": (response.reason or "").encode("latin-1", "replace"),
            },
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._limits.max_connections or 0,
                    keepalive_timeout=self._limits.keepalive_expiry,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=HEAD_BYTES,
                max_field_size=HEAD_BYTES,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            )
        return self._session


class _Body(AsyncDirectBody):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        # aiohttp 3.14 closes a connection on which a body's framing breaks, and tells the response
        # nothing of it: whoever reads would wait for ever, whatever the timeout.
        connection = response.connection
        protocol = connection.protocol if connection is not None else None
        self._closed = protocol.closed if protocol is not None else None
        if self._closed is not None:
            self._closed.add_done_callback(self._ended)
            self._closed.remove_done_callback(_retrieved)  # of the connection's last response
            self._closed.add_done_callback(_retrieved)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except _RAISED as problem:
            raise _as_httpx(problem) from None

    async def asaid_all(self) -> None:
        """Read what is left; it fails in silence, and soon."""
        size = 0
        with suppress(TimeoutError, *_RAISED):
            async with asyncio.timeout(AFTERWARDS_SECONDS):
                async for piece in self._response.content.iter_any():
                    size += len(piece)
                    if size > AFTERWARDS_BYTES:
                        return

    async def aclose(self) -> None:
        """Give the connection back, or close it where the body has not been read."""
        if self._closed is not None:
            self._closed.remove_done_callback(self._ended)
        self._response.close()

    def _ended(self, _: object) -> None:
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError())


def _upload(content: bytes) -> bytes | BytesIO | None:
    # Pictures are large: aiohttp sends a file in pieces, and lets others run between them.
    return BytesIO(content) if len(content) > _AT_ONCE else content or None


@lru_cache(maxsize=256)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


@lru_cache(maxsize=256)
def _limits(pool: float | None, connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=pool, sock_connect=connect, sock_read=read)


def _retrieved(closed: asyncio.Future[None]) -> None:
    """Look at why a connection ended, or asyncio says later that nobody did."""
    if not closed.cancelled():
        closed.exception()
