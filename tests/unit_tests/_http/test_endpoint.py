"""One deployment over a socket, in both colours: retries, breaks, secrets, connections."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from langchain_azure_phi3 import (
    AzurePhi3Error,
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
AT_ONCE = RetryPolicy(max_retries=2, jitter=lambda: 0.0)


pytestmark = pytest.mark.usefixtures("each_transport")


def connection(phi: Emulator, **given: Any) -> Connection:
    """How to reach the emulator; retries do not wait."""
    route = route_for(given.pop("endpoint", phi.endpoint))
    settings = {"auth": auth_for(phi.key, route), "timeout": (2.0, 2.0), "retries": AT_ONCE}
    return Connection(route, **(settings | given))


class InSync:
    """One way to ask, for both colours: everything that an answer gave, as a list."""

    client: type[Any] = httpx.Client

    def __call__(self, given: Connection, client: Any = None, *, stream: bool = False) -> list[Any]:
        """The bodies of the answer."""
        endpoint = Endpoint(given, client)
        if stream:
            return [body for body, _ in endpoint.stream({**QUESTION, "stream": True}, {})]
        return [endpoint.complete(QUESTION, {}).body]


class InAsync:
    """The same, awaited."""

    client: type[Any] = httpx.AsyncClient

    def __call__(self, given: Connection, client: Any = None, *, stream: bool = False) -> list[Any]:
        """The bodies of the answer."""
        return asyncio.run(self._ask(given, client, stream))

    async def _ask(self, given: Connection, client: Any, stream: bool) -> list[Any]:
        endpoint = AsyncEndpoint(given, client)
        if stream:
            pieces = endpoint.stream({**QUESTION, "stream": True}, {})
            return [body async for body, _ in pieces]
        return [(await endpoint.complete(QUESTION, {})).body]


Ask = InSync | InAsync


@pytest.fixture(params=[InSync, InAsync], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Both colours."""
    asking: Ask = request.param()
    return asking


both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


# -- failures before an answer --


@both_ways
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_failure_that_may_pass_is_tried_again(
    phi: Emulator, ask: Ask, stream: bool, status: int
) -> None:
    """For all four entry points."""
    phi.fail(status=status, times=2)
    assert ask(connection(phi), stream=stream)[0]["choices"]
    assert len(phi.requests) == 3


@both_ways
def test_a_refused_connection_is_tried_again(phi: Emulator, ask: Ask, stream: bool) -> None:
    """One that breaks before any answer, too."""
    phi.fail("refuse", times=2)
    assert ask(connection(phi), stream=stream)[0]["choices"]


@both_ways
def test_retries_come_to_an_end(phi: Emulator, ask: Ask, stream: bool) -> None:
    """The last failure is raised."""
    phi.fail(status=503, times=5)
    with pytest.raises(ServerError):
        ask(connection(phi), stream=stream)
    assert len(phi.requests) == 3


@both_ways
def test_what_stays_wrong_is_asked_once(phi: Emulator, ask: Ask, stream: bool) -> None:
    """A 400 is the caller's to mend."""
    phi.fail(status=400, body={"detail": "no"})
    with pytest.raises(BadRequestError, match="400: no"):
        ask(connection(phi), stream=stream)
    assert len(phi.requests) == 1


def test_a_rate_limit_is_waited_for(phi: Emulator, ask: Ask) -> None:
    """For as long as it asks."""
    phi.fail(status=429, retry_after=0.2)
    began = time.monotonic()
    ask(connection(phi))
    assert time.monotonic() - began >= 0.2


def test_a_rate_limit_beyond_the_longest_wait_is_raised_at_once(phi: Emulator, ask: Ask) -> None:
    """With the seconds that the server asked for."""
    phi.fail(status=429, retry_after=3600)
    with pytest.raises(RateLimitError) as caught:
        ask(connection(phi))
    assert caught.value.retry_after == 3600


def test_nobody_there_is_a_failed_connection(phi: Emulator, ask: Ask) -> None:
    """The message says what to check."""
    phi.stop()
    given = connection(phi, endpoint="http://127.0.0.1:9")
    with pytest.raises(ConnectionFailedError, match="Check the endpoint's host name") as caught:
        ask(given)
    assert caught.value.is_retryable


def test_silence_is_a_timeout_and_is_not_tried_again(phi: Emulator, ask: Ask) -> None:
    """The model may still be at work on the first request."""
    phi.fail("stall", times=3)
    with pytest.raises(RequestTimeoutError, match="`timeout` sets the seconds") as caught:
        ask(connection(phi, timeout=(2.0, 0.2)))
    assert caught.value.code == "read_timeout"
    assert len(phi.requests) == 1


@pytest.mark.parametrize(
    ("raised", "kind", "code"),
    [
        (httpx.ConnectTimeout("slow"), RequestTimeoutError, "connect_timeout"),
        (httpx.ReadTimeout(""), RequestTimeoutError, "read_timeout"),
        (httpx.ConnectError("no route"), ConnectionFailedError, None),
        (httpx.DecodingError("bad gzip"), InvalidResponseError, None),
        (httpx.UnsupportedProtocol("x://"), InvalidInputError, None),
        (httpx.InvalidURL("no"), InvalidInputError, None),
    ],
)
def test_what_httpx_raises_is_translated(
    phi: Emulator, ask: Ask, raised: Exception, kind: type[AzurePhi3Error], code: str | None
) -> None:
    """And kept as the cause, without the signed request."""

    def fail(request: httpx.Request) -> httpx.Response:
        if isinstance(raised, httpx.RequestError):
            raised.request = request
        raise raised

    client = ask.client(transport=httpx.MockTransport(fail))
    with pytest.raises(kind) as caught:
        ask(connection(phi, retries=RetryPolicy(max_retries=0)), client)
    assert caught.value.code == code
    assert caught.value.__cause__ is raised
    if isinstance(raised, httpx.RequestError):
        assert "authorization" not in raised.request.headers


@pytest.mark.parametrize("value", ["schlüssel", "two\nlines"])
def test_a_header_that_http_cannot_carry_is_refused(phi: Emulator, ask: Ask, value: str) -> None:
    """Nothing is sent, and the value, which may be a secret, is nowhere on the error."""
    given = connection(phi, headers={"x-secret": value})
    with pytest.raises(InvalidInputError, match="that HTTP cannot carry") as caught:
        ask(given)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert phi.requests == []


def test_redirects_are_not_followed(phi: Emulator, ask: Ask) -> None:
    """The credential stays with the host that it was given for."""
    phi.fail(status=307, body="", headers={"location": f"{phi.endpoint}/v1/chat/completions"})
    with pytest.raises(InvalidResponseError, match="307"):
        ask(connection(phi))
    assert len(phi.requests) == 1


# -- failures in the middle of an answer --


@pytest.mark.parametrize("kind", ["cut", "reset", "stall", "end"])
@pytest.mark.parametrize("colour", ["sync", "async"])
async def test_a_stream_that_breaks_gives_what_came_and_then_says_so(
    phi: Emulator, kind: Any, colour: str
) -> None:
    """And is never begun again: text would be said twice."""
    phi.fail(kind, after=3)
    given = connection(phi, timeout=(2.0, 0.3))
    expected = RequestTimeoutError if kind == "stall" else InterruptedStreamError
    payload = {**QUESTION, "stream": True}
    received: list[Any] = []
    if colour == "sync":
        with pytest.raises(expected):
            received.extend(Endpoint(given).stream(payload, {}))
    else:
        pieces = AsyncEndpoint(given).stream(payload, {})
        received += [await anext(pieces) for _ in range(3)]
        with pytest.raises(expected):
            await anext(pieces)
    assert len(received) == 3
    _, identity = received[0]
    assert identity is not None
    assert len(phi.requests) == 1


@pytest.mark.parametrize("kind", ["short", "cut"])
def test_a_whole_answer_that_breaks_is_an_interruption(phi: Emulator, ask: Ask, kind: Any) -> None:
    """Less than `content-length` promised is no answer, even where it is JSON."""
    phi.fail(kind, after_bytes=30)
    with pytest.raises(InterruptedStreamError):
        ask(connection(phi))


@pytest.mark.parametrize(("kind", "said"), [("html", "Sign in"), ("empty", "an empty body")])
@both_ways
def test_an_answer_that_is_none_is_shown(
    phi: Emulator, ask: Ask, kind: Any, said: str, stream: bool
) -> None:
    """A login page with status 200; nothing at all."""
    phi.fail(kind)
    with pytest.raises(InvalidResponseError, match=said):
        ask(connection(phi), stream=stream)


def test_an_answer_beyond_the_bound_is_dropped(
    phi: Emulator, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless body must not fill the memory."""
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


def test_headers_of_the_connection_and_of_the_call_are_sent(phi: Emulator) -> None:
    """The call's win; ours can be replaced."""
    given = connection(phi, headers={"x-team": "a", "user-agent": "mine", "x-both": "1"})
    Endpoint(given).complete(QUESTION, {"x-both": "2"})
    headers = phi.requests[-1].headers
    assert (headers["x-team"], headers["user-agent"], headers["x-both"]) == ("a", "mine", "2")


def test_without_a_timeout_the_clients_own_counts(phi: Emulator, ask: Ask) -> None:
    """A user's client is used as it is."""
    phi.fail("stall")
    client = ask.client(timeout=0.2)
    with pytest.raises(RequestTimeoutError):
        ask(connection(phi, timeout=None), client)
    if isinstance(client, httpx.Client):
        client.close()


def test_the_first_request_says_what_it_accepts(phi: Emulator, ask: Ask) -> None:
    """An event stream where one is asked for."""
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
    next(pieces)
    pieces.close()
    assert released(slow)


async def test_an_abandoned_async_stream_releases_its_connection(slow: Emulator) -> None:
    """At once, not when the loop turns."""
    pieces = AsyncEndpoint(connection(slow)).stream({**QUESTION, "stream": True}, {})
    async with contextlib.aclosing(pieces):
        await anext(pieces)
    assert await asyncio.to_thread(released, slow)


async def test_a_cancelled_task_releases_its_connection(slow: Emulator) -> None:
    """A user who leaves must not keep the model at work."""
    endpoint = AsyncEndpoint(connection(slow))

    async def read() -> None:
        pieces: AsyncIterator[Any] = endpoint.stream({**QUESTION, "stream": True}, {})
        async for _ in pieces:
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    assert slow.open_connections == 1
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(released, slow)
