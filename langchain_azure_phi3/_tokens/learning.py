"""How far off estimates are, learned from what servers report."""

from threading import Lock


class Learned:
    """How far off estimates are for a deployment, from the usage that it reports.

    A key is whatever tells deployments apart. Old observations fade, and one of a short prompt
    counts for little. Ratios stay between a half and two. Safe to share between threads.
    """

    _FADING = 0.9
    _DOUBT = 200.0
    """Tokens of evidence for the estimate that stand against the first observations."""
    _MOST_KEYS = 256
    _AT_FIRST, _EVERY = 16, 8

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}
        self._offers: dict[str, int] = {}
        self._lock = Lock()

    def is_due(self, key: str) -> bool:
        """Whether another observation is worth its estimate: the first 16, then one in eight."""
        with self._lock:
            offers = self._offers.pop(key, 0)
            self._offers[key] = offers + 1
            _bound(self._offers, self._MOST_KEYS)
        return offers < self._AT_FIRST or offers % self._EVERY == 0

    def add(self, key: str, *, estimated: int, actual: int) -> None:
        """Take in what a prompt was estimated at and what it cost, both in tokens.

        Figures of nothing say nothing: some servers report 0 where they did not count.
        """
        if estimated <= 0 or actual <= 0:
            return
        with self._lock:
            before, cost = self._sums.pop(key, (0.0, 0.0))
            self._sums[key] = before * self._FADING + estimated, cost * self._FADING + actual
            _bound(self._sums, self._MOST_KEYS)

    def ratio(self, key: str) -> float:
        """What to multiply an estimate by; 1.0 for a key of which nothing is known."""
        with self._lock:
            estimated, actual = self._sums.get(key, (0.0, 0.0))
        return min(2.0, max(0.5, (actual + self._DOUBT) / (estimated + self._DOUBT)))


def _bound(by_key: dict[str, tuple[float, float]] | dict[str, int], most: int) -> None:
    """Forget the key that was silent longest."""
    if len(by_key) > most:
        del by_key[next(iter(by_key))]
