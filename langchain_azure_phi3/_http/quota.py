"""The interface of a limiter of requests and tokens, which `rate_limits` implements."""

from typing import Any, Protocol

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import AzurePhi3Error


class Reservation(Protocol):
    """A part of a quota, for one attempt at a request."""

    def settle(self, usage: Any, rate_limit: Json | None) -> None:
        """Replace the estimate by the usage that the server reports.

        Args:
            usage: The response's `usage` in any form; `None` without one.
            rate_limit: The rest of the quota, as `parse_rate_limit` returns it.
        """

    def cancel(self, failure: AzurePhi3Error) -> None:
        """Return the quota that the server does not count for a failed attempt."""

    async def acancel(self, failure: AzurePhi3Error) -> None:
        """Do the same in an event loop."""


class Demand(Protocol):
    """The expected usage of one request, in each of its attempts."""

    def reserve(self) -> Reservation:
        """Wait until the quota has room for an attempt, and reserve it."""

    async def areserve(self) -> Reservation:
        """Do the same in an event loop."""


class AttemptLimiter(Protocol):
    """A limiter that counts every attempt at a request."""

    def estimate(self, quota: tuple[str, ...], payload: Json) -> Demand:
        """Estimate the usage of a request.

        Args:
            quota: Identifies a rate limit: URL, deployment, model and the credential's identity.
            payload: The request's JSON.
        """
