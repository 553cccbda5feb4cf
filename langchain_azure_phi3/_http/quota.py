"""What a limiter of requests and tokens offers to the endpoints; `rate_limits` implements it."""

from typing import Any, Protocol

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import AzurePhi3Error


class Reservation(Protocol):
    """A part of a quota, for one attempt at a request."""

    def settle(self, usage: Any, rate_limit: Json | None) -> None:
        """Replace the estimate by what the server reports.

        Args:
            usage: The response's `usage` in any form; `None` if there was none.
            rate_limit: What remains of the quota, as `parse_rate_limit` returns it.
        """

    def cancel(self, failure: AzurePhi3Error) -> None:
        """Give back what the server does not count for a failed attempt."""

    async def acancel(self, failure: AzurePhi3Error) -> None:
        """Do the same in an event loop."""


class Demand(Protocol):
    """What one request is expected to use, in each of its attempts."""

    def reserve(self) -> Reservation:
        """Wait until the quota has room for an attempt, and take it."""

    async def areserve(self) -> Reservation:
        """Do the same in an event loop."""


class AttemptLimiter(Protocol):
    """A limiter that counts every attempt at a request."""

    def estimate(self, quota: tuple[str, ...], payload: Json) -> Demand:
        """Return what a request is expected to use.

        Args:
            quota: What shares a rate limit: URL, deployment, model and the credential's identity.
            payload: The request's JSON.
        """
