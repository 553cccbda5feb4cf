"""The command `batch`, in a separate process where it is interrupted."""

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from langchain_azure_phi3.cli import main
from langchain_azure_phi3.emulator import Emulator, Prompt


def echo(prompt: Prompt) -> str:
    """Answer with the question."""
    return f"You wrote: {prompt.last_user_text}"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator that answers with the question, named in the environment."""
    with Emulator(responder=echo) as phi:
        monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
        monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
        yield phi


def read_rows(path: Path) -> list[dict[str, object]]:
    """The rows of a file in any format."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            return list(csv.DictReader(file))
        return [json.loads(line) for line in file]


def write_prompts(path: Path, count: int) -> None:
    """A file of different prompts; the ids begin with zeros."""
    rows = [{"id": f"{n:05}", "prompt": f"Question {n}, 'é'"} for n in range(count)]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=100)
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["id", "prompt"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_each_format_is_read_and_written(
    endpoint: Emulator, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """All rows in their order, whatever the target's format is."""
    source = tmp_path / f"in{suffix}"
    write_prompts(source, 300)
    for n, other in enumerate([".parquet", ".csv", ".jsonl"]):
        target = tmp_path / f"out{n}{other}"

        assert main(["batch", str(source), str(target), "--id", "id"]) == 0

        rows = read_rows(target)
        assert [row["id"] for row in rows] == [f"{n:05}" for n in range(300)]
        assert [row["answer"] for row in rows] == [
            f"You wrote: Question {n}, 'é'" for n in range(300)
        ]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "300/300" in printed.err
    assert "300 rows: 300 answered." in printed.err
    assert not list(tmp_path.glob(".*"))


def test_json_lines_may_hold_messages(endpoint: Emulator, tmp_path: Path) -> None:
    """Rows need not have the same fields, nor the same types."""
    lines = [
        {"prompt": "Hi", "note": 1},
        {"prompt": [{"role": "user", "content": "Ho"}], "note": 2.5, "tags": ["a"]},
        {"prompt": "Hu", "tags": None, "extra": {"deep": [1]}},
    ]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", encoding="utf-8")

    assert main(["batch", str(source), str(target), "--no-progress"]) == 0

    rows = read_rows(target)
    assert [row["answer"] for row in rows] == [f"You wrote: {text}" for text in ("Hi", "Ho", "Hu")]
    assert [row["note"] for row in rows] == [1, 2.5, None]


def test_schema_file_makes_objects(tmp_path: Path, endpoint: Emulator) -> None:
    """One JSON object for each row."""
    (tmp_path / "in.csv").write_text('prompt\n"a\nb"\n')
    schema = {"title": "Label", "type": "object", "properties": {"label": {"type": "string"}}}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    endpoint.script('The label is {"label": "x"}.')
    arguments = ["batch", str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), "--no-progress"]

    assert main([*arguments, "--schema", str(tmp_path / "schema.json")]) == 0

    assert [row["answer"] for row in read_rows(tmp_path / "out.csv")] == ['{"label":"x"}']


def test_rows_left_over_are_repeated_by_the_same_command(
    endpoint: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status says that there are some."""
    write_prompts(tmp_path / "in.csv", 5)
    arguments = ["batch", str(tmp_path / "in.csv"), str(tmp_path / "out.csv")]
    arguments += ["--no-progress", "--row-retries", "0", "--concurrency", "1"]
    endpoint.fail(status=500, times=6)  # two rows, three attempts each

    assert main(arguments) == 1
    assert "2 rows failed with a temporary error. Run the same command" in capsys.readouterr().err
    endpoint.requests.clear()

    assert main(arguments) == 0
    assert len(endpoint.requests) == 2
    assert main(arguments) == 0
    assert len(endpoint.requests) == 2


def test_wrong_usage_is_explained(
    endpoint: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, before anything is sent."""
    write_prompts(tmp_path / "in.csv", 1)
    (tmp_path / "bad.jsonl").write_text("[1]\n")
    (tmp_path / "bad.parquet").write_text("no")
    good = str(tmp_path / "in.csv")
    for source, target, options, message in [
        (str(tmp_path / "none.csv"), "out.csv", [], "none.csv: No such file or directory."),
        (good, "out.xlsx", [], "format of .*out.xlsx is unknown. Use a name that ends in .parquet"),
        (
            good,
            "out.csv",
            ["--prompt-column", "text"],
            "no column 'text'. Its columns are: id, pro",
        ),
        (good, "out.csv", ["--id", "key"], "no column 'key'"),
        (good, "out.csv", ["--rpm", "0"], "requests_per_minute must be at least 1"),
        (good, "out.csv", ["--schema", good], "is not a JSON schema"),
        (str(tmp_path / "bad.jsonl"), "out.csv", [], "a line is not a JSON object"),
        (str(tmp_path / "bad.parquet"), "out.csv", [], "bad.parquet cannot be read"),
    ]:
        assert main(["batch", source, str(tmp_path / target), *options]) == 1
        assert re.search(message, capsys.readouterr().err), message
    assert endpoint.requests == []


def start(endpoint: Emulator, *arguments: str) -> "subprocess.Popen[str]":
    """The command in a process of its own."""
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "langchain_azure_phi3.cli", "batch", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )


def wait_for_parts(folder: Path, count: int) -> None:
    """Wait until a checkpoint has so many files."""
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.parquet"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_interrupted_command_continues(endpoint: Emulator, tmp_path: Path) -> None:
    """After Ctrl-C and after SIGKILL: no row is lost, none duplicated, one batch asked again."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    folder = Path(f"{target}.checkpoint")
    write_prompts(source, 1500)
    arguments = (str(source), str(target), "--id", "id")

    with start(endpoint, *arguments) as process:
        wait_for_parts(folder, 1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 130
        assert f"Run the same command again to continue from {folder}." in errors
        assert "Traceback" not in errors
    with start(endpoint, *arguments) as process:
        wait_for_parts(folder, 3)
        process.kill()
        process.communicate(timeout=30)
    assert not target.exists()
    with start(endpoint, *arguments) as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "1,500 rows: 1,500 answered." in errors

    rows = read_rows(target)
    assert [row["id"] for row in rows] == [f"{n:05}" for n in range(1500)]
    assert all(row["answer"] == f"You wrote: {row['prompt']}" for row in rows)
    sent = Counter(request.json["messages"][-1]["content"] for request in endpoint.requests)
    assert max(sent.values()) <= 3
    assert sum(sent.values()) <= 1500 + 2 * 256


def test_full_disk_loses_nothing(endpoint: Emulator, tmp_path: Path) -> None:
    """The target does not fit, but the checkpoint does: the same command writes it later."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_prompts(source, 1000)
    command = [sys.executable, "-m", "langchain_azure_phi3.cli", "batch", str(source), str(target)]

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = subprocess.run(  # noqa: S603
        command, preexec_fn=limit_files, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"{target}: cannot be written: File too large." in done.stderr
    assert f"All results are saved in {target}.checkpoint" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl.checkpoint"]
    endpoint.requests.clear()

    assert main(["batch", str(source), str(target)]) == 0
    assert len(read_rows(target)) == 1000
    assert endpoint.requests == []


PEAK_MEMORY = """
import resource, sys
from langchain_azure_phi3.cli import main
status = main(sys.argv[1:])
print(status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_file(endpoint: Emulator, tmp_path: Path) -> None:
    """Five times as many rows, 130 MB more: the command holds a few batches at a time."""
    peaks = []
    for batches in (4, 20):
        source, target = tmp_path / f"in{batches}.jsonl", tmp_path / f"out{batches}.parquet"
        line = json.dumps({"prompt": "Hi", "note": "word " * 6_000})
        with source.open("w") as file:  # in one piece, it would count: a child inherits the peak
            file.writelines(f"{line}\n" for _ in range(batches * 256))
        arguments = ["batch", str(source), str(target), "--no-progress", "--temperature", "0"]
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", PEAK_MEMORY, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        status, peak = map(int, done.stdout.split())
        assert status == 0
        peaks.append(peak)

    assert len(endpoint.requests) == 24
    assert peaks[1] - peaks[0] < 40


def test_quota_limits_the_command(endpoint: Emulator, tmp_path: Path) -> None:
    """Requests leave evenly."""
    write_prompts(tmp_path / "in.csv", 30)
    started = time.monotonic()

    main(["batch", str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), "--rpm", "620"])

    assert time.monotonic() - started > 0.9  # ten each second, and two seconds are open
