"""The results of a run as Markdown."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime

from tests.markdown import table
from tests.soak.evaluation import Endings, Level
from tests.soak.faults import FAULTS, NO_FAULT

BEGIN, END = "<!-- soak: written by make soak -->", "<!-- end -->"

_MIB = 2**20
_NAMES = {
    "connections": "open server connections",
    "files": "open files and sockets",
    "threads": "threads",
    "memory": "memory, MiB (median)",
    "objects": "Python objects (at the end)",
}


def summary(
    endings: Endings, *, concurrency: int, thread_calls: int, instances: int, seconds: float
) -> str:
    """What the run did, when, and on which machine."""
    calls = endings.ends.total()
    complete = endings.ends[NO_FAULT.name]
    return (
        f"{calls:,} calls, {concurrency} at a time, half of them streamed, "
        f"{thread_calls:,} from threads and {calls - thread_calls:,} from one event loop, "
        f"sent {endings.requests.total():,} requests in {seconds:,.0f} seconds. {complete:,} calls "
        f"returned their own response, {calls - complete:,} raised the error for their fault, "
        f"and {len(endings.wrong):,} did anything else. Before the load, the run created, used and "
        f"discarded {instances:,} models, every tenth also in a separate event loop. Measured on "
        f"{datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores, {platform.system()}, Python "
        f"{platform.python_version()}."
    )


def faults_table(endings: Endings) -> str:
    """The number of requests for each fault, and of calls that ended with it."""
    return table(
        ("fault", "requests", "calls that ended with it", "result"),
        (
            (
                "none" if fault is NO_FAULT else fault.name,
                f"{endings.requests[fault.name]:,}",
                f"{endings.ends[fault.name]:,}",
                "the response" if fault.error is None else f"`{fault.error.__name__}`",
            )
            for fault in (NO_FAULT, *FAULTS)
        ),
    )


def levels_table(load: Sequence[Level], instances: Sequence[Level]) -> str:
    """The peak of each resource in each half of the two parts, and what was left open."""
    of_load, of_instances = ({level.name: level for level in part} for part in (load, instances))
    return table(
        (
            "peak",
            *("load, first half", "second half", "left open"),
            *("instances, first half", "second half", "left open"),
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
