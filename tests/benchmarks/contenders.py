"""This package, its peers, the SDKs beneath them and the two floors, behind one interface."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from typing_extensions import override

OURS = "langchain-azure-phi3"
PEERS = ("langchain-openai", "langchain-mistralai", "langchain-azure-ai")
CORE, HTTPX = "core alone", "bare httpx"

MODEL = "Phi-3-mini-4k-instruct"
KEY = "bench-key"
QUESTION = "How many languages are in the world?"
_TURNS = [{"role": "user", "content": QUESTION}]


@dataclass(frozen=True)
class Contender:
    """One way to ask; `None` where it has no such way.

    Attributes:
        invoke: Asks, and waits for the whole answer.
        stream: Asks, and reads the stream to its end.
        ainvoke: The same as `invoke`, in a loop.
        astream: The same as `stream`, in a loop.
        batch: Asks many times in threads: how many, and how many at once.
    """

    invoke: Callable[[], Any] | None = None
    stream: Callable[[], Any] | None = None
    ainvoke: Callable[[], Awaitable[Any]] | None = None
    astream: Callable[[], Awaitable[Any]] | None = None
    batch: Callable[[int, int], Any] | None = None


class FromMemory(BaseChatModel):
    """LangChain's own part: a chat model that answers from memory."""

    chunks: int = 1

    @property
    @override
    def _llm_type(self) -> str:
        return "from-memory"

    @override
    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        message = AIMessage("There are about 7,000 languages in the world.")
        return ChatResult(generations=[ChatGeneration(message=message)])

    @override
    async def _agenerate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return self._generate(messages)

    @override
    def _stream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> Iterator[ChatGenerationChunk]:
        for _number in range(self.chunks):
            yield ChatGenerationChunk(message=AIMessageChunk(" word"))

    @override
    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for _number in range(self.chunks):
            yield ChatGenerationChunk(message=AIMessageChunk(" word"))


def chat_model(name: str, base: str, chunks: int = 1) -> BaseChatModel:
    """A chat model that asks the server at `base`."""
    if name == CORE:
        return FromMemory(chunks=chunks)
    return _MODELS[name](base)


def contenders(url: str, answer: str, chunks: int = 1) -> dict[str, Contender]:
    """All of them; `answer` names what the server gives, such as `"burst-500"`."""
    base = f"{url}/{answer}"
    found = {name: _of_model(chat_model(name, base, chunks)) for name in (CORE, OURS, *PEERS)}
    found[HTTPX] = bare_httpx(base)
    found["openai"] = _openai(base)
    found["azure-ai-inference"] = _azure(base)
    return found


def _ours(base: str) -> BaseChatModel:
    from langchain_azure_phi3 import ChatAzurePhi3

    return ChatAzurePhi3(endpoint=base, credential=KEY, model=MODEL)


def _langchain_openai(base: str) -> BaseChatModel:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(base_url=base, api_key=KEY, model=MODEL)


def _langchain_mistralai(base: str) -> BaseChatModel:
    from langchain_mistralai import ChatMistralAI

    return ChatMistralAI(endpoint=base, api_key=KEY, model=MODEL)


def _langchain_azure_ai(base: str) -> BaseChatModel:
    from langchain_azure_ai.chat_models.inference import AzureAIChatCompletionsModel

    return AzureAIChatCompletionsModel(endpoint=base, credential=KEY, model=MODEL)


_MODELS: dict[str, Callable[[str], BaseChatModel]] = {
    OURS: _ours,
    "langchain-openai": _langchain_openai,
    "langchain-mistralai": _langchain_mistralai,
    "langchain-azure-ai": _langchain_azure_ai,
}


def _of_model(model: BaseChatModel) -> Contender:
    async def ainvoke() -> Any:
        return await model.ainvoke(QUESTION)

    async def astream() -> int:
        return sum([1 async for _ in model.astream(QUESTION)])

    def batch(questions: int, at_once: int) -> Any:
        return model.batch([QUESTION] * questions, {"max_concurrency": at_once})

    return Contender(
        invoke=lambda: model.invoke(QUESTION),
        stream=lambda: sum(1 for _ in model.stream(QUESTION)),
        ainvoke=ainvoke,
        astream=astream,
        batch=batch,
    )


class PerLoop:
    """One asynchronous client for each event loop: none of them outlives its loop."""

    def __init__(self, made: Callable[[], Any]) -> None:
        self._made = made
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None

    @property
    def client(self) -> Any:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._client = loop, self._made()
        return self._client


def bare_httpx(base: str) -> Contender:
    """The other floor: httpx alone, with the answer decoded."""
    url = f"{base}/chat/completions"
    sync = httpx.Client()
    # As many connections as requests: its own default of 100 would make them wait. And no limit of
    # time: its five seconds to connect are too few for 256 at once on a busy machine.
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
    loops = PerLoop(lambda: httpx.AsyncClient(limits=limits, timeout=None))  # noqa: S113
    asked, streamed = {"messages": _TURNS}, {"messages": _TURNS, "stream": True}

    def stream() -> int:
        with sync.stream("POST", url, json=streamed) as response:
            return sum(_decoded(line) for line in response.iter_lines())

    async def ainvoke() -> Any:
        return (await loops.client.post(url, json=asked)).json()

    async def astream() -> int:
        async with loops.client.stream("POST", url, json=streamed) as response:
            return sum([_decoded(line) async for line in response.aiter_lines()])

    return Contender(lambda: sync.post(url, json=asked).json(), stream, ainvoke, astream)


def _decoded(line: str) -> int:
    if not line.startswith("data: {"):
        return 0
    return len(json.loads(line[6:])["choices"])


def _openai(base: str) -> Contender:
    import openai

    sync = openai.OpenAI(base_url=base, api_key=KEY)
    loops = PerLoop(lambda: openai.AsyncOpenAI(base_url=base, api_key=KEY))
    asked: dict[str, Any] = {"model": MODEL, "messages": _TURNS}

    async def ainvoke() -> Any:
        return await loops.client.chat.completions.create(**asked)

    async def astream() -> int:
        chunks = await loops.client.chat.completions.create(**asked, stream=True)
        return sum([1 async for _ in chunks])

    return Contender(
        lambda: sync.chat.completions.create(**asked),
        lambda: sum(1 for _ in sync.chat.completions.create(**asked, stream=True)),
        ainvoke,
        astream,
    )


def _azure(base: str) -> Contender:
    from azure.ai.inference import ChatCompletionsClient
    from azure.ai.inference.aio import ChatCompletionsClient as AsyncClient
    from azure.core.credentials import AzureKeyCredential

    sync = ChatCompletionsClient(base, AzureKeyCredential(KEY))
    loops = PerLoop(lambda: AsyncClient(base, AzureKeyCredential(KEY)))

    async def ainvoke() -> Any:
        return await loops.client.complete(messages=_TURNS)

    async def astream() -> int:
        chunks = await loops.client.complete(messages=_TURNS, stream=True)
        return sum([1 async for _ in chunks])

    return Contender(
        lambda: sync.complete(messages=_TURNS),
        lambda: sum(1 for _ in sync.complete(messages=_TURNS, stream=True)),
        ainvoke,
        astream,
    )
