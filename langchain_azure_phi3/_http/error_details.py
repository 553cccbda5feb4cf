"""Parses the body of a failed response, which has a dozen formats."""

import ast
import json
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from langchain_azure_phi3._http.json_codec import decode_lenient, iter_values
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import FilterResult

FILTER_CODES = frozenset({"content_filter", "ResponsibleAIPolicyViolation"})
_STATUSES = ("status", "statusCode", "status_code", "code")
_UNKNOWN_ESCAPE = re.compile(r"\\(?![\\'\"abfnrtvxuU0-7])")  # Python would warn about it
_ERROR_KEYS = frozenset({"error", "message", "code", "innererror", "detail"})
_LONGEST = 10_000  # characters of a message that is searched for JSON


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    message: str = ""
    code: str | None = None
    type: str | None = None
    status: int | None = None
    parameter: str | None = None
    value: Any = None
    filters: tuple[FilterResult, ...] = ()


def parse_details(body: Any) -> ErrorDetails:
    """Parse the body of a failed response in any format."""
    if isinstance(body, list):
        body = next((item for item in body if isinstance(item, dict)), body)
    if isinstance(body, str):
        return _with_nested(ErrorDetails(message=body), body)
    if not isinstance(body, dict):
        return ErrorDetails(message=to_json(body))
    error = body.get("error")
    source = {**body, **error} if isinstance(error, dict) else body
    if "body" in source:
        return _unwrap_body(source)
    message = _message(source, error)
    if fields := _quoted_fields(message):
        source, message = {**source, "details": fields}, None
    details = ErrorDetails(
        message=_format_field_errors(source) or to_json(source) if message is None else message,
        code=_text(source.get("code")) or _text(source.get("type")),
        type=_text(source.get("type")),
        status=_first_status(*map(source.get, _STATUSES)),
        parameter=_text(source.get("param")),
    )
    details = _with_inner(_with_field(details, source), source)
    return details if message is None else _with_nested(details, message)


def _unwrap_body(source: dict[str, Any]) -> ErrorDetails:
    """Parse a failure that quotes the engine's (`/score` of the server of October 2025)."""
    body = source["body"]
    details = parse_details(
        decode_lenient(body.encode("utf-8", "replace")) if isinstance(body, str) else body
    )
    status = _first_status(*map(source.get, _STATUSES))
    return details if status is None else replace(details, status=status)


def _message(source: dict[str, Any], error: Any) -> str | None:
    for key in ("message", "detail", "status", "title"):
        if isinstance(source.get(key), str):
            return str(source[key])
    return error if isinstance(error, str) else None


def _format_field_errors(source: dict[str, Any]) -> str:
    """Format the errors of fields as one line."""
    return "; ".join(
        ": ".join(filter(None, (".".join(_loc(item)), _text(item.get("msg")) or "invalid")))
        for item in _field_errors(source)
    )


def _field_errors(source: dict[str, Any]) -> list[dict[str, Any]]:
    """Return pydantic's list of field errors, which servers put in four places."""
    for key in ("details", "detail"):
        found = source.get(key)
        items = [found] if isinstance(found, dict) else found
        if isinstance(items, list) and items and all(isinstance(i, dict) for i in items):
            return items
    return []


def _quoted_fields(message: str | None) -> list[Json]:
    """Pydantic's list of wrong fields, if a server wrote its `repr` as the message."""
    if message is None or not message.startswith("[{'") or len(message) > _LONGEST:
        return []
    with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
        found = ast.literal_eval(_UNKNOWN_ESCAPE.sub(r"\\\\", message))
        if isinstance(found, list) and all(isinstance(item, dict) for item in found):
            return found
    return []


def _with_field(details: ErrorDetails, source: dict[str, Any]) -> ErrorDetails:
    fields = _field_errors(source)
    if not fields:
        return details
    first = fields[0]
    where = [part for part in _loc(first) if part != "body"]
    reason = first.get("msg")
    message = details.message
    if isinstance(reason, str) and reason not in message:
        message = f"{message} ({'.'.join(where)}: {reason})"
    return replace(
        details,
        message=message,
        parameter=".".join(where) or details.parameter,
        value=first.get("input", first.get("value")),
    )


def _loc(item: dict[str, Any]) -> list[str]:
    loc = item.get("loc")
    parts = loc if isinstance(loc, list | tuple) else [loc]
    return [text for part in parts if (text := _text(part)) is not None]


def _with_inner(details: ErrorDetails, source: dict[str, Any]) -> ErrorDetails:
    inner = source.get("innererror", source.get("innerError"))
    if not isinstance(inner, dict):
        return _with_filters(details, source)
    found = _with_filters(details, inner)
    code = _text(inner.get("code"))
    if details.code in FILTER_CODES or code not in FILTER_CODES:
        return found
    return replace(found, code=code)


def _with_filters(details: ErrorDetails, source: dict[str, Any]) -> ErrorDetails:
    results = source.get("content_filter_result", source.get("content_filter_results"))
    return replace(details, filters=FilterResult.read(results))


def _with_nested(details: ErrorDetails, message: str) -> ErrorDetails:
    """Add details from JSON in a message, perhaps after some words, as wrappers write it."""
    before, inner = _nested_error(message)
    if inner is None:
        return details
    found = parse_details(inner)
    return replace(
        details,
        message=before + found.message,
        code=found.code or details.code,
        type=found.type or details.type,
        parameter=found.parameter or details.parameter,
        value=found.value if found.value is not None else details.value,
        filters=found.filters or details.filters,
    )


def _nested_error(message: str) -> tuple[str, Json | None]:
    """Split a message into the words before its JSON and the error in the JSON."""
    before, brace, after = message.partition("{")
    if not brace or len(message) > _LONGEST:
        return message, None
    text = brace + after
    inner = next(iter_values(text), None)
    if inner is None and text.startswith("{'"):
        # Python clients put the `repr` of an error into their messages (openai, LiteLLM).
        literal = _UNKNOWN_ESCAPE.sub(r"\\\\", text[: text.rfind("}") + 1])
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            inner = ast.literal_eval(literal)
    if not isinstance(inner, dict) or (before.strip() and inner.keys().isdisjoint(_ERROR_KEYS)):
        return message, None
    return before, inner


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _first_status(*values: Any) -> int | None:
    return next(
        (v for v in values if isinstance(v, int) and not isinstance(v, bool) and 400 <= v < 600),
        None,
    )


def to_json(body: Any) -> str:
    """Write JSON for messages."""
    try:
        return json.dumps(body)
    except RecursionError:
        return "JSON that cannot be shown"
