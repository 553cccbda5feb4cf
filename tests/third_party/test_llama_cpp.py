"""This package with llama.cpp's server and a Phi-3 of random weights."""

import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from langchain_azure_phi3 import (
    AuthenticationError,
    ChatAzurePhi3,
    ContextLengthError,
    InvalidResponseError,
)
from tests.integration_tests.call_modes import CALL_MODES, call_error, call_model
from tests.third_party import phi3_gguf
from tests.third_party.conftest import free_port, running

KEY = "a-key-of-llama"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server with the model."""
    folder = tmp_path_factory.mktemp("llama")
    phi3_gguf.write(folder / "phi3.gguf")
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(folder / "phi3.gguf")]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "512", "--api_key", KEY]
    with running(command, f"http://127.0.0.1:{port}/docs", folder / "log"):
        yield f"http://127.0.0.1:{port}"


def model_for(endpoint: str, **given: object) -> ChatAzurePhi3:
    """A chat model whose answers are repeatable."""
    settings = {"credential": KEY, "max_tokens": 20, "temperature": 0, "seed": 1, "max_retries": 0}
    return ChatAzurePhi3(endpoint=endpoint, **{**settings, **given})  # type: ignore[arg-type]


async def test_llama_cpp_errors_are_typed(server: str) -> None:
    """A wrong key, and a prompt that is too long, for which streams are empty."""
    for mode in CALL_MODES:
        error = await call_error(model_for(f"{server}/v1", credential="wrong"), mode, "Hi")
        assert isinstance(error, AuthenticationError), mode
        assert "A key was sent" in str(error)

        error = await call_error(model_for(f"{server}/v1"), mode, "word " * 600)
        is_stream = "stream" in mode
        assert isinstance(error, InvalidResponseError if is_stream else ContextLengthError), mode
        assert ("empty body" if is_stream else "context length") in str(error)


async def test_missing_required_call_breaks_nothing(server: str) -> None:
    """Random weights call no tool; the answer is returned."""
    tool = {"title": "look", "description": "Look.", "type": "object", "properties": {}}
    model = model_for(f"{server}/v1", max_corrections=0).bind_tools([tool], tool_choice="any")
    for mode in CALL_MODES:
        assert [] == (await call_model(model, mode, "Hi")).tool_calls, mode


async def test_llama_cpp_answers_in_every_call_mode(server: str) -> None:
    """With the same nonsense and a finish reason."""
    model = model_for(f"{server}/v1")
    text = model.invoke("Hi").text
    assert text
    for mode in CALL_MODES:
        answer = await call_model(model, mode, "Hi")

        assert answer.text == text, mode
        assert answer.response_metadata["finish_reason"] in ("length", "stop")


def test_complete_answers_have_the_servers_usage(server: str) -> None:
    """From its own tokenizer."""
    usage = model_for(f"{server}/v1").invoke("Hi").usage_metadata

    assert usage is not None
    assert usage["output_tokens"] > 0  # it tokenizes the text again, so it may find more than 20
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"]


def test_llama_cpp_without_v1_in_the_address_works(server: str) -> None:
    """With one more request."""
    assert model_for(server).invoke("Hi").text
