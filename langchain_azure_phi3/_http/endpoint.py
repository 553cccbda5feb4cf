"""One deployment, sync and async: the only module that does I/O.

The two classes are one text in two colours, and a test keeps them so. All that decides is
elsewhere: `retries`, `failures`, `streams`, `routes`, `auth`.

`_send` returns an open, successful response. What comes before that may be tried again;
nothing after it is. That is the whole contract on retries, for all entry points.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from types import MappingProxyType
from typing import NamedTuple

import httpx

from langchain_azure_phi3._http.auth import Auth
from langchain_azure_phi3._http.clients import LentAsyncClient, LentClient
from langchain_azure_phi3._http.error_mapping import completion_from, error_from, request_id
from langchain_azure_phi3._http.json_codec import encoded
from langchain_azure_phi3._http.lean_client import apieces, asaid_all, pieces, said_all
from langchain_azure_phi3._http.redaction import KeptSecrets, secrets_of
from langchain_azure_phi3._http.retries import RetryPolicy
from langchain_azure_phi3._http.retry_state import Attempts
from langchain_azure_phi3._http.routes import Route
from langchain_azure_phi3._http.stream_decoder import MAX_BODY_BYTES, StreamReader
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import (
    AzurePhi3Error,
    ConnectionFailedError,
    InterruptedStreamError,
    InvalidInputError,
    InvalidResponseError,
    RequestTimeoutError,
)

logger = logging.getLogger(__name__)

_NONE: Mapping[str, str] = MappingProxyType({})
_USER_AGENT = f"langchain-azure-phi3/{version('langchain-azure-phi3')}"


class Answer(NamedTuple):
    """A JSON object from the server, and the id of the request that it answers."""

    body: Json
    request_id: str | None


Piece = tuple[Json, str | None]
"""The same for a piece of a stream, of which there are too many to be given names."""


@dataclass(frozen=True)
class Connection:
    """How to reach one deployment.

    Attributes:
        route: Its URLs and what it accepts.
        auth: What signs a request.
        headers: Sent with every request.
        timeout: Seconds to connect, and between two reads; `None` leaves it to the client.
        retries: Whether and when to try again.
    """

    route: Route
    auth: Auth
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: tuple[float, float] | None = None
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    def posting(self, payload: Json, headers: Mapping[str, str]) -> Json:
        """The arguments of a client's `build_request` for a completion."""
        with _ASKING:
            common = self._for_streams if payload.get("stream") else self._for_answers
            both = _with(common, headers)
        return {
            "method": "POST",
            "url": self.route.chat_url,
            "headers": both,
            "content": encoded(payload),
            **self._limits,
        }

    def asking(self, model: str | None, headers: Mapping[str, str]) -> Json:
        """The arguments of a client's `build_request` for the information on a model."""
        url, version = httpx.URL(self.route.info_url), self.route.endpoint_type.info_version
        if version is not None and model is not None:
            url = url.copy_set_param("model_deployment", model)
            if url.params.get("api-version") == self.route.endpoint_type.api_version:
                url = url.copy_set_param("api-version", version)
        with _ASKING:
            both = _with(self._for_answers, headers)
        return {"method": "GET", "url": str(url), "headers": both, **self._limits}

    # Made once: httpx takes as long for headers as for the request.

    @cached_property
    def _for_answers(self) -> httpx.Headers:
        return self._accepting("application/json")

    @cached_property
    def _for_streams(self) -> httpx.Headers:
        return self._accepting("text/event-stream, application/json")

    def _accepting(self, accepted: str) -> httpx.Headers:
        return httpx.Headers(
            {
                "host": httpx.URL(self.route.chat_url).netloc.decode(),
                "content-type": "application/json",
                "accept": accepted,
                "user-agent": _USER_AGENT,
                **{name.lower(): value for name, value in self.headers.items()},
            }
        )

    @cached_property
    def _limits(self) -> Json:
        if self.timeout is None:
            return {}
        connect, read = self.timeout
        # Waiting in our own queue is no failure of the network.
        return {"timeout": httpx.Timeout(read, connect=connect, pool=None)}

    def attempts(self, request: Json) -> Attempts:
        """When, and where, that request is sent."""
        asks_for_completion = request["url"] == self.route.chat_url
        other = self.route.alternate_url if asks_for_completion else None
        return Attempts(request, other, self.retries)

    def failure(self, response: httpx.Response) -> AzurePhi3Error:
        """The exception for a response that is no success; its body has been read."""
        return error_from(
            response.status_code,
            plain_headers(response),
            response.content,
            advice=self._advice(),
        )

    @cached_property
    def keeping_secrets(self) -> KeptSecrets:
        """Lets no error leave with a secret in it, whoever put it there."""
        return KeptSecrets(
            lambda: secrets_of(self.auth.secrets, (*self.headers.items(), *self.route.query))
        )

    def _advice(self) -> Mapping[int, str]:
        """What to check, by status: for this kind of endpoint, and with what was sent."""
        advice = dict(self.route.endpoint_type.advice)
        for status in (401, 403):
            advice[status] = f"{self.auth.sent} {advice[status]}"
        if self.route.guessed:
            advice[404] += (
                f" By its URL this was taken for: {self.route.endpoint_type.name}; api= decides."
            )
        return advice


def _with(common: httpx.Headers, headers: Mapping[str, str]) -> httpx.Headers:
    if not headers:
        return common
    found = httpx.Headers(common)
    found.update(headers)
    return found


def plain_headers(response: httpx.Response) -> dict[str, str]:
    """The headers by name in lower case; httpx's own take ten times as long to look one up."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in response.headers.raw
    }


class _Naming:
    """Translates what httpx raises, in the one place where that is done.

    No generator: it is entered twice for each answer.
    """

    def __init__(self, *, answering: bool) -> None:
        """`answering`: a successful answer had begun, so that its rest is what is missing."""
        self._answering = answering

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, problem: BaseException | None, __: object) -> None:
        if isinstance(problem, UnicodeEncodeError | httpx.LocalProtocolError):
            # Both quote the header, which may be a secret.
            raise InvalidInputError(
                "The request cannot be sent: a header holds characters that HTTP cannot carry."
            ) from None
        if isinstance(problem, httpx.RequestError):
            _unsign(problem)
            raise _named(problem, answering=self._answering) from problem
        if isinstance(problem, httpx.InvalidURL | httpx.CookieConflict):
            raise InvalidInputError(f"The request cannot be sent: {problem}") from problem


_ASKING, _ANSWERING = _Naming(answering=False), _Naming(answering=True)


def _named(problem: httpx.RequestError, *, answering: bool) -> AzurePhi3Error:
    said = str(problem) or type(problem).__name__
    if isinstance(problem, httpx.TimeoutException):
        where = "The next piece of the answer" if answering else "The server"
        return RequestTimeoutError(
            f"{where} did not come in time ({type(problem).__name__}). "
            "`timeout` sets the seconds to wait; a busy deployment may need more.",
            code="connect_timeout" if isinstance(problem, httpx.ConnectTimeout) else "read_timeout",
        )
    if isinstance(problem, httpx.DecodingError):
        return InvalidResponseError(f"The answer's compression is broken: {said}")
    if answering:
        return InterruptedStreamError(
            f"The connection broke in the middle of the answer: {said}. "
            "The text until then is in `partial`; the same request may succeed again."
        )
    if isinstance(problem, httpx.UnsupportedProtocol):
        return InvalidInputError(f"The request cannot be sent: {said}")
    return ConnectionFailedError(
        f"No answer came: {said}. Check the endpoint's host name, the network and any proxy."
    )


def _unsign(problem: httpx.RequestError) -> None:
    """Leave no credential on an exception: httpx keeps the signed request there."""
    request = getattr(problem, "_request", None)
    if request is not None:
        problem.request = httpx.Request(request.method, request.url.copy_with(query=None))


def _log_pause(pause: float, attempts: Attempts) -> None:
    path, _, _ = attempts.request["url"].partition("?")  # a gateway's query may hold a key
    logger.info("Waiting %.2f s before asking %s, because of %s.", pause, path, attempts.reason)


class Endpoint:
    """One deployment, for threads."""

    def __init__(self, connection: Connection, client: httpx.Client | None = None) -> None:
        self._connection = connection
        self._own = client

    def complete(self, payload: Json, headers: Mapping[str, str]) -> Answer:
        """One whole answer.

        Raises:
            AzurePhi3Error: Whatever went wrong, after the retries that it allows.
        """
        return self._whole(self._connection.posting(payload, headers))

    def info(self, model: str | None = None, headers: Mapping[str, str] = _NONE) -> Answer:
        """What the deployment says of its model.

        Args:
            model: The deployment's name, for endpoints that have several.
            headers: Sent with the request.

        Raises:
            AzurePhi3Error: Whatever went wrong, after the retries that it allows.
        """
        return self._whole(self._connection.asking(model, headers))

    def stream(self, payload: Json, headers: Mapping[str, str]) -> Generator[Piece]:
        """An answer in pieces; closing the iterator releases the connection.

        Raises:
            AzurePhi3Error: Whatever went wrong; once a piece was given, nothing is retried.
        """
        with LentClient(self._own) as client:
            response = self._send(client, self._connection.posting(payload, headers))
            try:
                answered = plain_headers(response)
                reader, given = StreamReader(answered), request_id(answered)
                with _ANSWERING:  # noqa: SIM117 -- the async twin's shape
                    with closing(pieces(response)) as chunks:  # type: ignore[type-var]
                        for chunk in chunks:
                            for body in reader.feed(chunk):
                                yield body, given
                            if reader.done:
                                break
                for body in reader.finish():
                    yield body, given
                if reader.done:
                    said_all(response)
            finally:
                response.close()

    def _whole(self, request: Json) -> Answer:
        content = bytearray()
        with LentClient(self._own) as client:
            response = self._send(client, request)
            try:
                with _ANSWERING:  # noqa: SIM117 -- the async twin's shape
                    with closing(pieces(response)) as chunks:  # type: ignore[type-var]
                        for chunk in chunks:
                            content += chunk
                            _check_size(content)
            finally:
                response.close()
        answered = plain_headers(response)
        return Answer(completion_from(bytes(content), answered), request_id(answered))

    def _send(self, client: httpx.Client, request: Json) -> httpx.Response:
        attempts = self._connection.attempts(request)
        while True:
            if (pause := attempts.pause()) is not None:
                _log_pause(pause, attempts)
                time.sleep(pause)
            try:
                response = self._sent(client, attempts.request)
            except AzurePhi3Error as failure:
                if attempts.failed(failure):
                    raise
            else:
                attempts.succeeded()
                return response

    def _sent(self, client: httpx.Client, request: Json) -> httpx.Response:
        with _ASKING:
            response = client.send(
                client.build_request(**request),
                auth=self._connection.auth,
                stream=True,
                follow_redirects=False,
            )
            if response.is_success:
                return response
            try:
                response.read()
            finally:
                response.close()
        raise self._connection.failure(response)


class AsyncEndpoint:
    """One deployment, for event loops."""

    def __init__(self, connection: Connection, client: httpx.AsyncClient | None = None) -> None:
        self._connection = connection
        self._own = client

    async def complete(self, payload: Json, headers: Mapping[str, str]) -> Answer:
        """One whole answer.

        Raises:
            AzurePhi3Error: Whatever went wrong, after the retries that it allows.
        """
        return await self._whole(self._connection.posting(payload, headers))

    async def info(self, model: str | None = None, headers: Mapping[str, str] = _NONE) -> Answer:
        """What the deployment says of its model.

        Args:
            model: The deployment's name, for endpoints that have several.
            headers: Sent with the request.

        Raises:
            AzurePhi3Error: Whatever went wrong, after the retries that it allows.
        """
        return await self._whole(self._connection.asking(model, headers))

    async def stream(self, payload: Json, headers: Mapping[str, str]) -> AsyncGenerator[Piece]:
        """An answer in pieces; closing the iterator releases the connection.

        Raises:
            AzurePhi3Error: Whatever went wrong; once a piece was given, nothing is retried.
        """
        async with LentAsyncClient(self._own) as client:
            response = await self._send(client, self._connection.posting(payload, headers))
            try:
                answered = plain_headers(response)
                reader, given = StreamReader(answered), request_id(answered)
                with _ANSWERING:
                    async with aclosing(apieces(response)) as chunks:  # type: ignore[type-var]
                        async for chunk in chunks:
                            for body in reader.feed(chunk):
                                yield body, given
                            if reader.done:
                                break
                for body in reader.finish():
                    yield body, given
                if reader.done:
                    await asaid_all(response)
            finally:
                await response.aclose()

    async def _whole(self, request: Json) -> Answer:
        content = bytearray()
        async with LentAsyncClient(self._own) as client:
            response = await self._send(client, request)
            try:
                with _ANSWERING:
                    async with aclosing(apieces(response)) as chunks:  # type: ignore[type-var]
                        async for chunk in chunks:
                            content += chunk
                            _check_size(content)
            finally:
                await response.aclose()
        answered = plain_headers(response)
        return Answer(completion_from(bytes(content), answered), request_id(answered))

    async def _send(self, client: httpx.AsyncClient, request: Json) -> httpx.Response:
        attempts = self._connection.attempts(request)
        while True:
            if (pause := attempts.pause()) is not None:
                _log_pause(pause, attempts)
                await asyncio.sleep(pause)
            try:
                response = await self._sent(client, attempts.request)
            except AzurePhi3Error as failure:
                if attempts.failed(failure):
                    raise
            else:
                attempts.succeeded()
                return response

    async def _sent(self, client: httpx.AsyncClient, request: Json) -> httpx.Response:
        with _ASKING:
            response = await client.send(
                client.build_request(**request),
                auth=self._connection.auth,
                stream=True,
                follow_redirects=False,
            )
            if response.is_success:
                return response
            try:
                await response.aread()
            finally:
                await response.aclose()
        raise self._connection.failure(response)


def _check_size(content: bytearray) -> None:
    if len(content) > MAX_BODY_BYTES:
        raise InvalidResponseError(f"The answer is larger than {MAX_BODY_BYTES:,} bytes.")
