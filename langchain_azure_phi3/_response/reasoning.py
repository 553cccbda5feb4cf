"""Separates reasoning from the rest of the text.

Phi-4-reasoning and Phi-4-mini-reasoning write `<think>...</think>` before the response. Some chat
templates put the opening tag into the prompt, so that the model only writes the closing one.
Phi-4-reasoning-vision writes `<nothink>` instead if it does not reason.
"""

import re
from collections.abc import Callable

_OPEN = "<think>"
_CLOSE = "</think>"
_NONE = "<nothink>"
# Text about the tag contains it within a line.
_LONE_CLOSE = re.compile(r"(?:^|\n)[ \t]*</think>|</think>[ \t]*(?:\r?\n|\Z)")


def split_reasoning(text: str) -> tuple[str, str]:
    """Split off the reasoning before a `</think>` without an opening tag.

    The tag counts at the beginning or the end of a line. In a stream it arrives too late: the text
    before it has already been emitted, unless it is held back for a required call or object.
    """
    found = _LONE_CLOSE.search(text)
    if found is None or _OPEN in text[: found.start()]:
        return "", text
    reasoning, _, rest = text.partition(_CLOSE)
    if len(reasoning) < found.start():  # an earlier tag within a line
        at = text.index(_CLOSE, found.start())
        reasoning, rest = text[:at], text[at + len(_CLOSE) :]
    return reasoning, rest.lstrip()


class ReasoningParser:
    """Parses one response; each result is the `(reasoning, text)` to emit now."""

    def __init__(self, *, starts_in_reasoning: bool = False) -> None:
        """Start a response.

        Args:
            starts_in_reasoning: Whether the prompt ended with `<think>`, so that the response
                begins within the reasoning. A response that opens the tag itself is parsed as if
                the prompt had not.
        """
        self._starts_in_reasoning = starts_in_reasoning
        self._state: Callable[[str], tuple[str, str]] = self._at_start
        self._space: list[str] = []  # before the first word
        self._tag = ""  # a possible start of a tag
        self._has_ended = False

    @property
    def has_ended(self) -> bool:
        """Whether there was reasoning, between tags, and it has ended."""
        return self._has_ended

    def feed(self, text: str) -> tuple[str, str]:
        """Parse a piece of the response."""
        text, self._tag = self._tag + text, ""
        return self._state(text)

    def finish(self) -> tuple[str, str]:
        """Parse the end; reasoning without a closing tag is still reasoning."""
        rest = "".join(self._space) + self._tag
        self._space, self._tag = [], ""
        is_at_start = self._state == self._at_start
        if self._state == self._in_reasoning or (is_at_start and self._starts_in_reasoning):
            return rest, ""
        return "", "" if self._state == self._after_reasoning else rest

    def _at_start(self, text: str) -> tuple[str, str]:
        word = text.lstrip()
        self._space.append(text[: len(text) - len(word)])
        if any(len(word) < len(tag) and tag.startswith(word) for tag in (_OPEN, _NONE)):
            self._tag = word
            return "", ""
        if word.startswith(_NONE):
            self._space.clear()
            self._state = self._after_reasoning
            return self._after_reasoning(word[len(_NONE) :])
        if word.startswith(_OPEN):
            self._space.clear()
            self._state = self._in_reasoning
            return self._in_reasoning(word[len(_OPEN) :])
        text = "".join(self._space) + word
        self._space.clear()
        self._state = self._in_reasoning if self._starts_in_reasoning else self._in_text
        return self._state(text)

    def _in_reasoning(self, text: str) -> tuple[str, str]:
        reasoning, tag, rest = text.partition(_CLOSE)
        if tag:
            self._has_ended = True
            self._state = self._after_reasoning
            return reasoning, self._after_reasoning(rest)[1]
        start = len(text) - _overlap(text, _CLOSE)
        self._tag = text[start:]
        return text[:start], ""

    def _after_reasoning(self, text: str) -> tuple[str, str]:
        """Drop blank lines, and the space before the first word."""
        rest = text.lstrip()
        if rest:
            self._state = self._in_text
        return "", rest

    def _in_text(self, text: str) -> tuple[str, str]:
        return "", text


def _overlap(text: str, tag: str) -> int:
    """Return the number of characters at the end of the text that may begin the tag."""
    longest = min(len(text), len(tag) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(tag[:n])), 0)
