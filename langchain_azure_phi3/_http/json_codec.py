"""Wire JSON as bytes and back, strict in what is sent, forgiving in what is read."""

import json
import re
from codecs import BOM_UTF8
from math import isfinite
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

# A character outside the BMP is two escapes; a half of one alone is no character.
_SURROGATES = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


def encode(payload: Json) -> bytes:
    """The payload as the bytes of a request.

    Raises:
        InvalidInputError: Something in it is not JSON, such as NaN or half of a surrogate pair.
    """
    try:
        content = to_json(payload, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, RecursionError) as problem:
        raise InvalidInputError(f"The request cannot be written as JSON: {problem}") from None
    # These names may also occur in texts, so they only make a closer look necessary.
    if (b"NaN" in content or b"Infinity" in content) and not _is_finite(payload):
        raise InvalidInputError("NaN and infinity cannot be sent: JSON has no form for them.")
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
    """The JSON value that `content` is, after a byte order mark if there is one.

    Bytes that are no UTF-8, and halves of surrogate pairs, become U+FFFD, as the WHATWG's
    decoder does it, instead of costing the complete response.

    Raises:
        ValueError: It is not JSON.
    """
    content = content.removeprefix(BOM_UTF8)
    try:
        return from_json(content, cache_strings="keys")  # values seldom come twice
    except ValueError:
        text = content.decode("utf-8", errors="replace")
    try:
        return json.loads(_SURROGATES.sub(lambda found: found[1] or "\\ufffd", text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decode_lenient(content: bytes) -> Any:
    """The first JSON value in `content`, or its text where there is none.

    AML's front ends append a sentence with a link after the JSON of an error.
    """
    try:
        return decode(content)
    except ValueError:
        text = content.decode("utf-8", errors="replace").strip()
    try:
        return json.JSONDecoder().raw_decode(text)[0] if text[:1] in ("{", "[") else text
    except (ValueError, RecursionError):
        return text
