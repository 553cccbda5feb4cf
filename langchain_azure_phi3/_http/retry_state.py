"""One request, until it is answered or given up: where it goes next, and after which pause."""

import re
import time

from langchain_azure_phi3._http.cooldown import seconds_left, slow_down
from langchain_azure_phi3._http.retries import RetryPolicy
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import AzurePhi3Error

# A refusal that speaks of a model or a deployment comes from a route that exists.
_NAMES_MODEL = re.compile(rb"model|deployment|modality", re.I)
_READ = 10_000
_REMEMBERED = 1000

# Which of its two URLs a deployment answered on, for as long as the process lives.
_answered_on: dict[tuple[str, bytes | None], str] = {}
_DEPLOYMENT = b"azureml-model-deployment"


class Attempts:
    """`request` is what to send now, after `pause` seconds; `failed` says whether to go on.

    Servers of one kind have completions under different paths, by age: where the first of
    two is not there, the other is tried once, and what worked comes first from then on.

    A rate limit is everybody's: who asks the same endpoint waits as well, unless the user wants
    no retries and sees to it alone.
    """

    def __init__(self, request: Json, other_url: str | None, policy: RetryPolicy) -> None:
        self._policy = policy
        self._number = 1
        self._has_other = other_url is not None
        # httpx takes ten times as long to look a header up.
        self._deployment = request["url"], dict(request["headers"].raw).get(_DEPLOYMENT)
        first = _answered_on.get(self._deployment, request["url"])
        self._untried = other_url if first == request["url"] else request["url"]
        self._endpoint = f"{self._deployment[1]!r} {request['url']}"
        self._own_pause: float | None = None
        self.request = request | {"url": first}
        self.reason = "the endpoint's rate limit"

    def pause(self) -> float | None:
        """Seconds to wait before `request` is sent; `None` for a first try that nothing slows."""
        left = seconds_left(self._endpoint, time.monotonic())
        if left == 0 or self._policy.max_retries == 0:
            return self._own_pause
        # Spread, so that those who waited together do not storm the endpoint together.
        shared = min(left * (1 + self._policy.jitter() / 4), self._policy.max_wait)
        return max(self._own_pause or 0.0, shared)

    def failed(self, failure: AzurePhi3Error) -> bool:
        """Whether to give up after a failure, rather than to send `request` after `pause`."""
        self.reason = str(failure.status_code or type(failure).__name__)
        if self._untried is not None and lacks_route(failure):
            self.request = self.request | {"url": self._untried}
            self._untried = None
            self._own_pause = 0.0
            return False
        pause = self._policy.pause_after(self._number, failure)
        self._number += 1
        if pause is None:
            return True
        self._own_pause = pause
        if failure.status_code == 429:
            slow_down(self._endpoint, pause, time.monotonic())
        return False

    def succeeded(self) -> None:
        """Remember where the answer came from, if it could have come from elsewhere."""
        if not self._has_other:
            return
        if len(_answered_on) >= _REMEMBERED:
            _answered_on.clear()
        _answered_on[self._deployment] = self.request["url"]


def lacks_route(failure: AzurePhi3Error) -> bool:
    """Whether a server says that it has no such path, rather than no such deployment."""
    if failure.status_code not in (404, 405) or failure.response is None:
        return False
    return _NAMES_MODEL.search(failure.response.content[:_READ]) is None
