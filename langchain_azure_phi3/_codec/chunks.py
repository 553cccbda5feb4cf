"""LangChain's chunks of words, made without validating each: there is one for every token."""

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_azure_phi3._codec.tools import Json

_MESSAGE = AIMessageChunk(content="")
_CHUNK = ChatGenerationChunk(message=_MESSAGE)


def words(text: str, metadata: Json) -> ChatGenerationChunk:
    """A chunk that holds text and metadata, and nothing else.

    It is what LangChain's constructors give for them, in half their time: they would check types
    that are known here. A copy shares what it holds with its original, so everything that can be
    changed is given anew.
    """
    message = _MESSAGE.__copy__()
    vars(message).update(
        content=text,
        additional_kwargs={},
        response_metadata=metadata,
        tool_calls=[],
        invalid_tool_calls=[],
        tool_call_chunks=[],
    )
    chunk = _CHUNK.__copy__()
    vars(chunk).update(text=text, message=message)
    return chunk
