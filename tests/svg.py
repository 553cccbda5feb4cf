"""What the plots of the documentation share: colors for light and dark pages, and text.

Browsers apply `prefers-color-scheme` in images according to the page that shows them. The plots are
narrow, so that their text is readable on a phone.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 440

# Of bar charts, in pixels: the height of a line, and where bars begin and end. Names that are
# longer than the columns to the left of the bars have a line of their own.
_ROW, _LEFT, _RIGHT = 20, 172, 46
_LONGEST_NAME = 24  # characters


class Bar(NamedTuple):
    """One bar: its name, its length, the text behind it, and "ours", "base" or "peer"."""

    name: str
    value: float
    label: str
    style: str


_STYLE = """<style>
  text { fill: #1f2328 } .muted { fill: #59636e } .bold { font-weight: 600 }
  .grid { stroke: #d1d9e0 } .ours { fill: #3f51b5 } .base { fill: #a0a8b2 } .peer { fill: #c5ccd3 }
  .line1 { stroke: #3f51b5 } .line2 { stroke: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e9ed } .muted { fill: #a3adb8 }
    .grid { stroke: #444c56 } .ours { fill: #8c9eff }
    .base { fill: #7d8590 } .peer { fill: #545d68 }
    .line1 { stroke: #8c9eff } .line2 { stroke: #f0883e }
  }
</style>"""


def document(title: str, height: float, parts: Sequence[str]) -> str:
    """A complete image; the title is its description for screen readers."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">\n'
        f"<title>{escape(title)}</title>\n{_STYLE}\n" + "\n".join(parts) + "\n</svg>\n"
    )


def text(x: float, y: float, content: str, anchor: str = "start", style: str = "") -> str:
    """One line of text; `style` is a class of the style sheet."""
    named = f' class="{style}"' if style else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{named}>{escape(content)}</text>'


def bar_chart(title: str, groups: Mapping[str, Sequence[Bar]]) -> str:
    """Horizontal bars below the heading of their group; the longest of each group fills the width.

    A group with the heading "" has none.
    """
    names = [bar.name for bars in groups.values() for bar in bars]
    left = 0 if max(map(len, names)) > _LONGEST_NAME else _LEFT
    parts: list[str] = []
    top = 0
    for heading, bars in groups.items():
        if heading != "":
            parts.append(text(0, top + 16, heading, style="bold"))
            top += 24
        longest = max(bar.value for bar in bars)
        for bar in bars:
            width = max(1.0, bar.value / max(longest, 1e-9) * (WIDTH - left - _RIGHT))
            parts += _bar(bar, left, top, width)
            top += _ROW if left > 0 else 2 * _ROW
        top += 10
    return document(title, top, parts)


def _bar(bar: Bar, left: int, top: int, width: float) -> Iterator[str]:
    style = "bold" if bar.style == "ours" else ""
    if left > 0:
        yield text(left - 8, top + 14, bar.name, "end", style)
    else:
        yield text(0, top + 14, bar.name, style=style)
        top += _ROW
    yield (
        f'<rect x="{left}" y="{top + 3}" width="{width:.1f}" height="{_ROW - 6}" rx="2" '
        f'class="{bar.style}"/>'
    )
    yield text(left + width + 6, top + 14, bar.label, style="muted")
