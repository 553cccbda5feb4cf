"""Every Python block of the documentation and the docstrings runs against the emulator."""

import importlib.util
import re
import runpy
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import langchain_azure_phi3
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


def blocks_of(path: Path) -> Iterator[tuple[str, str]]:
    """The heading and the code of each Python block of a file."""
    text = path.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        headings = re.findall(r"^(?:#+|class) (.*)$", text[: found.start()], re.MULTILINE)
        yield headings[-1] if headings else "", textwrap.dedent(found[2])


HAS_DECISIONS = importlib.util.find_spec("langchain_core.decisions") is not None  # from core 1.8
PLACEHOLDER = re.compile(r"<([a-z][a-z :]*)>")

WITH_BLOCKS = [path for path in DOCUMENTS if any(blocks_of(path))]


@pytest.mark.parametrize("path", WITH_BLOCKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_blocks_run(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the endpoint and key in the environment; each prints what its `# ->` comments show."""
    for heading, code in blocks_of(path):
        if "PhiDecisions" in code and not HAS_DECISIONS:
            continue
        with Emulator() as phi, pytest.MonkeyPatch.context() as patch:
            patch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
            patch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
            # Models that a block registers are gone in the next one.
            patch.setattr(models, "_catalog", models._catalog)

            # Readers write their own names there.
            named = PLACEHOLDER.sub(r"\1", code)
            exec(compile(named, f"<{heading}>", "exec"), {"__name__": "__main__"})  # noqa: S102

            printed = [line for line in capsys.readouterr().out.splitlines() if line.strip() != ""]
            assert printed != [], heading
            assert OUTPUT.findall(code) in ([], printed), heading


TEST_FILE = re.compile(r"^```py\n# (test_\w+\.py)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_documented_test_files_pass(tmp_path: Path) -> None:
    """Saved under the names in their first lines, as a reader saves them."""
    pages = (ROOT / "docs" / page for page in ("how-to/testing.md", "reference/emulator.md"))
    files = dict(found for page in pages for found in TEST_FILE.findall(page.read_text("utf-8")))
    assert files.keys() == {"test_weather.py", "test_answers.py"}
    for name, code in files.items():
        (tmp_path / name).write_text(code, encoding="utf-8")

    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(  # noqa: S603
        pytest_run, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_first_page_links_every_page() -> None:
    """On GitHub, which shows no navigation; the site's navigation lists every page too."""
    first = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    assert set() == {page for page in pages - {"README.md"} if f"]({page})" not in first}
    assert set() == {page for page in pages if f" {page}\n" not in navigation}


LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)(#[^)]*)?\)")


def test_relative_links_lead_to_files() -> None:
    """On GitHub, from every page; the build of the site checks its own links."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [(page, link[0]) for page in pages for link in LINK.findall(page.read_text("utf-8"))]
    relative = [(page, link) for page, link in links if "://" not in link]

    assert len(relative) > 100
    assert [] == [(page.name, link) for page, link in relative if not (page.parent / link).exists()]


def test_architecture_page_lists_every_module() -> None:
    """Each in the tree, and none that does not exist."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = Path(langchain_azure_phi3.__file__).parent.rglob("*.py")

    listed = Counter(re.findall(r"── (\w+\.py) ", page))
    assert listed == Counter(path.name for path in package if path.name != "__init__.py")


def test_architecture_page_lists_every_dependency() -> None:
    """Of the package, of its extras, and of its development groups."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    names = {re.match(r"[\w-]+", each)[0] for group in groups for each in group}  # type: ignore[index]

    assert [] == sorted(name for name in names if f"`{name}`" not in page)


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


def test_demo_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make demo`, from the model's name to an image."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where its image is saved
    runpy.run_path(str(ROOT / "tests" / "demo.py"), run_name="__main__")

    shown = capsys.readouterr().out
    assert [] == [expected for expected in SHOWN if expected not in shown]
    image = re.search(r"^ *(/.*chart\.png)$", shown, re.MULTILINE)
    assert image is not None
    assert Path(image[1]).read_bytes().startswith(b"\x89PNG")
