"""Wire JSON as messages, usage and metadata."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall
from langchain_core.messages import content as blocks
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.tool import (
    ToolCall,
    ToolCallChunk,
    invalid_tool_call,
    tool_call,
    tool_call_chunk,
)
from langchain_core.utils.json import parse_partial_json

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidResponseError

PROVIDER = "azure_phi3"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a deployment says of its model (`GET /info`).

    Attributes:
        model_name: The model, such as `"Phi-3-mini-4k-Instruct"`; its spelling varies by server.
        model_type: Such as `"chat-completions"`; managed compute says `"chat-completion"`.
        model_provider_name: Such as `"Microsoft"`; some servers leave it out.
    """

    model_name: str
    model_type: str | None = None
    model_provider_name: str | None = None


def model_info(body: Json) -> ModelInfo:
    """The typed form of `/info`'s answer.

    Raises:
        InvalidResponseError: It names no model.
    """
    name = body.get("model_name")
    if not isinstance(name, str) or not name:
        raise InvalidResponseError(
            "The /info route answered without a model_name.", status_code=200, body=body
        )
    return ModelInfo(
        name, text_of(body.get("model_type")), text_of(body.get("model_provider_name"))
    )


def usage(body: Json) -> UsageMetadata | None:
    """LangChain's token counts of an answer or chunk; `None` where the server gave none."""
    counts = body.get("usage")
    if not isinstance(counts, dict):
        return None
    given, produced, total = (
        _count(counts.get(key)) for key in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    if given is None and produced is None and total is None:
        return None
    if given is None:
        given = max(0, (total or 0) - (produced or 0))
    if produced is None:
        produced = max(0, (total or given) - given)
    found = UsageMetadata(
        input_tokens=given,
        output_tokens=produced,
        total_tokens=given + produced if total is None else total,
    )
    if details := _details(counts.get("prompt_tokens_details"), _INPUT_DETAILS):
        found["input_token_details"] = InputTokenDetails(**details)  # type: ignore[typeddict-item]
    if details := _details(counts.get("completion_tokens_details"), _OUTPUT_DETAILS):
        found["output_token_details"] = OutputTokenDetails(**details)  # type: ignore[typeddict-item]
    return found


_INPUT_DETAILS = {"cached_tokens": "cache_read", "audio_tokens": "audio"}
_OUTPUT_DETAILS = {"reasoning_tokens": "reasoning", "audio_tokens": "audio"}


def _details(given: Any, names: dict[str, str]) -> dict[str, int]:
    if not isinstance(given, dict):
        return {}
    found = {ours: _count(given.get(theirs)) for theirs, ours in names.items()}
    return {name: count for name, count in found.items() if count is not None}


def _count(value: Any) -> int | None:
    """A count that servers write as a number, a numeric string, or null."""
    try:
        return int(value) if value is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


def choices(body: Json) -> list[Json]:
    """The answer's choices, in the order of their indexes."""
    found = body.get("choices")
    if not isinstance(found, list):
        return []
    if len(found) == 1 and isinstance(found[0], dict):  # each piece of a stream
        return found
    return sorted(
        (c for c in found if isinstance(c, dict)), key=lambda c: _count(c.get("index")) or 0
    )


def spoken(message: Json) -> str:
    """The text of a message or delta."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # some gateways answer in parts
        return "".join(
            part["text"]
            for part in content
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return ""


def thoughts_of(message: Json) -> str:
    """The thoughts that a server gives apart from the text (api-version 2025-04-01)."""
    thoughts = message.get("reasoning_content")
    return thoughts if isinstance(thoughts, str) else ""


def message_of(choice: Json, body: Json, request_id: str | None) -> Json:
    """The message of a choice in a whole answer.

    Raises:
        InvalidResponseError: There is none.
    """
    message = choice.get("message")
    if isinstance(message, dict):
        return message
    # Managed-compute server 0.1.8 answers so, with content_filter, to any failure inside it.
    if choice.get("finish_reason") == "content_filter":
        return {}
    raise InvalidResponseError(
        "The answer holds a choice without a message.",
        status_code=200,
        request_id=request_id,
        body=body,
    )


def described(body: Json, request_id: str | None) -> Json:
    """What an answer says of itself; empty names are no names (Azure's filter chunk)."""
    found = {
        "model_name": text_of(body.get("model")),
        "id": text_of(body.get("id")),
        "request_id": request_id,
        "system_fingerprint": text_of(body.get("system_fingerprint")),
        "prompt_filter_results": body.get("prompt_filter_results")
        or body.get("prompt_annotations"),
    }
    return {key: value for key, value in found.items() if value}


_SAID = ("model", "id", "system_fingerprint", "prompt_filter_results", "prompt_annotations")


def describing(body: Json) -> tuple[Any, ...]:
    """The fields that `described` reads, to tell whether it would say anything else."""
    return tuple(map(body.get, _SAID))


def token_usage(counts: UsageMetadata) -> dict[str, int]:
    """The counts under the wire's names, where LangChain's older callbacks look for them."""
    return {
        "prompt_tokens": counts["input_tokens"],
        "completion_tokens": counts["output_tokens"],
        "total_tokens": counts["total_tokens"],
    }


def logprobs(choice: Json) -> Json:
    """The log probabilities of a choice, as a field of metadata."""
    found = choice.get("logprobs")
    return {"logprobs": found} if isinstance(found, dict) else {}


def arguments_text(arguments: Json | None, raw: str) -> str:
    """The arguments of a call that cannot be made, as text that nobody takes for good ones.

    LangChain reads the arguments of a streamed call again, and calls it valid when they are an
    object, however wrong: an object is therefore written as a JSON string.
    """
    text = raw if arguments is None else json.dumps(arguments, ensure_ascii=False)
    try:
        readable = isinstance(parse_partial_json(text), dict)
    except ValueError:
        readable = False
    return json.dumps(text, ensure_ascii=False) if readable or not text else text


def tool_calls(message: Json) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """The calls of a whole message: those that can be run, and the others with the reason."""
    good: list[ToolCall] = []
    bad: list[InvalidToolCall] = []
    for position, call in enumerate(_raw_calls(message)):
        function = call["function"]
        name, text = text_of(function.get("name")) or "", function.get("arguments")
        identity = text_of(call.get("id")) or f"call_{name}_{position}"
        try:
            arguments = json.loads(text) if isinstance(text, str) and text else text or {}
        except ValueError as problem:
            arguments = problem
        if isinstance(arguments, dict):
            good.append(tool_call(name=name, args=arguments, id=identity))
        else:
            reason = f"The arguments are not a JSON object: {arguments}"
            bad.append(invalid_tool_call(name=name, args=str(text), id=identity, error=reason))
    return good, bad


def tool_call_chunks(delta: Json) -> list[ToolCallChunk]:
    """The pieces of calls in a delta."""
    return [
        tool_call_chunk(
            name=text_of(call["function"].get("name")),
            args=_arguments_text(call["function"].get("arguments")),
            id=text_of(call.get("id")),
            index=position if (index := _count(call.get("index"))) is None else index,
        )
        for position, call in enumerate(_raw_calls(delta))  # whole answers number no calls
    ]


def _arguments_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _raw_calls(message: Json) -> Iterator[Json]:
    """Azure writes "no calls" as null, as an empty list, or not at all."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call.get("function"), dict):
            yield call


def text_of(value: Any) -> str | None:
    """The text that a field holds, or `None` where it holds none."""
    return value if isinstance(value, str) and value else None


def _content_blocks(message: AIMessage) -> list[blocks.ContentBlock]:
    """LangChain's standard blocks of an answer: thoughts, text, calls."""
    return [*_said(message), *_called(message)]


def _content_blocks_of_chunk(chunk: AIMessageChunk) -> list[blocks.ContentBlock]:
    """The same of a piece; calls are in pieces too, until the last one made them whole."""
    if chunk.chunk_position == "last":
        return _content_blocks(chunk)
    found = _said(chunk)
    for piece in chunk.tool_call_chunks:
        block = blocks.ToolCallChunk(
            type="tool_call_chunk", id=piece["id"], name=piece["name"], args=piece["args"]
        )
        if piece["index"] is not None:
            # A word, not the number: LangChain numbers the other blocks, and joins what is alike.
            block["index"] = f"lc_call_{piece['index']}"
        found.append(block)
    return found


def _said(message: AIMessage) -> list[blocks.ContentBlock]:
    found: list[blocks.ContentBlock] = []
    thoughts = message.additional_kwargs.get("reasoning_content")
    if isinstance(thoughts, str) and thoughts:
        found.append(blocks.ReasoningContentBlock(type="reasoning", reasoning=thoughts))
    if isinstance(message.content, str):
        if message.content:
            found.append(blocks.TextContentBlock(type="text", text=message.content))
        return found
    for item in message.content:
        block = {"type": "text", "text": item} if isinstance(item, str) else item
        found.append(cast("blocks.ContentBlock", block))
    return found


def _called(message: AIMessage) -> list[blocks.ContentBlock]:
    written = {
        block.get("id")
        for block in message.content
        if isinstance(block, dict) and block.get("type") == "tool_call"
    }
    return [
        blocks.ToolCall(type="tool_call", id=call["id"], name=call["name"], args=call["args"])
        for call in message.tool_calls
        if call["id"] not in written
    ]


register_translator(PROVIDER, _content_blocks, _content_blocks_of_chunk)
