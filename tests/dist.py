"""A release, proven before it leaves: built, looked into, installed, and tested as built.

`make dist` runs it. What it builds is in `dist/`; the environments are in `build/`, and go with it.
"""

import email
import itertools
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST, BUILD = ROOT / "dist", ROOT / "build"
BIN = Path(sys.executable).parent
PACKAGE = "langchain_azure_phi3"

# What tests need besides the installed package.
BESIDE = ("tests", "docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
BESIDE += ("Makefile", "pyproject.toml", "mkdocs.yml")
IN_SDIST = ("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile")
IN_SDIST += ("pyproject.toml", "tests/conftest.py", "docs/architecture.md")

# A user's program: strict mypy must be content with it, and see every type.
PROGRAM = """\
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable

from langchain_azure_phi3 import ChatAzurePhi3, ContentFilterError, FilterResult, ModelInfo
from langchain_azure_phi3.emulator import Emulator


def found(error: ContentFilterError) -> tuple[FilterResult, ...]:
    return error.filters


with Emulator("Phi-4", model_errors="prose") as phi:
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, temperature=0, max_tokens=9)
    ChatAzurePhi3(endpoint=phi.endpoint, api_key=phi.key, model_name="Phi-4")
    answer: AIMessage = model.invoke("Hi")
    info: ModelInfo = model.get_model_info()
    reveal_type(answer.text)
    reveal_type(info.model_name)
    reveal_type(phi.requests)
"""
WRONG = """\
from langchain_azure_phi3 import ChatAzurePhi3, NoSuchName

ChatAzurePhi3(temperatures=0)
ChatAzurePhi3().get_model_info().no_such_field
"""


def main() -> int:
    """Build and check everything; the first failure ends it."""
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.rmtree(BUILD, ignore_errors=True)
    uv("build", "--out-dir", DIST, ROOT)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run(BIN / "twine", "check", "--strict", wheel, sdist)
    check_wheel(wheel)
    check_sdist(sdist)
    for resolution in ("lowest-direct", "highest"):
        python = installed(wheel, resolution)
        check_types(python)
        check_plugin_and_commands(python)
        run_tests(python, BUILD / f"{resolution}-tests")
    print(f"\n{wheel.name} and {sdist.name} are good.")
    return 0


def check_wheel(wheel: Path) -> None:
    """The package, its marker for types, its licence, and nothing else."""
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        metadata_name = only(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(content.read(metadata_name))
        entry_points = content.read(metadata_name.replace("METADATA", "entry_points.txt")).decode()
    strange = [name for name in names if not re.match(rf"{PACKAGE}(-[^/]*\.dist-info)?/", name)]
    demand(strange == [], f"the wheel holds {strange}")
    tests = [name for name in names if "/test_" in name or "__pycache__" in name]
    demand(tests == [], f"the wheel holds {tests}")
    demand(f"{PACKAGE}/py.typed" in names, "py.typed is missing")
    demand(any(name.endswith(".dist-info/licenses/LICENSE") for name in names), "no licence")
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*.py")}
    demand(sources <= {*names}, f"the wheel lacks {sorted(sources - {*names})}")
    demand("[pytest11]" in entry_points and "[console_scripts]" in entry_points, "entry points")
    demand(metadata["License-Expression"] == "MIT", "the licence's name")
    demand(metadata["Requires-Python"] == ">=3.11", "the version of Python")
    demand("# " in str(metadata.get_payload()), "the README")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    demand(f"[{metadata['Version']}]" in changes or "[Unreleased]" in changes, "the changelog")
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size:,} bytes")


def check_sdist(sdist: Path) -> None:
    """All that is needed to test and to build from it."""
    with tarfile.open(sdist) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    demand({*IN_SDIST} <= names, f"the sdist lacks {sorted({*IN_SDIST} - names)}")
    hidden = [name for name in names if "/." in f"/{name}" and name != ".gitignore"]
    demand(hidden == [], f"the sdist holds {hidden}")


def installed(wheel: Path, resolution: str) -> Path:
    """The Python of a fresh environment with the wheel, and the oldest or newest it may have.

    What only the tests need is always the newest that goes with that.
    """
    home = BUILD / resolution
    python = home / "bin" / "python"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = BUILD / f"{resolution}.txt"
    BUILD.mkdir(exist_ok=True)
    version = f"3.{sys.version_info.minor}"
    compiled = uv(
        *("pip", "compile", "--no-annotate", "--no-header", "--all-extras"),
        *("--resolution", resolution, "--python-version", version, ROOT / "pyproject.toml"),
    )
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *itertools.chain(*extras)]
    direct = {re.split(r"[<>=\[ ]", name)[0] for name in wanted}
    lines = [line for line in compiled.splitlines() if line.split("==")[0] in direct]
    pins.write_text("\n".join(lines), encoding="utf-8")
    print(f"\n{resolution}:", ", ".join(lines))
    uv("venv", "--python", sys.executable, home)
    group = f"{ROOT / 'pyproject.toml'}:dev"
    into = ("--python", python, "--constraint", pins)
    uv("pip", "install", *into, f"{wheel}[emulator]", "--group", group)
    where = run(python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)", cwd=home).strip()
    demand(Path(where).is_relative_to(home), f"{where} is not the installed package")
    return python


def check_types(python: Path) -> None:
    """Strict mypy on a user's program, from outside of the project: it passes, and it can fail."""
    home = python.parents[1] / "program"
    home.mkdir()
    (home / "right.py").write_text(PROGRAM, encoding="utf-8")
    (home / "wrong.py").write_text(WRONG, encoding="utf-8")
    shown = run(python, "-m", "mypy", "--strict", "right.py", cwd=home)
    seen = [line for line in shown.splitlines() if "Revealed type" in line]
    demand(len(seen) == PROGRAM.count("reveal_type") and "Any" not in shown, shown)
    refused = run(python, "-m", "mypy", "--strict", "wrong.py", cwd=home, status=1)
    demand("Found 3 errors" in refused, refused)
    print("  mypy sees the package's types")


def check_plugin_and_commands(python: Path) -> None:
    """What the entry points promise is there."""
    home = python.parents[1]
    shown = run(home / "bin" / "langchain-azure-phi3", "--version", cwd=home)
    demand(shown.startswith("langchain-azure-phi3 "), shown)
    options = ("-c", "/dev/null", "--rootdir", home)  # not the settings of this project
    fixtures = run(python, "-m", "pytest", *options, "--fixtures", cwd=home / "program")
    demand("phi_emulator" in fixtures, "the pytest plugin is not found")


def run_tests(python: Path, home: Path) -> None:
    """All tests, beside the installed package and away from its source."""
    home.mkdir()
    for name in BESIDE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, home / name)
    # Plugins of other packages load before any test: what they are warned of is not ours.
    options = ("-W", "ignore::pytest.PytestRemovedIn10Warning", "-p", "no:cacheprovider")
    options += ("-n", "auto")
    done = subprocess.run([python, "-m", "pytest", *options, *sys.argv[1:]], cwd=home, check=False)
    demand(done.returncode == 0, f"the tests fail in {home}")


def uv(*arguments: str | Path) -> str:
    """What uv says, apart from how it goes."""
    return run(BIN / "uv", "--quiet", *arguments)


def run(*command: str | Path, cwd: Path = ROOT, status: int = 0) -> str:
    """What a command prints; any other exit status than the one expected ends it all."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    said = f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    demand(done.returncode == status, f"status {done.returncode} of {said}")
    return done.stdout


def only(found: Iterable[str]) -> str:
    """The one that there must be."""
    (one,) = found
    return one


def demand(condition: bool, problem: str) -> None:
    """End with an explanation, unless the condition holds."""
    if not condition:
        sys.exit(f"make dist: {problem}")


if __name__ == "__main__":
    sys.exit(main())
