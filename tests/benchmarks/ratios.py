"""The figures as ratios, what they should be, and what they were."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.calls import CONCURRENCY, SCALING, Figures
from tests.benchmarks.contenders import CORE, HTTPX, OURS, PEERS
from tests.benchmarks.timing import Spent

BASELINE = Path(__file__).parent / "baseline.json"
# How much worse than the baseline a ratio may be: a shared machine is noisy.
TOLERANCE = 1.25


@dataclass(frozen=True)
class Ratio:
    """One ratio.

    Attributes:
        name: What is compared.
        value: By the clock.
        cpu: The same by the processor's time in this process.
        goal: What it should be.
        is_floor: Whether the goal is the least, rather than the most, that it should be.
    """

    name: str
    value: float
    cpu: float
    goal: float
    is_floor: bool = False

    @property
    def is_reached(self) -> bool:
        """By the clock."""
        return self.value >= self.goal if self.is_floor else self.value <= self.goal


def of_calls(figures: Figures) -> Iterator[Ratio]:
    """The ratios of calls and streams."""
    for name in ("invoke", "stream", "astream", "stream, one at a time", "astream, one at a time"):
        limit = 1.15 if name == "invoke" else 1.1
        spent = figures[name]
        yield _ratio(
            f"{name}: to core + httpx", spent, limit, lambda take: take(OURS) / _floor(take)
        )
        yield _ratio(f"{name}: fastest peer to this", spent, 1.35, _over_peers, is_floor=True)
    for tasks in CONCURRENCY:
        spent = figures[f"ainvoke at {tasks}"]
        yield _ratio(
            f"ainvoke at {tasks}: best peer to this", spent, 1.8, _over_peers, is_floor=True
        )
    first, last = (figures[SCALING][str(tasks)] for tasks in (CONCURRENCY[0], CONCURRENCY[-1]))
    yield Ratio(
        f"ainvoke: throughput at {CONCURRENCY[-1]} to that at {CONCURRENCY[0]}",
        first.wall / last.wall,
        first.cpu / last.cpu,
        1.0,
        is_floor=True,
    )
    yield _ratio(
        "batch of 16: fastest peer to this", figures["batch of 16"], 1.0, _over_peers, is_floor=True
    )


Take = Callable[[str], float]


def _floor(take: Take) -> float:
    return take(CORE) + take(HTTPX)


def _over_peers(take: Take) -> float:
    return min(map(take, PEERS)) / take(OURS)


def _ratio(
    name: str,
    spent: dict[str, Spent],
    goal: float,
    of: Callable[[Take], float],
    *,
    is_floor: bool = False,
) -> Ratio:
    value = of(lambda who: spent[who].wall)
    return Ratio(name, value, of(lambda who: spent[who].cpu), goal, is_floor)


def worse(ratios: list[Ratio]) -> list[str]:
    """What is worse than the baseline, by the processor's time: it depends least on others."""
    known: dict[str, Any] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    found = []
    for ratio in ratios:
        if ratio.name not in known:
            continue
        was = known[ratio.name]
        change = was / ratio.cpu if ratio.is_floor else ratio.cpu / was
        if change > TOLERANCE:
            found.append(f"{ratio.name}: {ratio.cpu:.2f}, was {was:.2f}")
    return found


def accept(ratios: list[Ratio]) -> None:
    """Make these the baseline."""
    BASELINE.write_text(
        json.dumps({ratio.name: round(ratio.cpu, 3) for ratio in ratios}, indent=2) + "\n"
    )
