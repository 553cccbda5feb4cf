"""Fixtures for users' tests, which start an emulated Phi deployment for one test.

pytest imports this module at every start, so it must not import anything heavier than pytest.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from langchain_azure_phi3.emulator import Emulator

_MARKER = (
    "phi_emulator(*models, strict, **options): the models and options of the fixture phi_emulator, "
    "which are the parameters of langchain_azure_phi3.emulator.Emulator"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option that makes all emulators strict."""
    description = "fail tests that do not use all scripted responses and faults of phi_emulator"
    parser.addini("phi_emulator_strict", description, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def make_phi_emulator(request: pytest.FixtureRequest) -> Iterator[Callable[..., "Emulator"]]:
    """Start any number of emulators. The arguments are those of `Emulator`.

    With `strict=True`, or the ini option `phi_emulator_strict`, the test fails if a scripted
    response, model error or failure is left.
    """
    from langchain_azure_phi3.emulator import Emulator

    is_strict: bool = request.config.getini("phi_emulator_strict")

    with ExitStack() as running:

        def start(*models: str, strict: bool = is_strict, **options: Any) -> Emulator:
            phi = running.enter_context(Emulator(*models, **options))
            if strict:
                running.callback(phi.assert_all_used)
            return phi

        yield start


@pytest.fixture
def phi_emulator(
    request: pytest.FixtureRequest, make_phi_emulator: Callable[..., "Emulator"]
) -> "Emulator":
    """A running emulator: Phi-3-mini-4k-instruct, unless marked.

    `@pytest.mark.phi_emulator("Phi-4", model_errors="prose")` sets its models and options. If there
    are several markers, the closest one counts.
    """
    marker = request.node.get_closest_marker("phi_emulator")
    if marker is None:
        return make_phi_emulator()
    return make_phi_emulator(*marker.args, **marker.kwargs)


@pytest.fixture
def phi_settings(phi_emulator: "Emulator") -> dict[str, str]:
    """Endpoint, credential and model of `phi_emulator`: `ChatAzurePhi3(**phi_settings)`."""
    phi = phi_emulator
    return {"endpoint": phi.endpoint, "credential": phi.key, "model": phi.model}


@pytest.fixture
def phi_environment(phi_emulator: "Emulator", monkeypatch: pytest.MonkeyPatch) -> "Emulator":
    """`phi_emulator`, with its endpoint and key in environment variables."""
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi_emulator.endpoint)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi_emulator.key)
    return phi_emulator
