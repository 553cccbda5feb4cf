"""httpcore beneath httpx's synchronous client: one packet a request, and streams give back theirs.

httpx's own transport sends head and body of a request apart, and throws a stream's connection away
at `[DONE]`, which is not yet the end of its body: each stream would have to connect again.
"""

from collections.abc import Iterator
from typing import Any

import httpcore
import httpx

from langchain_azure_phi3._http.direct import (
    AFTERWARDS_BYTES,
    AFTERWARDS_SECONDS,
    DirectBody,
    Names,
    as_httpx,
    trusted,
)

_NAMES: Names = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.UnsupportedProtocol, httpx.UnsupportedProtocol),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
)
_RAISED = tuple(theirs for theirs, _ in _NAMES)
_PACKET = 65_536


class HttpcoreTransport(httpx.BaseTransport):
    """For `httpx.Client(transport=...)`; many threads may share it."""

    def __init__(self, limits: httpx.Limits) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=trusted(),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Network(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the response's body is still to be read."""
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            found = self._pool.handle_request(asked)
        except _RAISED as problem:
            raise as_httpx(problem, _NAMES) from problem
        return httpx.Response(
            found.status, headers=found.headers, stream=_Body(found), extensions=found.extensions
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _Body(DirectBody):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response
        self._parts = response.iter_stream()

    def __iter__(self) -> Iterator[bytes]:
        try:
            # Not `yield from`, which would end the parts when the reader has enough.
            for part in self._parts:  # noqa: UP028
                yield part
        except _RAISED as problem:
            raise as_httpx(problem, _NAMES) from problem

    def said_all(self) -> None:
        """Read what is left; it fails in silence, and soon."""
        connection = self._response.extensions["network_stream"]
        connection.patience = AFTERWARDS_SECONDS
        try:
            size = 0
            for part in self._parts:
                size += len(part)
                if size > AFTERWARDS_BYTES:
                    return
        except _RAISED:
            return  # it cannot be used again, and is closed
        finally:
            connection.patience = None

    def close(self) -> None:
        """Give the connection back, or close it where the body has not been read."""
        self._response.close()


class _Network(httpcore.SyncBackend):
    def connect_tcp(self, *given: Any, **named: Any) -> httpcore.NetworkStream:
        return _Connection(super().connect_tcp(*given, **named))


class _Connection(httpcore.NetworkStream):
    """A connection that sends what belongs together at once, and may lose its patience."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self.patience: float | None = None
        self._stream = stream
        self._unsent: list[bytes] = []
        self._size = 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            self._send(timeout)
        return self._stream.read(max_bytes, timeout if self.patience is None else self.patience)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # httpcore writes the head, each piece of the body, and at the end nothing.
        self._unsent.append(buffer)
        self._size += len(buffer)
        if not buffer or self._size > _PACKET:
            self._send(timeout)

    def _send(self, timeout: float | None) -> None:
        packet = b"".join(self._unsent)
        self._unsent.clear()
        self._size = 0
        self._stream.write(packet, timeout)

    def start_tls(self, *given: Any, **named: Any) -> httpcore.NetworkStream:
        return _Connection(self._stream.start_tls(*given, **named))

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
