"""Many concurrent calls of one model, from threads and from tasks of one event loop."""

import asyncio
import threading
from collections.abc import Iterator

from langchain_azure_phi3 import ChatAzurePhi3
from tests.soak.evaluation import Outcome, check_answer, check_error
from tests.soak.questions import Question, make_question


class LoadRun:
    """Sends `count` questions, `concurrency` at a time: a quarter in threads, the rest in tasks.

    Every worker takes the next question when it is free, so threads and tasks work to the end.
    """

    def __init__(self, model: ChatAzurePhi3, *, count: int, concurrency: int, seed: int) -> None:
        self.outcomes: list[Outcome | None] = [None] * count
        self.faults: list[tuple[str, ...]] = [()] * count
        self._model = model
        self._seed = seed
        self._threads = max(1, concurrency // 4)
        self._tasks = max(1, concurrency - self._threads)
        self._numbers = iter(range(count))
        self._is_thread_call = bytearray(count)

    @property
    def done(self) -> int:
        """How many calls have ended."""
        return len(self.outcomes) - self.outcomes.count(None)

    @property
    def thread_calls(self) -> int:
        """How many calls threads made; tasks made the others."""
        return sum(self._is_thread_call)

    def run(self) -> None:
        """Return when every call has ended."""
        # Daemons, so that Ctrl-C ends them too.
        threads = [
            threading.Thread(target=self._run_thread, daemon=True) for _ in range(self._threads)
        ]
        for thread in threads:
            thread.start()
        asyncio.run(self._run_tasks())
        for thread in threads:
            thread.join()
        self._model.close()

    def record_fault(self, number: int, name: str) -> None:
        """Keep the fault of a request to the server."""
        self.faults[number] += (name,)

    def _questions(self) -> Iterator[Question]:
        return (make_question(number, self._seed) for number in self._numbers)

    def _run_thread(self) -> None:
        for question in self._questions():
            self._is_thread_call[question.number] = 1
            self.outcomes[question.number] = self._call(question)

    async def _run_tasks(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._tasks):
                group.create_task(self._run_task())

    async def _run_task(self) -> None:
        for question in self._questions():
            self.outcomes[question.number] = await self._acall(question)

    def _call(self, question: Question) -> Outcome:
        texts: list[str] = []
        try:
            if question.is_streamed:
                texts.extend(chunk.text for chunk in self._model.stream(question.text))
            else:
                texts.append(self._model.invoke(question.text).text)
        except Exception as error:  # any error is an outcome
            return check_error(question, "".join(texts), error)
        return check_answer(question, "".join(texts))

    async def _acall(self, question: Question) -> Outcome:
        texts: list[str] = []
        try:
            if question.is_streamed:
                async for chunk in self._model.astream(question.text):
                    texts.append(chunk.text)  # noqa: PERF401 -- a comprehension would lose them
            else:
                texts.append((await self._model.ainvoke(question.text)).text)
        except Exception as error:  # the same
            return check_error(question, "".join(texts), error)
        return check_answer(question, "".join(texts))
