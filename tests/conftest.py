"""What most tests start from: an emulated deployment, and a model that points at it.

Every test is searched for keys: what it logs at DEBUG, warns of and prints must hold none.
"""

import os
import secrets
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3._http import client, retry_state
from langchain_azure_phi3.emulator import Emulator
from tests.canaries import CANARY, canary_hex, searched_logs
from tests.certificates import certified

# A busy machine is no reason to fail; what is slow in the code, the benchmarks tell.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# `make fuzz` looks further.
settings.register_profile("fuzz", settings.get_profile("any machine"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "any machine"))


def pytest_configure() -> None:
    """Hear Ctrl-C, which a job in a shell's background ignores: tests interrupt servers with it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _recognisable_keys() -> Iterator[None]:
    """Emulators make keys that can be searched for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "token_hex", canary_hex())
        yield


@pytest.fixture(autouse=True)
def _no_key_in_logs() -> Iterator[None]:
    """No log record on a request's way holds a key."""
    with searched_logs() as found:
        yield
    assert found == []


@pytest.fixture(autouse=True)
def _no_memory_of_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of two routes answered in another test is of no concern here."""
    monkeypatch.setattr(retry_state, "_working_urls", {})
    monkeypatch.setattr(retry_state, "_cooldowns", {})


def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    """No warning holds a key."""
    assert CANARY not in str(warning_message.message)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """No test prints a key, nor does the emulator or a library beneath it."""
    report: pytest.TestReport = yield  # type: ignore[misc]
    if report.when == "teardown" and CANARY in report.capstdout + report.capstderr:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} printed a key:\n{report.capstdout}{report.capstderr}"
    return report  # type: ignore[return-value]


@pytest.fixture
def over_httpx(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Requests ride on httpx's own clients, as behind a proxy."""
    monkeypatch.setattr(client, "_has_proxy", lambda: True)
    monkeypatch.setattr(client, "_shared", client._Shared())
    yield
    client.close_shared()


@pytest.fixture(params=["direct", "httpx"])
def each_transport(request: pytest.FixtureRequest) -> None:
    """The same over all that requests can ride on."""
    if request.param == "httpx":
        request.getfixturevalue("over_httpx")


@pytest.fixture
def known_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A certificate for this machine that the environment trusts."""
    certificate = certified(tmp_path / "known.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(client, "_shared", client._Shared())
    client.ssl_context.cache_clear()
    yield certificate
    client.ssl_context.cache_clear()


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A Phi-3-mini-4k-instruct behind a socket on this machine."""
    with Emulator("Phi-3-mini-4k-instruct") as emulator:
        yield emulator


@pytest.fixture
def model(phi: Emulator) -> ChatAzurePhi3:
    """A chat model for `phi`."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
