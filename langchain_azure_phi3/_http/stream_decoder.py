"""Streamed responses: bytes in, JSON objects out, or an error."""

from codecs import BOM_UTF8
from collections.abc import Iterator

from langchain_azure_phi3._http.error_mapping import (
    is_error,
    map_error_body,
    parse_completion,
)
from langchain_azure_phi3._http.json_codec import decode
from langchain_azure_phi3._http.sse import Event, EventParser
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import AzurePhi3Error, InterruptedStreamError, InvalidResponseError

MAX_BODY_BYTES = 64 * 1024 * 1024
_DONE = b"[DONE]"
# How a body begins that is not an event stream: a complete JSON response from a server that ignores
# `stream` (managed-compute server 0.1.8), or the web page of a proxy.
_NOT_EVENTS = b'{[<"'
_FIELDS = (b"data", b"event", b"id", b"retry", b":")
_LEADING_SPACE = 1024
_SHOWN = 200


class StreamDecoder:
    """Bytes of a successful response in, completion chunks out.

    `done` turns true at `[DONE]`: nothing after it counts.
    """

    def __init__(self, info: ResponseInfo) -> None:
        self.done = False
        self._info = info
        self._parser = EventParser()
        self._undecided: bytes | None = b""
        self._head = b""
        self._body: bytearray | None = None
        self._seen = self._finished = False

    def feed(self, chunk: bytes) -> Iterator[Json]:
        """The objects that `chunk` completes; what came before a failure is given first.

        Raises:
            AzurePhi3Error: The stream reports a failure, or holds what is no JSON object.
        """
        if len(self._head) < _SHOWN:
            self._head += chunk[: _SHOWN - len(self._head)]
        if self._undecided is not None:
            chunk = self._decided(self._undecided + chunk)
        if self._body is not None:
            self._keep(chunk)
            return
        for event in self._parser.feed(chunk):
            body = self._object(event)
            if body is None:
                return
            yield body

    def finish(self) -> Iterator[Json]:
        """What the end of the bytes completes.

        Raises:
            InterruptedStreamError: The stream gave neither a `finish_reason` nor `[DONE]`.
            InvalidResponseError: It was no stream of completions at all.
        """
        if self.done:
            return
        if self._body is not None or self._undecided is not None:
            self.done = True
            yield parse_completion(bytes(self._body or b""), self._info)
            return
        for event in self._parser.finish():
            # This event lacks its blank line. Where it is cut as well, it is no garbage but
            # the place of the interruption.
            if event.data == _DONE or _is_json(event.data):
                body = self._object(event)
                if body is not None:
                    yield body
        if not (self.done or self._finished):
            raise self._incomplete()

    def _decided(self, start: bytes) -> bytes:
        """The bytes to read now, once it is clear whether they are an event stream."""
        # No more than this is looked at, so that it does not matter where the network cuts.
        significant = start[:_LEADING_SPACE].removeprefix(BOM_UTF8).lstrip()[:1]
        undecided = not significant or BOM_UTF8.startswith(start)
        if undecided and len(start) < _LEADING_SPACE:
            self._undecided = start
            return b""
        self._undecided = None
        if significant and significant in _NOT_EVENTS:
            self._body = bytearray()
        return start

    def _keep(self, chunk: bytes) -> None:
        body = self._body
        if body is None or len(body) + len(chunk) > MAX_BODY_BYTES:
            raise InvalidResponseError(
                f"The response is larger than {MAX_BODY_BYTES:,} bytes; it was dropped."
            )
        body += chunk

    def _object(self, event: Event) -> Json | None:
        """The object that an event holds; `None` for the last event, which holds none."""
        self._seen = True
        if event.data == _DONE:
            self.done = True
            return None
        try:
            body = decode(event.data)
        except ValueError:
            body = None
        if event.name == b"error" or is_error(body):
            raise map_error_body(event.data, self._info, what="The stream reported an error")
        if not isinstance(body, dict):
            raise map_error_body(
                event.data, self._info, what="The stream holds an event that is not a JSON object"
            )
        self._finished = self._finished or _finishes(body)
        return body

    def _incomplete(self) -> AzurePhi3Error:
        info = self._info
        head = self._head.removeprefix(BOM_UTF8).lstrip()
        if self._seen or _begins_a_field(head):
            return InterruptedStreamError(
                "The stream broke off: neither a finish_reason nor [DONE] came. "
                "The text until then is in `partial`; the same request may succeed again.",
                status_code=info.status_code,
                request_id=info.request_id,
                partial=None if self._seen else "",
            )
        text = head.decode("utf-8", errors="replace")
        return InvalidResponseError(
            f"The server answered {info.status_code} with text that is not an event stream: "
            f"{text!r}. Check that the endpoint is the model's own.",
            status_code=info.status_code,
            request_id=info.request_id,
        )


def _begins_a_field(head: bytes) -> bool:
    """Whether text is the beginning of an event, however short."""
    return head != b"" and any(f.startswith(head) or head.startswith(f) for f in _FIELDS)


def _is_json(data: bytes) -> bool:
    try:
        decode(data)
    except ValueError:
        return False
    return True


def _finishes(body: Json) -> bool:
    choices = body.get("choices")
    if not isinstance(choices, list):
        return False
    for choice in choices:  # noqa: SIM110 -- any() with a generator costs three times as much
        if isinstance(choice, dict) and choice.get("finish_reason"):
            return True
    return False
