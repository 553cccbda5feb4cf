"""The results as a page and a plot."""

from collections.abc import Callable, Mapping

from tests import svg
from tests.markdown import table
from tests.quality.contenders import OURS
from tests.quality.measuring import Results, Summary, summarize

BEGIN, END = "<!-- figures: written by make quality -->", "<!-- end of figures -->"


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
    return plot_summaries(of_objects, of_calls)


def plot_summaries(objects: Mapping[str, Summary], calls: Mapping[str, Summary]) -> str:
    """The bars of summaries."""
    groups = {
        "Valid objects, %": _bars(objects, _share, ".0f"),
        "Correct required calls, %": _bars(calls, _share, ".0f"),
        "Seconds per object": _bars(objects, lambda summary: summary.seconds, ".1f"),
    }
    return svg.bar_chart("Valid objects, correct required calls and seconds per object", groups)


def _bars(
    summaries: Mapping[str, Summary], value_of: Callable[[Summary], float], form: str
) -> list[svg.Bar]:
    return [
        svg.Bar(
            name,
            value_of(summary),
            f"{value_of(summary):{form}}",
            "ours" if name.startswith(OURS) else "peer",
        )
        for name, summary in summaries.items()
    ]


def _share(summary: Summary) -> float:
    return 100 * summary.right / summary.count
