"""Every Python block in the documents and the docstrings runs, against the emulator."""

import re
import runpy
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_azure_phi3 import models
from langchain_azure_phi3.emulator import Emulator

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
OUTPUT = re.compile(r"^ *# -> (.*)$", re.MULTILINE)
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "langchain_azure_phi3").rglob("*.py")),
]


def blocks() -> Iterator[object]:
    """Each block, named by its file and heading."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            headings = re.findall(r"^(?:#+|class) (.*)$", text[: found.start()], re.MULTILINE)
            name = f"{path.relative_to(ROOT)}: {headings[-1] if headings else ''}"
            yield pytest.param(textwrap.dedent(found[2]), id=name)


@pytest.mark.parametrize("code", list(blocks()))
def test_a_documented_block_runs(
    code: str, phi: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As pasted, with the endpoint and key in the environment; it prints what `# ->` shows."""
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
    # Models that a document registers are gone in the next test.
    monkeypatch.setattr(models, "_catalogue", models._catalogue)

    exec(compile(code, "<document>", "exec"), {"__name__": "__main__"})  # noqa: S102

    printed = [line for line in capsys.readouterr().out.splitlines() if line.strip() != ""]
    shown = OUTPUT.findall(code)
    assert printed != []
    assert shown in ([], printed)


TEST_FILE = re.compile(r"^```py\n# (test_\w+\.py)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_a_documented_test_file_passes(tmp_path: Path) -> None:
    """As saved under the name in its first line."""
    page = (ROOT / "docs" / "how-to" / "testing.md").read_text(encoding="utf-8")
    for name, code in TEST_FILE.findall(page):
        (tmp_path / name).write_text(code, encoding="utf-8")

    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(  # noqa: S603
        pytest_run, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_every_page_can_be_reached_from_the_first() -> None:
    """On GitHub, which shows no navigation; and on the site, whose navigation is written down."""
    first = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    assert set() == {page for page in pages - {"README.md"} if f"]({page})" not in first}
    assert set() == {page for page in pages if f" {page}\n" not in navigation}


LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)(#[^)]*)?\)")


def test_links_on_github_lead_to_files() -> None:
    """From every page; those of the site are checked as it is built."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [(page, link[0]) for page in pages for link in LINK.findall(page.read_text("utf-8"))]
    near = [(page, link) for page, link in links if "://" not in link]

    assert len(near) > 100
    assert [] == [(page.name, link) for page, link in near if not (page.parent / link).exists()]


SHOWN = (
    "Phi-3-mini-4k-Instruct",
    "'total_tokens': 91",
    "ContentFilterError",
    "call    get_weather({'city': 'Paris'})",
    "18 degrees and sunny in Paris",
    "Person(name='Ann', age=41)",
    "The chart illustrates",
    "counted before: 1,9",
    "'input_tokens': 1939",
)


def test_the_demonstration_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `make demo` shows, from the model's name to a picture."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where its picture is saved
    runpy.run_path(str(ROOT / "tests" / "demo.py"), run_name="__main__")

    shown = capsys.readouterr().out
    assert [] == [expected for expected in SHOWN if expected not in shown]
    picture = re.search(r"^ *(/.*chart\.png)$", shown, re.MULTILINE)
    assert picture is not None
    assert Path(picture[1]).read_bytes().startswith(b"\x89PNG")
