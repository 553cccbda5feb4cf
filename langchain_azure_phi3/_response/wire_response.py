"""Reads choices, text, tool calls and usage from the response JSON of different servers."""

import json
import uuid
from collections.abc import Iterator, Mapping
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

from langchain_azure_phi3._tools.json_scanner import is_closed_json
from langchain_azure_phi3._tools.schema_validation import is_too_deep
from langchain_azure_phi3._tools.tool_call_formats import to_object
from langchain_azure_phi3._types import Json, ResponseInfo, ShowHeaders
from langchain_azure_phi3.errors import InvalidResponseError

TRUNCATED_REASONS = frozenset({"length", "max_tokens", "model_length"})
"""Finish reasons of a truncated response: OpenAI's, Anthropic's and Mistral's."""

MAX_CHARACTERS = 2_000_000
"""The longest response: 15 characters for each token of the largest context."""

MAX_CALLS = 256
"""The most native calls in one response; OpenAI's API accepts 128 tools."""

MAX_CHOICES = 128
"""The most choices of one response, as in OpenAI's API."""

MAX_FILTERS = 128
"""The most content filters of one answer; Azure has about ten."""

TRUNCATED_CALL = "max_tokens cut off this call: its arguments are incomplete."

REASONING_USED_ALL_TOKENS = (
    "The reasoning used up max_tokens, so that none was left for the answer. Raise "
    "max_tokens, or pass reasoning='off' if the model or the server has a switch."
)

_INPUT_DETAILS = {"cached_tokens": "cache_read", "audio_tokens": "audio"}
_OUTPUT_DETAILS = {"reasoning_tokens": "reasoning", "audio_tokens": "audio"}


def parse_usage(body: Json) -> UsageMetadata | None:
    """Return the token counts in LangChain's form; `None` if the server reports none."""
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
    given_details = counts.get("prompt_tokens_details")
    if given_details and (details := _details(given_details, _INPUT_DETAILS)):
        usage["input_token_details"] = InputTokenDetails(**details)  # type: ignore[typeddict-item]
    produced_details = counts.get("completion_tokens_details")
    if produced_details and (details := _details(produced_details, _OUTPUT_DETAILS)):
        usage["output_token_details"] = OutputTokenDetails(**details)  # type: ignore[typeddict-item]
    return usage


def to_token_usage(usage: UsageMetadata) -> Json:
    """Convert counts to the wire's names, which older callbacks and some tracers read."""
    found: Json = {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
    }
    if "input_token_details" in usage:
        details = _wire_details(usage["input_token_details"], _INPUT_DETAILS)
        found["prompt_tokens_details"] = details
    if "output_token_details" in usage:
        details = _wire_details(usage["output_token_details"], _OUTPUT_DETAILS)
        found["completion_tokens_details"] = details
    return found


def total_usage(
    previous: UsageMetadata | None, usage: UsageMetadata | None
) -> UsageMetadata | None:
    """Add the tokens of an attempt to those of the attempts before it."""
    if previous is None or usage is None:
        return usage if previous is None else previous
    return add_usage(previous, usage)


def sorted_choices(body: Json) -> list[Json]:
    """Return the response's choices in the order of their indexes.

    Raises:
        InvalidResponseError: There are more than can be requested.
    """
    found = body.get("choices")
    if not isinstance(found, list):
        return []
    if len(found) == 1 and isinstance(found[0], dict):  # nearly always
        return found
    if len(found) > MAX_CHOICES:
        raise InvalidResponseError(
            f"The response has more than {MAX_CHOICES} choices; it was dropped."
        )
    return sorted(
        (choice for choice in found if isinstance(choice, dict)),
        key=lambda choice: _int_or_none(choice.get("index")) or 0,
    )


def choice_message(choice: Json, body: Json, info: ResponseInfo) -> Json:
    """Return the message of a choice in a complete response.

    Raises:
        InvalidResponseError: The choice has no message.
    """
    message = choice.get("message")
    if isinstance(message, dict):
        return message
    # Managed-compute server 0.1.8 reports internal failures as content_filter without a message.
    if choice.get("finish_reason") == "content_filter":
        return {}
    raise InvalidResponseError(
        "The response contains a choice without a message.",
        status_code=info.status_code,
        request_id=info.request_id,
        body=body,
    )


def content_text(message: Json) -> str:
    """Return the text of a message or delta.

    Some gateways send parts, and some decode JSON that the model wrote; both are converted to text.
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, list) and all(isinstance(part, str | dict) for part in content):
        return "".join(map(_part_text, content))
    return _part_text(content)


def reasoning_content(message: Json) -> str:
    """Return reasoning from its own field.

    `reasoning_content` is the field of Azure (api-version 2025-04-01) and of vLLM before 0.11,
    `reasoning` that of later versions and of Ollama.
    """
    for key in ("reasoning_content", "reasoning"):
        reasoning = message.get(key)
        if isinstance(reasoning, str) and reasoning:
            return reasoning
    return ""


def additional_kwargs(reasoning: str, message: Json) -> Json:
    """Return the `additional_kwargs` of a message: its reasoning and its refusal."""
    found: Json = {"reasoning_content": reasoning} if reasoning else {}
    refusal = message.get("refusal")
    if refusal and isinstance(refusal, str):
        found["refusal"] = refusal
    return found


def is_truncated(finish_reason: Any) -> bool:
    """Whether a finish reason means that the response was cut off."""
    return isinstance(finish_reason, str) and finish_reason in TRUNCATED_REASONS


def explain_unmet(problem: str | None, *, truncated: bool, reasoning: bool, raw: str) -> str | None:
    """Return the unmet requirement, with the reason if the response ended within the reasoning."""
    if problem is not None and truncated and reasoning and not raw.strip():
        return REASONING_USED_ALL_TOKENS
    return problem


def choice_logprobs(choice: Json) -> Json:
    """Return the log probabilities of a choice as metadata."""
    found = choice.get("logprobs")
    return {"logprobs": found} if isinstance(found, dict) else {}


_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def server_timings(body: Json) -> Json:
    """Return the server's timings: llama.cpp's `timings`, or Ollama's durations in nanoseconds."""
    found = {key: body[key] for key in _DURATIONS if isinstance(body.get(key), int)}
    if isinstance(body.get("timings"), dict):
        found["timings"] = body["timings"]
    return found


def response_metadata(
    body: Json, info: ResponseInfo, show_headers: ShowHeaders | None = None
) -> Json:
    """Return a response's metadata, without empty names, which Azure's filter chunk has."""
    found = {
        "model_name": str_or_none(body.get("model")),
        "id": str_or_none(body.get("id")),
        "request_id": info.request_id,
        "rate_limit": info.rate_limit,
        "system_fingerprint": str_or_none(body.get("system_fingerprint")),
        "prompt_filter_results": body.get("prompt_filter_results")
        or body.get("prompt_annotations"),
    }
    if show_headers is not None:
        found["headers"] = show_headers(info.headers)
    return {key: value for key, value in found.items() if value}


def excess_error(limit: str) -> InvalidResponseError:
    """Return the error for a response that is too long for any Phi, to raise before parsing it."""
    return InvalidResponseError(
        f"The response has more than {limit}, which no Phi can write; it was dropped."
    )


def tool_calls(
    message: Json, *, truncated: bool = False
) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Return the native calls of a complete message: valid ones, and invalid ones with an error.

    Args:
        message: The message.
        truncated: Whether the response was cut off, so that the last call may be incomplete.
    """
    valid: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    calls = list(_raw_tool_calls(message))
    written = [_arguments_chunk(call["function"].get("arguments")) or "" for call in calls]
    if sum(map(len, written)) > MAX_CHARACTERS:
        raise excess_error(f"{MAX_CHARACTERS:,} characters")
    for call, raw in zip(calls, written, strict=True):
        name = str_or_none(call["function"].get("name")) or ""
        call_id = str_or_none(call.get("id")) or new_tool_call_id()
        arguments, error = parse_arguments(raw, truncated=truncated and call is calls[-1])
        if arguments is not None:
            valid.append(tool_call(name=name, args=arguments, id=call_id))
        else:
            invalid.append(invalid_tool_call(name=name, args=raw, id=call_id, error=error))
    return valid, invalid


def parse_arguments(raw: str, *, truncated: bool) -> tuple[Json | None, str | None]:
    """Parse the arguments of a native call, repairing almost-valid JSON; or return an error.

    Incomplete arguments are never repaired: an agent would run half of them.
    """
    try:
        arguments = json.loads(raw or "{}", strict=False)
    except (ValueError, RecursionError):
        arguments = None
    if is_too_deep(arguments):  # LangChain could not write the message as JSON
        return None, "The arguments are nested too deeply."
    if isinstance(arguments, dict) and (raw or not truncated):
        return arguments, None
    if truncated:
        return None, TRUNCATED_CALL
    arguments = to_object(raw) if is_closed_json(raw) else None
    if arguments is None:
        return None, "The arguments are not a JSON object."
    return arguments, None


def tool_call_chunks(delta: Json) -> list[ToolCallChunk]:
    """Return the pieces of native calls in a delta."""
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
    """Generate an id for a call without one, unique across responses."""
    return f"call_{uuid.uuid4().hex[:24]}"


def invalid_arguments_text(arguments: Json | None, raw: str) -> str:
    """Write the arguments of an invalid call as text that does not parse as an object.

    LangChain parses the arguments of a merged stream again, and considers a call valid if they are
    an object, even if it does not fit the tool. An object is therefore written as a JSON string.
    """
    text = raw if arguments is None else json.dumps(arguments, ensure_ascii=False)
    try:
        is_object = isinstance(parse_partial_json(text), dict)
    except (ValueError, RecursionError):
        is_object = False
    return json.dumps(text, ensure_ascii=False) if is_object or not text else text


def str_or_none(value: Any) -> str | None:
    """Return the value if it is a non-empty string, else `None`."""
    return value if isinstance(value, str) and value else None


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    if isinstance(part, dict) and part.get("type") is not None:  # an image, or a citation
        return ""
    return json.dumps(part, ensure_ascii=False)


def _details(given: Any, names: dict[str, str]) -> dict[str, int]:
    if not isinstance(given, dict):
        return {}
    found = {ours: _int_or_none(given.get(theirs)) for theirs, ours in names.items()}
    return {name: count for name, count in found.items() if count is not None}


def _wire_details(details: Mapping[str, Any], names: dict[str, str]) -> dict[str, int]:
    return {theirs: details[ours] for theirs, ours in names.items() if ours in details}


def _int_or_none(value: Any) -> int | None:
    """Parse a count that servers write as a number, a numeric string, or null."""
    try:
        return int(value) if value is not None else None
    except (TypeError, ValueError, OverflowError):
        return None


def _arguments_chunk(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _raw_tool_calls(message: Json) -> Iterator[Json]:
    """Yield the calls of a message; no calls can be null, an empty list, or a missing key."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return
    if len(calls) > MAX_CALLS:
        raise excess_error(f"{MAX_CALLS} calls")
    for call in calls:
        if isinstance(call, dict) and isinstance(call.get("function"), dict):
            yield call
