"""Build a release, check its contents, install it, and test what was installed.

`make dist` runs it. The release is in `dist/`; the environments are in `build/`.
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

# Files that tests need in addition to the installed package.
TEST_FILES = ("tests", "docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
TEST_FILES += ("Makefile", "pyproject.toml", "mkdocs.yml", "LICENSE")
IN_SDIST = ("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile")
IN_SDIST += ("pyproject.toml", "tests/conftest.py", "docs/architecture.md", "Containerfile")
IN_SDIST += (".proselintrc.json", ".dockerignore")  # `make test` reads them
HIDDEN_IN_SDIST = {".gitignore", ".proselintrc.json", ".dockerignore"}

# Strict mypy accepts the one and sees all types, and finds the mistakes of the other.
USER_CODE = ROOT / "tests" / "integration_tests" / "user_code"


def main() -> int:
    """Build and check everything; stop at the first failure."""
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.rmtree(BUILD, ignore_errors=True)
    uv("build", "--out-dir", DIST, ROOT)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run(BIN / "twine", "check", "--strict", wheel, sdist)
    check_wheel(wheel)
    check_sdist(sdist)
    for resolution in ("lowest-direct", "highest"):
        python = install(wheel, resolution)
        check_types(python)
        check_plugin_and_commands(python)
        run_tests(python, BUILD / f"{resolution}-tests")
    print(f"\n{wheel.name} and {sdist.name} passed all checks.")
    return 0


def check_wheel(wheel: Path) -> None:
    """Check that it contains the package, py.typed and the license, and nothing else."""
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        metadata_name = only(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(content.read(metadata_name))
        entry_points = content.read(metadata_name.replace("METADATA", "entry_points.txt")).decode()
    unexpected = [name for name in names if not re.match(rf"{PACKAGE}(-[^/]*\.dist-info)?/", name)]
    require(unexpected == [], f"the wheel contains {unexpected}")
    tests = [name for name in names if "/test_" in name or "__pycache__" in name]
    require(tests == [], f"the wheel contains {tests}")
    require(f"{PACKAGE}/py.typed" in names, "py.typed is missing")
    require(any(name.endswith(".dist-info/licenses/LICENSE") for name in names), "no license")
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*.py")}
    require(sources <= {*names}, f"the wheel lacks {sorted(sources - {*names})}")
    require("[pytest11]" in entry_points and "[console_scripts]" in entry_points, "entry points")
    require(metadata["License-Expression"] == "MIT", "the license's name")
    require(metadata["Requires-Python"] == ">=3.11", "the version of Python")
    readme = str(metadata.get_payload())
    require("# " in readme, "the README")
    dead = re.findall(r"\]\((?!\w+:)[^)]*\)", readme)
    require(dead == [], f"the README has links that PyPI cannot follow: {dead}")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    require(f"[{metadata['Version']}]" in changes or "[Unreleased]" in changes, "the changelog")
    print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size:,} bytes")


def check_sdist(sdist: Path) -> None:
    """Check that it contains all files for building and testing."""
    with tarfile.open(sdist) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    require({*IN_SDIST} <= names, f"the sdist lacks {sorted({*IN_SDIST} - names)}")
    hidden = {name for name in names if "/." in f"/{name}"} - HIDDEN_IN_SDIST
    require(not hidden, f"the sdist contains {sorted(hidden)}")


def install(wheel: Path, resolution: str) -> Path:
    """Install the wheel with its oldest or newest dependencies, and return the Python.

    Packages that only the tests need are the newest that fit.
    """
    home = BUILD / resolution
    python = home / "bin" / "python"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = BUILD / f"{resolution}.txt"
    BUILD.mkdir(exist_ok=True)
    version = f"3.{sys.version_info.minor}"
    group = f"{ROOT / 'pyproject.toml'}:dev"
    compiled = uv(
        *("pip", "compile", "--no-annotate", "--no-header", "--all-extras"),
        *("--resolution", resolution, "--python-version", version, ROOT / "pyproject.toml"),
        # The newest that the tests' packages allow: OpenTelemetry's pin each other.
        *(("--group", group) if resolution == "highest" else ()),
    )
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *itertools.chain(*extras)]
    direct = {re.split(r"[<>=\[ ]", name)[0] for name in requirements}
    lines = [line for line in compiled.splitlines() if line.split("==")[0] in direct]
    pins.write_text("\n".join(lines), encoding="utf-8")
    print(f"\n{resolution}:", ", ".join(lines))
    uv("venv", "--python", sys.executable, home)
    into = ("--python", python, "--constraint", pins)
    uv("pip", "install", *into, f"{wheel}[emulator]", "--group", group)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    uv(
        "pip",
        "install",
        "--python",
        python,
        "--no-deps",
        only(re.findall("xgrammar[^']+", makefile)),
    )
    where = run(python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)", cwd=home).strip()
    require(Path(where).is_relative_to(home), f"{where} is not the installed package")
    return python


def check_types(python: Path) -> None:
    """Check a user's program with strict mypy outside of the project, and one with mistakes."""
    home = python.parents[1] / "program"
    home.mkdir()
    for path in USER_CODE.glob("*.py"):
        shutil.copy(path, home)
    run(python, "-m", "mypy", "--strict", "program.py", cwd=home)
    errors = run(python, "-m", "mypy", "--strict", "mistakes.py", cwd=home, status=1)
    mistakes = (home / "mistakes.py").read_text(encoding="utf-8").count("# mistake\n")
    require(f"Found {mistakes} errors" in errors, errors)
    print("  mypy sees the package's types")


def check_plugin_and_commands(python: Path) -> None:
    """Check the entry points: the command and the pytest plugin."""
    home = python.parents[1]
    output = run(home / "bin" / "langchain-azure-phi3", "--version", cwd=home)
    require(output.startswith("langchain-azure-phi3 "), output)
    options = ("-c", "/dev/null", "--rootdir", home)  # not the settings of this project
    fixtures = run(python, "-m", "pytest", *options, "--fixtures", cwd=home / "program")
    require("phi_emulator" in fixtures, "the pytest plugin is not found")


def run_tests(python: Path, home: Path) -> None:
    """Run all tests on the installed package, away from its source."""
    home.mkdir()
    for name in TEST_FILES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, home / name)
    # Plugins of other packages load before the tests; their warnings are not about this package.
    options = ("-W", "ignore::pytest.PytestRemovedIn10Warning", "-p", "no:cacheprovider")
    # The container is built from the source, which is not here.
    options += ("-n", "auto", "--ignore", "tests/integration_tests/test_container.py")
    done = subprocess.run([python, "-m", "pytest", *options, *sys.argv[1:]], cwd=home, check=False)
    require(done.returncode == 0, f"the tests fail in {home}")


def uv(*arguments: str | Path) -> str:
    """Run uv quietly, and return its output."""
    return run(BIN / "uv", "--quiet", *arguments)


def run(*command: str | Path, cwd: Path = ROOT, status: int = 0) -> str:
    """Run a command and return its output; exit if its status is another one."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    output = f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    require(done.returncode == status, f"status {done.returncode} of {output}")
    return done.stdout


def only(found: Iterable[str]) -> str:
    """The only item."""
    (one,) = found
    return one


def require(condition: bool, problem: str) -> None:
    """Exit with an explanation, unless the condition holds."""
    if not condition:
        sys.exit(f"make dist: {problem}")


if __name__ == "__main__":
    sys.exit(main())
