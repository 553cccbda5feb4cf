"""Decides whether to retry a request, and how long to wait first."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from langchain_azure_phi3.errors import (
    AzurePhi3Error,
    ConnectionFailedError,
    InterruptedStreamError,
    RequestTimeoutError,
)

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

# The most precise first. Azure writes the last group with and without the hyphen in "rate-limit",
# in seconds; some gateways write durations such as "6m0s".
_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")
_RESETS = (
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "x-rate-limit-reset-requests",
    "x-rate-limit-reset-tokens",
)
_COUNT = r"(?<!\d)(\d{1,9}(?:\.\d+)?)"  # four hundred digits would be infinity
_IN_TEXT = re.compile(
    rf"\b(?:in|after)\s+{_COUNT}\s*(milliseconds?|ms|seconds?|s|minutes?|m)\b", re.IGNORECASE
)
_DURATION = re.compile(rf"{_COUNT}(ms|h|m|s)")
_SECONDS = {"m": 60.0, "h": 3600.0, "s": 1.0, "ms": 0.001}


def parse_retry_after(
    status: int, headers: Mapping[str, str], message: str, now: float
) -> float | None:
    """Return the seconds that a server requests to wait, from its headers or its message.

    Quota headers and messages only count for a rate limit (429): Azure sends its quota with every
    response, and "timed out after 60 seconds" does not request a wait.

    Args:
        status: The response's status.
        headers: The response's headers; names in lower case.
        message: The error's text, such as "Try again in 50 seconds.".
        now: Seconds since the epoch, for a `Retry-After` that is a date.
    """
    for name in _MILLISECONDS:
        if (value := _number(headers.get(name))) is not None:
            return value / 1000
    retry_after = headers.get("retry-after", "")
    for value in (_number(retry_after), _until(retry_after, now)):
        if value is not None:
            return value
    return _quota_renewed(headers, message) if status == 429 else None


def _quota_renewed(headers: Mapping[str, str], message: str) -> float | None:
    resets = [parse_duration(headers[name]) for name in _RESETS if name in headers]
    if known := [seconds for seconds in resets if seconds is not None]:
        return max(known)
    if found := _IN_TEXT.search(message):
        unit = found[2].lower()
        return float(found[1]) * _SECONDS["ms" if unit.startswith(("ms", "mil")) else unit[0]]
    return None


def _number(text: str | None) -> float | None:
    """Return a finite number that is not negative, or `None`."""
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _until(date: str, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def parse_duration(text: str) -> float | None:
    """Parse seconds from a number or a duration such as "6m0s"; else return `None`."""
    if (value := _number(text)) is not None:
        return value
    parts = _DURATION.findall(text)
    return sum((float(n) * _SECONDS[unit] for n, unit in parts), 0.0) if parts else None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of retries, and the pauses before them.

    Attributes:
        max_retries: Requests after the first one.
        max_wait: The longest pause in seconds; a longer `Retry-After` raises immediately.
        jitter: Returns a number in [0, 1); full jitter spreads clients that failed together
            (Brooker, "Exponential Backoff And Jitter", 2015).
    """

    max_retries: int = 2
    max_wait: float = 60.0
    jitter: Callable[[], float] = random.random

    def pause_after(self, attempt: int, failure: AzurePhi3Error) -> float | None:
        """Return the seconds to wait after `attempt` (1, 2, ...) failed; `None` to give up."""
        if attempt > self.max_retries or not is_transient(failure):
            return None
        if failure.retry_after is not None:
            # With jitter, so that clients do not all retry together.
            pause = failure.retry_after + self.jitter() * min(1.0, failure.retry_after / 4)
            return pause if failure.retry_after <= self.max_wait else None
        ceiling = min(self.max_wait, 8.0, 0.5 * 2.0 ** (attempt - 1))
        return self.jitter() * ceiling


def is_transient(failure: AzurePhi3Error) -> bool:
    """Whether the same request may succeed later.

    This includes an interrupted response that was not streamed.
    """
    if isinstance(failure, InterruptedStreamError):
        return True
    if failure.status_code is not None:
        return failure.status_code in RETRIED_STATUSES
    # After a read timeout, the model may still be working on the first request.
    return isinstance(failure, ConnectionFailedError) or (
        isinstance(failure, RequestTimeoutError) and failure.code == "connect_timeout"
    )
