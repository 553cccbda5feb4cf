"""Thoughts told apart from the answer.

Phi-4-reasoning and Phi-4-mini-reasoning write `<think>...</think>` before they answer. Some chat
templates put the opening tag into the prompt, so that only the closing one is written.
"""

from collections.abc import Callable

_OPEN = "<think>"
_CLOSE = "</think>"


class ReasoningParser:
    """Reads one answer; each reading is `(thoughts, answer)`, to pass on now."""

    def __init__(self, *, opened: bool = False) -> None:
        """`opened`: the prompt ended with `<think>`, so the answer begins within thoughts.

        An answer that opens the tag all the same is read as if the prompt had not.
        """
        self._opened = opened
        self._mode: Callable[[str], tuple[str, str]] = self._beginning
        self._space: list[str] = []  # before the first word
        self._tag = ""  # what may be the beginning of a tag

    def feed(self, text: str) -> tuple[str, str]:
        """Read a piece of the answer."""
        text, self._tag = self._tag + text, ""
        return self._mode(text)

    def finish(self) -> tuple[str, str]:
        """Read the end: thoughts that were never closed are thoughts still."""
        rest = "".join(self._space) + self._tag
        self._space, self._tag = [], ""
        begins = self._mode == self._beginning
        if self._mode == self._thinking or (begins and self._opened):
            return rest, ""
        return "", "" if self._mode == self._after_thoughts else rest

    def _beginning(self, text: str) -> tuple[str, str]:
        word = text.lstrip()
        self._space.append(text[: len(text) - len(word)])
        if len(word) < len(_OPEN) and _OPEN.startswith(word):
            self._tag = word
            return "", ""
        if word.startswith(_OPEN):
            self._space.clear()
            self._mode = self._thinking
            return self._thinking(word[len(_OPEN) :])
        text = "".join(self._space) + word
        self._space.clear()
        self._mode = self._thinking if self._opened else self._answering
        return self._mode(text)

    def _thinking(self, text: str) -> tuple[str, str]:
        thoughts, tag, answer = text.partition(_CLOSE)
        if tag:
            self._mode = self._after_thoughts
            return thoughts, self._after_thoughts(answer)[1]
        start = len(text) - _overlap(text, _CLOSE)
        self._tag = text[start:]
        return text[:start], ""

    def _after_thoughts(self, text: str) -> tuple[str, str]:
        """Blank lines, and the space before the first word, are dropped."""
        answer = text.lstrip()
        if answer:
            self._mode = self._answering
        return "", answer

    def _answering(self, text: str) -> tuple[str, str]:
        return "", text


def _overlap(text: str, tag: str) -> int:
    """How many of the last characters may begin the tag."""
    longest = min(len(text), len(tag) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(tag[:n])), 0)
