"""What a run holds while it goes on, and how far it has come."""

import gc
import os
import sys
import threading
import time
from typing import Protocol

from tqdm import tqdm

from tests.soak.judging import Sample
from tests.soak.serving import Server

tqdm.monitor_interval = 0  # no thread of its own, which would be counted
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PATIENCE = 10.0
_SECONDS_A_LINE = 10.0


def objects() -> int:
    """How many objects of Python's garbage collector there are."""
    gc.collect()
    return len(gc.get_objects())


class Run(Protocol):
    """What goes on."""

    @property
    def done(self) -> int:
        """How far it has come."""

    def run(self) -> None:
        """Go on to the end."""

    def met(self, number: int, name: str) -> None:
        """Hear what a request of this number met at the server."""


class Watch:
    """Samples what this process and the server hold, while a run goes on in this thread."""

    def __init__(self, server: Server, title: str, total: int, *, every: float = 0.25) -> None:
        # Plain tuples of numbers, which the garbage collector lets alone: objects are counted too.
        self._taken: list[tuple[float, ...]] = []
        self._server = server
        self._title = title
        self._total = total
        self._every = every
        self._over = threading.Event()
        self.before = self._sample(time.monotonic())
        self.after = self.before

    @property
    def samples(self) -> list[Sample]:
        """What was held, in the order of time."""
        return [Sample._make(taken) for taken in self._taken]

    def over(self, run: Run) -> None:
        """Watch a run to its end, and what is left of it."""
        began = time.monotonic()
        watcher = threading.Thread(target=self._watch, args=(run, began))
        watcher.start()
        try:
            run.run()
        finally:
            self._over.set()
            watcher.join()
        self.after = self._settled(began)
        self._collect(run)

    def _watch(self, run: Run, began: float) -> None:
        progress = _Progress(self._title, self._total)
        over = False
        self._taken.append(tuple(self._sample(began)))
        while not over:
            over = self._over.wait(self._every)
            self._taken.append(tuple(self._sample(began)))
            self._collect(run)
            progress.show(run.done)
        progress.close()

    def _collect(self, run: Run) -> None:
        for number, name in self._server.met():
            run.met(number, sys.intern(name))

    def _settled(self, began: float) -> Sample:
        """What is left, once those who were told to close have had their time."""
        until = time.monotonic() + _PATIENCE
        while True:
            sample = self._sample(began)
            held = zip(sample[1:4], self.before[1:4], strict=True)
            if all(now <= then for now, then in held) or time.monotonic() > until:
                return sample
            time.sleep(0.05)

    def _sample(self, began: float) -> Sample:
        with open("/proc/self/statm") as memory:
            pages = int(memory.read().split()[1])
        return Sample(
            time.monotonic() - began,
            self._server.connections(),
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            pages * _PAGE,
        )


class _Progress:
    """A bar on a terminal, else a line now and then."""

    def __init__(self, title: str, total: int) -> None:
        self._bar = tqdm(total=total, desc=title, disable=None, smoothing=0.1)
        self._told = f"{title}: {{:,}} of {total:,}".format
        self._said = time.monotonic()

    def show(self, done: int) -> None:
        self._bar.n = done
        self._bar.refresh()
        if self._bar.disable and time.monotonic() - self._said > _SECONDS_A_LINE:
            self._said = time.monotonic()
            print(self._told(done), flush=True)

    def close(self) -> None:
        self._bar.close()
