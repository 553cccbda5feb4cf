"""This package, its peers, their SDKs and the two lower bounds, behind one interface."""

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
CORE, HTTPX = "core alone", "bare httpx"  # the lower bounds

MODEL = "Phi-3-mini-4k-instruct"
KEY = "bench-key"
QUESTION = "How many languages are in the world?"
_MESSAGES = [{"role": "user", "content": QUESTION}]


@dataclass(frozen=True)
class Contender:
    """A client and its call modes; `None` where it lacks one.

    Attributes:
        invoke: Returns a complete answer.
        stream: Reads a stream to its end.
        ainvoke: `invoke` in an event loop.
        astream: `stream` in an event loop.
        batch: Makes many calls in threads: how many, and how many at a time.
    """

    invoke: Callable[[], Any] | None = None
    stream: Callable[[], Any] | None = None
    ainvoke: Callable[[], Awaitable[Any]] | None = None
    astream: Callable[[], Awaitable[Any]] | None = None
    batch: Callable[[int, int], Any] | None = None


class FromMemory(BaseChatModel):
    """The cost of LangChain itself: a chat model that answers from memory."""

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
    """Return a chat model for the server at `base`."""
    if name == CORE:
        return FromMemory(chunks=chunks)
    return _MODELS[name](base)


def contenders(
    url: str, response: str, chunks: int = 1, *, with_sdks: bool = True
) -> dict[str, Contender]:
    """Return all clients; `response` is the server's response, such as `"burst-500"`."""
    base = f"{url}/{response}"
    found = {name: _from_model(chat_model(name, base, chunks)) for name in (CORE, OURS, *PEERS)}
    found[HTTPX] = bare_httpx(base)
    if with_sdks:
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


def _from_model(model: BaseChatModel) -> Contender:
    async def ainvoke() -> Any:
        return await model.ainvoke(QUESTION)

    async def astream() -> int:
        return sum([1 async for _ in model.astream(QUESTION)])

    def batch(questions: int, concurrency: int) -> Any:
        return model.batch([QUESTION] * questions, {"max_concurrency": concurrency})

    return Contender(
        invoke=lambda: model.invoke(QUESTION),
        stream=lambda: sum(1 for _ in model.stream(QUESTION)),
        ainvoke=ainvoke,
        astream=astream,
        batch=batch,
    )


class PerLoop:
    """One async client for each event loop: none of them outlives its loop."""

    def __init__(self, create: Callable[[], Any]) -> None:
        self._create = create
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None

    @property
    def client(self) -> Any:
        """The client of the running loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._client = loop, self._create()
        return self._client


def bare_httpx(base: str) -> Contender:
    """The other lower bound: httpx alone, with the response decoded."""
    url = f"{base}/chat/completions"
    sync = httpx.Client()
    # As many connections as requests, because requests wait at its default of 100. No timeout,
    # because five seconds to connect are too few for 256 at a time on a busy machine.
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
    loops = PerLoop(lambda: httpx.AsyncClient(limits=limits, timeout=None))  # noqa: S113
    body, stream_body = {"messages": _MESSAGES}, {"messages": _MESSAGES, "stream": True}

    def stream() -> int:
        with sync.stream("POST", url, json=stream_body) as response:
            return sum(_count_choices(line) for line in response.iter_lines())

    async def ainvoke() -> Any:
        return (await loops.client.post(url, json=body)).json()

    async def astream() -> int:
        async with loops.client.stream("POST", url, json=stream_body) as response:
            return sum([_count_choices(line) async for line in response.aiter_lines()])

    return Contender(lambda: sync.post(url, json=body).json(), stream, ainvoke, astream)


def _count_choices(line: str) -> int:
    if not line.startswith("data: {"):
        return 0
    return len(json.loads(line[6:])["choices"])


def _openai(base: str) -> Contender:
    import openai

    sync = openai.OpenAI(base_url=base, api_key=KEY)
    loops = PerLoop(lambda: openai.AsyncOpenAI(base_url=base, api_key=KEY))
    body: dict[str, Any] = {"model": MODEL, "messages": _MESSAGES}

    async def ainvoke() -> Any:
        return await loops.client.chat.completions.create(**body)

    async def astream() -> int:
        chunks = await loops.client.chat.completions.create(**body, stream=True)
        return sum([1 async for _ in chunks])

    return Contender(
        lambda: sync.chat.completions.create(**body),
        lambda: sum(1 for _ in sync.chat.completions.create(**body, stream=True)),
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
        return await loops.client.complete(messages=_MESSAGES)

    async def astream() -> int:
        chunks = await loops.client.complete(messages=_MESSAGES, stream=True)
        return sum([1 async for _ in chunks])

    return Contender(
        lambda: sync.complete(messages=_MESSAGES),
        lambda: sum(1 for _ in sync.complete(messages=_MESSAGES, stream=True)),
        ainvoke,
        astream,
    )
