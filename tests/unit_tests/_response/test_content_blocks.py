"""LangChain's standard content blocks of responses."""

from langchain_core.messages import AIMessage, AIMessageChunk

from tests.unit_tests._response.wire import PROVIDER, Json

CALL = {"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
TEXT = {"type": "text", "text": "Hi"}
REASONING = {"reasoning_content": "Hm."}
PIECE = {"name": "f", "args": '{"a": 1}', "id": "c1", "index": 0, "type": "tool_call_chunk"}


def test_response_has_standard_blocks() -> None:
    """Reasoning, text, calls, in this order; each call once."""
    messages: list[tuple[AIMessage, list[Json]]] = [
        (AIMessage("Hi"), [TEXT]),
        (AIMessage(""), []),
        (AIMessage(["Hi"]), [TEXT]),
        (AIMessage("Hi", tool_calls=[CALL]), [TEXT, CALL]),
        (AIMessage([CALL], tool_calls=[CALL]), [CALL]),
        (
            AIMessage("Hi", additional_kwargs=REASONING),
            [{"type": "reasoning", "reasoning": "Hm."}, TEXT],
        ),
    ]

    for message, blocks in messages:
        message.response_metadata = dict(PROVIDER)
        assert message.content_blocks == blocks


def test_chunk_has_pieces_of_calls() -> None:
    """They become calls in the chunk that ends the stream."""
    piece = AIMessageChunk("Hi", tool_call_chunks=[PIECE], response_metadata=PROVIDER)
    last = AIMessageChunk("", chunk_position="last", response_metadata=PROVIDER)

    block = {"type": "tool_call_chunk", "id": "c1", "name": "f", "args": '{"a": 1}'}
    assert piece.content_blocks == [TEXT, {**block, "index": "lc_call_0"}]
    assert (piece + last).content_blocks == [TEXT, CALL]


def test_chunk_without_an_index_stays_without_one() -> None:
    """As LangChain makes them from complete calls."""
    pieces = [{**PIECE, "index": None}]
    piece = AIMessageChunk("", tool_call_chunks=pieces, response_metadata=PROVIDER)

    assert "index" not in piece.content_blocks[0]
