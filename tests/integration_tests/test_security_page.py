"""The threat model: each promise names tests that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "SECURITY.md"
NAMED = re.compile(r"`(\w+(?:/\w+)*\.py)::(test_\w+)`")


def promises() -> Iterator[tuple[str, str]]:
    """The cells of each row of the tables."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| promise"):
            promise, tests = line.strip("| ").split(" | ")
            yield promise, tests


def test_every_test_that_the_threat_model_names_exists() -> None:
    """A promise without its test would be a hope."""
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"def {test}(" not in (TESTS / file).read_text(encoding="utf-8")
    ]

    assert [] == missing
    assert len(named) > 30


def test_every_promise_names_a_test() -> None:
    """And is a sentence."""
    found = list(promises())

    assert [] == [promise for promise, tests in found if NAMED.search(tests) is None]
    assert [] == [promise for promise, _ in found if not promise.endswith(".")]
    assert len(found) > 20
