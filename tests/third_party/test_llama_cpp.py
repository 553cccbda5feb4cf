"""This package before llama.cpp's server, with a Phi-3 of random weights."""

import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from langchain_azure_phi3 import (
    AuthenticationError,
    AzurePhi3Error,
    ChatAzurePhi3,
    ContextLengthError,
    InvalidResponseError,
)
from tests.integration_tests.colours import COLOURS, ask
from tests.third_party import phi3_gguf
from tests.third_party.conftest import free_port, running

KEY = "a-key-of-llama"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server, with the model that was just written."""
    folder = tmp_path_factory.mktemp("llama")
    phi3_gguf.write(folder / "phi3.gguf")
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(folder / "phi3.gguf")]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "512", "--api_key", KEY]
    with running(command, f"http://127.0.0.1:{port}/docs", folder / "log"):
        yield f"http://127.0.0.1:{port}"


def model_at(endpoint: str, **given: object) -> ChatAzurePhi3:
    """A model there, with answers that repeat."""
    settings = {"credential": KEY, "max_tokens": 20, "temperature": 0, "seed": 1, "max_retries": 0}
    return ChatAzurePhi3(endpoint=endpoint, **{**settings, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_question_is_answered(server: str, colour: str) -> None:
    """Nonsense, but the same nonsense in all four ways, and it ended for a reason."""
    model = model_at(f"{server}/v1")

    answer = await ask(model, colour, "Hi")

    assert answer.text == model.invoke("Hi").text
    assert answer.text
    assert answer.response_metadata["finish_reason"] in ("length", "stop")


def test_whole_answers_are_counted(server: str) -> None:
    """By the server's own tokenizer."""
    usage = model_at(f"{server}/v1").invoke("Hi").usage_metadata

    assert usage is not None
    assert usage["output_tokens"] > 0  # it counts the text anew, so it may find more than 20
    assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"]


def test_a_server_without_v1_in_the_address_is_found(server: str) -> None:
    """One request more."""
    assert model_at(server).invoke("Hi").text


@pytest.mark.parametrize("colour", COLOURS)
async def test_refusals_are_named(server: str, colour: str) -> None:
    """A wrong key; a conversation that does not fit, of which a stream says nothing at all."""
    with pytest.raises(AuthenticationError, match="A key was sent"):
        await ask(model_at(f"{server}/v1", credential="wrong"), colour, "Hi")
    kind = InvalidResponseError if "stream" in colour else ContextLengthError
    with pytest.raises(kind, match="empty body" if "stream" in colour else "context length"):
        await ask(model_at(f"{server}/v1"), colour, "word " * 600)


@pytest.mark.parametrize("colour", COLOURS)
async def test_tools_by_prompt_end_in_a_demand_that_was_not_met(server: str, colour: str) -> None:
    """Random weights call nothing; the answer says so, and nothing breaks."""
    tool = {"title": "look", "description": "Look.", "type": "object", "properties": {}}
    model = model_at(f"{server}/v1", max_corrections=0).bind_tools([tool], tool_choice="any")

    try:
        answer = await ask(model, colour, "Hi")
    except AzurePhi3Error as refused:
        pytest.fail(f"It should have been answered: {refused}")
    assert answer.tool_calls == []
