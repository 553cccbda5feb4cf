"""Events of the third version, as the model tells them: LangChain's own, in less time."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models._compat_bridge import chunks_to_events
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tracers._streaming import _V2StreamingCallbackHandler
from pydantic import BaseModel, PrivateAttr

from langchain_azure_phi3 import (
    AzurePhi3Error,
    ChatAzurePhi3,
    ContentFilterError,
    InterruptedStreamError,
)
from langchain_azure_phi3._response.events import CURRENT
from langchain_azure_phi3.emulator import Emulator

pytestmark = [
    pytest.mark.skipif(not CURRENT, reason="LangChain's own bridge tells the events"),
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]

COLOURS = ("stream_events", "astream_events")


class Recording(ChatAzurePhi3):
    """The model, which remembers its chunks."""

    _chunks: list[ChatGenerationChunk] = PrivateAttr(default_factory=list)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in super()._stream(*args, **kwargs):
            self._chunks.append(chunk)
            yield chunk

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            self._chunks.append(chunk)
            yield chunk

    def bridged(self, message_id: str) -> list[Any]:
        """The events that LangChain makes of the chunks so far."""
        return list(chunks_to_events(iter(self._chunks), message_id=message_id))


class Report(BaseModel):
    """A report on the weather."""

    city: str


def get_weather(city: str) -> str:
    """The weather of a city."""
    return city


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def recording(phi: Emulator, **settings: Any) -> Recording:
    """A model of this deployment."""
    return Recording(endpoint=phi.endpoint, credential=phi.key, model=phi.model, **settings)


async def told(model: Any, colour: str, question: str) -> tuple[list[Any], AIMessage]:
    """The events of one answer, and the message that LangChain makes of them."""
    if colour == "stream_events":
        stream = model.stream_events(question, version="v3")
        return list(stream), stream.output
    stream = await model.astream_events(question, version="v3")
    return [event async for event in stream], await stream.output


def said(message: AIMessage) -> dict[str, Any]:
    """What is the same however often a question is asked: everything but ids and times."""
    metadata = message.response_metadata
    return {
        "text": message.text,
        "thoughts": message.additional_kwargs.get("reasoning_content"),
        "calls": [(call["name"], call["args"]) for call in message.tool_calls],
        "invalid": [(call["name"], call["args"]) for call in message.invalid_tool_calls],
        "usage": message.usage_metadata,
        "finish_reason": metadata["finish_reason"],
        "model_name": metadata["model_name"],
        "filters": metadata.get("content_filter_results"),
    }


CALLS = {"tools": [get_weather, add]}
WEATHER = "Use get_weather for Paris."
SUM = "Use add to add 3 and 4."
REASONING = "Phi-4-reasoning"
NATIVE = {"tools": "native"}
# How the emulator is set up, the model, what is bound to it, and the question.
ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "words": ({}, {}, {}, "Hi"),
    "usage": ({}, {"stream_usage": True}, {}, "Hi"),
    "cut off": ({}, {"max_tokens": 3}, {}, "Tell me a long story."),
    "thoughts in the text": ({"name": REASONING, "reasoning": "text"}, {}, {}, "Why?"),
    "thoughts in a field": ({"name": REASONING, "reasoning": "field"}, {}, {}, "Why?"),
    "a call in words": ({}, {}, CALLS, WEATHER),
    "a native call": (NATIVE, {"tool_calling": "native"}, CALLS, WEATHER),
    "two calls": ({"model_errors": "two calls"}, {}, CALLS, SUM),
    "two native calls": (
        {**NATIVE, "model_errors": "two calls"},
        {"tool_calling": "native"},
        CALLS,
        SUM,
    ),
    "an object": ({}, {}, {"tools": [], "response_format": Report}, "A report on Paris."),
    "a filtered answer": (
        {"include_filter_results": True},
        {"on_content_filter": "return"},
        {},
        "Please trigger the filter on your answer.",
    ),
}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("case", ANSWERS)
async def test_events_are_langchains_and_their_message_that_of_invoke(
    case: str, colour: str
) -> None:
    """Each kind of answer, in both colours."""
    deployment, settings, bound, question = ANSWERS[case]
    deployed = dict(deployment)
    name = deployed.pop("name", "Phi-4-mini-instruct")
    with Emulator(name, **deployed) as phi:
        model = recording(phi, **settings)
        asked = model.bind_tools(**bound) if bound else model
        events, message = await told(asked, colour, question)
    with Emulator(name, **deployed) as phi:
        model_again = recording(phi, **settings)
        whole = (model_again.bind_tools(**bound) if bound else model_again).invoke(question)

    assert model.bridged(message.id or "") == events
    assert said(whole) == said(message)


@pytest.mark.parametrize("colour", COLOURS)
async def test_an_invalid_call_is_one(colour: str) -> None:
    """Of LangChain's own events, with arguments that are no object, no message can be made."""
    with Emulator(model_errors="bad values") as phi:
        _, message = await told(recording(phi, max_corrections=0).bind_tools(**CALLS), colour, SUM)
    with Emulator(model_errors="bad values") as phi:
        whole = recording(phi, max_corrections=0).bind_tools(**CALLS).invoke(SUM)

    assert ["add"] == [call["name"] for call in message.invalid_tool_calls]
    assert said(whole) == said(message)


@pytest.mark.parametrize("colour", COLOURS)
async def test_an_empty_answer_is_one(colour: str) -> None:
    """It begins and ends, and has no blocks."""
    with Emulator() as phi:
        phi.script("")
        model = recording(phi)
        events, message = await told(model, colour, "Hi")

    assert ["message-start", "message-finish"] == [event["event"] for event in events]
    assert model.bridged(message.id or "") == events
    assert "stop" == message.response_metadata["finish_reason"]


async def until_the_error(model: Recording, colour: str) -> tuple[list[Any], AzurePhi3Error]:
    """The events before the error that ends an answer."""
    events: list[Any] = []
    try:
        if colour == "stream_events":
            events.extend(model.stream_events(QUESTION, version="v3"))
        else:
            async for event in await model.astream_events(QUESTION, version="v3"):
                events.append(event)  # noqa: PERF401 -- what came before the error counts
    except AzurePhi3Error as error:
        return events, error
    raise AssertionError("The answer has ended as if it were whole.")


QUESTION = "Please trigger the filter on your answer."


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("filtered", [True, False])
async def test_an_error_comes_after_what_was_said_before_it(colour: str, filtered: bool) -> None:
    """Nothing is told as if it were whole: no block ends, nor does the message."""
    with Emulator(include_filter_results=filtered) as phi:
        if not filtered:
            phi.fail("cut", fraction=0.5)
        model = recording(phi, max_retries=0)
        events, error = await until_the_error(model, colour)

    ends = {"content-block-finish", "message-finish"}
    expected = [each for each in model.bridged(events[0]["id"]) if each["event"] not in ends]
    assert expected == events
    assert isinstance(error, ContentFilterError if filtered else InterruptedStreamError)
    assert "".join(each["delta"]["text"] for each in events[2:]) == error.partial


class _Listening(BaseCallbackHandler):
    """What callbacks were told of one run."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.tokens: list[str] = []
        self.answers: list[str] = []

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self.events.append(event)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.answers.append(response.generations[0][0].message.text)


class _ListeningToEvents(_Listening, _V2StreamingCallbackHandler):
    """A callback that asks for events, as LangGraph's does."""


@pytest.mark.parametrize("colour", ["invoke", "ainvoke"])
async def test_callbacks_hear_events_where_they_ask_for_them(colour: str) -> None:
    """`invoke` then streams: the events are LangChain's, and no tokens are told besides."""
    heard = _ListeningToEvents()
    with Emulator() as phi:
        model, config = recording(phi), {"callbacks": [heard]}
        if colour == "invoke":
            message = model.invoke("Hi", config)
        else:
            message = await model.ainvoke("Hi", config)

    assert model.bridged(message.id or "") == heard.events
    assert ([], [message.text]) == (heard.tokens, heard.answers)


def test_any_callback_hears_the_events_of_a_stream() -> None:
    """And the end of the run, once."""
    heard = _Listening()
    with Emulator() as phi:
        stream = recording(phi).stream_events("Hi", {"callbacks": [heard]}, version="v3")
        events = list(stream)

    assert events == heard.events
    assert ([], [stream.output.text]) == (heard.tokens, heard.answers)
