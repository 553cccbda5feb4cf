"""LangChain's standard integration suite on a base model."""

from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_azure_phi3 import ChatAzurePhi3
from tests.third_party.llama_server import LlamaServer


class TestLlamaCpp(ChatModelIntegrationTests):
    settings: dict[str, Any]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def deployment(cls, llama: LlamaServer) -> None:
        """llama.cpp's server."""
        cls.settings = llama.settings(max_tokens=60)

    @property
    def chat_model_class(self) -> type[ChatAzurePhi3]:
        """The class under test."""
        return ChatAzurePhi3

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """The address of the server."""
        return self.settings

    @property
    def supports_json_mode(self) -> bool:
        """JSON mode is constrained."""
        return True
