"""Failures on demand: each turns a reply that would have succeeded into one that does not."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, Self, cast

from langchain_azure_phi3.emulator.wire import (
    Break,
    Json,
    Reply,
    Step,
    dumped,
    whole_reply,
)

Kind = Literal[
    "cut",
    "empty",
    "end",
    "event",
    "garble",
    "hang",
    "html",
    "refuse",
    "reset",
    "short",
    "stall",
]

LOGIN_PAGE = b"<!DOCTYPE html><html><title>Sign in</title><body>Please sign in.</body></html>"
GARBLED_EVENT = b'data: {"id":"garbled","choices":[{"index":0,"delta":{"content":"bro\n\n'
ERROR_EVENT = (
    b'data: {"error":{"code":"InternalServerError","message":"The engine stopped.","status":500}}'
    b"\n\n"
)

_JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failure; the parameters are those of `Emulator.fail`."""

    status: int | None = None
    body: Any = field(default=None, repr=False)  # what a test makes a server say may hold a key
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    retry_after: float | str | None = None
    kind: Kind | None = None
    after: int = 0
    after_bytes: int | None = None
    at: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.kind is None and self.status is None:
            raise ValueError("Say how to fail: status=429, or kind='cut'")
        if self.kind is not None and self.kind not in _KINDS:
            raise ValueError(f"kind={self.kind!r} is unknown; use one of {sorted(_KINDS)}")

    @classmethod
    def named(cls, name: str) -> Self:
        """A status, such as `"429"`, or a kind, which breaks off in the middle of the answer.

        Raises:
            ValueError: It is neither.
        """
        if name.isdecimal():
            if not 200 <= int(name) <= 599:
                raise ValueError(f"{name!r} is no status that an answer can have")
            return cls(status=int(name))
        return cls(kind=cast("Kind", name), at=0.5)

    @property
    def replaces(self) -> bool:
        """Whether nothing of the answer remains, so that there need be none."""
        return self.kind is None or self.kind in _REPLACING

    def applied_to(self, reply: Reply) -> Reply:
        """What is answered instead of `reply`."""
        if self.kind is None:
            return _refusal(self)
        return _KINDS[self.kind](self, reply)

    def content(self, otherwise: bytes) -> bytes:
        """The body that was asked for, else another."""
        if self.body is None:
            return otherwise
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else dumped(self.body)

    def answering(self, status: int, otherwise: bytes, content_type: str) -> Reply:
        """A whole answer of the status, body and headers asked for, else of these."""
        status = status if self.status is None else self.status
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.retry_after is not None:
            headers.setdefault("retry-after", f"{self.retry_after}")
        return whole_reply(status, self.content(otherwise), content_type, headers)


def _refusal(fault: Fault) -> Reply:
    plain = isinstance(fault.body, str | bytes)
    usual = dumped(_usual_body(fault.status, fault.retry_after))
    return fault.answering(500, usual, "text/plain; charset=utf-8" if plain else _JSON)


def _usual_body(status: int | None, retry_after: float | str | None) -> Json:
    if status == 429:
        again = "" if retry_after is None else f" Try again in {retry_after} seconds."
        return {"error": {"code": "429", "message": f"Rate limit is exceeded.{again}"}}
    code, message = _USUAL.get(status, (str(status), "The request failed."))
    return {"error": {"code": code, "message": message}}


_USUAL: Mapping[int | None, tuple[str, str]] = {
    401: ("401", "Access denied due to invalid subscription key or wrong API endpoint."),
    403: ("403", "Key based authentication is disabled for this resource."),
    404: ("DeploymentNotFound", "The API deployment for this resource does not exist."),
    408: ("RequestTimeout", "The request timed out."),
    500: ("InternalServerError", "Backend returned unexpected response."),
    503: ("ServiceUnavailable", "The service is temporarily unable to process your request."),
}


def _breaking(how: Literal["cut", "reset", "stall"]) -> Callable[[Fault, Reply], Reply]:
    def broken(fault: Fault, reply: Reply) -> Reply:
        return replace(reply, steps=[*_passed(fault, reply), Break(how, fault.seconds)])

    return broken


def _passed(fault: Fault, reply: Reply) -> Iterator[Step]:
    """What gets through before the failure."""
    if fault.after_bytes is None and fault.at is None:
        return islice(iter(reply.steps), fault.after)
    body = _body(reply)
    until = fault.after_bytes if fault.at is None else int(fault.at * len(body))
    return iter([body[:until]])


def _ended(fault: Fault, reply: Reply) -> Reply:
    passed = list(_passed(fault, reply))
    if reply.streamed:
        return replace(reply, steps=passed)
    body = _body(replace(reply, steps=passed))
    return whole_reply(reply.status, body, _JSON)


def _with_event(fault: Fault, reply: Reply) -> Reply:
    if not reply.streamed:
        return reply
    steps = list(reply.steps)
    event = fault.content(ERROR_EVENT)
    return replace(reply, steps=[*steps[: fault.after], event, *steps[fault.after :]])


def _garbled(fault: Fault, reply: Reply) -> Reply:
    if reply.streamed:
        return replace(reply, steps=[*_passed(fault, reply), fault.content(GARBLED_EVENT)])
    whole = _body(reply)
    return whole_reply(reply.status, fault.content(whole[: len(whole) // 2]), _JSON)


def _html(fault: Fault, _: Reply) -> Reply:
    return fault.answering(200, LOGIN_PAGE, "text/html; charset=utf-8")


def _empty(fault: Fault, _: Reply) -> Reply:
    return fault.answering(200, b"", _JSON)


def _short(_: Fault, reply: Reply) -> Reply:
    body = _body(reply)
    headers = {**reply.headers, "content-length": str(len(body) + 100)}
    return replace(reply, headers=headers, steps=[body, Break("cut")])


def _refused(_: Fault, __: Reply) -> Reply:
    return Reply(0, steps=[Break("cut")])


def _hanging(fault: Fault, _: Reply) -> Reply:
    return Reply(0, steps=[Break("stall", fault.seconds)])


def _body(reply: Reply) -> bytes:
    return b"".join(step for step in reply.steps if isinstance(step, bytes))


_REPLACING = frozenset({"empty", "hang", "html", "refuse"})
_KINDS: Mapping[str, Callable[[Fault, Reply], Reply]] = {
    "cut": _breaking("cut"),
    "reset": _breaking("reset"),
    "stall": _breaking("stall"),
    "end": _ended,
    "garble": _garbled,
    "refuse": _refused,
    "hang": _hanging,
    "event": _with_event,
    "html": _html,
    "empty": _empty,
    "short": _short,
}
