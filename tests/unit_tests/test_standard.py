"""LangChain's standard unit suite."""

import pytest
from langchain_tests.unit_tests import ChatModelUnitTests
from syrupy.assertion import SnapshotAssertion

from langchain_azure_phi3 import ChatAzurePhi3

ENDPOINT = "https://phi.eastus2.models.ai.azure.com"


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
@pytest.mark.filterwarnings("ignore:The method `BaseChatModel.dict` was deprecated")
class TestChatAzurePhi3Unit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatAzurePhi3]:
        """The class under test."""
        return ChatAzurePhi3

    @property
    def chat_model_params(self) -> dict[str, str]:
        """The least that a user sets."""
        return {"endpoint": ENDPOINT, "model": "Phi-3-mini-4k-instruct", "api_key": "test"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        """The environment, the other arguments, and the expected fields of the model."""
        return (
            {"AZURE_INFERENCE_ENDPOINT": ENDPOINT, "AZURE_INFERENCE_CREDENTIAL": "a-key"},
            {"model": "Phi-3-mini-4k-instruct"},
            {"endpoint": ENDPOINT, "credential": "a-key"},
        )

    @pytest.mark.xfail(
        reason="It loads with allowed_objects='all', which means the classes in LangChain's own "
        "table. test_serialization.py tests the round trip with the class named.",
        raises=ValueError,
        strict=True,
    )
    def test_serdes(self, model: ChatAzurePhi3, snapshot: SnapshotAssertion) -> None:
        """A model survives `dumpd` and `load`."""
        super().test_serdes(model, snapshot)
