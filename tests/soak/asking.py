"""Many questions at once to one model, from threads and from the tasks of one loop."""

import asyncio
import threading
from collections.abc import Iterator

from langchain_azure_phi3 import ChatAzurePhi3
from tests.soak.asks import Ask, ask
from tests.soak.judging import Ended, answered, failed


class Asking:
    """Asks `count` questions, `concurrency` at once: a quarter in threads, the others in tasks.

    Whoever is free takes the next question, so that threads and tasks go on to the end.
    """

    def __init__(self, model: ChatAzurePhi3, *, count: int, concurrency: int, seed: int) -> None:
        self.ended: list[Ended | None] = [None] * count
        self.meetings: list[tuple[str, ...]] = [()] * count
        self._model = model
        self._seed = seed
        self._threads = max(1, concurrency // 4)
        self._tasks = max(1, concurrency - self._threads)
        self._numbers = iter(range(count))
        self._by_thread = bytearray(count)

    @property
    def done(self) -> int:
        """How many questions have ended."""
        return len(self.ended) - self.ended.count(None)

    @property
    def threads_asked(self) -> int:
        """How many of them threads asked; the others, tasks."""
        return sum(self._by_thread)

    def run(self) -> None:
        """Return when every question has ended."""
        # Daemons, so that Ctrl-C ends them too.
        threads = [threading.Thread(target=self._thread, daemon=True) for _ in range(self._threads)]
        for thread in threads:
            thread.start()
        asyncio.run(self._all_tasks())
        for thread in threads:
            thread.join()
        self._model.close()

    def met(self, number: int, name: str) -> None:
        """Keep what a request met at the server."""
        self.meetings[number] += (name,)

    def _asks(self) -> Iterator[Ask]:
        return (ask(number, self._seed) for number in self._numbers)

    def _thread(self) -> None:
        for asked in self._asks():
            self._by_thread[asked.number] = 1
            self.ended[asked.number] = self._asked(asked)

    async def _all_tasks(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._tasks):
                group.create_task(self._task())

    async def _task(self) -> None:
        for asked in self._asks():
            self.ended[asked.number] = await self._async_asked(asked)

    def _asked(self, asked: Ask) -> Ended:
        texts: list[str] = []
        try:
            if asked.is_streamed:
                texts.extend(chunk.text for chunk in self._model.stream(asked.question))
            else:
                texts.append(self._model.invoke(asked.question).text)
        except Exception as error:  # whatever escapes is what is looked for
            return failed(asked, "".join(texts), error)
        return answered(asked, "".join(texts))

    async def _async_asked(self, asked: Ask) -> Ended:
        texts: list[str] = []
        try:
            if asked.is_streamed:
                async for chunk in self._model.astream(asked.question):
                    texts.append(chunk.text)  # noqa: PERF401 -- what came before an error counts
            else:
                texts.append((await self._model.ainvoke(asked.question)).text)
        except Exception as error:  # the same
            return failed(asked, "".join(texts), error)
        return answered(asked, "".join(texts))
