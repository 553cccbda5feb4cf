"""Work that blocks, handed to a thread so that the event loop goes on."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future
from contextlib import aclosing
from typing import TypeVar

from langchain_azure_phi3.emulator.wire import Reply, Step

_Result = TypeVar("_Result")


async def in_thread(work: Callable[[], _Result]) -> _Result:
    """What `work` gives, from a thread of its own.

    A pool would be waited for when Python ends, and a model behind the emulator may never answer.
    """
    outcome: Future[_Result] = Future()

    def run() -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            outcome.set_result(work())
        except BaseException as error:  # it belongs to the one who waits
            outcome.set_exception(error)

    threading.Thread(target=run, name="phi-emulator-work", daemon=True).start()
    return await asyncio.wrap_future(outcome)


async def steps_of(reply: Reply) -> AsyncGenerator[Step]:
    """The steps of a reply, each waited for in a thread where that may take long."""
    if not reply.blocks:
        for step in reply.steps:
            yield step
        return
    async with aclosing(_handed_over(iter(reply.steps))) as steps:
        async for step in steps:
            yield step


async def _handed_over(steps: Iterator[Step]) -> AsyncGenerator[Step]:
    while (step := await in_thread(lambda: next(steps, None))) is not None:
        yield step
