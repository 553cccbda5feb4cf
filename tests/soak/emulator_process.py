"""The emulator in a separate process."""

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from langchain_azure_phi3.emulator import Emulator
from tests.soak.faults import FAULTS, name_of
from tests.soak.questions import MODEL, parse_number


class EmulatorProcess:
    """The other process, as this one sees it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self.endpoint, self.key = pipe.recv()

    def count_connections(self) -> int:
        """The number of its open connections."""
        return int(self._request("count_connections"))

    def take_faults(self) -> list[tuple[int, str]]:
        """The question number and the fault of each request since the last call."""
        found: list[tuple[int, str]] = self._request("take_faults")
        return found

    def start_faults(self) -> None:
        """Inject faults from now on."""
        self._request("start_faults")

    def _request(self, name: str) -> Any:
        with self._lock:
            self._pipe.send(name)
            return self._pipe.recv()


@contextmanager
def emulator_process(seed: int) -> Iterator[EmulatorProcess]:
    """Run an emulator that answers everything until `start_faults`; the seed selects the faults."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, seed), daemon=True)
    process.start()
    theirs.close()
    try:
        yield EmulatorProcess(ours)
    finally:
        ours.close()
        process.join()


def _serve(pipe: Connection, seed: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process ends this one
    with Emulator(MODEL, seed=seed) as phi, contextlib.suppress(EOFError):
        pipe.send((phi.endpoint, phi.key))
        while True:
            pipe.send(_HANDLERS[pipe.recv()](phi))


def _take_faults(phi: Emulator) -> list[tuple[int, str]]:
    arrived = phi.requests[:]
    del phi.requests[: len(arrived)]
    return [
        (parse_number(request.json["messages"][0]["content"]), name_of(request.fault))
        for request in arrived
    ]


def _start_faults(phi: Emulator) -> None:
    for fault in FAULTS:
        phi.fail(**fault.arguments, rate=fault.rate)


_HANDLERS = {
    "count_connections": lambda phi: phi.open_connections,
    "take_faults": _take_faults,
    "start_faults": _start_faults,
}
