"""One deployment over HTTP, sync and async: JSON in, JSON or an error out.

The two endpoint classes have the same source, once with `await`; a test keeps them so. Decisions
are made elsewhere: `retry_state`, `error_mapping`, `stream_decoder`, `routes`, `auth`.

`_send` returns an open, successful response. A failure before that may be retried; after that
nothing is, except by the caller. This holds for all entry points.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from types import MappingProxyType

import httpx

from langchain_azure_phi3._http import transfer
from langchain_azure_phi3._http.auth import Auth
from langchain_azure_phi3._http.client import (
    AsyncClient,
    BorrowedAsyncClient,
    BorrowedClient,
    Client,
)
from langchain_azure_phi3._http.error_mapping import (
    map_error_response,
    parse_completion,
    response_info,
)
from langchain_azure_phi3._http.json_codec import encode
from langchain_azure_phi3._http.redaction import RedactSecrets, find_secrets
from langchain_azure_phi3._http.retries import RetryPolicy
from langchain_azure_phi3._http.retry_state import Quota, RetryState
from langchain_azure_phi3._http.routes import Route
from langchain_azure_phi3._http.stream_decoder import MAX_BODY_BYTES, StreamDecoder
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import (
    AzurePhi3Error,
    ConnectionFailedError,
    InterruptedStreamError,
    InvalidInputError,
    InvalidResponseError,
    RequestTimeoutError,
)

logger = logging.getLogger(__name__)

JsonResponse = tuple[Json, ResponseInfo]
"""A JSON object from the server, and the response that it came in."""

StreamItem = tuple[Json, ResponseInfo]
"""One object of a stream, and the response that they all come in."""

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_NO_AUTH = httpx.Auth()  # instead of that of the user's own client
_USER_AGENT = f"langchain-azure-phi3/{version('langchain-azure-phi3')}"
_DEPLOYMENT = "azureml-model-deployment"


@dataclass(frozen=True, slots=True, repr=False)  # headers may hold a gateway's key
class HttpRequest:
    """A request that is not signed yet, for as many attempts as it takes."""

    method: str
    headers: httpx.Headers
    content: bytes
    quota: Quota
    alternate_url: str | None = None

    @property
    def parts(self) -> Json:
        """The arguments of a client's `build_request` besides URL and timeout."""
        return {"method": self.method, "headers": self.headers, "content": self.content}


@dataclass(frozen=True)
class Connection:
    """How to reach one deployment.

    Attributes:
        route: Its URLs and what it accepts.
        auth: What signs a request.
        headers: Sent with every request.
        timeout: Seconds to connect, and for each read and write; `None` for the client's own.
        retries: Whether and when to try again.
    """

    route: Route
    auth: Auth
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: tuple[float, float] | None = None
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    def chat_request(self, payload: Json, headers: Mapping[str, str]) -> HttpRequest:
        """The request for a completion."""
        content = encode(payload)
        with _SENDING:
            common = self._stream_headers if payload.get("stream") else self._json_headers
            merged = _merge(common, headers)
            merged["content-length"] = str(len(content))
        deployment = headers.get(_DEPLOYMENT) or self._deployment
        model = str(payload.get("model", ""))
        quota = (self.route.chat_url, deployment, model, self.auth.identity)
        return HttpRequest("POST", merged, content, quota, self.route.alternate_url)

    def info_request(self, model: str | None, headers: Mapping[str, str]) -> HttpRequest:
        """The request for information on a model."""
        endpoint_type = self.route.endpoint_type
        url = httpx.URL(self.route.info_url)
        if endpoint_type.info_version is not None and model is not None:
            url = url.copy_set_param("model_deployment", model)
            if url.params.get("api-version") == endpoint_type.api_version:
                url = url.copy_set_param("api-version", endpoint_type.info_version)
        with _SENDING:
            merged = _merge(self._json_headers, headers)
        return HttpRequest("GET", merged, b"", (str(url), "", model or "", self.auth.identity))

    # Made once: httpx takes as long for headers as for the request.

    @cached_property
    def _json_headers(self) -> httpx.Headers:
        return self._base_headers("application/json")

    @cached_property
    def _stream_headers(self) -> httpx.Headers:
        return self._base_headers("text/event-stream, application/json")

    def _base_headers(self, accept: str) -> httpx.Headers:
        return httpx.Headers(
            {
                "host": httpx.URL(self.route.chat_url).netloc.decode(),
                "content-type": "application/json",
                "accept": accept,
                # A small compressed body may decompress to more than the memory holds.
                "accept-encoding": "identity",
                "user-agent": _USER_AGENT,
                **{name.lower(): value for name, value in self.headers.items()},
            }
        )

    @cached_property
    def _deployment(self) -> str:
        return {name.lower(): value for name, value in self.headers.items()}.get(_DEPLOYMENT, "")

    @cached_property
    def timeouts(self) -> Json:
        """The argument `timeout` of a client's `build_request`, if there is one."""
        if self.timeout is None:
            return {}
        connect, read = self.timeout
        # Waiting in our own queue is not a failure of the network.
        return {"timeout": httpx.Timeout(read, connect=connect, pool=None)}

    def failure(self, info: ResponseInfo, content: bytes) -> AzurePhi3Error:
        """The exception for a response that is not a success."""
        return map_error_response(info, content, advice=self._advice())

    @cached_property
    def redacting(self) -> RedactSecrets:
        """A context that no error leaves with a secret in it."""
        return RedactSecrets(
            lambda: find_secrets(self.auth.secrets, (*self.headers.items(), *self.route.query))
        )

    def _advice(self) -> Mapping[int, str]:
        """What to check, by status: for this type of endpoint, and with what was sent."""
        advice = dict(self.route.endpoint_type.advice)
        for status in (401, 403):
            advice[status] = f"{self.auth.describe()} {advice[status]}"
        if self.route.guessed:
            name = self.route.endpoint_type.name
            advice[404] += f" From its URL this was taken for: {name}; api= decides."
        return advice


def _merge(common: httpx.Headers, headers: Mapping[str, str]) -> httpx.Headers:
    merged = httpx.Headers(common)
    if headers:
        merged.update(headers)
    return merged


class _MapHttpxErrors:
    """Translates what httpx raises, in the one place where that is done.

    Not a generator: it is entered several times for each request.
    """

    def __init__(self, *, receiving: bool) -> None:
        """`receiving`: a successful response has begun, so that its rest is what is missing."""
        self._receiving = receiving

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, problem: BaseException | None, __: object) -> None:
        if isinstance(problem, UnicodeEncodeError | httpx.LocalProtocolError):
            # Both quote the header, which may be a secret.
            raise InvalidInputError(
                "The request cannot be sent: a header holds characters that HTTP cannot carry."
            ) from None
        if isinstance(problem, httpx.RequestError):
            _strip_auth(problem)
            raise _to_phi_error(problem, receiving=self._receiving) from problem
        if isinstance(problem, httpx.InvalidURL | httpx.CookieConflict):
            raise InvalidInputError(f"The request cannot be sent: {problem}.") from problem


_SENDING, _RECEIVING = _MapHttpxErrors(receiving=False), _MapHttpxErrors(receiving=True)

_TIMEOUT_CODES: Mapping[type[httpx.RequestError], str] = {
    httpx.ConnectTimeout: "connect_timeout",
    httpx.WriteTimeout: "write_timeout",
}


def _to_phi_error(problem: httpx.RequestError, *, receiving: bool) -> AzurePhi3Error:
    reason = (str(problem) or type(problem).__name__).rstrip(".")
    if isinstance(problem, httpx.TimeoutException):
        what = "The next part of the response" if receiving else "The server's response"
        return RequestTimeoutError(
            f"{what} did not come in time ({type(problem).__name__}). "
            "`timeout` sets the seconds to wait; a busy deployment may need more.",
            code=_TIMEOUT_CODES.get(type(problem), "read_timeout"),
        )
    if isinstance(problem, httpx.DecodingError):
        return InvalidResponseError(f"The response cannot be decompressed: {reason}.")
    if receiving:
        return InterruptedStreamError(
            f"The connection broke in the middle of the response: {reason}. "
            "The text until then is in `partial`; the same request may succeed again."
        )
    if isinstance(problem, httpx.UnsupportedProtocol):
        return InvalidInputError(f"The request cannot be sent: {reason}.")
    return ConnectionFailedError(
        f"Connection failed: {reason}. Check the endpoint's host name, the network and any proxy."
    )


def _strip_auth(problem: httpx.RequestError) -> None:
    """Leave no credential on an exception: httpx keeps the signed request there."""
    request = getattr(problem, "_request", None)
    if request is not None:
        problem.request = httpx.Request(request.method, request.url.copy_with(query=None))


def _log_delay(delay: float, state: RetryState) -> None:
    path, _, _ = state.url.partition("?")  # a gateway's query may hold a key
    logger.info(
        "Waiting %.2f s before the request to %s, because of %s.", delay, path, state.reason
    )


def _check_size(content: bytearray) -> None:
    if len(content) > MAX_BODY_BYTES:
        raise InvalidResponseError(
            f"The response is larger than {MAX_BODY_BYTES:,} bytes; it was dropped."
        )


class Endpoint:
    """One deployment, for threads."""

    def __init__(self, connection: Connection, client: httpx.Client | None = None) -> None:
        self._connection = connection
        self._own = client

    def complete(self, payload: Json, headers: Mapping[str, str]) -> JsonResponse:
        """A complete response.

        Raises:
            AzurePhi3Error: Whatever went wrong, after the retries that it allows.
        """
        return self._read_json(self._connection.chat_request(payload, headers))

    def info(
        self, model: str | None = None, headers: Mapping[str, str] = _NO_HEADERS
    ) -> JsonResponse:
        """The deployment's information on its model.

        Args:
            model: The deployment's name, for endpoints that have several.
            headers: Sent with the request.

        Raises:
            AzurePhi3Error: Whatever went wrong, after the retries that it allows.
        """
        return self._read_json(self._connection.info_request(model, headers))

    def stream(self, payload: Json, headers: Mapping[str, str]) -> "Stream":
        """A streamed response, to be iterated and closed."""
        return Stream(self, self._connection.chat_request(payload, headers))

    def borrow_client(self) -> BorrowedClient:
        """The client for one request."""
        return BorrowedClient(self._own)

    def _read_json(self, request: HttpRequest) -> JsonResponse:
        content = bytearray()
        with self.borrow_client() as client:
            response, info = self.send(client, request)
            pieces = None
            try:
                with _RECEIVING:
                    pieces = transfer.iter_body(response, info.headers)
                    for piece in pieces:
                        content += piece
                        _check_size(content)
            finally:
                transfer.close(response, pieces)
        return parse_completion(bytes(content), info), info

    def send(self, client: Client, request: HttpRequest) -> tuple[httpx.Response, ResponseInfo]:
        """An open, successful response, after as many attempts as it takes."""
        state = RetryState(request.quota, request.alternate_url, self._connection.retries)
        while True:
            if (delay := state.delay()) is not None:
                _log_delay(delay, state)
                time.sleep(delay)
            try:
                response = self._send_once(client, request, state.url)
            except AzurePhi3Error as failure:
                if state.record_failure(failure):
                    raise
            else:
                state.record_success()
                return response

    def _send_once(
        self, client: Client, request: HttpRequest, url: str
    ) -> tuple[httpx.Response, ResponseInfo]:
        connection = self._connection
        auth, claims = connection.auth, None
        with _SENDING:
            signed = client.build_request(url=url, **request.parts, **connection.timeouts)
            while True:
                auth.sign(signed, claims)
                response = client.send(signed, auth=_NO_AUTH, stream=True, follow_redirects=False)
                info = response_info(response)
                if response.is_success:
                    return response, info
                try:
                    content = transfer.read_error(response, info.headers)
                finally:
                    transfer.close(response)
                # A challenge is answered once.
                claims = auth.claims_challenge(response) if claims is None else None
                if claims is None:
                    break
        raise connection.failure(info, content)


class Stream:
    """The objects of a streamed response: iterate once, then close.

    The iteration ends with the last object. `close` then reads the little that may follow it, so
    that the connection can be used again: nobody waits for that before the last object.
    """

    def __init__(self, endpoint: Endpoint, request: HttpRequest) -> None:
        self._resources = ExitStack()
        self._items = self._read(endpoint, request)
        self._chunks: Iterator[bytes] | None = None
        self._is_complete = False

    def __iter__(self) -> Generator[StreamItem]:
        """The objects.

        Raises:
            AzurePhi3Error: Whatever went wrong; once an object was given, nothing is retried.
        """
        return self._items

    def close(self) -> None:
        """Give the connection back, or close it if the response was not read to its end."""
        self._items.close()
        self._resources.close()

    def _read(self, endpoint: Endpoint, request: HttpRequest) -> Generator[StreamItem]:
        try:
            client = self._resources.enter_context(endpoint.borrow_client())
            response, info = endpoint.send(client, request)
            self._resources.callback(self._release, response)
            decoder = StreamDecoder(info)
            with _RECEIVING:
                self._chunks = transfer.iter_body(response, info.headers)
                for chunk in self._chunks:
                    for body in decoder.feed(chunk):
                        yield body, info
                    if decoder.done:
                        break
            self._is_complete = decoder.done
            for body in decoder.finish():
                yield body, info
        finally:
            if not self._is_complete:
                self._resources.close()

    def _release(self, response: httpx.Response) -> None:
        if self._is_complete and self._chunks is not None:
            transfer.finish(response, self._chunks)
        else:
            transfer.close(response, self._chunks)


class AsyncEndpoint:
    """One deployment, for event loops."""

    def __init__(self, connection: Connection, client: httpx.AsyncClient | None = None) -> None:
        self._connection = connection
        self._own = client

    async def complete(self, payload: Json, headers: Mapping[str, str]) -> JsonResponse:
        """A complete response.

        Raises:
            AzurePhi3Error: Whatever went wrong, after the retries that it allows.
        """
        return await self._read_json(self._connection.chat_request(payload, headers))

    async def info(
        self, model: str | None = None, headers: Mapping[str, str] = _NO_HEADERS
    ) -> JsonResponse:
        """The deployment's information on its model.

        Args:
            model: The deployment's name, for endpoints that have several.
            headers: Sent with the request.

        Raises:
            AzurePhi3Error: Whatever went wrong, after the retries that it allows.
        """
        return await self._read_json(self._connection.info_request(model, headers))

    def stream(self, payload: Json, headers: Mapping[str, str]) -> "AsyncStream":
        """A streamed response, to be iterated and closed."""
        return AsyncStream(self, self._connection.chat_request(payload, headers))

    def borrow_client(self) -> BorrowedAsyncClient:
        """The client for one request."""
        return BorrowedAsyncClient(self._own)

    async def _read_json(self, request: HttpRequest) -> JsonResponse:
        content = bytearray()
        async with self.borrow_client() as client:
            response, info = await self.send(client, request)
            pieces = None
            try:
                with _RECEIVING:
                    pieces = transfer.aiter_body(response, info.headers)
                    async for piece in pieces:
                        content += piece
                        _check_size(content)
            finally:
                await transfer.aclose(response, pieces)
        return parse_completion(bytes(content), info), info

    async def send(
        self, client: AsyncClient, request: HttpRequest
    ) -> tuple[httpx.Response, ResponseInfo]:
        """An open, successful response, after as many attempts as it takes."""
        state = RetryState(request.quota, request.alternate_url, self._connection.retries)
        while True:
            if (delay := state.delay()) is not None:
                _log_delay(delay, state)
                await asyncio.sleep(delay)
            try:
                response = await self._send_once(client, request, state.url)
            except AzurePhi3Error as failure:
                if state.record_failure(failure):
                    raise
            else:
                state.record_success()
                return response

    async def _send_once(
        self, client: AsyncClient, request: HttpRequest, url: str
    ) -> tuple[httpx.Response, ResponseInfo]:
        connection = self._connection
        auth, claims = connection.auth, None
        with _SENDING:
            signed = client.build_request(url=url, **request.parts, **connection.timeouts)
            while True:
                await auth.asign(signed, claims)
                response = await client.send(
                    signed, auth=_NO_AUTH, stream=True, follow_redirects=False
                )
                info = response_info(response)
                if response.is_success:
                    return response, info
                try:
                    content = await transfer.aread_error(response, info.headers)
                finally:
                    await transfer.aclose(response)
                # A challenge is answered once.
                claims = auth.claims_challenge(response) if claims is None else None
                if claims is None:
                    break
        raise connection.failure(info, content)


class AsyncStream:
    """The objects of a streamed response: iterate once, then close.

    The iteration ends with the last object. `aclose` then reads the little that may follow it, so
    that the connection can be used again: nobody waits for that before the last object.
    """

    def __init__(self, endpoint: AsyncEndpoint, request: HttpRequest) -> None:
        self._resources = AsyncExitStack()
        self._items = self._read(endpoint, request)
        self._chunks: AsyncIterator[bytes] | None = None
        self._is_complete = False

    def __aiter__(self) -> AsyncGenerator[StreamItem]:
        """The objects.

        Raises:
            AzurePhi3Error: Whatever went wrong; once an object was given, nothing is retried.
        """
        return self._items

    async def aclose(self) -> None:
        """Give the connection back, or close it if the response was not read to its end."""
        await self._items.aclose()
        await self._resources.aclose()

    async def _read(
        self, endpoint: AsyncEndpoint, request: HttpRequest
    ) -> AsyncGenerator[StreamItem]:
        try:
            client = await self._resources.enter_async_context(endpoint.borrow_client())
            response, info = await endpoint.send(client, request)
            self._resources.push_async_callback(self._release, response)
            decoder = StreamDecoder(info)
            with _RECEIVING:
                self._chunks = transfer.aiter_body(response, info.headers)
                async for chunk in self._chunks:
                    for body in decoder.feed(chunk):
                        yield body, info
                    if decoder.done:
                        break
            self._is_complete = decoder.done
            for body in decoder.finish():
                yield body, info
        finally:
            if not self._is_complete:
                await self._resources.aclose()

    async def _release(self, response: httpx.Response) -> None:
        if self._is_complete and self._chunks is not None:
            await transfer.afinish(response, self._chunks)
        else:
            await transfer.aclose(response, self._chunks)
