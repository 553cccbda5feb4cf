"""The figures as a page and a plot."""

from collections.abc import Iterable, Mapping
from html import escape

from tests.benchmarks.calls import Figures
from tests.benchmarks.contenders import CORE, HTTPX, OURS, PEERS
from tests.benchmarks.ratios import Ratio
from tests.benchmarks.timing import Timing as Spent
from tests.markdown import table

ORDER = (CORE, HTTPX, OURS, *PEERS, "openai", "azure-ai-inference")
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"

_INK = "#808890"  # readable on light and on dark pages
_COLORS = {OURS: "#0b6bcb", CORE: "#8a8f98", HTTPX: "#8a8f98"}
_WIDTH, _ROW, _LABEL, _BAR = 760, 18, 190, 460


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


def plot(figures: Mapping[str, Mapping[str, Spent]]) -> str:
    """Bars, one group for each figure: this package is 1, shorter is faster."""
    parts: list[str] = []
    top = 10
    for title, spent in figures.items():
        parts.append(_text(8, top + 14, title, weight="bold"))
        top += 22
        longest = max(one.wall for one in spent.values())
        for name in (name for name in ORDER if name in spent):
            width = max(1.0, spent[name].wall / longest * _BAR)
            times = spent[name].wall / spent[OURS].wall
            color = _COLORS.get(name, "#80889080")
            parts.append(_text(_LABEL - 8, top + 13, name, anchor="end"))
            parts.append(
                f'<rect x="{_LABEL}" y="{top + 2}" width="{width:.1f}" height="{_ROW - 5}" '
                f'fill="{color}"/>'
            )
            parts.append(_text(_LABEL + width + 6, top + 13, f"{times:.2f}"))
            top += _ROW
        top += 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" '
        f'width="{_WIDTH}" height="{top}" role="img" font-family="sans-serif" font-size="12">\n'
        "<title>Time relative to langchain-azure-phi3; shorter is faster</title>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{_INK}">{escape(text)}</text>'
    )
