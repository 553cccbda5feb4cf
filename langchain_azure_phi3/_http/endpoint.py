"""Sends JSON to one deployment over HTTP, sync and async, and returns JSON or raises an error.

The two endpoint classes have the same source, once with `await`, which a test checks. Other modules
make the decisions: `retry_state`, `error_mapping`, `stream_decoder`, `routes`, `auth`.

`send` returns an open, successful response. A failure before that may be retried. After that, an
interrupted response is only retried if it is not streamed, because nothing of it was emitted.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from types import MappingProxyType

import httpx

from langchain_azure_phi3._http import transfer
from langchain_azure_phi3._http.client import (
    AsyncClient,
    BorrowedAsyncClient,
    BorrowedClient,
    Client,
)
from langchain_azure_phi3._http.connection import RECEIVING, SENDING, Connection, HttpRequest
from langchain_azure_phi3._http.error_mapping import parse_completion
from langchain_azure_phi3._http.json_body import MAX_BODY_BYTES
from langchain_azure_phi3._http.quota import Demand
from langchain_azure_phi3._http.retry_state import RetryState
from langchain_azure_phi3._http.stream_decoder import StreamDecoder
from langchain_azure_phi3._span_events import RETRY, WAIT, add_span_event
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import AzurePhi3Error, InterruptedStreamError, InvalidResponseError

logger = logging.getLogger(__name__)

JsonResponse = tuple[Json, ResponseInfo]
"""A JSON object from the server, and its HTTP response."""

StreamItem = tuple[Json, ResponseInfo]
"""One object of a stream, and the stream's HTTP response."""

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_NO_AUTH = httpx.Auth()  # overrides the auth of the user's own client


def _report_delay(delay: float, state: RetryState) -> None:
    path, _, _ = state.url.partition("?")  # a gateway's query may contain a key
    logger.info(
        "Waiting %.2f s before the request to %s, because of %s.", delay, path, state.reason
    )
    name = WAIT
    attributes: dict[str, str | int | float] = {"azure_phi3.delay": delay}
    if state.resends > 0:
        name = RETRY
        attributes |= {"http.request.resend_count": state.resends, "error.type": state.reason}
    add_span_event(name, attributes)


def _too_large() -> InvalidResponseError:
    return InvalidResponseError(
        f"The response is larger than {MAX_BODY_BYTES:,} bytes; it was dropped."
    )


class Endpoint:
    """One deployment, for synchronous code."""

    def __init__(self, connection: Connection, client: httpx.Client | None = None) -> None:
        self._connection = connection
        self.retries = connection.retries
        self.own = client

    def complete(self, payload: Json, headers: Mapping[str, str]) -> JsonResponse:
        """Request a complete response.

        Raises:
            AzurePhi3Error: The request failed, after all retries.
        """
        return self._read_json(self._connection.chat_request(payload, headers))

    def info(
        self, model: str | None = None, headers: Mapping[str, str] = _NO_HEADERS
    ) -> JsonResponse:
        """Request the deployment's information on its model.

        Args:
            model: The deployment's name, for endpoints that have several.
            headers: Headers of the request.

        Raises:
            AzurePhi3Error: The request failed, after all retries.
        """
        return self._read_json(self._connection.info_request(model, headers))

    def get_json(self, url: str) -> JsonResponse:
        """Request the JSON at another URL of the server.

        Raises:
            AzurePhi3Error: The request failed, after all retries.
        """
        return self._read_json(self._connection.get_request(url, {}))

    def stream(self, payload: Json, headers: Mapping[str, str]) -> "Stream":
        """Return a streamed response; iterate over it, then close it."""
        return Stream(self, self._connection.chat_request(payload, headers))

    def _read_json(self, request: HttpRequest) -> JsonResponse:
        state = RetryState(request.quota, request.alternate_url, self.retries)
        with BorrowedClient(self.own) as client:
            while True:
                response, info = self.send(client, request, state)
                try:
                    body = parse_completion(self._read_body(response, info), info)
                except InterruptedStreamError as failure:  # nothing was emitted
                    if state.record_failure(failure):
                        raise
                else:
                    if state.reservation is not None:
                        state.reservation.settle(body.get("usage"), info.rate_limit)
                    return body, info

    def _read_body(self, response: httpx.Response, info: ResponseInfo) -> bytes:
        content = bytearray()
        pieces = None
        try:
            with RECEIVING:
                pieces = transfer.iter_body(response, info.headers)
                for piece in pieces:
                    content += piece
                    if len(content) > MAX_BODY_BYTES:
                        raise _too_large()
        finally:
            transfer.close(response, pieces)
        return bytes(content)

    def send(
        self, client: Client, request: HttpRequest, state: RetryState
    ) -> tuple[httpx.Response, ResponseInfo]:
        """Return an open, successful response, after all attempts; `state` counts them."""
        while True:
            if (delay := state.delay()) is not None:
                _report_delay(delay, state)
                time.sleep(delay)
            try:
                if request.demand is None:
                    response = self._send_once(client, request, state.url)
                else:
                    response = self._send_reserved(client, request, request.demand, state)
            except AzurePhi3Error as failure:
                listing = self._connection.models_request(request, failure)
                if listing is not None:
                    request = self._with_listed_model(client, request, failure, listing)
                elif state.record_failure(failure):
                    self._connection.explain_overflow(request, failure)
                    raise
            else:
                state.record_success()
                return response

    def _send_reserved(
        self, client: Client, request: HttpRequest, demand: Demand, state: RetryState
    ) -> tuple[httpx.Response, ResponseInfo]:
        """Make one attempt, once the quota has room for it."""
        state.reservation = demand.reserve()
        try:
            return self._send_once(client, request, state.url)
        except AzurePhi3Error as failure:
            state.reservation.cancel(failure)
            raise

    def _with_listed_model(
        self, client: Client, request: HttpRequest, failure: AzurePhi3Error, listing: HttpRequest
    ) -> HttpRequest:
        """Name a server's only model in the request, or raise the failure with all names."""
        try:
            response, info = self._send_once(client, listing, listing.quota[0])
            body = parse_completion(self._read_body(response, info), info)
        except AzurePhi3Error:
            raise failure from None
        return self._connection.with_listed_model(request, failure, body)

    def _send_once(
        self, client: Client, request: HttpRequest, url: str
    ) -> tuple[httpx.Response, ResponseInfo]:
        with SENDING:
            response, info, content = self._exchange(
                client, client.build_request(**request.build_args(url))
            )
        if content is None:
            return response, info
        raise self._connection.failure(info, content)

    def _exchange(
        self, client: Client, request: httpx.Request
    ) -> tuple[httpx.Response, ResponseInfo, bytes | None]:
        """Sign and send a request, handle one challenge, and read the body of an error.

        No error is raised for users here, because tracebacks with locals would show the request's
        URL, whose query may contain a key.
        """
        auth, claims = self._connection.auth, None
        while True:
            auth.sign(request, claims)
            response = client.send(request, auth=_NO_AUTH, stream=True, follow_redirects=False)
            info = transfer.response_info(response)
            if response.is_success:
                return response, info, None
            try:
                content = transfer.read_error(response, info.headers)
            finally:
                transfer.close(response)
            claims = auth.claims_challenge(response) if claims is None else None
            if claims is None:
                return response, info, content


class Stream:
    """The objects of a streamed response: iterate once, then close.

    The iteration ends with the last object. `close` then reads the rest of the body, so that the
    connection can be reused. This does not delay the last object.
    """

    def __init__(self, endpoint: Endpoint, request: HttpRequest) -> None:
        self._resources = ExitStack()
        self._items = self._read(endpoint, request)
        self._chunks: Iterator[bytes] | None = None
        self._is_complete = False

    def __iter__(self) -> Generator[StreamItem]:
        """Yield the objects.

        Raises:
            AzurePhi3Error: The request or the stream failed; nothing is retried after an object.
        """
        return self._items

    def close(self) -> None:
        """Release the connection, or close it if the response was not read to its end."""
        self._items.close()
        self._resources.close()

    def _read(self, endpoint: Endpoint, request: HttpRequest) -> Generator[StreamItem]:
        try:
            client = self._resources.enter_context(BorrowedClient(endpoint.own))
            state = RetryState(request.quota, request.alternate_url, endpoint.retries)
            response, info = endpoint.send(client, request, state)
            self._resources.callback(self._release, response)
            decoder, usage = StreamDecoder(info), None
            with RECEIVING:
                self._chunks = transfer.iter_body(response, info.headers)
                for chunk in self._chunks:
                    for body in decoder.feed(chunk):
                        usage = body.get("usage") or usage
                        yield body, info
                    if decoder.done:
                        break
            self._is_complete = decoder.done
            for body in decoder.finish():
                usage = body.get("usage") or usage
                yield body, info
            if state.reservation is not None:
                state.reservation.settle(usage, info.rate_limit)
        finally:
            if not self._is_complete:
                self._resources.close()

    def _release(self, response: httpx.Response) -> None:
        if self._is_complete and self._chunks is not None:
            transfer.finish(response, self._chunks)
        else:
            transfer.close(response, self._chunks)


class AsyncEndpoint:
    """One deployment, for async code."""

    def __init__(self, connection: Connection, client: httpx.AsyncClient | None = None) -> None:
        self._connection = connection
        self.retries = connection.retries
        self.own = client

    async def complete(self, payload: Json, headers: Mapping[str, str]) -> JsonResponse:
        """Request a complete response.

        Raises:
            AzurePhi3Error: The request failed, after all retries.
        """
        return await self._read_json(self._connection.chat_request(payload, headers))

    async def info(
        self, model: str | None = None, headers: Mapping[str, str] = _NO_HEADERS
    ) -> JsonResponse:
        """Request the deployment's information on its model.

        Args:
            model: The deployment's name, for endpoints that have several.
            headers: Headers of the request.

        Raises:
            AzurePhi3Error: The request failed, after all retries.
        """
        return await self._read_json(self._connection.info_request(model, headers))

    async def get_json(self, url: str) -> JsonResponse:
        """Request the JSON at another URL of the server.

        Raises:
            AzurePhi3Error: The request failed, after all retries.
        """
        return await self._read_json(self._connection.get_request(url, {}))

    def stream(self, payload: Json, headers: Mapping[str, str]) -> "AsyncStream":
        """Return a streamed response; iterate over it, then close it."""
        return AsyncStream(self, self._connection.chat_request(payload, headers))

    async def _read_json(self, request: HttpRequest) -> JsonResponse:
        state = RetryState(request.quota, request.alternate_url, self.retries)
        async with BorrowedAsyncClient(self.own) as client:
            while True:
                response, info = await self.send(client, request, state)
                try:
                    body = parse_completion(await self._read_body(response, info), info)
                except InterruptedStreamError as failure:  # nothing was emitted
                    if state.record_failure(failure):
                        raise
                else:
                    if state.reservation is not None:
                        state.reservation.settle(body.get("usage"), info.rate_limit)
                    return body, info

    async def _read_body(self, response: httpx.Response, info: ResponseInfo) -> bytes:
        content = bytearray()
        pieces = None
        try:
            with RECEIVING:
                pieces = transfer.aiter_body(response, info.headers)
                async for piece in pieces:
                    content += piece
                    if len(content) > MAX_BODY_BYTES:
                        raise _too_large()
        finally:
            await transfer.aclose(response, pieces)
        return bytes(content)

    async def send(
        self, client: AsyncClient, request: HttpRequest, state: RetryState
    ) -> tuple[httpx.Response, ResponseInfo]:
        """Return an open, successful response, after all attempts; `state` counts them."""
        while True:
            if (delay := state.delay()) is not None:
                _report_delay(delay, state)
                await asyncio.sleep(delay)
            try:
                if request.demand is None:
                    response = await self._send_once(client, request, state.url)
                else:
                    response = await self._send_reserved(client, request, request.demand, state)
            except AzurePhi3Error as failure:
                listing = self._connection.models_request(request, failure)
                if listing is not None:
                    request = await self._with_listed_model(client, request, failure, listing)
                elif state.record_failure(failure):
                    self._connection.explain_overflow(request, failure)
                    raise
            else:
                state.record_success()
                return response

    async def _send_reserved(
        self, client: AsyncClient, request: HttpRequest, demand: Demand, state: RetryState
    ) -> tuple[httpx.Response, ResponseInfo]:
        """Make one attempt, once the quota has room for it."""
        state.reservation = await demand.areserve()
        try:
            return await self._send_once(client, request, state.url)
        except AzurePhi3Error as failure:
            await state.reservation.acancel(failure)
            raise

    async def _with_listed_model(
        self,
        client: AsyncClient,
        request: HttpRequest,
        failure: AzurePhi3Error,
        listing: HttpRequest,
    ) -> HttpRequest:
        """Name a server's only model in the request, or raise the failure with all names."""
        try:
            response, info = await self._send_once(client, listing, listing.quota[0])
            body = parse_completion(await self._read_body(response, info), info)
        except AzurePhi3Error:
            raise failure from None
        return self._connection.with_listed_model(request, failure, body)

    async def _send_once(
        self, client: AsyncClient, request: HttpRequest, url: str
    ) -> tuple[httpx.Response, ResponseInfo]:
        with SENDING:
            response, info, content = await self._exchange(
                client, client.build_request(**request.build_args(url))
            )
        if content is None:
            return response, info
        raise self._connection.failure(info, content)

    async def _exchange(
        self, client: AsyncClient, request: httpx.Request
    ) -> tuple[httpx.Response, ResponseInfo, bytes | None]:
        """Sign and send a request, handle one challenge, and read the body of an error.

        No error is raised for users here, because tracebacks with locals would show the request's
        URL, whose query may contain a key.
        """
        auth, claims = self._connection.auth, None
        while True:
            await auth.sign_async(request, claims)
            response = await client.send(
                request, auth=_NO_AUTH, stream=True, follow_redirects=False
            )
            info = transfer.response_info(response)
            if response.is_success:
                return response, info, None
            try:
                content = await transfer.aread_error(response, info.headers)
            finally:
                await transfer.aclose(response)
            claims = auth.claims_challenge(response) if claims is None else None
            if claims is None:
                return response, info, content


class AsyncStream:
    """The objects of a streamed response: iterate once, then close.

    The iteration ends with the last object. `aclose` then reads the rest of the body, so that the
    connection can be reused. This does not delay the last object.
    """

    def __init__(self, endpoint: AsyncEndpoint, request: HttpRequest) -> None:
        self._resources = AsyncExitStack()
        self._items = self._read(endpoint, request)
        self._chunks: AsyncIterator[bytes] | None = None
        self._is_complete = False

    def __aiter__(self) -> AsyncGenerator[StreamItem]:
        """Yield the objects.

        Raises:
            AzurePhi3Error: The request or the stream failed; nothing is retried after an object.
        """
        return self._items

    async def aclose(self) -> None:
        """Release the connection, or close it if the response was not read to its end."""
        await self._items.aclose()
        await self._resources.aclose()

    async def _read(
        self, endpoint: AsyncEndpoint, request: HttpRequest
    ) -> AsyncGenerator[StreamItem]:
        try:
            client = await self._resources.enter_async_context(BorrowedAsyncClient(endpoint.own))
            state = RetryState(request.quota, request.alternate_url, endpoint.retries)
            response, info = await endpoint.send(client, request, state)
            self._resources.push_async_callback(self._release, response)
            decoder, usage = StreamDecoder(info), None
            with RECEIVING:
                self._chunks = transfer.aiter_body(response, info.headers)
                async for chunk in self._chunks:
                    for body in decoder.feed(chunk):
                        usage = body.get("usage") or usage
                        yield body, info
                    if decoder.done:
                        break
            self._is_complete = decoder.done
            for body in decoder.finish():
                usage = body.get("usage") or usage
                yield body, info
            if state.reservation is not None:
                state.reservation.settle(usage, info.rate_limit)
        finally:
            if not self._is_complete:
                await self._resources.aclose()

    async def _release(self, response: httpx.Response) -> None:
        if self._is_complete and self._chunks is not None:
            await transfer.afinish(response, self._chunks)
        else:
            await transfer.aclose(response, self._chunks)
