"""Third-party servers, started and stopped on this machine."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.third_party.llama_server import LlamaServer, running_llama_server

_SECONDS_TO_START = 120.0


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    """llama.cpp's server with a base model of 270 million parameters."""
    with running_llama_server(tmp_path_factory.mktemp("llama") / "log") as server:
        yield server


class CountingClients:
    """HTTP clients for a chat model that count the chat completions that it requests.

    Attributes:
        requests: How many there were.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._sync = httpx.Client(event_hooks={"request": [self._count]}, timeout=300)
        self._async = httpx.AsyncClient(event_hooks={"request": [self._count_async]}, timeout=300)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the chat model."""
        return {"http_client": self._sync, "http_async_client": self._async}

    @contextmanager
    def expecting(self, requests: int, *about: object) -> Iterator[None]:
        """Fail unless this many requests are sent."""
        before = self.requests
        yield
        assert self.requests - before == requests, about

    def _count(self, request: httpx.Request) -> None:
        self.requests += request.url.path.endswith("/chat/completions")

    async def _count_async(self, request: httpx.Request) -> None:
        self._count(request)

    async def aclose(self) -> None:
        """Close the connections."""
        self._sync.close()
        await self._async.aclose()


@pytest.fixture
async def clients() -> AsyncIterator[CountingClients]:
    """HTTP clients that count requests."""
    counting = CountingClients()
    yield counting
    await counting.aclose()


def free_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


@contextmanager
def running(command: Sequence[str], ready: str, log: Path) -> Iterator[None]:
    """Run a server, and yield when the URL `ready` answers."""
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 -- our own command
            command, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            _wait(process, ready, log)
            yield
        finally:
            process.terminate()
            process.wait(20)


def _wait(process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        try:
            if not httpx.get(ready, timeout=2).is_server_error:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{ready} did not answer:\n{log.read_text()[-3000:]}")


def environment_command(name: str) -> str:
    """Return the path of a command in the environment that runs the tests."""
    return str(Path(sys.executable).parent / name)
