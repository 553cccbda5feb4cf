"""The resources and the progress of a run."""

import gc
import os
import sys
import threading
import time
from typing import Protocol

from tqdm import tqdm

from tests.soak.emulator_process import EmulatorProcess
from tests.soak.evaluation import Sample

tqdm.monitor_interval = 0  # without its thread, which would be counted
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SETTLE_SECONDS = 10.0
_LINE_SECONDS = 10.0


def count_objects() -> int:
    """Return how many objects Python's garbage collector tracks."""
    gc.collect()
    return len(gc.get_objects())


class Run(Protocol):
    """A part of the soak."""

    @property
    def done(self) -> int:
        """How many calls or models are done."""

    def run(self) -> None:
        """Run to the end."""

    def record_fault(self, number: int, name: str) -> None:
        """Receive the fault of a request with this question number."""


class Monitor:
    """Samples the resources of this process and of the server, while a run uses this thread."""

    def __init__(
        self, server: EmulatorProcess, title: str, total: int, *, interval: float = 0.25
    ) -> None:
        # Tuples of numbers, which the garbage collector does not track: objects are counted too.
        self._rows: list[tuple[float, ...]] = []
        self._server = server
        self._title = title
        self._total = total
        self._interval = interval
        self._finished = threading.Event()
        self.before = self._sample(time.monotonic())
        self.after = self.before

    @property
    def samples(self) -> list[Sample]:
        """The samples in the order of time."""
        return [Sample._make(row) for row in self._rows]

    def watch(self, run: Run) -> None:
        """Run `run` to its end, and sample the resources until they settle."""
        start = time.monotonic()
        watcher = threading.Thread(target=self._sample_until_finished, args=(run, start))
        watcher.start()
        try:
            run.run()
        finally:
            self._finished.set()
            watcher.join()
        self.after = self._wait_until_settled(start)
        self._forward_faults(run)

    def _sample_until_finished(self, run: Run, start: float) -> None:
        progress = _Progress(self._title, self._total)
        finished = False
        self._rows.append(tuple(self._sample(start)))
        while not finished:
            finished = self._finished.wait(self._interval)
            self._rows.append(tuple(self._sample(start)))
            self._forward_faults(run)
            progress.show(run.done)
        progress.close()

    def _forward_faults(self, run: Run) -> None:
        for number, name in self._server.take_faults():
            run.record_fault(number, sys.intern(name))

    def _wait_until_settled(self, start: float) -> Sample:
        """Return a sample after connections and threads had time to close."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            sample = self._sample(start)
            pairs = zip(sample[1:4], self.before[1:4], strict=True)
            if all(now <= before for now, before in pairs) or time.monotonic() > deadline:
                return sample
            time.sleep(0.05)

    def _sample(self, start: float) -> Sample:
        with open("/proc/self/statm") as memory:
            pages = int(memory.read().split()[1])
        return Sample(
            time.monotonic() - start,
            self._server.count_connections(),
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            pages * _PAGE,
        )


class _Progress:
    """A bar on a terminal; otherwise a line every ten seconds."""

    def __init__(self, title: str, total: int) -> None:
        self._bar = tqdm(total=total, desc=title, disable=None, smoothing=0.1)
        self._line = f"{title}: {{:,}} of {total:,}".format
        self._printed = time.monotonic()

    def show(self, done: int) -> None:
        self._bar.n = done
        self._bar.refresh()
        if self._bar.disable and time.monotonic() - self._printed > _LINE_SECONDS:
            self._printed = time.monotonic()
            print(self._line(done), flush=True)

    def close(self) -> None:
        self._bar.close()
