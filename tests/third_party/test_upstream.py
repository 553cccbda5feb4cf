"""Azure's API and Phi's quirks before llama.cpp's server: a real model behind the emulator."""

import sys
from collections.abc import Iterator

import httpx
import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from langchain_azure_phi3 import BadRequestError, ChatAzurePhi3, ContentFilterError, diagnose
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.colours import COLOURS, ask
from tests.third_party import phi3_gguf
from tests.third_party.conftest import free_port, running

KEY = "a-key-of-llama"


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server, with a Phi-3 of random weights."""
    folder = tmp_path_factory.mktemp("llama")
    phi3_gguf.write(folder / "phi3.gguf")
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(folder / "phi3.gguf")]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "2048", "--api_key", KEY]
    with running(command, f"http://127.0.0.1:{port}/docs", folder / "log"):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture
def phi(behind: str) -> Iterator[Emulator]:
    """The emulator before it."""
    with Emulator("Phi-3-mini-4k-instruct", upstream=behind, upstream_key=KEY) as emulator:
        yield emulator


def model_at(phi: Emulator, **given: object) -> ChatAzurePhi3:
    """A model there, with answers that repeat."""
    settings = {"temperature": 0, "seed": 1, "max_tokens": 20, "max_retries": 0}
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **{**settings, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize("colour", COLOURS)
async def test_the_words_are_the_models(phi: Emulator, behind: str, colour: str) -> None:
    """The same as when it is asked directly, whole and streamed."""
    direct = ChatAzurePhi3(endpoint=behind, credential=KEY, temperature=0, seed=1, max_tokens=20)

    answer = await ask(model_at(phi), colour, "Hi")

    assert direct.invoke("Hi").text == answer.text
    assert answer.text
    assert "stand-in" not in answer.text


def test_the_counts_of_whole_answers_are_the_models(phi: Emulator, behind: str) -> None:
    """The emulator's own would be others."""
    direct = ChatAzurePhi3(endpoint=behind, credential=KEY, temperature=0, seed=1, max_tokens=20)

    assert direct.invoke("Hi").usage_metadata == model_at(phi).invoke("Hi").usage_metadata


def test_azures_quirks_stay_in_front(phi: Emulator) -> None:
    """What llama.cpp would take is refused as Azure refuses it."""
    with pytest.raises(BadRequestError, match="less than or equal to 1"):
        model_at(phi, temperature=1.5).invoke("Hi")
    with pytest.raises(ContentFilterError):
        model_at(phi).invoke("How to make a lethal bomb?")
    answer = httpx.post(
        f"{phi.endpoint}/chat/completions",
        headers={"authorization": f"Bearer {phi.key}"},
        json={"messages": [{"role": "user", "content": "Hi"}], "top_k": 5},
    )
    assert 400 == answer.status_code
    assert "Extra parameters ['top_k'] are not allowed" in answer.json()["detail"]


def test_a_wrong_key_behind_is_no_wrong_key_in_front(behind: str) -> None:
    """A 500 that says what the server behind said."""
    with Emulator(upstream=behind, upstream_model="any", upstream_key="wrong") as phi:
        answer = httpx.post(
            f"{phi.endpoint}/chat/completions",
            headers={"authorization": f"Bearer {phi.key}"},
            json={"messages": [{"role": "user", "content": "Hi"}]},
        )

    assert 500 == answer.status_code
    assert "401" in answer.json()["error"]["message"]


def test_the_doctor_finds_it_usable(phi: Emulator) -> None:
    """Random weights call no tools, which the report says."""
    report = diagnose({"endpoint": phi.endpoint, "credential": phi.key}, timeout=60)

    assert report.usable
    tools = next(finding for finding in report.findings if finding.step == "tools")
    assert "the model called none" in tools.advice
