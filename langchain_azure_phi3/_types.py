"""Types that every part of the package uses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

Json = dict[str, Any]
"""A JSON object, decoded."""


class ResponseInfo(NamedTuple):
    """The status and headers of a response; all items of a stream share one object.

    Attributes:
        status_code: The HTTP status.
        request_id: The server's id of the request, if it sent one.
        headers: By name in lower case.
    """

    status_code: int = 200
    request_id: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})
