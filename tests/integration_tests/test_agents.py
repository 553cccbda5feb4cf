"""Agents run unchanged on a deployment that refuses tools."""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator, Generation
from tests.scripted_model import scripted_answers, scripted_values

QUESTION = "First use get_weather for Paris, then use add to add 3 and 4."


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Report(BaseModel):
    """A report on the weather."""

    city: str
    summary: str


def results(messages: list[Any]) -> list[tuple[str | None, Any]]:
    """What the tools gave, in order."""
    return [(m.name, m.content) for m in messages if isinstance(m, ToolMessage)]


STEPS = [("get_weather", "sunny in Paris"), ("add", "7")]
CALLS = ['{"name": "get_weather", "arguments": {"city": "Paris"}}',
         '{"name": "add", "arguments": {"a": 3, "b": 4}}']  # fmt: skip
END = "It is sunny in Paris, and the sum is 7."


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A model that calls tools with these values."""
    with Emulator("Phi-3-mini-4k-instruct", responder=scripted_values(city="Paris")) as emulator:
        yield emulator


@pytest.mark.parametrize("streaming", [False, True])
def test_an_agent_takes_several_steps(phi: Emulator, streaming: bool) -> None:
    """Two tools, one after the other, and an answer in words."""
    phi.script(*CALLS, END)
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, streaming=streaming)

    state = create_agent(model, [get_weather, add]).invoke({"messages": [HumanMessage(QUESTION)]})

    assert STEPS == results(state["messages"])
    last = state["messages"][-1]
    assert [] == last.tool_calls
    assert "sunny in Paris" in last.text
    assert [False] * len(phi.requests) == ["tools" in request.json for request in phi.requests]


async def test_an_agent_takes_several_steps_async(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The same in the other colour."""
    phi.script(*CALLS, END)
    state = await create_agent(model, [get_weather, add]).ainvoke(
        {"messages": [HumanMessage(QUESTION)]}
    )

    assert STEPS == results(state["messages"])


@pytest.mark.parametrize("strategy", [Report, ProviderStrategy(Report), ToolStrategy(Report)])
@pytest.mark.parametrize("tools", [[], [get_weather]])
def test_an_agent_ends_with_an_object(phi: Emulator, strategy: Any, tools: list[Any]) -> None:
    """By the format of the last answer, or by a tool that must be called."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model="Phi-3-mini-4k-instruct")
    agent = create_agent(model, tools, response_format=strategy)

    state = agent.invoke({"messages": [HumanMessage("Use get_weather for the city of Paris.")]})

    assert isinstance(state["structured_response"], Report)
    assert "Paris" == state["structured_response"].city


def test_an_agents_answer_streams_token_by_token(model: ChatAzurePhi3) -> None:
    """`stream_mode="messages"`: text in pieces, calls as calls and never as text."""
    agent = create_agent(model, [get_weather])

    chunks = [
        chunk
        for chunk, _ in agent.stream(
            {"messages": [HumanMessage("Use get_weather for Paris.")]}, stream_mode="messages"
        )
        if isinstance(chunk, AIMessageChunk)
    ]

    text = "".join(chunk.text for chunk in chunks)
    assert ["get_weather"] == [
        piece["name"] for chunk in chunks for piece in chunk.tool_call_chunks
    ]
    assert len([chunk for chunk in chunks if chunk.text]) > 3
    assert "sunny in Paris" in text
    assert "arguments" not in text


def test_a_graph_with_a_checkpointer_goes_on_where_it_was(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """LangGraph's own parts: a node for the model, `ToolNode`, memory."""
    phi.script(CALLS[0], "It is sunny.", CALLS[1], END)
    bound = model.bind_tools([get_weather, add])

    def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", think)
    graph.add_node("tools", ToolNode([get_weather, add]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    agent = graph.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}

    agent.invoke({"messages": [HumanMessage("Use get_weather for Paris.")]}, config)
    state = agent.invoke({"messages": [HumanMessage("Now use add to add 3 and 4.")]}, config)

    assert STEPS == results(state["messages"])
    identities = [message.id for message in state["messages"]]
    assert len(identities) == len(set(identities))


async def test_events_of_the_third_version_carry_calls(model: ChatAzurePhi3) -> None:
    """LangChain's newest protocol, in both colours."""
    bound = model.bind_tools([get_weather])

    stream = bound.stream_events("Use get_weather for Paris.", version="v3")
    kinds = [event["event"] for event in stream]
    asynchronous = await bound.astream_events("Use get_weather for Paris.", version="v3")
    async for _ in asynchronous:
        pass

    for message in (stream.output, await asynchronous.output):
        assert isinstance(message, AIMessage)
        assert [("get_weather", {"city": "Paris"})] == [
            (call["name"], call["args"]) for call in message.tool_calls
        ]
    assert ("message-start", "message-finish") == (kinds[0], kinds[-1])


def test_streaming_can_be_left_to_calls_without_tools(phi: Emulator) -> None:
    """`disable_streaming="tool_calling"` sees the tools, although they end up in the prompt."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, disable_streaming="tool_calling"
    )

    list(model.bind_tools([get_weather]).stream("Use get_weather for Paris."))
    list(model.stream("Hi"))

    assert [False, True] == ["stream" in request.json for request in phi.requests]


MISTAKES = ["prose", "fence", "unclosed fence", "wrong types", "invented arguments", "no call",
            "single quotes", "trailing comma", "python literals", "unknown tool", "bad values",
            "empty", "cut off"]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("streaming", [False, True])
def test_the_mistakes_of_small_models_are_mended_or_corrected(
    mistake: str, streaming: bool
) -> None:
    """A demanded call comes, whatever was written first."""
    responder = scripted_values(a=3, b=4)
    with Emulator(responder=responder, model_errors=mistake) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, streaming=streaming)

        answer = model.bind_tools([add], tool_choice="any").invoke("Use add to add 3 and 4.")

    assert [("add", {"a": 3, "b": 4})] == [(c["name"], c["args"]) for c in answer.tool_calls]


def test_two_calls_at_once_are_two_calls() -> None:
    """Small models sometimes answer more than was asked."""
    with Emulator("Phi-3-mini-4k-instruct", model_errors="two calls") as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)

        answer = model.bind_tools([add]).invoke("Use add to add 3 and 4.")

    assert 2 == len(answer.tool_calls)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_deployment_with_tools_of_its_own_gets_them_on_the_wire(streaming: bool) -> None:
    """The whole loop, streamed deltas included."""
    calls = [
        Generation("", tool_calls=(("get_weather", '{"city": "Paris"}'),)),
        Generation("", tool_calls=(("add", '{"a": 3, "b": 4}'),)),
    ]
    with Emulator(tools="native", responder=scripted_answers(*calls, END)) as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint,
            credential=phi.key,
            tool_calling="native",
            streaming=streaming,
        )
        state = create_agent(model, [get_weather, add]).invoke(
            {"messages": [HumanMessage(QUESTION)]}
        )
        sent = phi.requests[-1].json

    assert STEPS == results(state["messages"])
    assert "tool" in [turn["role"] for turn in sent["messages"]]
    assert {"get_weather", "add"} == {tool["function"]["name"] for tool in sent["tools"]}
