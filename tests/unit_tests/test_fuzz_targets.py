"""The fuzz targets hold for the inputs that the fuzzer begins with, so that it finds only news."""

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, check


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_holds_for_its_seeds(target: str) -> None:
    """Real streams, bodies and answers, and an empty input."""
    found = seeds(target)
    contents = [b"", *found[0::2], *found[1::16]]  # all, and some of them repeated

    for content in contents:
        check(target, content)

    assert len(contents) > 5
