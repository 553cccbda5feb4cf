"""`langchain-azure-phi3 chat`, in a terminal where that matters."""

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from PIL import Image

from langchain_azure_phi3.cli import main
from langchain_azure_phi3.emulator import Emulator

COMMAND = [sys.executable, "-m", "langchain_azure_phi3.cli", "chat"]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator of a vision model with a slow stream, named in the environment."""
    with Emulator("Phi-3-vision-128k-instruct", chunk_delay=0.02) as phi:
        monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
        monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
        yield phi


def chat(monkeypatch: pytest.MonkeyPatch, *lines: str, options: tuple[str, ...] = ()) -> int:
    """A conversation of these lines, through a pipe."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return main(["chat", *options])


def test_failed_message_leaves_no_trace(
    endpoint: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error is printed, and the next message goes without the failed one."""
    endpoint.fail(status=400)

    assert 0 == chat(monkeypatch, "First", "Second")

    assert ["Second"] == [message["content"] for message in endpoint.requests[-1].json["messages"]]
    assert "BadRequestError" in capsys.readouterr().err


def test_unknown_command_is_reported(
    endpoint: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not sent as a message."""
    chat(monkeypatch, "/rewind", "/image nothing.png")

    printed = capsys.readouterr()
    assert "no command /rewind" in printed.err
    assert "nothing.png" in printed.out
    assert [] == endpoint.requests


def test_history_is_sent(
    endpoint: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until it is reset; the system message stays."""
    endpoint.script("Paris.", "Two million.", "Rome.")

    chat(
        monkeypatch, "Capital?", "How many live there?", "/reset", "And Italy's?", "/usage",
        options=("--system", "Be brief."),
    )  # fmt: skip

    _, second, third = (request.json["messages"] for request in endpoint.requests)
    assert ["system", "user", "assistant", "user"] == [message["role"] for message in second]
    assert "Paris." == second[2]["content"]
    assert ["Be brief.", "And Italy's?"] == [message["content"] for message in third]
    printed = capsys.readouterr().out
    assert "Paris.\nTwo million.\n" in printed
    assert "tokens\n" in printed


def test_system_message_changes(endpoint: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the messages that follow; without a text it is removed."""
    chat(monkeypatch, "/system Be brief.", "Hi", "/system", "Hi")

    first, second = (request.json["messages"] for request in endpoint.requests)
    assert "Be brief." == first[0]["content"]
    assert "system" not in {message["role"] for message in second}


def test_image_goes_with_the_next_message(
    endpoint: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And remains in the history."""
    path = tmp_path / "red.png"
    Image.new("RGB", (8, 8), "red").save(path)

    chat(monkeypatch, f"/image {path}", "What is this?", "Sure?")

    first, second = (request.json["messages"] for request in endpoint.requests)
    assert ["text", "image_url"] == [part["type"] for part in first[0]["content"]]
    assert "Sure?" == second[-1]["content"]
    assert "image_url" in json.dumps(second[0])


def test_refused_image_can_be_removed(
    endpoint: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """It stays with the next message, in case the failure is temporary."""
    path = tmp_path / "red.png"
    Image.new("RGB", (8, 8), "red").save(path)

    chat(
        monkeypatch, f"/image {path}", "What is this?", "And now?", "/image", "Hello",
        options=("--model", "Phi-3-mini-4k-instruct"),
    )  # fmt: skip

    printed = capsys.readouterr()
    assert 2 == printed.err.count("InvalidInputError: Phi-3-mini-4k-instruct does not accept image")
    assert 2 == printed.err.count("/image removes the images")
    assert "The next message has no image." in printed.out
    assert ["Hello"] == [message["content"] for message in endpoint.requests[-1].json["messages"]]


def test_missing_image_file_is_reported_first(
    endpoint: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first message is typed."""
    assert 1 == chat(monkeypatch, "Hi", options=("--image", "nothing.png"))
    assert "'nothing.png' cannot be read: No such file" in capsys.readouterr().err
    assert [] == endpoint.requests


@pytest.mark.skipif(sys.platform == "win32", reason="pexpect.spawn needs a Unix terminal")
def test_ctrl_c_stops_the_answer(endpoint: Emulator) -> None:
    """Not the chat; what has arrived stays in the conversation. Ctrl-D leaves."""
    endpoint.script("one two three four five six seven eight nine ten " * 20, "The end.")
    terminal = pexpect.spawn(COMMAND[0], COMMAND[1:], encoding="utf-8", timeout=30, env=os.environ)
    try:
        terminal.expect("> ")
        terminal.sendintr()
        terminal.expect("/exit to exit")
        terminal.expect("> ")
        terminal.sendline("Count")
        terminal.expect("three")
        terminal.sendintr()
        terminal.expect(r"\[stopped\]")
        terminal.expect("> ")
        terminal.sendline("Go on")
        terminal.expect("The end.")
        terminal.expect("> ")
        terminal.sendeof()
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)

    assert 0 == terminal.exitstatus
    question, partial, following = endpoint.requests[-1].json["messages"]
    assert ("Count", "Go on") == (question["content"], following["content"])
    assert partial["content"].startswith("one two three")
    assert len(partial["content"]) < 900


@pytest.mark.skipif(sys.platform == "win32", reason="pexpect.spawn needs a Unix terminal")
def test_ask_says_how_to_end_the_question(endpoint: Emulator) -> None:
    """Where it is typed in a terminal."""
    ask = [*COMMAND[1:-1], "ask"]
    terminal = pexpect.spawn(COMMAND[0], ask, encoding="utf-8", timeout=30, env=os.environ)
    try:
        terminal.expect("Type a question, then press Ctrl-D")
        terminal.sendline("What is new?")
        terminal.sendeof()
        terminal.expect("You said: What is new")
        terminal.expect(pexpect.EOF)
    finally:
        terminal.close(force=True)

    assert 0 == terminal.exitstatus
