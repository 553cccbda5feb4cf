"""Calls and streams, in both colours: what one costs, beside the peers and the floors."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.benchmarks.contenders import CORE, OURS, PEERS, Contender, contenders
from tests.benchmarks.timing import ROUNDS, Spent, at_once, interleaved, timed

CONCURRENCY = (16, 64, 256)
CHUNKS = 1_000
SCALING = "this at each"

Figures = dict[str, dict[str, Spent]]

# How often in one round: the same time for all, and long enough for the clock.
_CALLS = 60
_REQUESTS = 512


def figures(url: str, rounds: int = ROUNDS) -> Figures:
    """What each contender spends, by what is measured."""
    whole = contenders(url, "whole")
    with asyncio.Runner() as runner:
        found: Figures = {
            "invoke": interleaved(
                {n: timed(c.invoke, times=_CALLS) for n, c in whole.items() if c.invoke}, rounds
            ),
            "batch of 16": interleaved(
                {n: _batch(c) for n, c in whole.items() if c.batch and n in (CORE, OURS, *PEERS)},
                rounds,
            ),
        }
        for kind, name in (("burst", ""), ("events", ", one at a time")):
            streamed = contenders(url, f"{kind}-{CHUNKS}", CHUNKS)
            found[f"stream{name}"] = interleaved(
                {n: timed(c.stream, units=CHUNKS) for n, c in streamed.items() if c.stream}, rounds
            )
            found[f"astream{name}"] = interleaved(
                {
                    n: at_once(c.astream, runner, tasks=1, each=1, units=CHUNKS)
                    for n, c in streamed.items()
                    if c.astream
                },
                rounds,
            )
        for tasks in CONCURRENCY:
            found[f"ainvoke at {tasks}"] = interleaved(
                {n: _asking(c.ainvoke, runner, tasks) for n, c in whole.items() if c.ainvoke},
                rounds,
            )
        ainvoke = whole[OURS].ainvoke
        found[SCALING] = interleaved(
            {str(tasks): _asking(ainvoke, runner, tasks) for tasks in CONCURRENCY if ainvoke},
            3 * rounds,  # of a ratio near one, noise decides
        )
    return found


def _asking(
    ainvoke: Callable[[], Awaitable[object]], runner: asyncio.Runner, tasks: int
) -> Callable[[], Spent]:
    return at_once(ainvoke, runner, tasks=tasks, each=max(2, _REQUESTS // tasks))


def _batch(contender: Contender) -> Callable[[], Spent]:
    batch = contender.batch
    if batch is None:
        raise ValueError("this contender has no batch")
    return timed(lambda: batch(128, 16), units=128)
