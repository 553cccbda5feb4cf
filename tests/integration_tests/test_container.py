"""The emulator's container file."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_azure_phi3.cli import main

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "Containerfile"
TEXT = CONTAINERFILE.read_text(encoding="utf-8")


def test_container_file_passes_the_linter() -> None:
    """Without any remark of hadolint."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(  # noqa: S603
        [hadolint, CONTAINERFILE], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_copied_files_exist_and_are_not_ignored() -> None:
    """Everything that the build needs, and nothing else."""
    sources = re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE)
    copied = {name for line in sources for name in line.split()}
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    assert all((ROOT / name).exists() for name in copied)
    assert lines[0] == "*"
    assert copied == {line[1:] for line in lines if line.startswith("!")}


def test_container_serves_all_addresses_without_root(capsys: pytest.CaptureFixture[str]) -> None:
    """With options of the command that exist."""
    (entry_point,) = re.findall(r"^ENTRYPOINT (.*)$", TEXT, re.MULTILINE)
    _, *arguments = json.loads(entry_point)
    (user,) = re.findall(r"^USER (\d+):\d+$", TEXT, re.MULTILINE)

    assert arguments[:3] == ["serve", "--host", "0.0.0.0"]  # noqa: S104
    assert int(user) > 0
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--key", "secret", "--help"])
    assert stopped.value.code == 0
    assert "--quiet" in capsys.readouterr().out
