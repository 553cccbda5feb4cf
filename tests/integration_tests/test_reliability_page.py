"""The reliability page: its names and numbers match the code."""

import re
from pathlib import Path

import langchain_azure_phi3
from langchain_azure_phi3._http.json_body import MAX_BODY_BYTES
from langchain_azure_phi3._http.sse import MAX_EVENT_BYTES

PAGE = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_errors_on_the_page_can_be_imported() -> None:
    """Under the names that the page uses."""
    named = set(re.findall(r"`(\w+Error)`", PAGE))

    assert named - set(langchain_azure_phi3.__all__) == set()
    assert len(named) > 7


def test_limits_on_the_page_match_the_code() -> None:
    """The maximum sizes of an event and of an answer, in MiB."""
    found = re.findall(r"(?:event|answer|response) of more than (\d+) MiB", PAGE)

    assert [f"{limit // 2**20}" for limit in (MAX_EVENT_BYTES, MAX_BODY_BYTES)] == found
