"""Tracks one request until it succeeds or fails: the next URL, and the delay before it."""

import re
import time

import httpx

from langchain_azure_phi3._http.error_mapping import add_sentence
from langchain_azure_phi3._http.quota import Reservation
from langchain_azure_phi3._http.retries import RetryPolicy
from langchain_azure_phi3.errors import AzurePhi3Error

# A 404 that mentions a model or a deployment is from a route that exists.
_NAMES_MODEL = re.compile(rb"model|deployment|modality", re.I)
_READ = 10_000
_REMEMBERED = 1000

Quota = tuple[str, str, str, str]
"""Identifies a rate limit: URL, deployment, model and identity of the credential."""

# The URL that works for a deployment, of its two, until the process ends.
_working_urls: dict[tuple[str, str], str] = {}

# When the pause after a rate limit ends, on the monotonic clock. Without a lock, which could remain
# locked after a fork; each access is one operation on a dict.
_cooldowns: dict[Quota, float] = {}


class RetryState:
    """Send to `url` after `delay` seconds; `record_failure` decides whether to give up.

    The path of completions depends on the age of a server: if the first of two does not exist, the
    other is tried once, and the one that works is used first from then on.

    After a 429, all models with the same quota wait, unless `max_retries=0`.

    Attributes:
        url: The URL of the next attempt.
        reason: The reason for the delay: the status of the last failure, or the name of its class.
        resends: How often the request was sent before.
        reservation: The quota that the current attempt uses, if there is a limiter.
    """

    def __init__(self, quota: Quota, alternate_url: str | None, policy: RetryPolicy) -> None:
        self._policy = policy
        self._quota = quota
        self._alternate_url = alternate_url
        self._attempt = 1
        self._own_delay: float | None = None
        self.url = quota[0] if alternate_url is None else _working_urls.get(quota[:2], quota[0])
        self.reason = "the endpoint's rate limit"
        self.reservation: Reservation | None = None
        self.resends = 0

    def delay(self) -> float | None:
        """Return the seconds to wait before the request is sent; `None` to send it immediately."""
        if not _cooldowns or self._policy.max_retries == 0:
            return self._own_delay
        left = cooldown_remaining(self._quota, time.monotonic())
        if left == 0:
            return self._own_delay
        # With jitter, so that requests that waited together are not sent together.
        shared = min(left * (1 + self._policy.jitter() / 4), self._policy.max_wait)
        return max(self._own_delay or 0.0, shared)

    def record_failure(self, failure: AzurePhi3Error) -> bool:
        """Whether to give up after a failure, instead of retrying after `delay`."""
        self.reason = str(failure.status_code or type(failure).__name__)
        self.resends += 1
        if self._alternate_url is not None and is_route_missing(failure):
            first = self._quota[0]
            self.url = first if self.url != first else self._alternate_url
            self._alternate_url = None
            self._own_delay = 0.0
            return False
        pause = self._policy.pause_after(self._attempt, failure)
        if pause is None:
            self._name_request(failure)
            return True
        self._attempt += 1
        self._own_delay = pause
        if failure.status_code == 429:
            start_cooldown(self._quota, pause, time.monotonic())
        return False

    def _name_request(self, failure: AzurePhi3Error) -> None:
        """Add the number of attempts to a failure, and the URL to a network failure."""
        if isinstance(failure.__cause__, httpx.RequestError):
            path, _, _ = self.url.partition("?")  # a gateway's query may contain a key
            attempts = "1 attempt" if self._attempt == 1 else f"{self._attempt} attempts"
            add_sentence(failure, f"The URL is {path} ({attempts}).")
        elif self._attempt > 1:
            add_sentence(failure, f"{self._attempt} attempts failed.")

    def record_success(self) -> None:
        """Remember the URL, if it was not the expected one."""
        key = self._quota[:2]
        if _working_urls.get(key, key[0]) != self.url:
            if len(_working_urls) >= _REMEMBERED:
                _working_urls.clear()
            _working_urls[key] = self.url


def start_cooldown(quota: Quota, seconds: float, now: float) -> None:
    """Pause all requests with this quota for `seconds`.

    Args:
        quota: Identifies the rate limit.
        seconds: The pause that the server requests.
        now: The monotonic clock, in seconds.
    """
    for ended in [known for known, until in list(_cooldowns.items()) if until <= now]:
        _cooldowns.pop(ended, None)
    if len(_cooldowns) < _REMEMBERED:
        _cooldowns[quota] = max(now + seconds, _cooldowns.get(quota, 0.0))


def cooldown_remaining(quota: Quota, now: float) -> float:
    """Return the seconds until the cool-down of `quota` ends; 0 without one."""
    return max(0.0, _cooldowns.get(quota, 0.0) - now)


def is_route_missing(failure: AzurePhi3Error) -> bool:
    """Whether a server reports an unknown path, rather than an unknown deployment."""
    if failure.status_code not in (404, 405) or failure.response is None:
        return False
    return _NAMES_MODEL.search(failure.response.content[:_READ]) is None
