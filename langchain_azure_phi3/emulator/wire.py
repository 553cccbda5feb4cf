"""HTTP requests and replies, independent of sockets."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from langchain_azure_phi3.emulator.faults import Fault


class Headers(Mapping[str, str]):
    """HTTP headers with case-insensitive names. If a header is repeated, the last value counts."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values = {name.lower(): value for name, value in pairs}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({sorted(self._values)})"  # names only, because a value may be a key


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the emulator received.

    Attributes:
        method: In upper case.
        path: Without the query.
        query: The query parameters. If one is repeated, the last value counts.
        headers: Case-insensitive.
        body: The bytes of the body.
        fault: The failure that was injected into the response, or `None`.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    fault: "Fault | None" = None

    @property
    def size(self) -> int:
        """The size of the body in bytes, also if the rest was too large to be read."""
        declared = self.headers.get("content-length", "")
        return max(len(self.body), int(declared) if declared.isdecimal() else 0)

    @property
    def json(self) -> Any:
        """The body as JSON, or `None` if it is not JSON."""
        try:
            return parse_json(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class ConnectionFault:
    """The connection fails at this point of a reply."""

    action: Literal["cut", "reset", "stall"]  # close it (FIN), reset it (RST), send nothing more
    seconds: float | None = None  # of a stall; `None`: until the client disconnects


BodyPart = bytes | ConnectionFault


@dataclass(frozen=True, slots=True)
class Reply:
    """A response whose body is a sequence of parts, so that it can be streamed or interrupted."""

    status: int  # 0: the connection ends before a response
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: Iterable[BodyPart] = ()  # each part of a stream is one event
    streamed: bool = False
    blocking: bool = False  # producing the next part may block, so it needs a thread


def parse_json(data: bytes) -> Any:
    """Parse JSON as FastAPI does, except for NaN and infinity, which errors cannot quote.

    Invalid JSON raises a `ValueError`, and a `RecursionError` if it is nested too deeply.
    """
    value = json.loads(data, parse_constant=_parse_float, parse_float=_parse_float)
    if isinstance(value, dict | list) and is_deep(value):
        raise RecursionError
    return value


def is_deep(value: Any, levels: int = 100) -> bool:
    """Whether a JSON value is nested so deeply that recursive code may fail."""
    items = value.values() if isinstance(value, dict) else value
    containers = (item for item in items if isinstance(item, dict | list))
    return levels == 0 or any(is_deep(item, levels - 1) for item in containers)


def _parse_float(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is not finite")
    return number


def to_json_bytes(value: Any) -> bytes:
    """Write JSON as the services do: compact UTF-8 without escaped non-ASCII characters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def to_json(value: Any) -> str:
    """Write JSON as models do: with spaces, and without escaped characters."""
    return json.dumps(value, ensure_ascii=False)


def json_reply(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a complete response with a JSON body."""
    return complete_reply(status, to_json_bytes(value), "application/json", headers)


def complete_reply(
    status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
) -> Reply:
    """Return a complete response with a `content-length`."""
    fixed = {"content-type": content_type, "content-length": str(len(body))}
    return Reply(status, fixed | dict(headers or {}), (body,))
