"""The page on reliability: its names and numbers are the code's."""

import re
from pathlib import Path

import langchain_azure_phi3
from langchain_azure_phi3._http.sse import MAX_EVENT_BYTES
from langchain_azure_phi3._http.stream_decoder import MAX_BODY_BYTES

PAGE = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_error_on_the_page_can_be_imported() -> None:
    """By the name that it has there."""
    named = set(re.findall(r"`(\w+Error)`", PAGE))

    assert named - set(langchain_azure_phi3.__all__) == set()
    assert len(named) > 7


def test_the_bounds_on_the_page_are_those_of_the_readers() -> None:
    """In MiB."""
    event, answer = MAX_EVENT_BYTES // 2**20, MAX_BODY_BYTES // 2**20

    assert f"an event of more than {event} MiB, a response of more than {answer} MiB" in PAGE
