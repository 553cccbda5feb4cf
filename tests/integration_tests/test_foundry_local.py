"""`from_foundry_local`, with a stand-in for the SDK.

The SDK downloads models from the network and runs them, which tests must not. The stand-in has the
names of foundry-local-sdk 2.2.1 that the package uses; its web service is the emulator.
"""

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3.emulator import Emulator

BUILD = "Phi-4-mini-instruct-generic-cpu:5"


@dataclass
class StandInModel:
    """An entry of the SDK's catalog."""

    id: str = BUILD
    alias: str = "phi-4-mini"
    is_cached: bool = False
    is_loaded: bool = False
    context_length: int | None = 8_192
    supports_tool_calling: bool | None = True
    steps: list[str] = field(default_factory=list)

    def download(self) -> None:
        """Note the step."""
        self.steps.append("download")
        self.is_cached = True

    def load(self) -> None:
        """Note the step."""
        self.steps.append("load")
        self.is_loaded = True


class StandInManager:
    """The SDK's manager, of which there is one; `url` is where its service will be."""

    instance: ClassVar["StandInManager | None"] = None
    url: ClassVar[str] = ""

    def __init__(self, model: StandInModel) -> None:
        self.urls: list[str] | None = None
        self.starts = 0
        self.catalog = SimpleNamespace(
            get_model=lambda alias: model if alias == model.alias else None,
            get_model_variant=lambda id_: model if id_ == model.id else None,
            list_models=lambda: [model],
        )

    def start_web_service(self) -> None:
        """Report the URL, without a path."""
        self.starts += 1
        self.urls = [self.url]


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> StandInModel:
    """The model of a stand-in SDK that is not initialized yet."""
    model = StandInModel()

    class Manager(StandInManager):
        @classmethod
        def initialize(cls, config: SimpleNamespace) -> None:
            model.steps.append(f"initialize {config.app_name}")
            cls.instance = cls(model)

    sdk: Any = SimpleNamespace(
        FoundryLocalManager=Manager, Configuration=lambda **given: SimpleNamespace(**given)
    )
    monkeypatch.setattr(StandInManager, "url", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "foundry_local_sdk", sdk)
    return model


def manager() -> StandInManager:
    """The initialized manager."""
    found = sys.modules["foundry_local_sdk"].FoundryLocalManager.instance
    assert isinstance(found, StandInManager)
    return found


def test_the_first_model_starts_everything(
    local: StandInModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers, with the SDK's context; a second one finds all of it running."""
    with Emulator("Phi-4-mini-instruct", server_type="openai-server") as phi:
        monkeypatch.setattr(StandInManager, "url", phi.endpoint.removesuffix("/v1") + "/")
        settings: dict[str, Any] = {"credential": phi.key, "tool_calling": "prompted"}
        model = ChatAzurePhi3.from_foundry_local("phi-4-mini", app_name="shop", **settings)
        again = ChatAzurePhi3.from_foundry_local(BUILD, **settings)

        assert local.steps == ["initialize shop", "download", "load"]
        assert manager().starts == 1
        assert model.endpoint == again.endpoint == phi.endpoint
        assert model.model == again.model == BUILD
        assert model.profile is not None
        assert model.profile["max_input_tokens"] == 8_192
        assert model.invoke("Hi", model="Phi-4-mini-instruct").text


def test_no_key_of_the_environment_is_sent(
    local: StandInModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to Azure; nor is the environment's model requested."""
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "key")
    monkeypatch.setenv("AZURE_INFERENCE_MODEL", "Phi-4")

    model = ChatAzurePhi3.from_foundry_local("phi-4-mini", temperature=0.5)

    assert (model.credential, model.model, model.temperature) == (None, BUILD, 0.5)


def test_tools_follow_what_the_sdk_says(local: StandInModel) -> None:
    """Native where the model is known to take them; never where the SDK denies it."""
    for reported, tool_calling in ((True, "auto"), (None, "auto"), (False, "prompted")):
        local.supports_tool_calling = reported
        assert ChatAzurePhi3.from_foundry_local("phi-4-mini").tool_calling == tool_calling


def test_unknown_aliases_are_refused(local: StandInModel) -> None:
    """The error lists the known ones."""
    with pytest.raises(InvalidInputError, match=r"no model 'phi-5'. It has: phi-4-mini\."):
        ChatAzurePhi3.from_foundry_local("phi-5")


def test_without_the_sdk_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not installed with the package."""
    monkeypatch.setitem(sys.modules, "foundry_local_sdk", None)

    with pytest.raises(ImportError, match=r"langchain-azure-phi3\[foundry-local\]"):
        ChatAzurePhi3.from_foundry_local("phi-4-mini")
