"""Fixtures of most tests: an emulated deployment, and a model for it.

Every test is searched for keys: its log records, warnings and output must contain none.
"""

import os
import secrets
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from langchain_azure_phi3 import ChatAzurePhi3, models
from langchain_azure_phi3._http import client, deployments, retry_state
from langchain_azure_phi3.emulator import Emulator
from tests.canaries import CANARY, canary_hex, searched_logs
from tests.certificates import certified

# A busy machine is not a failure. The benchmarks measure speed.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# `make fuzz` tries more examples.
settings.register_profile("fuzz", settings.get_profile("any machine"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "any machine"))


def pytest_configure() -> None:
    """Restore Ctrl-C, which background jobs of a shell ignore: tests interrupt servers with it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _recognizable_keys() -> Iterator[None]:
    """Make emulators generate keys that tests can search for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "token_hex", canary_hex())
        yield


@pytest.fixture(autouse=True)
def _no_key_in_logs() -> Iterator[None]:
    """Check that no log record of the HTTP libraries contains a key."""
    with searched_logs() as found:
        yield
    assert found == []


@pytest.fixture(autouse=True)
def _fresh_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what earlier tests found out about endpoints, and warned of."""
    monkeypatch.setattr(retry_state, "_working_urls", {})
    monkeypatch.setattr(retry_state, "_cooldowns", {})
    monkeypatch.setattr(deployments, "_known", {})
    monkeypatch.setattr(models, "_warned", set())


def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    """Check that no warning contains a key."""
    assert CANARY not in str(warning_message.message)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Check that neither a test nor a library prints a key."""
    report: pytest.TestReport = yield  # type: ignore[misc]
    if report.when == "teardown" and CANARY in report.capstdout + report.capstderr:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} printed a key:\n{report.capstdout}{report.capstderr}"
    return report  # type: ignore[return-value]


@pytest.fixture
def over_httpx(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Send requests through httpx's own clients, as behind a proxy."""
    monkeypatch.setattr(client, "_make_client", client._make_httpx_client)
    monkeypatch.setattr(client, "_make_async_client", client._make_async_httpx_client)
    monkeypatch.setattr(client, "_shared", client._Shared())
    yield
    client.close_shared()


@pytest.fixture(params=["direct", "httpx"])
def each_transport(request: pytest.FixtureRequest) -> None:
    """Run a test once for each transport."""
    if request.param == "httpx":
        request.getfixturevalue("over_httpx")


@pytest.fixture
def known_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A certificate for this machine, trusted through the environment."""
    certificate = certified(tmp_path / "known.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(client, "_shared", client._Shared())
    client.ssl_context.cache_clear()
    yield certificate
    client.ssl_context.cache_clear()


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """An emulated Phi-3-mini-4k-instruct on a socket of this machine."""
    with Emulator("Phi-3-mini-4k-instruct") as emulator:
        yield emulator


@pytest.fixture
def model(phi: Emulator) -> ChatAzurePhi3:
    """A chat model for `phi`."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
