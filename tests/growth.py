"""Whether work grows in step with its size, told without a clock on the wall."""

import gc
import time
from collections.abc import Callable

_TRIES = 8


def grows_linearly(work: Callable[[int], object], size: int) -> bool:
    """Whether `work(size)` takes about four times as long as a quarter of it, not sixteen times.

    Other programs on the machine make one try or the other slower, but they cannot make quadratic
    work look linear: one good try of several is a proof.
    """
    gc.disable()
    try:
        return any(_seconds(work, size) < 8 * _seconds(work, size // 4) for _ in range(_TRIES))
    finally:
        gc.enable()


def _seconds(work: Callable[[int], object], size: int) -> float:
    """Of the processor, for this process."""
    start = time.process_time()
    work(size)
    return time.process_time() - start
