"""Measure all, write `docs/benchmarks.md` and its plot, compare the ratios with the last ones."""

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import apart, growth, ratios, report
from tests.benchmarks.calls import CHUNKS, CONCURRENCY, Figures, figures
from tests.benchmarks.contenders import CORE, HTTPX, OURS, PEERS
from tests.benchmarks.ratios import Ratio
from tests.benchmarks.server import serving
from tests.benchmarks.timing import ROUNDS, Spent
from tests.markdown import inserted, table

DOCS = Path(__file__).parents[2] / "docs"
_PACKAGES = (OURS, "langchain-core", "httpx", "aiohttp", *PEERS, "openai", "azure-ai-inference")


def main() -> int:
    """1 where a ratio is worse than the last accepted one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--accept", action="store_true", help="make these the baseline")
    given = parser.parse_args()
    began = _load()
    with serving() as url:
        calls = figures(url, given.rounds)
        memory = apart.memory(url, 3)
        events = growth.events(url, CHUNKS, given.rounds)
    imports, made = apart.imports(given.rounds), apart.constructions(3)
    found = [*ratios.of_calls(calls), *_apart(imports, made, memory)]
    text = "\n\n".join(
        (
            "![Time relative to langchain-azure-phi3](benchmarks.svg)",
            "Time relative to langchain-azure-phi3 (1.00): per call, or per chunk of a stream. "
            "Shorter bars are faster.",
            _machine(began, given.rounds),
            "### Goals",
            report.ratios_table(found),
            "### Calls and streams",
            f"Microseconds per call or per chunk ({CHUNKS:,} chunks), with the CPU time of the "
            "client process in parentheses.",
            *_tables(calls),
            _apart_table(imports, made, memory),
            "### Growth",
            _growth(events),
        )
    )
    page = DOCS / "benchmarks.md"
    page.write_text(inserted(page.read_text(), text, report.BEGIN, report.END))
    (DOCS / "benchmarks.svg").write_text(
        report.plot(
            {name: calls[name] for name in ("invoke", "stream", "astream", "ainvoke at 64")}
        )
    )
    return _judged(found, accept=given.accept)


def _judged(found: list[Ratio], *, accept: bool) -> int:
    print(report.ratios_table(found))
    if accept:
        ratios.accept(found)
    worse = ratios.worse(found)
    for line in worse:
        print(f"Worse than before: {line}", file=sys.stderr)
    return 1 if worse else 0


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _machine(began: float, rounds: int) -> str:
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
        f"rounds; the load of the machine was {began:.1f} before and {_load():.1f} after."
        f"\n\n{versions}."
    )


def _tables(calls: Figures) -> list[str]:
    streams = {name: spent for name, spent in calls.items() if "stream" in name}
    concurrent = {name: spent for name, spent in calls.items() if name.startswith("ainvoke")}
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


def _apart(
    imports: dict[str, float], made: dict[str, float], memory: dict[str, float]
) -> list[Ratio]:
    above = (memory[OURS] - memory[f"{CORE} and {HTTPX}"]) / 2**20
    micros = made[OURS] * 1e6
    return [
        *(
            Ratio(f"{name}: to langchain_core's chat models", ratio, ratio, 1.1)
            for name, ratio in (
                (apart.PACKAGE, imports[apart.PACKAGE] / imports[CORE]),
                ("import of the class", imports[OURS] / imports[CORE]),
            )
        ),
        Ratio("construction, microseconds", micros, micros, 60.0),
        Ratio("memory above core and httpx, MiB", above, max(above, 0.1), 12.0),
    ]


def _apart_table(
    imports: dict[str, float], made: dict[str, float], memory: dict[str, float]
) -> str:
    names = dict.fromkeys((*imports, *memory))
    return table(
        ("", "import, ms", "construction, µs", "memory after one call, MiB"),
        (
            (
                name,
                f"{imports[name] * 1e3:,.0f}" if name in imports else "-",
                f"{made[name] * 1e6:,.0f}" if name in made else "-",
                f"{memory[name] / 2**20:.1f}" if name in memory else "-",
            )
            for name in names
        ),
    )


def _growth(events: dict[str, dict[str, Spent]]) -> str:
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


def _sizes(title: str, found: dict[str, dict[int, Spent]]) -> str:
    sizes = next(iter(found.values()))
    return table(
        (title, *(f"{size:,}" for size in sizes)),
        ((name, *(f"{s.cpu * 1e6:.1f}" for s in spent.values())) for name, spent in found.items()),
    )


if __name__ == "__main__":
    sys.exit(main())
