"""The server: starting, stopping, connections, and leaving nothing behind."""

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
from tests.unit_tests.emulator.conftest import QUESTION, STREAM, Client, MakeClient


def free_port(host: str) -> int:
    """A free port; skips the test if this machine lacks the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, 0), family=family) as free:
            port: int = free.getsockname()[1]
    except OSError:
        pytest.skip(f"this machine has no address {host}")
    return port


def port_of(phi: Emulator) -> int:
    """The port of a running emulator."""
    return int(phi.endpoint.rsplit(":", 1)[1])


def becomes(expected: int, value: Callable[[], int]) -> bool:
    """Whether a value is reached within two seconds."""
    until = time.monotonic() + 2
    while value() != expected and time.monotonic() < until:
        time.sleep(0.005)
    return value() == expected


@contextmanager
def taking_at_most(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_emulators_start_and_stop_quickly() -> None:
    """Afterwards nobody listens; it can start again and keeps its requests."""
    phi = Emulator()
    phi.stop()
    with taking_at_most(1), phi:
        endpoint = phi.endpoint
        assert phi.start().endpoint == endpoint
        assert httpx.get(endpoint).status_code == 200
    phi.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint)
    assert phi.open_connections == 0
    with phi:
        httpx.get(phi.endpoint)
    assert len(phi.requests) == 2


async def test_emulators_run_in_async_code() -> None:
    """In their own thread."""
    async with Emulator() as phi, httpx.AsyncClient() as http:
        assert (await http.get(phi.endpoint)).status_code == 200


def test_the_port_can_be_chosen() -> None:
    """A port in use is an error in the caller."""
    with Emulator() as phi:
        port = port_of(phi)
        with pytest.raises(OSError, match=r"in use"):
            Emulator(port=port).start()
    with Emulator(port=port) as phi:
        assert phi.endpoint == f"http://127.0.0.1:{port}"


def test_stopping_waits_for_no_stream(make_client: MakeClient) -> None:
    """Whether it stalls or is slow."""
    for chunk_delay in (0.0, 60.0):
        client = make_client(socket=True, chunk_delay=chunk_delay)
        if chunk_delay == 0.0:
            client.phi.fail("stall", after=1)
        with (
            client.http.stream("POST", "/chat/completions", json=STREAM) as response,
            taking_at_most(1),
        ):
            pieces = response.iter_raw()  # kept: dropping it would close the connection
            next(pieces)
            client.phi.stop()
            with pytest.raises(httpx.TransportError):
                next(pieces)


def test_connections_are_counted(socket_client: Client) -> None:
    """Until they are closed; later requests reuse them."""
    phi = socket_client.phi
    for _ in range(3):
        socket_client.post()
    assert phi.open_connections == 1
    with (
        socket_client.http.stream("POST", "/chat/completions", json=STREAM),
        httpx.Client(base_url=phi.endpoint) as other,
    ):
        other.get("/")
        assert phi.open_connections == 2
    socket_client.http.close()
    assert becomes(0, lambda: phi.open_connections)


def test_disconnected_clients_free_their_connection(make_client: MakeClient) -> None:
    """In a slow stream, within the request, or before a reset."""
    client = make_client(socket=True, chunk_delay=0.05)
    with client.http.stream("POST", "/chat/completions", json=STREAM) as response:
        pieces = response.iter_raw()  # kept: dropping it would close the connection
        next(pieces)
        assert client.phi.open_connections == 1
    assert becomes(0, lambda: client.phi.open_connections)
    address = ("127.0.0.1", port_of(client.phi))
    client.phi.requests.clear()
    with socket.create_connection(address) as raw:
        raw.sendall(b"POST /info HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf")
        assert becomes(1, lambda: client.phi.open_connections)
    assert becomes(0, lambda: client.phi.open_connections)
    assert client.phi.requests == []
    client.phi.fail("reset", times=2)
    with socket.create_connection(address) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert becomes(1, lambda: len(client.phi.requests))
    assert becomes(0, lambda: client.phi.open_connections)
    with pytest.raises(httpx.ReadError):
        client.post()
    assert len(client.chunks(max_tokens=0)) == 2


def test_many_clients_are_served_at_once(socket_client: Client) -> None:
    """Every answer is complete, and a stalled stream holds up nobody."""
    socket_client.phi.fail("stall", after=1)
    with socket_client.http.stream("POST", "/chat/completions", json=STREAM) as stalled:
        pieces = stalled.iter_raw()  # kept: dropping it would close the connection
        next(pieces)
        with ThreadPoolExecutor(16) as pool:
            texts = list(pool.map(lambda n: socket_client.text(f"number {n}"), range(64)))

    assert [text.rsplit(" ", 1)[1] for text in texts] == [str(n) for n in range(64)]
    assert len(socket_client.phi.requests) == 65


def test_small_answers_do_not_wait_for_acknowledgements(socket_client: Client) -> None:
    """Without TCP_NODELAY, headers and body would take 40 ms more."""
    socket_client.post()
    with taking_at_most(1.2):
        for _ in range(40):
            socket_client.post()


def test_nothing_is_printed_or_logged(
    socket_client: Client, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither for bad requests nor for broken connections."""
    caplog.set_level(logging.DEBUG, logger="uvicorn")
    socket_client.post()
    upgrade = {"connection": "upgrade", "upgrade": "websocket"}
    socket_client.http.get("/nowhere", headers=upgrade)
    socket_client.phi.fail("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        socket_client.post()
    with socket.create_connection(("127.0.0.1", port_of(socket_client.phi))) as raw:
        raw.sendall(b"no http at all\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    socket_client.phi.stop()

    assert capfd.readouterr() == ("", "")
    assert [r for r in caplog.records if r.name.startswith(("uvicorn", "langchain"))] == []


def test_failing_responders_are_logged(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets a 500, the log the traceback, without the key."""

    def fail(prompt: Prompt) -> str:
        raise ZeroDivisionError("mine")

    client = make_client(socket=True, responder=fail)

    assert client.post().status_code == 500
    assert "ZeroDivisionError: mine" in caplog.text
    assert client.phi.key not in caplog.text


def test_without_uvicorn_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transport still works."""
    monkeypatch.delitem(sys.modules, "langchain_azure_phi3.emulator.serving", raising=False)
    monkeypatch.delattr("langchain_azure_phi3.emulator.serving", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    phi = Emulator()

    assert httpx.Client(transport=phi.transport()).get(phi.endpoint).status_code == 200
    with pytest.raises(ModuleNotFoundError, match=r'install "langchain-azure-phi3\[emulator\]"'):
        phi.start()


FOREVER = """
import sys
from langchain_azure_phi3.emulator import Emulator
Emulator(key="k").serve_forever(port=int(sys.argv[1]))
"""


def test_serving_forever_ends_with_control_c() -> None:
    """Even with an open stream; nothing is printed, and the exit status is 0."""
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
            process.kill()  # otherwise a process that does not end would block

    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_serving_forever_uses_the_given_address(host: str) -> None:
    """On the constructor's port unless another is given."""
    port = free_port(host)
    answers: list[int] = []

    def get_and_interrupt() -> None:
        address = f"[{host}]" if ":" in host else host
        with httpx.Client(transport=httpx.HTTPTransport(retries=9)) as http:
            answers.append(http.get(f"http://{address}:{port}").status_code)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=get_and_interrupt)
    thread.start()
    Emulator(port=port).serve_forever(host)
    thread.join()

    assert answers == [200]


def test_late_connections_are_closed() -> None:
    """Sockets that asyncio had accepted, but not set up, when the server closed.

    Left open, they would be a ResourceWarning in whichever test collects the garbage next.
    """
    for _ in range(50):
        phi = Emulator().start()
        address = ("127.0.0.1", port_of(phi))
        clients = [socket.create_connection(address) for _ in range(3)]
        phi.stop()
        for client in clients:
            client.close()

    gc.collect()


def test_long_running_servers_forget_old_requests(client: Client) -> None:
    """Their memory must not grow."""
    client.phi._deployment.max_requests = 2
    for number in range(4):
        client.text(f"question {number}")

    contents = [request.json["messages"][0]["content"] for request in client.phi.requests]
    assert contents == ["question 2", "question 3"]
    assert len(client.chunks(messages=QUESTION)) == 74
