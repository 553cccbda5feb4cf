"""Which requests fail where a share of all shall: by lot, and the same ones with the same seed."""

import hashlib
from collections import Counter
from threading import Lock

from langchain_azure_phi3.emulator.faults import Fault
from langchain_azure_phi3.emulator.wire import Request

_ROUNDING = 1e-9


class Lots:
    """Draws a fault, or none, for each request.

    What is drawn depends on the seed, on the request's path and body, and on how often the same
    request came before: not on the order in which requests arrive, so that programs that ask many
    questions at once meet the same faults each time.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._shares: list[tuple[float, Fault]] = []
        self._came: Counter[bytes] = Counter()
        self._lock = Lock()

    def add(self, share: float, fault: Fault) -> None:
        """Let a share of all requests meet a fault, beside those that meet others.

        Raises:
            ValueError: The share is none, or more than the others leave.
        """
        left = 1 - sum(taken for taken, _ in self._shares)
        if not 0 < share <= left + _ROUNDING:
            raise ValueError(
                f"share={share!r} is none: say which part of all requests fails, such as 0.05; "
                f"the other faults leave {left:g}"
            )
        self._shares.append((share, fault))

    def clear(self) -> None:
        """Let no request fail any more."""
        self._shares.clear()
        self._came.clear()

    def drawn(self, request: Request) -> Fault | None:
        """What this request meets."""
        if len(self._shares) == 0:
            return None
        asked = hashlib.sha256(f"{request.path}\n".encode() + request.body).digest()
        with self._lock:
            came = self._came[asked]
            self._came[asked] += 1
        drawn = hashlib.sha256(f"{self._seed} {came} ".encode() + asked).digest()
        lot = int.from_bytes(drawn[:8]) / 2**64
        for share, fault in self._shares:
            if lot < share:
                return fault
            lot -= share
        return None
