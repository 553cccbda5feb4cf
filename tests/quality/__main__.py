"""Compare structured output on a real engine, and write `docs/quality.md` and its plot."""

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from langchain_azure_phi3 import ChatAzurePhi3
from tests.markdown import inserted
from tests.quality import report
from tests.quality.contenders import MAX_TOKENS, Contender, contenders
from tests.quality.measuring import Outcome, Results, measure_calls, measure_objects
from tests.third_party.llama_server import running_llama_server

DOCS = Path(__file__).parents[2] / "docs"
_PACKAGES = ("langchain-azure-phi3", "langchain-openai", "langchain-ollama", "langchain-core")


def main() -> None:
    """Measure all chat models one after the other."""
    load = os.getloadavg()[0]
    objects: dict[str, list[Outcome]] = {}
    calls: dict[str, list[Outcome]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_llama_server(Path(folder) / "log") as llama,
    ):
        ChatAzurePhi3(**llama.settings()).invoke("Hello")  # the first request takes longer
        for name, contender in contenders(llama).items():
            objects[name] = _collect(name, measure_objects, contender)
            calls[name] = _collect(name, measure_calls, contender)
    page = DOCS / "quality.md"
    text = _page(objects, calls, load)
    page.write_text(inserted(page.read_text(), text, report.BEGIN, report.END))
    (DOCS / "quality.svg").write_text(report.plot(objects, calls))


def _collect(
    name: str, measure: Callable[[Contender], Iterator[Outcome]], contender: Contender
) -> list[Outcome]:
    outcomes = []
    for outcome in measure(contender):
        outcomes.append(outcome)
        mark = "wrong" if outcome.problem else "right"
        print(f"{name}: {outcome.name}: {mark}, {outcome.seconds:.1f} s", flush=True)
    return outcomes


def _page(objects: Results, calls: Results, load: float) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    machine = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, with `max_tokens={MAX_TOKENS}` and "
        f"`temperature=0`; the load of the machine was {load:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after. llama.cpp from xllamacpp {version('xllamacpp')}; "
        f"{versions}."
    )
    return "\n\n".join(
        (
            "![Valid objects, correct required calls and seconds per object](quality.svg)",
            "Valid objects and correct required calls in percent, and seconds per object, of each "
            "chat model; the bars of this package are blue.",
            report.summary_table(objects, calls),
            machine,
            "### Objects",
            "The number of requests where the object is valid, - where it is not.",
            report.outcomes_table(objects),
            "The first error of each:",
            report.first_errors(objects),
            "### Required calls",
            "The tool that the prompt needs and `tool_choice`, with the number of requests.",
            report.outcomes_table(calls),
            "The first error of each:",
            report.first_errors(calls),
        )
    )


if __name__ == "__main__":
    main()
