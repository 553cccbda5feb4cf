"""LangChain's standard integration suite, against the emulator or a live deployment."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator
from tests.scripted_model import scripted_values

# What the suite expects in calls and objects.
VALUES = {"input": 3, "customer_name": "你好こんにちは", "setup": "Why?", "punchline": "Because."}
MODELS = ("Phi-3-mini-4k-instruct", "Phi-4", "Phi-4-mini-instruct", "Phi-4-reasoning")


@pytest.fixture(scope="module", autouse=True)
def deployment() -> Iterator[None]:
    """The deployment that the environment names, else an emulator."""
    if os.environ.get("PHI_LIVE_ENDPOINT"):
        yield
        return
    with Emulator(*MODELS, responder=scripted_values(**VALUES)) as phi:
        os.environ["PHI_TEST_ENDPOINT"], os.environ["PHI_TEST_KEY"] = phi.endpoint, phi.key
        yield


class TestChatAzurePhi3Integration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[ChatAzurePhi3]:
        """The class under test."""
        return ChatAzurePhi3

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """Where the deployment is."""
        live = os.environ.get("PHI_LIVE_ENDPOINT")
        return {
            "endpoint": live or os.environ["PHI_TEST_ENDPOINT"],
            "credential": os.environ["PHI_LIVE_KEY" if live else "PHI_TEST_KEY"],
            "model": os.environ.get("PHI_LIVE_MODEL", MODELS[0]),
        }

    @property
    def supports_json_mode(self) -> bool:
        """By prompt: the deployment has none."""
        return True

    # PDF and video inputs are switched off because no Phi reads them, pictures and sounds because
    # this model reads text only, and the recorded test because nothing is recorded: the emulator
    # answers.

    @property
    def supports_model_override(self) -> bool:
        """A server with several models answers as the one that a call names."""
        return "PHI_LIVE_ENDPOINT" not in os.environ

    @property
    def model_override_value(self) -> str:
        """The other model that the emulator hosts."""
        return MODELS[1]


@pytest.mark.usefixtures("over_httpx")
class TestOverHttpx(TestChatAzurePhi3Integration):
    """The suite again, on httpx's own connections, as behind a proxy."""


class TestStreamingBehindTheScenes(TestChatAzurePhi3Integration):
    """The same with `invoke` on top of `stream`."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """As above, streaming."""
        return {**super().chat_model_params, "streaming": True}


class TestTrainedOnTools(TestChatAzurePhi3Integration):
    """The same on Phi-4-mini, which has a form of its own for tools."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """As above, another model."""
        return {**super().chat_model_params, "model": "Phi-4-mini-instruct"}


class TestThinking(TestChatAzurePhi3Integration):
    """The same on Phi-4-reasoning, which thinks aloud before every answer."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """As above, another model."""
        return {**super().chat_model_params, "model": "Phi-4-reasoning"}
