"""An in-process transport that answers with the bytes of a test, in the pieces of a test."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import httpx

from langchain_azure_phi3 import ChatAzurePhi3

STREAM = {"content-type": "text/event-stream"}


class _Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


class Scripted(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Gives every request the same answer, and keeps the bodies of the requests."""

    def __init__(
        self,
        pieces: Sequence[bytes],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.sent: list[bytes] = []
        self._pieces = pieces
        self._status = status
        self._headers = dict(headers or {})

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer `httpx.Client`."""
        self.sent.append(request.read())
        return httpx.Response(self._status, headers=self._headers, stream=_Pieces(self._pieces))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer `httpx.AsyncClient`."""
        self.sent.append(await request.aread())
        return httpx.Response(self._status, headers=self._headers, stream=_Pieces(self._pieces))


def model_on(transport: Any, **settings: Any) -> ChatAzurePhi3:
    """A model whose sync and async requests go to `transport`, without retries."""
    return ChatAzurePhi3(
        endpoint="https://phi.example",
        credential="canary-of-scripted-answers",
        max_retries=0,
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
        **settings,
    )
