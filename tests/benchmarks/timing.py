"""Interleaved rounds, and the median of each contender's."""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

ROUNDS = 7


class Spent(NamedTuple):
    """Seconds for one unit of work (a call, a chunk), and the processor's seconds in it."""

    wall: float
    cpu: float


def interleaved(
    measures: Mapping[str, Callable[[], Spent]], rounds: int = ROUNDS
) -> dict[str, Spent]:
    """The medians of `rounds` rounds, in each of which every measure has its turn.

    What disturbs the machine for a while then disturbs all alike, and falls out of the medians.
    The first round warms up and does not count.
    """
    spent: dict[str, list[Spent]] = {name: [] for name in measures}
    for number in range(rounds + 1):
        for name, measure in measures.items():
            gc.collect()
            found = measure()
            if number > 0:
                spent[name].append(found)
    return {
        name: Spent(
            statistics.median(one.wall for one in found),
            statistics.median(one.cpu for one in found),
        )
        for name, found in spent.items()
    }


def timed(work: Callable[[], Any], *, times: int = 1, units: int = 1) -> Callable[[], Spent]:
    """A measure: `work` done `times` times, each of `units` units."""

    def measure() -> Spent:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(times):
            work()
        done = times * units
        return Spent((time.perf_counter() - wall) / done, (time.process_time() - cpu) / done)

    return measure


def at_once(
    work: Callable[[], Awaitable[Any]],
    runner: asyncio.Runner,
    *,
    tasks: int,
    each: int,
    units: int = 1,
) -> Callable[[], Spent]:
    """A measure: `tasks` tasks, each doing `work` `each` times in a row."""

    async def one() -> None:
        for _ in range(each):
            await work()

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(tasks)))

    return timed(lambda: runner.run(all_of_them()), units=tasks * each * units)
