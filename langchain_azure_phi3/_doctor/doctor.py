"""Checks an endpoint step by step, from name resolution to an image in the prompt.

The doctor sends about a dozen short requests through the chat model that users have. `report`
interprets the responses.
"""

import json
import os
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import SecretStr

from langchain_azure_phi3 import models
from langchain_azure_phi3._doctor import constraint_check, report
from langchain_azure_phi3._doctor.connectivity import check_connectivity
from langchain_azure_phi3._doctor.report import DoctorReport, Finding, skipped
from langchain_azure_phi3._http.client import make_httpx_client
from langchain_azure_phi3._http.redaction import REDACTED
from langchain_azure_phi3._http.retry_state import is_route_missing
from langchain_azure_phi3._http.routes import Route, route_for
from langchain_azure_phi3._http.secret_url import SecretUrl, mask_query
from langchain_azure_phi3._response.model_info import ModelInfo
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
# A red square of 32 by 32 pixels, as a PNG in base64.
_RED_SQUARE = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKElEQVR4nO3NsQ0AAA"
    "zCMP5/un0CNkuZ41wybXsHAAAAAAAAAAAAxR4yw/wuPL6QkAAAAABJRU5ErkJggg=="
)
_SHORT_ANSWER, _TOOL_ANSWER = 64, 256  # tokens
_CONNECT_TIMEOUT = 10.0  # seconds
# Paths to try for a host without a path; the chat model itself tries the root and /v1.
_OTHER_PATHS = ("/openai/v1", "/models")
_CAPABILITY_STEPS = (
    "model",
    "stream",
    "usage in streams",
    "extra parameters",
    "tools",
    "JSON mode",
    "image",
    constraint_check.STEP,
)


def diagnose(
    kwargs: Mapping[str, Any],
    *,
    timeout: float = 60.0,
    on_finding: Callable[[Finding], object] | None = None,
) -> DoctorReport:
    """Check an endpoint and report what it supports.

    Args:
        kwargs: Arguments of `ChatAzurePhi3`; missing ones come from the environment.
        timeout: Seconds to wait for each response.
        on_finding: Called with each finding as soon as it is available.

    Raises:
        InvalidInputError: The arguments are not valid for `ChatAzurePhi3`, or the certificates and
            proxies that the environment names cannot be used.
    """
    given = {name: value for name, value in kwargs.items() if value is not None}
    host = urlsplit(ChatAzurePhi3(**given)._route.base).hostname
    with make_httpx_client(host) as client:
        return Doctor(given, timeout, client).diagnose(on_finding)


class Doctor:
    """Checks one endpoint, and collects the arguments that the findings recommend."""

    def __init__(self, kwargs: Mapping[str, Any], timeout: float, client: httpx.Client) -> None:
        self._kwargs = dict(kwargs)
        self._timeouts = min(_CONNECT_TIMEOUT, timeout), timeout
        self._client = client
        client.event_hooks = {"request": [self._record_request]}
        self._completion_urls: list[str] = []  # requested ones
        self._recommended: Json = {}  # constructor arguments
        self._reports_usage = False  # in responses that are not streamed
        model = self._model()
        self._kwargs["endpoint"] = model.endpoint
        if model.model is not None:  # may come from the environment
            self._kwargs["model"] = model.model
        self._credential = model.credential
        self._secrets = model._endpoints.connection.secrets
        self._route = self._find_route()

    def diagnose(self, on_finding: Callable[[Finding], object] | None) -> DoctorReport:
        """Run all checks."""
        findings: list[Finding] = []
        for finding in self._all_findings():
            findings.append(self._redact(finding))
            if on_finding is not None:
                on_finding(findings[-1])
        return DoctorReport(
            self._route.base,
            self._route.endpoint_type.name,
            findings,
            self._constructor(),
            self._notes(),
        )

    def _redact(self, finding: Finding) -> Finding:
        """Redact keys in a finding, in case the server repeats one or a URL contains one."""
        detail, advice = finding.detail, finding.advice
        for secret in self._secrets:
            detail, advice = detail.replace(secret, REDACTED), advice.replace(secret, REDACTED)
        return replace(finding, detail=detail, advice=advice)

    @property
    def _has_key(self) -> bool:
        return isinstance(self._credential, SecretStr)

    def _all_findings(self) -> Iterator[Finding]:
        checked = set()
        for finding in self._findings():
            checked.add(finding.step)
            yield finding
        steps = ("route", "sign-in", "/info", "completion", *_CAPABILITY_STEPS)
        reason = "not checked, because of the failure above"
        yield from (skipped(step, reason) for step in steps if step not in checked)

    def _findings(self) -> Iterator[Finding]:
        for finding in check_connectivity(self._route, self._timeouts[0]):
            yield finding
            if finding.outcome == "failed":
                return
        info = self._check_info()
        answer = self._first_answer()
        if isinstance(answer, AzurePhi3Error):
            yield from self._describe_failure(answer, info)
            return
        yield self._route_finding("completions at {}")
        yield Finding("sign-in", "ok", self._describe_sign_in())
        yield info
        yield self._describe_answer(*answer)
        yield self._check_model()
        yield self._check_stream()
        yield self._check_usage()
        yield self._check_extra_parameters()
        yield self._check_tools()
        yield self._check_json_mode()
        yield self._check_image()
        yield self._check_constraints()

    # -- the first request -------------------------------------------------------------------

    def _describe_failure(self, error: AzurePhi3Error, info: Finding) -> Iterator[Finding]:
        step = report.failed_step(error)
        advice = report.advice(error)
        if isinstance(error, NotFoundError) and not self._route.endpoint_type.self_hosted:
            advice += f" {report.RETIRED}"
        if step == "sign-in" and self._credential is None:
            advice = report.NO_CREDENTIAL
        failed = Finding(step, "failed", report.one_line(error), advice)
        if step == "route":
            yield failed
            return
        if isinstance(error, InvalidInputError):
            yield from (skipped(name, "no request was sent") for name in ("route", "sign-in"))
            yield info
            yield failed
            return
        yield self._route_finding("{} answers")
        if step == "completion":
            yield Finding("sign-in", "ok", self._describe_sign_in())
            yield info
        yield failed

    def _route_finding(self, detail: str) -> Finding:
        url = self._completion_urls[-1]
        notes = [self._alternate_url_note()]
        if self._route.endpoint_type.retires_models and "/models/chat/" in url:
            notes.append(report.MODELS_ROUTE)
        return Finding("route", "ok", detail.format(url), " ".join(filter(None, notes)))

    def _first_answer(self) -> tuple[AIMessage, float] | AzurePhi3Error:
        answer = self._invoke_timed(self._model)
        if isinstance(answer, NotFoundError | BadRequestError) and "model" in self._recommended:
            # The server does not accept the name that it reported.
            del self._recommended["model"]
            answer = self._invoke_timed(self._model)
        if isinstance(answer, NotFoundError | BadRequestError) and is_route_missing(answer):
            return self._try_other_paths(answer)
        return answer

    def _try_other_paths(self, error: AzurePhi3Error) -> tuple[AIMessage, float] | AzurePhi3Error:
        """Try other paths on a host that was given without one."""
        if self._route.endpoint_type.name != "endpoint" or urlsplit(self._route.base).path != "":
            return error
        for path in _OTHER_PATHS:
            endpoint = self._with_query(self._route.base + path)
            answer = self._invoke_timed(partial(self._model, endpoint=endpoint))
            if not (isinstance(answer, AzurePhi3Error) and is_route_missing(answer)):
                self._kwargs["endpoint"] = endpoint
                self._route = self._find_route()
                return answer
        return error

    def _invoke_timed(
        self, make_model: Callable[[], ChatAzurePhi3]
    ) -> tuple[AIMessage, float] | AzurePhi3Error:
        start = time.perf_counter()
        try:
            answer = make_model().invoke(_QUESTION, max_tokens=_SHORT_ANSWER)
        except AzurePhi3Error as error:
            return error
        return answer, time.perf_counter() - start

    def _alternate_url_note(self) -> str:
        expected = urlsplit(self._route.chat_url).path
        if not self._completion_urls or urlsplit(self._completion_urls[-1]).path == expected:
            return ""
        return f"{expected} does not exist. The package tries both, and remembers which one works."

    def _describe_answer(self, answer: AIMessage, seconds: float) -> Finding:
        text = " ".join(answer.text.split())
        excerpt = textwrap.shorten(text, 60, placeholder=" ...") or f"{text[:56]} ..."
        usage = answer.usage_metadata
        cost = "no token counts"
        self._reports_usage = usage is not None
        if usage is not None:
            cost = f"{usage['input_tokens']} input and {usage['output_tokens']} output tokens"
        return Finding("completion", "ok", f'"{excerpt}"; {cost}; {seconds:.1f} s')

    def _describe_sign_in(self) -> str:
        if self._credential is None:
            return "no credential is required"
        name = "the key" if self._has_key else "the Entra ID token"
        # Other servers may accept any key.
        is_azure = (
            self._route.endpoint_type.scope is not None
            or self._route.endpoint_type.entra_unsupported_reason != ""
        )
        return f"{name} is accepted" if is_azure else f"{name} is not rejected"

    def _check_info(self) -> Finding:
        endpoint_type = self._route.endpoint_type
        if not endpoint_type.has_info_route and not endpoint_type.lists_models:
            return Finding("/info", "no", "not part of this type of endpoint", self._name_advice())
        try:
            info = self._model().get_model_info()
        except NotFoundError:
            return Finding("/info", "no", "this server does not have it", self._name_advice())
        except AzurePhi3Error as error:
            return Finding("/info", "no", report.one_line(error), self._name_advice())
        if not endpoint_type.has_info_route:
            return self._describe_listed(info)
        row = models.find_model(info.model_name)
        given = self._kwargs.get("model")
        if given is None and row is not None:
            self._recommended["model"] = row.name
        details = ", ".join(filter(None, (info.model_type, info.model_provider_name)))
        advice = report.check_model_name(given, info.model_name, None if row is None else row.name)
        return Finding("/info", "ok", f"{info.model_name} ({details})", advice)

    def _describe_listed(self, info: ModelInfo) -> Finding:
        """Return the finding for /v1/models, with the context from llama.cpp's /props."""
        if self._kwargs.get("model") is None:
            self._recommended["model"] = info.model_name
        if info.context is None:
            url = self._with_query(f"{self._route.base.removesuffix('/v1')}/props")
            with suppress(AzurePhi3Error):
                model = self._model()
                body, _ = model._endpoints.sync.get_json(url)
                model._facts.context = report.props_context(body)
        base = "" if info.base_model is None else f" ({info.base_model})"
        return Finding("/info", "ok", f"/v1/models lists {info.model_name}{base}")

    def _check_model(self) -> Finding:
        model = self._model()
        phi = model._phi
        is_own_name = self._name is not None and models.find_model(self._name) is None
        if phi is not None and is_own_name and model.base_model is None:
            self._recommended["base_model"] = phi.name
        retires = self._route.endpoint_type.retires_models
        return report.check_model(phi, model._facts.context, retires=retires)

    def _name_advice(self) -> str:
        if "model" in self._kwargs:
            return ""
        return "Pass model=, so that the package knows the model's limits."

    # -- capabilities ------------------------------------------------------------------------

    def _check_stream(self) -> Finding:
        start = time.perf_counter()
        chunks, first = 0, 0.0
        try:
            for chunk in self._model().stream(_QUESTION, max_tokens=_SHORT_ANSWER):
                chunks += chunk.text != ""
                first = first or (time.perf_counter() - start if chunk.text else 0.0)
        except AzurePhi3Error as error:
            advice = "Disable streaming with disable_streaming=True; the call below has it."
            self._recommended["disable_streaming"] = True
            return Finding("stream", "failed", report.one_line(error), advice)
        if chunks > 1:
            return Finding("stream", "ok", f"{chunks} chunks, the first after {first:.1f} s")
        advice = "stream() yields the complete response in one chunk here."
        return Finding("stream", "no", "the response arrives in one chunk", advice)

    def _check_usage(self) -> Finding:
        if "disable_streaming" in self._recommended:
            return skipped("usage in streams", "streaming does not work")
        by_default = self._streams_report_usage(None) is True
        on_request = None if by_default else self._streams_report_usage(True)
        if on_request:
            self._recommended["stream_usage"] = True
        return report.check_usage(by_default, on_request, in_responses=self._reports_usage)

    def _streams_report_usage(self, stream_usage: bool | None) -> bool | None:
        """Whether a stream reports token counts; `None` if the server rejects the request."""
        model = self._model(stream_usage=stream_usage)
        try:
            chunks = list(model.stream(_QUESTION, max_tokens=_SHORT_ANSWER))
        except AzurePhi3Error:
            return None
        return any(chunk.usage_metadata is not None for chunk in chunks)

    def _check_extra_parameters(self) -> Finding:
        if self._is_score:
            return skipped("extra parameters", "/score does not accept any")
        answer = self._invoke("Hi", logprobs=True)
        if isinstance(answer, AzurePhi3Error):
            return report.check_extra_parameters(answer)
        return report.check_extra_parameters("logprobs" in answer.response_metadata)

    def _check_tools(self) -> Finding:
        prompted = self._calls_a_tool("prompted")
        if self._is_score:
            advice = report.check_tools(prompted, native=False).advice
            return Finding("tools", "no", "/score does not accept them in the request", advice)
        native = self._calls_a_tool("native")
        if native is True:
            self._recommended["tool_calling"] = "native"
        return report.check_tools(prompted, native)

    def _calls_a_tool(self, tool_calling: str) -> bool | AzurePhi3Error:
        try:
            model = self._model(
                tool_calling=tool_calling, max_corrections=0, max_tokens=_TOOL_ANSWER
            )
            answer = model.bind_tools([_WEATHER]).invoke(_TOOL_QUESTION)
        except AzurePhi3Error as error:
            return error
        return len(answer.tool_calls) > 0

    def _check_json_mode(self) -> Finding:
        if self._is_score:
            return skipped("JSON mode", "/score does not have it")
        answer = self._invoke(
            "Give me a JSON object with the key city and a city as its value.",
            model_extras={"response_format": {"type": "json_object"}},
        )
        if isinstance(answer, AzurePhi3Error):
            return report.check_json_mode(answer, None)
        finish_reason = answer.response_metadata.get("finish_reason")
        return report.check_json_mode(answer.text, finish_reason)

    def _check_image(self) -> Finding:
        parts: list[str | Json] = [
            {"type": "text", "text": "What color is this?"},
            {"type": "image", "base64": _RED_SQUARE, "mime_type": "image/png"},
        ]
        answer = self._invoke(HumanMessage(parts))
        if self._is_score:
            return report.check_score_image(answer if isinstance(answer, AzurePhi3Error) else None)
        if isinstance(answer, AzurePhi3Error):
            return report.check_image(answer, self._phi_name)
        usage = answer.usage_metadata
        return report.check_image(None if usage is None else usage["input_tokens"], self._phi_name)

    def _check_constraints(self) -> Finding:
        if self._is_score:
            return skipped(constraint_check.STEP, "/score forwards no schema")
        form, finding = constraint_check.find_form(
            lambda fields: self._invoke("Say hello.", model_extras=fields)
        )
        phi = self._model()._phi
        if form is None:
            if finding.outcome == "no" and self._route.endpoint_type.constraints:
                self._recommended["constrained_decoding"] = "off"
            return finding
        if phi is not None and phi.reasoning:
            advice = (
                f"Models that reason first are only constrained by {form} with reasoning='off'."
            )
            return replace(finding, advice=advice)
        self._recommended["constrained_decoding"] = form
        advice = f"Pass constrained_decoding={form!r}; the call below has it."
        return replace(finding, advice=advice)

    def _invoke(self, question: str | HumanMessage, **fields: Any) -> AIMessage | AzurePhi3Error:
        try:
            return self._model().invoke([question], max_tokens=_SHORT_ANSWER, **fields)
        except AzurePhi3Error as error:
            return error

    # -- the model ---------------------------------------------------------------------------

    @property
    def _is_score(self) -> bool:
        return self._kwargs.get("api") == "score"

    @property
    def _name(self) -> str | None:
        name: str | None = self._kwargs.get("model", self._recommended.get("model"))
        return name

    @property
    def _phi_name(self) -> str | None:
        phi = self._model()._phi
        return None if phi is None else phi.name

    def _model(self, **changes: Any) -> ChatAzurePhi3:
        return ChatAzurePhi3(
            **{**self._kwargs, **self._recommended, **changes},
            max_retries=0,
            timeout=self._timeouts,
            http_client=self._client,
        )

    def _record_request(self, request: httpx.Request) -> None:
        if request.method == "POST":
            self._completion_urls.append(mask_query(str(request.url)))

    def _with_query(self, url: str) -> SecretUrl:
        """Add the user's query to another URL of the endpoint."""
        query = urlsplit(self._kwargs["endpoint"]).query
        return SecretUrl(f"{url}?{query}" if query else url)

    def _find_route(self) -> Route:
        kwargs = self._kwargs
        return route_for(kwargs["endpoint"], kwargs.get("api_version"), kwargs.get("api", "auto"))

    def _constructor(self) -> dict[str, str]:
        arguments = {**self._kwargs, **self._recommended}
        query = dict(parse_qsl(urlsplit(mask_query(self._kwargs["endpoint"])).query))
        if "api-version" in query:
            arguments.setdefault("api_version", query.pop("api-version"))
        tail = f"?{urlencode(query, safe='*')}" if query else ""
        arguments["endpoint"] = self._route.base + tail
        if "default_headers" in arguments:
            arguments["default_headers"] = dict.fromkeys(arguments["default_headers"], "***")
        first = {"endpoint": _as_python(arguments.pop("endpoint"))}
        if "credential" in arguments:
            first["credential"] = f"{type(arguments.pop('credential')).__name__}()"
        return first | {name: _as_python(value) for name, value in sorted(arguments.items())}

    def _notes(self) -> list[str]:
        if not self._has_key:
            return []
        variable = next((name for name in CREDENTIAL_VARIABLES if os.environ.get(name)), None)
        return [] if variable is None else [f"The key comes from {variable}."]


def _as_python(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
