"""Maps failed responses to exceptions."""

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_azure_phi3._http import context_overflow
from langchain_azure_phi3._http.error_details import (
    FILTER_CODES,
    ErrorDetails,
    parse_details,
    to_json,
)
from langchain_azure_phi3._http.json_codec import decode_lenient, is_cut_off
from langchain_azure_phi3._http.retries import parse_retry_after
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import (
    AuthenticationError,
    AzurePhi3Error,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    FailedResponse,
    InterruptedStreamError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)

_BY_STATUS: dict[int, type[AzurePhi3Error]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: RequestTimeoutError,
    424: ServerError,
    429: RateLimitError,
}

# The last is Ollama's, llama.cpp's and llama-cpp-python's.
_OVERFLOW_STATUSES = frozenset({400, 413, 422, 500})

# Managed compute's front end returns 424 for every error of its container, and puts the
# container's own status here.
_WRAPPED_STATUS = "ms-azureml-model-error-statuscode"

_FILTER_WORDS = "violates azure ai content safety"  # from managed compute, without a code
_MODALITY = re.compile(r"modality not supported", re.I)
# The messages of managed compute, vLLM and Ollama.
_NO_TOOLS = re.compile(
    r"tools and tool_choice are not supported|enable-auto-tool-choice|does not support tools", re.I
)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.I | re.S)
_ENDS = (".", "!", "?", ":", '"')
_STATUS = re.compile(r"[1-5][0-9]{2}")
_SHOWN = 500
_HEAD = 10_000  # characters of a page that are searched for its title
_REPORTED = "The response reports an error"
_NOT_STREAMED = "If it happens again, turn off streaming: disable_streaming=True."


def map_error_response(
    info: ResponseInfo, content: bytes, *, advice: Mapping[int, str]
) -> AzurePhi3Error:
    """Return the exception for a response that is not a success.

    Args:
        info: The response.
        content: Its body.
        advice: What to check for this type of endpoint, by status.
    """
    body = decode_lenient(content)
    details = parse_details(body)
    status = _unwrap_status(info, details)
    code = details.code or info.headers.get("x-ms-error-code")
    error = _error_class(status, details)(
        _format_message(status, code, details.message, _advice(status, details, advice)),
        status_code=status,
        code=code,
        request_id=info.request_id,
        response=FailedResponse(info.status_code, dict(info.headers), content),
        body=body,
        retry_after=parse_retry_after(status, info.headers, details.message, time.time()),
    )
    return _with_details(error, details)


def map_error_body(
    content: bytes, info: ResponseInfo, *, what: str, error: Any = None
) -> AzurePhi3Error:
    """Return the exception for a failure in a response with a success status.

    Args:
        content: The event's data, or the complete body.
        info: The response.
        what: How the message begins, such as "The stream reported an error".
        error: The error in a choice of the body, if the body itself has none.
    """
    body = decode_lenient(content)
    details = parse_details(body if error is None else {"error": error})
    status = details.status or _code_as_status(details.code)
    # Servers that cannot write the error as JSON cannot re-encode the stream: older
    # managed-compute images, if they fail to parse a chunk.
    assumed = _assumed_status(status, details)
    error_class = _error_class(assumed, details)
    broken = isinstance(body, str) and error_class is ServerError
    advice = _NOT_STREAMED if broken else None
    failure = (InvalidResponseError if broken else error_class)(
        f"{what}. {_format_message(status, details.code, details.message, advice)}",
        status_code=status,
        code=details.code,
        request_id=info.request_id,
        response=FailedResponse(info.status_code, dict(info.headers), content),
        body=body,
    )
    return _with_details(failure, details)


def parse_completion(content: bytes, info: ResponseInfo) -> Json:
    """Parse the JSON object of a successful response.

    Raises:
        InterruptedStreamError: The end of the object is missing.
        AzurePhi3Error: The body reports a failure despite its status, or is not an object.
    """
    body = decode_lenient(content)
    if isinstance(body, dict) and not is_error(body):
        if (error := find_choice_error(body)) is None:
            return body
        failure = map_error_body(content, info, what=_REPORTED, error=error)
        failure.partial = "".join(map(_choice_text, body["choices"]))
        raise failure
    if isinstance(body, str) and is_cut_off(content):
        raise InterruptedStreamError(
            "The response was cut off: the end of its JSON is missing. "
            "The same request may succeed again.",
            status_code=info.status_code,
            request_id=info.request_id,
            response=FailedResponse(info.status_code, dict(info.headers), content),
            body=body,
        )
    raise _map_invalid_body(body, content, info)


def _map_invalid_body(body: Any, content: bytes, info: ResponseInfo) -> AzurePhi3Error:
    if is_error(body):
        return map_error_body(content, info, what=_REPORTED)
    found = "an empty body" if not content.strip() else f"{_truncate(body)!r}"
    return InvalidResponseError(
        f"The server returned {info.status_code} with {found} instead of a JSON object. "
        "Check that the endpoint is the model's own, not a web page or a proxy in front of it.",
        status_code=info.status_code,
        request_id=info.request_id,
        response=FailedResponse(info.status_code, dict(info.headers), content),
        body=body,
    )


def is_error(body: Any) -> bool:
    """Whether wire JSON reports a failure rather than a completion (vLLM, TGI, AOAI shapes)."""
    return isinstance(body, dict) and (bool(body.get("error")) or body.get("object") == "error")


def find_choice_error(body: Json) -> Any:
    """Return the error that a choice contains instead of a message; `None` without one.

    Gateways report the failure of a provider in this way, as `error` or only as the
    `finish_reason` "error" (OpenRouter, "Errors and debugging").
    """
    choices = body.get("choices")
    if not isinstance(choices, list):
        return None
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        if error := choice.get("error"):
            return error
        if choice.get("finish_reason") == "error":
            return _reported_reason(choice)
    return None


def _reported_reason(choice: Json) -> Any:
    """Return the reason for a choice's failure from the first field that contains one."""
    places = (choice, choice.get("message"), choice.get("delta"))
    for place in (place for place in places if isinstance(place, dict)):
        for name in ("error", "error_message", "error_details", "finish_details", "details"):
            if place.get(name):
                return place[name]
    return ""


def without_choice_errors(body: Json) -> Json:
    """Return an event with the text of its failed choices, but without their errors."""
    hidden = ("error", "finish_reason")
    choices = [
        {key: value for key, value in choice.items() if key not in hidden}
        for choice in body["choices"]
        if isinstance(choice, dict)
    ]
    return {**body, "choices": choices}


def _choice_text(choice: Any) -> str:
    message = (choice.get("message") or choice.get("delta")) if isinstance(choice, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    return text if isinstance(text, str) else ""


def _unwrap_status(info: ResponseInfo, details: ErrorDetails) -> int:
    if info.status_code != 424:
        return info.status_code
    wrapped = info.headers.get(_WRAPPED_STATUS, "")
    if _STATUS.fullmatch(wrapped):
        return int(wrapped)
    return 404 if details.message == "Not Found" else details.status or 424


def _assumed_status(status: int | None, details: ErrorDetails) -> int:
    """Return the status that matches a failure without one."""
    if status is not None:
        return status
    return 400 if details.code in FILTER_CODES or _is_overflow(details) else 500


def _is_overflow(details: ErrorDetails) -> bool:
    # llama.cpp's `code` is the status.
    codes = (details.code, details.type)
    return any(context_overflow.is_overflow(code, details.message) for code in codes)


def _advice(status: int, details: ErrorDetails, advice: Mapping[int, str]) -> str | None:
    if _MODALITY.search(details.message):
        return "Use a model that accepts it, such as Phi-4-multimodal-instruct."
    if _NO_TOOLS.search(details.message):
        return "Leave tool_calling at 'auto' or set 'prompted': tools then go into the prompt."
    return advice.get(status)


def _error_class(status: int, details: ErrorDetails) -> type[AzurePhi3Error]:
    if status in _OVERFLOW_STATUSES and _is_overflow(details):
        return ContextLengthError
    if status == 400 and (details.code in FILTER_CODES or _FILTER_WORDS in details.message):
        return ContentFilterError
    if status == 404 and _MODALITY.search(details.message):
        return BadRequestError  # the route exists, and so does the model
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return InvalidResponseError
    return BadRequestError if 400 <= status < 500 else ServerError


def _with_details(error: AzurePhi3Error, details: ErrorDetails) -> AzurePhi3Error:
    if isinstance(error, ContentFilterError):
        error.filters = details.filters
    if isinstance(error, BadRequestError):
        error.parameter, error.value = details.parameter, details.value
    if isinstance(error, ContextLengthError):
        error.prompt_tokens = context_overflow.prompt_tokens(error.body, details.message)
        error.context = context_overflow.context_tokens(error.body, details.message)
    return error


def _format_message(status: int | None, code: str | None, message: str, advice: str | None) -> str:
    parts = dict.fromkeys(str(part) for part in (status, code) if part is not None)  # no "429 429"
    head = " ".join(parts)
    reason = _truncate(_without_status(message, parts)) or "The server gave no reason."
    text = f"{head}: {reason}" if head else reason
    return _append(text, advice) if advice else text


def add_sentence(error: AzurePhi3Error, sentence: str) -> None:
    """Add a sentence to the message of an error, which may be the server's, without full stop."""
    error.args = (_append(str(error), sentence),)


def _append(text: str, sentence: str) -> str:
    return f"{text if text.endswith(_ENDS) else f'{text}.'} {sentence}"


def _without_status(message: str, known: Iterable[str]) -> str:
    """Remove the status or code at the start of a message, which already begins with it."""
    for part in known:
        rest = message.removeprefix(part)
        if rest != message and (not rest or rest[0] in ": -"):
            message = rest.lstrip(": -")
    return message


def _truncate(body: Any) -> str:
    text = body if isinstance(body, str) else to_json(body)
    if title := _TITLE.search(text[:_HEAD]):
        text = f"an HTML page titled {' '.join(title[1].split())!r}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _code_as_status(code: str | None) -> int | None:
    found = int(code) if code is not None and _STATUS.fullmatch(code) else 0
    return found if found >= 400 else None
