"""A transport for httpx that uses aiohttp: it parses HTTP in C, and its pool does not slow down.

httpx's own pool scans all connections and all waiting requests at each request. The package
`httpx-aiohttp` keeps cookies, reports connect timeouts as read timeouts, has no write timeout and
reuses connections that received something while they were idle.
"""

import asyncio
import os
import re
import select
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from langchain_azure_phi3._http.environment import ssl_context

_HEAD_BYTES = 102_400  # the limit for a response's head, as in h11
_UPLOAD_BYTES = 65_536
_QUOTES = re.compile(r":?\s*\n|: b'")  # precedes a quoted header or URL in a message


def _not_http(problem: Exception) -> str:
    reason = _QUOTES.split(getattr(problem, "message", ""), maxsplit=1)[0]
    return f"the server does not use HTTP/1.1 ({reason})"


def _refusal(problem: Exception) -> str:
    return str(getattr(problem, "os_error", None) or getattr(problem, "certificate_error", problem))


def _system_error(problem: Exception) -> str:
    number = getattr(problem, "errno", None)
    return "the connection broke" if number is None else os.strerror(number)


# aiohttp's exception, the equivalent of httpx, and the message; the first match counts. aiohttp's
# own messages contain the URL, which may contain a gateway's key.
_Error = tuple[type[Exception], type[httpx.TransportError], str | Callable[[Exception], str]]
_ERRORS: tuple[_Error, ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout, "timed out"),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout, "timed out"),
    (TimeoutError, httpx.WriteTimeout, "timed out"),
    (aiohttp.ClientConnectorError, httpx.ConnectError, _refusal),
    (aiohttp.ClientSSLError, httpx.ConnectError, _refusal),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError, "the server disconnected"),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, "the body is incomplete"),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError, _not_http),
    (HttpProcessingError, httpx.RemoteProtocolError, _not_http),
    (aiohttp.ClientConnectionError, httpx.ReadError, _system_error),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol, "the URL is invalid"),
    (ValueError, httpx.LocalProtocolError, "a header cannot be sent"),
)
# Raised without their cause, because it contains the request and so the credential.
_RAISED = tuple(theirs for theirs, _, _ in _ERRORS)


def _as_httpx(problem: Exception) -> httpx.TransportError:
    error, message = next((o, m) for theirs, o, m in _ERRORS if isinstance(problem, theirs))
    return error(message if isinstance(message, str) else message(problem))


class AiohttpTransport(httpx.AsyncBaseTransport):
    """A transport for the running event loop."""

    def __init__(self, limits: httpx.Limits) -> None:
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=limits.max_connections or 0,
                keepalive_timeout=limits.keepalive_expiry,
                socket_factory=_make_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_HEAD_BYTES,
            max_field_size=_HEAD_BYTES,
            skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and return the response before its body is read."""
        seconds = request.extensions["timeout"]
        context = ssl_context() if request.url.scheme == "https" else True
        try:
            async with asyncio.timeout(None) as writing:
                response = await self._session.request(
                    request.method,
                    _url(str(request.url)),
                    headers=request.headers.multi_items(),
                    data=_upload(await request.aread(), writing, seconds["write"]),
                    allow_redirects=False,
                    ssl=context,
                    timeout=aiohttp.ClientTimeout(
                        connect=seconds["pool"],
                        sock_connect=seconds["connect"],
                        sock_read=seconds["read"],
                    ),
                )
        except _RAISED as problem:
            raise _as_httpx(problem) from None
        return httpx.Response(
            response.status,
            # Responses that vcrpy replays have no raw headers.
            headers=response.raw_headers or tuple(response.headers.items()),
            stream=_Body(response),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    def abandon(self) -> None:
        """Detach the session of a loop that has ended, or aiohttp would log an error."""
        with suppress(StopIteration):
            self._session.close().send(None)
        self._session.detach()


class _Socket(socket.socket):
    """Does not report a failed write while there is a response to read.

    A server that rejects an upload may respond and close the connection before it has read all of
    it. asyncio stops reading when a write fails, and the response would be lost.
    """

    def send(self, *args: Any) -> int:
        try:
            return super().send(*args)
        except ConnectionError:
            if not self._has_response():
                raise
            return len(args[0])

    def sendmsg(self, *args: Any) -> int:
        try:
            return super().sendmsg(*args)
        except ConnectionError:
            if not self._has_response():
                raise
            return sum(map(len, args[0]))

    def _has_response(self) -> bool:
        try:
            return len(self.recv(1, socket.MSG_PEEK)) > 0
        except OSError:
            return False


def _make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    return _Socket(*address[:3])


_used: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()


class _Connector(aiohttp.TCPConnector):
    """Does not reuse connections that received anything between two requests.

    aiohttp checks this when a connection is released, but not when it is reused.
    """

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        while True:
            connection = await super().connect(*args, **kwargs)
            protocol: Any = connection.protocol
            if protocol not in _used:
                _used.add(protocol)
                if (closed := protocol.closed) is not None:
                    closed.add_done_callback(_retrieve)
            elif _has_received(protocol):
                connection.close()
                continue
            return connection


def _has_received(protocol: ResponseHandler) -> bool:
    """Whether anything arrived since the last response, or the connection ended."""
    # The handle exists if any byte was read, because a byte restarts the read timeout.
    if protocol.should_close or getattr(protocol, "_read_timeout_handle", None) is not None:
        return True
    # Bytes that the loop has not read yet.
    sock = None if protocol.transport is None else protocol.transport.get_extra_info("socket")
    if sock is None:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        # aiohttp 3.14 closes a connection if a body's framing is broken, but does not notify the
        # response: the reader would wait forever, whatever the timeout.
        connection = response.connection
        protocol = connection.protocol if connection is not None else None
        self._closed = protocol.closed if protocol is not None else None
        if self._closed is not None:
            self._closed.add_done_callback(self._end)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except _RAISED as problem:
            raise _as_httpx(problem) from None

    async def aclose(self) -> None:
        """Release the connection, or close it if the body has not been read."""
        if self._closed is not None:
            self._closed.remove_done_callback(self._end)
        self._response.close()

    def _end(self, _: object) -> None:
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError())


def _upload(content: bytes, writing: asyncio.Timeout, seconds: float | None) -> Any:
    """Return the content for aiohttp to send, in pieces if large, each within the write timeout.

    aiohttp has no write timeout, and its read timeout only starts when the request is sent.
    """

    async def pieces() -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        for start in range(0, len(content), _UPLOAD_BYTES):
            # Once the server has responded, the rest is not needed.
            with suppress(RuntimeError):
                writing.reschedule(None if seconds is None else loop.time() + seconds)
            yield content[start : start + _UPLOAD_BYTES]
            await asyncio.sleep(0)  # images are large: let other tasks run in between
        with suppress(RuntimeError):
            writing.reschedule(None)

    return pieces() if len(content) > _UPLOAD_BYTES else content or None


@lru_cache(maxsize=256)
def _url(text: str) -> URL:
    return URL(text, encoded=True)


def _retrieve(closed: asyncio.Future[None]) -> None:
    """Retrieve the exception of a closed connection, or asyncio logs that it was not retrieved."""
    if not closed.cancelled():
        closed.exception()
