r"""Parses almost-valid JSON in linear time, and can keep the text of each number.

Besides JSON, it accepts comments, trailing and missing commas, missing and excess closing brackets,
keys and strings without quotes, single and triple quotes, quotes and line breaks within strings,
escapes that JSON does not have (`\_`), Python's literals, and numbers with leading zeros.
"""

import json
import re
from contextlib import suppress
from typing import Any, Self

from langchain_azure_phi3._types import is_deeper

_MAX_DEPTH = 64

_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/|\#[^\n]*)*", re.DOTALL)
_STRING_STOPS = {quote: re.compile(rf"[{quote}\\]") for quote in "\"'"} | {
    "\u201c": re.compile("[\u201d\\\\]")
}
_CLOSING_QUOTES = {"\u201c": "\u201d"}
_TRIPLE_QUOTED = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)
_BARE_KEY = re.compile(r"""[^\s:,{}\[\]"'()]+""")
_BARE_VALUE = re.compile(r"""[^\n,{}\[\]"'()]+""")
# Follows the comma after a string in an object: a key, or the end.
_NEXT_KEY = re.compile(
    r"""\Z|[}\]{]|["'\u201c][^\n]{0,200}?["'\u201d]\s*:|[\w$-]{1,60}\s*:|["'][^"'\n]{0,200}\Z"""
)
_NEXT_ITEM = re.compile(r"""\Z|["'\u201c\[\]{}\d+-]|(?:true|false|null|True|False|None)\b""")
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?P<decimals>\.\d*)?|\.\d+)(?P<exponent>[eE][+-]?\d+)?")
_LITERALS = {"true": True, "false": False, "null": None, "none": None, "undefined": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?")
_ESCAPED_OBJECT = re.compile(r'\s*+\[?\s*+\{\s*+\\"')


class WrittenInt(int):
    """An integer, with its text."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the number that a text writes."""
        number = cls(text)
        number.text = text
        return number


class WrittenFloat(float):
    """A decimal number, with its text, which may have more digits."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the number that a text writes."""
        number = cls(text)
        number.text = text
        return number


def parse_lenient_json(text: str, *, keep_number_text: bool = False) -> Any:
    """Parse a text that is JSON or almost-valid JSON; return `None` if it is neither.

    With `keep_number_text`, numbers are of `WrittenInt` and `WrittenFloat`; see `to_plain`.
    """
    value = parse_strict_json(text)
    if value is None:
        if _ESCAPED_OBJECT.match(text):
            text = text.replace('\\"', '"')
        with suppress(ValueError):
            value, _ = parse_prefix(text, 0)
    return value if keep_number_text else to_plain(value)


def parse_strict_json(text: str) -> Any:
    """Parse a text that is JSON, apart from line breaks in strings; else return `None`."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return None if is_deeper(value, _MAX_DEPTH + 1) else value


def parse_strict_prefix(text: str, at: int) -> tuple[Any, int]:
    """Return the JSON value that starts at an index, and the index after it.

    Raises:
        ValueError: There is none, or it is nested too deeply.
    """
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise ValueError("The value is nested too deeply.") from None
    if is_deeper(value, _MAX_DEPTH + 1):
        raise ValueError("The value is nested too deeply.")
    return value, end


def parse_prefix(text: str, at: int) -> tuple[Any, int]:
    """Return the value at an index, which may be almost-valid JSON, and the index after it.

    Raises:
        ValueError: There is none.
    """
    parser = _Parser(text, at)
    return parser.value(0), parser.at


def to_plain(value: Any) -> Any:
    """Convert the numbers in a value to `int` and `float`."""
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_plain(item) for item in value]
    if isinstance(value, WrittenInt):
        return int(value)
    return float(value) if isinstance(value, WrittenFloat) else value


_DECODER = json.JSONDecoder(
    strict=False, parse_int=WrittenInt.parse, parse_float=WrittenFloat.parse
)


class _Parser:
    """Reads one value; `at` is the index of the next character."""

    def __init__(self, text: str, at: int) -> None:
        self.at = at
        self._text = text
        self._open: list[str] = []

    def value(self, depth: int) -> Any:
        """Return the next value."""
        if depth > _MAX_DEPTH:
            raise ValueError("The value is nested too deeply.")
        char = self._skip_space()
        if char == "{":
            return self._nested("{", "}", self._object, depth)
        if char == "[":
            return self._nested("[", "]", self._array, depth)
        if char in _STRING_STOPS:
            return self._quoted(char, is_key=False)
        return self._bare()

    def _nested(self, opening: str, closing: str, read: Any, depth: int) -> Any:
        """Read an object or array, up to its end or the end of its enclosure."""
        self.at += 1
        self._open.append(closing)
        found = read(depth)
        self._open.pop()
        if self._skip_space() == closing:
            self.at += 1
        return found

    def _ends(self, char: str) -> bool:
        """Whether a character, or the end of the text, ends the innermost object or array."""
        if char in ("}", "]") and char not in self._open:
            self.at += 1  # in excess
            return False
        return char in ("", "}", "]")

    def _object(self, depth: int) -> Any:
        found: dict[str, Any] = {}
        while not self._ends(char := self._skip_space()):
            if char in ",;}]":
                self.at += char in ",;"
                continue
            if char == "{" and not found:  # braces doubled as in a template
                return self.value(depth + 1)
            key = self._quoted(char, is_key=True) if char in _STRING_STOPS else self._bare_key()
            if self._skip_space() != ":":
                raise ValueError("A key has no value.")
            self.at += 1
            if self._skip_space() in ("", ",", "}", "]"):
                raise ValueError("A key has no value.")
            found[key] = self.value(depth + 1)
        return found

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while not self._ends(char := self._skip_space()):
            if char in ",;}]":
                self.at += char in ",;"
                continue
            found.append(self.value(depth + 1))
        return found

    def _skip_space(self) -> str:
        """Skip white space and comments; return the next character, empty at the end."""
        space = _SPACE.match(self._text, self.at)
        self.at = self.at if space is None else space.end()
        return self._text[self.at : self.at + 1]

    def _bare_key(self) -> str:
        found = _BARE_KEY.match(self._text, self.at)
        if found is None:
            raise ValueError("A key is missing.")
        self.at = found.end()
        return found[0]

    def _bare(self) -> Any:
        found = _BARE_VALUE.match(self._text, self.at)
        if found is None:
            raise ValueError("A value is missing.")
        self.at = found.end()
        word = re.split(r"\s(?://|#)", found[0], maxsplit=1)[0].strip()
        if self._text[self.at : self.at + 1] in ("(", "'", '"') or not word:
            raise ValueError("This is code.")
        if word.casefold() in _LITERALS:
            return _LITERALS[word.casefold()]
        number = _NUMBER.fullmatch(word)
        if number is None:
            return word
        is_float = number["decimals"] is not None or number["exponent"] is not None
        return (WrittenFloat if is_float or word[:1] == "." else WrittenInt).parse(word)

    def _quoted(self, quote: str, *, is_key: bool) -> str:
        """Read a string, up to the quote after which JSON continues."""
        triple = _TRIPLE_QUOTED.match(self._text, self.at)
        if triple is not None:
            self.at = triple.end()
            return str(triple[1] if triple[1] is not None else triple[2])
        closing = _CLOSING_QUOTES.get(quote, quote)
        pieces: list[str] = []
        at = self.at + 1
        while (stop := _STRING_STOPS[quote].search(self._text, at)) is not None:
            pieces.append(self._text[at : stop.start()])
            at = stop.end()
            if stop[0] == "\\":
                piece, at = self._escape(stop.start())
                pieces.append(piece)
            elif self._ends_string(at, is_key=is_key):
                self.at = at
                return "".join(pieces)
            else:
                pieces.append(closing)
        if is_key:
            raise ValueError("A key does not end.")
        pieces.append(self._text[at:])
        self.at = len(self._text)
        return "".join(pieces)

    def _escape(self, at: int) -> tuple[str, int]:
        """Return the character of an escape sequence, and the index after it."""
        found = _UNICODE.match(self._text, at)
        if found is not None and found[2] is not None and "d8" <= found[1][:2].lower() <= "db":
            return json.loads(f'"{found[0]}"'), found.end()
        if found is not None:
            return chr(int(found[1], 16)), at + 6
        char = self._text[at + 1 : at + 2]
        if char in _ESCAPES:
            return _ESCAPES[char], at + 2
        # Markdown's escapes mean the character; `\d` and `C:\Users` are meant literally.
        return (f"\\{char}" if char.isalnum() else char), at + 1 + len(char)

    def _ends_string(self, at: int, *, is_key: bool) -> bool:
        """Whether the quote before an index ends a string: whether JSON continues after it."""
        text = self._text
        space = _SPACE.match(text, at)
        at = at if space is None else space.end()
        following = text[at : at + 1]
        if is_key:
            return following == ":"
        if following in ("", "}", "]"):
            return True
        is_in_object = self._open[-1:] == ["}"]
        if following == ",":
            space = _SPACE.match(text, at + 1)
            at = at + 1 if space is None else space.end()
            return (_NEXT_KEY if is_in_object else _NEXT_ITEM).match(text, at) is not None
        if is_in_object:  # a comma may be missing
            return following != "{" and _NEXT_KEY.match(text, at) is not None
        return following in _STRING_STOPS and space is not None and space.end() > space.start()
