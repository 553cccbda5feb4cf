"""LangChain's standard integration suite on the models that see, and on the one that hears."""

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
from tests.unit_tests.pictures import WAV


def _picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (1280, 720), "white").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def web(monkeypatch: pytest.MonkeyPatch) -> None:
    """A web that has the suite's picture and sound: tests need no network."""
    picture = _picture()

    def get(url: str, **_: Any) -> httpx.Response:
        return httpx.Response(200, content=picture if url.endswith(".png") else WAV + bytes(800))

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "the tests of langchain-azure-phi3")


class _Seeing(ChatModelIntegrationTests):
    name: ClassVar[str]
    served: ClassVar[Emulator]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def deployment(cls) -> Iterator[None]:
        """An emulator that hosts the model, and another for calls that name one."""
        responder = scripted_values(input=3, customer_name="你好こんにちは")
        with Emulator(cls.name, "Phi-4", responder=responder) as cls.served:
            yield

    @property
    def chat_model_class(self) -> type[ChatAzurePhi3]:
        """The class under test."""
        return ChatAzurePhi3

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """Where the deployment is."""
        return {
            "endpoint": self.served.endpoint,
            "credential": self.served.key,
            "model": self.name,
        }

    @property
    def supports_image_inputs(self) -> bool:
        """Pictures as blocks of OpenAI's kind and LangChain's."""
        return True

    @property
    def supports_image_urls(self) -> bool:
        """A URL is passed on: whether a server can reach it, it knows."""
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        """What a tool shows reaches the model in a user turn."""
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        """Anthropic's pictures, calls and thoughts."""
        return True

    @property
    def supports_model_override(self) -> bool:
        """A server with several models answers as the one that a call names."""
        return True

    @property
    def model_override_value(self) -> str:
        """The other model that the emulator hosts."""
        return "Phi-4"


class TestPhi3Vision(_Seeing):
    name = "Phi-3-vision-128k-instruct"


class TestPhi35Vision(_Seeing):
    name = "Phi-3.5-vision-instruct"


class TestPhi4Multimodal(_Seeing):
    name = "Phi-4-multimodal-instruct"

    @property
    def supports_audio_inputs(self) -> bool:
        """Sounds as blocks of OpenAI's kind and LangChain's."""
        return True
