"""Ends a response at the end of the model's turn, and undoes the escape of control tokens.

Servers with wrong generation settings do not stop there, and would return a turn that the model
invented. Inside code (between backticks, or in a fenced block), control tokens are content and are
kept.
"""

import re

from langchain_azure_phi3._tools.control_tokens import unescape_control_tokens

_ENDING = ("end", "im_end", "endoftext", "user", "system", "im_start", "assistant", "im_sep")
_TOOL_TAGS = tuple(
    f"{slash}{tag}" for tag in ("tool_call", "tool_calls", "function_call") for slash in ("", "/")
)
_TOKENS = {f"<|{name}|>": name for name in (*_ENDING, *_TOOL_TAGS)}
_BEGINNINGS = frozenset(token[:length] for token in _TOKENS for length in range(1, len(token)))
_LONGEST = max(map(len, _TOKENS))
_EVENT = re.compile(rf"`+|\n|{'|'.join(map(re.escape, _TOKENS))}")
_ROLE = "assistant"

_ESCAPED_BEGINNING = re.compile(r"<(?: +(?:\|/?[A-Za-z0-9_]{0,40}\|?)?)?\Z")


class TurnEndFilter:
    """Returns the text of one response up to the end of the model's turn.

    At the beginning of the text, control tokens that begin the model's own turn are dropped, and so
    are call tags if no tool is bound.

    Attributes:
        has_ended: Whether a control token ended the turn.
    """

    def __init__(self, *, has_tools: bool) -> None:
        self.has_ended = False
        self._has_tools = has_tools
        self._held = ""  # a possible start of a control token
        self._is_at_start = True
        self._is_closed = False  # at the start, after the end of the previous turn
        self._code = ""  # the backticks that opened the code
        self._ticks = ""  # backticks at the end of the text, which may continue

    def feed(self, text: str) -> str:
        """Return text that certainly belongs to the turn."""
        is_plain = "<" not in text and "`" not in text and "\n" not in text
        if is_plain and not (self._held or self._ticks or self._is_at_start or self.has_ended):
            return text
        return self._read(self._held + text, is_end=False)

    def finish(self) -> str:
        """Return the text that was held back."""
        return self._read(self._held, is_end=True)

    def _read(self, text: str, *, is_end: bool) -> str:
        self._held = ""
        passed: list[str] = []
        at = 0
        for found in _EVENT.finditer(text):
            if self.has_ended:
                return "".join(passed)
            self._take(text[at : found.start()], passed)
            at = found.end()
            if self._needs_role(text, found, is_end=is_end):
                self._held = text[found.start() :]
                return "".join(passed)
            at += self._take_event(found[0], text[at:], passed)
        if not self.has_ended:
            rest = text[at:]
            length = 0 if is_end else _overlap(rest)
            self._held = rest[len(rest) - length :]
            self._take(rest[: len(rest) - length], passed)
        return "".join(passed)

    def _take(self, text: str, passed: list[str]) -> None:
        """Pass text through."""
        if not text or self.has_ended:
            return
        self._read_ticks()
        if text.isspace() and self._is_at_start:
            passed.append("" if self._is_closed else text)
        elif self._is_closed:
            self.has_ended = True
        else:
            self._is_at_start = False
            passed.append(text)

    def _take_event(self, event: str, following: str, passed: list[str]) -> int:
        """Handle backticks, a line break or a token; return how many more characters were read."""
        name = _TOKENS.get(event)
        if name is None and event != "\n":
            self._ticks += event
            self._is_at_start = False
            passed.append(event)
            return 0
        self._read_ticks()
        if name is None:
            self._code = self._code if len(self._code) > 2 else ""
            self._take_line_break(passed)
            return 0
        if self._code:
            passed.append(event)
            return 0
        return self._take_token(name, event, following, passed)

    def _take_line_break(self, passed: list[str]) -> None:
        if not self._is_closed:
            passed.append("\n")

    def _take_token(self, name: str, event: str, following: str, passed: list[str]) -> int:
        if name in _TOOL_TAGS:
            if self._has_tools or not self._is_at_start:
                passed.append(event)
            return 0
        if not self._is_at_start:
            self.has_ended = True
        elif name == "im_start" and following.startswith(_ROLE):
            self._is_closed = False
            return len(_ROLE)
        elif name in ("assistant", "im_sep"):
            self._is_closed = False
        elif name in ("end", "im_end"):
            self._is_closed = True
        else:
            self.has_ended = True
        return 0

    def _needs_role(self, text: str, found: re.Match[str], *, is_end: bool) -> bool:
        """Whether the role after `<|im_start|>`, needed at the start, has not arrived yet."""
        if is_end or not self._is_at_start or found[0] != "<|im_start|>":
            return False
        rest = text[found.end() :]
        return len(rest) < len(_ROLE) and _ROLE.startswith(rest)

    def _read_ticks(self) -> None:
        """Open or close code with the backticks that were just read."""
        if self._ticks:
            if not self._code:
                self._code = self._ticks
            elif len(self._ticks) >= len(self._code):
                self._code = ""
            self._ticks = ""


class Unescaper:
    """Undoes the escape of control tokens in text that streams."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Return the text, without a possible start of an escaped token at its end."""
        if not self._held and "<" not in text:
            return text
        text, self._held = self._held + text, ""
        found = _ESCAPED_BEGINNING.search(text, text.rfind("<"))
        if found is not None and len(found[0]) < _LONGEST * 3:
            text, self._held = text[: found.start()], found[0]
        return unescape_control_tokens(text)

    def finish(self) -> str:
        """Return the text that was held back."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str) -> int:
    """Return the number of characters at the end of the text that may begin a token."""
    start = text.rfind("<", -_LONGEST)
    return len(text) - start if start >= 0 and text[start:] in _BEGINNINGS else 0
