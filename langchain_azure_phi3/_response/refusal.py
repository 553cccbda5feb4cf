"""Finds refusals: OpenAI's field `refusal`, and completions that a content filter ended."""

from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata

from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import FilteredCompletionError, FilterResult, RefusalError

FILTERED = "content_filter"
"""The finish reason of a completion that a content filter ended."""


def find_refusal(message: AIMessage) -> Json | None:
    """Return LangChain's `RefusalContentBlock` for a message; `None` if nothing was refused.

    `extras["category"]` of a filtered completion lists the filters that matched, or is
    `"content_filter"` if the server does not name them.
    """
    text = message.additional_kwargs.get("refusal")
    if isinstance(text, str) and text:
        return {"type": "refusal", "refusal": text}
    if message.response_metadata.get("finish_reason") != FILTERED:
        return None
    matched = [result.category for result in _filters(message) if result.filtered]
    extras = {"category": ", ".join(matched) or FILTERED}
    return {"type": "refusal", "refusal": "", "extras": extras}


def filtered_error(
    message: AIMessage,
    partial: str,
    usage: UsageMetadata | None,
    info: ResponseInfo | None = None,
    body: Any = None,
) -> FilteredCompletionError:
    """Return the error for a completion that a content filter ended.

    Args:
        message: The response; its `response_metadata` names the filters.
        partial: Its text, as received.
        usage: Its tokens; `None` if the caller adds them.
        info: The HTTP response, if known.
        body: Its JSON, if known.
    """
    error = FilteredCompletionError(
        "The completion was filtered by the service's content management policy. "
        "The text before that is in `partial`; on_content_filter='return' returns it instead.",
        status_code=None if info is None else info.status_code,
        code=FILTERED,
        request_id=message.response_metadata.get("request_id"),
        body=body,
        partial=partial,
        usage_metadata=usage,
        raw_message=message,
    )
    error.filters = _filters(message)
    return error


def refusal_error(message: AIMessage) -> RefusalError | None:
    """Return the error for a message that contains a refusal; `None` if nothing was refused."""
    refusal = find_refusal(message)
    if refusal is None:
        return None
    if message.response_metadata.get("finish_reason") == FILTERED:
        return filtered_error(message, message.text, message.usage_metadata)
    return RefusalError(
        f"The model refuses to answer: {refusal['refusal']}",
        code="refusal",
        request_id=message.response_metadata.get("request_id"),
        partial=message.text,
        usage_metadata=message.usage_metadata,
        raw_message=message,
    )


def _filters(message: AIMessage) -> tuple[FilterResult, ...]:
    return FilterResult.read(message.response_metadata.get("content_filter_results"))
