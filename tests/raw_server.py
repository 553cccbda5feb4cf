"""Servers that respond as no proper server would."""

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Answer = Callable[[socket.socket, bytes], object]
"""Responds to a request, given as it was received, on its connection."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.I)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, without waiting


class Server:
    """Responds to each request on each connection; over TLS with a certificate."""

    def __init__(
        self, answer: Answer, *, once: bool, early: bool, certificate: Path | None
    ) -> None:
        self._answer = answer
        self._once = once
        self._read = _first_bytes if early else _request
        self._listening = _listening(certificate)
        self._threads: list[threading.Thread] = []
        self.accepted: list[socket.socket] = []
        self.ended = threading.Event()
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}"

    def run(self) -> None:
        """Accept until the end."""
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client went
            while request := self._read(connection):
                self._answer(connection, request)
                if self._once:
                    break
        self.ended.set()

    def end(self) -> None:
        """Close everything."""
        for each in (self._listening, *self.accepted):
            with suppress(OSError):  # it is closed
                each.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()


def _first_bytes(connection: socket.socket) -> bytes:
    return connection.recv(65_536)


def _request(connection: socket.socket) -> bytes:
    """One complete request; nothing if the connection ends."""
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0:
        if not (data := connection.recv(65_536)):
            return b""
        received += data
    length = _LENGTH.search(received, 0, end + 2)
    size = end + 4 + (int(length[1]) if length else 0)
    while len(received) < size:
        if not (data := connection.recv(65_536)):
            return b""
        received += data
    return bytes(received)


def _listening(certificate: Path | None) -> socket.socket:
    plain = socket.create_server(("127.0.0.1", 0))
    if certificate is None:
        return plain
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context.wrap_socket(plain, server_side=True)


@contextmanager
def answering(
    answer: Answer, *, once: bool = False, early: bool = False, certificate: Path | None = None
) -> Iterator[Server]:
    """A server that responds so.

    Args:
        answer: Sends a response.
        once: Whether each connection is closed after one response.
        early: Whether it responds to the first bytes of a request, without reading the rest.
        certificate: Of the server, for TLS.
    """
    server = Server(answer, once=once, early=early, certificate=certificate)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.end()
        thread.join()


@contextmanager
def serving(
    answer: bytes, later: bytes = b"", *, resets: bool = False, certificate: Path | None = None
) -> Iterator[str]:
    """The URL of a server that sends `answer` and `later`, and closes or resets the connection."""
    stopped = threading.Event()

    def respond(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer)
        if later:
            stopped.wait(0.05)
            connection.sendall(later)
        if resets:
            stopped.wait(0.05)  # a reset overtakes what was sent, until the client has read it
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    with answering(respond, once=True, certificate=certificate) as server:
        try:
            yield server.url
        finally:
            stopped.set()
