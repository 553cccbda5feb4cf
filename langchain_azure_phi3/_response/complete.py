"""Reads complete responses. Pure."""

import json
from typing import NamedTuple, cast

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration

from langchain_azure_phi3._request.build import ChatRequest
from langchain_azure_phi3._response.content_blocks import PROVIDER
from langchain_azure_phi3._response.refusal import FILTERED, filtered_error
from langchain_azure_phi3._response.score_route import from_score_response
from langchain_azure_phi3._response.text_parser import parse_text
from langchain_azure_phi3._response.wire_response import (
    MAX_CHARACTERS,
    additional_kwargs,
    choice_logprobs,
    choice_message,
    content_text,
    excess_error,
    explain_unmet,
    is_truncated,
    new_tool_call_id,
    parse_usage,
    reasoning_content,
    response_metadata,
    server_timings,
    sorted_choices,
    str_or_none,
    tool_calls,
)
from langchain_azure_phi3._tools.json_scanner import is_closed_json
from langchain_azure_phi3._tools.tools import Call
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import InvalidResponseError


class Completion(NamedTuple):
    """A complete response.

    Attributes:
        generations: One for each choice.
        usage: The tokens of this request.
        unmet_requirement: The requirement that a choice does not meet, of the first such choice.
        raw_text: The text of this choice.
    """

    generations: list[ChatGeneration]
    usage: UsageMetadata | None
    unmet_requirement: str | None = None
    raw_text: str = ""


def parse_completion(body: Json, info: ResponseInfo, request: ChatRequest) -> Completion:
    """Return the generations of a complete response.

    Raises:
        FilteredCompletionError: A choice was filtered and `on_content_filter` is `"raise"`.
        InvalidResponseError: There is no choice, or one without a message.
    """
    if request.is_score_route:
        body = from_score_response(body, info)
    choices = sorted_choices(body)
    if not choices:
        raise InvalidResponseError(
            "The response contains no choices.",
            status_code=info.status_code,
            request_id=info.request_id,
            body=body,
        )
    usage = parse_usage(body)
    metadata: Json = {"model_provider": PROVIDER}
    if request.model is not None:
        metadata["model_name"] = request.model
    metadata |= response_metadata(body, info, request.show_headers)
    if "timings" in body or "total_duration" in body:
        metadata |= server_timings(body)
    generations = []
    unmet, raw_text = None, ""
    for choice in choices:
        message = choice_message(choice, body, info)
        generation, problem, raw = _parse_choice(choice, message, request, dict(metadata))
        if choice.get("finish_reason") == FILTERED and request.on_content_filter == "raise":
            raw_message = cast("AIMessage", generation.message)
            raw_message.usage_metadata = usage
            raise filtered_error(raw_message, content_text(message), usage, info, body)
        generations.append(generation)
        if unmet is None and problem is not None:
            unmet, raw_text = problem, raw
    return Completion(generations, usage, unmet, raw_text)


def _parse_choice(
    choice: Json, message: Json, request: ChatRequest, metadata: Json
) -> tuple[ChatGeneration, str | None, str]:
    text, reasoning = content_text(message), reasoning_content(message)
    refusal = message.get("refusal")
    length = len(text) + len(reasoning) + (len(refusal) if isinstance(refusal, str) else 0)
    if length > MAX_CHARACTERS:
        raise excess_error(f"{MAX_CHARACTERS:,} characters")
    problem, raw = None, ""
    truncated = is_truncated(choice.get("finish_reason"))
    valid: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    output = request.output
    if output is not None:
        truncated = truncated or is_stopped_in_json(request, text)
    if message.get("tool_calls"):
        valid, invalid = tool_calls(message, truncated=truncated)
        output = None if request.has_native_output else output
    if output is not None or request.parses_reasoning or "<" in text:
        parsed, problem, raw = parse_text(
            text,
            output,
            parses_reasoning=request.parses_reasoning,
            truncated=truncated,
        )
        text, reasoning = parsed.text, reasoning + parsed.reasoning
        problem = explain_unmet(problem, truncated=truncated, reasoning=bool(reasoning), raw=raw)
        errors = _add_prompted_calls(parsed.calls, valid, invalid)
        metadata |= requirement_metadata(request, problem, errors)
    generation_info = _generation_info(choice)
    kwargs = additional_kwargs(reasoning, message)
    if choice.get("finish_reason") == FILTERED:
        metadata |= generation_info  # `content_blocks` finds the refusal there
    if "refusal" in kwargs or choice.get("finish_reason") == FILTERED:
        problem = None  # a refusal is not corrected
    generation = ChatGeneration(
        message=AIMessage(
            content=text,
            tool_calls=valid,
            invalid_tool_calls=invalid,
            additional_kwargs=kwargs,
            response_metadata=metadata,
        ),
        generation_info=generation_info,
    )
    return generation, problem, raw


def is_stopped_in_json(request: ChatRequest, text: str) -> bool:
    """Whether a stop sequence cut off the object or the call that the text should be."""
    return "stop" in request.payload and not is_closed_json(text)


def _add_prompted_calls(
    calls: tuple[Call, ...], valid: list[ToolCall], invalid: list[InvalidToolCall]
) -> dict[str, str]:
    """Add calls found in the text; the errors of invalid ones, by id."""
    errors = {}
    for call in calls:
        call_id = new_tool_call_id()
        if call.error is None:
            valid.append(tool_call(name=call.name, args=call.arguments or {}, id=call_id))
            continue
        errors[call_id] = call.error
        args = (
            call.raw if call.arguments is None else json.dumps(call.arguments, ensure_ascii=False)
        )
        invalid.append(invalid_tool_call(name=call.name, args=args, id=call_id, error=call.error))
    return errors


def requirement_metadata(request: ChatRequest, unmet: str | None, errors: dict[str, str]) -> Json:
    """Return metadata on an unmet requirement and on the errors of invalid calls."""
    found: Json = {}
    output = request.output
    is_required = output is not None and (output.requires_tool_call or output.requires_json)
    if unmet is not None and is_required:
        # `unmet` is the former name of the key.
        found["unmet_requirement"] = found["unmet"] = unmet
    if errors:
        found["tool_call_errors"] = errors
    return found


def _generation_info(choice: Json) -> Json:
    info: Json = {}
    if (reason := str_or_none(choice.get("finish_reason"))) is not None:
        info["finish_reason"] = reason
    if choice.get("logprobs"):
        info |= choice_logprobs(choice)
    if isinstance(choice.get("content_filter_results"), dict):
        info["content_filter_results"] = choice["content_filter_results"]
    return info
