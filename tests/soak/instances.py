"""Thousands of models, each created, used once and discarded."""

import asyncio

from langchain_azure_phi3 import ChatAzurePhi3
from tests.soak.emulator_process import EmulatorProcess
from tests.soak.evaluation import Level
from tests.soak.monitor import count_objects
from tests.soak.questions import make_question

_WARM_UP = 100
_LOOP_INTERVAL = 10  # an event loop costs as much as ten calls


class InstanceRun:
    """Creates and uses models one after another, each with its own settings."""

    def __init__(self, server: EmulatorProcess, *, count: int, seed: int) -> None:
        self.done = 0
        self.wrong: list[str] = []
        self._server = server
        self._count = count
        self._objects: list[int] = []
        self._seed = seed

    def run(self) -> None:
        """Use every model, each tenth also in a separate event loop."""
        for number in range(min(_WARM_UP, self._count)):
            self._use_model(number)
        self._objects = [count_objects()]
        middle = self._count // 2
        for half in (range(middle), range(middle, self._count)):
            for number in half:
                self._use_model(number)
                self.done += 1
            self._objects.append(count_objects())
        ChatAzurePhi3(endpoint=self._server.endpoint).close()

    def record_fault(self, number: int, name: str) -> None:
        """Ignore the fault: this part runs without faults."""

    @property
    def objects(self) -> Level:
        """The number of Python objects at the end of each half, and the rest afterwards."""
        before, first, second = self._objects
        return Level("objects", first, second, second - before)

    def _use_model(self, number: int) -> None:
        question = make_question(number, self._seed)
        model = ChatAzurePhi3(
            endpoint=self._server.endpoint,
            credential=self._server.key,
            default_headers={"x-number": f"{number}"},
        )
        if question.is_streamed:
            texts = ["".join(chunk.text for chunk in model.stream(question.text))]
        else:
            texts = [model.invoke(question.text).text]
        if number % _LOOP_INTERVAL == 0:
            texts.append(asyncio.run(model.ainvoke(question.text)).text)
        self.wrong += [
            f"model {number} returned {text!r:.120}" for text in texts if text != question.answer
        ]
