"""The `response_metadata` of a stream's chunks."""

from typing import Any

from langchain_azure_phi3._response.content_blocks import PROVIDER
from langchain_azure_phi3._response.wire_response import response_metadata, server_timings
from langchain_azure_phi3._types import Json, ResponseInfo, ShowHeaders

_FIELDS = ("model", "id", "system_fingerprint", "prompt_filter_results", "prompt_annotations")


class ResponseMetadata:
    """Collects metadata from a stream and emits each key once.

    LangChain would concatenate strings that several chunks repeat.

    Attributes:
        all: All metadata, emitted or not.
        info: The HTTP response of the stream.
        timings: How long the server worked; the last report covers the complete response.
    """

    def __init__(self, show_headers: ShowHeaders | None = None) -> None:
        self._show_headers = show_headers
        self.timings: Json = {}
        self.info = ResponseInfo()
        self.all: Json = {"model_provider": PROVIDER}
        self._emitted: set[str] = set()
        self._pending: Json = {}
        self._last_fields: tuple[Any, ...] | None = None

    def add(self, body: Json, info: ResponseInfo) -> None:
        """Add the metadata of a chunk of the wire; nearly all chunks repeat it."""
        self.info = info
        if "timings" in body or "total_duration" in body:
            self.timings = server_timings(body)
        fields = tuple(map(body.get, _FIELDS))
        if fields == self._last_fields:
            return
        self._last_fields = fields
        for key, value in response_metadata(body, info, self._show_headers).items():
            if key not in self._emitted:
                self._pending[key] = self.all[key] = value

    def set_default(self, key: str, value: Any) -> None:
        """Set a key that the server did not state."""
        if key not in self._emitted and value is not None:
            self._pending.setdefault(key, value)
            self.all.setdefault(key, value)

    def take(self) -> Json:
        """Return the metadata of the next chunk: the provider, and everything not emitted yet."""
        if not self._pending:
            return {"model_provider": PROVIDER}
        pending, self._pending = self._pending, {}
        self._emitted.update(pending)
        return {"model_provider": PROVIDER, **pending}
