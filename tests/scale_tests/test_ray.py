"""Tables on a real local Ray with two logical CPUs."""

import time
from collections import Counter
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3.batch import invoke_dataset
from tests.scale_tests.conftest import Redis, Start, StartEmulator, kill, wait, write_prompts


def check(folder: Path, rows: int) -> None:
    """Each row was written exactly once, with its own answer."""
    table = ds.dataset(folder / "out").to_table()
    assert sorted(table["id"].to_pylist()) == sorted(f"row-{n}" for n in range(rows))
    assert table["error_type"].null_count == rows
    for prompt, answer in zip(
        table["prompt"].to_pylist(), table["answer"].to_pylist(), strict=True
    ):
        assert answer == f"You wrote: {prompt}"


def test_job_shares_a_quota(
    emulator: StartEmulator, start: Start, redis: Redis, tmp_path: Path
) -> None:
    """Two workers with a limiter in Redis: each request counts there, and tokens do as well.

    Not the tokens of each: what earlier requests reserved and did not use pays for some.
    """
    phi = emulator()
    write_prompts(tmp_path / "in", 300)

    wait(start("ray_job", phi.endpoint, phi.key, tmp_path, 2, redis.uri))

    check(tmp_path, 300)
    assert len(phi.requests) == 300
    assert redis.increments > len(phi.requests)


@pytest.mark.long
def test_killed_job_continues(emulator: StartEmulator, start: Start, tmp_path: Path) -> None:
    """After SIGKILL midway, with a tenth of the requests failing: each row exactly once."""
    phi = emulator(faults={"500": 0.05, "cut": 0.05}, seed=3)
    write_prompts(tmp_path / "in", 2000)
    job = ("ray_job", phi.endpoint, phi.key, tmp_path, 2, "")
    process = start(*job)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "out").glob("*.parquet"))) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    kill(process)
    written = ds.dataset(tmp_path / "out").count_rows()
    assert 0 < written < 2000

    wait(start(*job))

    check(tmp_path, 2000)
    sent = Counter(request.json["messages"][-1]["content"] for request in phi.requests)
    # Each worker may have lost its block, and what Ray had not written yet.
    assert sum(sent.values()) < 2 * 2000
    phi.requests.clear()
    wait(start(*job))  # nothing is left
    assert phi.requests == []


def test_checkpoint_needs_an_id() -> None:
    """Ray finds the rows that are done by it."""
    import ray.data

    model = ChatAzurePhi3(endpoint="http://127.0.0.1:9/v1", credential="")
    with pytest.raises(InvalidInputError, match="needs id_column="):
        invoke_dataset(model, ray.data.range(1), checkpoint="/nowhere")
