"""OpenTelemetry's current span shows retries, waits, corrections and rejected constraints."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from opentelemetry import trace
from opentelemetry.sdk.trace import Event, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_azure_phi3 import ChatAzurePhi3, RateLimitError
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_error, call_model

WEATHER = {
    "title": "get_weather",
    "description": "The weather of a city.",
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


class Recording:
    """A tracer whose finished spans stay in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer(__name__)

    def events(self, span_name: str) -> list[Event]:
        """The events of the last span with this name."""
        spans = self._exporter.get_finished_spans()
        return list([span for span in spans if span.name == span_name][-1].events)


@pytest.fixture
def recording() -> Recording:
    """A tracer for one test."""
    return Recording()


def attributes(event: Event) -> dict[str, Any]:
    """The attributes of an event."""
    assert isinstance(event.attributes, Mapping)
    return dict(event.attributes)


async def test_retries_are_span_events(
    phi: Emulator, model: ChatAzurePhi3, recording: Recording
) -> None:
    """With the status, the number of the repetition and the delay, in every call mode."""
    for mode in CALL_MODES:
        phi.fail(status=503, times=2, retry_after=0.01)
        with recording.tracer.start_as_current_span(mode):
            await call_model(model, mode, "Hi")

        events = recording.events(mode)
        assert ["azure_phi3.retry"] * 2 == [event.name for event in events]
        assert [1, 2] == [attributes(event)["http.request.resend_count"] for event in events]
        assert {"503"} == {attributes(event)["error.type"] for event in events}
        assert all(0.01 <= attributes(event)["azure_phi3.delay"] < 1 for event in events)


async def test_retry_of_a_failed_connection_names_its_error(
    phi: Emulator, model: ChatAzurePhi3, recording: Recording
) -> None:
    """The class of the error stands for the status."""
    for mode in CALL_MODES:
        phi.fail("refuse")
        with recording.tracer.start_as_current_span(mode):
            await call_model(model, mode, "Hi")

        (event,) = recording.events(mode)
        assert attributes(event)["error.type"] == "ConnectionFailedError"


async def test_retries_before_an_error_are_span_events(phi: Emulator, recording: Recording) -> None:
    """A request that is given up shows its repetitions."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_retries=1)
    phi.fail(status=429, times=2, retry_after=0.01)
    with recording.tracer.start_as_current_span("call"):
        error = await call_error(model, "invoke", "Hi")

    assert isinstance(error, RateLimitError)
    assert ["azure_phi3.retry"] == [event.name for event in recording.events("call")]


async def test_wait_for_a_shared_rate_limit_is_a_span_event(
    phi: Emulator, model: ChatAzurePhi3, recording: Recording
) -> None:
    """A request that waits because another one got a 429."""

    async def call(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        with recording.tracer.start_as_current_span(name):
            await model.ainvoke("Hi")

    await model.ainvoke("Open the connection.")
    phi.fail(status=429, retry_after=0.6)
    await asyncio.gather(call("first", 0), call("second", 0.3))

    assert ["azure_phi3.retry"] == [event.name for event in recording.events("first")]
    (wait,) = recording.events("second")
    assert wait.name == "azure_phi3.wait"
    assert 0 < attributes(wait)["azure_phi3.delay"] < 0.6


async def test_correction_of_a_call_is_a_span_event(
    phi: Emulator, model: ChatAzurePhi3, recording: Recording
) -> None:
    """Of a required tool call, within one run."""
    bound = model.bind_tools([WEATHER], tool_choice="any")
    for mode in CALL_MODES:
        phi.script("It is sunny in Paris.", "It rains in Rome.")
        with recording.tracer.start_as_current_span(mode):
            message = await call_model(bound, mode, "How is the weather?", max_corrections=2)

        assert ["get_weather"] == [call["name"] for call in message.tool_calls]
        events = recording.events(mode)
        assert ["azure_phi3.correction"] * 2 == [event.name for event in events]
        assert [1, 2] == [attributes(event)["azure_phi3.correction.number"] for event in events]
        assert "Paris" not in str([attributes(event) for event in events])


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_correction_of_an_object_is_a_span_event(
    phi: Emulator, model: ChatAzurePhi3, recording: Recording, method: Any
) -> None:
    """Each correction has one, and the response after the last one has none."""
    structured = model.with_structured_output(WEATHER, method=method, max_corrections=1)
    phi.script("It is sunny in Paris.", "It rains in Rome.", "It snows in Oslo.")
    with recording.tracer.start_as_current_span("call"), pytest.raises(OutputParserException):
        structured.invoke("How is the weather?")

    (event,) = recording.events("call")
    assert event.name == "azure_phi3.correction"
    assert attributes(event) == {"azure_phi3.correction.number": 1}


async def test_rejected_constraint_is_a_span_event(recording: Recording) -> None:
    """One for each form that is not sent again; calls that already know of it have none."""
    call = '{"name": "get_weather", "arguments": {"city": "Rome"}}'
    for mode in CALL_MODES:
        with Emulator(server_type="managed-2025-01") as phi:
            model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, api="managed")
            bound = model.bind_tools([WEATHER], tool_choice="any")
            for name in (mode, f"{mode} again"):
                phi.script(call)
                with recording.tracer.start_as_current_span(name):
                    message = await call_model(bound, mode, "How is the weather?")
                assert "guided_json" == message.response_metadata["constrained_by"]

        (event,) = recording.events(mode)
        assert event.name == "azure_phi3.constraint_rejected"
        assert attributes(event) == {
            "azure_phi3.constraint": "structured_outputs,guided_json",
            "error.type": "400",
        }
        assert [] == recording.events(f"{mode} again")


async def test_successful_call_adds_no_event(model: ChatAzurePhi3, recording: Recording) -> None:
    """Only what takes more than one request is shown."""
    for mode in CALL_MODES:
        with recording.tracer.start_as_current_span(mode):
            await call_model(model, mode, "Hi")

        assert [] == recording.events(mode)


def test_span_that_is_not_recording_gets_no_event(
    phi: Emulator, model: ChatAzurePhi3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a program whose tracing is off, or that samples this trace out."""
    added: list[Any] = []
    monkeypatch.setattr(
        trace.NonRecordingSpan, "add_event", lambda *arguments: added.append(arguments)
    )
    phi.fail(status=503, retry_after=0.01)

    assert model.invoke("Hi").text
    assert [] == added


WITHOUT_OPENTELEMETRY = """
import sys

sys.modules["opentelemetry"] = None  # importing it fails, as where it is not installed

from langchain_azure_phi3 import ChatAzurePhi3

assert ChatAzurePhi3(endpoint=sys.argv[1], credential=sys.argv[2]).invoke("Hi").text
"""


def test_opentelemetry_is_optional(phi: Emulator) -> None:
    """A program without it retries."""
    phi.fail(status=503, retry_after=0.01)

    command = [sys.executable, "-c", WITHOUT_OPENTELEMETRY, phi.endpoint, phi.key]
    subprocess.run(command, check=True, timeout=60)  # noqa: S603 -- our own program

    assert len(phi.requests) == 2
