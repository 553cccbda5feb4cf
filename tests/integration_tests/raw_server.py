"""A server that says the same bytes to everybody, for what no proper server would say."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, without waiting


@contextmanager
def serving(answer: bytes, later: bytes = b"", *, resets: bool = False) -> Iterator[str]:
    """The address; after the answer, and what comes later, each connection is closed, or reset."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

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
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stopped.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
