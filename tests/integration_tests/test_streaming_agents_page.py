"""The service on the page about streaming an agent runs as it is printed there."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator
from tests.browser import load_page, needs_a_browser
from tests.environments import make_environment, python_command
from tests.examples import requirements
from tests.ports import free_port, wait_for_port

PAGE = Path(__file__).parents[2] / "docs" / "learn" / "streaming-agents.md"
PROGRAM = re.compile(r"^```py\n(# agent_service.py\n.*?)^```$", re.DOTALL | re.MULTILINE)
OUTPUT = re.compile(r"^curl .*?^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
QUESTION = {"question": "What do I need in Paris?"}


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A deployment that calls the tool and then answers."""
    with Emulator() as emulator:
        emulator.script('{"name": "get_weather", "arguments": {"city": "Paris"}}')
        emulator.script("Take a sun hat.")
        yield emulator


@pytest.fixture
def service(phi: Emulator, tmp_path: Path) -> Iterator[str]:
    """The address of the service, which runs in the environment that the page names."""
    (program,) = PROGRAM.findall(PAGE.read_text(encoding="utf-8"))
    (tmp_path / "agent_service.py").write_text(program, encoding="utf-8")
    python, variables = python_command(make_environment(requirements(PAGE)))
    variables["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    deployment = {
        "AZURE_INFERENCE_ENDPOINT": phi.endpoint,
        "AZURE_INFERENCE_CREDENTIAL": phi.key,
    }
    port = free_port()
    process = subprocess.Popen(  # noqa: S603
        [*python, "-m", "uvicorn", "agent_service:app", "--port", str(port)],
        env=variables | deployment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for_port(port)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=20)


def test_service_streams_the_printed_events(service: str) -> None:
    """The tool call, the text and the end."""
    (shown,) = OUTPUT.findall(PAGE.read_text(encoding="utf-8"))
    response = httpx.get(f"{service}/chat", params=QUESTION, timeout=60)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert shown.strip() == response.text.strip()


def test_service_reports_errors_as_events(service: str, phi: Emulator) -> None:
    """A stream that breaks off ends with its reason."""
    phi.fail("cut", after=3)
    text = httpx.get(f"{service}/chat", params=QUESTION, timeout=60).text
    assert text.endswith(
        'event: failed\ndata: "InterruptedStreamError"\n\nevent: end\ndata: null\n\n'
    )


@needs_a_browser
def test_browser_shows_tool_calls_and_text(service: str, tmp_path: Path) -> None:
    """Chromium runs the page's script."""
    shown = load_page(f"{service}/?question=What%20do%20I%20need%20in%20Paris%3F", tmp_path)
    assert "<li>get_weather {'city': 'Paris'}</li>" in shown
    assert '<p id="answer">Take a sun hat.</p>' in shown
