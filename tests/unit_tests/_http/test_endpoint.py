"""One deployment over a socket, sync and async: retries, breaks, secrets, connections."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from langchain_azure_phi3 import (
    BadRequestError,
    ConnectionFailedError,
    InterruptedStreamError,
    InvalidInputError,
    InvalidResponseError,
    NotFoundError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from langchain_azure_phi3._http import endpoint as module
from langchain_azure_phi3._http.auth import auth_for
from langchain_azure_phi3._http.endpoint import AsyncEndpoint, Connection, Endpoint
from langchain_azure_phi3._http.retries import RetryPolicy
from langchain_azure_phi3._http.routes import route_for
from langchain_azure_phi3.emulator import Emulator

QUESTION = {"messages": [{"role": "user", "content": "How many languages are in the world?"}]}
NO_KEEP_ALIVE = httpx.Limits(max_keepalive_connections=0)
AT_ONCE = RetryPolicy(max_retries=2, jitter=lambda: 0.0)


pytestmark = pytest.mark.usefixtures("each_transport")


def connection(phi: Emulator, **given: Any) -> Connection:
    """How to reach the emulator; retries do not wait."""
    route = route_for(given.pop("endpoint", None) or phi.endpoint)
    settings = {"auth": auth_for(phi.key, route), "timeout": (2.0, 2.0), "retries": AT_ONCE}
    return Connection(route, **(settings | given))


class InSync:
    """Send a request, sync or async: everything in the answer, as a list."""

    client: type[Any] = httpx.Client

    def __call__(self, given: Connection, client: Any = None, *, stream: bool = False) -> list[Any]:
        """The bodies of the answer."""
        endpoint = Endpoint(given, client)
        if stream:
            with contextlib.closing(endpoint.stream({**QUESTION, "stream": True}, {})) as items:
                return [body for body, _ in items]
        return [endpoint.complete(QUESTION, {})[0]]


class InAsync:
    """The same, awaited."""

    client: type[Any] = httpx.AsyncClient

    def __call__(self, given: Connection, client: Any = None, *, stream: bool = False) -> list[Any]:
        """The bodies of the answer."""
        return asyncio.run(self._ask(given, client, stream))

    async def _ask(self, given: Connection, client: Any, stream: bool) -> list[Any]:
        endpoint = AsyncEndpoint(given, client)
        if stream:
            async with contextlib.aclosing(
                endpoint.stream({**QUESTION, "stream": True}, {})
            ) as items:
                return [body async for body, _ in items]
        return [(await endpoint.complete(QUESTION, {}))[0]]


Ask = InSync | InAsync


BOTH: tuple[Ask, ...] = (InSync(), InAsync())


# -- failures before an answer --


def test_transient_failures_are_retried(phi: Emulator) -> None:
    """For all four entry points."""
    for ask in BOTH:
        phi.requests.clear()
        for stream in [False, True]:
            for status in [408, 429, 500, 502, 503, 504]:
                phi.requests.clear()
                phi.fail(status=status, times=2)
                assert ask(connection(phi), stream=stream)[0]["choices"]
                assert len(phi.requests) == 3


def test_refused_connections_are_retried(phi: Emulator) -> None:
    """One that breaks before any answer, too."""
    for ask in BOTH:
        for stream in [False, True]:
            phi.fail(name="refuse", times=2)
            assert ask(connection(phi), stream=stream)[0]["choices"]


def test_retries_come_to_an_end(phi: Emulator) -> None:
    """The last failure is raised."""
    for ask in BOTH:
        phi.requests.clear()
        for stream in [False, True]:
            phi.requests.clear()
            phi.fail(status=503, times=3)
            with pytest.raises(ServerError):
                ask(connection(phi), stream=stream)
            assert len(phi.requests) == 3


def test_permanent_failures_are_not_retried(phi: Emulator) -> None:
    """A 400 is the caller's to mend."""
    for ask in BOTH:
        phi.requests.clear()
        for stream in [False, True]:
            phi.requests.clear()
            phi.fail(status=400, body={"detail": "no"})
            with pytest.raises(BadRequestError, match="400: no"):
                ask(connection(phi), stream=stream)
            assert len(phi.requests) == 1


def test_a_rate_limit_delays_the_retry(phi: Emulator) -> None:
    """For as long as it asks."""
    for ask in BOTH:
        phi.fail(status=429, retry_after=0.2)
        began = time.monotonic()
        ask(connection(phi))
        assert time.monotonic() - began >= 0.2


def test_a_long_rate_limit_is_raised_at_once(phi: Emulator) -> None:
    """With the seconds that the server asked for."""
    for ask in BOTH:
        phi.fail(status=429, retry_after=3600)
        with pytest.raises(RateLimitError) as caught:
            ask(connection(phi))
        assert caught.value.retry_after == 3600


def test_an_unreachable_server_is_a_failed_connection(phi: Emulator) -> None:
    """The message says what to check."""
    for ask in BOTH:
        phi.stop()
        given = connection(phi, endpoint="http://127.0.0.1:9")
        with pytest.raises(ConnectionFailedError, match="Check the endpoint's host name") as caught:
            ask(given)
        assert caught.value.is_retryable


def test_failed_connections_name_url_and_attempts(phi: Emulator) -> None:
    """Without the URL's query, which may hold a key."""
    for ask in BOTH:
        phi.stop()
        for retries, attempts in [(0, "(1 attempt)"), (2, "(3 attempts)")]:
            given = connection(
                phi,
                endpoint="http://127.0.0.1:9/v1?code=abcdefgh",
                retries=RetryPolicy(max_retries=retries, jitter=lambda: 0.0),
            )
            with pytest.raises(ConnectionFailedError) as caught:
                ask(given)
            message = str(caught.value)
            assert f"http://127.0.0.1:9/v1/chat/completions {attempts}." in message
            assert "abcdefgh" not in message


def test_a_read_timeout_is_not_retried(phi: Emulator) -> None:
    """The model may still be at work on the first request."""
    for ask in BOTH:
        phi.requests.clear()
        phi.fail(name="stall", times=3)
        with pytest.raises(RequestTimeoutError, match="`timeout` sets the seconds") as caught:
            ask(connection(phi, timeout=(2.0, 0.2)))
        assert caught.value.code == "read_timeout"
        assert len(phi.requests) == 1


def test_httpx_errors_are_translated(phi: Emulator) -> None:
    """And kept as the cause, without the signed request."""
    for ask in BOTH:
        for raised, expected, code in [
            (httpx.ConnectTimeout("slow"), RequestTimeoutError, "connect_timeout"),
            (httpx.ReadTimeout(""), RequestTimeoutError, "read_timeout"),
            (httpx.ConnectError("no route"), ConnectionFailedError, None),
            (httpx.DecodingError("bad gzip"), InvalidResponseError, None),
            (httpx.UnsupportedProtocol("x://"), InvalidInputError, None),
            (httpx.InvalidURL("no"), InvalidInputError, None),
        ]:

            def fail(request: httpx.Request, raised: Exception = raised) -> httpx.Response:
                if isinstance(raised, httpx.RequestError):
                    raised.request = request
                raise raised

            client = ask.client(transport=httpx.MockTransport(fail))
            with pytest.raises(expected) as caught:
                ask(connection(phi, retries=RetryPolicy(max_retries=0)), client)
            assert caught.value.code == code
            assert caught.value.__cause__ is raised
            if isinstance(raised, httpx.RequestError):
                assert "authorization" not in raised.request.headers


def test_unsendable_headers_are_refused(phi: Emulator) -> None:
    """Nothing is sent, and the value, which may be a secret, is nowhere on the error."""
    for ask in BOTH:
        phi.requests.clear()
        for value in ["schlüssel", "two\nlines"]:
            phi.requests.clear()
            given = connection(phi, headers={"x-secret": value})
            with pytest.raises(InvalidInputError, match="that HTTP does not allow") as caught:
                ask(given)
            assert caught.value.__cause__ is None
            assert caught.value.__context__ is None or caught.value.__suppress_context__
            assert phi.requests == []


def test_redirects_are_not_followed(phi: Emulator) -> None:
    """The credential stays with its host, also where the user's own client follows redirects."""
    location = {"location": f"{phi.endpoint}/v1/chat/completions"}
    for ask in BOTH:
        for stream in (False, True):
            for client in (None, ask.client(follow_redirects=True, limits=NO_KEEP_ALIVE)):
                phi.requests.clear()
                phi.fail(status=307, body="", headers=location)
                with pytest.raises(InvalidResponseError, match="307"):
                    ask(connection(phi), client, stream=stream)
                assert len(phi.requests) == 1
                if isinstance(client, httpx.Client):
                    client.close()


# -- failures in the middle of an answer --


async def test_a_broken_stream_gives_its_beginning(phi: Emulator) -> None:
    """And is never begun again: text would be said twice."""
    for fault in ["cut", "reset", "stall", "end"]:
        for mode in ["sync", "async"]:
            phi.requests.clear()
            phi.fail(name=fault, after=3)
            given = connection(phi, timeout=(2.0, 0.3))
            expected = RequestTimeoutError if fault == "stall" else InterruptedStreamError
            payload = {**QUESTION, "stream": True}
            received: list[Any] = []
            if mode == "sync":
                with pytest.raises(expected):
                    received.extend(Endpoint(given).stream(payload, {}))
            else:
                pieces = aiter(AsyncEndpoint(given).stream(payload, {}))
                received += [await anext(pieces) for _ in range(3)]
                with pytest.raises(expected):
                    await anext(pieces)
            assert len(received) == 3
            _, info = received[0]
            assert info.request_id is not None
            assert len(phi.requests) == 1


def test_a_broken_response_is_an_interruption(phi: Emulator) -> None:
    """Less than `content-length` promised is no answer, even where it is JSON."""
    for ask in BOTH:
        for fault in ["short", "cut"]:
            phi.fail(name=fault, after_bytes=30)
            with pytest.raises(InterruptedStreamError):
                ask(connection(phi, retries=RetryPolicy(max_retries=0)))
            phi.requests.clear()
            phi.fail(name=fault, after_bytes=30)
            assert len(ask(connection(phi))) == 1
            assert len(phi.requests) == 2


def test_an_invalid_response_is_shown(phi: Emulator) -> None:
    """A login page with status 200; nothing at all."""
    for ask in BOTH:
        for fault, message in [("html", "Sign in"), ("empty", "an empty body")]:
            for stream in [False, True]:
                phi.fail(name=fault)
                with pytest.raises(InvalidResponseError, match=message):
                    ask(connection(phi), stream=stream)


def test_a_response_beyond_the_bound_is_dropped(
    phi: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless body must not fill the memory."""
    for ask in BOTH:
        monkeypatch.setattr(module, "MAX_BODY_BYTES", 100)
        with pytest.raises(InvalidResponseError, match="larger than 100 bytes"):
            ask(connection(phi))


def test_a_deployment_without_info_says_so(phi: Emulator) -> None:
    """Not every kind has the route."""
    given = connection(phi, endpoint=f"{phi.endpoint}/nowhere")
    with pytest.raises(NotFoundError):
        Endpoint(given).info()
    with pytest.raises(NotFoundError):
        asyncio.run(AsyncEndpoint(given).info())


# -- what is sent and released --


def test_headers_of_model_and_call_are_sent(phi: Emulator) -> None:
    """The call's win; ours can be replaced."""
    given = connection(phi, headers={"x-team": "a", "user-agent": "mine", "x-both": "1"})
    Endpoint(given).complete(QUESTION, {"x-both": "2"})
    headers = phi.requests[-1].headers
    assert (headers["x-team"], headers["user-agent"], headers["x-both"]) == ("a", "mine", "2")


def test_own_clients_keep_their_timeouts(phi: Emulator) -> None:
    """A user's client is used as it is."""
    for ask in BOTH:
        phi.fail(name="stall")
        client = ask.client(timeout=0.2)
        with pytest.raises(RequestTimeoutError):
            ask(connection(phi, timeout=None), client)
        if isinstance(client, httpx.Client):
            client.close()


def test_requests_name_what_they_accept(phi: Emulator) -> None:
    """An event stream where one is asked for."""
    for ask in BOTH:
        phi.requests.clear()
        ask(connection(phi))
        ask(connection(phi), stream=True)
        assert [request.headers["accept"] for request in phi.requests] == [
            "application/json",
            "text/event-stream, application/json",
        ]


def released(phi: Emulator) -> bool:
    """Whether the server sees no open connection any more, soon."""
    until = time.monotonic() + 3
    while phi.open_connections > 0 and time.monotonic() < until:
        time.sleep(0.01)
    return phi.open_connections == 0


@pytest.fixture
def slow() -> Iterator[Emulator]:
    """A model that speaks slowly enough to be left."""
    with Emulator(chunk_delay=0.02) as emulator:
        yield emulator


def test_an_abandoned_stream_releases_its_connection(slow: Emulator) -> None:
    """Closing the iterator is enough."""
    pieces = Endpoint(connection(slow)).stream({**QUESTION, "stream": True}, {})
    next(iter(pieces))
    pieces.close()
    assert released(slow)


async def test_an_abandoned_async_stream_releases_its_connection(slow: Emulator) -> None:
    """At once, not when the loop turns."""
    pieces = AsyncEndpoint(connection(slow)).stream({**QUESTION, "stream": True}, {})
    async with contextlib.aclosing(pieces):
        await anext(aiter(pieces))
    assert await asyncio.to_thread(released, slow)


async def test_canceled_tasks_release_their_connections(slow: Emulator) -> None:
    """A user who leaves must not keep the model at work."""
    endpoint = AsyncEndpoint(connection(slow))

    async def read() -> None:
        pieces = endpoint.stream({**QUESTION, "stream": True}, {})
        async for _ in pieces:
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    assert slow.open_connections == 1
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(released, slow)
