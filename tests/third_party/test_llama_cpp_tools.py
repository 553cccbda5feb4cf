"""Required tool calls by llama.cpp's server, and agents that make them."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.messages import ToolMessage

from langchain_azure_phi3 import ChatAzurePhi3
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.third_party.cases import CALLS, TOOLS, get_weather
from tests.third_party.conftest import CountingClients
from tests.third_party.llama_server import LlamaServer

PROMPT = CALLS["get_weather"]


@pytest.fixture
def model(llama: LlamaServer, clients: CountingClients) -> ChatAzurePhi3:
    """A chat model whose requests are counted."""
    return ChatAzurePhi3(**llama.settings(max_tokens=200, **clients.settings))


@pytest.mark.parametrize("choice", ["any", "required", *(tool.name for tool in TOOLS)])
async def test_required_calls_take_one_request(
    choice: str, model: ChatAzurePhi3, clients: CountingClients
) -> None:
    """Of some tool, or of the one that is named, with arguments that the tool accepts."""
    bound = model.bind_tools(TOOLS, tool_choice=choice)
    expected = [tool for tool in TOOLS if choice in ("any", "required", tool.name)]
    modes = CALL_MODES if choice == "any" else ("invoke",)
    for mode in modes:
        with clients.expecting(1, mode):
            message = await call_model(bound, mode, PROMPT)

        assert not message.invalid_tool_calls, mode
        (call,) = message.tool_calls
        (called,) = [tool for tool in expected if tool.name == call["name"]]
        assert isinstance(called.invoke({**call, "type": "tool_call"}), ToolMessage)
        assert "response_format" == message.response_metadata["constrained_by"], mode


@wrap_model_call
def force_a_call(
    request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]
) -> ModelResponse:
    """Require a tool call in each turn."""
    return handler(request.override(tool_choice="any"))


def test_agent_with_a_forced_tool_runs_it(model: ChatAzurePhi3, clients: CountingClients) -> None:
    """One request for the call; its result ends the run."""
    agent: Any = create_agent(model, [get_weather], middleware=[force_a_call])
    with clients.expecting(1):
        state = agent.invoke({"messages": [("user", PROMPT)]})

    (call,) = state["messages"][-2].tool_calls
    assert get_weather.invoke(call["args"]) == state["messages"][-1].content


async def test_optional_calls_leave_text_free(model: ChatAzurePhi3) -> None:
    """With `tool_choice="auto"` nothing is constrained."""
    bound = model.bind_tools(TOOLS).bind(max_tokens=10, max_corrections=0)
    for mode in CALL_MODES:
        message = await call_model(bound, mode, PROMPT)

        assert message.text or message.tool_calls or message.invalid_tool_calls, mode
        assert "constrained_by" not in message.response_metadata, mode
