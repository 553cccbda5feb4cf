"""Markdown tables, and generated text inserted into pages that people write."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; all columns but the first are aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def inserted(page: str, text: str, begin: str, end: str) -> str:
    """The page with the text between two markers replaced; the text around them stays.

    Raises:
        ValueError: The page lacks a marker.
    """
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if found == "" or ended == "":
        raise ValueError(f"The page lacks one of the markers {begin} and {end}.")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
