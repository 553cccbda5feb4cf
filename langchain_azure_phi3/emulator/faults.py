"""Injected failures, which turn a successful reply into a failing one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, Self, cast

from langchain_azure_phi3.emulator._deprecation import renamed_attributes
from langchain_azure_phi3.emulator.wire import (
    BodyPart,
    ConnectionFault,
    Reply,
    complete_reply,
    to_json_bytes,
)

FaultName = Literal[
    "cut", "empty", "end", "event", "garble", "hang", "html", "refuse", "reset", "short", "stall"
]

LOGIN_PAGE = b"<!DOCTYPE html><html><title>Sign in</title><body>Please sign in.</body></html>"
GARBLED_EVENT = b'data: {"id":"garbled","choices":[{"index":0,"delta":{"content":"bro\n\n'
ERROR_EVENT = (
    b'data: {"error":{"code":"InternalServerError","message":"The engine stopped.","status":500}}'
    b"\n\n"
)

_JSON = "application/json"


@renamed_attributes(kind="name", at="fraction")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failure, with the parameters of `Emulator.fail`.

    Raises:
        ValueError: Neither `status` nor `name`, or an unknown name.
    """

    name: FaultName | None = None
    status: int | None = None
    body: Any = field(default=None, repr=False)  # may contain a key
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    retry_after: float | str | None = None
    after: int = 0
    after_bytes: int | None = None
    fraction: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.name is None and self.status is None:
            raise ValueError('Pass a status or the name of a fault: status=429, or "cut".')
        if self.name is not None and self.name not in _APPLY:
            raise ValueError(f"Fault {self.name!r} is unknown. Use one of {sorted(_APPLY)}.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a status, such as `"429"`, or a name, which interrupts the response halfway.

        Raises:
            ValueError: It is neither.
        """
        if not text.isdecimal():
            return cls(name=cast("FaultName", text), fraction=0.5)
        if not 200 <= int(text) <= 599:
            raise ValueError(f"{text!r} is not an HTTP status from 200 to 599.")
        return cls(status=int(text))

    @property
    def replaces_answer(self) -> bool:
        """Whether nothing of the response is sent, so that it does not have to be generated."""
        return self.name in (None, "empty", "hang", "html", "refuse")

    def apply(self, reply: Reply) -> Reply:
        """Return the reply to send instead of `reply`."""
        return _error_status(self) if self.name is None else _APPLY[self.name](self, reply)

    def content(self, default: bytes) -> bytes:
        """Return the configured body, or the default."""
        if self.body is None:
            return default
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else to_json_bytes(self.body)

    def complete_reply(self, status: int, default: bytes, content_type: str) -> Reply:
        """Return a reply with the configured status, body and headers, or these defaults."""
        status = status if self.status is None else self.status
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.retry_after is not None:
            headers.setdefault("retry-after", f"{self.retry_after}")
        return complete_reply(status, self.content(default), content_type, headers)


def _error_status(fault: Fault) -> Reply:
    code, message = _DEFAULTS.get(fault.status, (str(fault.status), "The request failed."))
    if fault.status == 429 and fault.retry_after is not None:
        message += f" Try again in {fault.retry_after} seconds."
    default = to_json_bytes({"error": {"code": code, "message": message}})
    is_text = isinstance(fault.body, str | bytes)
    return fault.complete_reply(500, default, "text/plain; charset=utf-8" if is_text else _JSON)


_DEFAULTS: Mapping[int | None, tuple[str, str]] = {
    401: ("401", "Access denied due to invalid subscription key or wrong API endpoint."),
    403: ("403", "Key based authentication is disabled for this resource."),
    404: ("DeploymentNotFound", "The API deployment for this resource does not exist."),
    408: ("RequestTimeout", "The request timed out."),
    429: ("429", "Rate limit is exceeded."),
    500: ("InternalServerError", "Backend returned unexpected response."),
    503: ("ServiceUnavailable", "The service is temporarily unable to process your request."),
}


def _interrupt(fault: Fault, reply: Reply) -> Reply:
    connection_fault = ConnectionFault(cast("Any", fault.name), fault.seconds)
    return replace(reply, parts=[*_sent_before(fault, reply), connection_fault])


def _sent_before(fault: Fault, reply: Reply) -> Iterator[BodyPart]:
    """Return the parts to send before the failure."""
    if fault.after_bytes is None and fault.fraction is None:
        return islice(iter(reply.parts), fault.after)
    body = _join(reply.parts)
    end = fault.after_bytes if fault.fraction is None else int(fault.fraction * len(body))
    return iter([body[:end]])


def _end(fault: Fault, reply: Reply) -> Reply:
    parts = list(_sent_before(fault, reply))
    complete = complete_reply(reply.status, _join(parts), _JSON)
    return replace(reply, parts=parts) if reply.streamed else complete


def _event(fault: Fault, reply: Reply) -> Reply:
    parts = list(reply.parts)
    parts.insert(fault.after, fault.content(ERROR_EVENT))
    return replace(reply, parts=parts) if reply.streamed else reply


def _garble(fault: Fault, reply: Reply) -> Reply:
    if reply.streamed:
        parts = [*_sent_before(fault, reply), fault.content(GARBLED_EVENT)]
        return replace(reply, parts=parts)
    body = _join(reply.parts)
    return complete_reply(reply.status, fault.content(body[: len(body) // 2]), _JSON)


def _short(_: Fault, reply: Reply) -> Reply:
    body = _join(reply.parts)
    headers = {**reply.headers, "content-length": str(len(body) + 100)}
    return replace(reply, headers=headers, parts=[body, ConnectionFault("cut")])


def _join(parts: Any) -> bytes:
    return b"".join(part for part in parts if isinstance(part, bytes))


_APPLY: Mapping[str, Callable[[Fault, Reply], Reply]] = {
    "cut": _interrupt,
    "reset": _interrupt,
    "stall": _interrupt,
    "end": _end,
    "garble": _garble,
    "event": _event,
    "short": _short,
    "refuse": lambda fault, _: Reply(0, parts=[ConnectionFault("cut")]),
    "hang": lambda fault, _: Reply(0, parts=[ConnectionFault("stall", fault.seconds)]),
    "html": lambda fault, _: fault.complete_reply(200, LOGIN_PAGE, "text/html; charset=utf-8"),
    "empty": lambda fault, _: fault.complete_reply(200, b"", _JSON),
}
