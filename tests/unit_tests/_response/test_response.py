"""Wire JSON as usage, text, calls and blocks, in every form that servers write it."""

from typing import Any

import pytest
from langchain_azure_phi3._response.response import (
    PROVIDER,
    choices,
    model_info,
    spoken,
    tool_call_chunks,
    tool_calls,
    usage,
)
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_azure_phi3 import InvalidResponseError, ModelInfo

OURS = {"model_provider": PROVIDER}


def counts(given: int, produced: int, total: int, **details: Any) -> dict[str, Any]:
    """LangChain's form of a usage."""
    return {"input_tokens": given, "output_tokens": produced, "total_tokens": total, **details}


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({"prompt_tokens": 19, "total_tokens": 91, "completion_tokens": 72}, counts(19, 72, 91)),
        ({"prompt_tokens": "19", "completion_tokens": "72"}, counts(19, 72, 91)),
        ({"prompt_tokens": 19, "total_tokens": 91}, counts(19, 72, 91)),
        ({"completion_tokens": 72, "total_tokens": 91}, counts(19, 72, 91)),
        ({"prompt_tokens": 19}, counts(19, 0, 19)),
        ({"prompt_tokens": 19, "completion_tokens": 0, "total_tokens": 19}, counts(19, 0, 19)),
        ({"prompt_tokens": 19, "completion_tokens": None, "total_tokens": 19}, counts(19, 0, 19)),
        (
            {
                "prompt_tokens": 19,
                "completion_tokens": 72,
                "total_tokens": 91,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": None},
                "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0},
            },
            counts(
                19,
                72,
                91,
                input_token_details={"cache_read": 4},
                output_token_details={"reasoning": 5, "audio": 0},
            ),
        ),
        (
            {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": []},
            counts(1, 1, 2),
        ),
        ({}, None),
        ({"prompt_tokens": "many"}, None),
        (None, None),
        ([], None),
    ],
)
def test_usage_is_read_in_every_form(wire: Any, expected: dict[str, Any] | None) -> None:
    """Missing figures follow from the others; without any figure there is no usage."""
    assert expected == usage({"usage": wire})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("word", "word"),
        (" leading space", " leading space"),
        (None, ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "x"}, "y"], "ab"),
        (7, ""),
    ],
)
def test_text_is_read_in_every_form(content: Any, text: str) -> None:
    """A leading space, which Phi often writes, is the user's to strip."""
    assert text == spoken({"content": content})


def test_choices_come_in_the_order_of_their_indexes() -> None:
    """A server may list them in any order, and leaves the index out for a single one."""
    body = {"choices": [{"index": 1, "a": 1}, "junk", {"a": 0}]}

    assert [0, 1] == [choice["a"] for choice in choices(body)]


@pytest.mark.parametrize("none", [None, [], "x", [None], [{"type": "function"}]])
def test_no_calls_are_written_in_many_ways(none: Any) -> None:
    """Null, an empty list, or nothing that is one."""
    assert ([], []) == tool_calls({"tool_calls": none})
    assert [] == tool_call_chunks({"tool_calls": none})


def call(arguments: Any, **others: Any) -> dict[str, Any]:
    """A message with one call on the wire."""
    return {"tool_calls": [{"function": {"name": "f", "arguments": arguments}, **others}]}


@pytest.mark.parametrize(
    ("arguments", "args"), [('{"a": 1}', {"a": 1}), ("", {}), (None, {}), ({"a": 1}, {"a": 1})]
)
def test_a_good_call_has_its_arguments_as_an_object(arguments: Any, args: dict[str, int]) -> None:
    """They come as JSON text, and from some servers as an object."""
    good, bad = tool_calls(call(arguments, id="c1"))

    assert [("f", args, "c1")] == [(c["name"], c["args"], c["id"]) for c in good]
    assert [] == bad


@pytest.mark.parametrize("arguments", ["{", "[1]", "7"])
def test_a_call_without_an_object_is_invalid_with_the_reason(arguments: str) -> None:
    """It is kept as it came."""
    good, bad = tool_calls(call(arguments))

    assert [] == good
    assert [("f", arguments, "call_f_0")] == [(c["name"], c["args"], c["id"]) for c in bad]
    assert "not a JSON object" in str(bad[0]["error"])


def test_pieces_of_calls_keep_what_they_carry() -> None:
    """The first has id and name, the others arguments; one without an index has its place."""
    first = {"id": "c1", "index": 0, "function": {"name": "f", "arguments": ""}}
    second = {"index": 0, "function": {"arguments": '{"a"'}}
    third = {"function": {"arguments": {"a": 1}}}

    pieces = tool_call_chunks({"tool_calls": [first, second, third]})

    assert [
        ("f", "", "c1", 0),
        (None, '{"a"', None, 0),
        (None, '{"a": 1}', None, 2),
    ] == [(p["name"], p["args"], p["id"], p["index"]) for p in pieces]


def test_model_info_takes_what_there_is() -> None:
    """Managed compute leaves the provider out, or empty."""
    assert ModelInfo("phi3-mini-vision", "chat-completion") == model_info(
        {"model_name": "phi3-mini-vision", "model_type": "chat-completion", "x": 1}
    )
    assert ModelInfo("m") == model_info({"model_name": "m", "model_provider_name": ""})


@pytest.mark.parametrize("body", [{}, {"model_name": ""}, {"model_name": 7}])
def test_model_info_without_a_name_is_an_error(body: dict[str, Any]) -> None:
    """The rest is of no use then."""
    with pytest.raises(InvalidResponseError, match="model_name"):
        model_info(body)


# -- LangChain's standard blocks ---------------------------------------------------------------

CALL = {"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
CALL_BLOCK = {"type": "tool_call", "id": "c1", "name": "f", "args": {"a": 1}}
PIECE = {"name": "f", "args": '{"a": 1}', "id": "c1", "index": 0, "type": "tool_call_chunk"}


@pytest.mark.parametrize(
    ("message", "blocks"),
    [
        (AIMessage("Hi", response_metadata=OURS), [{"type": "text", "text": "Hi"}]),
        (AIMessage("", response_metadata=OURS), []),
        (AIMessage(["Hi"], response_metadata=OURS), [{"type": "text", "text": "Hi"}]),
        (
            AIMessage("Hi", tool_calls=[CALL], response_metadata=OURS),
            [{"type": "text", "text": "Hi"}, CALL_BLOCK],
        ),
        (AIMessage([CALL_BLOCK], tool_calls=[CALL], response_metadata=OURS), [CALL_BLOCK]),
        (
            AIMessage(
                "So.",
                additional_kwargs={"reasoning_content": "Hm."},
                response_metadata=OURS,
            ),
            [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "So."}],
        ),
    ],
)
def test_an_answer_has_standard_blocks(message: AIMessage, blocks: list[dict[str, Any]]) -> None:
    """Thoughts, text, calls, in this order."""
    assert blocks == message.content_blocks


def test_a_piece_of_a_stream_has_pieces_of_calls() -> None:
    """They become calls in the chunk that ends the stream."""
    piece = AIMessageChunk("Hi", tool_call_chunks=[PIECE], response_metadata=OURS)
    last = AIMessageChunk("", chunk_position="last", response_metadata=OURS)

    kinds = [block["type"] for block in piece.content_blocks]
    assert ["text", "tool_call_chunk"] == kinds
    assert [{"type": "text", "text": "Hi"}, CALL_BLOCK] == (piece + last).content_blocks


def test_a_piece_without_an_index_stays_without_one() -> None:
    """As LangChain makes them from whole calls."""
    piece = AIMessageChunk("", tool_call_chunks=[{**PIECE, "index": None}], response_metadata=OURS)

    assert "index" not in piece.content_blocks[0]
