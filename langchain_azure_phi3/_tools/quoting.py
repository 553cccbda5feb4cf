"""Quotes tool results and rejected responses in prompts."""

import re

# A line that looks like the heading of a tool's result: after any line break that `str.splitlines`
# recognizes, perhaps indented, in brackets, in bold, or with invisible characters in it.
_BREAKS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_SPACE = r"[\s\u200b-\u200f\u2060\ufeff]+"
_HEADING = re.compile(
    rf"(?:^|(?<=[{_BREAKS}]))(?=(?:[^\w>{_BREAKS}]|_)*"
    rf"(?:result{_SPACE}of{_SPACE}the{_SPACE}tool\b"
    rf"|the{_SPACE}tool\b[^{_BREAKS}]{{0,100}}\bfailed\b))",
    re.IGNORECASE,
)


def quote_headings(text: str) -> str:
    """Insert `> ` before lines that look like the heading of a tool's result."""
    return _HEADING.sub("> ", text)


def quote_rejected(text: str, max_length: int) -> str:
    """Return the start of a correction, with at most `max_length` characters of the response."""
    quoted = text.strip()
    if quoted == "":
        return "That cannot be used."
    shown = quoted if len(quoted) <= max_length else f"{quoted[:max_length]}..."
    return f"That cannot be used. You wrote:\n{quote_headings(shown)}"
