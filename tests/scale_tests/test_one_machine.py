"""Tables of 2,000 rows on one machine, killed midway, with a tenth of the requests failing."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from langchain_azure_phi3.emulator import Emulator
from tests.scale_tests.conftest import Start, StartEmulator, kill, wait, write_prompts

ROWS, ROWS_PER_BATCH = 2000, 256


def kill_midway_and_continue(
    phi: Emulator, run: "Callable[[], subprocess.Popen[str]]", checkpoint: Path
) -> None:
    """SIGKILL after three batches, and run it again to the end."""
    process = run()
    deadline = time.monotonic() + 120
    while len(list(checkpoint.glob("*.parquet"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    kill(process)
    finished = ROWS_PER_BATCH * len(list(checkpoint.glob("*.parquet")))
    assert finished < ROWS
    phi.requests.clear()

    wait(run())

    sent = Counter(request.json["messages"][-1]["content"] for request in phi.requests)
    assert len(sent) == ROWS - finished  # at most one batch was called again


def check(path: Path) -> None:
    """Each row is there exactly once, in its place and with its own answer."""
    table = pq.read_table(path)
    assert table["id"].to_pylist() == [f"row-{n}" for n in range(ROWS)]
    assert table["error_type"].null_count == ROWS
    assert table["answer"].to_pylist() == [f"You wrote: Question {n}" for n in range(ROWS)]


@pytest.mark.long
def test_killed_invoke_table_continues(
    emulator: StartEmulator, start: Start, tmp_path: Path
) -> None:
    """No row is lost and none is there twice."""
    phi = emulator(faults={"500": 0.05, "cut": 0.05}, seed=7)
    write_prompts(tmp_path / "in", ROWS)

    kill_midway_and_continue(
        phi,
        lambda: start("table_job", phi.endpoint, phi.key, tmp_path),
        tmp_path / "checkpoint",
    )

    check(tmp_path / "out.parquet")


@pytest.mark.long
def test_killed_command_continues(emulator: StartEmulator, start: Start, tmp_path: Path) -> None:
    """The same for the command line."""
    phi = emulator(faults={"500": 0.05, "cut": 0.05}, seed=9)
    write_prompts(tmp_path / "in", ROWS, files=1)
    target = tmp_path / "out.parquet"
    command = [sys.executable, "-m", "langchain_azure_phi3.cli", "batch"]
    arguments = [str(tmp_path / "in" / "0.parquet"), str(target), "--id", "id"]
    options = ["--endpoint", phi.endpoint, "--row-retries", "5"]

    kill_midway_and_continue(
        phi,
        lambda: start([*command, *arguments, *options], AZURE_INFERENCE_CREDENTIAL=phi.key),
        tmp_path / "out.parquet.checkpoint",
    )

    check(target)
