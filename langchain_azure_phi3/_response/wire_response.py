"""Reads the wire's response JSON: choices, text, tool calls and usage, as servers vary them."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import InvalidToolCall
from langchain_core.messages.ai import (
    InputTokenDetails,
    OutputTokenDetails,
    UsageMetadata,
    add_usage,
)
from langchain_core.messages.tool import (
    ToolCall,
    ToolCallChunk,
    invalid_tool_call,
    tool_call,
    tool_call_chunk,
)
from langchain_core.utils.json import parse_partial_json

from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import InvalidResponseError

_INPUT_DETAILS = {"cached_tokens": "cache_read", "audio_tokens": "audio"}
_OUTPUT_DETAILS = {"reasoning_tokens": "reasoning", "audio_tokens": "audio"}


def parse_usage(body: Json) -> UsageMetadata | None:
    """LangChain's token counts of a response or chunk; `None` where the server gave none."""
    counts = body.get("usage")
    if not isinstance(counts, dict):
        return None
    given = _int_or_none(counts.get("prompt_tokens"))
    produced = _int_or_none(counts.get("completion_tokens"))
    total = _int_or_none(counts.get("total_tokens"))
    if given is None and produced is None and total is None:
        return None
    if given is None:
        given = max(0, (total or 0) - (produced or 0))
    if produced is None:
        produced = max(0, (total or given) - given)
    usage = UsageMetadata(
        input_tokens=given,
        output_tokens=produced,
        total_tokens=given + produced if total is None else total,
    )
    if details := _details(counts.get("prompt_tokens_details"), _INPUT_DETAILS):
        usage["input_token_details"] = InputTokenDetails(**details)  # type: ignore[typeddict-item]
    if details := _details(counts.get("completion_tokens_details"), _OUTPUT_DETAILS):
        usage["output_token_details"] = OutputTokenDetails(**details)  # type: ignore[typeddict-item]
    return usage


def to_token_usage(usage: UsageMetadata) -> dict[str, int]:
    """The counts under the wire's names, where LangChain's older callbacks look for them."""
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
    }


def total_usage(
    previous: UsageMetadata | None, usage: UsageMetadata | None
) -> UsageMetadata | None:
    """The tokens of an attempt together with those of the attempts before it."""
    if previous is None or usage is None:
        return usage if previous is None else previous
    return add_usage(previous, usage)


def sorted_choices(body: Json) -> list[Json]:
    """The response's choices, in the order of their indexes."""
    found = body.get("choices")
    if not isinstance(found, list):
        return []
    if len(found) == 1 and isinstance(found[0], dict):  # nearly always
        return found
    return sorted(
        (choice for choice in found if isinstance(choice, dict)),
        key=lambda choice: _int_or_none(choice.get("index")) or 0,
    )


def choice_message(choice: Json, body: Json, info: ResponseInfo) -> Json:
    """The message of a choice in a complete response.

    Raises:
        InvalidResponseError: The choice holds no message.
    """
    message = choice.get("message")
    if isinstance(message, dict):
        return message
    # Managed-compute server 0.1.8 answers any failure inside it with content_filter and no message.
    if choice.get("finish_reason") == "content_filter":
        return {}
    raise InvalidResponseError(
        "The response holds a choice without a message.",
        status_code=info.status_code,
        request_id=info.request_id,
        body=body,
    )


def content_text(message: Json) -> str:
    """The text of a message or delta."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # some gateways send parts
        return "".join(
            part["text"]
            for part in content
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return ""


def reasoning_content(message: Json) -> str:
    """Reasoning that a server gives apart from the text (api-version 2025-04-01)."""
    reasoning = message.get("reasoning_content")
    return reasoning if isinstance(reasoning, str) else ""


def choice_logprobs(choice: Json) -> Json:
    """The log probabilities of a choice, as a field of metadata."""
    found = choice.get("logprobs")
    return {"logprobs": found} if isinstance(found, dict) else {}


def response_metadata(body: Json, info: ResponseInfo) -> Json:
    """What a response states about itself, without empty names (Azure's filter chunk has some)."""
    found = {
        "model_name": str_or_none(body.get("model")),
        "id": str_or_none(body.get("id")),
        "request_id": info.request_id,
        "system_fingerprint": str_or_none(body.get("system_fingerprint")),
        "prompt_filter_results": body.get("prompt_filter_results")
        or body.get("prompt_annotations"),
    }
    return {key: value for key, value in found.items() if value}


def tool_calls(message: Json) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """The native calls of a complete message: valid ones, and invalid ones with the reason."""
    valid: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in _raw_tool_calls(message):
        function = call["function"]
        name, text = str_or_none(function.get("name")) or "", function.get("arguments")
        call_id = str_or_none(call.get("id")) or new_tool_call_id()
        try:
            arguments = json.loads(text) if isinstance(text, str) and text else text or {}
        except (ValueError, RecursionError) as error:
            arguments = error
        if isinstance(arguments, dict):
            valid.append(tool_call(name=name, args=arguments, id=call_id))
        else:
            reason = f"The arguments are not a JSON object: {arguments}"
            invalid.append(invalid_tool_call(name=name, args=str(text), id=call_id, error=reason))
    return valid, invalid


def tool_call_chunks(delta: Json) -> list[ToolCallChunk]:
    """The pieces of native calls in a delta."""
    return [
        tool_call_chunk(
            name=str_or_none(call["function"].get("name")),
            args=_arguments_chunk(call["function"].get("arguments")),
            id=str_or_none(call.get("id")),
            index=position if (index := _int_or_none(call.get("index"))) is None else index,
        )
        for position, call in enumerate(_raw_tool_calls(delta))  # complete messages have no index
    ]


def new_tool_call_id() -> str:
    """An id for a call that the server gave none, unique across responses."""
    return f"call_{uuid.uuid4().hex[:24]}"


def invalid_arguments_text(arguments: Json | None, raw: str) -> str:
    """The arguments of an invalid call, as text that does not parse as an object.

    LangChain parses the arguments of a merged stream again, and considers a call valid when they
    are an object, whatever is wrong with it. An object is therefore written as a JSON string.
    """
    text = raw if arguments is None else json.dumps(arguments, ensure_ascii=False)
    try:
        is_object = isinstance(parse_partial_json(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    return json.dumps(text, ensure_ascii=False) if is_object or not text else text


def str_or_none(value: Any) -> str | None:
    """A field's string, or `None` where it holds none."""
    return value if isinstance(value, str) and value else None


def _details(given: Any, names: dict[str, str]) -> dict[str, int]:
    if not isinstance(given, dict):
        return {}
    found = {ours: _int_or_none(given.get(theirs)) for theirs, ours in names.items()}
    return {name: count for name, count in found.items() if count is not None}


def _int_or_none(value: Any) -> int | None:
    """A count that servers write as a number, a numeric string, or null."""
    try:
        return int(value) if value is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


def _arguments_chunk(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _raw_tool_calls(message: Json) -> Iterator[Json]:
    """Azure writes "no calls" as null, as an empty list, or not at all."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call.get("function"), dict):
            yield call
