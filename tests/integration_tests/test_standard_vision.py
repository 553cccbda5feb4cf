"""LangChain's standard integration suite on the Phi model that reads images and audio."""

import base64
from collections.abc import Iterator
from io import BytesIO
from typing import Any, ClassVar, cast

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from PIL import Image

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator import Emulator, Generation, Prompt
from tests.integration_tests.call_modes import merge_chunks
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


def with_audio_tokens(prompt: Prompt) -> Generation:
    """Count the tokens of the audio apart."""
    tokens = 7 * prompt.messages[-1].audio_count
    details = {"prompt_tokens_details": {"audio_tokens": tokens}}
    return Generation("A voice.", prompt_tokens=20, final=True, usage_details=details)


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
    def supports_json_mode(self) -> bool:
        """JSON mode works through the prompt."""
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[Any, list[Any]]:
        """Where the server reports them."""
        return {"invoke": ["audio_input"], "stream": ["audio_input"]}

    def invoke_with_audio_input(self, *, stream: bool = False) -> AIMessage:
        """The tokens of the audio are part of the prompt's."""
        audio = base64.b64encode(WAV + bytes(800)).decode()
        block: Json = {"type": "audio", "base64": audio, "mime_type": "audio/wav"}
        with Emulator(MODEL, responder=with_audio_tokens) as phi:
            model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
            messages = [HumanMessage([block])]
            if not stream:
                return model.invoke(messages)
            return merge_chunks(cast("Any", list(model.stream(messages))))

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
