"""What grows with the size of the task, and how: payloads, streams, memory."""

import gc
import tracemalloc
from typing import Any

import httpx
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from tests.benchmarks.contenders import CORE, KEY, OURS, chat_model
from tests.benchmarks.server import burst, whole
from tests.benchmarks.timing import Spent, interleaved, timed

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
    """Answers in this process, so that nothing but the client is measured."""

    def __init__(self, answer: bytes) -> None:
        self._body = answer.split(b"\r\n\r\n", 1)[1]

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The same answer each time."""
        return httpx.Response(200, stream=_Body(self._body))


def model(answer: bytes) -> Any:
    """This package's model, over a canned answer."""
    from langchain_azure_phi3 import ChatAzurePhi3

    client = httpx.Client(transport=_Canned(answer))
    # A model without a row in the catalogue has no limit, which 10,000 messages would reach.
    return ChatAzurePhi3(
        endpoint="https://phi.invalid", credential=KEY, http_client=client, model="a-phi"
    )


def payloads(rounds: int) -> dict[str, dict[int, Spent]]:
    """A call's cost for each message of the conversation, without LangChain's own part."""
    asked = model(whole())
    found: dict[str, dict[int, Spent]] = {}
    for name, more in (("plain", {}), ("tools", {"tools": [TOOL]})):
        found[name] = {}
        for count in MESSAGES:
            told = _conversation(count)
            times = max(1, 1_000 // count)
            measure = timed(lambda t=told, m=more: asked._generate(t, **m), times=times)
            spent = interleaved({name: measure}, rounds)[name]
            found[name][count] = Spent(spent.wall / count, spent.cpu / count)
    return found


def _conversation(count: int) -> list[BaseMessage]:
    kinds = (HumanMessage, AIMessage)
    return [kinds[number % 2](f"Message {number} of a long talk.") for number in range(count)]


def streams(rounds: int) -> dict[str, dict[int, Spent]]:
    """The cost of a chunk in streams of several lengths."""
    question = [HumanMessage("Hi")]
    found: dict[str, dict[int, Spent]] = {}
    for name, more in (("plain", {}), ("tools", {"tools": [TOOL]})):
        found[name] = {}
        for count in CHUNKS:
            asked = model(burst(count))
            measure = timed(lambda a=asked, m=more: _drained(a._stream(question, **m)), units=count)
            found[name][count] = interleaved({name: measure}, rounds)[name]
    return found


def stream_memory() -> dict[int, int]:
    """The most bytes that reading a stream takes, the chunks being let go."""
    question = [HumanMessage("Hi")]
    found = {}
    for count in CHUNKS:
        asked = model(burst(count))
        _drained(asked._stream(question))
        gc.collect()
        tracemalloc.start()
        _drained(asked._stream(question))
        found[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found


def _drained(chunks: Any) -> int:
    return sum(1 for _ in chunks)


def events(url: str, chunks: int, rounds: int) -> dict[str, dict[str, Spent]]:
    """`stream_events` v3 and LangGraph's messages, a chunk, beside LangChain's own part."""
    models = {name: chat_model(name, f"{url}/burst-{chunks}", chunks) for name in (CORE, OURS)}
    graphs = {name: _graph(asked) for name, asked in models.items()}
    return {
        'stream_events, "v3"': interleaved(
            {
                name: timed(
                    lambda a=asked: _drained(a.stream_events("Hi", version="v3")), units=chunks
                )
                for name, asked in models.items()
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
    return _drained(graph.stream({"messages": [HumanMessage("Hi")]}, stream_mode="messages"))


def _graph(asked: Any) -> Any:
    from langgraph.graph import START, MessagesState, StateGraph

    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": [asked.invoke(state["messages"])]})
    graph.add_edge(START, "model")
    return graph.compile()
