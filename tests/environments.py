"""Environments that have exactly what a `pip install` line of the documentation installs.

They are made of links to the packages of the environment that runs the tests, so they need no
network and take a second. A package that the line does not name, and that no named one requires,
cannot be imported there.
"""

import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import Distribution, distribution
from pathlib import Path
from tempfile import mkdtemp

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGE = "langchain-azure-phi3"


@cache
def make_environment(requirements: frozenset[str]) -> Path:
    """Link what the requirements install into a new directory of importable packages.

    Raises:
        PackageNotFoundError: The environment that runs the tests lacks one of them.
    """
    target = Path(mkdtemp(prefix="environment-"))
    for found in _resolve(requirements):
        for file in found.files or ():
            link = target / file
            if ".." in file.parts or file.suffix == ".pth" or link.exists():
                continue
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(str(found.locate_file(file))))
    link = target / PACKAGE.replace("-", "_")
    if not link.exists():  # an editable installation has no files there
        link.symlink_to(ROOT / link.name)
    return target


def python_command(environment: Path) -> tuple[list[str], dict[str, str]]:
    """The command that runs Python in an environment, and the variables to set."""
    variables = {"PYTHONPATH": str(environment), "PYTHONHASHSEED": "0"}  # for the order of sets
    return [sys.executable, "-S", "-P"], variables


def _resolve(requirements: Iterable[str]) -> list[Distribution]:
    """The installed distributions that the requirements need, directly or not."""
    pending = [Requirement(each) for each in requirements]
    visited: set[tuple[str, str]] = set()
    found: dict[str, Distribution] = {}
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in visited:
                visited.add((name, extra))
                found[name] = distribution(name)
                pending += _dependencies(found[name], name, extra)
    return list(found.values())


def _dependencies(found: Distribution, name: str, extra: str) -> list[Requirement]:
    """What a distribution requires on this machine, with an extra or without one."""
    required = [Requirement(each) for each in found.requires or ()]
    if name == PACKAGE:  # as the project states it now
        return _own_dependencies(extra)
    return [
        each for each in required if each.marker is None or each.marker.evaluate({"extra": extra})
    ]


def _own_dependencies(extra: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    stated = project["dependencies"] if extra == "" else extras[extra]
    return [Requirement(each) for each in stated]
