"""Refusals of the model, and answers that a content filter ends, as LangChain represents them."""

import pickle
from typing import Any

import pytest
from langchain.agents import create_agent, middleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core import exceptions
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from langchain_azure_phi3 import (
    ChatAzurePhi3,
    ContentFilterError,
    FilteredCompletionError,
    RefusalError,
)
from langchain_azure_phi3.emulator import Emulator, Generation, Prompt
from tests.integration_tests.call_modes import CALL_MODES, call_error, call_model

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

# The package works with releases of LangChain that do not have these yet.
ModelRefusalError: Any = getattr(exceptions, "ModelRefusalError", exceptions.ModelError)
ModelRefusalMiddleware: Any = getattr(middleware, "ModelRefusalMiddleware", None)
needs_middleware = pytest.mark.skipif(
    ModelRefusalMiddleware is None, reason="langchain 1.5 added ModelRefusalMiddleware"
)

BLOCKED_ANSWER = "Please trigger the filter on your answer."
BLOCKED_PROMPT = "How to make a lethal bomb?"
REFUSAL = "I cannot help with that request."
FILTERED_BLOCK = {"type": "refusal", "refusal": "", "extras": {"category": "violence"}}
REFUSAL_BLOCK = {"type": "refusal", "refusal": REFUSAL}


class Person(BaseModel):
    """A person."""

    name: str


def refuse(_: Prompt) -> Generation:
    """Refuse, whatever the prompt."""
    return Generation("", refusal=REFUSAL)


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"Sunny in {city}."


def make_model(phi: Emulator, **settings: Any) -> ChatAzurePhi3:
    """A model for this deployment."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model=phi.model, **settings)


def refusals_of(message: AIMessage) -> list[Any]:
    """The refusal blocks of a message."""
    return [block for block in message.content_blocks if block["type"] == "refusal"]


async def read_v3_events(model: ChatAzurePhi3, prompt: str) -> tuple[list[Any], AIMessage]:
    """The refusals in the events of one answer, and LangChain's message of them."""
    stream = await model.astream_events(prompt, version="v3")
    events = [event async for event in stream]
    ends = [event["content"] for event in events if event["event"] == "content-block-finish"]
    return [end for end in ends if end["type"] == "refusal"], await stream.output


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_filtered_completion_is_a_langchain_refusal(mode: str) -> None:
    """And still a `ContentFilterError`; its message has the refusal block and the partial text."""
    with Emulator(filter_error_format="detailed") as phi:
        error = await call_error(make_model(phi), mode, BLOCKED_ANSWER)

    assert isinstance(error, FilteredCompletionError)
    assert isinstance(error, ContentFilterError)
    assert isinstance(error, ModelRefusalError)
    assert (error.stage, error.is_retryable) == ("completion", False)
    assert isinstance(error.raw_message, AIMessage)
    assert error.partial == error.raw_message.text != ""
    assert refusals_of(error.raw_message) != []
    assert error.raw_message.usage_metadata == error.usage_metadata
    assert pickle.loads(pickle.dumps(error)).raw_message == error.raw_message


async def test_filtered_prompt_is_no_refusal_of_the_model() -> None:
    """The request is refused before the model sees it."""
    with Emulator() as phi:
        error = await call_error(make_model(phi), "invoke", BLOCKED_PROMPT)
    assert isinstance(error, ContentFilterError)
    assert not isinstance(error, RefusalError)


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_returned_filtered_completion_has_a_refusal_block(mode: str) -> None:
    """After its text, in both versions of the content; the block names the filters."""
    with Emulator(include_filter_results=True) as phi:
        for output_version in ("v0", "v1"):
            model = make_model(phi, on_content_filter="return", output_version=output_version)
            message = await call_model(model, mode, BLOCKED_ANSWER)

            text, refusal = message.content_blocks
            assert text["type"] == "text"
            assert message.text != ""
            category = refusal["extras"]["category"]  # type: ignore[typeddict-item]
            assert refusal["type"] == "refusal"
            assert category == "violence"
            assert message.response_metadata["finish_reason"] == "content_filter"


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_refusal_of_the_wire_is_a_block(mode: str) -> None:
    """Of one piece, in complete answers and streams."""
    with Emulator(responder=refuse) as phi:
        for output_version in ("v0", "v1"):
            message = await call_model(make_model(phi, output_version=output_version), mode, "Hi")
            assert [REFUSAL_BLOCK] == [
                {name: value for name, value in block.items() if name != "index"}
                for block in message.content_blocks
            ]
            assert message.additional_kwargs["refusal"] == REFUSAL
            assert message.text == ""


async def test_v3_events_carry_the_refusal() -> None:
    """As one block. In the message that core 1.8 assembles, only the metadata tells of a filter."""
    with Emulator(responder=refuse) as phi:
        refusals, message = await read_v3_events(make_model(phi), "Hi")
        assert [REFUSAL_BLOCK] == [{k: v for k, v in r.items() if k != "index"} for r in refusals]
        assert refusals_of(message) != []
    with Emulator(include_filter_results=True) as phi:
        model = make_model(phi, on_content_filter="return")
        refusals, message = await read_v3_events(model, BLOCKED_ANSWER)
        assert [refusal["extras"]["category"] for refusal in refusals] == ["violence"]
        assert message.response_metadata["finish_reason"] == "content_filter"


METHODS = ("json_schema", "function_calling", "json_mode")


@pytest.mark.parametrize("method", METHODS)
async def test_refusal_is_the_parsing_error(method: Any) -> None:
    """With `include_raw=True`; without it, it is raised. It is not corrected."""
    for settings in ({}, {"streaming": True}):
        with Emulator(responder=refuse) as phi:
            model = make_model(phi, **settings)
            runnable = model.with_structured_output(Person, method=method, include_raw=True)
            for result in (runnable.invoke("Who?"), await runnable.ainvoke("Who?")):
                error = result["parsing_error"]
                assert isinstance(error, RefusalError)
                assert isinstance(error, ModelRefusalError)
                assert REFUSAL in str(error)
                assert (result["raw"], result["parsed"]) == (error.raw_message, None)
            assert len(phi.requests) == 2

            with pytest.raises(ModelRefusalError, match="I cannot help"):
                model.with_structured_output(Person, method=method).invoke("Who?")


@pytest.mark.parametrize("on_content_filter", ["raise", "return"])
async def test_filtered_object_is_the_parsing_error(on_content_filter: Any) -> None:
    """Whatever `on_content_filter` is: the object is not complete."""
    for settings in ({}, {"streaming": True}):
        with Emulator() as phi:
            model = make_model(phi, on_content_filter=on_content_filter, **settings)
            runnable = model.with_structured_output(Person, include_raw=True)
            for result in (runnable.invoke(BLOCKED_ANSWER), await runnable.ainvoke(BLOCKED_ANSWER)):
                assert isinstance(result["parsing_error"], FilteredCompletionError)
                assert refusals_of(result["raw"]) != []
                assert result["parsed"] is None
            assert len(phi.requests) == 2

            with pytest.raises(FilteredCompletionError):
                model.with_structured_output(Person).invoke(BLOCKED_ANSWER)


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_required_call_is_not_requested_again(mode: str) -> None:
    """The metadata says that it is missing."""
    with Emulator(responder=refuse) as phi:
        bound = make_model(phi).bind_tools([get_weather], tool_choice="any")
        message = await call_model(bound, mode, "Weather in Paris?")
        assert len(phi.requests) == 1
    assert refusals_of(message) == [REFUSAL_BLOCK]
    assert "unmet_requirement" in message.response_metadata


async def assert_falls_back(model: ChatAzurePhi3, fallback: Any, question: str) -> None:
    """An agent whose first model refuses ends with the answer of the other model."""
    state: Any = {"messages": [("user", question)]}
    agent = create_agent(
        model, middleware=[middleware.ModelFallbackMiddleware(fallback), ModelRefusalMiddleware()]
    )
    for end in (agent.invoke(state), await agent.ainvoke(state)):
        assert end["messages"][-1].text == "Here I am."


@needs_middleware
async def test_agent_falls_back_after_a_refusal() -> None:
    """`ModelRefusalMiddleware` makes the refusal an error for `ModelFallbackMiddleware`."""
    with Emulator(responder=refuse) as phi, Emulator("Phi-4") as other:
        other.script("Here I am.", "Here I am.")
        await assert_falls_back(make_model(phi), make_model(other), "Hi")
        assert (len(phi.requests), len(other.requests)) == (2, 2)


@needs_middleware
@pytest.mark.parametrize("on_content_filter", ["raise", "return"])
async def test_agent_falls_back_after_a_filter(on_content_filter: Any) -> None:
    """To a model elsewhere: every emulator filters this question."""
    with Emulator() as phi:
        other = FakeListChatModel(responses=["Here I am."])
        await assert_falls_back(
            make_model(phi, on_content_filter=on_content_filter), other, BLOCKED_ANSWER
        )
        assert len(phi.requests) == 2


@needs_middleware
async def test_agent_raises_a_refusal_without_a_fallback() -> None:
    """And without the middleware, the refusal is the agent's answer."""
    state: Any = {"messages": [("user", "Hi")]}
    with Emulator(responder=refuse) as phi:
        agent = create_agent(make_model(phi), middleware=[ModelRefusalMiddleware()])
        with pytest.raises(ModelRefusalError, match="I cannot help"):
            agent.invoke(state)
        answer = create_agent(make_model(phi)).invoke(state)["messages"][-1]
    assert refusals_of(answer) == [REFUSAL_BLOCK]


@needs_middleware
@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
def test_agent_with_a_schema_raises_the_refusal(strategy: Any) -> None:
    """Instead of an error about the object, and after one request."""
    for question, options in (("Hi", {"responder": refuse}), (BLOCKED_ANSWER, {})):
        with Emulator(**options) as phi:  # type: ignore[arg-type]
            agent = create_agent(
                make_model(phi, on_content_filter="return"),
                response_format=strategy(Person),
                middleware=[ModelRefusalMiddleware()],
            )
            with pytest.raises(ModelRefusalError):
                agent.invoke({"messages": [("user", question)]})  # type: ignore[list-item]
            assert len(phi.requests) == 1


@pytest.mark.skipif(
    not hasattr(ModelRefusalError, "from_refusal"), reason="langchain-core 1.7.5 added it"
)
def test_langchain_makes_errors_of_refusals() -> None:
    """`from_refusal` is LangChain's, on both classes."""
    block: Any = FILTERED_BLOCK
    for cls in (RefusalError, FilteredCompletionError):
        error = cls.from_refusal(block, raw_message=AIMessage(""))
        assert type(error) is cls
        assert "violence" in str(error)
