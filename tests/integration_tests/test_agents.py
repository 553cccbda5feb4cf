"""LangChain agents and LangGraph graphs on a deployment that refuses tools."""

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
from langchain_azure_phi3.emulator import Emulator

PROMPT = {"messages": [HumanMessage("Use get_weather for Paris, then add 3 and 4.")]}
WEATHER_CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
ADD_CALL = '{"name": "add", "arguments": {"a": 3, "b": 4}}'
ANSWER = "It is sunny in Paris, and the sum is 7."


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOLS = [get_weather, add]
RESULTS = [("get_weather", "sunny in Paris"), ("add", "7")]


class Report(BaseModel):
    """A report on the weather."""

    city: str
    summary: str


REPORT = '{"city": "Paris", "summary": "sunny"}'


def results_of(state: dict[str, Any]) -> list[tuple[str | None, Any]]:
    """The results of the tools, in order."""
    return [(m.name, m.content) for m in state["messages"] if isinstance(m, ToolMessage)]


def test_agent_runs_calls_with_small_mistakes(phi: Emulator, model: ChatAzurePhi3) -> None:
    """An invented argument is dropped before the tool runs."""
    phi.script('{"name": "get_weather", "arguments": {"city": "Paris", "a": 1}}', ANSWER)

    state = create_agent(model, TOOLS).invoke(PROMPT)

    assert RESULTS[:1] == results_of(state)
    assert ANSWER == state["messages"][-1].text


@pytest.mark.parametrize("streaming", [False, True])
async def test_agent_takes_several_steps(phi: Emulator, streaming: bool) -> None:
    """Two tools, one after the other, and an answer; sync and async."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, streaming=streaming)
    agent = create_agent(model, TOOLS)
    phi.script(*[WEATHER_CALL, ADD_CALL, ANSWER] * 2)

    for state in (agent.invoke(PROMPT), await agent.ainvoke(PROMPT)):
        assert RESULTS == results_of(state)
        assert ([], ANSWER) == (state["messages"][-1].tool_calls, state["messages"][-1].text)
    assert 6 == len(phi.requests)
    assert not any("tools" in request.json for request in phi.requests)


STRATEGIES: dict[str, tuple[Any, str]] = {
    "schema": (Report, REPORT),
    "ProviderStrategy": (ProviderStrategy(Report), REPORT),
    "ToolStrategy": (ToolStrategy(Report), f'{{"name": "Report", "arguments": {REPORT}}}'),
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_agent_ends_with_an_object(phi: Emulator, strategy: str) -> None:
    """By the format of the last answer or by a required tool; with and without other tools."""
    response_format, report = STRATEGIES[strategy]
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model="Phi-3-mini-4k-instruct")

    phi.script(report, WEATHER_CALL, report)
    for tools in ([], [get_weather]):
        state = create_agent(model, tools, response_format=response_format).invoke(PROMPT)

        assert Report(city="Paris", summary="sunny") == state["structured_response"]
        assert RESULTS[: len(tools)] == results_of(state)[: len(tools)]


def test_agent_answer_streams_token_by_token(phi: Emulator, model: ChatAzurePhi3) -> None:
    """`stream_mode="messages"`: text in pieces, calls as call chunks and never as text."""
    phi.script(WEATHER_CALL, ANSWER)

    stream = create_agent(model, [get_weather]).stream(PROMPT, stream_mode="messages")
    chunks = [chunk for chunk, _ in stream if isinstance(chunk, AIMessageChunk)]

    assert ["get_weather"] == [call["name"] for c in chunks for call in c.tool_call_chunks]
    assert ANSWER == "".join(chunk.text for chunk in chunks)
    assert len([chunk for chunk in chunks if chunk.text]) > 3


def test_graph_continues_from_its_checkpoint(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A model node, `ToolNode` and memory of LangGraph."""
    bound = model.bind_tools(TOOLS)

    def call_bound_model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", call_bound_model)
    graph.add_node("tools", ToolNode(TOOLS))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    agent = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    phi.script(WEATHER_CALL, "Sunny.", ADD_CALL, "7.")

    agent.invoke({"messages": [HumanMessage("How is the weather in Paris?")]}, config)
    state = agent.invoke({"messages": [HumanMessage("Now add 3 and 4.")]}, config)

    assert RESULTS == results_of(state)
    ids = [message.id for message in state["messages"]]
    assert len(ids) == len(set(ids)) == 8


async def test_v3_events_carry_calls(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The newest streaming protocol of LangChain, sync and async."""
    bound = model.bind_tools([get_weather])
    phi.script(WEATHER_CALL, WEATHER_CALL)

    stream = bound.stream_events("Weather?", version="v3")
    events = [event["event"] for event in stream]
    async_stream = await bound.astream_events("Weather?", version="v3")
    async_events = [event["event"] async for event in async_stream]

    for message in (stream.output, await async_stream.output):
        assert isinstance(message, AIMessage)
        assert [("get_weather", {"city": "Paris"})] == [
            (call["name"], call["args"]) for call in message.tool_calls
        ]
    assert events == async_events
    assert ("message-start", "message-finish") == (events[0], events[-1])


def test_streaming_can_be_disabled_for_tools(phi: Emulator) -> None:
    """`disable_streaming="tool_calling"` sees the tools, although they go into the prompt."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, disable_streaming="tool_calling"
    )

    list(model.bind_tools([get_weather]).stream("Use get_weather for Paris."))
    list(model.stream("Hi"))

    assert [False, True] == ["stream" in request.json for request in phi.requests]


def test_two_calls_in_one_answer_run_both(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Small models sometimes write several calls at once."""
    phi.script(f"{WEATHER_CALL}\n{ADD_CALL}", ANSWER)

    state = create_agent(model, TOOLS).invoke(PROMPT)

    assert sorted(RESULTS) == sorted(results_of(state))
    assert 2 == len(state["messages"][1].tool_calls)


@pytest.mark.parametrize("streaming", [False, True])
def test_native_tools_are_request_parameters(streaming: bool) -> None:
    """The complete loop on a deployment that accepts tools, with complete and streamed calls."""
    with Emulator(tools="native") as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, tool_calling="native", streaming=streaming
        )
        state = create_agent(model, [get_weather]).invoke(
            {"messages": [HumanMessage("Use get_weather for Paris.")]}
        )
        sent = phi.requests[-1].json

    ((name, result),) = results_of(state)
    assert "get_weather" == name
    assert result in state["messages"][-1].text
    assert ["user", "assistant", "tool"] == [message["role"] for message in sent["messages"]]
    assert ["get_weather"] == [each["function"]["name"] for each in sent["tools"]]
