"""The emulator in a process of its own, and what it tells of itself."""

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from langchain_azure_phi3.emulator import Emulator
from tests.soak.asks import MODEL, number_of
from tests.soak.ordered import FAULTS, name_of


class Server:
    """The other process, as this one sees it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self.endpoint, self.key = pipe.recv()

    def connections(self) -> int:
        """How many connections it holds open now."""
        return int(self._told("connections"))

    def met(self) -> list[tuple[int, str]]:
        """The number of each question that came since it was last asked, and what it met."""
        found: list[tuple[int, str]] = self._told("met")
        return found

    def storm(self) -> None:
        """Let requests fail from now on, as ordered."""
        self._told("storm")

    def _told(self, what: str) -> Any:
        with self._lock:
            self._pipe.send(what)
            return self._pipe.recv()


@contextmanager
def serving(seed: int) -> Iterator[Server]:
    """A server that answers everything until it is told to `storm`; the seed draws its faults."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, seed), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Server(ours)
    finally:
        ours.close()
        process.join()


def _serve(pipe: Connection, seed: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process ends this one
    with Emulator(MODEL, seed=seed) as phi, contextlib.suppress(EOFError):
        pipe.send((phi.endpoint, phi.key))
        while True:
            pipe.send(_TELLS[pipe.recv()](phi))


def _met(phi: Emulator) -> list[tuple[int, str]]:
    arrived = phi.requests[:]
    del phi.requests[: len(arrived)]
    return [
        (number_of(request.json["messages"][0]["content"]), name_of(request.fault))
        for request in arrived
    ]


def _storm(phi: Emulator) -> None:
    for fate in FAULTS:
        phi.fail(**fate.order, rate=fate.share)


_TELLS = {"connections": lambda phi: phi.open_connections, "met": _met, "storm": _storm}
