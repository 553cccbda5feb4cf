"""Costs that grow with the size of a task: requests, streams, memory."""

import gc
import tracemalloc
from typing import Any

import httpx
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from tests.benchmarks.contenders import CORE, KEY, OURS, chat_model
from tests.benchmarks.server import burst, complete
from tests.benchmarks.timing import Timing, interleaved, timed

MESSAGES = (10, 100, 1_000, 10_000)
CHUNKS = (1_000, 10_000, 100_000)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
_PIECE = 65_536


class _Body(httpx.SyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Any:
        for at in range(0, len(self._body), _PIECE):
            yield self._body[at : at + _PIECE]


class _Canned(httpx.BaseTransport):
    """Responds in this process, so that only the client is measured."""

    def __init__(self, answer: bytes) -> None:
        self._body = answer.split(b"\r\n\r\n", 1)[1]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the same response each time."""
        return httpx.Response(200, stream=_Body(self._body))


def model(answer: bytes, **settings: Any) -> Any:
    """Return this package's model with a canned response."""
    from langchain_azure_phi3 import ChatAzurePhi3

    client = httpx.Client(transport=_Canned(answer))
    return ChatAzurePhi3(
        endpoint="https://phi.invalid",
        credential=KEY,
        http_client=client,
        base_model="Phi-3-mini-128k-instruct",  # whose context 10,000 messages do not exceed
        **settings,
    )


def payloads(rounds: int) -> dict[str, dict[int, Timing]]:
    """Return the cost of a call per message of the conversation, without LangChain's part."""
    chat = model(complete())
    found: dict[str, dict[int, Timing]] = {}
    for name, more in (("plain", {}), ("tools", {"tools": [TOOL]})):
        found[name] = {}
        for count in MESSAGES:
            messages = _conversation(count)
            times = max(1, 1_000 // count)
            measure = timed(lambda t=messages, m=more: chat._generate(t, **m), times=times)
            timing = interleaved({name: measure}, rounds)[name]
            found[name][count] = Timing(timing.wall / count, timing.cpu / count)
    return found


def constraints(rounds: int) -> dict[str, dict[str, Timing]]:
    """Return the cost of calls that constrain nothing, on a server that could be constrained."""
    chats = {
        name: model(complete(), api="openai-server", constrained_decoding=name)
        for name in ("auto", "off")
    }
    question = [HumanMessage("Hi")]
    return {
        title: interleaved(
            {
                name: timed(lambda c=chat, m=more: c._generate(question, **m), times=1_000)
                for name, chat in chats.items()
            },
            rounds,
        )
        for title, more in (("plain", {}), ("tools, not required", {"tools": [TOOL]}))
    }


def _conversation(count: int) -> list[BaseMessage]:
    types = (HumanMessage, AIMessage)
    return [types[number % 2](f"Message {number} of a long talk.") for number in range(count)]


def streams(rounds: int) -> dict[str, dict[int, Timing]]:
    """Return the cost of a chunk in streams of several lengths."""
    question = [HumanMessage("Hi")]
    found: dict[str, dict[int, Timing]] = {}
    for name, more in (("plain", {}), ("tools", {"tools": [TOOL]})):
        found[name] = {}
        for count in CHUNKS:
            chat = model(burst(count))
            measure = timed(lambda c=chat, m=more: _drain(c._stream(question, **m)), units=count)
            found[name][count] = interleaved({name: measure}, rounds)[name]
    return found


def stream_memory() -> dict[int, int]:
    """Return the peak of bytes while a stream is read and its chunks are not kept."""
    question = [HumanMessage("Hi")]
    found = {}
    for count in CHUNKS:
        chat = model(burst(count))
        _drain(chat._stream(question))
        gc.collect()
        tracemalloc.start()
        _drain(chat._stream(question))
        found[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found


def _drain(chunks: Any) -> int:
    return sum(1 for _ in chunks)


def events(url: str, chunks: int, rounds: int) -> dict[str, dict[str, Timing]]:
    """Return the cost per chunk of `stream_events` v3 and of LangGraph's messages."""
    models = {name: chat_model(name, f"{url}/burst-{chunks}", chunks) for name in (CORE, OURS)}
    graphs = {name: _graph(chat) for name, chat in models.items()}
    return {
        'stream_events, "v3"': interleaved(
            {
                name: timed(
                    lambda c=chat: _drain(c.stream_events("Hi", version="v3")), units=chunks
                )
                for name, chat in models.items()
            },
            rounds,
        ),
        'LangGraph, "messages"': interleaved(
            {
                name: timed(lambda g=graph: _messages(g), units=chunks)
                for name, graph in graphs.items()
            },
            rounds,
        ),
    }


def _messages(graph: Any) -> int:
    return _drain(graph.stream({"messages": [HumanMessage("Hi")]}, stream_mode="messages"))


def _graph(chat: Any) -> Any:
    from langgraph.graph import START, MessagesState, StateGraph

    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [chat.invoke(state["messages"])]})
    graph.add_edge(START, "model")
    return graph.compile()
