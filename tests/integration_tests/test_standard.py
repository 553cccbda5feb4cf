"""LangChain's standard integration suite, against the emulator or a live deployment."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator
from tests.scripted_model import scripted_values

LIVE_ENDPOINT = os.environ.get("PHI_LIVE_ENDPOINT")
# What the suite expects in calls and objects.
VALUES = {"input": 3, "customer_name": "你好こんにちは", "setup": "Why?", "punchline": "Because."}
MODEL = os.environ.get("PHI_LIVE_MODEL", "Phi-4-mini-instruct")
OTHER_MODEL = "Phi-4"


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

    # Off: PDF and video inputs, which no Phi reads; images and audio, which this model does not
    # read; the recorded test, because the emulator answers.

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
