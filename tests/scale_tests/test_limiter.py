"""One quota for several processes, in a real Redis."""

import ast
import logging
import subprocess
import time
from collections import Counter

import pytest

from langchain_azure_phi3 import ConnectionFailedError
from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.rate_limits import TokenRateLimiter
from tests.scale_tests.conftest import Redis, Start, StartEmulator, kill, wait

# Tokens are what runs out first: a request takes about 33.
RPM, TPM = 6_000, 120_000
MODES = ["sync", "async", "sync", "async"]


def start_workers(
    start: Start, phi: Emulator, redis: Redis, seconds: float
) -> "list[subprocess.Popen[str]]":
    """Four processes that want more than the quota."""
    shared = (phi.endpoint, phi.key, redis.uri, RPM, TPM, seconds)
    return [start("limiter_worker", *shared, mode) for mode in MODES]


def results(workers: "list[subprocess.Popen[str]]", seconds: float) -> Counter[str]:
    """What all processes counted."""
    total: Counter[str] = Counter()
    for worker in workers:
        total.update(ast.literal_eval(wait(worker, seconds)))
    return total


def test_four_processes_stay_within_one_quota(
    emulator: StartEmulator, start: Start, redis: Redis
) -> None:
    """Nobody gets a 429."""
    phi = emulator(requests_per_minute=RPM, tokens_per_minute=TPM)

    total = results(start_workers(start, phi, redis, 20), 120)

    assert set(total) == {"ok"}
    assert sum(period.rejected for period in phi.quota_periods) == 0
    assert sum(period.tokens for period in phi.quota_periods) <= TPM


@pytest.mark.long
def test_four_processes_use_nearly_all_of_the_quota(
    emulator: StartEmulator, start: Start, redis: Redis
) -> None:
    """More than 90 % of it, also after one was killed; and fewer than 1 % of requests get a 429."""
    phi = emulator(requests_per_minute=RPM, tokens_per_minute=TPM)
    workers = start_workers(start, phi, redis, 200)
    time.sleep(90)
    kill(workers.pop())

    results(workers, 300)

    complete = phi.quota_periods[:3]
    assert [period.tokens for period in complete if not 0.9 * TPM < period.tokens <= TPM] == []
    rejected = sum(period.rejected for period in phi.quota_periods)
    assert rejected < 0.01 * sum(period.requests for period in phi.quota_periods)


def test_reservation_of_a_killed_process_expires(
    emulator: StartEmulator, start: Start, redis: Redis
) -> None:
    """Others wait for what it had claimed, and no longer."""
    phi = emulator(faults={"hang": 1.0})
    slow = start("limiter_worker", phi.endpoint, phi.key, redis.uri, 60, 1000, 60, "sync")
    limiter = TokenRateLimiter(60, 1000, store=redis.uri, key="test")
    deadline = time.monotonic() + 60
    while limiter.acquire(blocking=False):  # until the other process has claimed the next seconds
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill(slow)

    started = time.monotonic()
    assert limiter.acquire()
    assert time.monotonic() - started < 10


def test_redis_may_go_away_and_come_back(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Meanwhile the process limits itself; one warning each tells of it."""
    first = TokenRateLimiter(62_000, 62_000, store=redis.uri, key="k")
    second = TokenRateLimiter(62_000, 62_000, store=redis.uri, key="k")
    assert first.acquire()
    redis.stop()
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            assert first.acquire()
            assert second.acquire()
    assert [record.message.count("cannot be reached") for record in caplog.records] == [1]
    with pytest.raises(ConnectionFailedError, match="cannot be reached"):
        TokenRateLimiter(store=redis.uri)

    redis.start()
    caplog.clear()
    deadline = time.monotonic() + 30
    with caplog.at_level(logging.WARNING):
        while not caplog.records:
            assert time.monotonic() < deadline
            assert first.acquire()
            time.sleep(0.2)
    assert "is back" in caplog.records[0].message


async def test_async_calls_use_redis_too(redis: Redis, emulator: StartEmulator) -> None:
    """In the same quota as threads; a 429 of one makes all wait."""
    limiter = TokenRateLimiter(62, 62_000, store=redis.uri, key="k")
    other = TokenRateLimiter(62, 62_000, store=redis.uri, key="k")
    started = time.monotonic()
    for _ in range(2):
        assert limiter.acquire()
        assert await other.aacquire()
    assert time.monotonic() - started > 0.9

    await limiter.quota("k").acool_down(2)
    assert not await other.aacquire(blocking=False)
    started = time.monotonic()
    assert await other.aacquire()
    assert time.monotonic() - started > 1
