"""An endpoint examined step by step, from its name's address to a picture.

It asks about a dozen short questions, through the same chat model that users have. What the
answers mean is decided in `diagnosis`.
"""

import base64
import json
import os
import struct
import textwrap
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import SecretStr

from langchain_azure_phi3 import models
from langchain_azure_phi3._doctor import report
from langchain_azure_phi3._doctor.connectivity import reached
from langchain_azure_phi3._doctor.report import Finding, Report, skipped
from langchain_azure_phi3._http.endpoint_types import OPENAI_SERVER
from langchain_azure_phi3._http.retry_state import is_route_missing
from langchain_azure_phi3._http.routes import Route, route_for
from langchain_azure_phi3._settings import CREDENTIAL_VARIABLES
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.chat_models import ChatAzurePhi3
from langchain_azure_phi3.errors import (
    AzurePhi3Error,
    BadRequestError,
    InvalidInputError,
    NotFoundError,
)

_QUESTION = "How many languages are in the world? Answer in one sentence."
_TOOL_QUESTION = "What is the weather in Paris now? Use the tool."
_WEATHER: Json = {
    "title": "get_weather",
    "description": "The weather in a city now.",
    "type": "object",
    "properties": {"city": {"type": "string", "description": "The city's name."}},
    "required": ["city"],
}
_SHORT, _LONG = 64, 256  # tokens
_CONNECT_SECONDS = 10.0
_SHORTEST_KEY = 8  # what is shorter is no key, and may be part of a word
# Where else the completions may be when a bare host has none, nor any under /v1, where the chat
# model looks by itself.
_ELSEWHERE = ("/models", "/openai/v1")
_LATER_STEPS = (
    "stream",
    "usage in streams",
    "extra parameters",
    "tools",
    "JSON mode",
    "image",
)


def examine(
    given: Mapping[str, Any],
    *,
    timeout: float = 60.0,
    each: Callable[[Finding], object] | None = None,
) -> Report:
    """Look at an endpoint, and say what it is good for.

    Args:
        given: The arguments of `ChatAzurePhi3`; what is absent comes from the environment.
        timeout: Seconds to wait for each answer.
        each: Called with each finding as soon as there is one.

    Raises:
        InvalidInputError: The arguments do not make a chat model.
    """
    with httpx.Client() as client:
        return _Examination(given, timeout, client).report(each)


class _Examination:
    """One endpoint, and what was found of it so far."""

    def __init__(self, given: Mapping[str, Any], timeout: float, client: httpx.Client) -> None:
        self._given = {name: value for name, value in given.items() if value is not None}
        self._timeouts = min(_CONNECT_SECONDS, timeout), timeout
        self._client = client
        client.event_hooks = {"request": [self._note]}
        self._asked: list[str] = []  # URLs
        self._fits: Json = {}  # arguments that the findings call for
        self._answers = False
        self._counts = False  # whether an answer that is not streamed says what it cost
        made = self._model()
        self._given["endpoint"] = made.endpoint
        self._credential = made.credential
        self._route = self._routed()

    def report(self, each: Callable[[Finding], object] | None) -> Report:
        """Every finding, and the constructor call that fits."""
        findings: list[Finding] = []
        for finding in self._all_findings():
            findings.append(self._without_key(finding))
            if each is not None:
                each(findings[-1])
        return Report(
            self._route.base,
            self._route.endpoint_type.name,
            findings,
            self._constructor(),
            self._notes(),
        )

    def _without_key(self, finding: Finding) -> Finding:
        """The finding, should a server have quoted the key where nobody expects it."""
        key = self._credential.get_secret_value() if isinstance(self._credential, SecretStr) else ""
        if len(key) < _SHORTEST_KEY:
            return finding
        found, means = (text.replace(key, "***") for text in (finding.found, finding.means))
        return replace(finding, found=found, means=means)

    @property
    def _has_key(self) -> bool:
        return isinstance(self._credential, SecretStr)

    def _all_findings(self) -> Iterator[Finding]:
        seen = set()
        for finding in self._findings():
            seen.add(finding.step)
            yield finding
        later = ("route", "sign-in", "/info", "completion", *_LATER_STEPS)
        why = "not tried, because of what failed above"
        yield from (skipped(step, why) for step in later if step not in seen)

    def _findings(self) -> Iterator[Finding]:
        for finding in reached(self._route, self._timeouts[0]):
            yield finding
            if finding.outcome == "failed":
                return
        yield from self._found_asking()
        if not self._answers:
            return
        for step in (self._stream, self._usage, self._extras, self._tools, self._json, self._image):
            yield step()

    # -- the first question ------------------------------------------------------------------

    def _found_asking(self) -> Iterator[Finding]:
        info = self._info()
        answer = self._first_answer()
        if isinstance(answer, AzurePhi3Error):
            yield from self._of_failure(answer, info)
            return
        self._answers = True
        yield Finding("route", "ok", f"completions at {self._asked[-1]}", self._moved())
        yield Finding("sign-in", "ok", self._signed_in())
        yield info
        yield self._of_answer(*answer)

    def _of_failure(self, failure: AzurePhi3Error, info: Finding) -> Iterator[Finding]:
        step = report.blamed(failure)
        means = report.meaning(failure)
        if isinstance(failure, NotFoundError) and self._route.endpoint_type is not OPENAI_SERVER:
            means += f" {report.RETIRED}"
        if step == "sign-in" and self._credential is None:
            means = report.NO_CREDENTIAL
        failed = Finding(step, "failed", report.said(failure), means)
        if step == "route":
            yield failed
            return
        if isinstance(failure, InvalidInputError):
            yield from (skipped(name, "nothing was asked") for name in ("route", "sign-in"))
            yield info
            yield failed
            return
        yield Finding("route", "ok", f"{self._asked[-1]} answers", self._moved())
        if step == "completion":
            yield Finding("sign-in", "ok", self._signed_in())
            yield info
        yield failed

    def _first_answer(self) -> tuple[AIMessage, float] | AzurePhi3Error:
        answer = self._timed(self._model)
        if isinstance(answer, NotFoundError | BadRequestError) and "model" in self._fits:
            # The server does not answer to the name that it gave.
            del self._fits["model"]
            answer = self._timed(self._model)
        if isinstance(answer, NotFoundError | BadRequestError) and is_route_missing(answer):
            return self._answer_elsewhere(answer)
        return answer

    def _answer_elsewhere(
        self, failure: AzurePhi3Error
    ) -> tuple[AIMessage, float] | AzurePhi3Error:
        """The answer under another path of a host that was given without one."""
        if self._route.endpoint_type.name != "endpoint" or urlsplit(self._route.base).path != "":
            return failure
        for path in _ELSEWHERE:
            endpoint = self._route.base + path
            answer = self._timed(partial(self._model, endpoint=endpoint))
            if not (isinstance(answer, AzurePhi3Error) and is_route_missing(answer)):
                self._given["endpoint"] = endpoint
                self._route = self._routed()
                return answer
        return failure

    def _timed(self, make: Callable[[], ChatAzurePhi3]) -> tuple[AIMessage, float] | AzurePhi3Error:
        began = time.perf_counter()
        try:
            answer = make().invoke(_QUESTION, max_tokens=_SHORT)
        except AzurePhi3Error as failure:
            return failure
        return answer, time.perf_counter() - began

    def _moved(self) -> str:
        expected = urlsplit(self._route.chat_url).path
        if not self._asked or urlsplit(self._asked[-1]).path == expected:
            return ""
        return f"{expected} is not there: the package asks both, and remembers which answered."

    def _of_answer(self, answer: AIMessage, seconds: float) -> Finding:
        text = " ".join(answer.text.split())
        shown = textwrap.shorten(text, 60, placeholder=" ...") or f"{text[:56]} ..."
        usage = answer.usage_metadata
        cost = "no token counts"
        self._counts = usage is not None
        if usage is not None:
            cost = f"{usage['input_tokens']} tokens in, {usage['output_tokens']} out"
        return Finding("completion", "ok", f'"{shown}"; {cost}; {seconds:.1f} s')

    def _signed_in(self) -> str:
        if self._credential is None:
            return "no credential is asked for"
        given = "the key" if self._has_key else "the Entra ID token"
        # A server of one's own may take any key for right.
        is_azure = (
            self._route.endpoint_type.scope is not None
            or self._route.endpoint_type.entra_unsupported_reason != ""
        )
        return f"{given} is accepted" if is_azure else f"no objection to {given}"

    def _info(self) -> Finding:
        if not self._route.endpoint_type.has_info_route:
            return Finding("/info", "no", "this kind of endpoint has none", self._unnamed())
        try:
            info = self._model().get_model_info()
        except NotFoundError:
            return Finding("/info", "no", "this server has none", self._unnamed())
        except AzurePhi3Error as failure:
            return Finding("/info", "no", report.said(failure), self._unnamed())
        row = models.find_model(info.model_name)
        given = self._given.get("model")
        if given is None and row is not None:
            self._fits["model"] = row.name
        told = ", ".join(filter(None, (info.model_type, info.model_provider_name)))
        known = None if row is None else row.name
        means = report.of_name(given, info.model_name, known)
        return Finding("/info", "ok", f"{info.model_name} ({told})", means)

    def _unnamed(self) -> str:
        if "model" in self._given:
            return ""
        return "Pass model= so that the package knows the model's limits."

    # -- what else it can do -----------------------------------------------------------------

    def _stream(self) -> Finding:
        began = time.perf_counter()
        pieces, first = 0, 0.0
        try:
            for chunk in self._model().stream(_QUESTION, max_tokens=_SHORT):
                pieces += chunk.text != ""
                first = first or (time.perf_counter() - began if chunk.text else 0.0)
        except AzurePhi3Error as failure:
            means = "Ask without streaming: disable_streaming=True; it is in the call below."
            self._fits["disable_streaming"] = True
            return Finding("stream", "failed", report.said(failure), means)
        if pieces > 1:
            return Finding("stream", "ok", f"{pieces} pieces, the first after {first:.1f} s")
        means = "stream() gives the whole answer as one piece here."
        return Finding("stream", "no", "the answer comes in one piece", means)

    def _usage(self) -> Finding:
        if "disable_streaming" in self._fits:
            return skipped("usage in streams", "there is no stream")
        if self._counts_streamed(None):
            return report.of_usage(by_default=True, when_asked=None, whole=self._counts)
        asked = self._counts_streamed(True)
        if asked:
            self._fits["stream_usage"] = True
        return report.of_usage(by_default=False, when_asked=asked, whole=self._counts)

    def _counts_streamed(self, stream_usage: bool | None) -> bool | None:
        """Whether a stream says what it cost; `None` where the question is refused."""
        model = self._model(stream_usage=stream_usage)
        try:
            chunks = list(model.stream(_QUESTION, max_tokens=_SHORT))
        except AzurePhi3Error:
            return None
        return any(chunk.usage_metadata is not None for chunk in chunks)

    def _extras(self) -> Finding:
        if self._is_score:
            return skipped("extra parameters", "/score takes none")
        answer = self._answer("Hi", logprobs=True)
        if isinstance(answer, AzurePhi3Error):
            return report.of_extras(answer)
        return report.of_extras("logprobs" in answer.response_metadata)

    def _tools(self) -> Finding:
        prompted = self._called("prompted")
        if self._is_score:
            means = report.of_tools(prompted, native=False).means
            return Finding("tools", "no", "/score takes none on the wire", means)
        native = self._called("native")
        row = models.find_model(self._name)
        if native is True and (row is None or not row.native_tools):
            self._fits["tool_calling"] = "native"
        return report.of_tools(prompted, native)

    def _called(self, how: str) -> bool | AzurePhi3Error:
        try:
            model = self._model(tool_calling=how, max_corrections=0, max_tokens=_LONG)
            answer = model.bind_tools([_WEATHER]).invoke(_TOOL_QUESTION)
        except AzurePhi3Error as failure:
            return failure
        return len(answer.tool_calls) > 0

    def _json(self) -> Finding:
        if self._is_score:
            return skipped("JSON mode", "/score has none")
        wanted = {"response_format": {"type": "json_object"}}
        answer = self._answer(
            "Give me a JSON object with the key city and a city as its value.",
            model_extras=wanted,
        )
        if isinstance(answer, AzurePhi3Error):
            return report.of_json_mode(answer, None)
        return report.of_json_mode(answer.text, answer.response_metadata.get("finish_reason"))

    def _image(self) -> Finding:
        parts: list[str | Json] = [
            {"type": "text", "text": "What colour is this?"},
            {"type": "image", "base64": _picture(), "mime_type": "image/png"},
        ]
        answer = self._answer(HumanMessage(parts))
        if self._given.get("api") == "score":
            return report.of_scored_image(answer if isinstance(answer, AzurePhi3Error) else None)
        if isinstance(answer, AzurePhi3Error):
            return report.of_image(answer, self._name)
        usage = answer.usage_metadata
        return report.of_image(None if usage is None else usage["input_tokens"], self._name)

    def _answer(self, question: str | HumanMessage, **fields: Any) -> AIMessage | AzurePhi3Error:
        try:
            return self._model().invoke([question], max_tokens=_SHORT, **fields)
        except AzurePhi3Error as failure:
            return failure

    # -- the model ---------------------------------------------------------------------------

    @property
    def _is_score(self) -> bool:
        return self._given.get("api") == "score"

    @property
    def _name(self) -> str | None:
        name: str | None = self._given.get("model", self._fits.get("model"))
        return name

    def _model(self, **changed: Any) -> ChatAzurePhi3:
        return ChatAzurePhi3(
            **{**self._given, **self._fits, **changed},
            max_retries=0,
            timeout=self._timeouts,
            http_client=self._client,
        )

    def _note(self, request: httpx.Request) -> None:
        self._asked.append(str(request.url))

    def _routed(self) -> Route:
        given = self._given
        return route_for(given["endpoint"], given.get("api_version"), given.get("api", "auto"))

    def _constructor(self) -> dict[str, str]:
        shown = {**self._given, **self._fits, "endpoint": self._route.base}
        query = dict(parse_qsl(urlsplit(self._given["endpoint"]).query))
        if "api-version" in query:
            shown.setdefault("api_version", query["api-version"])
        first = {"endpoint": _written(shown.pop("endpoint"))}
        if "credential" in shown:
            first["credential"] = f"{type(shown.pop('credential')).__name__}()"
        return first | {name: _written(value) for name, value in sorted(shown.items())}

    def _notes(self) -> list[str]:
        if not self._has_key:
            return []
        variable = next((name for name in CREDENTIAL_VARIABLES if os.environ.get(name)), None)
        return [] if variable is None else [f"The key comes from {variable}."]


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _picture() -> str:
    """A red square of 32 by 32 pixels, as PNG in base64."""
    side = 32
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xff\0\0" * side) * side
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()
