"""Failures on demand: each turns a reply that would have succeeded into one that does not."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

from langchain_azure_phi3.emulator.wire import (
    Break,
    Json,
    Reply,
    Step,
    dumped,
    json_reply,
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

LOGIN_PAGE = "<!DOCTYPE html><html><title>Sign in</title><body>Please sign in.</body></html>"
GARBLED_EVENT = 'data: {"id":"garbled","choices":[{"index":0,"delta":{"content":"bro\n\n'
ERROR_EVENT = (
    'data: {"error":{"code":"InternalServerError","message":"The engine stopped.","status":500}}'
    "\n\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failure; the parameters are those of `Emulator.fail`."""

    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | str | None = None
    kind: Kind | None = None
    after: int = 0
    after_bytes: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.kind is None and self.status is None:
            raise ValueError("Say how to fail: status=429, or kind='cut'")
        if self.kind is not None and self.kind not in _KINDS:
            raise ValueError(f"kind={self.kind!r} is unknown; use one of {sorted(_KINDS)}")

    def applied_to(self, reply: Reply) -> Reply:
        """What is answered instead of `reply`."""
        if self.kind is None:
            return self._refusal()
        return _KINDS[self.kind](self, reply)

    def _refusal(self) -> Reply:
        status = self.status if self.status is not None else 500
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.retry_after is not None:
            headers.setdefault("retry-after", f"{self.retry_after}")
        if self.body is None:
            return json_reply(status, _usual_body(status, self.retry_after), headers)
        return whole_reply(status, self.text(""), self._content_type(), headers)

    def text(self, otherwise: str) -> bytes:
        """The body that was asked for, else another."""
        if self.body is None:
            return otherwise.encode()
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else dumped(self.body)

    def _content_type(self) -> str:
        return "text/plain; charset=utf-8" if isinstance(self.body, str | bytes) else _JSON


_JSON = "application/json"


def _usual_body(status: int, retry_after: float | str | None) -> Json:
    if status == 429:
        again = "" if retry_after is None else f" Try again in {retry_after} seconds."
        return {"error": {"code": "429", "message": f"Rate limit is exceeded.{again}"}}
    code, message = _USUAL.get(status, (str(status), "The request failed."))
    return {"error": {"code": code, "message": message}}


_USUAL: Mapping[int, tuple[str, str]] = {
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
    if fault.after_bytes is None:
        return islice(iter(reply.steps), fault.after)
    whole = b"".join(step for step in reply.steps if isinstance(step, bytes))
    return iter([whole[: fault.after_bytes]])


def _ended(fault: Fault, reply: Reply) -> Reply:
    passed = list(_passed(fault, reply))
    headers = dict(reply.headers)
    if not reply.streamed:
        headers["content-length"] = str(
            sum(len(step) for step in passed if isinstance(step, bytes))
        )
    return replace(reply, headers=headers, steps=passed)


def _with_event(fault: Fault, reply: Reply) -> Reply:
    if not reply.streamed:
        return reply
    steps = list(reply.steps)
    event = fault.text(ERROR_EVENT)
    return replace(reply, steps=[*steps[: fault.after], event, *steps[fault.after :]])


def _garbled(fault: Fault, reply: Reply) -> Reply:
    if reply.streamed:
        passed = _passed(fault, reply)
        return replace(reply, steps=[*passed, fault.text(GARBLED_EVENT)])
    whole = b"".join(step for step in reply.steps if isinstance(step, bytes))
    body = fault.text(whole[: len(whole) // 2].decode("utf-8", "ignore"))
    return whole_reply(reply.status, body, _JSON, _kept(reply))


def _html(fault: Fault, reply: Reply) -> Reply:
    status = 200 if fault.status is None else fault.status
    return whole_reply(status, fault.text(LOGIN_PAGE), "text/html; charset=utf-8", _kept(reply))


def _empty(fault: Fault, reply: Reply) -> Reply:
    status = 200 if fault.status is None else fault.status
    return whole_reply(status, b"", _JSON, _kept(reply))


def _short(_: Fault, reply: Reply) -> Reply:
    body = b"".join(step for step in reply.steps if isinstance(step, bytes))
    headers = {**reply.headers, "content-length": str(len(body) + 100)}
    return replace(reply, headers=headers, steps=[body, Break("cut")])


def _refused(_: Fault, __: Reply) -> Reply:
    return Reply(0, steps=[Break("cut")])


def _hanging(fault: Fault, _: Reply) -> Reply:
    return Reply(0, steps=[Break("stall", fault.seconds)])


def _kept(reply: Reply) -> dict[str, str]:
    framing = ("content-type", "content-length")
    return {name: value for name, value in reply.headers.items() if name not in framing}


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
