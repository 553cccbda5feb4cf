"""What can only be seen in a fresh process: import, construction, memory, connections."""

import json
import subprocess
import sys
from collections.abc import Mapping
from statistics import median

from tests.benchmarks.contenders import CORE, HTTPX, OURS, PEERS

_MADE = """
from tests.benchmarks.contenders import chat_model
make = lambda: chat_model({name!r}, "http://127.0.0.1:1/whole")
"""

_IMPORT = """
import time
began = time.process_time()
{imported}
print(time.process_time() - began)
"""

_CONSTRUCTION = (
    _MADE
    + """
import time
make()
began = time.process_time()
for _ in range(300):
    make()
print((time.process_time() - began) / 300)
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
# Packages that load a class when it is first asked for are measured with the class as well.
IMPORTS = {
    CORE: "import langchain_core.language_models.chat_models",
    PACKAGE: PACKAGE,
    OURS: "from langchain_azure_phi3 import ChatAzurePhi3",
    "langchain-openai": "from langchain_openai import ChatOpenAI",
    "langchain-mistralai": "from langchain_mistralai import ChatMistralAI",
    "langchain-azure-ai": "from langchain_azure_ai.chat_models import AzureAIChatCompletionsModel",
}


def imports(rounds: int) -> dict[str, float]:
    """The processor's seconds to import each package, the files being in the system's cache."""
    scripts = {name: _IMPORT.format(imported=what) for name, what in IMPORTS.items()}
    return _medians(scripts, rounds)


def constructions(rounds: int) -> dict[str, float]:
    """The processor's seconds to make one more model."""
    return _medians(
        {name: _CONSTRUCTION.format(name=name) for name in (CORE, OURS, *PEERS)}, rounds
    )


def memory(url: str, rounds: int) -> dict[str, float]:
    """Resident bytes after a first call; the floor has both core and httpx in one process."""
    ask = f'"{url}/whole"'
    scripts = {
        f"{CORE} and {HTTPX}": _MEMORY.format(
            names="FromMemory, bare_httpx",
            body=f"FromMemory().invoke('Hi'); bare_httpx({ask}).invoke()",
        ),
        **{
            name: _MEMORY.format(
                names="chat_model", body=f"chat_model({name!r}, {ask}).invoke('Hi')"
            )
            for name in (OURS, *PEERS)
        },
    }
    return _medians(scripts, rounds)


def _medians(scripts: Mapping[str, str], rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in scripts}
    for number in range(rounds + 1):
        for name, script in scripts.items():
            figure = _printed(script)
            if number > 0:  # the first one fills the system's cache
                found[name].append(figure)
    return {name: median(figures) for name, figures in found.items()}


def _printed(script: str) -> float:
    done = subprocess.run(  # noqa: S603 -- our own script, our own interpreter
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return float(json.loads(done.stdout.strip().splitlines()[-1]))
