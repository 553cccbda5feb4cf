"""One request, until it is answered or given up: where it goes next, and after which pause."""

import re
from collections.abc import Mapping

from langchain_azure_phi3._http.retries import RetryPolicy
from langchain_azure_phi3._http.wire import Json
from langchain_azure_phi3.errors import AzurePhi3Error

# A refusal that speaks of a model or a deployment comes from a route that exists.
_NAMES_MODEL = re.compile(rb"model|deployment|modality", re.I)
_READ = 10_000
_REMEMBERED = 1000

# Which of its two URLs a deployment answered on, for as long as the process lives.
_answered_on: dict[tuple[str, str | None], str] = {}


class Attempts:
    """`request` is what to send now; `pause_after` a failure says when to send it again.

    Servers of one kind have completions under different paths, by age: where the first of
    two is not there, the other is tried once, and what worked comes first from then on.
    """

    def __init__(self, request: Json, other_url: str | None, policy: RetryPolicy) -> None:
        self._policy = policy
        self._number = 1
        self._has_other = other_url is not None
        self._deployment = request["url"], _deployment(request["headers"])
        first = _answered_on.get(self._deployment, request["url"])
        self._untried = other_url if first == request["url"] else request["url"]
        self.request = request | {"url": first}

    def pause_after(self, failure: AzurePhi3Error) -> float | None:
        """Seconds to wait before `request` is sent again; `None` means give up."""
        if self._untried is not None and lacks_route(failure):
            self.request = self.request | {"url": self._untried}
            self._untried = None
            return 0.0
        pause = self._policy.pause_after(self._number, failure)
        self._number += 1
        return pause

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


def _deployment(headers: Mapping[str, str]) -> str | None:
    return next((v for k, v in headers.items() if k.lower() == "azureml-model-deployment"), None)
