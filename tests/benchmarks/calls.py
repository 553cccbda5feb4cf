"""The cost of calls and streams, sync and async, for each client."""

import asyncio
from collections.abc import Callable

from tests.benchmarks.contenders import CORE, OURS, PEERS, Contender, contenders
from tests.benchmarks.timing import ROUNDS, Timing, concurrent, interleaved, timed

CONCURRENCY = (16, 64, 256)
CHUNKS = 1_000
SCALING = "this package at each concurrency"

Figures = dict[str, dict[str, Timing]]

# Calls in one round: the same for all, and long enough for the clock.
_CALLS = 60
_REQUESTS = 512
# How the server sends a stream, and the suffix of the measurement.
_TRANSFERS = (("burst", ""), ("events", ", one at a time"))


def figures(url: str, rounds: int = ROUNDS, *, quick: bool = False) -> Figures:
    """Return the timings of each client, by measurement.

    Args:
        url: The server.
        rounds: The number of rounds.
        quick: Leave out the SDKs, batches, streams that arrive one event at a time, and
            concurrent calls of the lower bounds.
    """
    clients = contenders(url, "complete", with_sdks=not quick)
    concurrent_clients = (OURS, *PEERS) if quick else tuple(clients)
    found: Figures = {
        "invoke": interleaved(
            {n: timed(c.invoke, times=_CALLS) for n, c in clients.items() if c.invoke}, rounds
        )
    }
    if not quick:
        found["batch of 16"] = interleaved(
            {n: _batch(c) for n, c in clients.items() if c.batch and n in (CORE, OURS, *PEERS)},
            rounds,
        )
    with asyncio.Runner() as runner:
        for transfer, suffix in _TRANSFERS[: 1 if quick else None]:
            streaming = contenders(url, f"{transfer}-{CHUNKS}", CHUNKS, with_sdks=not quick)
            found[f"stream{suffix}"] = interleaved(_streams(streaming), rounds)
            found[f"astream{suffix}"] = interleaved(_async_streams(streaming, runner), rounds)
        for tasks in CONCURRENCY:
            found[f"ainvoke at {tasks}"] = interleaved(
                {n: _ainvoke(clients[n], runner, tasks) for n in concurrent_clients}, rounds
            )
        if not quick:
            found[SCALING] = interleaved(
                {str(n): _ainvoke(clients[OURS], runner, n) for n in CONCURRENCY},
                3 * rounds,  # noise decides a ratio close to one
            )
    return found


def _streams(clients: dict[str, Contender]) -> dict[str, Callable[[], Timing]]:
    return {n: timed(c.stream, units=CHUNKS) for n, c in clients.items() if c.stream}


def _async_streams(
    clients: dict[str, Contender], runner: asyncio.Runner
) -> dict[str, Callable[[], Timing]]:
    return {
        name: concurrent(client.astream, runner, tasks=1, each=1, units=CHUNKS)
        for name, client in clients.items()
        if client.astream
    }


def _ainvoke(client: Contender, runner: asyncio.Runner, tasks: int) -> Callable[[], Timing]:
    if client.ainvoke is None:
        raise ValueError("This client has no ainvoke.")
    return concurrent(client.ainvoke, runner, tasks=tasks, each=max(2, _REQUESTS // tasks))


def _batch(contender: Contender) -> Callable[[], Timing]:
    batch = contender.batch
    if batch is None:
        raise ValueError("This client has no batch.")
    return timed(lambda: batch(128, 16), units=128)
