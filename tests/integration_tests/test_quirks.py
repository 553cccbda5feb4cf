"""The page of quirks: evidence for each, and a test that exists."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(test_\w+\.py)`: ([a-z0-9 ]+?)(?:;| \|)")


def test_every_test_that_the_page_of_quirks_names_exists() -> None:
    """A quirk without its test would be a story."""
    written: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "tests").rglob("test_*.py"):
        written[path.name] |= set(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")))
    page = (ROOT / "docs" / "quirks.md").read_text(encoding="utf-8")
    named = [(file, f"test_{name.replace(' ', '_')}") for file, name in NAMED.findall(page)]

    assert [f"{file}::{test}" for file, test in named if test not in written[file]] == []
    assert len(named) > 30


def test_every_quirk_has_evidence_and_a_test() -> None:
    """Four cells a row, none of them empty, the last one a test."""
    lines = (ROOT / "docs" / "quirks.md").read_text(encoding="utf-8").splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("| ")]
    quirks = [row for row in rows if row[0].strip() != "quirk"]

    assert [row for row in quirks if len(row) != 4 or not all(cell.strip() for cell in row)] == []
    assert [row[0] for row in quirks if NAMED.search(f"{row[3]}|") is None] == []
