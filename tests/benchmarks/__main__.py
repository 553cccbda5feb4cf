"""Measure, write `docs/benchmarks.md` and its plot, and compare the ratios with the baseline.

`--quick` measures the main ratios in about three minutes and only prints them.
"""

import argparse
import logging
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import fresh_process, growth, ratios, report
from tests.benchmarks.calls import CHUNKS, CONCURRENCY, Figures, figures
from tests.benchmarks.contenders import CORE, HTTPX, OURS, PEERS
from tests.benchmarks.ratios import Ratio
from tests.benchmarks.server import serving
from tests.benchmarks.timing import ROUNDS, Timing
from tests.markdown import inserted, table

DOCS = Path(__file__).parents[2] / "docs"
_PACKAGES = (OURS, "langchain-core", "httpx", "aiohttp", *PEERS, "openai", "azure-ai-inference")
_QUICK_ROUNDS = 5


def main() -> int:
    """Return 1 if a ratio is worse than its baseline."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help=f"number of rounds ({ROUNDS})")
    parser.add_argument("--accept", action="store_true", help="write the ratios as the baseline")
    parser.add_argument("--quick", action="store_true", help="print the main ratios only")
    options = parser.parse_args()
    # Peers leave sessions open when their event loop closes, which aiohttp logs at length.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    if options.quick:
        return _measure_quickly(options.rounds or _QUICK_ROUNDS)
    return _measure_all(options.rounds or ROUNDS, accept=options.accept)


def _measure_quickly(rounds: int) -> int:
    load = _load()
    with serving() as url:
        calls = figures(url, rounds, quick=True)
    imports = fresh_process.imports(rounds, (CORE, OURS))
    constructions = fresh_process.constructions(1, (OURS,))
    print(report.ratios_table([*ratios.of_calls(calls), *_fresh_ratios(imports, constructions)]))
    print(f"\n{rounds} rounds; load of the machine {load:.1f} before, {_load():.1f} after.")
    return 0


def _measure_all(rounds: int, *, accept: bool) -> int:
    load = _load()
    with serving() as url:
        calls = figures(url, rounds)
        memory = fresh_process.memory(url, 3)
        events = growth.events(url, CHUNKS, rounds)
    constraints = growth.constraints(rounds)
    imports, constructions = fresh_process.imports(rounds), fresh_process.constructions(3)
    found = [
        *ratios.of_calls(calls),
        *_fresh_ratios(imports, constructions),
        _memory_ratio(memory),
        *_constraint_ratios(constraints),
    ]
    text = "\n\n".join(
        (
            _machine(load, rounds),
            "### Goals",
            report.ratios_table(found),
            "### Calls and streams",
            f"Microseconds per call or per chunk ({CHUNKS:,} chunks), with the CPU time of the "
            "client process in parentheses.",
            *_tables(calls),
            _fresh_table(imports, constructions, memory),
            _constraints_table(constraints),
            "### Growth",
            _growth(events),
        )
    )
    page = DOCS / "benchmarks.md"
    page.write_text(inserted(page.read_text(), text, report.BEGIN, report.END))
    _write_plots(calls)
    return _compare(found, accept=accept)


def _write_plots(calls: Figures) -> None:
    """Write the plot of the page, and the smaller one of the README."""
    shown = {
        "invoke, per call": calls["invoke"],
        "stream, per chunk": calls["stream"],
        "astream, per chunk": calls["astream"],
        "ainvoke, 64 at once, per call": calls["ainvoke at 64"],
    }
    (DOCS / "benchmarks.svg").write_text(report.plot(shown))
    del shown["astream, per chunk"]
    (DOCS / "performance.svg").write_text(report.plot(shown, (OURS, *PEERS)))


def _compare(found: list[Ratio], *, accept: bool) -> int:
    print(report.ratios_table(found))
    if accept:
        ratios.accept(found)
    worse = ratios.worse(found)
    for line in worse:
        print(f"Worse than the baseline: {line}", file=sys.stderr)
    return 1 if worse else 0


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _machine(load: float, rounds: int) -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores ({model}), "
        f"{platform.system()}, Python {platform.python_version()}; medians of {rounds} interleaved "
        f"rounds; the load of the machine was {load:.1f} before and {_load():.1f} after."
        f"\n\n{versions}."
    )


def _tables(calls: Figures) -> list[str]:
    streams = {name: found for name, found in calls.items() if "stream" in name}
    concurrent = {name: calls[name] for name in calls if name.startswith("ainvoke at ")}
    single = {name: calls[name] for name in ("invoke", "batch of 16")}
    per_second = table(
        ("requests per second", *(str(tasks) for tasks in CONCURRENCY)),
        (
            (
                name,
                *(f"{1 / calls[f'ainvoke at {tasks}'][name].wall:,.0f}" for tasks in CONCURRENCY),
            )
            for name in report.ORDER
        ),
    )
    return [report.figures_table(part) for part in (single, streams, concurrent)] + [per_second]


def _fresh_ratios(imports: dict[str, float], constructions: dict[str, float]) -> list[Ratio]:
    micros = constructions[OURS] * 1e6
    return [
        *(
            Ratio(f"{name}: CPU time relative to LangChain's chat models", ratio, ratio, 1.1)
            for name, ratio in (
                (fresh_process.PACKAGE, imports.get(fresh_process.PACKAGE, 0.0) / imports[CORE]),
                ("import of the class", imports[OURS] / imports[CORE]),
            )
            if ratio > 0
        ),
        Ratio("construction, microseconds", micros, micros, 60.0),
    ]


def _memory_ratio(memory: dict[str, float]) -> Ratio:
    above = (memory[OURS] - memory[f"{CORE} and {HTTPX}"]) / 2**20
    return Ratio("memory above core and httpx, MiB", above, max(above, 0.1), 12.0)


def _constraint_ratios(constraints: dict[str, dict[str, Timing]]) -> list[Ratio]:
    return [
        Ratio(
            f'constrained_decoding="auto" relative to "off", {name}',
            timings["auto"].wall / timings["off"].wall,
            timings["auto"].cpu / timings["off"].cpu,
            1.05,
        )
        for name, timings in constraints.items()
    ]


def _constraints_table(constraints: dict[str, dict[str, Timing]]) -> str:
    return table(
        ("calls that constrain nothing, µs, without HTTP", '"auto"', '"off"'),
        (
            (name, *(f"{timing.cpu * 1e6:,.0f}" for timing in timings.values()))
            for name, timings in constraints.items()
        ),
    )


def _fresh_table(
    imports: dict[str, float], constructions: dict[str, float], memory: dict[str, float]
) -> str:
    names = dict.fromkeys((*imports, *memory))
    return table(
        ("", "import, ms", "construction, µs", "memory after one call, MiB"),
        (
            (
                name,
                f"{imports[name] * 1e3:,.0f}" if name in imports else "-",
                f"{constructions[name] * 1e6:,.0f}" if name in constructions else "-",
                f"{memory[name] / 2**20:.1f}" if name in memory else "-",
            )
            for name in names
        ),
    )


def _growth(events: dict[str, dict[str, Timing]]) -> str:
    payloads, streams, held = growth.payloads(3), growth.streams(3), growth.stream_memory()
    return "\n\n".join(
        (
            _sizes("call: microseconds per message of the conversation", payloads),
            _sizes("stream: microseconds per chunk", streams),
            table(
                ("memory of a stream, KiB", *(f"{count:,}" for count in held)),
                [
                    (
                        "peak, if chunks are not kept",
                        *(f"{size / 1024:,.0f}" for size in held.values()),
                    )
                ],
            ),
            report.figures_table(events),
        )
    )


def _sizes(title: str, found: dict[str, dict[int, Timing]]) -> str:
    sizes = next(iter(found.values()))
    return table(
        (title, *(f"{size:,}" for size in sizes)),
        (
            (name, *(f"{t.cpu * 1e6:.1f}" for t in timings.values()))
            for name, timings in found.items()
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
