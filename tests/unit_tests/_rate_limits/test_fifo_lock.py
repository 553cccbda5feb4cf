"""The lock hands itself on in the order of arrival, to threads and to tasks."""

import asyncio
import threading

from langchain_azure_phi3._rate_limits.fifo_lock import FifoLock


async def test_tasks_and_threads_share_one_queue() -> None:
    """Each gets the lock when those before it have released it."""
    lock, order = FifoLock(), []

    def take_in_thread(name: int) -> None:
        lock.acquire()
        order.append(name)
        lock.release()

    async def take_in_task(name: int) -> None:
        await lock.aacquire()
        order.append(name)
        lock.release()

    lock.acquire()
    waiting = []
    for name in range(8):
        work = asyncio.to_thread(take_in_thread, name) if name % 2 else take_in_task(name)
        waiting.append(asyncio.create_task(work))
        while len(lock._waiting) <= name:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    lock.release()
    await asyncio.gather(*waiting)

    assert order == list(range(8))
    assert lock.try_acquire()


async def test_canceled_task_passes_its_turn_on() -> None:
    """Canceled while it waits, or at the moment at which the lock is handed to it."""
    for is_handed_over in [False, True]:
        lock = FifoLock()
        lock.acquire()
        first, second = (asyncio.create_task(lock.aacquire()) for _ in range(2))
        await asyncio.sleep(0)
        if is_handed_over:
            lock.release()
        first.cancel()
        await asyncio.sleep(0)
        if not is_handed_over:
            lock.release()

        await asyncio.wait_for(second, 5)
        assert first.cancelled()
        lock.release()
        assert lock.try_acquire()


def test_try_acquire_does_not_jump_the_queue() -> None:
    """It fails while somebody holds the lock."""
    lock = FifoLock()
    assert lock.try_acquire()
    assert not lock.try_acquire()

    thread = threading.Thread(target=lock.acquire)
    thread.start()
    while not lock._waiting:
        pass
    lock.release()
    thread.join()

    assert not lock.try_acquire()
    lock.release()
    assert lock.try_acquire()
