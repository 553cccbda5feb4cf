"""A lock that threads and event loops wait for in one queue."""

import asyncio
import threading
from collections import deque
from concurrent.futures import Future


class FifoLock:
    """A lock that threads and tasks of any event loop acquire in the order of their requests.

    The locks of `threading` guarantee no order, and those of `asyncio` belong to one loop.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[Future[None]] = deque()
        self._held = False

    def try_acquire(self) -> bool:
        """Acquire the lock if no one holds it or waits for it."""
        return self._join(wait=False) is None

    def acquire(self) -> None:
        """Wait for the lock in a thread."""
        if (turn := self._join()) is not None:
            try:
                turn.result()
            except BaseException:  # Ctrl-C
                self._leave(turn)
                raise

    async def aacquire(self) -> None:
        """Wait for the lock in an event loop."""
        if (turn := self._join()) is not None:
            try:
                await asyncio.wrap_future(turn)
            except BaseException:  # the task is canceled
                self._leave(turn)
                raise

    def release(self) -> None:
        """Pass the lock to the first waiter."""
        with self._mutex:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    turn.set_result(None)
                    return
            self._held = False

    def _join(self, *, wait: bool = True) -> "Future[None] | None":
        """Acquire the lock and return `None`, or return a future to wait for."""
        with self._mutex:
            if not self._held:
                self._held = True
                return None
            turn: Future[None] = Future()
            if wait:
                self._waiting.append(turn)
            return turn

    def _leave(self, turn: "Future[None]") -> None:
        """Stop waiting, and pass on the lock if it arrived at the same moment."""
        if not turn.cancel() and not turn.cancelled():
            self.release()
