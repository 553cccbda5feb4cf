"""Models made, used once and forgotten, thousands of them."""

import asyncio

from langchain_azure_phi3 import ChatAzurePhi3
from tests.soak.asks import ask
from tests.soak.judging import Level
from tests.soak.serving import Server
from tests.soak.watching import objects

_WARM_UP = 100
_A_LOOP_FOR_EVERY = 10  # a loop of its own costs as much as ten questions


class Instances:
    """Makes and uses models one after another, each with settings of its own."""

    def __init__(self, server: Server, *, count: int, seed: int) -> None:
        self.done = 0
        self.wrong: list[str] = []
        self._server = server
        self._count = count
        self._objects: list[int] = []
        self._seed = seed

    def run(self) -> None:
        """Use them all, every tenth also in an event loop of its own."""
        for number in range(min(_WARM_UP, self._count)):
            self._use(number)
        self._objects = [objects()]
        middle = self._count // 2
        for half in (range(middle), range(middle, self._count)):
            for number in half:
                self._use(number)
                self.done += 1
            self._objects.append(objects())
        ChatAzurePhi3(endpoint=self._server.endpoint).close()

    def met(self, number: int, name: str) -> None:
        """Keep nothing: at this server, all is calm."""

    @property
    def objects(self) -> Level:
        """How many objects there were at the end of each half, and what is left of them."""
        before, first, second = self._objects
        return Level("objects", first, second, second - before)

    def _use(self, number: int) -> None:
        asked = ask(number, self._seed)
        model = ChatAzurePhi3(
            endpoint=self._server.endpoint,
            credential=self._server.key,
            default_headers={"x-number": f"{number}"},
        )
        if asked.is_streamed:
            texts = ["".join(chunk.text for chunk in model.stream(asked.question))]
        else:
            texts = [model.invoke(asked.question).text]
        if number % _A_LOOP_FOR_EVERY == 0:
            texts.append(asyncio.run(model.ainvoke(asked.question)).text)
        self.wrong += [
            f"model {number} was answered {text!r:.120}" for text in texts if text != asked.answer
        ]
