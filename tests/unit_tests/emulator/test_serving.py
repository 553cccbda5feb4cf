"""The server's life: starting, stopping, counting, and leaving nothing behind."""

import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator, Prompt
from tests.unit_tests.emulator.conftest import AZURES_QUESTION, Desk

STREAM = {"messages": AZURES_QUESTION, "stream": True}


def free_port(host: str) -> int:
    """A port that nobody listens on; skips the test where the machine has no such address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, 0), family=family) as free:
            port: int = free.getsockname()[1]
    except OSError:
        pytest.skip(f"this machine has no address {host}")
    return port


def becomes(expected: int, value: Callable[[], int]) -> bool:
    """Whether a value is reached within two seconds."""
    until = time.monotonic() + 2
    while value() != expected and time.monotonic() < until:
        time.sleep(0.005)
    return value() == expected


@contextmanager
def taking_at_most(seconds: float) -> Iterator[None]:
    """Fail when the block takes longer."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_starting_and_stopping_take_no_time() -> None:
    """Well under a second together, so that every test can have its own."""
    with taking_at_most(1), Emulator() as phi:
        assert httpx.get(phi.endpoint).status_code == 200


def test_after_the_end_nobody_listens() -> None:
    """The port is free again."""
    with Emulator() as phi:
        endpoint = phi.endpoint

    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint)
    assert phi.endpoint == "http://phi.invalid"
    assert phi.open_connections == 0


def test_it_can_be_started_again() -> None:
    """What it remembers stays; starting or stopping twice changes nothing."""
    phi = Emulator()
    phi.stop()
    first = phi.start().endpoint
    assert phi.start().endpoint == first
    httpx.get(first)
    phi.stop()
    phi.stop()
    with phi:
        httpx.get(phi.endpoint)

    assert len(phi.requests) == 2


async def test_it_can_be_used_in_async_code() -> None:
    """It serves from a thread of its own, so nothing here can block it."""
    async with Emulator() as phi, httpx.AsyncClient() as http:
        assert (await http.get(phi.endpoint)).status_code == 200


def test_the_port_can_be_chosen() -> None:
    """One that is taken is an error here, not in the thread."""
    with Emulator() as phi:
        port = int(phi.endpoint.rsplit(":", 1)[1])
        with pytest.raises(OSError, match=r"in use"):
            Emulator(port=port).start()
    with Emulator(port=port) as phi:
        assert phi.endpoint == f"http://127.0.0.1:{port}"


def test_stopping_waits_for_no_open_stream(desk: Desk) -> None:
    """Whether it stalls or is being read."""
    desk.phi.fail(kind="stall", after=1)
    with (
        desk.http.stream("POST", "/chat/completions", json=STREAM) as response,
        taking_at_most(1),
    ):
        pieces = response.iter_raw()
        next(pieces)
        desk.phi.stop()
        with pytest.raises(httpx.TransportError):
            next(pieces)


def test_stopping_waits_for_no_slow_stream(open_desk: Callable[..., Desk]) -> None:
    """However long until its next event; nothing is logged about it."""
    desk = open_desk(pace=60)
    with desk.http.stream("POST", "/chat/completions", json=STREAM) as response, taking_at_most(1):
        pieces = response.iter_raw()  # kept: dropping it would close the connection
        next(pieces)
        desk.phi.stop()


def test_open_connections_are_counted(desk: Desk) -> None:
    """Until they are closed."""
    with desk.http.stream("POST", "/chat/completions", json=STREAM):
        assert desk.phi.open_connections == 1
        with httpx.Client(base_url=desk.phi.endpoint) as other:
            other.get("/")
            assert desk.phi.open_connections == 2
    desk.http.close()

    assert becomes(0, lambda: desk.phi.open_connections)


def test_a_client_that_leaves_a_slow_stream_frees_its_connection(
    open_desk: Callable[..., Desk],
) -> None:
    """And the server goes on."""
    desk = open_desk(pace=0.05)
    with desk.http.stream("POST", "/chat/completions", json=STREAM) as response:
        pieces = response.iter_raw()  # kept: dropping it would close the connection
        next(pieces)
        assert desk.phi.open_connections == 1

    assert becomes(0, lambda: desk.phi.open_connections)
    assert len(desk.chunks(max_tokens=0)) == 2


def test_a_client_that_leaves_before_its_body_is_complete_is_forgotten(desk: Desk) -> None:
    """Nothing was asked, so nothing is recorded."""
    port = int(desk.phi.endpoint.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"POST /info HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf")
        assert becomes(1, lambda: desk.phi.open_connections)

    assert becomes(0, lambda: desk.phi.open_connections)
    assert desk.phi.requests == []


def test_a_client_that_leaves_before_a_reset_is_no_trouble(desk: Desk) -> None:
    """There is nothing left to reset."""
    desk.phi.fail(kind="reset")
    port = int(desk.phi.endpoint.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert becomes(1, lambda: len(desk.phi.requests))

    assert becomes(0, lambda: desk.phi.open_connections)
    desk.phi.fail(kind="reset")
    with pytest.raises(httpx.ReadError):
        desk.ask()


def test_many_clients_are_served_at_once(desk: Desk) -> None:
    """Every request is recorded, every answer is whole."""
    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(lambda n: desk.said(f"number {n}"), range(64)))

    assert [text.rsplit(" ", 1)[1] for text in texts] == [str(n) for n in range(64)]
    assert len(desk.phi.requests) == 64


def test_connections_are_kept_for_the_next_request(desk: Desk) -> None:
    """As Azure's front ends do."""
    for _ in range(3):
        desk.ask()

    assert desk.phi.open_connections == 1


def test_small_answers_do_not_wait_for_acknowledgements(desk: Desk) -> None:
    """A header and a body in two packets would take 40 ms more without TCP_NODELAY."""
    desk.ask()
    with taking_at_most(1.2):
        for _ in range(40):
            desk.ask()


def test_streams_run_side_by_side(open_desk: Callable[..., Desk]) -> None:
    """One that waits does not hold up another."""
    desk = open_desk()
    desk.phi.fail(kind="stall", after=1)
    with desk.http.stream("POST", "/chat/completions", json=STREAM) as stalled:
        pieces = stalled.iter_raw()  # kept: dropping it would close the connection
        next(pieces)

        assert len(desk.chunks(messages=AZURES_QUESTION)) == 74


def test_nothing_is_printed_or_logged(
    desk: Desk, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Not of good requests, nor of bad ones, nor of broken connections."""
    caplog.set_level(logging.DEBUG, logger="uvicorn")
    desk.ask()
    desk.http.get("/nowhere", headers={"connection": "upgrade", "upgrade": "websocket"})
    desk.phi.fail(kind="cut")
    with pytest.raises(httpx.RemoteProtocolError):
        desk.ask()
    port = int(desk.phi.endpoint.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"no http at all\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    desk.phi.stop()

    assert capfd.readouterr() == ("", "")
    assert [r for r in caplog.records if r.name.startswith(("uvicorn", "langchain"))] == []


def test_a_persona_that_fails_is_reported(
    open_desk: Callable[..., Desk], caplog: pytest.LogCaptureFixture
) -> None:
    """It is the user's own code: the client gets 500, the log the traceback, without the key."""

    def broken(prompt: Prompt) -> str:
        raise ZeroDivisionError("mine")

    desk = open_desk(persona=broken)

    assert desk.ask().status_code == 500
    assert "ZeroDivisionError: mine" in caplog.text
    assert desk.phi.key not in caplog.text


def test_without_the_servers_packages_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Importing the emulator and its transport still work."""
    monkeypatch.delitem(sys.modules, "langchain_azure_phi3.emulator.serving", raising=False)
    monkeypatch.delattr("langchain_azure_phi3.emulator.serving", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    phi = Emulator()

    assert httpx.Client(transport=phi.transport()).get(phi.endpoint).status_code == 200
    with pytest.raises(
        ModuleNotFoundError, match=r'pip install "langchain-azure-phi3\[emulator\]"'
    ):
        phi.start()


FOREVER = """
import sys
from langchain_azure_phi3.emulator import Emulator
Emulator(key="k").serve_forever(port=int(sys.argv[1]))
"""


def test_serving_forever_ends_cleanly_with_control_c() -> None:
    """Even with a stream open; nothing is printed, and the exit status is 0."""
    port = free_port("127.0.0.1")
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-W", "error", "-X", "dev", "-c", FOREVER, str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    transport = httpx.HTTPTransport(retries=9)  # until it listens
    key = {"authorization": "Bearer k"}
    with (
        process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport) as http,
        http.stream("POST", "/chat/completions", json=STREAM, headers=key) as response,
    ):
        pieces = response.iter_raw()  # kept: dropping it would close the connection
        next(pieces)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()  # else one that does not end would be waited for

    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_serving_forever_listens_where_it_is_told(host: str) -> None:
    """In the caller's thread, on the constructor's port unless another is given."""
    port = free_port(host)
    answers: list[int] = []

    def ask_and_interrupt() -> None:
        written = f"[{host}]" if ":" in host else host
        with httpx.Client(transport=httpx.HTTPTransport(retries=9)) as http:
            answers.append(http.get(f"http://{written}:{port}").status_code)
        os.kill(os.getpid(), signal.SIGINT)

    asking = threading.Thread(target=ask_and_interrupt)
    asking.start()
    Emulator(port=port).serve_forever(host)
    asking.join()

    assert answers == [200]


def test_connections_that_arrive_at_the_end_are_not_left_open() -> None:
    """A socket that asyncio had accepted, but not yet made, when the server closed.

    Left open, it would be a ResourceWarning in whichever test collects the garbage next.
    """
    for _ in range(50):
        phi = Emulator()
        phi.start()
        port = int(phi.endpoint.rsplit(":", 1)[1])
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        phi.stop()
        for client in clients:
            client.close()

    gc.collect()


def test_a_server_that_runs_for_days_forgets_what_was_asked_first(desk: Desk) -> None:
    """Its memory must not grow with the requests."""
    desk.phi._deployment.most_requests = 2
    for number in range(4):
        desk.said(f"question {number}")

    asked = [request.json["messages"][0]["content"] for request in desk.phi.requests]
    assert ["question 2", "question 3"] == asked
