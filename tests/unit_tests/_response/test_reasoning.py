"""Reasoning is separated from the text, wherever the stream is cut."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_azure_phi3._response.reasoning import ReasoningParser
from tests.growth import grows_linearly


def parse(pieces: Iterable[str], *, starts_in_reasoning: bool = False) -> tuple[str, str]:
    """The reasoning and the text of a response in pieces."""
    parser = ReasoningParser(starts_in_reasoning=starts_in_reasoning)
    results = [*(parser.feed(piece) for piece in pieces), parser.finish()]
    return "".join(reasoning for reasoning, _ in results), "".join(text for _, text in results)


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


def test_reasoning_is_separated_at_every_cut() -> None:
    """Parsed at once, by the character, and cut at each point."""
    for answer, starts, expected in _ANSWERS:
        cuts = [[answer[:cut], answer[cut:]] for cut in range(len(answer) + 1)]
        for pieces in ([answer], list(answer), *cuts):
            assert parse(pieces, starts_in_reasoning=starts) == expected, pieces


_PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think", ">", "\n", " ", "a"]), max_size=12
)


@settings(deadline=None, max_examples=500)
@given(pieces=_PIECES, starts=st.booleans())
def test_cuts_do_not_change_the_result(pieces: list[str], starts: bool) -> None:
    """Of any text in any pieces."""
    text = "".join(pieces)

    complete = parse([text], starts_in_reasoning=starts)
    assert parse(pieces, starts_in_reasoning=starts) == complete
    assert parse(text, starts_in_reasoning=starts) == complete


def test_text_without_tags_is_passed_on() -> None:
    """At once; nothing is held."""
    parser = ReasoningParser()

    assert [parser.feed(t) for t in ("No", " <", "b>")] == [("", "No"), ("", " <"), ("", "b>")]


def test_reasoning_streams_as_it_comes() -> None:
    """Only what may be a tag is held."""
    parser = ReasoningParser()
    parser.feed("<think>")

    assert [parser.feed(t) for t in ("Hm", "</", "b>")] == [("Hm", ""), ("", ""), ("</b>", "")]


def test_work_grows_linearly_with_the_reasoning() -> None:
    """Fed by the character; four times the text takes about four times as long, not sixteen."""
    assert grows_linearly(lambda size: parse("<think>" + "<" * size), 100_000)
