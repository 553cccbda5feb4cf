"""Logs one line for each request to a served emulator."""

import re
import time
from collections.abc import Callable

from langchain_azure_phi3.emulator.wire import BodyPart, Reply, Request

_TOTAL_TOKENS = re.compile(rb'"total_tokens":(\d+)')
_MAX_LENGTH = 100


class RequestLog:
    """Times one request, and reads the token counts in its response, if there are any."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._started = time.perf_counter()
        self._tokens: str | None = None

    def read(self, part: BodyPart) -> None:
        """Read a part of the response."""
        if isinstance(part, bytes) and (counts := _TOTAL_TOKENS.findall(part)):
            self._tokens = counts[-1].decode()

    def write(self, reply: Reply, log: Callable[[str], object]) -> None:
        """Write the line, with `-` for unknown values."""
        body = self._request.json
        model = body.get("model") if isinstance(body, dict) else None
        status = "no response" if reply.status == 0 else str(reply.status)
        milliseconds = (time.perf_counter() - self._started) * 1000
        tokens = "-" if self._tokens is None else f"{self._tokens} tokens"
        parts = (self._request.method, self._request.path, model or "-", status, tokens)
        log(" ".join(_printable(str(part)) for part in (*parts, f"{milliseconds:.0f} ms")))


def _printable(text: str) -> str:
    """Remove characters that could move the cursor or begin another line."""
    return "".join(c if c.isprintable() else "?" for c in text[:_MAX_LENGTH])
