"""Run blocking work in threads, so that the event loop stays responsive."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from typing import TypeVar

from langchain_azure_phi3.emulator.wire import BodyPart, Reply

_Result = TypeVar("_Result")


async def run_in_thread(work: Callable[[], _Result]) -> _Result:
    """Run `work` in a new daemon thread, and return its result.

    The interpreter waits for the threads of a pool when it exits, and a model behind the emulator
    may never respond.
    """
    outcome: Future[_Result] = Future()

    def run() -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            outcome.set_result(work())
        except BaseException as error:  # raised where the result is awaited
            outcome.set_exception(error)

    threading.Thread(target=run, name="phi-emulator-work", daemon=True).start()
    return await asyncio.wrap_future(outcome)


async def iterate_parts(reply: Reply) -> AsyncGenerator[BodyPart]:
    """Iterate over the parts of a reply, in threads if producing them may block."""
    parts = iter(reply.parts)
    if not reply.blocking:
        for part in parts:
            yield part
        return
    while (part_or_end := await run_in_thread(lambda: next(parts, None))) is not None:
        yield part_or_end
