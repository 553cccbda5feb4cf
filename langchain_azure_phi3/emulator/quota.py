"""Counts requests and tokens per minute when a request is admitted, as Azure does."""

import math
import time
from dataclasses import dataclass
from threading import Lock

from langchain_azure_phi3.emulator import error_bodies


@dataclass(slots=True)
class QuotaPeriod:
    """The usage of the quota in one minute.

    Attributes:
        started: The time of its first request, in seconds of `time.monotonic`.
        requests: Admitted requests.
        tokens: Their prompts plus `max_tokens`, as they count against the quota.
        rejected: Requests that got a 429.
    """

    started: float
    requests: int = 0
    tokens: int = 0
    rejected: int = 0


class Quota:
    """Admits requests within the limits; `None`: no limit. Several threads may use it at once."""

    def __init__(self, requests: int | None, tokens: int | None, seconds: float) -> None:
        self._limits = {"requests": requests, "tokens": tokens}
        for name, limit in (*self._limits.items(), ("period", seconds)):
            if limit is not None and limit <= 0:
                raise ValueError(f"The {name} of a quota must be positive, not {limit}.")
        self._seconds = seconds
        self._lock = Lock()
        self.periods: list[QuotaPeriod] = []

    def admit(self, tokens: int) -> dict[str, str]:
        """Count a request, and return the headers of its response.

        Raises:
            ApiError: The quota is used up until the next period.
        """
        now = time.monotonic()
        with self._lock:
            if len(self.periods) == 0 or now - self.periods[-1].started >= self._seconds:
                self.periods.append(QuotaPeriod(now))
            period = self.periods[-1]
            used = {"requests": period.requests + 1, "tokens": period.tokens + tokens}
            is_admitted = all(
                limit is None or used[name] <= limit for name, limit in self._limits.items()
            )
            if is_admitted:
                period.requests, period.tokens = used["requests"], used["tokens"]
            else:
                period.rejected += 1
            headers = self._headers({"requests": period.requests, "tokens": period.tokens})
        if not is_admitted:
            wait = period.started + self._seconds - now
            headers |= {"retry-after": f"{math.ceil(wait)}"}
            headers |= {"retry-after-ms": f"{math.ceil(wait * 1000)}"}
            raise error_bodies.rate_limited(math.ceil(wait), headers)
        return headers

    def _headers(self, used: dict[str, int]) -> dict[str, str]:
        limits = {name: limit for name, limit in self._limits.items() if limit is not None}
        headers = {f"x-ratelimit-limit-{name}": f"{limit}" for name, limit in limits.items()}
        return headers | {
            f"x-ratelimit-remaining-{name}": f"{limit - used[name]}"
            for name, limit in limits.items()
        }
