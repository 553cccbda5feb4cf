"""Fixtures that the whole suite shares."""

from collections.abc import Iterator

import pytest

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """An emulated serverless deployment of Phi-3-mini behind a socket."""
    with Emulator("Phi-3-mini-4k-instruct") as emulator:
        yield emulator


@pytest.fixture
def model(phi: Emulator) -> ChatAzurePhi3:
    """A chat model that asks the emulated deployment."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
