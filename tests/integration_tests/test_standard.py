"""LangChain's standard integration suite, against the emulator or a live deployment."""

import os
from collections.abc import Iterator
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator, Generation, Prompt
from tests.integration_tests.call_modes import merge_chunks
from tests.scripted_model import scripted_values

LIVE_ENDPOINT = os.environ.get("PHI_LIVE_ENDPOINT")
# What the suite expects in calls and objects.
VALUES = {"input": 3, "customer_name": "你好こんにちは", "setup": "Why?", "punchline": "Because."}
MODEL = os.environ.get("PHI_LIVE_MODEL", "Phi-4-mini-instruct")
OTHER_MODEL = "Phi-4"
JOKE = '{"setup": "Why?", "punchline": "Because."}'
NO_DETAILS: dict[Any, list[Any]] = {"invoke": [], "stream": []}
DETAILS = ["reasoning_output", "cache_read_input"]


def with_details(_: Prompt) -> Generation:
    """Count the tokens as servers do that reason, and cache prompts."""
    return Generation(
        "Hello.",
        tokens=9,
        prompt_tokens=8,
        final=True,
        usage_details={
            "prompt_tokens_details": {"cached_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 6},
        },
    )


def read_details(*, stream: bool) -> AIMessage:
    """The message of a server that reports these counts."""
    with Emulator(MODEL, responder=with_details) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        return merge_chunks(cast("Any", list(model.stream("Hi")))) if stream else model.invoke("Hi")


def scripted_joke(prompt: Prompt) -> Generation:
    """Answer a request for JSON that names no keys with those of the suite's joke."""
    generation = scripted_values(**VALUES)(prompt)
    assert isinstance(generation, Generation)
    return Generation(JOKE) if generation.text == "{}" else generation


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    """Recordings hold no key, and are played at any port.

    To record again, delete the file and pass `--record-mode=once`. That run warns that the
    benchmark was not used.
    """
    return {
        "filter_headers": ["authorization", "api-key", "user-agent"],
        "match_on": ["method", "path", "body"],
        "allow_playback_repeats": True,
    }


class TestPromptedTools(ChatModelIntegrationTests):
    """Tools and schemas in the prompt, complete answers, the package's own transport."""

    settings: dict[str, Any]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def deployment(cls) -> Iterator[None]:
        """The deployment that the environment names, or an emulator."""
        if LIVE_ENDPOINT is not None:
            key = os.environ["PHI_LIVE_KEY"]
            cls.settings = {"endpoint": LIVE_ENDPOINT, "credential": key, "model": MODEL}
            yield
            return
        with Emulator(MODEL, OTHER_MODEL, responder=scripted_values(**VALUES)) as phi:
            cls.settings = {"endpoint": phi.endpoint, "credential": phi.key, "model": MODEL}
            yield

    @property
    def chat_model_class(self) -> type[ChatAzurePhi3]:
        """The class under test."""
        return ChatAzurePhi3

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """The address of the deployment."""
        return self.settings

    @property
    def supports_json_mode(self) -> bool:
        """JSON mode works through the prompt."""
        return True

    @property
    def enable_vcr_tests(self) -> bool:
        """The time of streams, from a recording of the emulator."""
        return type(self) is TestPromptedTools and LIVE_ENDPOINT is None

    @property
    def supported_usage_metadata_details(self) -> dict[Any, list[Any]]:
        """Where the server reports them."""
        return {"invoke": DETAILS, "stream": DETAILS} if LIVE_ENDPOINT is None else NO_DETAILS

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        """The tokens of the reasoning are part of the completion's."""
        return read_details(stream=stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        """The cached tokens are part of the prompt's."""
        return read_details(stream=stream)

    # Off: PDF and video inputs, which no Phi reads; images and audio, which this model does not
    # read.

    @property
    def supports_model_override(self) -> bool:
        """A server with several models answers as the model that a call names."""
        return LIVE_ENDPOINT is None

    @property
    def model_override_value(self) -> str:
        """The other model of the emulator."""
        return OTHER_MODEL


@pytest.mark.skipif(LIVE_ENDPOINT is not None, reason="Phi deployments refuse native tools.")
@pytest.mark.usefixtures("over_httpx")
class TestNativeTools(TestPromptedTools):
    """Tools and schemas as request parameters, `invoke` through streams, httpx's transport."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def deployment(cls) -> Iterator[None]:
        """An emulator that accepts tools."""
        with Emulator(
            MODEL, OTHER_MODEL, tools="native", responder=scripted_values(**VALUES)
        ) as phi:
            cls.settings = {
                "endpoint": phi.endpoint,
                "credential": phi.key,
                "model": MODEL,
                "tool_calling": "native",
                "streaming": True,
            }
            yield


class TestPromptedFunctionCalling(TestPromptedTools):
    """Objects as the arguments of a prompted tool; the other classes use `json_schema`."""

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        """A tool that must be called."""
        return {"method": "function_calling"}


class TestPromptedJsonMode(TestPromptedTools):
    """Objects whose schema the prompt does not contain; the emulator knows their keys."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def deployment(cls) -> Iterator[None]:
        """An emulator that answers requests for JSON with a joke."""
        with Emulator(MODEL, OTHER_MODEL, responder=scripted_joke) as phi:
            cls.settings = {"endpoint": phi.endpoint, "credential": phi.key, "model": MODEL}
            yield

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        """The schema is only validated."""
        return {"method": "json_mode"}


class TestNativeFunctionCalling(TestNativeTools):
    """Objects as the arguments of a tool on the wire.

    The suite has no use for native JSON mode as the default method: Azure rejects prompts that do
    not contain the word JSON. `test_json_mode` tests it.
    """

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        """A tool that must be called."""
        return {"method": "function_calling"}
