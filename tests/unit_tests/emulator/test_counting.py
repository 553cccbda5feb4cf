"""Token counts that always add up."""

from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3.emulator.token_counts import pieces, pieces_numbering, text_tokens


@given(st.text())
def test_pieces_joined_are_the_text(text: str) -> None:
    """Nothing is lost in a stream, whatever the script."""
    assert "".join(pieces(text)) == text


@given(st.text(), st.integers(0, 40))
def test_more_pieces_can_be_had_while_there_are_characters(text: str, count: int) -> None:
    """And none of them is empty."""
    found = pieces_numbering(text, count)

    assert "".join(found) == text
    assert "" not in found
    assert len(found) >= min(count, len(text))


def test_azures_own_texts_have_the_counts_that_azure_says() -> None:
    """19 tokens: six, eight, and five of the template."""
    assert text_tokens("You are a helpful assistant.") == 6
    assert text_tokens("How many languages are in the world?") == 8


def test_text_without_spaces_costs_too() -> None:
    """A long word is several tokens."""
    assert text_tokens("x" * 900) == 100
