"""What type checkers see of the package in a user's program."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

USER_CODE = Path(__file__).parent / "user_code"
PROGRAM, MISTAKES = USER_CODE / "program.py", USER_CODE / "mistakes.py"


def mypy(path: Path) -> set[int]:
    """The lines with errors."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=/dev/null"]
    done = subprocess.run(  # noqa: S603
        [*command, path.name], cwd=path.parent, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    return {int(found[1]) for line in lines if (found := re.search(r":(\d+): error:", line))}


def pyright(path: Path, tmp_path: Path) -> set[int]:
    """The lines with errors; basedpyright is pyright as a Python package."""
    config = {"typeCheckingMode": "standard", "include": [str(path)], "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(  # noqa: S603
        [*command, "--project", str(tmp_path)], capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    found = report["generalDiagnostics"]
    return {item["range"]["start"]["line"] + 1 for item in found if item["severity"] == "error"}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_understand_user_code(checker: str, tmp_path: Path) -> None:
    """They accept a program with exact types, and find each mistake in another one."""
    lines = enumerate(MISTAKES.read_text(encoding="utf-8").splitlines(), start=1)
    expected = {number for number, line in lines if line.endswith("# mistake")}

    right, wrong = (
        mypy(path) if checker == "mypy" else pyright(path, tmp_path) for path in (PROGRAM, MISTAKES)
    )

    assert (set(), expected) == (right, wrong)
