"""Types that every part of the package uses."""

from collections.abc import Mapping
from typing import Any, NamedTuple

Json = dict[str, Any]
"""A JSON object, decoded."""


class ResponseInfo(NamedTuple):
    """What a response says besides its body; all items of a stream share one object.

    Attributes:
        status_code: The HTTP status.
        request_id: The server's id of the request, if it sent one.
        headers: By name in lower case.
    """

    status_code: int
    request_id: str | None
    headers: Mapping[str, str]
