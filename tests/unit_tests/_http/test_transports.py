"""What requests travel over: httpx in threads, aiohttp in event loops, and users' own clients.

Nothing is shared between callers: a connection on which anything arrived that was not requested is
closed.
"""

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_azure_phi3 import (
    AzurePhi3Error,
    ChatAzurePhi3,
    ConnectionFailedError,
    InterruptedStreamError,
    InvalidInputError,
    InvalidResponseError,
    RequestTimeoutError,
    ServerError,
)
from langchain_azure_phi3._http import client, endpoint, json_body, transfer
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.raw_server import answering, serving

OK = b"HTTP/1.1 200 OK"
CHUNKED = OK + b"\r\ntransfer-encoding: chunked\r\n\r\n"


def completion(text: str = "Hi", *headers: bytes) -> bytes:
    """A complete response."""
    body = b'{"choices":[{"index":0,"message":{"content":"%b"},"finish_reason":"stop"}]}'
    body %= text.encode()
    lines = (OK, *headers, b"content-length: %d" % len(body), b"", body)
    return b"\r\n".join(lines)


def streamed(text: str = "Hi", end: bytes = b"0\r\n\r\n") -> bytes:
    """A streamed response, in chunks."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":"stop"}]}\n\n'
    events = (event % text.encode(), b"data: [DONE]\n\n")
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(e), e) for e in events) + end


def response_for(request: bytes, text: str = "Hi") -> bytes:
    """A response of the form that was requested."""
    return streamed(text) if b'"stream":true' in request else completion(text)


@contextmanager
def fresh_client() -> Iterator[None]:
    """A process's client of its own, so that no connection is open yet."""
    client.close_shared()
    yield
    client.close_shared()


@asynccontextmanager
async def model_for(
    url: str, *, own: bool = False, **settings: Any
) -> AsyncIterator[ChatAzurePhi3]:
    """A model over the shared clients, or over clients of the user's own."""
    given: dict[str, Any] = {"endpoint": url, "credential": "k", "timeout": 5.0, "max_retries": 0}
    with fresh_client(), httpx.Client() as sync:
        async with httpx.AsyncClient() as asynchronous:
            clients = {"http_client": sync, "http_async_client": asynchronous} if own else {}
            model = ChatAzurePhi3(**given | clients | settings)
            yield model
            await model.aclose()


# -- no caller receives another caller's response ------------------------------------------------

EXTRAS = {
    "a response": completion("another's"),
    "an empty response": b"HTTP/1.1 204 No\r\n\r\n",
    "a timeout": b"HTTP/1.1 408 Late\r\ncontent-length: 0\r\n\r\n",
    "a head": OK + b"\r\ncontent-length: 500\r\n\r\n",
    "a part of a head": b"HTTP/1.1 4",
    "a line feed": b"\r\n",
}
# aiohttp drops these with the parser of the response that they follow in the same packet.
HARMLESS = (EXTRAS["a part of a head"], EXTRAS["a line feed"])


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("at_once", [True, False], ids=["surplus", "idle"])
async def test_unrequested_bytes_are_nobodys_response(
    at_once: bool, secure: bool, own: bool, request: pytest.FixtureRequest
) -> None:
    """In the packet of a response, or while the connection is idle: it is not used again.

    Not so for a user's own `httpx.AsyncClient` over TLS: what it read while idle cannot be seen.
    """
    certificate: Path | None = request.getfixturevalue("known_certificate") if secure else None
    is_blind = own and secure and not at_once
    for mode in CALL_MODES[::2] if is_blind else CALL_MODES:
        for extra in EXTRAS.values():
            sent = threading.Event()

            def respond(
                connection: socket.socket,
                received: bytes,
                extra: bytes = extra,
                sent: threading.Event = sent,
            ) -> None:
                number = len(server.accepted)
                response = response_for(received, f"from {number}")
                if number > 1:
                    connection.sendall(response)
                elif at_once:
                    connection.sendall(response + extra)
                else:
                    connection.sendall(response)
                    time.sleep(0.03)
                    connection.sendall(extra)
                sent.set()

            with answering(respond, certificate=certificate) as server:
                async with model_for(server.url, own=own) as model:
                    assert "from 1" == (await call_model(model, mode, "one")).text
                    await asyncio.to_thread(sent.wait)
                    sent.clear()
                    await asyncio.sleep(0.02)
                    for question in ("two", "three"):
                        text = (await call_model(model, mode, question)).text
                        assert text == f"from {len(server.accepted)}"
                    if own or not mode.startswith("a") or extra not in HARMLESS:
                        assert 2 == len(server.accepted)


async def test_bytes_that_the_loop_has_not_read_count() -> None:
    """They wait in the system while the loop is busy with something else."""
    sent = threading.Event()

    def respond(connection: socket.socket, received: bytes) -> None:
        number = len(server.accepted)
        connection.sendall(response_for(received, f"from {number}"))
        if number == 1:
            time.sleep(0.02)
            connection.sendall(completion("another's"))
            sent.set()

    with answering(respond) as server:
        async with model_for(server.url) as model:
            assert "from 1" == (await model.ainvoke("one")).text
            sent.wait(5)
            time.sleep(0.02)  # noqa: ASYNC251
            assert "from 2" == (await model.ainvoke("two")).text


ENDS = {
    "on request": completion("Hi", b"connection: close"),
    "in HTTP/1.0": completion().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "with the body": OK + b"\r\n\r\n" + completion().partition(b"\r\n\r\n")[2],
}


async def test_connections_that_end_are_not_reused() -> None:
    """As the response says, or because the server closed it meanwhile."""
    for mode in ("invoke", "ainvoke"):
        for response in ENDS.values():
            with answering(lambda c, _, r=response: c.sendall(r), once=True) as server:  # type: ignore[misc]
                async with model_for(server.url) as model:
                    for _ in range(2):
                        assert "Hi" == (await call_model(model, mode, "?")).text
                assert 2 == len(server.accepted)


async def test_an_abandoned_response_leaves_no_connection() -> None:
    """The rest of it must not be taken for the next response."""
    begun = streamed(end=b"").partition(b"e\r\ndata: [D")[0]
    with answering(lambda c, _: c.sendall(begun)) as server:
        async with model_for(server.url) as model:
            with closing(model.stream("?")) as chunks:  # type: ignore[type-var]
                next(iter(chunks))
            async with aclosing(model.astream("?")) as pieces:  # type: ignore[type-var]
                await anext(aiter(pieces))
            assert 2 == len(server.accepted)
            assert await asyncio.to_thread(server.ended.wait, 5)


def test_many_threads_get_their_own_responses() -> None:
    """Each over a connection of its own, which is used again."""

    def echo(connection: socket.socket, received: bytes) -> None:
        connection.sendall(completion(received.rpartition(b"number-")[2][:4].decode()))

    with answering(echo) as server, fresh_client():
        model = ChatAzurePhi3(endpoint=server.url)
        questions = [f"number-{n:04}" for n in range(200)]
        answers = model.batch(questions, {"max_concurrency": 8})
        assert [question[-4:] for question in questions] == [answer.text for answer in answers]
        assert len(server.accepted) <= 8


async def test_connection_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """On both paths; whoever finds no free connection waits."""
    monkeypatch.setattr(client, "LIMITS", httpx.Limits(max_connections=2))
    monkeypatch.setattr(client, "_shared", client._Shared())

    def slowly(connection: socket.socket, received: bytes) -> None:
        time.sleep(0.01)
        connection.sendall(response_for(received))

    for batch in ("batch", "abatch"):
        with answering(slowly) as server:
            model = ChatAzurePhi3(endpoint=server.url)
            if batch == "batch":
                await asyncio.to_thread(model.batch, ["?"] * 12, {"max_concurrency": 6})
            else:
                await model.abatch(["?"] * 12)
            assert 2 == len(server.accepted)
            model.close()
            await model.aclose()


@pytest.mark.usefixtures("each_transport")
async def test_no_cookies_are_kept() -> None:
    """A load balancer's cookie for one deployment must not follow another's requests."""
    seen: list[bytes] = []

    def respond(connection: socket.socket, received: bytes) -> None:
        seen.append(received.lower())
        response = response_for(received)
        connection.sendall(response.replace(OK, OK + b"\r\nset-cookie: affinity=1", 1))

    with answering(respond) as server:
        async with model_for(server.url) as model:
            for mode in CALL_MODES * 2:
                await call_model(model, mode, "?")
    assert 8 == len(seen)
    assert not any(b"\r\ncookie:" in received for received in seen)


# -- how failures are named ----------------------------------------------------------------------


async def failure_of(model: ChatAzurePhi3, mode: str, question: Any = "?") -> AzurePhi3Error:
    """The error of a call, which holds no trace of aiohttp's."""
    with pytest.raises(AzurePhi3Error) as caught:
        await call_model(model, mode, question)
    cause = caught.value.__cause__
    assert cause is None or isinstance(cause, httpx.HTTPError)
    return caught.value


PATHS = ("invoke", "ainvoke")


async def test_nobody_listening_is_a_failed_connection() -> None:
    """It may be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with model_for(url) as model:
        for mode in PATHS:
            assert isinstance(await failure_of(model, mode), ConnectionFailedError)


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
async def test_each_timeout_has_its_code(own: bool) -> None:
    """A full queue of connections, a silent server, and one that does not read."""
    for mode in PATHS:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
            address = listening.getsockname()
            waiting = [socket.socket() for _ in range(4)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(address)
            async with model_for(f"http://127.0.0.1:{address[1]}", own=own, timeout=0.1) as model:
                error = await failure_of(model, mode)
            assert isinstance(error, RequestTimeoutError)
            assert "connect_timeout" == error.code
            for each in waiting:
                each.close()
        with answering(lambda *_: None) as server:
            async with model_for(server.url, own=own, timeout=(5, 0.1)) as model:
                assert "read_timeout" == (await failure_of(model, mode)).code
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            async with model_for(url, own=own, timeout=(5, 0.2)) as model:
                error = await failure_of(model, mode, "x" * 30_000_000)
                assert "write_timeout" == error.code
                assert isinstance(error, RequestTimeoutError)


async def test_a_slow_upload_may_take_longer() -> None:
    """As long as it moves: images are large, and lines are slow."""
    size = 12_000_000

    def slowly(connection: socket.socket, received: bytes) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
        while not received.endswith(b"}"):
            time.sleep(0.008)
            received = connection.recv(65_536)
        connection.sendall(completion())

    for mode in PATHS:
        with answering(slowly, early=True) as server:
            async with model_for(server.url, timeout=(5, 1)) as model:
                began = time.monotonic()
                assert "Hi" == (await call_model(model, mode, "x" * size)).text
                assert time.monotonic() - began > 1


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_an_early_response_survives_the_close(
    secure: bool, request: pytest.FixtureRequest
) -> None:
    """Servers reject an upload without reading it, and the close resets the connection."""
    certificate: Path | None = request.getfixturevalue("known_certificate") if secure else None
    for status in (401, 413, 429):
        head = f"HTTP/1.1 {status} No\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"

        def reject(connection: socket.socket, _: bytes, head: str = head) -> None:
            connection.sendall(head.encode() + b"no")

        with answering(reject, once=True, early=True, certificate=certificate) as server:
            async with model_for(server.url) as model:
                for mode in CALL_MODES * 5:
                    error = await failure_of(model, mode, "x" * 3_000_000)
                    assert status == error.status_code, (mode, error)


HEADERS = ["1\r\nx-b: 2", "1\n2", "\0", "schlüssel"]


async def test_headers_that_cannot_be_sent_are_refused() -> None:
    """They would end the header and begin another; they are not quoted: they may be keys."""
    with answering(lambda *_: None) as server:
        for value in HEADERS:
            async with model_for(server.url, default_headers={"x-a": value}) as model:
                for mode in PATHS:
                    error = await failure_of(model, mode)
                    assert isinstance(error, InvalidInputError)
                    assert value not in str(error)


# -- responses that are hardly HTTP --------------------------------------------------------------

BODY = completion().partition(b"\r\n\r\n")[2]


def with_length(*lines: bytes) -> bytes:
    """A completion, with these lines before its last header."""
    return b"\r\n".join((*lines, b"content-length: %d" % len(BODY), b"", BODY))


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    """One chunk."""
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


READABLE = {
    "with a length": with_length(OK),
    "in chunks": CHUNKED + chunk(BODY[:9]) + chunk(BODY[9:]) + b"0\r\n\r\n",
    "in chunks with extensions": CHUNKED + chunk(BODY, b";a=b") + b"0\r\n\r\n",
    "with trailers": CHUNKED + chunk(BODY) + b"0\r\nx-seconds: 2\r\n\r\n",
    "until the connection ends": OK + b"\r\n\r\n" + BODY,
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "without a reason": with_length(b"HTTP/1.1 200"),
    "with bytes beyond ASCII": with_length(OK, b"x-name: \xe9\xff"),
    "with bare line feeds": with_length(OK).replace(b"\r\n", b"\n"),
    "with a folded header": with_length(OK, b"x-name: 1", b" 2"),
    "with empty headers": with_length(OK, b"x-name:", b"x-other: "),
    "with a long header": with_length(OK, b"x-name: " + b"a" * 60_000),
    "after an interim response": with_length(b"HTTP/1.1 100 Continue", b"x-a: b", b"", OK),
    "after hints": with_length(b"HTTP/1.1 103 Early Hints", b"link: </x>", b"", OK),
}

INCOMPLETE = {
    "half a body": OK + b"\r\ncontent-length: 900\r\n\r\nHi",
    "half a chunk": CHUNKED + b"9\r\nHi",
    "no last chunk": CHUNKED + chunk(BODY),
    "not a chunk": CHUNKED + b"zz\r\n",
}
NOT_HTTP = {
    "nothing": b"",
    "half a head": OK + b"\r\ncontent-le",
    "text": b"Hi\r\n\r\n",
    "no header": with_length(OK, b"x-name = 1"),
    "a space before a colon": with_length(OK, b"x-name : 1"),
    "two lengths": with_length(OK, b"content-length: 3"),
    "a negative length": OK + b"\r\ncontent-length: -2\r\n\r\nHi",
    "an endless head": OK + b"\r\nx-name: " + b"a" * 300_000,
}


@pytest.mark.parametrize("mode", PATHS)
async def test_unusual_responses_are_read(mode: str) -> None:
    """Gateways and small servers write what is in no standard."""
    for how, response in READABLE.items():
        with serving(response) as url:
            async with model_for(url) as model:
                assert "Hi" == (await call_model(model, mode, "?")).text, how


@pytest.mark.parametrize("mode", PATHS)
async def test_broken_responses_are_errors(mode: str) -> None:
    """Of a kind that may pass; without the line that cannot be read, which may hold a key."""
    cases = [(each, ConnectionFailedError) for each in NOT_HTTP.items()]
    cases += [(each, InterruptedStreamError) for each in INCOMPLETE.items()]  # type: ignore[misc]
    for (how, response), expected in cases:
        head, separator, body = response.partition(b"\r\n\r\n")
        with serving(head + separator, body) as url:
            async with model_for(f"{url}?code=a-gateways-key") as model:
                error = await failure_of(model, mode)
        assert isinstance(error, expected), how
        assert "gateways-key" not in str(error)


# -- bounds --------------------------------------------------------------------------------------


async def test_error_bodies_are_bounded() -> None:
    """What names the error is at the beginning."""
    body = b"x" * (3 * transfer.MAX_ERROR_BYTES)
    with answering(
        lambda c, _: c.sendall(
            b"HTTP/1.1 500 No\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
    ) as server:
        async with model_for(server.url) as model:
            for mode in CALL_MODES:
                error = await failure_of(model, mode)
                assert isinstance(error, ServerError)
                assert error.response is not None
                assert transfer.MAX_ERROR_BYTES == len(error.response.content)


def compressed(encoding: bytes, body: bytes, status: bytes = b"200 OK") -> bytes:
    """A response with an encoding."""
    head = b"HTTP/1.1 %b\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n"
    return head % (status, encoding, len(body)) + body


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
async def test_compression_is_not_requested_but_bounded(own: bool) -> None:
    """Some gateways compress all the same; a small body may hold more than the memory."""
    bomb = gzip.compress(bytes(80_000_000))
    seen: list[bytes] = []
    cases: list[tuple[bytes, type[AzurePhi3Error] | None, str]] = [
        (compressed(b"gzip", gzip.compress(BODY)), None, ""),
        (compressed(b"identity", BODY), None, ""),
        (compressed(b"gzip", bomb), InvalidResponseError, "larger than"),
        (compressed(b"gzip", BODY), InvalidResponseError, "cannot be decompressed"),
        (compressed(b"zstd", BODY), InvalidResponseError, "'zstd' was not requested"),
        (compressed(b"gzip, gzip", BODY), InvalidResponseError, "was not requested"),
        (compressed(b"br", BODY, b"500 No"), ServerError, "500"),
        (compressed(b"gzip", bomb, b"500 No"), ServerError, "500"),
    ]
    for response, expected, text in cases:

        def respond(connection: socket.socket, received: bytes, response: bytes = response) -> None:
            seen.append(received.lower())
            connection.sendall(response)

        with answering(respond) as server:
            async with model_for(server.url, own=own) as model:
                for mode in CALL_MODES:
                    if expected is None:
                        assert "Hi" == (await call_model(model, mode, "?")).text
                    else:
                        error = await failure_of(model, mode)
                        assert isinstance(error, expected)
                        assert text in str(error)
    assert all(b"accept-encoding: identity\r\n" in received for received in seen)


def test_decompressed_pieces_are_small() -> None:
    """Whoever counts them stops in time: 1 KB may hold 1 MB."""
    content = gzip.compress(bytes(10_000_000))
    response = httpx.Response(200, stream=httpx.ByteStream(content))
    sizes = list(map(len, transfer.iter_body(response, {"content-encoding": "gzip"})))

    assert 10_000_000 == sum(sizes)
    assert max(sizes) <= 65_536


ENDLESS = {
    "an event": (b"data: ", b"x" * 65_536),
    "lines of one event": (b"", b"data: " + b"x" * 1000 + b"\n"),
    "comments": (b"", b": x\n" * 10_000),
    "a JSON value": (b'{"a": "', b"x" * 65_536),
}


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("mode", CALL_MODES)
async def test_endless_bodies_are_dropped(
    mode: str, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as an event or a response has more bytes than it may have."""
    monkeypatch.setattr(endpoint, "MAX_BODY_BYTES", 20_000_000)
    monkeypatch.setattr(json_body, "MAX_BODY_BYTES", 20_000_000)
    for what, (start, piece) in ENDLESS.items():
        sent = 0

        def respond(
            connection: socket.socket, _: bytes, start: bytes = start, piece: bytes = piece
        ) -> None:
            nonlocal sent
            connection.sendall(CHUNKED + chunk(start or piece))
            while sent < 100_000_000:
                connection.sendall(chunk(piece))
                sent += len(piece)

        with answering(respond) as server:
            async with model_for(server.url, own=own) as model:
                error = await failure_of(model, mode)
        assert isinstance(error, InvalidResponseError), what
        assert "larger than" in str(error)
        assert 16_000_000 < sent < 40_000_000, what  # some of it waits in the sockets' buffers


# -- the end of a stream -------------------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
async def test_the_last_chunk_is_not_delayed(own: bool) -> None:
    """A connection is worth half a second, but not of the reader's time."""
    with answering(lambda c, _: c.sendall(streamed(end=b""))) as server:
        async with model_for(server.url, own=own) as model:
            began = time.monotonic()
            for piece in model.stream("?"):
                last = time.monotonic() - began, piece.chunk_position
            assert ("last", True) == (last[1], last[0] < 0.3)
            assert 0.4 < time.monotonic() - began < 3
            began = time.monotonic()
            async for piece in model.astream("?"):
                last = time.monotonic() - began, piece.chunk_position
            assert ("last", True) == (last[1], last[0] < 0.3)
            assert 0.4 < time.monotonic() - began < 3


TAILS: dict[str, tuple[Callable[[socket.socket], None], int]] = {
    "soon": (lambda c: (time.sleep(0.05), c.sendall(b"0\r\n\r\n"))[1], 1),
    "with a trailer": (lambda c: c.sendall(b"0\r\nx-a: b\r\n\r\n"), 1),
    "never": (lambda c: None, 2),
    "after much more": (lambda c: c.sendall(4 * (b"10000\r\n" + bytes(0x10000) + b"\r\n")), 2),
    "broken": (lambda c: (time.sleep(0.05), c.sendall(b"zz\r\n"))[1], 2),
}


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
async def test_streams_give_their_connections_back(own: bool) -> None:
    """If the end of the body follows soon after `[DONE]`."""
    for mode in ("stream", "astream"):
        for tail, connections in TAILS.values():

            def respond(
                connection: socket.socket, _: bytes, tail: Callable[[socket.socket], None] = tail
            ) -> None:
                connection.sendall(streamed(end=b""))
                tail(connection)

            with answering(respond) as server:
                async with model_for(server.url, own=own) as model:
                    for _ in range(2):
                        assert "Hi" == (await call_model(model, mode, "?")).text
                    assert connections == len(server.accepted)


async def test_drips_after_the_end_are_awaited_once() -> None:
    """Half a second in all, not half a second for each byte."""

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(streamed(end=b""))
        while not server.ended.wait(0.1):
            connection.sendall(b"1\r\n!\r\n")

    with answering(drip) as server:
        async with model_for(server.url) as model:
            for mode in ("stream", "astream"):
                began = time.monotonic()
                await call_model(model, mode, "?")
                assert time.monotonic() - began < 2
