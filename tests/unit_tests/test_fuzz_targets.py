"""The fuzz targets hold for the inputs that the fuzzer begins with, so that it finds only news."""

import pytest

from tests.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_holds_for_its_seeds(target: str) -> None:
    """Real streams, bodies and answers, and an empty input."""
    contents = [b"", *seeds(target)]

    for content in contents:
        TARGETS[target](content)

    assert len(contents) > 10
