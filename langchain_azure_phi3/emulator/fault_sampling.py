"""Choose the requests that fail at random, reproducibly for each seed."""

import hashlib
from collections import Counter
from threading import Lock

from langchain_azure_phi3.emulator.faults import Fault
from langchain_azure_phi3.emulator.wire import Request

_ROUNDING = 1e-9


class FaultSampler:
    """Chooses a fault, or none, for each request.

    The choice depends on the seed, on the path and body of the request, and on how often the same
    request arrived before. It does not depend on the order of requests, so concurrent programs
    get the same faults in each run.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rates: list[tuple[float, Fault]] = []
        self._seen: Counter[bytes] = Counter()
        self._lock = Lock()

    def add(self, rate: float, fault: Fault) -> None:
        """Inject `fault` into this fraction of all requests, in addition to other faults.

        Raises:
            ValueError: The rate is not above 0, or all rates add up to more than 1.
        """
        available = 1 - sum(used for used, _ in self._rates)
        if not 0 < rate <= available + _ROUNDING:
            available_rate = f"between 0 and {available:g}, which the other faults leave"
            raise ValueError(f"rate={rate!r} is not possible. Pass a rate {available_rate}.")
        self._rates.append((rate, fault))

    def clear(self) -> None:
        """Remove all faults."""
        self._rates.clear()
        self._seen.clear()

    def sample(self, request: Request) -> Fault | None:
        """Return the fault for a request."""
        if len(self._rates) == 0:
            return None
        digest = hashlib.sha256(f"{request.path}\n".encode() + request.body).digest()
        with self._lock:
            count = self._seen[digest]
            self._seen[digest] += 1
        sampled = hashlib.sha256(f"{self._seed} {count} ".encode() + digest).digest()
        position = int.from_bytes(sampled[:8]) / 2**64
        for rate, fault in self._rates:
            if position < rate:
                return fault
            position -= rate
        return None
