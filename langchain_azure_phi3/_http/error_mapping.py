"""A failed response, named: which exception, with which facts, from which of a dozen shapes."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from langchain_azure_phi3._http.json_codec import parsed
from langchain_azure_phi3._http.retries import seconds_asked
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import (
    AuthenticationError,
    AzurePhi3Error,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    FailedResponse,
    FilterResult,
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

# The first that is present is the one that support asks for.
_REQUEST_IDS = (
    "apim-request-id",
    "x-ms-request-id",
    "x-request-id",
    "x-github-request-id",
    "azureml-model-session",
    "x-ms-client-request-id",
)

# Managed compute's front end answers 424 for whatever its container answered, and puts
# the container's own status here.
_WRAPPED_STATUS = "ms-azureml-model-error-statuscode"

_FILTER_CODES = frozenset({"content_filter", "ResponsibleAIPolicyViolation"})
_FILTER_WORDS = "violates azure ai content safety"  # managed compute, which gives no code
# Azure's code, GitHub Models', llama.cpp's; and what vLLM, SGLang and llama.cpp say without one.
_LENGTH_CODES = frozenset(
    {"context_length_exceeded", "tokens_limit_reached", "exceed_context_size_error"}
)
_LENGTH_WORDS = re.compile(
    r"maximum context length|longer than the (?:maximum model|model's context) length"
    r"|context length is only|exceeds the available context size"
    r"|max_tokens must be at least 1, got -",
    re.I,
)
_COUNT = r"(?<!\d)(\d{1,9})(?!\d)"
_CONTEXT = re.compile(
    r"(?:context length is(?: only)?|model length of|context (?:length|size) \(|max size:) ?"
    + _COUNT,
    re.I,
)
_PROMPT = re.compile(
    rf"{_COUNT}(?: tokens)? in the messages|(?:has|passed|resulted in) {_COUNT}"
    rf"|(?:prompt|input|request) \(\D{{0,20}}{_COUNT}",
    re.I,
)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.I | re.S)
_STATUSES = ("status", "statusCode", "status_code", "code")
_STATUS = re.compile(r"[1-5][0-9]{2}")
_SHOWN = 500
_HEAD = 10_000  # of a page, in which its title is looked for
_NOT_STREAMED = "If it happens again, ask without streaming: disable_streaming=True."


@dataclass(frozen=True, slots=True)
class _Facts:
    message: str = ""
    code: str | None = None
    status: int | None = None
    parameter: str | None = None
    value: Any = None
    filters: tuple[FilterResult, ...] = ()


def request_id(headers: Mapping[str, str]) -> str | None:
    """The server's id of the request; names in `headers` are in lower case."""
    return next((headers[name] for name in _REQUEST_IDS if headers.get(name)), None)


def error_from(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    *,
    advice: Mapping[int, str],
) -> AzurePhi3Error:
    """The exception for a response that is not a success.

    Args:
        status: The HTTP status.
        headers: Names in lower case.
        content: The body.
        advice: What to check for this kind of endpoint, by status.
    """
    body = parsed(content)
    response = FailedResponse(status, dict(headers), content)
    facts = _facts(body)
    status = _unwrapped(status, headers, facts)
    kind = _kind(status, facts)
    code = facts.code or headers.get("x-ms-error-code")
    error = kind(
        _sentence(status, code, facts.message, advice.get(status)),
        status_code=status,
        code=code,
        request_id=request_id(headers),
        response=response,
        body=body,
        retry_after=seconds_asked(status, headers, facts.message, time.time()),
    )
    return _detailed(error, facts)


def error_within(content: bytes, headers: Mapping[str, str], *, what: str) -> AzurePhi3Error:
    """The exception for a failure that came under a status of success.

    Args:
        content: The event's data, or the whole body.
        headers: The response's headers; names in lower case.
        what: How the message begins, such as "The stream reported an error".
    """
    body = parsed(content)
    facts = _facts(body)
    status = facts.status or _code_as_status(facts.code)
    # A server that cannot write its error as JSON is one that cannot re-encode the stream:
    # older managed-compute images, on a chunk that they fail to parse.
    broken = isinstance(body, str)
    kind = InvalidResponseError if broken else _kind(_presumed(status, facts), facts)
    error = kind(
        f"{what}. "
        + _sentence(status, facts.code, facts.message, _NOT_STREAMED if broken else None),
        status_code=status,
        code=facts.code,
        request_id=request_id(headers),
        response=FailedResponse(200, dict(headers), content),
        body=body,
    )
    return _detailed(error, facts)


def completion_from(content: bytes, headers: Mapping[str, str]) -> Json:
    """The JSON object that a successful response holds.

    Raises:
        AzurePhi3Error: The body reports a failure in spite of its status, or is no object.
    """
    body = parsed(content)
    if is_error(body):
        raise error_within(content, headers, what="The answer reports an error")
    if isinstance(body, dict):
        return body
    found = "an empty body" if not content.strip() else f"{_shown(body)!r}"
    raise InvalidResponseError(
        f"The server answered 200 with {found} instead of a JSON object. "
        "Check that the endpoint is the model's own, not a web page or a proxy in front of it.",
        status_code=200,
        request_id=request_id(headers),
        response=FailedResponse(200, dict(headers), content),
        body=body,
    )


def is_error(body: Any) -> bool:
    """Whether wire JSON reports a failure rather than a completion (vLLM, TGI, AOAI shapes)."""
    return isinstance(body, dict) and (bool(body.get("error")) or body.get("object") == "error")


def _unwrapped(status: int, headers: Mapping[str, str], facts: _Facts) -> int:
    if status != 424:
        return status
    wrapped = headers.get(_WRAPPED_STATUS, "")
    if _STATUS.fullmatch(wrapped):
        return int(wrapped)
    return 404 if facts.message == "Not Found" else facts.status or 424


def _presumed(status: int | None, facts: _Facts) -> int:
    """The status that a failure without one would have had."""
    if status is not None:
        return status
    return 400 if facts.code in _FILTER_CODES | _LENGTH_CODES else 500


def _kind(status: int, facts: _Facts) -> type[AzurePhi3Error]:
    if status in (400, 413) and (
        facts.code in _LENGTH_CODES or _LENGTH_WORDS.search(facts.message)
    ):
        return ContextLengthError
    if status == 400 and (facts.code in _FILTER_CODES or _FILTER_WORDS in facts.message):
        return ContentFilterError
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return InvalidResponseError
    return BadRequestError if 400 <= status < 500 else ServerError


def _detailed(error: AzurePhi3Error, facts: _Facts) -> AzurePhi3Error:
    if isinstance(error, ContentFilterError):
        error.filters = facts.filters
    if isinstance(error, BadRequestError):
        error.parameter, error.value = facts.parameter, facts.value
    if isinstance(error, ContextLengthError):
        error.prompt_tokens = _number(_PROMPT, facts.message)
        error.context = _number(_CONTEXT, facts.message)
    return error


def _number(pattern: re.Pattern[str], message: str) -> int | None:
    found = pattern.search(message)
    return None if found is None else int(next(filter(None, found.groups())))


def _sentence(status: int | None, code: str | None, message: str, advice: str | None) -> str:
    head = " ".join(str(part) for part in (status, code) if part is not None)
    said = _shown(message) if message else "The server gave no reason."
    text = f"{head}: {said}" if head else said
    return f"{text} {advice}" if advice else text


def _shown(body: Any) -> str:
    text = body if isinstance(body, str) else _written(body)
    if title := _TITLE.search(text[:_HEAD]):
        text = f"an HTML page titled {' '.join(title[1].split())!r}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _written(body: Any) -> str:
    """JSON for people."""
    try:
        return json.dumps(body)
    except RecursionError:
        return "JSON that cannot be shown"


def _code_as_status(code: str | None) -> int | None:
    found = int(code) if code is not None and _STATUS.fullmatch(code) else 0
    return found if found >= 400 else None


def _facts(body: Any) -> _Facts:
    """What a failure's body says, in whichever shape it says it."""
    if isinstance(body, list):
        body = next((item for item in body if isinstance(item, dict)), body)
    if not isinstance(body, dict):
        return _Facts(message=body if isinstance(body, str) else _written(body))
    error = body.get("error")
    source = {**body, **error} if isinstance(error, dict) else body
    if "body" in source:
        return _enclosed(source)
    said = _said(source, error)
    facts = _Facts(
        message=_listed(source) or _written(source) if said is None else said,
        code=_text(source.get("code")) or _text(source.get("type")),
        status=_first_status(*map(source.get, _STATUSES)),
        parameter=_text(source.get("param")),
    )
    facts = _with_inner(_with_field(facts, source), source)
    return facts if said is None else _nested(facts, said)


def _enclosed(source: dict[str, Any]) -> _Facts:
    """Facts of a failure that quotes the engine's (`/score` of the server of October 2025)."""
    body = source["body"]
    facts = _facts(parsed(body.encode("utf-8", "replace")) if isinstance(body, str) else body)
    status = _first_status(*map(source.get, _STATUSES))
    return facts if status is None else replace(facts, status=status)


def _said(source: dict[str, Any], error: Any) -> str | None:
    for key in ("message", "detail", "status", "title"):
        if isinstance(source.get(key), str):
            return str(source[key])
    return error if isinstance(error, str) else None


def _listed(source: dict[str, Any]) -> str:
    """The wrong fields as one line."""
    return "; ".join(
        ": ".join(filter(None, (".".join(_loc(item)), _text(item.get("msg")) or "invalid")))
        for item in _field_errors(source)
    )


def _field_errors(source: dict[str, Any]) -> list[dict[str, Any]]:
    """Pydantic's list of wrong fields, which servers put in four places."""
    for key in ("details", "detail"):
        found = source.get(key)
        items = [found] if isinstance(found, dict) else found
        if isinstance(items, list) and items and all(isinstance(i, dict) for i in items):
            return items
    return []


def _with_field(facts: _Facts, source: dict[str, Any]) -> _Facts:
    details = _field_errors(source)
    if not details:
        return facts
    first = details[0]
    where = [part for part in _loc(first) if part != "body"]
    said = first.get("msg")
    message = facts.message
    if isinstance(said, str) and said not in message:
        message = f"{message} ({'.'.join(where)}: {said})"
    return replace(
        facts,
        message=message,
        parameter=".".join(where) or facts.parameter,
        value=first.get("input", first.get("value")),
    )


def _loc(item: dict[str, Any]) -> list[str]:
    loc = item.get("loc")
    parts = loc if isinstance(loc, list) else [loc]
    return [text for part in parts if (text := _text(part)) is not None]


def _with_inner(facts: _Facts, source: dict[str, Any]) -> _Facts:
    inner = source.get("innererror", source.get("innerError"))
    if not isinstance(inner, dict):
        return facts
    results = inner.get("content_filter_result", inner.get("content_filter_results"))
    found = replace(facts, filters=FilterResult.read(results))
    code = _text(inner.get("code"))
    if facts.code in _FILTER_CODES or code not in _FILTER_CODES:
        return found
    return replace(found, code=code)


def _nested(facts: _Facts, said: str) -> _Facts:
    """Facts from JSON that a wrapper put into its message as a string."""
    if not said.lstrip().startswith("{"):
        return facts
    inner = parsed(said.encode("utf-8", errors="replace"))
    if not isinstance(inner, dict):
        return facts
    found = _facts(inner)
    return replace(
        facts,
        message=found.message,
        code=found.code or facts.code,
        parameter=found.parameter or facts.parameter,
        value=found.value if found.value is not None else facts.value,
        filters=found.filters or facts.filters,
    )


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _first_status(*values: Any) -> int | None:
    return next(
        (v for v in values if isinstance(v, int) and not isinstance(v, bool) and 400 <= v < 600),
        None,
    )
