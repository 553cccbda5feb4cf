"""Tools that mock, record or trace HTTP see the calls of a model without any settings.

respx, pytest-httpx and OpenTelemetry's instrumentation of httpx see the sync path; vcrpy sees both;
OpenTelemetry's instrumentation of aiohttp sees the async path. For respx and pytest-httpx in
event loops, pass `http_async_client=httpx.AsyncClient()`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
import vcr
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_httpx import HTTPXMock

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3._http import client
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model

URL = "https://phi.eastus2.models.ai.azure.com"
CHOICE = {"index": 0, "message": {"content": "mocked"}, "finish_reason": "stop"}
EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"mocked"},"finish_reason":"stop"}]}\n\n'


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No client was made before the tool was switched on."""
    monkeypatch.setattr(client, "_shared", client._Shared())
    yield
    client.close_shared()


def test_respx_mocks_the_default_client() -> None:
    """Calls and streams."""
    model = ChatAzurePhi3(endpoint=URL, credential="k")
    with respx.mock(base_url=URL) as router:
        route = router.post("/chat/completions")
        route.side_effect = [
            httpx.Response(200, json={"choices": [CHOICE]}),
            httpx.Response(200, text=EVENT + "data: [DONE]\n\n"),
        ]
        assert "mocked" == model.invoke("Hi").text
        assert "mocked" == "".join(chunk.text for chunk in model.stream("Hi"))

    assert "Bearer k" == route.calls[0].request.headers["authorization"]


async def test_respx_mocks_an_own_async_client() -> None:
    """The default one of event loops rides on aiohttp."""
    async with httpx.AsyncClient() as own:
        model = ChatAzurePhi3(endpoint=URL, credential="k", http_async_client=own)
        with respx.mock(base_url=URL) as router:
            router.post("/chat/completions").respond(json={"choices": [CHOICE]})
            assert "mocked" == (await model.ainvoke("Hi")).text


def test_pytest_httpx_mocks_the_default_client(httpx_mock: HTTPXMock) -> None:
    """Calls and streams."""
    model = ChatAzurePhi3(endpoint=URL, credential="k")
    httpx_mock.add_response(json={"choices": [CHOICE]})
    httpx_mock.add_response(text=EVENT + "data: [DONE]\n\n")

    assert "mocked" == model.invoke("Hi").text
    assert "mocked" == "".join(chunk.text for chunk in model.stream("Hi"))
    assert 2 == len(httpx_mock.get_requests())


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_vcrpy_records_and_plays(phi: Emulator, tmp_path: Path, mode: str) -> None:
    """The second time nothing reaches the server."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
    recorder = vcr.VCR(filter_headers=["authorization", "api-key"], record_mode="once")
    texts = []
    for _ in range(2):
        with recorder.use_cassette(str(tmp_path / "cassette.yaml")):
            texts.append((await call_model(model, mode, "Hi")).text)

    assert 1 == len(phi.requests)
    assert texts[0] == texts[1] != ""
    await model.aclose()


@pytest.fixture
def spans() -> Iterator[tuple[TracerProvider, InMemorySpanExporter]]:
    """A tracer whose spans are kept."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


@pytest.mark.parametrize(
    ("instrumentor", "modes"),
    [
        (HTTPXClientInstrumentor, ("invoke", "stream")),
        (AioHttpClientInstrumentor, CALL_MODES[1::2]),
    ],
)
async def test_opentelemetry_traces_the_default_client(
    phi: Emulator,
    spans: tuple[TracerProvider, InMemorySpanExporter],
    instrumentor: Any,
    modes: tuple[str, ...],
) -> None:
    """One span for each request, without a key."""
    provider, exporter = spans
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
    instrumentor().instrument(tracer_provider=provider)
    try:
        for mode in modes:
            await call_model(model, mode, "Hi")
    finally:
        instrumentor().uninstrument()
        await model.aclose()

    found = exporter.get_finished_spans()
    assert ["POST"] * len(modes) == [span.name for span in found]
    assert not any(phi.key in span.to_json() for span in found)
