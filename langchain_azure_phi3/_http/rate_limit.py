"""Reads the rest of a quota from the headers of a response."""

import re
from collections.abc import Mapping

from langchain_azure_phi3._http.retries import parse_duration
from langchain_azure_phi3._types import Json

# Azure writes "rate-limit" with and without the hyphen.
_HEADER = re.compile(r"x-rate-?limit-(limit|remaining|reset)-(requests|tokens)")


def parse_rate_limit(headers: Mapping[str, str]) -> Json | None:
    """Parse the requests and tokens of a quota; return `None` if the server reports none.

    The keys are `limit_requests`, `limit_tokens`, `remaining_requests`, `remaining_tokens` (whole
    numbers), `reset_requests` and `reset_tokens` (seconds), if the server sends them. Values that
    are not numbers are left out.

    Args:
        headers: The response's headers; names in lower case.
    """
    found: Json = {}
    for name, text in headers.items():
        if not name.startswith("x-rate"):
            continue
        match = _HEADER.fullmatch(name)
        value = None if match is None else parse_duration(text)
        if match is None or value is None:
            continue
        found[f"{match[1]}_{match[2]}"] = value if match[1] == "reset" else int(value)
    return found or None
