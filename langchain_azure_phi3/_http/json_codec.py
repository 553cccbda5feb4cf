"""Encodes JSON strictly for requests, and decodes it leniently from responses."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from langchain_azure_phi3._http.surrogate_pairs import SurrogateJoiner
from langchain_azure_phi3._types import Json, is_deeper
from langchain_azure_phi3.errors import InvalidInputError, InvalidResponseError

_MAX_VALUES = 2_000_000
"""The most values in one JSON text, about 150 MB of memory. A completion of 10,000 tokens with 20
alternatives for each has 1.6 million."""
_MAX_DEPTH = 200  # levels that `from_json` reads and pydantic writes
_BEGINNING = re.compile(r"\s*[{\[]")


def encode(payload: Json) -> bytes:
    """Encode the payload of a request.

    Raises:
        InvalidInputError: It contains a value that JSON cannot represent, such as NaN or half of a
            surrogate pair.
    """
    try:
        content = to_json(payload, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, RecursionError) as problem:
        raise InvalidInputError(f"The request cannot be written as JSON: {problem}") from None
    # These names may also occur in texts, so the values are checked as well.
    if (b"NaN" in content or b"Infinity" in content) and not _is_finite(payload):
        raise InvalidInputError("NaN and infinity cannot be sent: JSON cannot represent them.")
    return content


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return True


def decode(content: bytes) -> Any:
    """Decode a JSON value, after a byte order mark if there is one.

    Bytes that are not UTF-8, and halves of surrogate pairs, become U+FFFD, as in the WHATWG's
    decoder, so that the response is not lost.

    Raises:
        ValueError: It is not JSON.
        InvalidResponseError: It would take far more memory than a completion.
    """
    if len(content) > _MAX_VALUES:
        _check_size(content)
    try:
        # Few values repeat.
        return from_json(content.removeprefix(BOM_UTF8), cache_strings="keys")
    except ValueError:
        return _decode_with(SurrogateJoiner().join, content)


def _check_size(content: bytes) -> None:
    """Reject JSON such as `[[],[],...`, which takes 25 times its size in memory."""
    if sum(map(content.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise InvalidResponseError(
            f"The response contains more than {_MAX_VALUES:,} JSON values; it was dropped."
        )


def _decode_with(join: Callable[[Any], Any], content: bytes) -> Any:
    text = content.removeprefix(BOM_UTF8).decode("utf-8", errors="replace")
    try:
        return _join_shallow(join, json.loads(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _join_shallow(join: Callable[[Any], Any], value: Any) -> Any:
    """The value with its surrogate pairs joined.

    Raises:
        ValueError: It is nested too deeply.
    """
    if is_deeper(value, _MAX_DEPTH):
        raise ValueError("nested too deeply")
    return join(value)


def decode_lenient(content: bytes) -> Any:
    """Decode the first JSON value in `content`; return its text if there is none.

    AML's front ends append a sentence with a link after the JSON of an error.
    """
    try:
        return decode(content)
    except ValueError:
        text = content.decode("utf-8", errors="replace").strip()
    return next(iter_values(text), text)


def iter_values(text: str) -> Iterator[Any]:
    """Yield the JSON objects and lists at the start of a text, one after the other."""
    decoder = json.JSONDecoder()
    position = 0
    while (begun := _BEGINNING.match(text, position)) is not None:
        try:
            value, position = decoder.raw_decode(text, begun.end() - 1)
            yield _join_shallow(SurrogateJoiner().join, value)
        except (ValueError, RecursionError):
            return


def is_cut_off(content: bytes) -> bool:
    """Whether `content` is a JSON object whose end is missing."""
    text = content.removeprefix(BOM_UTF8).decode("utf-8", errors="replace").strip()
    if not text.startswith("{"):
        return False
    try:
        from_json(text)
    except ValueError as problem:
        return "EOF while parsing" in str(problem)
    return False


class EventDecoder:
    """Decodes the JSON of a stream's events, and joins characters that are split between two."""

    def __init__(self) -> None:
        self._joiner = SurrogateJoiner()

    def decode(self, content: bytes) -> Any:
        """Decode the JSON value of an event, as the function `decode` does.

        Raises:
            ValueError: It is not JSON.
            InvalidResponseError: It would take far more memory than a completion.
        """
        if len(content) > _MAX_VALUES:
            _check_size(content)
        try:
            if not self._joiner.is_holding:
                return from_json(content.removeprefix(BOM_UTF8), cache_strings="keys")
        except ValueError:
            pass  # decode it again, less strictly
        return _decode_with(self._joiner.join_event, content)
