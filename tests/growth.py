"""Whether work grows linearly with its size, measured in processor time."""

import gc
import time
from collections.abc import Callable

_ATTEMPTS = 8


def grows_linearly(work: Callable[[int], object], size: int) -> bool:
    """Whether `work(size)` takes about 4 times, not 16 times, as long as `work(size // 4)`.

    Other programs on the machine slow down single attempts, but they cannot make quadratic work
    look linear: one good attempt of several is proof.
    """
    gc.disable()
    try:
        return any(_seconds(work, size) < 8 * _seconds(work, size // 4) for _ in range(_ATTEMPTS))
    finally:
        gc.enable()


def _seconds(work: Callable[[int], object], size: int) -> float:
    """The processor time of this process."""
    start = time.process_time()
    work(size)
    return time.process_time() - start
