"""An SVG plot of a run over time."""

from collections.abc import Sequence

from tests import svg
from tests.soak.evaluation import Sample

_HEIGHT, _LEFT, _RIGHT, _GAP = 120, 40, 20, 56
_MIB = 2**20
_POINTS = 300


def draw(samples: Sequence[Sample]) -> str:
    """Plot connections and memory, one below the other."""
    samples = samples[:: max(1, len(samples) // _POINTS)]
    seconds = [sample.seconds for sample in samples]
    panels = (
        ("open server connections", [float(s.connections) for s in samples], "line1"),
        ("process memory, MiB", [s.memory / _MIB for s in samples], "line2"),
    )
    parts = [
        _panel(title, seconds, values, style, top=30 + place * (_HEIGHT + _GAP))
        for place, (title, values, style) in enumerate(panels)
    ]
    height = len(panels) * (_HEIGHT + _GAP)
    return svg.document("Resources in use under load, over time", height, parts)


def _panel(
    title: str, seconds: Sequence[float], values: Sequence[float], style: str, *, top: int
) -> str:
    longest, highest = max(*seconds, 1.0), 50 * (max(values) // 50 + 1)
    width, bottom = svg.WIDTH - _LEFT - _RIGHT, top + _HEIGHT
    points = " ".join(
        f"{_LEFT + x / longest * width:.1f},{bottom - y / highest * _HEIGHT:.1f}"
        for x, y in zip(seconds, values, strict=True)
    )
    lines = [svg.text(0, top - 12, title, style="bold")]
    for part in (0.0, 0.5, 1.0):
        y = bottom - part * _HEIGHT
        lines.append(
            f'<path d="M{_LEFT} {y:.1f}h{width}" class="grid"/>'
            + svg.text(_LEFT - 8, y + 4, f"{part * highest:,.0f}", "end", "muted")
        )
        label = f"{part * longest:.0f} s"
        lines.append(svg.text(_LEFT + part * width, bottom + 18, label, "middle", "muted"))
    lines.append(f'<polyline points="{points}" fill="none" class="{style}" stroke-width="2"/>')
    return "\n".join(lines)
