"""The results as a page and a plot."""

from collections.abc import Callable, Mapping
from html import escape

from tests.markdown import table
from tests.quality.contenders import OURS
from tests.quality.measuring import Results, Summary, summarize

BEGIN, END = "<!-- figures: written by make quality -->", "<!-- end of figures -->"

_INK = "#808890"  # readable on light and on dark pages
_OURS, _OTHER = "#0b6bcb", "#80889080"
_WIDTH, _ROW, _LABEL, _BAR = 760, 18, 280, 400


def summary_table(objects: Results, calls: Results) -> str:
    """One row for each chat model."""
    return table(
        (
            *("", "valid objects", "requests per object", "seconds per object"),
            *("correct required calls", "requests per call", "seconds per call"),
        ),
        (
            (name, *_cells(summarize(objects[name])), *_cells(summarize(calls[name])))
            for name in objects
        ),
    )


def _cells(summary: Summary) -> tuple[str, str, str]:
    right = f"{summary.right} of {summary.count}"
    return right, f"{summary.requests:.1f}", f"{summary.seconds:.1f}"


def outcomes_table(results: Results) -> str:
    """One row for each schema or call: the number of requests where the result is right."""
    names = [outcome.name for outcome in next(iter(results.values()))]
    return table(
        ("", *results),
        (
            (
                name,
                *(
                    "-" if outcomes[row].problem else str(outcomes[row].requests)
                    for outcomes in results.values()
                ),
            )
            for row, name in enumerate(names)
        ),
    )


def first_errors(results: Results) -> str:
    """Why each chat model's first wrong result is wrong."""
    lines = []
    for name, outcomes in results.items():
        wrong = next((outcome for outcome in outcomes if outcome.problem), None)
        if wrong is not None:
            problem = " ".join(wrong.problem.split())[:160].replace("`", "'")
            lines.append(f"- {name}, {wrong.name}: `{problem}`")
    return "\n".join(lines)


def plot(objects: Results, calls: Results) -> str:
    """Bars: what share is right, and how many seconds an answer takes."""
    of_objects = {name: summarize(outcomes) for name, outcomes in objects.items()}
    of_calls = {name: summarize(outcomes) for name, outcomes in calls.items()}
    groups: tuple[tuple[str, Mapping[str, Summary], Callable[[Summary], float], str], ...] = (
        ("Valid objects, %", of_objects, _share, ".0f"),
        ("Correct required calls, %", of_calls, _share, ".0f"),
        ("Seconds per object", of_objects, lambda summary: summary.seconds, ".1f"),
    )
    parts: list[str] = []
    top = 10
    for title, summaries, value_of, form in groups:
        parts.append(_text(8, top + 14, title, weight="bold"))
        top += 22
        longest = max([1.0, *(value_of(summary) for summary in summaries.values())])
        for name, summary in summaries.items():
            width = max(1.0, value_of(summary) / longest * _BAR)
            color = _OURS if name.startswith(OURS) else _OTHER
            parts.append(_text(_LABEL - 8, top + 13, name, anchor="end"))
            parts.append(
                f'<rect x="{_LABEL}" y="{top + 2}" width="{width:.1f}" height="{_ROW - 5}" '
                f'fill="{color}"/>'
            )
            parts.append(_text(_LABEL + width + 6, top + 13, f"{value_of(summary):{form}}"))
            top += _ROW
        top += 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" '
        f'width="{_WIDTH}" height="{top}" role="img" font-family="sans-serif" font-size="12">\n'
        "<title>Valid objects, correct required calls and seconds per object</title>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _share(summary: Summary) -> float:
    return 100 * summary.right / summary.count


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{_INK}">{escape(text)}</text>'
    )
