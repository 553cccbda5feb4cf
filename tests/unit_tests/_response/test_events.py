"""Events of an answer: those that LangChain would make of the same chunks."""

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
from langchain_azure_phi3._response.events import EventWriter
from langchain_azure_phi3._response.fast_chunks import text_chunk

METADATA = {"model_provider": PROVIDER}
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
NAME = "get_weather"


def chunk(
    text: str = "", thoughts: str = "", calls: tuple[Any, ...] = (), **more: Any
) -> ChatGenerationChunk:
    """A chunk that may hold anything."""
    info = more.pop("generation_info", None)
    kept = {"reasoning_content": thoughts} if thoughts else {}
    metadata = {**METADATA, **more.pop("response_metadata", {})}
    message = AIMessageChunk(
        content=text,
        tool_call_chunks=list(calls),
        additional_kwargs=kept,
        response_metadata=metadata,
        **more,
    )
    return ChatGenerationChunk(message=message, generation_info=info)


def call(args: str | None, name: str | None = None, number: int | None = 0) -> Any:
    """A piece of a call; the first one names it."""
    identity = f"call_{number}" if name is not None else None
    return tool_call_chunk(name=name, args=args, id=identity, index=number)


def last(**more: Any) -> ChatGenerationChunk:
    """The end of a stream, with what is said once."""
    return chunk(
        chunk_position="last",
        usage_metadata=USAGE,
        generation_info={"finish_reason": "stop"},
        response_metadata={"token_usage": {"total_tokens": 5}},
        **more,
    )


def written(chunks: list[ChatGenerationChunk], message_id: str = "") -> list[Any]:
    """The events of all chunks, and of the end."""
    writer = EventWriter(message_id)
    return [event for each in chunks for event in writer.feed(each)] + list(writer.finish())


NAMED = {**METADATA, "model_name": "phi"}
ANSWERS = {
    "no chunk at all": [],
    "an end alone": [last()],
    "an end without usage": [chunk(chunk_position="last")],
    "words": [text_chunk("Two ", NAMED), text_chunk("words", METADATA), last()],
    "words, one of them empty": [
        text_chunk("a", METADATA),
        chunk(),
        text_chunk("b", METADATA),
        last(),
    ],
    "thoughts, then words": [
        chunk(thoughts="Hm. "),
        chunk(thoughts="So."),
        text_chunk("Hi", {}),
        last(),
    ],
    "thoughts and words at once": [
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
    "a call of nobody": [chunk(calls=(call("{}"),)), last()],
    "a call that is no JSON": [chunk(calls=(call("{city: Par", NAME),)), last()],
    "calls that alternate": [
        chunk(calls=(call("{", NAME), call("{", "add", 1))),
        chunk(calls=(call("}", None, 1), call("}"))),
        last(),
    ],
    "calls without a number": [chunk(calls=(call("{}", NAME, None), call("{}", "add", None)))],
    "a whole call beside words": [chunk("I call.", calls=(call('{"a": 1}', NAME),)), last()],
    "a piece of a call beside words": [
        chunk("I call.", "Hm.", (call('{"a": ', NAME),)),
        chunk("So.", calls=(call("1}"),)),
        last(),
    ],
    "a broken call beside words": [chunk("I call.", calls=(call("{", NAME),)), last()],
    "words, then a call": [text_chunk("I call.", {}), chunk(calls=(call("{}", NAME),)), last()],
}


@pytest.mark.parametrize("chunks", ANSWERS.values(), ids=ANSWERS)
def test_events_are_those_that_langchain_makes(chunks: list[ChatGenerationChunk]) -> None:
    """For all that an answer can be."""
    expected = list(chunks_to_events(iter(chunks), message_id="lc_run-1"))

    assert expected == written(chunks, "lc_run-1")


ARGS = st.none() | st.sampled_from(["", "{", "}", "{}", '{"a": 1}', "[", "\N{GRINNING FACE}"])
CALLS = st.builds(call, ARGS, st.none() | st.just(NAME), st.none() | st.integers(0, 2))
PIECES = st.builds(text_chunk, st.text(), st.just(METADATA)) | st.builds(
    chunk, st.sampled_from(["", "a"]), st.sampled_from(["", "Hm."]), st.lists(CALLS).map(tuple)
)


@given(st.lists(PIECES), st.booleans())
def test_in_any_order_too(chunks: list[ChatGenerationChunk], ends: bool) -> None:
    """Words, thoughts and calls, as no model would mix them; with an end or without."""
    chunks = [*chunks, last()] if ends else chunks

    assert list(chunks_to_events(iter(chunks))) == written(chunks)


@pytest.mark.parametrize("args", ["[1]", "1", "null", '"{}"'])
def test_arguments_that_are_no_object_make_an_invalid_call(args: str) -> None:
    """As they do in a stream of chunks; of LangChain's own events no message can be made."""
    answer = [chunk(calls=(call(args, NAME),)), last()]
    merged = answer[0].message + answer[1].message
    stream = ChatModelStream()
    for event in written(answer):
        stream.dispatch(event)

    assert isinstance(merged, AIMessageChunk)
    assert [] == stream.output.tool_calls
    assert merged.invalid_tool_calls == [
        {**found, "error": None} for found in stream.output.invalid_tool_calls
    ]
    assert "not a JSON object" in str(stream.output.invalid_tool_calls[0]["error"])


def test_each_event_is_told_as_soon_as_its_chunk_is_there() -> None:
    """Nothing waits for what comes later."""
    writer = EventWriter()

    events = [
        [event["event"] for event in writer.feed(text_chunk(text, {}))] for text in ("a", "b")
    ]

    delta = "content-block-delta"
    assert [["message-start", "content-block-start", delta], [delta]] == events


def test_blocks_of_other_kinds_are_told_whole() -> None:
    """A subclass may make chunks of its own: a picture, and values that are no texts."""
    picture = AIMessageChunk(content=[{"type": "image", "url": "https://phi.example/a.png"}])
    scored = AIMessageChunk(content="", additional_kwargs={"seen": {"by": "me"}})
    others = [ChatGenerationChunk(message=message) for message in (picture, scored)]
    chunks = [text_chunk("Look:", {}), *others, text_chunk(" nice.", {})]

    assert list(chunks_to_events(iter(chunks))) == written(chunks)
