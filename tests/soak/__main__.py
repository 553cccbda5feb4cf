"""Run the load, watch it, evaluate it, and report: `python -m tests.soak --help`.

The exit status is 1 if anything is wrong.
"""

import argparse
import faulthandler
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from langchain_azure_phi3 import ChatAzurePhi3
from tests.markdown import inserted
from tests.soak import report
from tests.soak.diagnostics import captured_diagnostics
from tests.soak.emulator_process import EmulatorProcess, emulator_process
from tests.soak.evaluation import (
    Endings,
    Level,
    Sample,
    compute_levels,
    evaluate_calls,
    find_leaks,
    find_wrong_rates,
)
from tests.soak.instances import InstanceRun
from tests.soak.load import LoadRun
from tests.soak.monitor import Monitor, count_objects
from tests.soak.plot import draw

_RETRIES = 2
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class _LoadResult:
    endings: Endings
    levels: list[Level]
    samples: list[Sample]
    thread_calls: int
    seconds: float


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="number of calls (20,000)")
    parser.add_argument("--concurrency", type=int, default=256, help="calls at a time (256)")
    parser.add_argument("--instances", type=int, default=10_000, help="number of models (10,000)")
    parser.add_argument("--seed", type=int, default=1, help="selects questions and faults (1)")
    parser.add_argument(
        "--timeout", type=float, default=10.0, help="seconds until a read times out (10)"
    )
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds in total (1200)")
    parser.add_argument("--page", type=Path, help="page for the results, if nothing is wrong")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both parts, one after the other."""
    options = _parse(arguments)
    # A run that hangs shows where.
    faulthandler.dump_traceback_later(options.limit, exit=True)
    with captured_diagnostics() as diagnostics, emulator_process(options.seed) as server:
        instances = InstanceRun(server, count=options.instances, seed=options.seed)
        monitor = Monitor(server, "instances", options.instances)
        monitor.watch(instances)
        server.start_faults()
        load = _run_load(server, options)
    faulthandler.cancel_dump_traceback_later()
    levels = [*compute_levels(monitor.before, monitor.samples, monitor.after), instances.objects]
    wrong = [
        *load.endings.wrong,
        *find_wrong_rates(load.endings.requests),
        *(f"under load, {line}" for line in find_leaks(load.levels)),
        *instances.wrong,
        *(f"with instances, {line}" for line in find_leaks(levels)),
        *diagnostics,
    ]
    text = "\n\n".join(
        (
            _summary(load, options),
            report.faults_table(load.endings),
            report.levels_table(load.levels, levels),
        )
    )
    print(f"\n{text}\n")
    if options.page is not None and len(wrong) == 0:
        _write(options.page, text, load.samples)
    return _print_problems(wrong)


def _run_load(server: EmulatorProcess, options: argparse.Namespace) -> _LoadResult:
    model = ChatAzurePhi3(
        endpoint=server.endpoint,
        credential=server.key,
        timeout=(30.0, options.timeout),
        max_retries=_RETRIES,
    )
    load = LoadRun(
        model, count=options.requests, concurrency=options.concurrency, seed=options.seed
    )
    monitor = Monitor(server, "load", options.requests)
    start, objects = time.monotonic(), count_objects()
    monitor.watch(load)
    seconds = time.monotonic() - start
    endings = evaluate_calls(load.outcomes, load.faults, _RETRIES + 1)
    load.outcomes.clear()
    left = Level("objects", None, None, count_objects() - objects)
    levels = [*compute_levels(monitor.before, monitor.samples, monitor.after), left]
    return _LoadResult(endings, levels, monitor.samples, load.thread_calls, seconds)


def _summary(load: _LoadResult, options: argparse.Namespace) -> str:
    return report.summary(
        load.endings,
        concurrency=options.concurrency,
        thread_calls=load.thread_calls,
        instances=options.instances,
        seconds=load.seconds,
    )


def _write(page: Path, text: str, samples: Sequence[Sample]) -> None:
    image = page.with_name("soak.svg")
    image.write_text(draw(samples), encoding="utf-8")
    text += f"\n\n![Resources in use over time]({image.name})"
    page.write_text(
        inserted(page.read_text("utf-8"), text, report.BEGIN, report.END), encoding="utf-8"
    )


def _print_problems(wrong: Sequence[str]) -> int:
    for line in wrong[:_SHOWN]:
        print(line, file=sys.stderr)
    if len(wrong) > _SHOWN:
        print(f"... and {len(wrong) - _SHOWN:,} more", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
