"""The fuzz targets hold for the inputs that the fuzzer begins with, so that it finds only news."""

import time

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, check


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_holds_for_its_seeds(target: str) -> None:
    """Real streams, bodies and answers, and an empty input."""
    contents = [b"", *seeds(target)]

    for content in contents:
        check(target, content)

    assert len(contents) > 5


def test_slow_inputs_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """By CPU time of the thread, so that a busy machine causes no alarm."""

    def compute(_: bytes) -> None:
        until = time.thread_time() + 0.3
        while time.thread_time() < until:
            pass

    monkeypatch.setitem(TARGETS, "events", lambda _: time.sleep(0.3))
    check("events", b"\0")
    monkeypatch.setitem(TARGETS, "events", compute)
    with pytest.raises(AssertionError, match=r"0 bytes took 0\.3. s of CPU time"):
        check("events", b"\0")
