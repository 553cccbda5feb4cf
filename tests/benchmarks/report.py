"""The figures as a page and a plot."""

from collections.abc import Iterable, Mapping, Sequence

from tests import svg
from tests.benchmarks.calls import Figures
from tests.benchmarks.contenders import CORE, HTTPX, OURS, PEERS
from tests.benchmarks.ratios import Ratio
from tests.benchmarks.timing import Timing as Spent
from tests.markdown import table

ORDER = (CORE, HTTPX, OURS, *PEERS, "openai", "azure-ai-inference")
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"

_STYLES = {OURS: "ours", CORE: "base", HTTPX: "base"}


def ratios_table(ratios: Iterable[Ratio]) -> str:
    """What was asked and what was reached."""
    return table(
        ("ratio", "goal", "wall time", "CPU time", ""),
        (
            (
                ratio.name,
                f"{'at least' if ratio.is_floor else 'at most'} {ratio.goal:g}",
                f"{ratio.value:.2f}",
                f"{ratio.cpu:.2f}",
                "met" if ratio.is_reached else "**missed**",
            )
            for ratio in ratios
        ),
    )


def figures_table(figures: Figures) -> str:
    """Microseconds a call or a chunk, by the clock and by the processor."""
    return table(
        ("", *figures),
        (
            (name, *(_cell(spent.get(name)) for spent in figures.values()))
            for name in ORDER
            if any(name in spent for spent in figures.values())
        ),
    )


def _cell(spent: Spent | None) -> str:
    return "-" if spent is None else f"{_short(spent.wall)} ({_short(spent.cpu)})"


def _short(seconds: float) -> str:
    micros = seconds * 1e6
    return f"{micros:,.0f}" if micros >= 100 else f"{micros:.1f}"


def plot(figures: Mapping[str, Mapping[str, Spent]], names: Sequence[str] = ORDER) -> str:
    """Bars, one group for each figure: this package is 1, shorter is faster."""
    groups = {
        title: [
            svg.Bar(
                name,
                spent[name].wall,
                f"{spent[name].wall / spent[OURS].wall:.2f}",
                _STYLES.get(name, "peer"),
            )
            for name in names
            if name in spent
        ]
        for title, spent in figures.items()
    }
    return svg.bar_chart("Time relative to langchain-azure-phi3; shorter is faster", groups)
