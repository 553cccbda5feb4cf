"""The emulator as an `httpx` transport, for both colours: no server, no thread, no waiting.

Time passes at once here: a stall is a read timeout, straight away.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import NoReturn

import httpx

from langchain_azure_phi3.emulator.deployment import Deployment
from langchain_azure_phi3.emulator.wire import Break, Headers, Reply, Request, Step


class EmulatorTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """For `httpx.Client(transport=...)` and `httpx.AsyncClient(transport=...)`."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of `httpx.Client`."""
        return self._response(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of `httpx.AsyncClient`."""
        return self._response(request, await request.aread())

    def _response(self, request: httpx.Request, body: bytes) -> httpx.Response:
        reply = self._deployment.answer(
            Request(
                request.method,
                request.url.path,
                dict(request.url.params),
                Headers(request.headers.items()),
                body,
            )
        )
        if reply.status == 0:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        return httpx.Response(reply.status, headers=dict(reply.headers), stream=_Steps(reply))


class _Steps(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, reply: Reply) -> None:
        self._steps: Iterable[Step] = reply.steps

    def __iter__(self) -> Iterator[bytes]:
        for step in self._steps:
            if isinstance(step, Break):
                _fail(step)
            yield step

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self:
            yield step


def _fail(broken: Break) -> NoReturn:
    if broken.how == "cut":
        raise httpx.RemoteProtocolError(
            "peer closed connection without sending complete message body"
        )
    if broken.how == "reset":
        raise httpx.ReadError("Connection reset by peer")
    raise httpx.ReadTimeout("The read operation timed out")
