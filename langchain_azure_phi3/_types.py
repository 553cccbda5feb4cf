"""Types that every part of the package uses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

Json = dict[str, Any]
"""A JSON object, decoded."""


class ResponseInfo(NamedTuple):
    """What HTTP says about a response.

    Attributes:
        status_code: Such as 200.
        request_id: The server's id of the request, for support.
        headers: By name, in lower case.
    """

    status_code: int = 200
    request_id: str | None = None
    headers: Mapping[str, str] = MappingProxyType({})
