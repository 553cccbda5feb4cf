"""Measurements that need a new process: import, construction, memory."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from statistics import median

from tests.benchmarks.contenders import CORE, HTTPX, OURS, PEERS

_FACTORY = """
from tests.benchmarks.contenders import chat_model
create = lambda: chat_model({name!r}, "http://127.0.0.1:1/complete")
"""

_IMPORT = """
import time
start = time.process_time()
{imported}
print(time.process_time() - start)
"""

_CONSTRUCTION = (
    _FACTORY
    + """
import time
create()
start = time.process_time()
for _ in range(300):
    create()
print((time.process_time() - start) / 300)
"""
)

_MEMORY = """
import resource, sys
from tests.benchmarks.contenders import {names}
{body}
with open("/proc/self/statm") as statm:
    print(int(statm.read().split()[1]) * resource.getpagesize())
"""

PACKAGE = "import langchain_azure_phi3"
# A package that imports its class lazily is measured with the class as well.
IMPORTS = {
    CORE: "import langchain_core.language_models.chat_models",
    PACKAGE: PACKAGE,
    OURS: "from langchain_azure_phi3 import ChatAzurePhi3",
    "langchain-openai": "from langchain_openai import ChatOpenAI",
    "langchain-mistralai": "from langchain_mistralai import ChatMistralAI",
    "langchain-azure-ai": "from langchain_azure_ai.chat_models import AzureAIChatCompletionsModel",
}


def imports(rounds: int, names: Iterable[str] = IMPORTS) -> dict[str, float]:
    """Return the CPU seconds to import each package, with its files in the system's cache."""
    scripts = {name: _IMPORT.format(imported=IMPORTS[name]) for name in names}
    return _medians(scripts, rounds)


def constructions(rounds: int, names: Iterable[str] = (CORE, OURS, *PEERS)) -> dict[str, float]:
    """Return the CPU seconds to create one more model."""
    return _medians({name: _CONSTRUCTION.format(name=name) for name in names}, rounds)


def memory(url: str, rounds: int) -> dict[str, float]:
    """Return the resident bytes after one call; the lower bound has core and httpx loaded."""
    base = f'"{url}/complete"'
    scripts = {
        f"{CORE} and {HTTPX}": _MEMORY.format(
            names="FromMemory, bare_httpx",
            body=f"FromMemory().invoke('Hi'); bare_httpx({base}).invoke()",
        ),
        **{
            name: _MEMORY.format(
                names="chat_model", body=f"chat_model({name!r}, {base}).invoke('Hi')"
            )
            for name in (OURS, *PEERS)
        },
    }
    return _medians(scripts, rounds)


def _medians(scripts: Mapping[str, str], rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in scripts}
    for number in range(rounds + 1):
        for name, script in scripts.items():
            figure = _run(script)
            if number > 0:  # the first round fills the system's cache
                found[name].append(figure)
    return {name: median(figures) for name, figures in found.items()}


def _run(script: str) -> float:
    done = subprocess.run(  # noqa: S603 -- our own script, our own interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.strip().splitlines()[-1]))
