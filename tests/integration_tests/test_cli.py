"""The command line, in a separate process where that matters."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import httpx
import pytest
from PIL import Image

from langchain_azure_phi3 import ChatAzurePhi3, PhiModel
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


def test_ask_prints_the_answer(endpoint: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Streamed or complete; the usage goes to standard error, so that the answer can be piped."""
    for options in ([], ["--no-stream"]):
        assert 0 == main(["ask", *options, QUESTION])
        printed = capsys.readouterr()
        assert printed.out.startswith("As of now")
        assert printed.out.endswith("a few hundred.\n")
        assert "" == printed.err
        assert ([] == options) == ("stream" in endpoint.requests[-1].json)

        main(["ask", *options, "--usage", "--system", "You are a helpful assistant.", QUESTION])
        assert "19 input + 72 output = 91 tokens\n" == capsys.readouterr().err


def test_ask_reports_missing_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some servers report none in streams."""
    with Emulator(usage_in_streams="none") as phi:
        monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
        monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
        main(["ask", "--usage", "Hi"])

    assert "no token counts" in capsys.readouterr().err


def test_ask_sends_model_and_system_message(endpoint: Emulator) -> None:
    """As given."""
    main(["ask", "--model", "Phi-4", "--system", "Be brief.", "Hi"])

    sent = endpoint.requests[-1].json
    assert "Phi-4" == sent["model"]
    assert {"role": "system", "content": "Be brief."} == sent["messages"][0]


def test_ask_names_the_phi_of_a_deployment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that its limits are known, although the deployment has a name of its own."""
    with Emulator(server_type="openai-v1", deployment="prod") as phi:
        monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
        monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
        options = ["--model", "prod", "--base-model", "Phi-3-mini-4k-instruct"]
        assert 1 == main(["ask", *options, "word " * 9000])
        assert "Phi-3-mini-4k-instruct has a context of 4,096" in capsys.readouterr().err
        assert [] == phi.requests

        assert 0 == main(["ask", *options, "Hi"])
        assert "prod" == phi.requests[-1].json["model"]


def test_a_key_goes_over_http_only_if_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To another machine; the error names the argument of the class."""
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "k")
    command = ["ask", "--endpoint", "http://phi.invalid", "Hi"]

    assert 1 == main(command)
    assert "allow_insecure_http=True" in capsys.readouterr().err
    assert 1 == main([*command, "--allow-insecure-http"])
    assert "ConnectionFailedError" in capsys.readouterr().err


def test_warnings_are_printed_on_one_line(endpoint: Emulator) -> None:
    """Without the line of source code that Python prints."""
    command = [sys.executable, "-m", "langchain_azure_phi3.cli", "ask", "Hi"]
    done = subprocess.run(  # noqa: S603
        [*command, "--model", "Phi-3-mini-4k-instuct"], capture_output=True, text=True, check=True
    )

    assert 1 == done.stderr.count("\n")
    assert done.stderr.startswith("langchain-azure-phi3: UnknownModelWarning: The model")


def test_ask_appends_standard_input(endpoint: Emulator) -> None:
    """To the prompt; `-` stands for standard input alone, and an empty pipe adds nothing."""
    for prompt, piped, expected in (
        ("Summarize:", "A long text.\n", "Summarize:\n\nA long text.\n"),
        ("-", "A question?", "A question?"),
        ("A question?", "", "A question?"),
    ):
        command = [sys.executable, "-m", "langchain_azure_phi3.cli", "ask", prompt]
        subprocess.run(command, input=piped, text=True, check=True, capture_output=True)  # noqa: S603
        assert expected == endpoint.requests[-1].json["messages"][0]["content"]


def test_ask_sends_images_and_parameters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """To the endpoint that is named; a wrong file is an error, and nothing is sent."""
    image = tmp_path / "red.png"
    Image.new("RGB", (8, 8), "red").save(image)
    with Emulator("Phi-3-vision-128k-instruct") as phi:
        monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
        common = ["ask", "--endpoint", phi.endpoint, "--temperature", "0", "--max-tokens", "9"]
        missing = main([*common, "--image", str(tmp_path / "none.png"), "What is this?"])
        status = main([*common, "--image", str(image), "What is this?"])

    assert (1, 0) == (missing, status)
    assert "none.png" in capsys.readouterr().err
    (request,) = phi.requests
    assert (0, 9) == (request.json["temperature"], request.json["max_tokens"])
    text, part = request.json["messages"][0]["content"]
    assert "What is this?" == text["text"]
    assert part["image_url"]["url"].startswith("data:image/png;base64,")


def test_ask_prints_an_object_that_fits_the_schema(
    endpoint: Emulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As JSON; what is not a schema is an error."""
    schema = tmp_path / "person.json"
    schema.write_text('{"type": "object", "properties": {"name": {"type": "string"}}}')
    endpoint.script('Here it is: {"name": "Änn"}')

    assert 0 == main(["ask", "--schema", str(schema), "Änn is 41."])
    assert {"name": "Änn"} == json.loads(capsys.readouterr().out)

    for text, message in (
        ("[1]", "person.json is not a JSON schema"),
        ("{", "person.json is not a JSON schema"),
        ('{"type": "objekt"}', "its type is 'objekt', not 'object'"),
        ('{"properties": {"a": {"type": "strng"}}}', "not a valid JSON schema: ['properties']"),
    ):
        schema.write_text(text)
        assert 1 == main(["ask", "--schema", str(schema), "Ann is 41."])
        assert message in capsys.readouterr().err


def test_ask_reports_an_answer_that_does_not_fit(
    endpoint: Emulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As an error of one line."""
    schema = tmp_path / "person.json"
    schema.write_text('{"properties": {"name": {"type": "string"}}, "required": ["name"]}')
    endpoint.script("No.", "No.", "No.")

    assert 1 == main(["ask", "--schema", str(schema), "Ann is 41."])
    printed = capsys.readouterr().err
    assert printed.startswith("langchain-azure-phi3: OutputParserException: ")
    assert 1 == printed.count("\n")


def test_ask_prints_the_response_as_json(
    endpoint: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text, usage and metadata."""
    assert 0 == main(["ask", "--json", QUESTION])

    response = json.loads(capsys.readouterr().out)
    assert response["text"].startswith("As of now")
    assert 72 == response["usage"]["output_tokens"]
    assert "stop" == response["response_metadata"]["finish_reason"]


def test_help_and_version_do_not_import_langchain() -> None:
    """They are done in a tenth of a second."""
    program = "import sys; from langchain_azure_phi3.cli import main; main(sys.argv[1:])"
    for option in ("--help", "--version"):
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-X", "importtime", "-c", program, option],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "langchain-azure-phi3" in done.stdout
        assert "langchain_core" not in done.stderr


def test_help_and_version_take_little_time() -> None:
    """At most 150 ms of CPU; the best of three, because other programs share the caches."""
    for option in ("--help", "--version"):
        command = [sys.executable, "-m", "langchain_azure_phi3.cli", option]
        seconds = []
        for _ in range(3):
            before = os.times()
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
            after = os.times()
            user = after.children_user - before.children_user
            seconds.append(user + after.children_system - before.children_system)
        assert min(seconds) < 0.15


def test_completion_scripts_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """For the shells that shtab knows; bash accepts its script."""
    for shell in ("bash", "zsh", "tcsh"):
        assert 0 == main(["completion", shell])
        script = capsys.readouterr().out
        assert "doctor" in script
        if shell == "bash":
            subprocess.run(["bash", "-n"], input=script, text=True, check=True)  # noqa: S607


def test_bash_completes_options_types_and_files(tmp_path: Path) -> None:
    """With the script that `completion` prints, as a shell would load it."""
    (tmp_path / "person.json").touch()
    program = "import sys; from langchain_azure_phi3.cli import main; main(sys.argv[1:])"
    script = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, "completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for line, expected in (
        ("ask --base", "--base-model"),
        ("chat --allow", "--allow-insecure-http"),
        ("serve --cont", "--context"),
        ("serve --server-type foundr", "foundry"),
        ("ask --schema pers", "person.json"),
    ):
        words = f"langchain-azure-phi3 {line}".split()
        shell = f"""{script}
            COMP_WORDS=({" ".join(words)})
            COMP_CWORD={len(words) - 1}
            $(complete -p langchain-azure-phi3 | sed -E 's/.*-F ([^ ]+) .*/\\1/')
            printf '%s\\n' "${{COMPREPLY[@]}}\""""
        done = subprocess.run(  # noqa: S603
            ["bash", "-c", shell],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        assert expected in done.stdout.split(), done


def test_ask_reads_standard_input(endpoint: Emulator) -> None:
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


def test_errors_are_printed_on_one_line(
    endpoint: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, and an exit status of 1."""
    assert 1 == main(["ask", "How to make a lethal bomb?"])
    printed = capsys.readouterr().err
    assert 1 == printed.count("\n")
    assert printed.startswith("langchain-azure-phi3: ContentFilterError: ")

    assert 1 == main(["ask", "  "])
    assert "no question" in capsys.readouterr().err

    for name in ("AZURE_INFERENCE_ENDPOINT", "AZUREAI_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    assert 1 == main(["ask", "Hi"])
    assert "AZURE_INFERENCE_ENDPOINT" in capsys.readouterr().err


def test_a_closed_pipe_is_not_an_error(endpoint: Emulator) -> None:
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


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """For bug reports."""
    with pytest.raises(SystemExit) as exit_info:
        main(["--version"])

    assert 0 == exit_info.value.code
    assert re.fullmatch(r"langchain-azure-phi3 \d+\.\d+\.\d+.*\n", capsys.readouterr().out)


@pytest.fixture
def serving() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The `serve` command in a separate process, and its URL."""
    with Emulator() as probe:
        port = probe.endpoint.rsplit(":", 1)[1]
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


def test_serve_runs_until_interrupted(
    serving: tuple[str, subprocess.Popen[str]],
) -> None:
    """It prints two variables to export, answers, and exits without output on Ctrl-C."""
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
    assert re.fullmatch(r"GET /info - 200 - \d+ ms\n", errors)
    assert process.returncode in (0, 130)


def test_serve_prints_an_address_that_works() -> None:
    """Also where it listens on all addresses, which it says clearly."""
    command = [sys.executable, "-m", "langchain_azure_phi3.cli", "serve", "--port", "0"]
    process = subprocess.Popen(  # noqa: S603
        [*command, "--host", "0.0.0.0", "--key", "k1", "--quiet"],  # noqa: S104
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "500"},
    )
    assert process.stdout is not None
    printed = [process.stdout.readline() for _ in range(5)]
    endpoint = printed[1].strip().partition("=")[2]

    text = ChatAzurePhi3(endpoint=endpoint, credential="k1").invoke("Hi").text
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)

    assert endpoint.startswith("http://127.0.0.1:")
    assert printed[3].startswith("WARNING: 0.0.0.0 can be reached from other machines.")
    remote = endpoint.replace("127.0.0.1", socket.gethostname())
    assert printed[4].startswith(f"On other machines, use {remote} (")
    assert "allow_insecure_http=True" in printed[4]
    assert text
    assert "" == errors


@pytest.mark.skipif(sys.platform != "linux", reason="others have no address besides 127.0.0.1")
def test_emulators_listen_on_one_address() -> None:
    """On 127.0.0.1 only, from Python and with `serve`, which then prints no warning."""
    with Emulator() as phi:
        check_address(phi.endpoint)
    command = [sys.executable, "-m", "langchain_azure_phi3.cli", "serve", "--port", "0", "--quiet"]
    with subprocess.Popen(  # noqa: S603
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(3)]
        check_address(printed[1].strip().partition("=")[2])
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=10)
    assert ("", "") == (rest, errors)


def check_address(endpoint: str) -> None:
    """Check that a server can be reached at 127.0.0.1, and not at another address."""
    url = httpx.URL(endpoint)
    assert url.host == "127.0.0.1"
    socket.create_connection((url.host, url.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", url.port), timeout=5)


def test_serve_reports_deployment_and_context() -> None:
    """In its first line, in the variables to export, and in the list of models."""
    command = [sys.executable, "-m", "langchain_azure_phi3.cli", "serve", "--port", "0"]
    options = ["--deployment", "prod", "--context", "2048", "--server-type", "vllm", "--key", "k"]
    process = subprocess.Popen(  # noqa: S603
        [*command, *options, "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    printed = [process.stdout.readline().strip() for _ in range(4)]
    endpoint = printed[1].partition("=")[2]
    headers = {"authorization": "Bearer k"}
    listed = httpx.get(f"{endpoint}/models", headers=headers).json()["data"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)

    expected = "Emulating Phi-3-mini-4k-instruct as prod with a context of 2,048 tokens"
    assert printed[0].startswith(expected)
    assert "export AZURE_INFERENCE_MODEL=prod" == printed[3]
    assert [("prod", 2048)] == [(model["id"], model["max_model_len"]) for model in listed]


def test_serve_refuses_invalid_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown model, and faults that do not exist or exceed all requests."""
    cases = (
        ("--model", "gpt-4", "Phi-3-mini-4k-instruct"),
        ("--faults", "lies=0.1", "'lies' is unknown. Use one of"),
        ("--faults", "429=0.7,503=0.7", "0.3"),
    )
    for option, value, message in cases:
        assert 1 == main(["serve", option, value])
        assert message in capsys.readouterr().err

    for option, value, message in (
        ("--faults", "429", "invalid faults '429'; expected a list like 429=0.05"),
        ("--port", "99999", "'99999' is not a number from 0 to 65535"),
        ("--port", "http", "'http' is not a number from 0 to 65535"),
        ("--server-type", "lmdeploy", "invalid choice: 'lmdeploy' (choose from"),
    ):
        with pytest.raises(SystemExit) as exit_info:
            main(["serve", option, value])
        assert 2 == exit_info.value.code
        assert message in capsys.readouterr().err


def test_serve_reports_a_used_port(endpoint: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """Before it announces a URL."""
    port = endpoint.endpoint.rsplit(":", 1)[1]

    assert 1 == main(["serve", "--port", port])
    printed = capsys.readouterr()
    assert f"Cannot listen on 127.0.0.1, port {port}" in printed.err
    assert "" == printed.out


def test_serve_names_the_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chat model is installed without a server."""
    monkeypatch.delitem(sys.modules, "langchain_azure_phi3.emulator.serving", raising=False)
    monkeypatch.delattr("langchain_azure_phi3.emulator.serving", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert 1 == main(["serve", "--port", "0"])
    assert 'pip install "langchain-azure-phi3[emulator]"' in capsys.readouterr().err


def test_serve_help_lists_all_server_types(capsys: pytest.CaptureFixture[str]) -> None:
    """The list is a copy, so that the other commands start without the emulator."""
    with pytest.raises(SystemExit):
        main(["serve", "--help"])

    help_text = " ".join(capsys.readouterr().out.split()).replace("- ", "-")
    types = help_text.partition("Server types: ")[2]
    assert [*SERVER_TYPES] == types.rstrip(".").split(", ")


def test_serve_announces_a_free_port() -> None:
    """As a URL that accepts requests, for IPv4 and IPv6."""
    announced = []

    def interrupt(endpoint: str) -> None:
        announced.append(endpoint)
        os.kill(os.getpid(), signal.SIGINT)

    for host in ("127.0.0.1", "::1"):
        Emulator(server_type="foundry").serve_forever(host, 0, listening=interrupt)
        url_host = re.escape(f"[{host}]" if ":" in host else host)
        assert re.fullmatch(rf"http://{url_host}:[1-9]\d+/models", announced[-1])


def test_models_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One model per line of at most 100 columns, and the meaning of the headings."""
    monkeypatch.delenv("COLUMNS", raising=False)
    status = main(["models"])

    table, legend = capsys.readouterr().out.split("\n\n")
    lines = table.splitlines()
    assert (0, len(list_models()) + 1) == (status, len(lines))
    assert max(map(len, lines + legend.splitlines())) <= 100
    assert "MODEL CONTEXT OUTPUT MEDIA IMAGES SYSTEM REASONS RETIRED" == (
        " ".join(lines[0].split())
    )
    found = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert "131,072 4,096 image 1 verbatim - 2025-08-30" == found["Phi-3-vision-128k-instruct"]
    assert (
        "131,072 4,096 image, audio any supported - 2027-01-17?"
        == (found["Phi-4-multimodal-instruct"])
    )
    assert "32,768 - - - dropped yes -" == found["Phi-4-reasoning-plus"]


def test_models_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns that do not fit are left out, the least important first, and named."""
    for columns, omitted in (
        (40, "IMAGES, SYSTEM, REASONS, RETIRED, MEDIA, OUTPUT: "),
        (80, "IMAGES, SYSTEM: "),
        (90, "IMAGES, SYSTEM: "),
        (120, ""),
    ):
        monkeypatch.setenv("COLUMNS", str(columns))
        main(["models"])
        printed = capsys.readouterr().out
        assert max(map(len, printed.splitlines())) <= columns
        assert ("wider terminal" in " ".join(printed.split())) == (omitted != "")
        assert omitted in " ".join(printed.split())


def test_models_prints_all_properties_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With the source of each entry, for programs."""
    assert 0 == main(["models", "--json"])

    rows = json.loads(capsys.readouterr().out)
    assert [row.name for row in list_models()] == [row["name"] for row in rows]
    assert all(row["source"] for row in rows)
    assert rows[0].keys() == {field.name for field in fields(PhiModel)}


def test_missing_azure_identity_is_named(
    endpoint: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "azure.identity", None)

    assert 1 == main(["ask", "--entra", "Hi"])

    assert "langchain-azure-phi3[entra]" in capsys.readouterr().err
    assert [] == endpoint.requests
