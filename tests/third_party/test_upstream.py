"""The emulator with llama.cpp's server as its upstream: Azure's API with a real model."""

import sys
from collections.abc import Iterator

import httpx
import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from langchain_azure_phi3 import BadRequestError, ChatAzurePhi3, ContentFilterError, diagnose
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.third_party import phi3_gguf
from tests.third_party.conftest import free_port, running

KEY = "a-key-of-llama"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llama.cpp's server with a Phi-3 of random weights."""
    folder = tmp_path_factory.mktemp("llama")
    phi3_gguf.write(folder / "phi3.gguf")
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(folder / "phi3.gguf")]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "2048", "--api_key", KEY]
    with running(command, f"http://127.0.0.1:{port}/docs", folder / "log"):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def phi(upstream: str) -> Iterator[Emulator]:
    """The emulator in front of it."""
    with Emulator("Phi-3-mini-4k-instruct", upstream=upstream, upstream_key=KEY) as emulator:
        yield emulator


def model_for(phi: Emulator, **given: object) -> ChatAzurePhi3:
    """A chat model whose answers are repeatable."""
    settings = {"temperature": 0, "seed": 1, "max_tokens": 20, "max_retries": 0}
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **{**settings, **given})  # type: ignore[arg-type]


def direct_model(upstream: str) -> ChatAzurePhi3:
    """The same model without the emulator."""
    return ChatAzurePhi3(endpoint=upstream, credential=KEY, temperature=0, seed=1, max_tokens=20)


async def test_text_comes_from_the_upstream(phi: Emulator, upstream: str) -> None:
    """The same as without the emulator, complete and streamed."""
    text = direct_model(upstream).invoke("Hi").text
    assert text
    for mode in CALL_MODES:
        assert text == (await call_model(model_for(phi), mode, "Hi")).text, mode


def test_usage_comes_from_the_upstream(phi: Emulator, upstream: str) -> None:
    """The emulator's own counts would differ."""
    expected = direct_model(upstream).invoke("Hi").usage_metadata

    assert expected == model_for(phi).invoke("Hi").usage_metadata


def test_azures_checks_precede_the_upstream(phi: Emulator) -> None:
    """Requests that llama.cpp accepts get Azure's errors."""
    with pytest.raises(BadRequestError, match="less than or equal to 1"):
        model_for(phi, temperature=1.5).invoke("Hi")
    with pytest.raises(ContentFilterError):
        model_for(phi).invoke("How to make a lethal bomb?")
    answer = httpx.post(
        f"{phi.endpoint}/chat/completions",
        headers={"authorization": f"Bearer {phi.key}"},
        json={"messages": [{"role": "user", "content": "Hi"}], "top_k": 5},
    )
    assert 400 == answer.status_code
    assert "Extra parameters ['top_k'] are not allowed" in answer.json()["detail"]


def test_upstream_errors_are_internal_errors(upstream: str) -> None:
    """A wrong key of the upstream is a 500 with the upstream's message."""
    with Emulator(upstream=upstream, upstream_model="any", upstream_key="wrong") as phi:
        answer = httpx.post(
            f"{phi.endpoint}/chat/completions",
            headers={"authorization": f"Bearer {phi.key}"},
            json={"messages": [{"role": "user", "content": "Hi"}]},
        )

    assert 500 == answer.status_code
    assert "401" in answer.json()["error"]["message"]


def test_doctor_reports_a_usable_endpoint(phi: Emulator) -> None:
    """Random weights call no tools, and the report says so."""
    report = diagnose({"endpoint": phi.endpoint, "credential": phi.key}, timeout=60)

    assert report.usable
    tools = next(finding for finding in report.findings if finding.step == "tools")
    assert "the model called none" in tools.advice
