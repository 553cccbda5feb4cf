"""The faults that the server is ordered to have, and the error that each must end in."""

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
class Fate:
    """What a request may meet.

    Attributes:
        name: For people.
        error: The type of error that it gives where it is the last word; `None`: an answer.
        is_tried_again: Whether the question is asked again after it.
        share: Of all requests.
        order: The arguments of `Emulator.fail`.
    """

    name: str
    error: type[Exception] | None
    is_tried_again: bool
    share: float
    order: dict[str, Any]


PEACE = Fate("nothing", None, False, 0.8, {})

FAULTS = (
    Fate("429 with `Retry-After`", RateLimitError, True, 0.04, {"status": 429, "retry_after": 0.1}),
    Fate("429 without", RateLimitError, True, 0.03, {"status": 429}),
    Fate("503", ServerError, True, 0.03, {"status": 503}),
    Fate("closed before an answer", ConnectionFailedError, True, 0.02, {"name": "refuse"}),
    Fate(
        "reset in the middle",
        InterruptedStreamError,
        False,
        0.03,
        {"name": "reset", "fraction": 0.5},
    ),
    Fate(
        "cut in the middle", InterruptedStreamError, False, 0.03, {"name": "cut", "fraction": 0.7}
    ),
    Fate(
        "stalled in the middle",
        RequestTimeoutError,
        False,
        0.01,
        {"name": "stall", "fraction": 0.3},
    ),
    Fate("silence", RequestTimeoutError, False, 0.01, {"name": "hang"}),
)

_ORDERED = [(Fault(**fate.order), fate.name) for fate in FAULTS]
BY_NAME = {fate.name: fate for fate in (PEACE, *FAULTS)}


def name_of(fault: Fault | None) -> str:
    """The name of what a request met."""
    return next((name for ordered, name in _ORDERED if ordered == fault), PEACE.name)
