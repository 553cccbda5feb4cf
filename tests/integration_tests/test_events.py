"""Version 3 of LangChain's events: the model emits the same as LangChain's bridge, faster."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
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
from langchain_azure_phi3._response.events import MATCHES_LANGCHAIN
from langchain_azure_phi3.emulator import Emulator, Generation, Prompt
from tests.unit_tests.scripted import STREAM, Scripted

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]

EVENT_MODES = ("stream_events", "astream_events")


class Recording(ChatAzurePhi3):
    """The model, which keeps its chunks."""

    _chunks: list[ChatGenerationChunk] = PrivateAttr(default_factory=list)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in super()._stream(*args, **kwargs):
            self._chunks.append(chunk)
            yield chunk

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            self._chunks.append(chunk)
            yield chunk

    def bridge_events(self, message_id: str | None) -> list[Any]:
        """The events that LangChain makes of the chunks so far."""
        return list(chunks_to_events(iter(self._chunks), message_id=message_id or ""))


class Report(BaseModel):
    """A report on the weather."""

    city: str


def get_weather(city: str) -> str:
    """The weather of a city."""
    return city


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def refuse(_: Prompt) -> Generation:
    """Refuse, in several pieces."""
    return Generation("", refusal="I cannot help with that.")


def recording(phi: Emulator, **settings: Any) -> Recording:
    """A recording model for this deployment."""
    return Recording(endpoint=phi.endpoint, credential=phi.key, model=phi.model, **settings)


async def read_events(model: Any, mode: str, question: str) -> tuple[list[Any], AIMessage]:
    """The events of one answer, and the message that LangChain makes of them."""
    if mode == "stream_events":
        stream = model.stream_events(question, version="v3")
        return list(stream), stream.output
    stream = await model.astream_events(question, version="v3")
    return [event async for event in stream], await stream.output


async def read_failing_events(model: Any, mode: str) -> tuple[list[Any], AzurePhi3Error]:
    """The events before the error that ends an answer, and the error."""
    events: list[Any] = []
    try:
        if mode == "stream_events":
            events.extend(model.stream_events(BLOCKED_ANSWER, version="v3"))
        else:
            async for event in await model.astream_events(BLOCKED_ANSWER, version="v3"):
                events.append(event)  # noqa: PERF401 -- a comprehension would lose them
    except AzurePhi3Error as error:
        return events, error
    raise AssertionError("The answer ended as if it were complete.")


def plain_args(args: str | None) -> Any:
    """The arguments of an invalid call; streams write an object as a JSON string."""
    value = json.loads(args or "{}")
    return json.loads(value) if isinstance(value, str) else value


def comparable(message: AIMessage) -> dict[str, Any]:
    """The parts of an answer that are the same for every request."""
    metadata = message.response_metadata
    return {
        "text": message.text,
        "reasoning": message.additional_kwargs.get("reasoning_content"),
        "calls": [(call["name"], call["args"]) for call in message.tool_calls],
        "invalid": [
            (call["name"], plain_args(call["args"])) for call in message.invalid_tool_calls
        ],
        "usage": message.usage_metadata,
        "finish_reason": metadata["finish_reason"],
        "model_name": metadata["model_name"],
        "refusal": message.additional_kwargs.get("refusal"),
        "filters": metadata.get("content_filter_results"),
    }


# -- answers that fail ---------------------------------------------------------------------------

BLOCKED_ANSWER = "Please trigger the filter on your answer."


async def test_errors_follow_the_events_before_them() -> None:
    """Neither a content block nor the message ends as if it were complete."""
    for mode in EVENT_MODES:
        with Emulator(include_filter_results=True) as phi:
            model = recording(phi)
            events, error = await read_failing_events(model, mode)
            assert isinstance(error, ContentFilterError), mode
            assert_incomplete(model, events, error)
        with Emulator() as phi:
            phi.script("one two three four five six")
            phi.fail(name="cut", after=4)
            model = recording(phi, max_retries=0)
            events, error = await read_failing_events(model, mode)
            assert isinstance(error, InterruptedStreamError), mode
            assert_incomplete(model, events, error)


def assert_incomplete(model: Recording, events: list[Any], error: AzurePhi3Error) -> None:
    """The events are LangChain's for the chunks so far, without any end."""
    ends = {"content-block-finish", "message-finish"}
    bridged = model.bridge_events(events[0]["id"])
    assert [event for event in bridged if event["event"] not in ends] == events
    assert "".join(event["delta"]["text"] for event in events[2:]) == error.partial != ""


@pytest.mark.skipif(not MATCHES_LANGCHAIN, reason="langchain-core 1.6 has other events")
async def test_invalid_calls_keep_their_arguments() -> None:
    """LangChain's own events cannot express arguments that are not an object."""
    for mode in EVENT_MODES:
        with Emulator() as phi:
            phi.script(*['{"name": "add", "arguments": {"a": 3}}'] * 2)
            bound = recording(phi, max_corrections=0).bind_tools([add])
            _, message = await read_events(bound, mode, "Add 3 and 4.")
            complete = bound.invoke("Add 3 and 4.")

        assert ["add"] == [call["name"] for call in message.invalid_tool_calls], mode
        assert comparable(complete) == comparable(message)


async def test_empty_answer_has_no_blocks() -> None:
    """The message starts and finishes."""
    for mode in EVENT_MODES:
        with Emulator() as phi:
            phi.script("")
            model = recording(phi)
            events, message = await read_events(model, mode, "Hi")

        assert ["message-start", "message-finish"] == [event["event"] for event in events], mode
        assert model.bridge_events(message.id) == events
        assert "stop" == message.response_metadata["finish_reason"]


# -- complete answers ----------------------------------------------------------------------------

WEATHER = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
SUM = '{"name": "add", "arguments": {"a": 3, "b": 4}}'
TOOLS = {"tools": [get_weather, add]}
REASONING = ("Phi-4-reasoning",)
MINI = ("Phi-4-mini-instruct",)
# The models and options of the emulator, its scripted answer, the settings of the model, and
# what is bound to it.
ANSWERS: dict[str, tuple[tuple[str, ...], dict[str, Any], str | None, dict[str, Any], Any]] = {
    "text": (MINI, {}, "Hello.", {}, None),
    "usage": (MINI, {}, "Hello.", {"stream_usage": True}, None),
    "truncated": (MINI, {}, "one two three four five", {"max_tokens": 3}, None),
    "reasoning in the text": (REASONING, {"reasoning": "text"}, None, {}, None),
    "reasoning in a field": (REASONING, {"reasoning": "field"}, None, {}, None),
    "prompted call": (MINI, {}, WEATHER, {}, TOOLS),
    "two prompted calls": (MINI, {}, f"{WEATHER}\n{SUM}", {}, TOOLS),
    "native call": (MINI, {"tools": "native"}, None, {"tool_calling": "native"}, TOOLS),
    "object": (MINI, {}, '{"city": "Paris"}', {}, {"tools": [], "response_format": Report}),
    "refusal": (MINI, {"responder": refuse}, None, {}, None),
    "filtered answer": (
        MINI,
        {"include_filter_results": True},
        None,
        {"on_content_filter": "return"},
        None,
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_events_equal_langchains(answer: str) -> None:
    """Their message equals that of `invoke`; sync and async."""
    models, options, text, settings, bound = ANSWERS[answer]
    question = BLOCKED_ANSWER if answer == "filtered answer" else "Use get_weather for Paris."
    for mode in EVENT_MODES:
        with Emulator(*models, **options) as phi:
            phi.script(*[text or ""] * 2 if text is not None else ())
            model = recording(phi, **settings)
            called = model if bound is None else model.bind_tools(**bound)
            events, message = await read_events(called, mode, question)
            bridged = model.bridge_events(message.id)
            complete = called.invoke(question)

        assert bridged == events, mode
        assert comparable(complete) == comparable(message)


def sse_of_calls(*pieces: dict[str, Any]) -> bytes:
    """A stream with these pieces of native calls, and its end."""
    deltas = [*({"tool_calls": [piece]} for piece in pieces), {}]
    chunks = [
        {"index": 0, "delta": delta, "finish_reason": None if delta else "tool_calls"}
        for delta in deltas
    ]
    events = [{"id": "1", "model": "m", "choices": [chunk]} for chunk in chunks]
    return b"".join(b"data: %b\n\n" % json.dumps(e).encode() for e in events) + b"data: [DONE]\n\n"


async def test_events_of_two_native_calls_equal_langchains() -> None:
    """Each call comes in several pieces."""
    first, second = ({"index": n, "id": f"c{n}", "type": "function"} for n in range(2))
    stream = sse_of_calls(
        {**first, "function": {"name": "get_weather", "arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": '"Paris"}'}},
        {**second, "function": {"name": "add", "arguments": '{"a": 3,'}},
        {"index": 1, "function": {"arguments": '"b": 4}'}},
    )
    for mode in EVENT_MODES:
        transport = Scripted([stream], headers=STREAM)
        model = Recording(
            endpoint="https://phi.example",
            credential="key",
            tool_calling="native",
            http_client=httpx.Client(transport=transport),
            http_async_client=httpx.AsyncClient(transport=transport),
        )
        events, message = await read_events(model.bind_tools(**TOOLS), mode, "Hi")

        assert model.bridge_events(message.id) == events, mode
        assert [("get_weather", {"city": "Paris"}), ("add", {"a": 3, "b": 4})] == [
            (call["name"], call["args"]) for call in message.tool_calls
        ]


# -- callbacks -----------------------------------------------------------------------------------


class Listener(BaseCallbackHandler):
    """Keeps what callbacks receive from one run."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.tokens: list[str] = []
        self.answers: list[str] = []

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        """Called for each event."""
        self.events.append(event)

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """Called for each token."""
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        """Called at the end of the run."""
        self.answers.append(response.generations[0][0].message.text)


class EventListener(Listener, _V2StreamingCallbackHandler):
    """A callback that requests events, as LangGraph's does."""


async def test_callbacks_can_request_events() -> None:
    """`invoke` then streams: the callback receives LangChain's events and no tokens."""
    for is_async in (False, True):
        listener = EventListener()
        with Emulator() as phi:
            model = recording(phi)
            config: Any = {"callbacks": [listener]}
            message = await model.ainvoke("Hi", config) if is_async else model.invoke("Hi", config)

        assert model.bridge_events(message.id) == listener.events
        assert ([], [message.text]) == (listener.tokens, listener.answers)


def test_every_callback_receives_streamed_events() -> None:
    """And the end of the run, once."""
    listener = Listener()
    with Emulator() as phi:
        stream = recording(phi).stream_events("Hi", {"callbacks": [listener]}, version="v3")
        events = list(stream)

    assert events == listener.events
    assert ([], [stream.output.text]) == (listener.tokens, listener.answers)
