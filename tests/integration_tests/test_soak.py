"""A short soak, through its own entry, so that the long one works when it is wanted."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
PAGE = "Before.\n\n<!-- soak: written by make soak -->\nOld.\n<!-- end -->\n\nAfter.\n"


def soaked(options: str, *more: str) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "tests.soak", *options.split(), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_short_soak_finds_nothing_wrong_and_writes_its_figures(tmp_path: Path) -> None:
    """Every question ends in its own answer, or in the right error."""
    page = tmp_path / "reliability.md"
    page.write_text(PAGE)
    options = "--requests 200 --concurrency 64 --instances 200 --timeout 2 --limit 110"

    done = soaked(options, "--page", str(page))

    assert (0, "") == (done.returncode, done.stderr)
    written = page.read_text()
    assert written.startswith(
        "Before.\n\n<!-- soak: written by make soak -->\n\n200 calls, 64 at a time"
    )
    assert written.endswith("![What the run holds over time](soak.svg)\n\n<!-- end -->\n\nAfter.\n")
    assert "Old." not in written
    drawn = ElementTree.fromstring((tmp_path / "soak.svg").read_text())  # noqa: S314 -- our own
    assert 2 == len(drawn.findall("{*}polyline"))


def test_a_soak_that_finds_something_says_what_and_fails() -> None:
    """Here, a client that waits too short for the server."""
    done = soaked("--requests 20 --concurrency 4 --instances 10 --timeout 0.0001 --limit 60")

    assert 1 == done.returncode
    assert "ended in RequestTimeoutError after nothing\n" in done.stderr
