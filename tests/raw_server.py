"""Servers that say what no proper server would say."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Answer = Callable[[socket.socket, bytes], object]
"""Answers what was received on a connection."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, without waiting


class Server:
    """Answers on each connection, as often as it is asked; over TLS with a certificate."""

    def __init__(self, answer: Answer, *, once: bool, certificate: Path | None) -> None:
        self._answer = answer
        self._once = once
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
            self.accepted.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client went
            while asked := connection.recv(65_536):
                self._answer(connection, asked)
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


def _listening(certificate: Path | None) -> socket.socket:
    plain = socket.create_server(("127.0.0.1", 0))
    if certificate is None:
        return plain
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context.wrap_socket(plain, server_side=True)


@contextmanager
def answering(
    answer: Answer, *, once: bool = False, certificate: Path | None = None
) -> Iterator[Server]:
    """A server that answers so; `once`: and closes the connection."""
    server = Server(answer, once=once, certificate=certificate)
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
    """The address; after the answer, and what comes later, each connection is closed, or reset."""
    stopped = threading.Event()

    def say(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer)
        if later:
            stopped.wait(0.05)
            connection.sendall(later)
        if resets:
            stopped.wait(0.05)  # a reset overtakes what was sent, until the client has read it
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    with answering(say, once=True, certificate=certificate) as server:
        try:
            yield server.url
        finally:
            stopped.set()


@contextmanager
def keeping(answer: bytes, later: bytes, pause: float) -> Iterator[Server]:
    """A server that keeps its connections; what comes later comes after a pause, in seconds."""
    stopped = threading.Event()

    def say(connection: socket.socket, _: bytes) -> None:
        connection.sendall(answer)
        stopped.wait(pause)
        connection.sendall(later)

    with answering(say) as server:
        try:
            yield server
        finally:
            stopped.set()
