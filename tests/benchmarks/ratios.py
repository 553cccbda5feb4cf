"""The ratios between measurements, their goals, and the accepted baseline."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.calls import CONCURRENCY, SCALING, Figures
from tests.benchmarks.contenders import CORE, HTTPX, OURS, PEERS
from tests.benchmarks.timing import Timing

BASELINE = Path(__file__).parent / "baseline.json"
# How much worse than the baseline a ratio may be, because shared machines are noisy.
TOLERANCE = 1.25


@dataclass(frozen=True)
class Ratio:
    """A ratio between two measurements.

    Attributes:
        name: What is compared.
        value: The ratio of wall times.
        cpu: The ratio of CPU times of this process.
        goal: The limit.
        is_floor: Whether the goal is a lower limit instead of an upper limit.
    """

    name: str
    value: float
    cpu: float
    goal: float
    is_floor: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether the wall time meets the goal."""
        return self.value >= self.goal if self.is_floor else self.value <= self.goal


def of_calls(figures: Figures) -> Iterator[Ratio]:
    """Yield the ratios of the measurements that were made."""
    for name in ("invoke", "stream", "astream", "stream, one at a time", "astream, one at a time"):
        if name in figures:
            limit = 1.15 if name == "invoke" else 1.1
            yield _ratio(f"{name}: time relative to core + httpx", figures[name], limit, _to_floor)
            yield _speed(f"{name}: speed relative to the fastest peer", figures[name], 1.35)
    for tasks in CONCURRENCY:
        name = f"ainvoke at {tasks}"
        yield _speed(f"{name}: throughput relative to the best peer", figures[name], 1.8)
    if SCALING in figures:
        yield _scaling(figures[SCALING])
    if "batch of 16" in figures:
        name = "batch of 16"
        yield _speed(f"{name}: speed relative to the fastest peer", figures[name], 1.0)


Take = Callable[[str], float]


def _to_floor(take: Take) -> float:
    return take(OURS) / (take(CORE) + take(HTTPX))


def _over_peers(take: Take) -> float:
    return min(map(take, PEERS)) / take(OURS)


def _speed(name: str, timings: dict[str, Timing], goal: float) -> Ratio:
    return _ratio(name, timings, goal, _over_peers, is_floor=True)


def _scaling(timings: dict[str, Timing]) -> Ratio:
    low, high = CONCURRENCY[0], CONCURRENCY[-1]
    first, last = timings[str(low)], timings[str(high)]
    return Ratio(
        f"ainvoke: throughput at {high} relative to {low}",
        first.wall / last.wall,
        first.cpu / last.cpu,
        1.0,
        is_floor=True,
    )


def _ratio(
    name: str,
    timings: dict[str, Timing],
    goal: float,
    compute: Callable[[Take], float],
    *,
    is_floor: bool = False,
) -> Ratio:
    value = compute(lambda client: timings[client].wall)
    return Ratio(name, value, compute(lambda client: timings[client].cpu), goal, is_floor)


def worse(ratios: list[Ratio]) -> list[str]:
    """Return the ratios worse than the baseline in CPU time, which depends least on other load."""
    known: dict[str, Any] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    found = []
    for ratio in ratios:
        if ratio.name not in known:
            continue
        before = known[ratio.name]
        change = before / ratio.cpu if ratio.is_floor else ratio.cpu / before
        if change > TOLERANCE:
            found.append(f"{ratio.name}: {ratio.cpu:.2f}, before {before:.2f}")
    return found


def accept(ratios: list[Ratio]) -> None:
    """Write these ratios as the baseline."""
    BASELINE.write_text(
        json.dumps({ratio.name: round(ratio.cpu, 3) for ratio in ratios}, indent=2) + "\n"
    )
