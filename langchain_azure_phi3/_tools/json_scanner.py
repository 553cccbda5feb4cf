"""How far a JSON object reaches in streamed text, and whether it can still become a call."""

import re
from typing import Literal

from langchain_azure_phi3._tools.tool_call_formats import (
    ARGUMENT_KEYS,
    CALL_TYPES,
    NAME_KEYS,
    OTHER_KEYS,
    WRAPPER_KEYS,
)
from langchain_azure_phi3._tools.tools import Tool, Toolbox, properties_of

Verdict = Literal["open", "call", "data"]

# Deeper arguments than these are no call, and would exhaust a recursive parser.
_MAX_DEPTH = 64
_STRING_STOP = {'"': re.compile(r'["\\]'), "'": re.compile(r"['\\]")}
# A quote opens a string only after one of these; models leave quotes in strings unescaped.
_BEFORE_STRING = frozenset("{[,:")
_CALL_KEYS = frozenset((*NAME_KEYS, *ARGUMENT_KEYS, *WRAPPER_KEYS, *OTHER_KEYS))


class CallClassifier:
    """Judges an object by its own keys, as they arrive: a call, data, or still open."""

    def __init__(self, tools: Toolbox, *, only_tool: Tool | None, any_name: bool) -> None:
        """`sole`: whose arguments may stand alone; `any_name`: unknown names are calls too."""
        self.classification: Verdict = "open"
        self.name = ""
        self.has_quotes = False
        self._tools = tools
        self._any_name = any_name
        self._own = frozenset(() if only_tool is None else properties_of(only_tool.parameters))
        self._names = frozenset(tool.name for tool in tools.tools) - _CALL_KEYS
        self._keys = _CALL_KEYS | self._names | self._own
        self._in_key = True
        self._key = ""
        self._value: list[str] = []
        self._quotes = 0

    def see(self, char: str, *, quoted: bool) -> None:
        """Take one character of the object's own level; `quoted`: of a string's content."""
        if self._in_key:
            self._see_key(char, quoted=quoted)
        elif char == "," and not quoted:
            self._end_value()
            self._in_key, self._key = True, ""
        else:
            self._see_value(char, quoted=quoted)

    def _see_key(self, char: str, *, quoted: bool) -> None:
        if not quoted and char in "\"'":
            self.has_quotes = True
        elif not quoted and char == ":":
            self._end_key()
        elif quoted or not (char.isspace() or char in ",}"):
            self._key += char
            if not any(key.startswith(self._key) for key in self._keys):
                self.classification = "data"

    def _end_key(self) -> None:
        if self._key in self._own:
            self.classification = "call"
        elif self._key not in self._keys:
            self.classification = "data"
        self._in_key, self._value, self._quotes = False, [], 0

    def _see_value(self, char: str, *, quoted: bool) -> None:
        if not quoted and char in "{[":
            self._see_nested()
        elif self._key in self._names:
            self.classification = "open" if char.isspace() else "data"
        elif self._key in NAME_KEYS or self._key == "type":
            if not quoted and char in "\"'":
                self._quotes += 1
            elif quoted or not (char.isspace() or char == "}"):
                self._value.append(char)
            self._judge_value(ended=self._quotes == 2 or (char == "}" and not quoted))

    def _see_nested(self) -> None:
        if self._key in WRAPPER_KEYS or self._key in self._names:
            self.classification = "call"
        elif self._key in NAME_KEYS or self._key == "type":
            self.classification = "data"

    def _end_value(self) -> None:
        if self._key in NAME_KEYS or self._key == "type":
            self._judge_value(ended=True)

    def _judge_value(self, *, ended: bool) -> None:
        if self._key != "type" and self._any_name and not ended:
            return  # any name may come of it, however long it gets
        value = "".join(self._value)
        if self._key == "type":
            fits = value in CALL_TYPES if ended else _begins(CALL_TYPES, value)
            self.classification = "open" if fits else "data"
        elif ended:
            self.name = value
            known = self._any_name or self._tools.find(value) is not None
            self.classification = "call" if known else "data"
        elif not self._tools.may_become(value):
            self.classification = "data"


def _begins(words: tuple[str, ...], beginning: str) -> bool:
    return any(word.startswith(beginning) for word in words)


class JsonScanner:
    """Finds the end of one JSON value, fed piece by piece, however badly it is written."""

    def __init__(self, *, outer: int = 0) -> None:
        """`outer`: how many arrays are open around it."""
        self._open = ["["] * outer
        self._quote = ""
        self._escaped = False
        self._last = "["
        self._is_seen = False  # by the probe, but left to the caller, who waits for more text

    @property
    def closed(self) -> bool:
        """Whether the value has ended."""
        return not self._open

    @property
    def exceeds_max_depth(self) -> bool:
        """Whether it is nested beyond what arguments are."""
        return len(self._open) > _MAX_DEPTH

    @property
    def truncated(self) -> bool:
        """Whether a value is missing here, or half there, rather than brackets only."""
        return self._quote != "" or self._last == ":"

    def within(self, outer: int) -> None:
        """Regard that many arrays as open around the value."""
        self._open[:0] = ["["] * outer

    def read(self, text: str, at: int, probe: CallClassifier | None = None) -> int:
        """Read on; the index after the value, or of what the caller must decide, or the end.

        The caller decides of `<` and backticks outside of strings, which may be a marker (see
        `skip`), of a `]` that closes nothing here, and of the character at which `probe`, which
        sees the value's own level, found this to be data.
        """
        while at < len(text) and not self.exceeds_max_depth:
            if probe is not None and self._is_probed(probe) and self._open and not self._is_seen:
                probe.see(text[at], quoted=self._in_content(text[at]))
                if probe.classification == "data":
                    return at
            following = self._string(text, at, probe) if self._quote else self._outside(text, at)
            self._is_seen = following == at
            if following == at or not self._open:
                return following
            at = following
        return at

    def skip(self, char: str) -> None:
        """Take what the caller decided to be no marker."""
        self._last = char
        self._is_seen = False

    def _is_probed(self, probe: CallClassifier) -> bool:
        return probe.classification == "open" and len(self._open) == 1

    def _in_content(self, char: str) -> bool:
        return self._quote != "" and (self._escaped or char != self._quote)

    def _string(self, text: str, at: int, probe: CallClassifier | None) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        if text[at] == "\\":
            self._escaped = True
        elif text[at] == self._quote:
            self._last, self._quote = self._quote, ""
        elif probe is None or not self._is_probed(probe):
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
        """Close up to the bracket that this one ends, whatever was forgotten in between."""
        while self._open and self._open.pop() != opened:
            pass
