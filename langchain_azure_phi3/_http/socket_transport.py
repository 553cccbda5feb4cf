"""Sockets beneath httpx's synchronous client, with HTTP read in C.

httpx's own transport takes most of its time for reading HTTP in Python, sends head and body of a
request apart, and throws a stream's connection away at `[DONE]`, which is not yet the end of its
body: each stream would have to connect again.
"""

import math
import re
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import httpx

from langchain_azure_phi3._http.http_reader import HttpReader
from langchain_azure_phi3._http.lean_client import (
    AFTERWARDS_BYTES,
    AFTERWARDS_SECONDS,
    NO_HEADER,
    DirectBody,
    trusted,
)

_PORTS = {"http": 80, "https": 443}
_STEP_BYTES = 65_536  # read or written at once, each within the timeout

# RFC 9110, 5.1 and 5.5: what a header cannot hold would end it, and begin another.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


class SocketTransport(httpx.BaseTransport):
    """For `httpx.Client(transport=...)`; many threads may share it, each with its connections."""

    def __init__(self, limits: httpx.Limits) -> None:
        """`limits`: how many idle connections are kept to each server, and for how long."""
        self._idle = _Idle(limits.max_keepalive_connections, limits.keepalive_expiry)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's body is still to be read."""
        seconds = request.extensions["timeout"]
        packet, origin = _packet(request), _origin(request.url)
        connection = self._idle.taken(origin) or _Connection(origin, seconds["connect"])
        try:
            answer = connection.asked(packet, seconds["write"], seconds["read"])
        except BaseException:
            connection.close()
            raise
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, connection, seconds["read"], self._idle),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": answer.reason},
        )

    def close(self) -> None:
        """Close all connections; those in use are closed after it."""
        self._idle.close()


def _origin(url: httpx.URL) -> _Origin:
    if url.scheme not in _PORTS:
        raise httpx.UnsupportedProtocol(f"{url.scheme!r} is neither http nor https")
    port = _PORTS[url.scheme] if url.port is None else url.port
    return _Origin(url.scheme, url.raw_host.decode(), port)


def _packet(request: httpx.Request) -> bytes:
    """Head and body together, because they leave at once."""
    headers = request.headers.raw
    for name, value in headers:
        if not _NAME.fullmatch(name) or _NOT_IN_VALUES.search(value):
            raise httpx.LocalProtocolError(NO_HEADER)
    first = b"%b %b HTTP/1.1\r\n" % (request.method.encode(), request.url.raw_path)
    return b"".join(
        (first, *(b"%b: %b\r\n" % header for header in headers), b"\r\n", request.read())
    )


class _Connection:
    """A socket to one server, for one request at a time."""

    def __init__(self, origin: _Origin, seconds: float | None) -> None:
        self.origin = origin
        self.idle_until = 0.0
        try:
            self._socket = _connected(origin, seconds)
        except TimeoutError as problem:
            raise httpx.ConnectTimeout(str(problem)) from problem
        except OSError as problem:
            raise httpx.ConnectError(str(problem)) from problem

    def asked(self, packet: bytes, writing: float | None, reading: float | None) -> HttpReader:
        """The answer to a request: its head, and what came of the body with it."""
        refused = self._send(packet, writing)
        answer = HttpReader(is_last=refused is not None)
        try:
            while not answer.has_head:
                self.read_into(answer, reading)
        except (httpx.ReadError, httpx.RemoteProtocolError) as problem:
            raise refused or problem from None
        return answer

    def read_into(self, answer: HttpReader, seconds: float | None) -> int:
        """Wait for more of an answer; the number of bytes that came.

        Raises:
            TransportError: What came before was the last that makes sense, or none came in time.
        """
        if answer.problem is not None:
            raise answer.problem
        try:
            self._socket.settimeout(seconds)
            data = self._socket.recv(_STEP_BYTES)
        except TimeoutError as problem:
            raise httpx.ReadTimeout(str(problem)) from problem
        except OSError as problem:
            raise httpx.ReadError(str(problem)) from problem
        if data:
            answer.feed(data)
        else:
            answer.end()
        return len(data)

    def _send(self, packet: bytes, seconds: float | None) -> httpx.WriteError | None:
        """What ended it early, if anything: the server may have answered, and say why."""
        rest = memoryview(packet)
        try:
            self._socket.settimeout(seconds)
            while rest:
                rest = rest[self._socket.send(rest[:_STEP_BYTES]) :]
        except TimeoutError as problem:
            raise httpx.WriteTimeout(str(problem)) from problem
        except OSError as problem:
            return httpx.WriteError(str(problem))
        return None

    def is_silent(self) -> bool:
        """Whether the server has neither closed it nor said what nobody asked for."""
        if not hasattr(select, "poll"):  # Windows
            return not select.select([self._socket], [], [], 0)[0]
        watch = select.poll()
        watch.register(self._socket, select.POLLIN)
        return not watch.poll(0)

    def close(self) -> None:
        self._socket.close()


def _connected(origin: _Origin, seconds: float | None) -> socket.socket:
    plain = socket.create_connection((origin.host, origin.port), seconds)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if origin.scheme == "http":
            return plain
        return trusted().wrap_socket(plain, server_hostname=origin.host)
    except BaseException:
        plain.close()
        raise


class _Body(DirectBody):
    """The rest of an answer, and the connection that it comes by."""

    def __init__(
        self, answer: HttpReader, connection: _Connection, seconds: float | None, idle: "_Idle"
    ) -> None:
        self._answer = answer
        self._connection = connection
        self._seconds = seconds
        self._idle = idle
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        answer = self._answer
        while True:
            if answer.pieces:
                yield answer.piece()
            if answer.is_whole:
                return
            self._connection.read_into(answer, self._seconds)

    def said_all(self) -> None:
        """Read what is left; it fails in silence, and soon."""
        answer, size = self._answer, 0
        end = time.monotonic() + AFTERWARDS_SECONDS
        with suppress(httpx.TransportError):
            while not answer.is_whole and size <= AFTERWARDS_BYTES:
                size += self._connection.read_into(answer, max(0.0, end - time.monotonic()))

    def close(self) -> None:
        """Give the connection back, or close it where the body has not been read."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._answer.keeps_connection:
            self._idle.give(self._connection)
        else:
            self._connection.close()


class _Idle:
    """Connections that wait for the next request; what was used last is used next.

    Without a lock: whatever disturbs a deque that others use is one operation on it.
    """

    def __init__(self, most: int | None, seconds: float | None) -> None:
        self._most = math.inf if most is None else most
        self._seconds = math.inf if seconds is None else seconds
        self._swept_at = 0.0
        self._waiting: dict[_Origin, deque[_Connection]] = {}
        self._is_closed = False

    def taken(self, origin: _Origin) -> _Connection | None:
        """One that can be used; what cannot is closed."""
        waiting = self._waiting.get(origin)
        with suppress(IndexError):
            while waiting:
                connection = waiting.pop()
                if connection.idle_until > time.monotonic() and connection.is_silent():
                    return connection
                connection.close()
        return None

    def give(self, connection: _Connection) -> None:
        """Keep one for the next request, and let go those for which there was none too long."""
        now = time.monotonic()
        connection.idle_until = now + self._seconds
        waiting = self._waiting.setdefault(connection.origin, deque())
        waiting.append(connection)
        self._let_go(waiting, now)
        if now > self._swept_at + self._seconds:  # those to servers that nobody asks any more
            self._swept_at = now
            self._sweep(now)

    def close(self) -> None:
        """Close them all, and each that is given from now on."""
        self._is_closed = True
        self._sweep(time.monotonic())

    def _sweep(self, now: float) -> None:
        for waiting in list(self._waiting.values()):
            self._let_go(waiting, now)

    def _let_go(self, waiting: deque[_Connection], now: float) -> None:
        with suppress(IndexError):
            while self._is_closed or len(waiting) > self._most or waiting[0].idle_until < now:
                waiting.popleft().close()
