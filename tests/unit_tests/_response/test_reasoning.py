"""Thoughts and answers, however the tags arrive."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_azure_phi3._response.reasoning import ReasoningParser
from tests.growth import grows_linearly


def _read(pieces: Iterable[str], *, opened: bool = False) -> tuple[str, str]:
    reader = ReasoningParser(opened=opened)
    readings = [*(reader.feed(piece) for piece in pieces), reader.finish()]
    return "".join(thoughts for thoughts, _ in readings), "".join(text for _, text in readings)


_ANSWERS = [
    ("Hello.", False, ("", "Hello.")),
    ("<think>Hm.</think>Hello.", False, ("Hm.", "Hello.")),
    ("\n <think>\nHm.\n</think>\n\n Hello.\n", False, ("\nHm.\n", "Hello.\n")),
    ("<think>Hm.", False, ("Hm.", "")),
    ("<think>Hm.</th", False, ("Hm.</th", "")),
    ("<think></think>Hello.", False, ("", "Hello.")),
    ("<think>a < b</b></think>Yes.</think>", False, ("a < b</b>", "Yes.</think>")),
    ("<think>Hm.</think>\n", False, ("Hm.", "")),
    ("<thinking about it", False, ("", "<thinking about it")),
    ("<th", False, ("", "<th")),
    ("  ", False, ("", "  ")),
    ("The tag <think> opens</think>.", False, ("", "The tag <think> opens</think>.")),
    ("Hm.</think>Hello.", False, ("", "Hm.</think>Hello.")),
    ("Hm.</think>\n\nHello.", True, ("Hm.", "Hello.")),
    ("<think>Hm.</think>Hello.", True, ("Hm.", "Hello.")),
    ("Hm.", True, ("Hm.", "")),
    ("  ", True, ("  ", "")),
    ("", False, ("", "")),
]


@pytest.mark.parametrize(("answer", "opened", "expected"), _ANSWERS)
def test_thoughts_are_told_from_the_answer(
    answer: str, opened: bool, expected: tuple[str, str]
) -> None:
    """Read whole, by the character, and cut at each place."""
    assert expected == _read([answer], opened=opened)
    assert expected == _read(answer, opened=opened)
    for place in range(len(answer)):
        assert expected == _read([answer[:place], answer[place:]], opened=opened), place


_PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think", ">", "\n", " ", "a"]), max_size=12
)


@settings(deadline=None, max_examples=500)
@given(pieces=_PIECES, opened=st.booleans())
def test_cuts_do_not_matter(pieces: list[str], opened: bool) -> None:
    """Arbitrary text in arbitrary pieces reads as it does whole."""
    text = "".join(pieces)

    assert _read([text], opened=opened) == _read(pieces, opened=opened)
    assert _read([text], opened=opened) == _read(text, opened=opened)


def test_an_answer_without_tags_is_passed_on_at_once() -> None:
    """Nothing is held."""
    reader = ReasoningParser()

    assert [reader.feed(t) for t in ("No", " <", "b>")] == [("", "No"), ("", " <"), ("", "b>")]


def test_thoughts_stream_as_they_come() -> None:
    """Only what may be a tag is held."""
    reader = ReasoningParser()
    reader.feed("<think>")

    assert [reader.feed(t) for t in ("Hm", "</", "b>")] == [("Hm", ""), ("", ""), ("</b>", "")]


def test_work_grows_with_the_length_of_the_thoughts() -> None:
    """Fed by the character; four times the text takes about four times as long, not sixteen."""
    assert grows_linearly(lambda size: _read("<think>" + "<" * size), 100_000)
