"""What httpx's synchronous client rides on: connections are kept, and none gives a wrong answer."""

import errno
import select
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_azure_phi3._http.http_reader import HttpReader
from langchain_azure_phi3._http.lean_client import DirectBody
from langchain_azure_phi3._http.socket_transport import SocketTransport
from tests.raw_server import answering, serving

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nHi"
LIMITS = httpx.Limits(max_keepalive_connections=10, keepalive_expiry=5.0)


def hello(connection: socket.socket, _: bytes) -> None:
    """The usual answer."""
    connection.sendall(ANSWER)


def client(limits: httpx.Limits = LIMITS, timeout: float | httpx.Timeout = 5.0) -> httpx.Client:
    """A client over a transport of its own."""
    return httpx.Client(transport=SocketTransport(limits), timeout=timeout)


# -- which connections are used again ------------------------------------------------------------


def test_one_thread_uses_one_connection() -> None:
    """However much it asks."""
    with answering(hello) as server, client() as asking:
        for _ in range(5):
            assert asking.post(server.url, content=b"?").text == "Hi"

        assert 1 == len(server.accepted)


def test_each_of_many_threads_has_a_connection_and_no_answer_goes_astray() -> None:
    """There is no lock around them."""

    def echo(connection: socket.socket, asked: bytes) -> None:
        connection.sendall(ANSWER.replace(b": 2", b": 4").replace(b"Hi", asked[-4:]))

    def ask(number: int) -> bool:
        question = b"%04d" % number
        return asking.post(server.url, content=question).content == question

    with answering(echo) as server, client() as asking:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(400)))

        assert len(server.accepted) <= 8


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER.replace(b"OK\r\n", b"OK\r\nconnection: close\r\n"),
        ANSWER.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ANSWER + b"!",
        ANSWER + b"HTTP/1.1 4",
        ANSWER + ANSWER,
        b"HTTP/1.1 200 OK\r\n\r\nHi",
    ],
)
def test_a_connection_that_is_to_end_or_said_too_much_is_not_used_again(answer: bytes) -> None:
    """The next answer on it would be somebody else's."""

    def ending(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)

    with answering(ending) as server, client() as asking:
        for _ in range(2):
            assert asking.post(server.url, content=b"?").text == "Hi"

        assert 2 == len(server.accepted)


def test_what_a_server_says_unasked_is_nobodys_answer() -> None:
    """Some say that a request took too long to come, and close."""
    late = threading.Event()

    def twice(connection: socket.socket, _: bytes) -> None:
        connection.sendall(ANSWER)
        if len(server.accepted) == 1:
            connection.sendall(b"HTTP/1.1 408 Late\r\ncontent-length: 0\r\n\r\n")
            late.set()

    with answering(twice) as server, client() as asking:
        assert 200 == asking.post(server.url, content=b"?").status_code
        assert late.wait(5)
        assert 200 == asking.post(server.url, content=b"?").status_code

        assert 2 == len(server.accepted)


@pytest.mark.parametrize("watch", ["poll", "select"])
def test_a_connection_that_the_server_closed_meanwhile_is_not_used(
    watch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows, which has no `poll`, either."""
    if watch == "select":
        monkeypatch.delattr(select, "poll")
    with answering(hello) as server, client() as asking:
        asking.post(server.url, content=b"?")
        server.accepted[0].shutdown(socket.SHUT_RDWR)

        assert asking.post(server.url, content=b"?").text == "Hi"
        assert 2 == len(server.accepted)


SHORT = httpx.Limits(max_keepalive_connections=10, keepalive_expiry=0.05)


def test_a_connection_that_waited_for_too_long_is_not_used() -> None:
    """Gateways drop idle ones in silence."""
    with answering(hello) as server, client(SHORT) as asking:
        asking.post(server.url, content=b"?")
        time.sleep(0.1)
        asking.post(server.url, content=b"?")

        assert 2 == len(server.accepted)


def test_a_connection_that_waited_for_too_long_is_closed() -> None:
    """Once an answer came, be it from another server."""
    with answering(hello) as server, answering(hello) as other, client(SHORT) as asking:
        asking.post(server.url, content=b"?")
        time.sleep(0.1)
        asking.post(other.url, content=b"?")

        assert server.ended.wait(5)


def test_no_more_connections_are_kept_than_said() -> None:
    """Those that were not used for longest go first."""
    two = httpx.Limits(max_keepalive_connections=2, keepalive_expiry=5.0)
    with answering(hello) as server, client(two) as asking:
        held = [
            asking.send(asking.build_request("POST", server.url, content=b"?"), stream=True)
            for _ in range(4)
        ]
        for response in held:
            response.read()
        for _ in range(3):
            asking.post(server.url, content=b"?")

        assert 4 == len(server.accepted)
        assert 2 == sum(len(waiting) for waiting in asking._transport._idle._waiting.values())  # type: ignore[attr-defined]


def test_an_answer_that_is_left_leaves_no_connection() -> None:
    """What comes late must not be taken for the next answer."""
    begun = ANSWER.replace(b": 2", b": 9")
    with answering(lambda c, _: c.sendall(begun)) as server, client() as ask:
        with ask.stream("POST", server.url, content=b"?") as response:
            assert b"Hi" == next(response.iter_raw())

        assert server.ended.wait(5)
        assert not any(ask._transport._idle._waiting.values())  # type: ignore[attr-defined]


def test_a_connection_whose_request_was_not_sent_whole_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server would take what comes next for its rest."""

    def full(connection: socket.socket, data: memoryview) -> int:
        if len(sent) == 1:
            sent.append(0)
            raise OSError(errno.ENOBUFS, "no room")
        sent.append(len(data))
        return send(connection, data)

    sent: list[int] = []
    send = socket.socket.send
    with answering(hello) as server, client() as asking:
        monkeypatch.setattr(socket.socket, "send", full)
        assert asking.post(server.url, content=bytes(100_000)).text == "Hi"
        assert asking.post(server.url, content=b"?").text == "Hi"

        assert 2 == len(server.accepted)


def test_what_follows_the_end_of_a_stream_is_waited_for_once() -> None:
    """However slowly it comes: half a second, not half a second for each byte."""

    def drip(connection: socket.socket, _: bytes) -> None:
        connection.sendall(ANSWER.replace(b": 2", b": 99"))
        while not server.ended.wait(0.1):
            connection.sendall(b"!")

    with answering(drip) as server, client() as asking:
        request = asking.build_request("POST", server.url, content=b"?")
        response = SocketTransport(LIMITS).handle_request(request)
        assert isinstance(response.stream, DirectBody)
        began = time.monotonic()
        response.stream.said_all()

        assert 0.4 < time.monotonic() - began < 2
        response.stream.close()


def test_a_connection_in_use_is_closed_after_its_client() -> None:
    """Nobody would ever ask for it again."""
    with answering(hello) as server:
        asking = client()
        response = asking.send(asking.build_request("POST", server.url, content=b"?"), stream=True)
        asking._transport.close()
        assert b"Hi" == response.read()

        assert not any(asking._transport._idle._waiting.values())  # type: ignore[attr-defined]


# -- how failures are called ---------------------------------------------------------------------


def test_a_refused_connection_is_a_connect_error() -> None:
    """It may be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with client() as asking, pytest.raises(httpx.ConnectError, match="refused"):
        asking.post(url, content=b"?")


def test_a_server_that_accepts_nobody_is_a_connect_timeout() -> None:
    """Its queue is full; the system keeps silent as well."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        with client(timeout=0.1) as asking, pytest.raises(httpx.ConnectTimeout):
            asking.post(f"http://127.0.0.1:{address[1]}", content=b"?")
        for each in waiting:
            each.close()


def test_a_silent_server_is_a_read_timeout() -> None:
    """It is not tried again: the model may be at work."""
    with answering(lambda *_: None) as server, client(timeout=0.05) as asking:  # noqa: SIM117
        with pytest.raises(httpx.ReadTimeout):
            asking.post(server.url, content=b"?")


def test_a_server_that_reads_nothing_is_a_write_timeout() -> None:
    """Once the system holds as much of the request as it can."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with client(timeout=0.05) as asking, pytest.raises(httpx.WriteTimeout):
            asking.post(url, content=bytes(50_000_000))


@pytest.fixture(params=["http", "https"])
def certificate(request: pytest.FixtureRequest) -> Path | None:
    """Of a server whose certificate is known, or has none."""
    return None if request.param == "http" else request.getfixturevalue("known_certificate")


def test_a_large_request_may_take_longer_than_the_timeout(certificate: Path | None) -> None:
    """As long as it moves: pictures are large, and lines are slow."""
    size = 12_000_000

    def slowly(connection: socket.socket, _: bytes) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
        left = size
        while left > 65_536 and (data := connection.recv(65_536)):
            left -= len(data)
            time.sleep(0.003)
        connection.sendall(ANSWER)

    impatient = httpx.Timeout(5.0, write=0.25)
    with answering(slowly, certificate=certificate) as server, client(timeout=impatient) as asking:
        began = time.monotonic()
        assert asking.post(server.url, content=bytes(size)).text == "Hi"
        assert time.monotonic() - began > 0.25


def test_a_refusal_that_comes_before_the_request_is_sent_is_read() -> None:
    """Servers refuse what is too large without reading it, and close."""
    said = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno"

    def refuse(connection: socket.socket, _: bytes) -> None:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_RD)

    with answering(refuse) as server, client() as asking:
        response = asking.post(server.url, content=bytes(40_000_000))

    assert (413, "no") == (response.status_code, response.text)


def test_a_reset_while_asking_is_a_write_error_where_nothing_was_said() -> None:
    """It may be tried again."""
    with (
        serving(b"", resets=True) as url,
        client() as asking,
        pytest.raises(httpx.WriteError, match=r"reset|pipe"),
    ):
        asking.post(url, content=bytes(40_000_000))


ON = ("message_begin", "status", "header", "headers_complete", "body", "message_complete")


@pytest.mark.parametrize("on", ON)
def test_ctrl_c_while_an_answer_is_read_ends_it(on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser catches whatever is raised in what it calls."""
    read = getattr(HttpReader, f"on_{on}")

    def interrupted(*given: Any) -> None:
        read(*given)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(HttpReader, f"on_{on}", interrupted)
    with answering(hello) as server, client() as asking:
        with pytest.raises(KeyboardInterrupt):
            asking.post(server.url, content=b"?")

        assert server.ended.wait(5)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-a", b"1\r\nx-b: 2")],
        [(b"x-a", b"1\n2")],
        [(b"x-a", b"\0")],
        [(b"x-a: 1\r\nx-b", b"2")],
        [(b"x a", b"1")],
        [(b"", b"1")],
    ],
)
def test_a_header_that_cannot_be_sent_is_the_callers_failure(
    headers: list[tuple[bytes, bytes]],
) -> None:
    """It would end the header, and begin another; it is not quoted, because it may be a key."""
    with answering(hello) as server, client() as asking:
        with pytest.raises(httpx.LocalProtocolError, match="a header cannot be sent"):
            asking.post(server.url, content=b"?", headers=headers)

        assert [] == server.accepted


def test_what_is_no_web_address_is_unsupported() -> None:
    """As httpx calls it."""
    with client() as asking, pytest.raises(httpx.UnsupportedProtocol, match="ftp"):
        asking.get("ftp://127.0.0.1/")
