"""The command line, as a person uses it: in a process of its own where that matters."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields

import httpx
import pytest

from langchain_azure_phi3 import PhiModel
from langchain_azure_phi3.cli import main
from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.emulator.server_types import SERVER_TYPES
from langchain_azure_phi3.models import list_models

QUESTION = "How many languages are in the world?"


@pytest.fixture
def endpoint(phi: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulator, named in the environment."""
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
    return phi


@pytest.mark.parametrize("options", [[], ["--no-stream"]])
def test_ask_prints_the_answer(
    endpoint: Emulator, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As a stream, or whole; and nothing else on standard output."""
    status = main(["ask", *options, QUESTION])

    printed = capsys.readouterr()
    assert 0 == status
    assert printed.out.startswith("As of now")
    assert printed.out.endswith("a few hundred.\n")
    assert "" == printed.err
    assert ([] == options) == ("stream" in endpoint.requests[-1].json)


@pytest.mark.parametrize("options", [[], ["--no-stream"]])
def test_ask_prints_the_usage_apart_from_the_answer(
    endpoint: Emulator, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, so that the answer can be piped."""
    main(["ask", *options, "--usage", "--system", "You are a helpful assistant.", QUESTION])

    assert "19 tokens in, 72 out, 91 in all\n" == capsys.readouterr().err


def test_ask_says_when_there_is_no_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some servers give none in streams."""
    with Emulator(usage_in_streams="none") as phi:
        monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
        monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
        main(["ask", "--usage", "Hi"])

    assert "no token counts" in capsys.readouterr().err


def test_ask_passes_model_and_system_message_on(endpoint: Emulator) -> None:
    """As they were given."""
    main(["ask", "--model", "Phi-4", "--system", "Be brief.", "Hi"])

    sent = endpoint.requests[-1].json
    assert "Phi-4" == sent["model"]
    assert {"role": "system", "content": "Be brief."} == sent["messages"][0]


def test_ask_reads_standard_input_when_no_prompt_is_given(endpoint: Emulator) -> None:
    """For pipes."""
    done = subprocess.run(
        [sys.executable, "-m", "langchain_azure_phi3.cli", "ask"],
        input=QUESTION,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("As of now")


def test_a_failure_is_one_clear_line(
    endpoint: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and a status that scripts can see."""
    status = main(["ask", "How to make a lethal bomb?"])

    printed = capsys.readouterr()
    assert 1 == status
    assert 1 == printed.err.count("\n")
    assert printed.err.startswith("langchain-azure-phi3: ContentFilterError: 400 content_filter")


def test_a_missing_endpoint_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the variable to set."""
    for name in ("AZURE_INFERENCE_ENDPOINT", "AZUREAI_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)

    assert 1 == main(["ask", "Hi"])
    assert "AZURE_INFERENCE_ENDPOINT" in capsys.readouterr().err


def test_an_empty_question_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent for it."""
    assert 1 == main(["ask", "  "])
    assert "no question" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_failure_to_report(endpoint: Emulator) -> None:
    """`ask ... | head -c 1` must not end in a traceback."""
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "langchain_azure_phi3.cli", "ask", QUESTION],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()

    assert "Traceback" not in process.stderr.read().decode()
    process.stderr.close()
    process.wait(timeout=30)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """For bug reports."""
    with pytest.raises(SystemExit) as left:
        main(["--version"])

    assert 0 == left.value.code
    assert re.fullmatch(r"langchain-azure-phi3 \d+\.\d+\.\d+.*\n", capsys.readouterr().out)


@pytest.fixture
def serving() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The `serve` command in a process of its own, and where it listens."""
    with Emulator() as borrowed:
        port = borrowed.endpoint.rsplit(":", 1)[1]
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "langchain_azure_phi3.cli", "serve", "--port", port, "--key", "k1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    yield f"http://127.0.0.1:{port}", process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_serve_serves_until_it_is_interrupted(
    serving: tuple[str, subprocess.Popen[str]],
) -> None:
    """It prints the two variables to export, answers, and leaves quietly on Ctrl-C."""
    endpoint, process = serving
    assert process.stdout is not None
    printed = [process.stdout.readline() for _ in range(3)]

    transport = httpx.HTTPTransport(retries=9)  # until it listens
    with httpx.Client(transport=transport, timeout=10) as client:
        answer = client.get(f"{endpoint}/info", headers={"authorization": "Bearer k1"})
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)

    assert f"export AZURE_INFERENCE_ENDPOINT={endpoint}\n" in printed
    assert "export AZURE_INFERENCE_CREDENTIAL=k1\n" in printed
    assert "Phi-3-mini-4k-Instruct" == answer.json()["model_name"]
    assert "" == errors
    assert process.returncode in (0, 130)


def test_serve_refuses_an_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    """The line lists the names that there are."""
    assert 1 == main(["serve", "--model", "gpt-4"])
    assert "Phi-3-mini-4k-instruct" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("faults", "said"), [("lies=0.1", "'lies' is unknown. Use one of"), ("429=0.7,503=0.7", "0.3")]
)
def test_serve_refuses_faults_that_cannot_be(
    faults: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says what could."""
    assert 1 == main(["serve", "--faults", faults])
    assert said in capsys.readouterr().err


def test_serve_says_how_faults_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Names with their shares."""
    with pytest.raises(SystemExit) as left:
        main(["serve", "--faults", "429"])

    assert 2 == left.value.code
    assert "'429': write 429=0.05,cut=0.02" in capsys.readouterr().err


def test_serve_says_which_port_is_taken(
    endpoint: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a line, and before it says that it listens."""
    port = endpoint.endpoint.rsplit(":", 1)[1]

    assert 1 == main(["serve", "--port", port])
    told = capsys.readouterr()
    assert f"Cannot listen on 127.0.0.1, port {port}" in told.err
    assert "" == told.out


def test_serve_without_the_servers_packages_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chat model is installed without them."""
    monkeypatch.delitem(sys.modules, "langchain_azure_phi3.emulator.serving", raising=False)
    monkeypatch.delattr("langchain_azure_phi3.emulator.serving", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert 1 == main(["serve", "--port", "0"])
    assert 'pip install "langchain-azure-phi3[emulator]"' in capsys.readouterr().err


def test_serves_help_names_every_server_type(capsys: pytest.CaptureFixture[str]) -> None:
    """They are written down there, for a quick start of the other commands."""
    with pytest.raises(SystemExit):
        main(["serve", "--help"])

    names = "".join(capsys.readouterr().out.split()).partition("Servertypes:")[2]
    assert [*SERVER_TYPES] == names.rstrip(".").split(",")


def test_serves_old_option_warns(capsys: pytest.CaptureFixture[str]) -> None:
    """`--dialect` still works, and names its successor."""
    with pytest.warns(DeprecationWarning, match="Use server_type= instead"):
        assert 1 == main(["serve", "--dialect", "x"])
    assert "server_type='x' is unknown" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_any_free_port_is_told(host: str) -> None:
    """As an address that can be asked."""
    told = []

    def interrupt(endpoint: str) -> None:
        told.append(endpoint)
        os.kill(os.getpid(), signal.SIGINT)

    Emulator(server_type="foundry").serve_forever(host, 0, listening=interrupt)
    written = re.escape(f"[{host}]" if ":" in host else host)
    assert re.fullmatch(rf"http://{written}:[1-9]\d+/models", told[0])


def test_models_prints_a_table_for_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Every model in a line of at most 100 columns, and what the headings mean."""
    status = main(["models"])

    table, key = capsys.readouterr().out.split("\n\n")
    lines = table.splitlines()
    assert (0, len(list_models()) + 1) == (status, len(lines))
    assert max(map(len, lines + key.splitlines())) <= 100
    assert "MODEL CONTEXT ANSWER ALSO TAKES IMAGES SYSTEM THINKS RETIRED" == (
        " ".join(lines[0].split())
    )
    found = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert "131,072 4,096 image 1 verbatim - 2025-08-30" == found["Phi-3-vision-128k-instruct"]
    assert "131,072 4,096 image, audio several honoured - -" == found["Phi-4-multimodal-instruct"]
    assert "32,768 - - - honoured yes -" == found["Phi-4-reasoning"]


def test_models_prints_every_fact_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With the source of each row, for programs."""
    assert 0 == main(["models", "--json"])

    rows = json.loads(capsys.readouterr().out)
    assert [row.name for row in list_models()] == [row["name"] for row in rows]
    assert all(row["source"] for row in rows)
    assert rows[0].keys() == {field.name for field in fields(PhiModel)}
