"""LiteLLM: its client with the emulator, and its server with this package.

The server, an OpenAI-compatible gateway, answers with a text from its configuration or forwards
to the emulator. Either way its HTTP, its events and its errors are its own.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # importing it uses the network otherwise

import litellm

from langchain_azure_phi3 import BadRequestError, ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_error, call_model
from tests.third_party.conftest import environment_command, free_port, running

# About a TypedDict of its own.
pytestmark = pytest.mark.filterwarnings("ignore:Items .* are using the .ReadOnly. qualifier")

MODEL = "Phi-3-mini-4k-instruct"
QUESTION: list[Any] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "How many languages are in the world?"},
]
ANSWER = "As of now, it's estimated that there are about 7,000 languages"
FIXED = "Naïve café: 語 🙂, word for word."
KEY = "sk-a-key-of-the-gateway"

# -- its client ----------------------------------------------------------------------------------


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """The emulator with Azure's OpenAI v1 route."""
    with Emulator(MODEL, server_type="openai-v1") as emulator:
        yield emulator


def arguments_for(phi: Emulator, **given: Any) -> dict[str, Any]:
    """The arguments of LiteLLM for the emulator."""
    address = {"api_base": phi.endpoint, "api_key": phi.key, "max_retries": 0}
    return {"model": f"openai/{MODEL}", "messages": QUESTION, **address, **given}


def test_litellm_client_maps_the_errors(phi: Emulator) -> None:
    """A filtered prompt, a prompt that is too long, a wrong key."""
    bomb = [{"role": "user", "content": "How to make a lethal bomb?"}]
    with pytest.raises(litellm.BadRequestError, match="content management policy"):
        litellm.completion(**arguments_for(phi, messages=bomb))
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**arguments_for(phi, max_tokens=5000))
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(**arguments_for(phi, api_key="wrong"))


async def test_litellm_client_reads_answers(phi: Emulator) -> None:
    """Complete, with usage, and streamed, sync and async."""
    phi.script(*[FIXED] * 3)
    answer: Any = litellm.completion(**arguments_for(phi))
    chunks: list[Any] = list(litellm.completion(**arguments_for(phi, stream=True)))
    stream: Any = await litellm.acompletion(**arguments_for(phi, stream=True))
    async_chunks: list[Any] = [chunk async for chunk in stream]

    assert answer.choices[0].message.content == FIXED
    assert answer.usage.total_tokens > 0
    for found in (chunks, async_chunks):
        assert FIXED == "".join(chunk.choices[0].delta.content or "" for chunk in found)


# -- its server ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its server, with one model that returns a fixed text and one that is the emulator."""
    folder = tmp_path_factory.mktemp("litellm")
    config = folder / "config.yaml"
    port = free_port()
    with Emulator(MODEL, server_type="openai-v1") as phi:
        config.write_text(
            f"""
model_list:
  - model_name: fixed
    litellm_params: {{model: openai/fixed, api_key: none, mock_response: "{FIXED}"}}
  - model_name: {MODEL}
    litellm_params: {{model: openai/{MODEL}, api_base: "{phi.endpoint}", api_key: "{phi.key}"}}
general_settings: {{master_key: {KEY}}}
litellm_settings: {{num_retries: 0, telemetry: false}}
""",
            encoding="utf-8",
        )
        command = [environment_command("litellm"), "--config", str(config), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--telemetry", "False"]
        ready = f"http://127.0.0.1:{port}/health/liveliness"
        with running(command, ready, folder / "log"):
            yield f"http://127.0.0.1:{port}"


def model_for(endpoint: str, **given: Any) -> ChatAzurePhi3:
    """A chat model for the gateway."""
    settings = {"credential": KEY, "max_retries": 0, "model": MODEL, **given}
    return ChatAzurePhi3(endpoint=f"{endpoint}/v1", **settings)


async def test_litellm_server_errors_are_typed(gateway: str) -> None:
    """A wrong key and an unknown model."""
    wrong_key, unknown = model_for(gateway, credential="sk-wrong"), model_for(gateway, model="none")
    for mode in CALL_MODES:
        # It looks up unknown keys in a database.
        for model, message in ((wrong_key, "No connected db"), (unknown, "none")):
            error = await call_error(model, mode, "Hi")

            assert isinstance(error, BadRequestError), (mode, message)
            assert message in str(error)


async def test_litellm_server_answers_are_complete(gateway: str) -> None:
    """Every character, complete and streamed, with usage."""
    for mode in CALL_MODES:
        answer = await call_model(model_for(gateway, model="fixed"), mode, "Say it.")

        assert answer.text == FIXED, mode
        assert answer.response_metadata["finish_reason"] == "stop"
        assert answer.usage_metadata is not None


async def test_litellm_server_forwards_to_the_emulator(gateway: str) -> None:
    """With the emulator's answer and usage."""
    for mode in CALL_MODES:
        answer = await call_model(model_for(gateway), mode, QUESTION)

        assert answer.text.startswith(ANSWER), mode
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["total_tokens"] == 91


async def test_prompted_tools_pass_through_litellm(gateway: str) -> None:
    """They are text."""
    tool = {
        "title": "get_weather",
        "description": "The weather in a city.",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    model = model_for(gateway).bind_tools([tool], tool_choice="any")
    for mode in CALL_MODES:
        answer = await call_model(model, mode, "What is the weather in Paris?")

        assert ["get_weather"] == [call["name"] for call in answer.tool_calls], mode
        assert ["city"] == list(answer.tool_calls[0]["args"])


def test_litellm_without_v1_in_the_address_works(gateway: str) -> None:
    """It serves completions at both paths."""
    model = ChatAzurePhi3(endpoint=gateway, credential=KEY, model="fixed")

    assert model.invoke("Say it.").text == FIXED
