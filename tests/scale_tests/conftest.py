"""A Redis server, tables in files, and the jobs that the tests start in processes of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from langchain_azure_phi3.emulator import Emulator, Generation, Prompt

ROOT = Path(__file__).parents[2]
ANSWER_TOKENS = 20
_SCRIPTS = ("eval", "evalsha")  # how `limits` counts


def pytest_configure(config: pytest.Config) -> None:
    """Name the tests that `make scale_tests SHORT=1` leaves out."""
    config.addinivalue_line("markers", "long: takes minutes, or asserts how much was done in time")


def answer(prompt: Prompt) -> Generation:
    """Answer with the question, in as many tokens as the tests allow."""
    return Generation(f"You wrote: {prompt.last_user_text}", tokens=ANSWER_TOKENS)


StartEmulator = Callable[..., Emulator]


@pytest.fixture
def emulator() -> Iterator[StartEmulator]:
    """Starts emulators that answer with the question."""
    started: list[Emulator] = []

    def start(**options: Any) -> Emulator:
        started.append(Emulator(responder=answer, **options).start())
        return started[-1]

    yield start
    for phi in started:
        phi.stop()


class Redis:
    """A Redis server on a port of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        self.uri = f"redis://127.0.0.1:{self._port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        options = ["--port", str(self._port), "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen(
            ["redis-server", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError("redis-server does not accept connections.")

    @property
    def increments(self) -> int:
        """How often something was counted in it."""
        with redis.Redis.from_url(self.uri) as client:
            commands = client.info("commandstats")
        return sum(commands.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in _SCRIPTS)

    def stop(self) -> None:
        """Stop it at once, without saving anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(name="redis")
def _redis(tmp_path: Path) -> Iterator[Redis]:
    """A running Redis server."""
    server = Redis(tmp_path)
    server.start()
    yield server
    server.stop()


def write_prompts(folder: Path, rows: int, files: int = 4) -> None:
    """Parquet files of different prompts, with an id for each row."""
    folder.mkdir()
    ids = [f"row-{n}" for n in range(rows)]
    table = pa.table({"id": ids, "prompt": [f"Question {n}" for n in range(rows)]})
    size = -(-rows // files)
    for n in range(files):
        pq.write_table(table.slice(n * size, size), folder / f"{n}.parquet")


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a module of these tests, or a command, in a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(module: str | list[str], *arguments: object, **env: str) -> "subprocess.Popen[str]":
        if isinstance(module, str):
            module = [sys.executable, "-m", f"tests.scale_tests.{module}"]
        process = subprocess.Popen(
            [*module, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        kill(process)


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a process and those that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait(process: "subprocess.Popen[str]", seconds: float = 300) -> str:
    """The output of a process that succeeds."""
    out, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors[-5000:]
    return out
