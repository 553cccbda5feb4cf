"""The reference documents every public name."""

import re
from pathlib import Path

import langchain_azure_phi3
from langchain_azure_phi3 import emulator

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
# The comment that the site replaces by the docstring, and a constant in a table.
DOCUMENTED = re.compile(r"^<!-- reference: (?:\w+\.)*(\w+) -->$|`([A-Z_]+)`", re.MULTILINE)


def test_reference_documents_every_public_name() -> None:
    """Of the package and of the emulator."""
    pages = [page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md")]
    documented = {n for page in pages for names in DOCUMENTED.findall(page) for n in names}

    assert {*langchain_azure_phi3.__all__, *emulator.__all__} - documented == set()
