"""Chunks that are built without validation equal those that LangChain builds."""

import copy
import pickle

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_azure_phi3._response.fast_chunks import text_chunk

METADATA = {"model_provider": "azure_phi3"}


def test_text_chunk_equals_what_langchain_constructs() -> None:
    """With whatever fields its classes have; copies and pickles as well."""
    built = text_chunk("Hi", METADATA)
    message = AIMessageChunk(content="Hi", response_metadata=METADATA)
    validated = ChatGenerationChunk(message=message)

    assert validated == built
    for theirs, ours in ((validated, built), (message, built.message)):
        assert theirs.model_dump() == ours.model_dump()
        assert theirs.model_fields_set == ours.model_fields_set
        assert theirs.model_extra == ours.model_extra
    assert built == copy.deepcopy(built) == pickle.loads(pickle.dumps(built))


def test_chunks_share_no_mutable_values() -> None:
    """A callback may write into one; this covers fields of later versions."""
    first, second = text_chunk("a", {}), text_chunk("b", {})

    for one, other in ((first, second), (first.message, second.message)):
        shared = {
            name
            for name, value in vars(one).items()
            if isinstance(value, dict | list | set) and value is vars(other)[name]
        }
        assert shared == set()


def test_text_chunks_add_up() -> None:
    """As LangChain merges a stream."""
    merged = text_chunk("Hello ", METADATA) + text_chunk("world", METADATA)

    assert "Hello world" == merged.text == merged.message.text
    assert METADATA == merged.message.response_metadata
