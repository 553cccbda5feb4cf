"""Builds LangChain's chunks of plain text without validating each: a stream has one per token."""

from typing import TypeVar

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import BaseModel

from langchain_azure_phi3._types import Json

Model = TypeVar("Model", bound=BaseModel)

_MESSAGE = dict(vars(AIMessageChunk(content="")))
_CHUNK = dict(vars(ChatGenerationChunk(message=AIMessageChunk(content=""))))


def text_chunk(text: str, metadata: Json) -> ChatGenerationChunk:
    """Return a chunk with text and metadata, and nothing else.

    It equals the chunk that LangChain's constructors return, in half the time: they would check
    types that are known here. Mutable values are new for each chunk.
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
    message_chunk = _construct(AIMessageChunk, message, {"content", "response_metadata"}, {})
    fields = {**_CHUNK, "text": text, "message": message_chunk}
    return _construct(ChatGenerationChunk, fields, {"text", "message"}, None)


def _construct(cls: type[Model], fields: Json, given: set[str], extra: Json | None) -> Model:
    # Like pydantic's `model_construct`, which also looks up the default of every field.
    model = cls.__new__(cls)
    set_attribute = object.__setattr__
    set_attribute(model, "__dict__", fields)
    set_attribute(model, "__pydantic_fields_set__", given)
    set_attribute(model, "__pydantic_extra__", extra)
    set_attribute(model, "__pydantic_private__", None)
    return model
