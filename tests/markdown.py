"""Tables in Markdown, and figures put into a page that people write."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def inserted(page: str, text: str, begin: str, end: str) -> str:
    """The page with what is between two marks replaced; what people wrote around them stays.

    Raises:
        ValueError: The page has no place for it.
    """
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if found == "" or ended == "":
        raise ValueError(f"The page has no place for the figures: {begin} and {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
