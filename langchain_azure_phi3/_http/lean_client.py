"""An httpx client that sends one signed request, and does nothing else that takes time.

Half of what httpx's own clients do for a call, no model needs: cookies, redirects, event hooks,
and merging each request with a base URL, parameters and headers of the client.
"""

import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from functools import cache, lru_cache
from typing import Any

import httpx
from typing_extensions import override

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
READ_SECONDS = 180.0  # the longest that managed compute lets a request take
_TIMEOUT = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=None)

# What the transports say in the same words.
DISCONNECTED = "the server disconnected"
NO_END = "the body has no proper end"
NO_HTTP = "the server does not speak HTTP/1.1 ({})"
NO_HEADER = "a header cannot be sent"

HEAD_BYTES = 102_400  # the most of an answer before its body; h11 reads as many

# After a stream has said all: how long, and for how many bytes, the end of its body is waited for.
AFTERWARDS_SECONDS = 0.5
AFTERWARDS_BYTES = 65_536

_url = lru_cache(maxsize=256)(httpx.URL)


class DirectClient(httpx.Client):
    """For threads, over one transport."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        super().__init__(transport=transport, trust_env=False)
        self._direct = transport

    @override
    def build_request(self, method: str, url: Any, **given: Any) -> httpx.Request:
        """A request of what is given, and nothing beside it."""
        return _built(method, url, **given)

    @override
    def send(self, request: httpx.Request, *, auth: Any = None, **_: Any) -> httpx.Response:
        """The open response to a request, or to the one that its refusal demanded."""
        with closing(auth.sync_auth_flow(request)) as flow:
            signed = next(flow)
            while True:
                response = self._direct.handle_request(signed)
                response.request = signed
                _log(response)
                try:
                    signed = flow.send(response)
                    response.read()
                except StopIteration:
                    return response
                except BaseException:
                    response.close()
                    raise


class AsyncDirectClient(httpx.AsyncClient):
    """For one event loop, over one transport."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(transport=transport, trust_env=False)
        self._direct = transport

    @override
    def build_request(self, method: str, url: Any, **given: Any) -> httpx.Request:
        """A request of what is given, and nothing beside it."""
        return _built(method, url, **given)

    @override
    async def send(self, request: httpx.Request, *, auth: Any = None, **_: Any) -> httpx.Response:
        """The open response to a request, or to the one that its refusal demanded."""
        async with aclosing(auth.async_auth_flow(request)) as flow:
            signed = await anext(flow)
            while True:
                response = await self._direct.handle_async_request(signed)
                response.request = signed
                _log(response)
                try:
                    signed = await flow.asend(response)
                    await response.aread()
                except StopAsyncIteration:
                    return response
                except BaseException:
                    await response.aclose()
                    raise


def _built(
    method: str,
    url: str,
    *,
    headers: httpx.Headers,
    timeout: httpx.Timeout = _TIMEOUT,
    content: bytes = b"",
) -> httpx.Request:
    held = httpx.Headers(headers)
    if content:
        held["content-length"] = str(len(content))
    return httpx.Request(
        method,
        _url(url),
        headers=held,
        stream=httpx.ByteStream(content),  # httpx would look again for headers that are missing
        extensions={"timeout": timeout.as_dict()},
    )


class DirectBody(httpx.SyncByteStream):
    """What a direct client's transport answers with: a body on a connection to be kept."""

    def said_all(self) -> None:
        """Read what is left, which says nothing, so that the connection can be used again."""
        raise NotImplementedError


class AsyncDirectBody(httpx.AsyncByteStream):
    """The same in an event loop."""

    async def asaid_all(self) -> None:
        """Read what is left, which says nothing, so that the connection can be used again."""
        raise NotImplementedError


def pieces(response: httpx.Response) -> Iterator[bytes]:
    """The body as it arrives; httpx adds two generators a piece, for what is seldom compressed."""
    if isinstance(response.stream, DirectBody) and "content-encoding" not in response.headers:
        return iter(response.stream)
    return response.iter_bytes()


def apieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The same in an event loop."""
    if isinstance(response.stream, AsyncDirectBody) and "content-encoding" not in response.headers:
        return aiter(response.stream)
    return response.aiter_bytes()


def said_all(response: httpx.Response) -> None:
    """Let a stream that has ended give back its connection, where the transport can."""
    if isinstance(response.stream, DirectBody):
        response.stream.said_all()


async def asaid_all(response: httpx.Response) -> None:
    """The same in an event loop."""
    if isinstance(response.stream, AsyncDirectBody):
        await response.stream.asaid_all()


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that httpx trusts, read once: they take longer than a connection."""
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _log(response: httpx.Response) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        request = response.request
        url = request.url.copy_with(query=None)  # a gateway's query may hold a key
        logger.debug("%s %s: %s", request.method, url, response.status_code)
