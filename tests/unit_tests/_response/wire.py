"""Requests, responses and streams of the wire, as short as tests need them."""

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk

from langchain_azure_phi3._request.build import ChatRequest, RequestSettings, build_request
from langchain_azure_phi3._response.stream_assembler import StreamAssembler
from langchain_azure_phi3._types import ResponseInfo

Json = dict[str, Any]

INFO = ResponseInfo(request_id="r1")
PROVIDER = {"model_provider": "azure_phi3"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
COUNTS = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
WEATHER_CALL = '{"name": "weather", "arguments": {"city": "Ulm"}}'


def chat_request(call: Mapping[str, Any] | None = None, **settings: Any) -> ChatRequest:
    """A request with a call's arguments and a model's settings."""
    return build_request(RequestSettings(**settings), [HumanMessage("Hi")], call or {})


def body(text: Any, *, message: Json | None = None, choice: Json | None = None, **top: Any) -> Json:
    """A complete response."""
    found = {"role": "assistant", "content": text, **(message or {})}
    return {
        "choices": [{"index": 0, "message": found, "finish_reason": "stop", **(choice or {})}],
        **top,
    }


def deltas(*pieces: str | Json, reason: str | None = "stop", **last: Any) -> list[Json]:
    """The JSON objects of a stream: a delta each, then the finish reason, then `last`."""
    found = [{"content": piece} if isinstance(piece, str) else piece for piece in pieces]
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in found]
    choices.append({"index": 0, "delta": {}, "finish_reason": reason})
    return [
        *({"choices": [choice]} for choice in choices),
        *([{"choices": [], **last}] * bool(last)),
    ]


def assemble(request: ChatRequest, bodies: Iterable[Json]) -> list[ChatGenerationChunk]:
    """The chunks of a stream."""
    assembler = StreamAssembler(request)
    chunks = [chunk for each in bodies for chunk in assembler.feed(each, INFO)]
    return chunks + assembler.finish()


def merge(chunks: list[ChatGenerationChunk]) -> ChatGenerationChunk:
    """The chunks, added up as LangChain does."""
    merged = chunks[0]
    for chunk in chunks[1:]:
        merged += chunk
    return merged


def ai(generation: ChatGeneration) -> AIMessage:
    """The message of a generation."""
    assert isinstance(generation.message, AIMessage)
    return generation.message


def ai_chunk(chunk: ChatGenerationChunk) -> AIMessageChunk:
    """The message of a chunk."""
    assert isinstance(chunk.message, AIMessageChunk)
    return chunk.message
