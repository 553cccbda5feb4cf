"""What the plots of the documentation share: colors for light and dark pages, and text.

Browsers apply `prefers-color-scheme` in images according to the page that shows them. The plots are
narrow, so that their text is readable on a phone.
"""

from collections.abc import Sequence
from html import escape

WIDTH = 440

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
