"""Chunks that are copies: the same as LangChain makes them, and nobody else's."""

import copy
import pickle

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_azure_phi3._response.fast_chunks import text_chunk

METADATA = {"model_provider": "azure_phi3"}


def test_a_chunk_of_words_is_what_langchain_makes_of_them() -> None:
    """Whatever fields its classes have."""
    made = text_chunk("Hi", METADATA)
    message = AIMessageChunk(content="Hi", response_metadata=METADATA)
    validated = ChatGenerationChunk(message=message)

    assert validated == made
    for theirs, ours in ((validated, made), (message, made.message)):
        assert theirs.model_dump() == ours.model_dump()
        assert theirs.model_fields_set == ours.model_fields_set
        assert theirs.model_extra == ours.model_extra
    assert made == copy.deepcopy(made) == pickle.loads(pickle.dumps(made))


def test_chunks_share_nothing_that_can_be_changed() -> None:
    """What a callback writes into one is in no other, in fields of later versions neither."""
    first, second = text_chunk("a", {}), text_chunk("b", {})

    for one, other in ((first, second), (first.message, second.message)):
        shared = {
            name
            for name, value in vars(one).items()
            if isinstance(value, dict | list | set) and value is vars(other)[name]
        }
        assert shared == set()


def test_chunks_of_words_add_up() -> None:
    """As LangChain merges a stream."""
    merged = text_chunk("Hello ", METADATA) + text_chunk("world", METADATA)

    assert "Hello world" == merged.text == merged.message.text
    assert METADATA == merged.message.response_metadata
