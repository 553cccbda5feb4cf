"""The faults that the server injects, and the error that each leads to."""

from dataclasses import dataclass
from typing import Any

from langchain_azure_phi3 import (
    ConnectionFailedError,
    InterruptedStreamError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from langchain_azure_phi3.emulator import Fault


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault of a request.

    Attributes:
        name: As in the report.
        error: The type of error of a call whose last request has it. `None`: an answer.
        is_retried: Whether the call sends another request after it. `None`: only for a complete
            response.
        rate: The fraction of all requests.
        arguments: The arguments of `Emulator.fail`.
    """

    name: str
    error: type[Exception] | None
    is_retried: bool | None
    rate: float
    arguments: dict[str, Any]

    def retries(self, *, streamed: bool) -> bool:
        """Whether a call, streamed or not, sends another request after it."""
        return not streamed if self.is_retried is None else self.is_retried


NO_FAULT = InjectedFault("no fault", None, False, 0.8, {})

FAULTS = (
    InjectedFault(
        "429 with `Retry-After`", RateLimitError, True, 0.04, {"status": 429, "retry_after": 0.1}
    ),
    InjectedFault("429 without", RateLimitError, True, 0.03, {"status": 429}),
    InjectedFault("503", ServerError, True, 0.03, {"status": 503}),
    InjectedFault("closed before an answer", ConnectionFailedError, True, 0.02, {"name": "refuse"}),
    InjectedFault(
        "reset in the middle",
        InterruptedStreamError,
        None,
        0.03,
        {"name": "reset", "fraction": 0.5},
    ),
    InjectedFault(
        "cut in the middle", InterruptedStreamError, None, 0.03, {"name": "cut", "fraction": 0.7}
    ),
    InjectedFault(
        "stalled in the middle",
        RequestTimeoutError,
        False,
        0.01,
        {"name": "stall", "fraction": 0.3},
    ),
    InjectedFault("no answer", RequestTimeoutError, False, 0.01, {"name": "hang"}),
)

_EMULATOR_FAULTS = [(Fault(**fault.arguments), fault.name) for fault in FAULTS]
BY_NAME = {fault.name: fault for fault in (NO_FAULT, *FAULTS)}


def name_of(fault: Fault | None) -> str:
    """The name of the fault that the emulator injected into a request."""
    return next((name for known, name in _EMULATOR_FAULTS if known == fault), NO_FAULT.name)
