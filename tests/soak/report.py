"""The figures of a run as Markdown."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.markdown import table
from tests.soak.evaluation import Endings, Level
from tests.soak.faults import FAULTS
from tests.soak.faults import NO_FAULT as PEACE

BEGIN, END = "<!-- soak: written by make soak -->", "<!-- end -->"

_MIB = 2**20
_NAMES = {
    "connections": "connections open at the server",
    "files": "files and sockets open",
    "threads": "threads",
    "memory": "memory, MiB (median)",
    "objects": "Python objects (end of half)",
}


def summary(
    endings: Endings, *, concurrency: int, threads_asked: int, instances: int, seconds: float
) -> str:
    """What was done, on what, and when."""
    questions = endings.ends.total()
    answered = endings.ends[PEACE.name]
    return (
        f"{questions:,} questions at {concurrency} at once, half of them streamed, "
        f"{threads_asked:,} from threads and {questions - threads_asked:,} from one event loop, in "
        f"{endings.requests.total():,} requests and {seconds:,.0f} seconds: {answered:,} ended in "
        f"their own answer, {questions - answered:,} in the error of the fault that they met, "
        f"{len(endings.wrong):,} in anything else. Before, {instances:,} models were made, used "
        f"and forgotten, every tenth also in an event loop of its own. Measured on "
        f"{datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores, {platform.system()}, Python "
        f"{platform.python_version()}."
    )


def fates_table(endings: Endings) -> str:
    """What requests met, and how many questions ended there."""
    return table(
        ("what a request met", "requests", "questions that ended there", "with"),
        (
            (
                fate.name,
                f"{endings.requests[fate.name]:,}",
                f"{endings.ends[fate.name]:,}",
                "the answer" if fate.error is None else f"`{fate.error.__name__}`",
            )
            for fate in (PEACE, *FAULTS)
        ),
    )


def levels_table(load: Sequence[Level], instances: Sequence[Level]) -> str:
    """What was held in each half of the two parts, and what was left of it."""
    of_load, of_instances = ({level.name: level for level in part} for part in (load, instances))
    return table(
        (
            "peak of a half",
            *("load, first half", "second half", "left"),
            *("instances, first half", "second half", "left"),
        ),
        (
            (title, *_cells(of_load.get(name)), *_cells(of_instances.get(name)))
            for name, title in _NAMES.items()
        ),
    )


def _cells(level: Level | None) -> tuple[str, str, str]:
    if level is None:
        return "-", "-", "-"
    if level.name == "memory":
        return f"{level.first / _MIB:,.1f}", f"{level.second / _MIB:,.1f}", "-"
    first, second = ("-" if n is None else f"{n:,}" for n in (level.first, level.second))
    return first, second, f"{level.left:,}"
