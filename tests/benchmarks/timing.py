"""Measurements in interleaved rounds, and their medians."""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

ROUNDS = 7


class Timing(NamedTuple):
    """The wall time and the CPU time of one unit of work (a call, a chunk), in seconds."""

    wall: float
    cpu: float


def interleaved(
    measurements: Mapping[str, Callable[[], Timing]], rounds: int = ROUNDS
) -> dict[str, Timing]:
    """Return the medians of `rounds` rounds, each of which runs every measurement once.

    A disturbance of the machine then affects all alike and does not change the medians. The
    first round warms up and does not count.
    """
    found: dict[str, list[Timing]] = {name: [] for name in measurements}
    for number in range(rounds + 1):
        for name, measure in measurements.items():
            gc.collect()
            timing = measure()
            if number > 0:
                found[name].append(timing)
    return {
        name: Timing(
            statistics.median(timing.wall for timing in timings),
            statistics.median(timing.cpu for timing in timings),
        )
        for name, timings in found.items()
    }


def timed(work: Callable[[], Any], *, times: int = 1, units: int = 1) -> Callable[[], Timing]:
    """Return a measurement: `work` runs `times` times, each with `units` units."""

    def measure() -> Timing:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(times):
            work()
        done = times * units
        return Timing((time.perf_counter() - wall) / done, (time.process_time() - cpu) / done)

    return measure


def concurrent(
    work: Callable[[], Awaitable[Any]],
    runner: asyncio.Runner,
    *,
    tasks: int,
    each: int,
    units: int = 1,
) -> Callable[[], Timing]:
    """Return a measurement: `tasks` tasks, each of which runs `work` `each` times in a row."""

    async def run_task() -> None:
        for _ in range(each):
            await work()

    async def run_tasks() -> None:
        await asyncio.gather(*(run_task() for _ in range(tasks)))

    return timed(lambda: runner.run(run_tasks()), units=tasks * each * units)
