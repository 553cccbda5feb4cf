"""Measures tables on one machine, Ray and Spark, and writes `docs/batch.md` and `docs/batch.svg`.

    python -m tests.scale_tests.benchmark [--quick]

`--quick` takes a minute and only prints. The server answers at once, so the figures are what
clients and engines cost.
"""

import ast
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.rate_limits import TokenRateLimiter
from tests import svg
from tests.benchmarks.server import serving
from tests.markdown import inserted, table
from tests.scale_tests.benchmark_case import JOBS
from tests.scale_tests.conftest import ROOT, Redis, answer

BEGIN, END = "<!-- figures: written by make bench-batch -->", "<!-- end of figures -->"
BASE = "model.abatch"
PEERS = {"model.abatch", "ray.data.llm, HTTP", "openaivec"}
PROCESSES, RPM, TPM, SECONDS = 4, 6_000, 120_000, 190


class Figures(NamedTuple):
    """What one job took."""

    rows: int
    seconds: float
    cpu: float
    memory: float

    @property
    def speed(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


def environment() -> str:
    """What the figures were measured on."""
    names = ("langchain-core", "pyarrow", "ray", "pyspark", "openaivec", "limits")
    installed = ", ".join(f"{name} {_version(name)}" for name in names)
    return (
        f"Measured on {os.cpu_count()} CPUs ({platform.machine()}) with a load of "
        f"{os.getloadavg()[2]:.1f}, Python {platform.python_version()}, {installed}. Times depend "
        "on the machine and on what else runs there; compare rows of one table."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def measure(name: str, endpoint: str, folder: Path, rows: int) -> Figures | str:
    """The figures of a job; why there are none, if it does not run here."""
    source = folder / f"{rows}.parquet"
    for path, count in ((source, rows), (folder / "warm.parquet", 200)):
        if not path.exists():
            prompts = [f"What is ticket {n} about?" for n in range(count)]
            pq.write_table(pa.table({"id": range(count), "prompt": prompts}), path)
    module = "tests.scale_tests.benchmark_case"
    done = subprocess.run(
        [sys.executable, "-m", module, name, endpoint, str(folder), str(rows)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    if done.returncode != 0:
        return done.stderr.strip().splitlines()[-1][:120]
    return Figures(rows, **json.loads(done.stdout.strip().splitlines()[-1]))


def share_of_quota(folder: Path) -> tuple[list[float], float]:
    """What four processes use of each complete minute's quota, and the share of 429s."""
    redis = Redis(folder)
    redis.start()
    limits = {"requests_per_minute": RPM, "tokens_per_minute": TPM}
    try:
        with Emulator(responder=answer, **limits) as phi:
            arguments = (phi.endpoint, phi.key, redis.uri, str(RPM), str(TPM), str(SECONDS))
            module = "tests.scale_tests.limiter_worker"
            workers = [
                subprocess.Popen(
                    [sys.executable, "-m", module, *arguments, mode],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for mode in ("sync", "async") * (PROCESSES // 2)
            ]
            counts: Counter[str] = Counter()
            for worker in workers:
                counts.update(ast.literal_eval(worker.communicate()[0]))
            periods = phi.quota_periods
    finally:
        redis.stop()
    admitted = sum(period.requests for period in periods)
    rejected = sum(period.rejected for period in periods)
    return [period.tokens / TPM for period in periods[:-1]], rejected / max(1, admitted + rejected)


def limiter_microseconds(store: str, calls: int = 3000) -> float:
    """What one reservation and its settlement take, without waiting."""
    limiter = TokenRateLimiter(10**8, 10**11, store=store, key="benchmark")
    messages = [{"role": "user", "content": "What is this ticket about? The delivery is late."}]
    payload = {"model": "Phi-4-mini-instruct", "messages": messages, "max_tokens": 20}
    started = time.perf_counter()
    for _ in range(calls):
        reservation = limiter.estimate(("url", "", "model"), payload).reserve()
        reservation.settle({"prompt_tokens": 12, "completion_tokens": 20}, None)
    return (time.perf_counter() - started) / calls * 1e6


def limiter_costs(folder: Path) -> str:
    """What the limiter costs in memory and in Redis."""
    redis = Redis(folder)
    redis.start()
    try:
        costs = [limiter_microseconds(store) for store in ("memory://", redis.uri)]
    finally:
        redis.stop()
    return (
        f"`TokenRateLimiter` takes {costs[0]:,.0f} µs for each attempt in memory, and "
        f"{costs[1]:,.0f} µs in a Redis on this machine."
    )


def jobs_table(figures: dict[str, Figures | str]) -> str:
    """Speed and CPU of each job, next to LangChain's own way."""
    base = figures[BASE]
    if isinstance(base, str):
        raise RuntimeError(base)
    return table(
        ("", "rows/s", "times the base", "CPU per row", "times the base"),
        (
            (name, f"does not run here: {found}", "-", "-", "-")
            if isinstance(found, str)
            else (
                name,
                f"{found.speed:,.0f}",
                f"{found.speed / base.speed:.2f}",
                f"{found.cpu / found.rows * 1e6:,.0f} µs",
                f"{found.cpu / base.cpu:.2f}",
            )
            for name, found in figures.items()
        ),
    )


def growth_table(growth: list[Figures]) -> str:
    """Time and memory of the command for tables of different lengths."""
    return table(
        ("rows", "seconds", "rows/s", "CPU per row", "peak memory"),
        (
            (
                f"{f.rows:,}",
                f"{f.seconds:,.1f}",
                f"{f.speed:,.0f}",
                f"{f.cpu / f.rows * 1e6:,.0f} µs",
                f"{f.memory:,.0f} MB",
            )
            for f in growth
        ),
    )


def plot(figures: dict[str, Figures | str]) -> str:
    """Bars of rows per second; longer is faster."""
    bars = [
        svg.Bar(name, f.speed, f"{f.speed:,.0f}", "peer" if name in PEERS else "ours")
        for name, f in figures.items()
        if not isinstance(f, str)
    ]
    return svg.bar_chart("Rows per second; longer is faster", {"": bars})


def main() -> None:
    """Measure, print, and write the page unless `--quick` is given."""
    is_quick = "--quick" in sys.argv[1:]
    rows, lengths = (1000, (1000, 4000)) if is_quick else (10_000, (1000, 10_000, 100_000))
    with tempfile.TemporaryDirectory() as temporary, serving() as endpoint:
        folder = Path(temporary)
        figures = {name: measure(name, endpoint, folder, rows) for name in JOBS}
        growth = [measure("the command batch", endpoint, folder, count) for count in lengths]
        limiter = limiter_costs(folder)
        shares, rejected = ([], 0.0) if is_quick else share_of_quota(folder)
    measured = [found for found in growth if isinstance(found, Figures)]
    parts = [
        environment(),
        f"A table of {rows:,} rows; the base is `{BASE}`:",
        jobs_table(figures),
        "The command `batch` with tables of different lengths:",
        growth_table(measured),
        limiter,
    ]
    if shares:
        used = ", ".join(f"{share:.1%}" for share in shares)
        parts.append(
            f"{PROCESSES} processes with one limiter in Redis used {used} of the quota of {TPM:,} "
            f"tokens in each complete minute; {rejected:.2%} of their requests got a 429."
        )
    text = "\n\n".join(parts)
    print(text)
    if not is_quick:
        page = ROOT / "docs" / "batch.md"
        written = inserted(page.read_text(encoding="utf-8"), text, BEGIN, END)
        page.write_text(written, encoding="utf-8")
        page.with_suffix(".svg").write_text(plot(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
