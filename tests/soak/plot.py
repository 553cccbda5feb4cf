"""An SVG plot of a run over time, readable on light and on dark pages."""

from collections.abc import Sequence
from html import escape

from tests.soak.evaluation import Sample

_WIDTH, _HEIGHT, _LEFT, _GAP = 720, 130, 60, 50
_INK, _GRID = "#808890", "#80889055"  # as dark on white as it is light on black
_MIB = 2**20
_POINTS = 300


def draw(samples: Sequence[Sample]) -> str:
    """Plot connections and memory, one below the other."""
    samples = samples[:: max(1, len(samples) // _POINTS)]
    seconds = [sample.seconds for sample in samples]
    panels = (
        ("open server connections", [float(s.connections) for s in samples], "#2f81f7"),
        ("process memory, MiB", [s.memory / _MIB for s in samples], "#d9730d"),
    )
    parts = [
        _panel(title, seconds, values, color, top=30 + place * (_HEIGHT + _GAP))
        for place, (title, values, color) in enumerate(panels)
    ]
    height = 30 + len(panels) * (_HEIGHT + _GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" font-family="sans-serif" font-size="12">\n'
        "<title>Resources in use under load, over time</title>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(
    title: str, seconds: Sequence[float], values: Sequence[float], color: str, *, top: int
) -> str:
    longest, highest = max(*seconds, 1.0), 50 * (max(values) // 50 + 1)
    width, bottom = _WIDTH - _LEFT - 20, top + _HEIGHT
    points = " ".join(
        f"{_LEFT + x / longest * width:.1f},{bottom - y / highest * _HEIGHT:.1f}"
        for x, y in zip(seconds, values, strict=True)
    )
    lines = [_text(_LEFT, top - 10, title, "start")]
    for part in (0.0, 0.5, 1.0):
        y = bottom - part * _HEIGHT
        lines.append(
            f'<path d="M{_LEFT} {y:.1f}h{width}" stroke="{_GRID}"/>'
            + _text(_LEFT - 8, y + 4, f"{part * highest:,.0f}", "end")
        )
        lines.append(_text(_LEFT + part * width, bottom + 16, f"{part * longest:.0f} s", "middle"))
    lines.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
    return "\n".join(lines)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{_INK}">{escape(text)}</text>'
    )
