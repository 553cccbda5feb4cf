"""LangChain's standard integration suite on the Phi model that reads images and audio."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any, ClassVar

import httpx
import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from PIL import Image

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator
from tests.scripted_model import scripted_values
from tests.unit_tests.images import WAV

# What the suite expects in calls and objects.
VALUES = {"input": 3, "customer_name": "你好こんにちは", "setup": "Why?", "punchline": "Because."}
MODEL = "Phi-4-multimodal-instruct"
OTHER_MODEL = "Phi-4"


def _png() -> bytes:
    file = BytesIO()
    Image.new("RGB", (1280, 720), "white").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def _web(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve the suite's image and audio without a network."""
    png = _png()

    def get(url: str, **_: Any) -> httpx.Response:
        return httpx.Response(200, content=png if url.endswith(".png") else WAV + bytes(800))

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "the tests of langchain-azure-phi3")


class TestPhi4Multimodal(ChatModelIntegrationTests):
    phi: ClassVar[Emulator]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def deployment(cls) -> Iterator[None]:
        """An emulator with this model, and another model for calls that name one."""
        with Emulator(MODEL, OTHER_MODEL, responder=scripted_values(**VALUES)) as cls.phi:
            yield

    @property
    def chat_model_class(self) -> type[ChatAzurePhi3]:
        """The class under test."""
        return ChatAzurePhi3

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """The address of the deployment."""
        return {"endpoint": self.phi.endpoint, "credential": self.phi.key, "model": MODEL}

    @property
    def supports_image_inputs(self) -> bool:
        """Images as blocks of OpenAI's type and of LangChain's."""
        return True

    @property
    def supports_image_urls(self) -> bool:
        """A URL is passed on; only the server knows whether it can reach it."""
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        """Images in tool results reach the model in a user message."""
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        """Audio as blocks of OpenAI's type and of LangChain's."""
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        """Images, calls and reasoning in Anthropic's blocks."""
        return True

    @property
    def supports_model_override(self) -> bool:
        """A server with several models answers as the model that a call names."""
        return True

    @property
    def model_override_value(self) -> str:
        """The other model of the emulator."""
        return OTHER_MODEL
