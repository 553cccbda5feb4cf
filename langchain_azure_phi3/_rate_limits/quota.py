"""Claims parts of a quota of requests and tokens per minute, and decides when to use them."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from langchain_azure_phi3._rate_limits.fifo_lock import FifoLock
from langchain_azure_phi3._rate_limits.store import Store

MAX_COOLDOWN = 60.0
"""The longest pause after one 429, in seconds; the server may then request another one."""

_MINUTE = 60
# A window is one second. Any minute overlaps 61 windows, and a claim may be used one window late:
# with this share per window, no minute exceeds the quota.
_WINDOWS_PER_MINUTE = 62
_UNITS = 1000  # claims are counted in thousandths, so that small quotas have windows as well


class Claim(NamedTuple):
    """A claim on one resource.

    Attributes:
        usable_at: When it may be used, in seconds since the epoch.
        from_credit: The part that credit covers.
        increments: The amounts that were added to each window.
    """

    usable_at: float
    from_credit: int
    increments: list[tuple[int, int]]


class Meter:
    """Counts the claims on one resource in windows of one second.

    If a window is full, a claim continues in the next one. The claims of all processes therefore
    form one queue without polling, and the claim of a killed process expires with its window.
    """

    def __init__(self, store: Store, key: str, per_minute: int) -> None:
        self._store = store
        self._key = key
        self._most = per_minute * _UNITS
        self._capacity = max(1, self._most // _WINDOWS_PER_MINUTE)
        self._first_open = 0  # all windows before it are full
        self._mutex = threading.Lock()
        self._credit = 0  # claimed and not used; negative: used and not claimed
        self._credited_at = 0.0
        self._reported: int | None = None

    def claim(self, amount: int, now: float) -> Claim:
        """Claim an amount; `cancel` or `give_back` returns it."""
        increments: list[tuple[int, int]] = []
        needed = min(amount * _UNITS, self._most)
        from_credit = self._take_credit(needed, now)
        needed -= from_credit
        self._apply_report(int(now))
        window = max(int(now) - 1, self._first_open)
        usable_at = 0.0
        while needed > 0:
            total = self._increment(window, needed, now)
            increments.append((window, needed))
            used_before = total - needed
            if used_before < self._capacity:
                usable_at = window + used_before / self._capacity
                needed -= min(needed, self._capacity - used_before)
            if total >= self._capacity:
                window += 1
        self._first_open = window
        return Claim(usable_at, from_credit, increments)

    def cancel(self, claim: Claim, now: float) -> None:
        """Cancel an unused claim, so that others may use its windows."""
        for window, amount in claim.increments:
            self._increment(window, -amount, now)
            self._first_open = min(self._first_open, window)
        self._add_credit(claim.from_credit, now)

    def give_back(self, amount: int, now: float) -> None:
        """Reduce the next claims of this process by `amount`; a negative one increases them."""
        self._add_credit(amount * _UNITS, now)

    def lower(self, remaining: int) -> None:
        """Lower the rest of the quota to the number that the server reports."""
        self._reported = remaining * _UNITS

    def _add_credit(self, units: int, now: float) -> None:
        with self._mutex:
            self._expire_credit(now)
            self._credit = max(-self._most, min(self._credit + units, self._most))
            self._credited_at = now

    def _take_credit(self, needed: int, now: float) -> int:
        with self._mutex:
            self._expire_credit(now)
            taken = min(needed, self._credit)
            self._credit -= taken
        return taken

    def _expire_credit(self, now: float) -> None:
        if now - self._credited_at > _MINUTE:
            self._credit = 0

    def _apply_report(self, window: int) -> None:
        """Limit this window to the rest that the server reports."""
        reported, self._reported = self._reported, None
        if reported is not None and reported < self._capacity:
            self._increment(window, self._capacity - reported, window)

    def _increment(self, window: int, amount: int, now: float) -> int:
        seconds = max(1, window - int(now) + 3)
        return self._store.increment(f"{self._key}/{window}", amount, seconds)


class Quota:
    """A quota that all processes with the same store and key share.

    Attributes:
        mean_output_tokens: The running mean of generated tokens.
    """

    def __init__(
        self, store: Store, key: str, requests_per_minute: int, tokens_per_minute: int
    ) -> None:
        self.mean_output_tokens = 256.0
        self._store = store
        self._cooldown = f"{key}/cooldown"
        self._requests = Meter(store, f"{key}/requests", requests_per_minute)
        self._tokens = Meter(store, f"{key}/tokens", tokens_per_minute)
        self._turn = FifoLock()

    def take(self, tokens: int) -> None:
        """Wait, in order of arrival, until a request with this many tokens may be sent."""
        self._turn.acquire()
        try:
            for delay in self._delays(tokens):
                time.sleep(delay)
        finally:
            self._turn.release()

    async def atake(self, tokens: int) -> None:
        """Do the same in an event loop."""
        await self._turn.aacquire()
        try:
            delays = self._delays(tokens)
            while (delay := await self._next(delays)) is not None:  # noqa: ASYNC110  # no poll
                await asyncio.sleep(delay)
        finally:
            self._turn.release()

    async def _next(self, delays: Iterator[float]) -> float | None:
        if self._store.is_local:
            return next(delays, None)
        return await asyncio.to_thread(next, delays, None)

    def try_take(self, tokens: int) -> bool:
        """Take the quota for a request if it is available now."""
        if not self._turn.try_acquire():
            return False
        try:
            return next(self._delays(tokens), None) is None  # returns a claim that cannot be used
        finally:
            self._turn.release()

    def _delays(self, tokens: int) -> Iterator[float]:
        """Yield the seconds to wait, one after the other, until a request may be sent.

        An abandoned iterator returns its claim.
        """
        yield from self._cooldowns()
        now = time.time()
        request_claim, token_claim = self._requests.claim(1, now), self._tokens.claim(tokens, now)
        usable_at = max(request_claim.usable_at, token_claim.usable_at)
        try:
            if usable_at > now:
                yield usable_at - now
            yield from self._cooldowns()
        except GeneratorExit:
            now = time.time()
            self._requests.cancel(request_claim, now)
            self._tokens.cancel(token_claim, now)
            raise

    def _cooldowns(self) -> Iterator[float]:
        while (left := self._store.blocked_seconds(self._cooldown)) > 0:
            yield left

    def give_back(self, *, requests: int = 0, tokens: int = 0) -> None:
        """Return unused quota; a negative number takes the quota that was used in addition."""
        now = time.time()
        if requests:
            self._requests.give_back(requests, now)
        if tokens:
            self._tokens.give_back(tokens, now)

    def lower(self, remaining_requests: int | None, remaining_tokens: int | None) -> None:
        """Lower the rest of the quota to the numbers that a server reports."""
        if remaining_requests is not None:
            self._requests.lower(remaining_requests)
        if remaining_tokens is not None:
            self._tokens.lower(remaining_tokens)

    def cool_down(self, seconds: float) -> None:
        """Pause the requests of all processes."""
        self._store.block(self._cooldown, min(seconds, MAX_COOLDOWN))

    async def acool_down(self, seconds: float) -> None:
        """Do the same in an event loop."""
        if self._store.is_local:
            self.cool_down(seconds)
        else:
            await asyncio.to_thread(self.cool_down, seconds)
