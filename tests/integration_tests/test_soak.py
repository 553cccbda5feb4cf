"""A short soak through its command line, so that the long one works when it is needed."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- soak: written by make soak -->", "<!-- end -->"


def run_soak(options: str, *more: str) -> subprocess.CompletedProcess[str]:
    """A run in a separate process."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "tests.soak", *options.split(), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_failing_soak_names_the_problem() -> None:
    """Here, a timeout too short for the server."""
    done = run_soak("--requests 20 --concurrency 4 --instances 10 --timeout 0.0001 --limit 60")

    assert 1 == done.returncode
    assert "ended in RequestTimeoutError after no fault\n" in done.stderr


def test_short_soak_passes_and_writes_its_page(tmp_path: Path) -> None:
    """Every call ends in its own answer or in the right error."""
    page = tmp_path / "reliability.md"
    page.write_text(f"Before.\n\n{BEGIN}\nOld.\n{END}\n\nAfter.\n")
    options = "--requests 200 --concurrency 64 --instances 200 --timeout 2 --limit 110"

    done = run_soak(options, "--page", str(page))

    assert (0, "") == (done.returncode, done.stderr)
    written = page.read_text()
    assert written.startswith(f"Before.\n\n{BEGIN}\n\n200 ")
    assert written.endswith(f"![Resources in use over time](soak.svg)\n\n{END}\n\nAfter.\n")
    assert "Old." not in written
    plot = ElementTree.fromstring((tmp_path / "soak.svg").read_text())  # noqa: S314 -- our own
    assert 2 == len(plot.findall("{*}polyline"))
