"""Provides one event loop for all batches of a process, so that they share connections."""

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any, TypeVar

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine, also in a thread with a running event loop, and return its result.

    Ctrl-C cancels the coroutine.
    """
    future = asyncio.run_coroutine_threadsafe(work, _loop_of(os.getpid()))
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


@lru_cache(maxsize=1)
def _loop_of(_pid: int) -> asyncio.AbstractEventLoop:
    """Return a running loop; each forked process has its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run_forever, args=(loop,), name="phi-batch", daemon=True)
    thread.start()
    atexit.register(_stop, loop, thread)
    return loop


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())  # closes the connections
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if thread.is_alive():  # not in a forked process
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
