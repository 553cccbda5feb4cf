"""A request as it arrived and the reply to it, before either meets a socket."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from langchain_azure_phi3.emulator.faults import Fault

Json = dict[str, Any]


class Headers(Mapping[str, str]):
    """HTTP headers, found whatever the case of their names; the last of a repeated one wins."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values = {name.lower(): value for name, value in pairs}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({sorted(self._values)})"  # names only: a value may be a key


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived at the emulator.

    Attributes:
        method: Upper case.
        path: Without the query.
        query: The query's parameters; the last of a repeated one.
        headers: Found whatever the case of their names.
        body: The bytes as sent.
        fault: What its answer met, as it was ordered; `None` where it was left in peace.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    fault: "Fault | None" = None

    @property
    def json(self) -> Any:
        """The body as JSON, or `None` where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Break:
    """The connection fails at this point of a reply.

    Attributes:
        how: `"cut"` closes it (FIN), `"reset"` resets it (RST), `"stall"` sends nothing more.
        seconds: How long a stall lasts before the connection is closed; `None`: until the client
            leaves.
    """

    how: Literal["cut", "reset", "stall"]
    seconds: float | None = None


Step = bytes | Break


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as a list of steps, so that it can be sent piece by piece, or break off.

    Attributes:
        status: The HTTP status; 0 when the connection ends before any answer.
        headers: Without `content-length` for a stream.
        steps: What is written, in order; for a stream, each an event.
        streamed: Whether it is a stream of events.
        blocks: Whether the next step may be long in coming, so that no loop may wait for it.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    steps: Iterable[Step] = ()
    streamed: bool = False
    blocks: bool = False


def dumped(value: Any) -> bytes:
    """JSON as the services write it: compact, UTF-8, non-ASCII characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def json_reply(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """A whole answer with a JSON body."""
    return whole_reply(status, dumped(value), "application/json", headers)


def whole_reply(
    status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
) -> Reply:
    """A whole answer, with its length announced."""
    fixed = {"content-type": content_type, "content-length": str(len(body))}
    return Reply(status, fixed | dict(headers or {}), (body,))
