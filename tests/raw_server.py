"""A server that says the same bytes to everybody, for what no proper server would say."""

import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_azure_phi3._http import clients

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, without waiting


def _listening(certificate: Path | None) -> socket.socket:
    plain = socket.create_server(("127.0.0.1", 0))
    if certificate is None:
        return plain
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context.wrap_socket(plain, server_side=True)


@contextmanager
def serving(
    answer: bytes, later: bytes = b"", *, resets: bool = False, certificate: Path | None = None
) -> Iterator[str]:
    """The address; after the answer, and what comes later, each connection is closed, or reset."""
    with _listening(certificate) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)
                    if later:
                        stopped.wait(0.05)
                        connection.sendall(later)
                    if resets:
                        # A reset overtakes what was sent: wait until the client has read it.
                        stopped.wait(0.05)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

        stopped = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            scheme = "http" if certificate is None else "https"
            yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stopped.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def keeping(answer: bytes, later: bytes, pause: float) -> Iterator[tuple[str, list[str]]]:
    """The address, and the connections so far: each is kept, and what comes later after a pause."""
    accepted: list[str] = []
    stopped = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            accepted.append(str(self.client_address))
            while self.request.recv(65536):
                self.request.sendall(answer)
                stopped.wait(pause)
                self.request.sendall(later)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", accepted
        finally:
            stopped.set()
            clients.retire()  # a handler ends with its connection
            server.shutdown()
            thread.join()
