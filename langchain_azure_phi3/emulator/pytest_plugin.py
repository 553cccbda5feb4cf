"""Fixtures for users' tests: a Phi deployment on this machine, for the length of one test.

pytest imports this at every start, wherever the package is installed, so that nothing heavier
than pytest itself is imported here before a fixture is used.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from langchain_azure_phi3.emulator import Emulator

_MARKER = (
    "phi_emulator(*models, **options): the models and options of the fixture phi_emulator, "
    "as langchain_azure_phi3.emulator.Emulator takes them"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, also where markers are strict."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def make_phi_emulator() -> Iterator[Callable[..., "Emulator"]]:
    """Start as many Phi deployments as a test needs; they stop with the test.

    The arguments are those of `langchain_azure_phi3.emulator.Emulator`.
    """
    from langchain_azure_phi3.emulator import Emulator

    with ExitStack() as running:

        def started(*models: str, **options: Any) -> Emulator:
            return running.enter_context(Emulator(*models, **options))

        yield started


@pytest.fixture
def phi_emulator(
    request: pytest.FixtureRequest, make_phi_emulator: Callable[..., "Emulator"]
) -> "Emulator":
    """A Phi deployment behind a socket on this machine: Phi-3-mini-4k-instruct, unless marked.

    `@pytest.mark.phi_emulator("Phi-4", misbehaves="prose")` sets its models and options; of
    several markers the one closest to the test counts.
    """
    marker = request.node.get_closest_marker("phi_emulator")
    return (
        make_phi_emulator() if marker is None else make_phi_emulator(*marker.args, **marker.kwargs)
    )


@pytest.fixture
def phi_settings(phi_emulator: "Emulator") -> dict[str, str]:
    """What a chat model needs to know of `phi_emulator`: `ChatAzurePhi3(**phi_settings)`."""
    return {
        "endpoint": phi_emulator.endpoint,
        "credential": phi_emulator.key,
        "model": phi_emulator.model,
    }


@pytest.fixture
def phi_environment(phi_emulator: "Emulator", monkeypatch: pytest.MonkeyPatch) -> "Emulator":
    """`phi_emulator`, named in the environment for code that takes its endpoint from there."""
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi_emulator.endpoint)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi_emulator.key)
    return phi_emulator
