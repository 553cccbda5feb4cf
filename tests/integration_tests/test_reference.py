"""The reference tells of every public name."""

import re
from pathlib import Path

import langchain_azure_phi3
from langchain_azure_phi3 import emulator

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
# The comment in whose place the site puts the docstring; and a constant, told of in a table.
TOLD = re.compile(r"^<!-- reference: (?:\w+\.)*(\w+) -->$|`([A-Z_]+)`", re.MULTILINE)


def test_every_public_name_is_in_the_reference() -> None:
    """Of the package and of the emulator."""
    pages = [page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md")]
    told = {name for page in pages for names in TOLD.findall(page) for name in names}

    assert {*langchain_azure_phi3.__all__, *emulator.__all__} - told == set()
