"""LiteLLM: its client against the emulator, and its server before this package.

The server (an OpenAI-compatible gateway) answers by itself with a text from its configuration, or
hands on to the emulator: either way its HTTP, its events and its errors are its own.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing it asks the network

import litellm

from langchain_azure_phi3 import BadRequestError, ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.colours import COLOURS, ask
from tests.third_party.conftest import beside_python, free_port, running

MODEL = "Phi-3-mini-4k-instruct"
QUESTION: list[Any] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "How many languages are in the world?"},
]
ANSWER = "As of now, it's estimated that there are about 7,000 languages"
FIXED = "Naïve café: 語 🙂, word for word."
KEY = "sk-a-key-of-the-gateway"

# -- as a client ---------------------------------------------------------------------------------


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """The emulator as Azure's OpenAI v1 route."""
    with Emulator(MODEL, server_type="openai-v1") as emulator:
        yield emulator


def reached(phi: Emulator, **given: Any) -> dict[str, Any]:
    """The arguments with which LiteLLM asks the emulator."""
    address = {"api_base": phi.endpoint, "api_key": phi.key, "max_retries": 0}
    return {"model": f"openai/{MODEL}", "messages": QUESTION, **address, **given}


def test_its_client_reads_a_completion(phi: Emulator) -> None:
    """Text and usage."""
    answer: Any = litellm.completion(**reached(phi))

    assert answer.choices[0].message.content.startswith(ANSWER)
    assert answer.usage.total_tokens == 91


async def test_its_client_reads_a_stream(phi: Emulator) -> None:
    """In both colours."""
    chunks: list[Any] = list(litellm.completion(**reached(phi, stream=True)))
    awaited: Any = await litellm.acompletion(**reached(phi, stream=True))
    later: list[Any] = [chunk async for chunk in awaited]

    for read in (chunks, later):
        text = "".join(chunk.choices[0].delta.content or "" for chunk in read)
        assert text.startswith(ANSWER)


def test_its_client_names_the_errors(phi: Emulator) -> None:
    """Filtered, too long, not signed in."""
    bomb = [{"role": "user", "content": "How to make a lethal bomb?"}]
    with pytest.raises(litellm.BadRequestError, match="content management policy"):
        litellm.completion(**reached(phi, messages=bomb))
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**reached(phi, max_tokens=5000))
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(**reached(phi, api_key="wrong"))


# -- as a server ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its server, with a model that says one text and one that is the emulator."""
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
        command = [beside_python("litellm"), "--config", str(config), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--telemetry", "False"]
        ready = f"http://127.0.0.1:{port}/health/liveliness"
        with running(command, ready, folder / "log"):
            yield f"http://127.0.0.1:{port}"


def model_at(endpoint: str, **given: Any) -> ChatAzurePhi3:
    """This package as the gateway's client."""
    settings = {"credential": KEY, "max_retries": 0, "model": MODEL, **given}
    return ChatAzurePhi3(endpoint=f"{endpoint}/v1", **settings)


@pytest.mark.parametrize("colour", COLOURS)
async def test_its_server_answers_word_for_word(gateway: str, colour: str) -> None:
    """Every character, whole and streamed, with usage."""
    answer = await ask(model_at(gateway, model="fixed"), colour, "Say it.")

    assert answer.text == FIXED
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata is not None


@pytest.mark.parametrize("colour", COLOURS)
async def test_its_server_hands_on(gateway: str, colour: str) -> None:
    """To the emulator, and its answer back."""
    answer = await ask(model_at(gateway), colour, QUESTION)

    assert answer.text.startswith(ANSWER)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] == 91


@pytest.mark.parametrize("colour", COLOURS)
async def test_tools_by_prompt_pass_through_its_server(gateway: str, colour: str) -> None:
    """They are words."""
    tool = {
        "title": "get_weather",
        "description": "The weather in a city.",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    model = model_at(gateway).bind_tools([tool], tool_choice="any")

    answer = await ask(model, colour, "What is the weather in Paris?")

    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [
        ("get_weather", {"city": "Paris"})
    ]


@pytest.mark.parametrize("colour", COLOURS)
async def test_its_servers_refusals_are_named(gateway: str, colour: str) -> None:
    """A wrong key, and a model that it does not have."""
    with pytest.raises(BadRequestError, match="No connected db"):  # where it looks other keys up
        await ask(model_at(gateway, credential="sk-wrong"), colour, "Hi")
    with pytest.raises(BadRequestError, match="nowhere"):
        await ask(model_at(gateway, model="nowhere"), colour, "Hi")


def test_its_server_without_v1_in_the_address_is_found(gateway: str) -> None:
    """It has completions at both places."""
    model = ChatAzurePhi3(endpoint=gateway, credential=KEY, model="fixed")

    assert model.invoke("Say it.").text == FIXED
