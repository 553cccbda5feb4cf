"""What most tests start from: an emulated deployment, and a model that points at it."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator

# A busy machine is no reason to fail; what is slow in the code, the benchmarks tell.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A Phi-3-mini-4k-instruct behind a socket on this machine."""
    with Emulator("Phi-3-mini-4k-instruct") as emulator:
        yield emulator


@pytest.fixture
def model(phi: Emulator) -> ChatAzurePhi3:
    """A chat model for `phi`."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
