"""The emulator as an `httpx` transport, for both colours: no server, no thread, no waiting.

Time passes at once here: a stall is a read timeout, straight away.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial

import httpx

from langchain_azure_phi3.emulator.deployment import Deployment
from langchain_azure_phi3.emulator.threads import in_thread, steps_of
from langchain_azure_phi3.emulator.wire import Break, Headers, Reply, Request, Step


class EmulatorTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """For `httpx.Client(transport=...)` and `httpx.AsyncClient(transport=...)`."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of `httpx.Client`."""
        return self._response(self._deployment.answer(_read(request, request.read())))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of `httpx.AsyncClient`."""
        asked = _read(request, await request.aread())
        if not self._deployment.blocks:
            return self._response(self._deployment.answer(asked))
        return self._response(await in_thread(partial(self._deployment.answer, asked)))

    def _response(self, reply: Reply) -> httpx.Response:
        if reply.status == 0:
            list(_Steps(reply))  # all that it holds is a break, which raises
        return httpx.Response(reply.status, headers=dict(reply.headers), stream=_Steps(reply))


def _read(request: httpx.Request, body: bytes) -> Request:
    return Request(
        request.method,
        request.url.path,
        dict(request.url.params),
        Headers(request.headers.items()),
        body,
    )


class _Steps(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def __iter__(self) -> Iterator[bytes]:
        for step in self._reply.steps:
            yield _bytes(step)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with aclosing(steps_of(self._reply)) as steps:
            async for step in steps:
                yield _bytes(step)


def _bytes(step: Step) -> bytes:
    if isinstance(step, Break):
        raise _failure(step)
    return step


_FAILURES = {
    "cut": (httpx.RemoteProtocolError, "The peer closed the connection before the answer's end"),
    "reset": (httpx.ReadError, "Connection reset by peer"),
    "stall": (httpx.ReadTimeout, "The read operation timed out"),
}


def _failure(broken: Break) -> httpx.TransportError:
    kind, message = _FAILURES[broken.how]
    return kind(message)
