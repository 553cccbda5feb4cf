"""OpenTelemetry's tracers for LangChain: what their spans and metrics have, and how to complete it.

`docs/how-to/tracing.md` states the same in a table; what it calls missing is missing here.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_azure_ai.callbacks.tracers import AzureAIOpenTelemetryTracer
from langchain_core.callbacks import BaseCallbackManager
from openinference.instrumentation.langchain import LangChainInstrumentor as OpenInference
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor as GenAI
from opentelemetry.instrumentation.langchain import LangchainInstrumentor as Traceloop
from opentelemetry.instrumentation.langchain import callback_handler
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_azure_phi3 import BadRequestError, ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator, Generation, Prompt
from tests.integration_tests.call_modes import CALL_MODES, STREAM_MODES, call_error, call_model

MODEL = "Phi-4-mini-instruct"
SECRET = "canary-of-the-query"
WEATHER = {
    "title": "get_weather",
    "description": "The weather of a city.",
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
DETAILS = {
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "tracing.md"

# Azure's tracer takes no provider: these are global.
_exporter = InMemorySpanExporter()
_reader = InMemoryMetricReader({Histogram: AggregationTemporality.DELTA})
_spans = TracerProvider()
_spans.add_span_processor(SimpleSpanProcessor(_exporter))
_meters = MeterProvider([_reader])


@dataclass(frozen=True)
class Tracer:
    """One of the libraries.

    Attributes:
        start: Switches it on, and returns callbacks for the model.
        stop: Switches it off.
        attributes: Where it writes each value; a path leads into JSON.
        provider: What it states as the provider.
        missing_in_streams: Values that its spans of streams lack.
        metrics: The metrics that it records.
        owns_events: Whether the events of a retry are on its span.
    """

    start: Callable[[], Sequence[Any]]
    stop: Callable[[], None]
    attributes: Mapping[str, tuple[str | int, ...]]
    provider: str = "azure.ai.inference"
    missing_in_streams: frozenset[str] = frozenset()
    metrics: frozenset[str] = frozenset()
    owns_events: bool = False
    missing: frozenset[str] = field(default=frozenset())


def started(instrumentor: Any) -> Callable[[], Sequence[Any]]:
    """A function that switches an instrumentor on."""

    def start() -> Sequence[Any]:
        instrumentor.instrument(tracer_provider=_spans, meter_provider=_meters)
        return []

    return start


CONVENTIONS: dict[str, tuple[str | int, ...]] = {
    "provider": ("gen_ai.provider.name",),
    "request model": ("gen_ai.request.model",),
    "response model": ("gen_ai.response.model",),
    "response id": ("gen_ai.response.id",),
    "finish reasons": ("gen_ai.response.finish_reasons",),
    "input tokens": ("gen_ai.usage.input_tokens",),
    "output tokens": ("gen_ai.usage.output_tokens",),
    "cached tokens": ("gen_ai.usage.cache_read.input_tokens",),
    "reasoning tokens": ("gen_ai.usage.reasoning.output_tokens",),
    "stop": ("gen_ai.request.stop_sequences",),
    "seed": ("gen_ai.request.seed",),
}
_DURATION_AND_TOKENS = frozenset({"gen_ai.client.operation.duration", "gen_ai.client.token.usage"})
_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
_MESSAGE = ("output.value", "generations", 0, 0, "message", "kwargs", "response_metadata")

TRACERS = {
    "genai": Tracer(
        started(GenAI()),
        GenAI().uninstrument,
        CONVENTIONS,
        metrics=_DURATION_AND_TOKENS | {_FIRST_CHUNK},
        owns_events=True,
    ),
    "openinference": Tracer(
        started(OpenInference()),
        OpenInference().uninstrument,
        {
            "provider": ("llm.provider",),
            "response model": ("llm.model_name",),
            "response id": (*_MESSAGE, "id"),
            "finish reasons": ("llm.finish_reason",),
            "input tokens": ("llm.token_count.prompt",),
            "output tokens": ("llm.token_count.completion",),
            "cached tokens": ("llm.token_count.prompt_details.cache_read",),
            "reasoning tokens": ("llm.token_count.completion_details.reasoning",),
            "stop": ("llm.invocation_parameters", "stop"),
            "seed": ("llm.invocation_parameters", "seed"),
        },
    ),
    "traceloop": Tracer(
        started(Traceloop()),
        Traceloop().uninstrument,
        {**CONVENTIONS, "stop": ("traceloop.association.properties.ls_stop",)},
        provider="azure.ai.openai",
        missing=frozenset({"reasoning tokens", "seed"}),
        missing_in_streams=frozenset({"response id"}),
        metrics=_DURATION_AND_TOKENS,
    ),
    "azure": Tracer(
        lambda: [AzureAIOpenTelemetryTracer(auto_configure_azure_monitor=False)],
        lambda: None,
        CONVENTIONS,
        provider="azure.ai.openai",
        missing=frozenset({"cached tokens", "reasoning tokens"}),
        missing_in_streams=frozenset({"response model"}),
        metrics=_DURATION_AND_TOKENS | {_FIRST_CHUNK},
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _global_providers() -> None:
    """Once in a process: OpenTelemetry refuses to replace them."""
    trace.set_tracer_provider(_spans)
    metrics.set_meter_provider(_meters)


def respond(prompt: Prompt) -> Generation:
    """A call if there are tools, else a text; with details of the usage."""
    call = '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Rome"}}]<|/tool_call|>'
    has_tools = any("get_weather" in message.text for message in prompt.messages)
    text = call if has_tools else "Hello. How can I help you today?"
    return Generation(text, usage_details=DETAILS)


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A deployment that reports details of its usage."""
    with Emulator(MODEL, responder=respond) as emulator:
        yield emulator


@contextmanager
def traced(tracer: Tracer, phi: Emulator, *more: Any) -> Iterator[ChatAzurePhi3]:
    """A model at a host of Azure, whose calls are traced."""
    _exporter.clear()
    _reader.get_metrics_data()
    untraced = BaseCallbackManager.__init__
    callbacks = [*tracer.start(), *more]
    try:
        yield ChatAzurePhi3(
            endpoint=f"https://phi.eastus2.models.ai.azure.com?code={SECRET}",
            credential=phi.key,
            model=MODEL,
            stop=["END"],
            seed=7,
            http_client=httpx.Client(transport=phi.transport()),
            http_async_client=httpx.AsyncClient(transport=phi.transport()),
            callbacks=callbacks,
        )
    finally:
        tracer.stop()
        # Traceloop's version stays switched on after `uninstrument`.
        BaseCallbackManager.__init__ = untraced  # type: ignore[method-assign]


async def call_in_span(
    call: Callable[..., Any], model: Any, mode: str, **kwargs: Any
) -> tuple[Any, ReadableSpan, ReadableSpan]:
    """What a call returns, the span of the model, and the one that is started around it here."""
    _exporter.clear()
    with _spans.get_tracer("test").start_as_current_span("around"):
        returned = await call(model, mode, "Hi", **kwargs)
    spans = _exporter.get_finished_spans()
    assert not any(SECRET in span.to_json() for span in spans)
    (around,) = [span for span in spans if span.name == "around"]
    (own,) = [span for span in spans if span.name != "around"]
    return returned, own, around


def value_at(span: ReadableSpan, path: Sequence[str | int]) -> Any:
    """The value at a path, whose first part is an attribute; `None` if there is none."""
    first, *rest = path
    found: Any = (span.attributes or {}).get(str(first))
    if isinstance(found, str) and found.startswith(("{", "[")):
        found = json.loads(found)
    for part in rest:
        found = found[part]
    return list(found) if isinstance(found, tuple) else found


def metric_points() -> dict[str, list[Any]]:
    """The points of each metric since the last call."""
    data = _reader.get_metrics_data()
    points: dict[str, list[Any]] = {}
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points.setdefault(metric.name, []).extend(metric.data.data_points)
    return points


@pytest.mark.parametrize("name", TRACERS)
async def test_responses_are_traced(phi: Emulator, name: str) -> None:
    """Complete or streamed, sync or async."""
    tracer = TRACERS[name]
    with traced(tracer, phi) as model:
        for mode in CALL_MODES:
            message, span, _ = await call_in_span(call_model, model, mode, stop=["X"])

            expected = {
                "provider": tracer.provider,
                "request model": MODEL,
                "response model": MODEL,
                "response id": message.response_metadata["id"],
                "finish reasons": ["stop"],
                "input tokens": message.usage_metadata["input_tokens"],
                "output tokens": message.usage_metadata["output_tokens"],
                "cached tokens": 3,
                "reasoning tokens": 2,
                "stop": ["END", "X"],
                "seed": 7,
            }
            if name == "openinference":
                expected["finish reasons"] = "stop"
            missing = tracer.missing
            if mode in STREAM_MODES:
                missing = missing | tracer.missing_in_streams
            found = {key: value_at(span, path) for key, path in tracer.attributes.items()}
            assert found == {
                key: None if key in missing else expected[key] for key in tracer.attributes
            }


@pytest.mark.parametrize("name", TRACERS)
async def test_tool_calls_are_traced(
    phi: Emulator, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The span of the model names the tool."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental")
    with traced(TRACERS[name], phi) as model:
        bound = model.bind_tools([WEATHER])
        for mode in CALL_MODES:
            message, span, _ = await call_in_span(call_model, bound, mode)

            assert ["get_weather"] == [call["name"] for call in message.tool_calls]
            names = [key for key, value in (span.attributes or {}).items() if "Rome" in str(value)]
            assert any(key.startswith(("gen_ai.output", "llm.output")) for key in names)
            assert "The weather of a city." in str(dict(span.attributes or {}))


@pytest.mark.parametrize("name", TRACERS)
async def test_errors_are_traced(phi: Emulator, name: str) -> None:
    """The span has the status and the type of the error; a retry before it is an event."""
    tracer = TRACERS[name]
    with traced(tracer, phi) as model:
        for mode in CALL_MODES:
            phi.fail(status=503, retry_after=0.01)
            phi.fail(status=400, body={"error": {"message": "No."}})
            error, span, around = await call_in_span(call_error, model, mode)

            assert isinstance(error, BadRequestError)
            assert span.status.status_code is trace.StatusCode.ERROR
            assert "BadRequestError" in span.to_json()
            events = (span if tracer.owns_events else around).events
            assert ["azure_phi3.retry"] == [e.name for e in events if "azure_phi3" in e.name]


@pytest.mark.parametrize("name", TRACERS)
async def test_corrections_are_traced(phi: Emulator, name: str) -> None:
    """One span with the tokens of all attempts, and an event for each correction."""
    tracer = TRACERS[name]
    with traced(tracer, phi) as model:
        bound = model.bind_tools([WEATHER], tool_choice="any")
        for mode in CALL_MODES:
            phi.script("It is sunny in Paris.")
            message, span, around = await call_in_span(call_model, bound, mode)

            tokens = value_at(span, tracer.attributes["input tokens"])
            assert message.usage_metadata["input_tokens"] == tokens
            events = (span if tracer.owns_events else around).events
            assert ["azure_phi3.correction"] == [event.name for event in events]


@pytest.mark.parametrize("name", TRACERS)
async def test_metrics_are_recorded(phi: Emulator, name: str) -> None:
    """Durations, tokens and, where the library has it, the time to the first chunk."""
    tracer = TRACERS[name]
    with traced(tracer, phi) as model:
        await call_model(model, "invoke", "Hi")
        await call_model(model, "stream", "Hi")
        points = metric_points()

    assert tracer.metrics <= points.keys()
    assert (_FIRST_CHUNK in tracer.metrics) == (_FIRST_CHUNK in points)
    providers = {p.attributes["gen_ai.provider.name"] for each in points.values() for p in each}
    assert providers == ({tracer.provider} if tracer.metrics else set())


async def test_genai_states_the_time_to_first_chunk(phi: Emulator) -> None:
    """In the spans of streams."""
    with traced(TRACERS["genai"], phi) as model:
        for mode in STREAM_MODES:
            _, span, _ = await call_in_span(call_model, model, mode)
            assert value_at(span, ["gen_ai.response.time_to_first_chunk"]) > 0


async def test_genai_skips_models_without_a_name(phi: Emulator) -> None:
    """Until a response tells it; `base_model` is a name."""
    for settings, spans in (({}, 1), ({"base_model": MODEL}, 2)):
        with traced(TRACERS["genai"], phi) as named:
            host = f"https://{spans}.eastus2.models.ai.azure.com"
            update = {"model": None, "endpoint": host, **settings}
            model = named.model_copy(update=update)
            for _ in range(2):
                await call_model(model, "invoke", "Hi")
        assert spans == len(_exporter.get_finished_spans())


# -- what the documentation adds -----------------------------------------------------------------


def documented(name: str) -> dict[str, Any]:
    """What a file of the documentation defines."""
    code = re.search(rf"^```py\n# {name}\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.M)
    assert code is not None
    defined: dict[str, Any] = {"__name__": name}
    exec(compile(code[1], name, "exec"), defined)  # noqa: S102 -- our own documentation
    return defined


@pytest.mark.parametrize("name", sorted(TRACERS.keys() - {"genai"}))
async def test_documented_callback_completes_the_span(phi: Emulator, name: str) -> None:
    """Of the span around the call, in every call mode."""
    handler = documented("span_attributes.py")["SpanAttributes"]()
    with traced(TRACERS[name], phi, handler) as model:
        for mode in CALL_MODES:
            message, _, around = await call_in_span(call_model, model, mode, stop=["X"])

            attributes = dict(around.attributes or {})
            first_chunk = attributes.pop("gen_ai.response.time_to_first_chunk", None)
            assert (first_chunk is not None) == (mode in STREAM_MODES)
            assert attributes == {
                "gen_ai.provider.name": "azure.ai.inference",
                "gen_ai.request.stop_sequences": ("END", "X"),
                "gen_ai.request.seed": 7,
                "gen_ai.response.id": message.response_metadata["id"],
                "gen_ai.response.model": MODEL,
                "gen_ai.usage.cache_read.input_tokens": 3,
                "gen_ai.usage.reasoning.output_tokens": 2,
            }


async def test_documented_subclass_corrects_azures_tracer(phi: Emulator) -> None:
    """Provider and model of every response, and the provider of the metrics."""
    phi_tracer = documented("phi_tracer.py")["PhiTracer"]
    azure = TRACERS["azure"]
    tracer = Tracer(
        lambda: [phi_tracer(auto_configure_azure_monitor=False)], azure.stop, azure.attributes
    )
    with traced(tracer, phi) as model:
        for mode in CALL_MODES:
            _, span, _ = await call_in_span(call_model, model, mode)
            assert "azure.ai.inference" == value_at(span, ["gen_ai.provider.name"])
            assert MODEL == value_at(span, ["gen_ai.response.model"])
            assert "phi.eastus2.models.ai.azure.com" == value_at(span, ["server.address"])
        points = metric_points()

    assert azure.metrics <= points.keys()
    providers = {p.attributes["gen_ai.provider.name"] for each in points.values() for p in each}
    assert providers == {"azure.ai.inference"}


async def test_documented_function_corrects_traceloops_provider(
    phi: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of spans and metrics; other classes keep theirs."""
    before = callback_handler.detect_vendor_from_class
    monkeypatch.setattr(callback_handler, "detect_vendor_from_class", before)  # restored later
    documented("traceloop_provider.py")
    with traced(TRACERS["traceloop"], phi) as model:
        for mode in CALL_MODES:
            _, span, _ = await call_in_span(call_model, model, mode)
            assert "azure.ai.inference" == value_at(span, ["gen_ai.provider.name"])
        points = metric_points()

    providers = {p.attributes["gen_ai.provider.name"] for each in points.values() for p in each}
    assert providers == {"azure.ai.inference"}
    assert "azure.ai.openai" == callback_handler.detect_vendor_from_class("AzureChatOpenAI")
