"""LangChain's chunks of words, made without validating each: there is one for every token."""

from typing import TypeVar

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

from langchain_azure_phi3._types import Json

Model = TypeVar("Model", bound=BaseModel)

_MESSAGE = dict(vars(AIMessageChunk(content="")))
_CHUNK = dict(vars(ChatGenerationChunk(message=AIMessageChunk(content=""))))


def words(text: str, metadata: Json) -> ChatGenerationChunk:
    """A chunk that holds text and metadata, and nothing else.

    It is what LangChain's constructors give for them, in half their time: they would check types
    that are known here. What can be changed later is made anew for each.
    """
    message = {
        **_MESSAGE,
        "content": text,
        "additional_kwargs": {},
        "response_metadata": metadata,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "tool_call_chunks": [],
    }
    made = _constructed(AIMessageChunk, message, {"content", "response_metadata"}, {})
    return _constructed(
        ChatGenerationChunk, {**_CHUNK, "text": text, "message": made}, {"text", "message"}, None
    )


def _constructed(cls: type[Model], fields: Json, given: set[str], extra: Json | None) -> Model:
    # As pydantic's own `model_construct`, which asks every field for its default.
    made = cls.__new__(cls)
    put = object.__setattr__
    put(made, "__dict__", fields)
    put(made, "__pydantic_fields_set__", given)
    put(made, "__pydantic_extra__", extra)
    put(made, "__pydantic_private__", None)
    return made
