"""Every example of the documentation and the docstrings runs and prints what the page shows."""

import importlib.util
import re
import runpy
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from langchain.agents import middleware

import langchain_azure_phi3
from tests import examples
from tests.examples import read_examples

ROOT = Path(__file__).parents[2]
# Names in examples that older versions of LangChain lack, and since when it has them.
NEWER_NAMES = {
    "PhiDecisions": (
        importlib.util.find_spec("langchain_core.decisions") is not None,
        "langchain-core 1.8",
    ),
    "ModelRefusalMiddleware": (hasattr(middleware, "ModelRefusalMiddleware"), "langchain 1.5"),
}


def name_of(path: Path) -> str:
    """The name of a page or a module in the project."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [p for p in examples.PAGES if read_examples(p)], ids=name_of)
def test_examples_print_what_pages_show(page: Path) -> None:
    """In the environment that the page names; `make examples` rewrites the outputs."""
    for name, (is_available, version) in NEWER_NAMES.items():
        if not is_available and any(name in each.code for each in read_examples(page)):
            pytest.skip(f"{name} needs {version}.")
    for example, printed in zip(read_examples(page), examples.run_examples(page), strict=True):
        assert printed.strip() != "", example.heading
        assert example.output is not None, example.heading
        assert examples.same_output(example.output, printed), (example.heading, printed)


@pytest.mark.parametrize(
    "module", [p for p in examples.DOCSTRINGS if read_examples(p)], ids=name_of
)
def test_examples_in_docstrings_run(module: Path) -> None:
    """They print something."""
    for example, printed in zip(read_examples(module), examples.run_examples(module), strict=True):
        assert printed.strip() != "", example.heading


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


def test_llms_txt_lists_every_page() -> None:
    """For language models, as <https://llmstxt.org> describes; the site has the linked sources."""
    text = (ROOT / "docs" / "llms.txt").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    assert text.startswith("# langchain-azure-phi3\n\n> ")
    assert pages == {link[0] for link in LINK.findall(text)}


LINK = re.compile(r"\[[^]]*\]\(([^)#\s]+)(#[^)]*)?\)")


def test_relative_links_lead_to_files() -> None:
    """On GitHub, from every page; the build of the site checks its own links."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [(page, link[0]) for page in pages for link in LINK.findall(page.read_text("utf-8"))]
    relative = [(page, link) for page, link in links if "://" not in link]

    assert len(relative) > 100
    assert [] == [(page.name, link) for page, link in relative if not (page.parent / link).exists()]


def test_package_description_has_no_relative_links() -> None:
    """PyPI shows the README without the files around it; `make dist` checks the built package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert LINK.search(readme) is not None

    for step in hook["substitutions"]:
        readme = re.sub(step["pattern"], step["replacement"], readme)

    assert ["https://docs.langchain.com/"] == [link[0] for link in LINK.findall(readme)]
    assert "Endpoints (`docs/endpoints.md`)" in readme
    assert "performance.svg" not in readme


def test_readme_is_short() -> None:
    """A reader sees all of it: fewer than 200 lines."""
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") < 200


def test_readme_lists_every_extra() -> None:
    """Each in the first column of the table."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)

    listed = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert project["optional-dependencies"].keys() <= listed


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
