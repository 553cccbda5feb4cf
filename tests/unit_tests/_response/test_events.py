"""A response's events are those that LangChain makes of the same chunks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models._compat_bridge import chunks_to_events
from langchain_core.language_models.chat_model_stream import ChatModelStream
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_azure_phi3._response.content_blocks import PROVIDER
from langchain_azure_phi3._response.events import MATCHES_LANGCHAIN, EventWriter
from langchain_azure_phi3._response.fast_chunks import text_chunk

METADATA = {"model_provider": PROVIDER}
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
NAME = "get_weather"


def chunk(
    text: str = "", reasoning: str = "", calls: tuple[Any, ...] = (), **more: Any
) -> ChatGenerationChunk:
    """A chunk that may hold anything."""
    info = more.pop("generation_info", None)
    extra = {"reasoning_content": reasoning} if reasoning else {}
    metadata = {**METADATA, **more.pop("response_metadata", {})}
    message = AIMessageChunk(
        content=text,
        tool_call_chunks=list(calls),
        additional_kwargs=extra,
        response_metadata=metadata,
        **more,
    )
    return ChatGenerationChunk(message=message, generation_info=info)


def call(args: str | None, name: str | None = None, index: int | None = 0) -> Any:
    """A piece of a call; the first one names it."""
    call_id = f"call_{index}" if name is not None else None
    return tool_call_chunk(name=name, args=args, id=call_id, index=index)


def last(**more: Any) -> ChatGenerationChunk:
    """The end of a stream, with what comes only there."""
    return chunk(
        chunk_position="last",
        usage_metadata=USAGE,
        generation_info={"finish_reason": "stop"},
        response_metadata={"token_usage": {"total_tokens": 5}},
        **more,
    )


def events_of(chunks: list[ChatGenerationChunk], message_id: str = "") -> list[Any]:
    """The events of all chunks, and of the end."""
    writer = EventWriter(message_id)
    return [event for each in chunks for event in writer.feed(each)] + list(writer.finish())


NAMED = {**METADATA, "model_name": "phi"}
ANSWERS = {
    "no chunk": [],
    "an end alone": [last()],
    "an end without usage": [chunk(chunk_position="last")],
    "text": [text_chunk("Two ", NAMED), text_chunk("words", METADATA), last()],
    "text, one chunk empty": [
        text_chunk("a", METADATA),
        chunk(),
        text_chunk("b", METADATA),
        last(),
    ],
    "reasoning, then text": [
        chunk(reasoning="Hm. "),
        chunk(reasoning="So."),
        text_chunk("Hi", {}),
        last(),
    ],
    "reasoning and text in one chunk": [
        text_chunk("a", {}),
        chunk("b", "Hm."),
        text_chunk("c", {}),
        last(),
    ],
    "logprobs": [text_chunk("a", {}), chunk("b", generation_info={"logprobs": {}}), last()],
    "a call in pieces": [
        chunk(calls=(call("", NAME),)),
        chunk(calls=(call('{"city": '),)),
        chunk(calls=(call('"Paris"}'),)),
        last(),
    ],
    "a call whose name comes late": [
        chunk(calls=(call("{", None),)),
        chunk(calls=(call("}", NAME),)),
        last(),
    ],
    "a call without arguments": [chunk(calls=(call(None, NAME),)), last()],
    "a call without a name": [chunk(calls=(call("{}"),)), last()],
    "a call that is not JSON": [chunk(calls=(call("{city: Par", NAME),)), last()],
    "calls that alternate": [
        chunk(calls=(call("{", NAME), call("{", "add", 1))),
        chunk(calls=(call("}", None, 1), call("}"))),
        last(),
    ],
    "calls without an index": [chunk(calls=(call("{}", NAME, None), call("{}", "add", None)))],
    "a complete call next to text": [chunk("I call.", calls=(call('{"a": 1}', NAME),)), last()],
    "a piece of a call next to text": [
        chunk("I call.", "Hm.", (call('{"a": ', NAME),)),
        chunk("So.", calls=(call("1}"),)),
        last(),
    ],
    "a broken call next to text": [chunk("I call.", calls=(call("{", NAME),)), last()],
    "text, then a call": [text_chunk("I call.", {}), chunk(calls=(call("{}", NAME),)), last()],
}


@pytest.mark.skipif(not MATCHES_LANGCHAIN, reason="langchain-core 1.6 has other events")
def test_events_are_those_that_langchain_makes() -> None:
    """For everything that a response can hold."""
    for name, chunks in ANSWERS.items():
        expected = list(chunks_to_events(iter(chunks), message_id="lc_run-1"))
        assert events_of(chunks, "lc_run-1") == expected, name


ARGS = st.none() | st.sampled_from(["", "{", "}", "{}", '{"a": 1}', "[", "\N{GRINNING FACE}"])
CALLS = st.builds(call, ARGS, st.none() | st.just(NAME), st.none() | st.integers(0, 2))
PIECES = st.builds(text_chunk, st.text(), st.just(METADATA)) | st.builds(
    chunk, st.sampled_from(["", "a"]), st.sampled_from(["", "Hm."]), st.lists(CALLS).map(tuple)
)


@pytest.mark.skipif(not MATCHES_LANGCHAIN, reason="langchain-core 1.6 has other events")
@given(st.lists(PIECES), st.booleans())
def test_events_match_in_any_order(chunks: list[ChatGenerationChunk], has_end: bool) -> None:
    """Text, reasoning and calls as no model mixes them; with an end or without."""
    chunks = [*chunks, last()] if has_end else chunks

    assert events_of(chunks) == list(chunks_to_events(iter(chunks)))


def test_arguments_without_an_object_are_invalid() -> None:
    """As in a stream of chunks; no message can be made of LangChain's own events."""
    for args in ("[1]", "1", "null", '"{}"'):
        chunks = [chunk(calls=(call(args, NAME),)), last()]
        merged = chunks[0].message + chunks[1].message
        stream = ChatModelStream()
        for event in events_of(chunks):
            stream.dispatch(event)

        assert isinstance(merged, AIMessageChunk)
        assert stream.output.tool_calls == []
        assert merged.invalid_tool_calls == [
            {**found, "error": None} for found in stream.output.invalid_tool_calls
        ]
        assert "not a JSON object" in str(stream.output.invalid_tool_calls[0]["error"])


def test_events_come_with_their_chunk() -> None:
    """Nothing waits for what comes later."""
    writer = EventWriter()

    events = [
        [event["event"] for event in writer.feed(text_chunk(text, {}))] for text in ("a", "b")
    ]

    delta = "content-block-delta"
    assert events == [["message-start", "content-block-start", delta], [delta]]


def test_other_blocks_are_passed_on_complete() -> None:
    """A subclass may make chunks with an image, or with values that are not text."""
    image = AIMessageChunk(content=[{"type": "image", "url": "https://phi.example/a.png"}])
    scored = AIMessageChunk(content="", additional_kwargs={"seen": {"by": "me"}})
    others = [ChatGenerationChunk(message=message) for message in (image, scored)]
    chunks = [text_chunk("Look:", {}), *others, text_chunk(" nice.", {})]

    assert events_of(chunks) == list(chunks_to_events(iter(chunks)))
