"""A quota of requests and tokens per minute that threads, processes and machines share.

```python
from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.rate_limits import TokenRateLimiter

limiter = TokenRateLimiter(requests_per_minute=1000, tokens_per_minute=200_000)
model = ChatAzurePhi3(rate_limiter=limiter)
print(model.invoke("Hello").usage_metadata["total_tokens"])
```
"""

import uuid
from hashlib import sha256
from typing import Any

from langchain_core.rate_limiters import BaseRateLimiter
from typing_extensions import override

from langchain_azure_phi3._rate_limits.quota import Quota
from langchain_azure_phi3._rate_limits.store import MEMORY, open_store, without_password
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import (
    AzurePhi3Error,
    ConnectionFailedError,
    InvalidInputError,
    RateLimitError,
)
from langchain_azure_phi3.models import find_model
from langchain_azure_phi3.tokens import TokenCounter

__all__ = ["TokenRateLimiter"]

_DEFAULT_COOLDOWN = 1.0  # seconds after a 429 without a requested wait


class TokenRateLimiter(BaseRateLimiter):
    """Limits requests and tokens per minute, for all processes that use the same store and key.

    `ChatAzurePhi3(rate_limiter=...)` counts every HTTP attempt, retries included: it reserves the
    estimate of the prompt plus `max_tokens` (or the mean of the responses so far), and replaces it
    with the usage that the server reports. After a 429, all processes wait. Requests are spread
    evenly and sent in order of arrival, and no minute exceeds the quota.

    With other chat models, it counts one request per call and no tokens, because LangChain does not
    pass the prompt to a rate limiter.

    Only its settings are pickled, so the workers of a job share the quota of the program that
    started it, unless the store is this process's memory.

    Args:
        requests_per_minute: The deployment's quota of requests.
        tokens_per_minute: The deployment's quota of tokens, of prompts and responses.
        store: `"memory://"` for this process; `"redis://host:6379"`, or another URL that the
            package `limits` supports, for all processes that use it. If it cannot be reached
            later, a warning is logged and each process limits itself until it can.
        key: The name of the quota in the store. Default: the URL, deployment and model of each
            request, so that one limiter serves several deployments, each with this quota.

    Raises:
        InvalidInputError: A quota is not positive, or `store` is not a supported URL.
        ConnectionFailedError: The store cannot be reached.
        ImportError: The package `limits` is missing (extra `rate-limits`).
    """

    def __init__(
        self,
        requests_per_minute: int = 1000,
        tokens_per_minute: int = 200_000,
        *,
        store: str = MEMORY,
        key: str | None = None,
    ) -> None:
        for name, value in (
            ("requests_per_minute", requests_per_minute),
            ("tokens_per_minute", tokens_per_minute),
        ):
            if value < 1:
                raise InvalidInputError(f"{name} must be at least 1, not {value}.")
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self.store = store
        self.key = key
        open_store(store).check()
        self._own_key = key or uuid.uuid4().hex
        self._quotas: dict[str, Quota] = {}
        self._per_attempt = False

    def for_attempts(self) -> "TokenRateLimiter":
        """Return a copy for a model that counts its HTTP attempts: its `acquire` does nothing."""
        copied = _restore(type(self), {**self.__getstate__(), "_per_attempt": True})
        copied._quotas = self._quotas
        return copied

    @override
    def acquire(self, *, blocking: bool = True) -> bool:
        """Wait for the quota of one request; with `blocking=False`, return whether it is free."""
        if self._per_attempt:
            return True
        quota = self.quota(self._own_key)
        if not blocking:
            return quota.try_take(0)
        quota.take(0)
        return True

    @override
    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Wait for the quota of one request; with `blocking=False`, return whether it is free."""
        if self._per_attempt:
            return True
        quota = self.quota(self._own_key)
        if not blocking:
            return quota.try_take(0)
        await quota.atake(0)
        return True

    def estimate(self, quota: tuple[str, ...], payload: Json) -> "_Demand":
        """Estimate the usage of a request in each of its attempts."""
        # Not the credential: Azure's quota belongs to the deployment.
        name = self.key or sha256("\n".join(quota[:3]).encode()).hexdigest()[:16]
        return _Demand(self.quota(name), payload)

    def quota(self, name: str) -> Quota:
        """Return the quota with this name in the store."""
        found = self._quotas.get(name)
        if found is None:
            found = self._quotas.setdefault(
                name,
                Quota(
                    open_store(self.store),
                    f"langchain-azure-phi3/{name}",
                    self.requests_per_minute,
                    self.tokens_per_minute,
                ),
            )
        return found

    @override
    def __repr__(self) -> str:
        return (
            f"TokenRateLimiter({self.requests_per_minute}, {self.tokens_per_minute}, "
            f"store={without_password(self.store)!r}, key={self.key!r})"
        )

    @override
    def __getstate__(self) -> Json:
        return {name: value for name, value in self.__dict__.items() if name != "_quotas"}

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.__getstate__())


def _restore(cls: type[TokenRateLimiter], state: Json) -> TokenRateLimiter:
    """Restore a limiter without checking the store, which may be down when workers start."""
    limiter = cls.__new__(cls)
    limiter.__dict__.update(state, _quotas={})
    return limiter


class _Demand:
    """The expected usage of one request in each of its attempts."""

    def __init__(self, quota: Quota, payload: Json) -> None:
        self._quota = quota
        self._prompt, self._limit = _prompt_tokens(payload), _output_limit(payload)

    @property
    def tokens(self) -> int:
        """Tokens of the prompt and of the response."""
        output = self._quota.mean_output_tokens if self._limit is None else self._limit
        return self._prompt + round(output)

    def reserve(self) -> "_Reservation":
        tokens = self.tokens
        self._quota.take(tokens)
        return _Reservation(self._quota, tokens)

    async def areserve(self) -> "_Reservation":
        tokens = self.tokens
        await self._quota.atake(tokens)
        return _Reservation(self._quota, tokens)


class _Reservation:
    """A part of a quota, for one attempt."""

    def __init__(self, quota: Quota, tokens: int) -> None:
        self._quota = quota
        self._tokens = tokens

    def settle(self, usage: Any, rate_limit: Json | None) -> None:
        reported = rate_limit or {}
        self._quota.lower(reported.get("remaining_requests"), reported.get("remaining_tokens"))
        prompt, output = _reported_tokens(usage)
        if prompt is not None and output is not None:
            self._quota.give_back(tokens=self._tokens - prompt - output)
            self._quota.mean_output_tokens += (output - self._quota.mean_output_tokens) / 10

    def cancel(self, failure: AzurePhi3Error) -> None:
        self._give_back(failure)
        if isinstance(failure, RateLimitError):
            self._quota.cool_down(failure.retry_after or _DEFAULT_COOLDOWN)

    async def acancel(self, failure: AzurePhi3Error) -> None:
        self._give_back(failure)
        if isinstance(failure, RateLimitError):
            await self._quota.acool_down(failure.retry_after or _DEFAULT_COOLDOWN)

    def _give_back(self, failure: AzurePhi3Error) -> None:
        """Return the quota that a failed attempt did not use.

        A rejected request counts as a request but uses no tokens. A request that was interrupted or
        timed out may have used all of them.
        """
        if failure.status_code is not None:
            self._quota.give_back(tokens=self._tokens)
        elif isinstance(failure, ConnectionFailedError) or failure.code == "connect_timeout":
            self._quota.give_back(requests=1, tokens=self._tokens)


def _prompt_tokens(payload: Json) -> int:
    if "messages" not in payload:  # the /score route
        payload = {"messages": payload.get("input_data", {}).get("input_string", [])}
    return TokenCounter(find_model(payload.get("model"))).count_prompt(payload)


def _output_limit(payload: Json) -> int | None:
    parameters = payload.get("input_data", {}).get("parameters", {})
    names = ("max_tokens", "max_completion_tokens", "max_new_tokens")
    limits = (source.get(name) for source in (payload, parameters) for name in names)
    limit = next((value for value in limits if isinstance(value, int)), None)
    return None if limit is None else limit * payload.get("n", 1)


def _reported_tokens(usage: Any) -> tuple[int | None, int | None]:
    counts = usage if isinstance(usage, dict) else {}
    prompt, output = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return _int_or_none(prompt), _int_or_none(output)


def _int_or_none(value: Any) -> int | None:
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return None
