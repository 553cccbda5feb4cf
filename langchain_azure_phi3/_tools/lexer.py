"""Tokens of a response that may contain tool calls, found while the response streams.

The lexer reads each character once, apart from the few that may begin a marker, and holds back only
what may still become one. The parser's state decides where a marker counts: the parser calls the
method for its state, `text`, `opening`, `language`, `json` or `code`.
"""

import re
from enum import IntEnum, auto
from typing import NamedTuple, Protocol


class TokenType(IntEnum):
    """The type of a piece of a response."""

    TEXT = auto()
    SPACE = auto()  # white space; after a call, also separators between calls
    OPENER = auto()  # a tag or word before calls
    CLOSER = auto()  # a tag after calls
    CONTROL = auto()  # a control token of the chat template
    FENCE = auto()
    LANGUAGE = auto()  # the word after a fence; may be empty
    OBJECT_START = auto()  # empty: the brace belongs to the JSON that follows
    ARRAY_START = auto()
    ARRAY_END = auto()
    JSON = auto()
    CHARACTER = auto()  # could have begun a marker within JSON, but did not
    OTHER = auto()  # empty: the following text begins nothing
    END = auto()
    TRUNCATED = auto()  # the end of an incomplete response


class Token(NamedTuple):
    """A piece of a response."""

    type: TokenType
    text: str = ""

    @property
    def is_control(self) -> bool:
        """Whether it is a control token of the chat template, never to be shown as text."""
        return self.type in (TokenType.OPENER, TokenType.CLOSER) and "|" in self.text

    @property
    def marks_call(self) -> bool:
        """Whether it is a tag that announces calls."""
        return self.type is TokenType.OPENER and self.text not in _AMBIGUOUS_TAGS


class JsonReader(Protocol):
    """The JSON value that `Lexer.json` reads."""

    @property
    def is_settled(self) -> bool:
        """Whether the rest of the value is not needed."""

    def read(self, text: str, at: int) -> int:
        """Continue at an index; return the index of the first character that was not read."""


# Phi-4-mini was trained on <|tool_call|>, which the templates of some hosts rename. vLLM's template
# for it uses functools; Foundry Local and servers for other models use the tags without bars.
_TAGS = ("tool_call", "tool_calls", "function_call", "function_calls", "functioncall")
_PLAIN_TAGS = (*_TAGS, "toolcall", "TOOLCALL", "tools", "response")
_FENCES = ("```", "~~~")
_MARKERS: dict[str, TokenType] = {
    **dict.fromkeys((f"<|{tag}|>" for tag in _TAGS), TokenType.OPENER),
    **dict.fromkeys((f"<{tag}>" for tag in _PLAIN_TAGS), TokenType.OPENER),
    "functools": TokenType.OPENER,
    **dict.fromkeys((f"<|/{tag}|>" for tag in _TAGS), TokenType.CLOSER),
    **dict.fromkeys((f"</|{tag}|>" for tag in _TAGS), TokenType.CLOSER),
    **dict.fromkeys((f"</{tag}>" for tag in _PLAIN_TAGS), TokenType.CLOSER),
    **dict.fromkeys(
        (
            *("<|end|>", "<|endoftext|>", "<|assistant|>", "<|user|>"),
            *("<|im_end|>", "<|im_start|>"),
        ),
        TokenType.CONTROL,
    ),
    "</s>": TokenType.CLOSER,
    **dict.fromkeys(_FENCES, TokenType.FENCE),
}
_MARKER = re.compile("|".join(map(re.escape, _MARKERS)))
_LONGEST_MARKER = max(map(len, _MARKERS))
_MARKER_STARTS = frozenset(
    marker[:length] for marker in _MARKERS for length in range(1, len(marker))
)

# Tags that models also use for other text than calls.
_AMBIGUOUS_TAGS = frozenset({"<tools>", "<response>"})

# The languages of fenced blocks that may contain a call; those of CALL_LANGUAGES always do.
CALL_LANGUAGES = frozenset(
    {"tool_call", "tool_calls", "tool_use", "tool", "function_call", "function", "functools"}
)
JSON_LANGUAGES = CALL_LANGUAGES | {"", "json", "jsonc", "json5", "text", "plaintext"}

_MAY_BEGIN_CALL = re.compile(r"[<`~{\[]|f(?=u|\Z)")
_IN_WORD = re.compile(r"\w")
_SPACE = re.compile(r"\s+")
_SEPARATORS = re.compile(r"[\s,;}\]]+")
_WORD = re.compile(r"[\w+#.-]*")


class Lexer:
    """Cuts a response into tokens; each method returns the next one, or `None` to wait for text."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._before = ""  # the character before the text
        self._ended = False
        self._fence = _FENCES[0]  # the last one; a block ends with the fence that began it

    @property
    def is_empty(self) -> bool:
        """Whether all text was read."""
        return self._at == len(self._text)

    def feed(self, text: str) -> None:
        """Append a piece of the response."""
        if self._at:
            self._before = self._text[self._at - 1]
        self._text = self._text[self._at :] + text
        self._at = 0

    def end(self) -> None:
        """Treat the text as complete: nothing follows."""
        self._ended = True

    def rewind(self, length: int) -> None:
        """Go back by this many characters."""
        self._at -= length

    def pass_through(self, text: str) -> bool:
        """Skip a piece of ordinary text, if nothing in it or before it may begin a call."""
        if self._at < len(self._text) or _MAY_BEGIN_CALL.search(text) is not None:
            return False
        self.feed(text)
        self._at = len(text)
        return True

    def text(self) -> Token | None:
        """Return ordinary text up to the possible start of a call, or that start."""
        text, at = self._text, self._at
        found = _MAY_BEGIN_CALL.search(text, at)
        if found is None:
            return self._take(TokenType.TEXT, len(text))
        start = found.start()
        if start > at:
            return self._take(TokenType.TEXT, start)
        before = text[at - 1] if at else self._before
        if text[at] == "f" and _IN_WORD.match(before):
            return self._take(TokenType.TEXT, at + 1)
        return self._mark(TokenType.TEXT)

    def opening(self, *, after_call: bool = False) -> Token | None:
        """Return a token where a call may begin: white space, a marker, a bracket, or `OTHER`."""
        filler = _SEPARATORS if after_call else _SPACE
        found = filler.match(self._text, self._at)
        if found is not None:
            return self._take(TokenType.SPACE, found.end())
        token = self._mark(TokenType.OTHER)
        if token is None or token.type is not TokenType.OTHER:
            return token
        self.rewind(len(token.text))
        return Token(TokenType.OTHER)

    def language(self) -> Token | None:
        """Return the word after a fence, once it is complete or not one of JSON_LANGUAGES."""
        found = _WORD.match(self._text, self._at)
        end = self._at if found is None else found.end()
        word = self._text[self._at : end].casefold()
        may_go_on = end == len(self._text) and not self._ended
        if may_go_on and any(language.startswith(word) for language in JSON_LANGUAGES):
            return None
        return self._take(TokenType.LANGUAGE, end)

    def code(self) -> Token | None:
        """Return the inside of a fenced block, or the fence after it."""
        text, at = self._text, self._at
        if text.startswith(self._fence, at):
            return self._take(TokenType.FENCE, at + len(self._fence))
        end = text.find(self._fence, at)
        if end < 0:
            end = len(text) if self._ended else len(text.rstrip(self._fence[0]))
        return self._take(TokenType.TEXT, end) if end > at else None

    def json(self, reader: JsonReader) -> Token | None:
        """Return the text that the reader accepted, or the marker or character that stopped it."""
        end = reader.read(self._text, self._at)
        if end > self._at or reader.is_settled:
            return self._take(TokenType.JSON, end)
        if self._text[self._at] == "]":
            return self._take(TokenType.ARRAY_END, self._at + 1)
        return self._mark(TokenType.CHARACTER)

    def _mark(self, otherwise: TokenType) -> Token | None:
        """Return the marker or bracket at the current place, or one character of another type."""
        text, at = self._text, self._at
        char = text[at]
        if char == "{":
            return Token(TokenType.OBJECT_START)
        if char == "[":
            return self._take(TokenType.ARRAY_START, at + 1)
        if char in "<`~f":
            found = _MARKER.match(text, at)
            if found is not None:
                self._fence = found[0] if found[0] in _FENCES else self._fence
                return self._take(_MARKERS[found[0]], found.end())
            rest = text[at : at + _LONGEST_MARKER]
            if at + len(rest) == len(text) and not self._ended and rest in _MARKER_STARTS:
                return None
        return self._take(otherwise, at + 1)

    def _take(self, token_type: TokenType, end: int) -> Token:
        token = Token(token_type, self._text[self._at : end])
        self._at = end
        return token
