"""The Python examples of the documentation: run them, and compare or rewrite their output.

Each page runs in an environment that has exactly what the `pip install` lines above its first
example install. The text block below an example shows what it prints; `make examples` rewrites
these blocks, and wraps long lines.
"""

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from langchain_azure_phi3.emulator import Emulator
from tests.environments import make_environment, python_command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DOCSTRINGS = sorted((ROOT / "langchain_azure_phi3").rglob("*.py"))

# A Python block, and the text block below it, if there is one.
_EXAMPLE = re.compile(
    r"^( *)```python\n(?P<code>.*?)^\1```\n(?P<below>\n```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
_HEADING = re.compile(r"^(?:#+|class) (.*)$", re.MULTILINE)
_INSTALL = re.compile(r"pip install ([^`#\n]*)")
# Readers write their own names there.
_PLACEHOLDER = re.compile(r"<([a-z][a-z :]*)>")
# What differs from run to run.
_VARIABLE = re.compile(r"(?<=127\.0\.0\.1:)\d+|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_RUNNER = Path(__file__).with_name("example_runner.py")


@dataclass(frozen=True)
class Example:
    """A Python block: its heading, its code, and the output that the page shows, if any."""

    heading: str
    code: str
    output: str | None


def read_examples(path: Path) -> list[Example]:
    """The examples of a page or a module."""
    text = path.read_text(encoding="utf-8")
    return list(_examples(text))


def _examples(text: str) -> Iterator[Example]:
    for found in _EXAMPLE.finditer(text):
        headings = _HEADING.findall(text[: found.start()])
        heading = headings[-1] if headings else ""
        yield Example(heading, textwrap.dedent(found["code"]), found["output"])


def requirements(path: Path) -> frozenset[str]:
    """What a page tells its readers to install before its first example.

    Examples in docstrings may use the emulator and what the examples are about.
    """
    if path.suffix == ".py":
        return frozenset({"langchain-azure-phi3[emulator,images,batch,rate-limits]"})
    text = path.read_text(encoding="utf-8")
    first = _EXAMPLE.search(text)
    top = text[: first.start()] if first is not None else text
    lines = _INSTALL.findall(top)
    named = {name.strip("\"'") for line in lines for name in line.split()}
    packages = {name.replace(".[", "langchain-azure-phi3[") for name in named}
    return frozenset({"langchain-azure-phi3", *(n for n in packages if re.match(r"\w", n))})


def run_examples(path: Path) -> list[str]:
    """Run the examples of a page in the environment that it names; return what each prints.

    Each has an emulated deployment of its own in `AZURE_INFERENCE_ENDPOINT`.

    Raises:
        RuntimeError: An example failed.
    """
    python, variables = python_command(make_environment(requirements(path)))
    with TemporaryDirectory() as directory, ExitStack() as stack:
        jobs = []
        for example in read_examples(path):
            phi = stack.enter_context(Emulator())
            code = _PLACEHOLDER.sub(r"\1", example.code)
            jobs.append((f"<{example.heading}>", code, phi.endpoint, phi.key))
        results = Path(directory, "results.json")
        done = subprocess.run(  # noqa: S603
            [*python, "-W", "error", "-W", "ignore:Azure retired", str(_RUNNER), str(results)],
            input=json.dumps(jobs),
            env=variables,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{path.name}: {done.stderr}")
        outputs: list[str] = json.loads(results.read_text(encoding="utf-8"))
    return outputs


def same_output(shown: str, printed: str) -> bool:
    """Whether two outputs differ only in ports, request IDs and white space."""
    return _comparable(shown) == _comparable(printed)


def _comparable(output: str) -> list[str]:
    return _VARIABLE.sub("...", output).split()


def _wrapped(output: str) -> str:
    """The output with lines that fit a page."""
    lines = [line.rstrip() for line in output.strip().splitlines()]
    return "\n".join(
        "\n".join(textwrap.wrap(line, 96, break_long_words=False, break_on_hyphens=False))
        if len(line) > 100
        else line
        for line in lines
    )


def with_outputs(text: str, outputs: list[str]) -> str:
    """The page with the outputs in the text blocks below its examples."""
    remaining = iter(outputs)

    def insert(found: re.Match[str]) -> str:
        printed = next(remaining)
        shown = found["output"]
        if shown is not None and same_output(shown, printed):
            return found[0]
        block = found[0].removesuffix(found["below"] or "")
        return f"{block}\n```text\n{_wrapped(printed)}\n```\n"

    return _EXAMPLE.sub(insert, text)


def main(names: list[str]) -> int:
    """Rewrite the outputs of the named pages, or of all; return 1 if an example failed."""
    failures = 0
    for page in [Path(name).resolve() for name in names] or PAGES:
        text = page.read_text(encoding="utf-8")
        if _EXAMPLE.search(text) is None:
            continue
        try:
            page.write_text(with_outputs(text, run_examples(page)), encoding="utf-8")
        except RuntimeError as error:
            failures += 1
            print(error, file=sys.stderr)
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
