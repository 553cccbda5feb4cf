"""Finds the end of a JSON value in streamed text, even if the JSON is malformed."""

import re

from langchain_azure_phi3._tools.call_classifier import CallClassifier

# More deeply nested arguments are not a call, and would exhaust a recursive parser.
_MAX_DEPTH = 64
_STRING_STOP = {'"': re.compile(r'["\\]'), "'": re.compile(r"['\\]")}
# A quote only opens a string after one of these, because models do not escape quotes in strings.
_BEFORE_STRING = frozenset("{[,:")


def is_closed_json(text: str) -> bool:
    """Whether almost-valid JSON has all its closing brackets."""
    scanner = JsonScanner()
    at = len(text) - len(text.lstrip())
    if text[at : at + 1] not in ("{", "["):
        return True
    while (end := scanner.read(text, at)) < len(text) and not scanner.is_settled:
        scanner.skip(text[end])
        at = end + 1
    return scanner.closed


class JsonScanner:
    """Finds the end of one JSON value piece by piece, and passes its top level to a classifier."""

    def __init__(self, classifier: CallClassifier | None = None) -> None:
        self.classifier = classifier
        self._open: list[str] = []
        self._quote = ""
        self._escaped = False
        self._last = "["
        self._is_classified = False  # of the next character, which the caller decides about

    @property
    def closed(self) -> bool:
        """Whether the value has ended."""
        return not self._open

    @property
    def is_settled(self) -> bool:
        """Whether it has ended, or is nested too deeply for arguments."""
        return not self._open or len(self._open) > _MAX_DEPTH

    @property
    def truncated(self) -> bool:
        """Whether a value is missing or incomplete here, rather than only closing brackets."""
        return self._quote != "" or self._last == ":"

    def read_as_data(self, *, arrays: int) -> None:
        """Continue without a classifier, up to the end of that many arrays around the value."""
        self.classifier = None
        self._open[:0] = ["["] * arrays

    def read(self, text: str, at: int) -> int:
        """Continue; return the index after the value, of a character to decide about, or the end.

        The caller decides about `<` and backticks outside of strings, which may begin a marker
        (see `skip`), about a `]` that closes nothing here, and about the character at which the
        classifier found that this is data.
        """
        while at < len(text) and len(self._open) <= _MAX_DEPTH:
            classifier = self._active_classifier
            if classifier is not None and not self._is_classified:
                classifier.feed_char(text[at], quoted=self._is_quoted(text[at]))
                if classifier.classification == "data":
                    return at
            if self._quote:
                following = self._string(text, at, by_char=classifier is not None)
            else:
                following = self._outside(text, at)
            self._is_classified = following == at
            if following == at or not self._open:
                return following
            at = following
        return at

    def skip(self, char: str) -> None:
        """Read a character that is not a marker, as the caller decided."""
        self._last = char
        self._is_classified = False

    @property
    def _active_classifier(self) -> CallClassifier | None:
        """The classifier, while it is undecided and the value's top level is read."""
        classifier = self.classifier
        if classifier is None or len(self._open) != 1 or classifier.classification != "open":
            return None
        return classifier

    def _is_quoted(self, char: str) -> bool:
        return self._quote != "" and (self._escaped or char != self._quote)

    def _string(self, text: str, at: int, *, by_char: bool) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        if text[at] == "\\":
            self._escaped = True
        elif text[at] == self._quote:
            self._last, self._quote = self._quote, ""
        elif not by_char:
            stop = _STRING_STOP[self._quote].search(text, at)
            return len(text) if stop is None else stop.start()
        return at + 1

    def _outside(self, text: str, at: int) -> int:
        char = text[at]
        if char in "<`" or (char == "]" and "[" not in self._open):
            return at
        if char in "\"'" and self._last in _BEFORE_STRING:
            self._quote = char
        elif char in "{[":
            self._open.append(char)
        elif char in "}]":
            self._close("{" if char == "}" else "[")
        if not char.isspace():
            self._last = char
        return at + 1

    def _close(self, opened: str) -> None:
        """Close all levels up to the bracket that this one matches, also unclosed ones."""
        while self._open and self._open.pop() != opened:
            pass
