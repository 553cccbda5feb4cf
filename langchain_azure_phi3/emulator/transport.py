"""The emulator as a sync and async `httpx` transport, without a server or a thread.

It does not wait: a stall raises a read timeout immediately.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial

import httpx

from langchain_azure_phi3.emulator.deployment import Deployment
from langchain_azure_phi3.emulator.threads import iterate_parts, run_in_thread
from langchain_azure_phi3.emulator.wire import BodyPart, ConnectionFault, Headers, Reply, Request


class EmulatorTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport for `httpx.Client(transport=...)` and `httpx.AsyncClient(transport=...)`."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Handle a request of `httpx.Client`."""
        return _to_response(self._deployment.answer(_to_request(request, request.read())))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Handle a request of `httpx.AsyncClient`."""
        answer = partial(self._deployment.answer, _to_request(request, await request.aread()))
        return _to_response(await run_in_thread(answer) if self._deployment.blocking else answer())


def _to_request(request: httpx.Request, body: bytes) -> Request:
    headers = Headers(request.headers.items())
    return Request(request.method, request.url.path, dict(request.url.params), headers, body)


def _to_response(reply: Reply) -> httpx.Response:
    body = _Body(reply)
    if reply.status == 0:
        list(body)  # its only part is a connection fault, which raises
    return httpx.Response(reply.status, headers=dict(reply.headers), stream=body)


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def __iter__(self) -> Iterator[bytes]:
        for part in self._reply.parts:
            yield _to_bytes(part)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with aclosing(iterate_parts(self._reply)) as parts:
            async for part in parts:
                yield _to_bytes(part)


def _to_bytes(part: BodyPart) -> bytes:
    if not isinstance(part, ConnectionFault):
        return part
    if part.action == "cut":
        raise httpx.RemoteProtocolError("The peer closed the connection before the response's end")
    if part.action == "reset":
        raise httpx.ReadError("Connection reset by peer")
    raise httpx.ReadTimeout("The read operation timed out")
