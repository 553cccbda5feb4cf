"""Finds tool calls in text while it streams.

`Lexer` cuts the response into tokens and holds back only what may still become a marker; the parser
decides which tokens are text and which belong to calls, by a table of `(state, token)`. Text is
held back only while it may still become a call. The emitted text contains neither the calls nor
what marks or separates them (tags, fences, brackets, commas, white space), and no control tokens of
the chat template at the beginning, at the end or next to a call.

A call that the model merely quotes is text. Unless a call is required, it only counts if it is
separate from prose: on its own lines, in its own fence, or between tags that are not in inline code
or a quotation.
"""

from collections.abc import Callable, Iterable
from enum import IntEnum, auto
from typing import NamedTuple

from langchain_azure_phi3._tools.call_candidate import CandidateObject, Line, Nesting
from langchain_azure_phi3._tools.call_classifier import CallClassifier, CallKeys
from langchain_azure_phi3._tools.json_scanner import JsonScanner
from langchain_azure_phi3._tools.lexer import (
    CALL_LANGUAGES,
    JSON_LANGUAGES,
    Lexer,
    Token,
    TokenType,
)
from langchain_azure_phi3._tools.tool_call_formats import CallNormalizer
from langchain_azure_phi3._tools.tools import Call, Tool, Toolbox

TRUNCATED = "The response ended inside this call."


class ParseResult(NamedTuple):
    """The text and calls found in the last piece of text.

    Attributes:
        text: Text to emit now.
        calls: Calls that were completed.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()


class State(IntEnum):
    """The state of the parser within a response."""

    START = auto()  # at the start, or after a control token: a call may begin
    TEXT = auto()
    AFTER_CALL = auto()
    OPENED = auto()  # after a tag, a fence or a bracket: a call follows, or it was text
    LANGUAGE = auto()  # after the backticks of a fence
    OBJECT = auto()  # in an object that may be a call
    DATA = auto()  # in JSON that is not a call and contains none
    CODE = auto()  # in a fenced block without a call


class ToolCallParser:
    """Parses one response."""

    def __init__(self, tools: Iterable[Tool], *, required: bool) -> None:
        """Parse calls of these tools.

        Args:
            tools: The tools that may be called.
            required: Whether the response must be a call. If there is only one tool, its bare
                arguments then count as a call too.
        """
        toolbox = Toolbox(tools)
        only_tool = toolbox.tools[0] if required and len(toolbox.tools) == 1 else None
        self._required = required
        self._keys = CallKeys.of(toolbox, only_tool)
        self._normalizer = CallNormalizer(toolbox, only_tool=only_tool)
        self._lexer = Lexer()
        self._state = State.START
        self._held: list[Token] = []  # read, but not yet known to be text
        self._nesting = Nesting()
        self._object = CandidateObject(JsonScanner())
        self._output = _Output()

    def feed(self, text: str) -> ParseResult:
        """Parse a piece of the response."""
        if self._state is State.TEXT and self._lexer.pass_through(text):
            self._output.emit(text)
        else:
            self._lexer.feed(text)
            self._parse()
        return self._output.take()

    def finish(self, *, truncated: bool = False) -> ParseResult:
        """Parse the end; `truncated`: the response is incomplete, as at `max_tokens`."""
        self._lexer.end()
        self._parse()
        self._handle(Token(TokenType.TRUNCATED if truncated else TokenType.END))
        self._output.confirm()
        return self._output.take()

    def _parse(self) -> None:
        while not self._lexer.is_empty:
            token = _NEXT_TOKEN[self._state](self)
            if token is None:
                return
            self._handle(token)

    def _handle(self, token: Token) -> None:
        self._state = _TRANSITIONS[self._state][token.type](self, token)

    # Transitions: each handles a token and returns the next state.

    def _emit(self, token: Token) -> State:
        self._output.emit(token.text)
        return self._state

    def _hold(self, token: Token) -> State:
        self._held.append(token)
        return self._state

    def _hold_at_start(self, token: Token) -> State:
        self._held.append(token)
        return State.START

    def _hold_separators(self, token: Token) -> State:
        if "\n" in token.text:
            self._output.confirm()
        if "]" in token.text:
            self._nesting.close_arrays()
        return self._hold(token)

    def _hold_after_call(self, token: Token) -> State:
        self._output.confirm()
        return self._hold(token)

    def _begin_in_text(self, token: Token) -> State:
        """Handle the possible start of a call after text, where it may also be a quotation."""
        line = self._output.line
        if token.is_control or token.marks_call or token.type is TokenType.FENCE:
            quoted = line.is_in_code or line.is_quotation
        else:
            quoted = not line.is_blank and not line.is_tagged
        if quoted and token.type in (TokenType.OPENER, TokenType.FENCE):
            return self._emit(token)
        self._nesting = Nesting(quoted=quoted and not self._required)
        return _BEGINNINGS[token.type](self, token)

    def _open_tag(self, token: Token) -> State:
        self._output.confirm()
        self._nesting.open(token.type, marked=token.marks_call)
        self._held.append(token)
        return State.OPENED

    def _open_array(self, token: Token) -> State:
        self._nesting.open(token.type)
        self._held.append(token)
        return State.OPENED

    def _open_fence(self, token: Token) -> State:
        self._output.confirm()
        self._held.append(token)
        return State.LANGUAGE

    def _close_fence(self, token: Token) -> State:
        """Handle a fence after a call: the end of the call's fence, or the start of another one."""
        if TokenType.FENCE not in self._nesting:
            return self._open_fence(token)
        self._output.confirm()
        self._nesting.close_all()
        return State.AFTER_CALL

    def _open_language(self, token: Token) -> State:
        language = token.text.casefold()
        self._nesting.open(TokenType.FENCE, marked=language in CALL_LANGUAGES)
        self._held.append(token)
        return State.OPENED if language in JSON_LANGUAGES else self._reject()

    def _open_object(self, _: Token) -> State:
        marked = self._nesting.marked
        classifier = CallClassifier(self._keys, any_name=self._required or marked)
        self._object = CandidateObject(JsonScanner(classifier), marked=marked)
        return State.OBJECT

    def _extend_object(self, token: Token) -> State:
        self._object.pieces.append(token.text)
        if self._object.scanner.closed:
            return self._complete()
        return self._reject() if self._object.is_settled else State.OBJECT

    def _extend_data(self, token: Token) -> State:
        self._output.emit(token.text)
        return State.TEXT if self._object.scanner.is_settled else State.DATA

    def _end_object(self, token: Token) -> State:
        """End the object at a marker that ends its enclosure."""
        self._lexer.rewind(len(token.text))
        return self._complete()

    def _end_enclosed_object(self, token: Token) -> State:
        """End the object at a bracket or a fence, but only if one is open."""
        opened = TokenType.ARRAY_START if token.type is TokenType.ARRAY_END else token.type
        return self._end_object(token) if opened in self._nesting else self._skip_in_object(token)

    def _skip_in_object(self, token: Token) -> State:
        self._object.pieces.append(self._skip(token))
        return State.OBJECT

    def _skip_in_data(self, token: Token) -> State:
        self._output.emit(self._skip(token))
        return State.DATA

    def _skip(self, token: Token) -> str:
        """Read the first character of a token that is not a marker here."""
        self._lexer.rewind(len(token.text) - 1)
        self._object.scanner.skip(token.text[0])
        return token.text[0]

    def _end_data(self, token: Token) -> State:
        self._lexer.rewind(len(token.text))
        return State.TEXT

    def _end_code(self, token: Token) -> State:
        self._output.emit(token.text)
        return State.TEXT

    def _reject_opened(self, token: Token) -> State:
        self._lexer.rewind(len(token.text))
        return self._reject()

    def _release(self, _: Token) -> State:
        """Emit the held text, without the parts that belong to a call, because text follows."""
        held = self._text_of_held()
        if self._state is State.AFTER_CALL:
            is_text = self._output.reject_pending()
            blank = "" if self._output.is_blank else held[len(held.rstrip()) :]
            held = held if is_text else blank
        elif self._output.last_char == "":
            shown = (TokenType.SPACE, TokenType.CLOSER)
            held = "".join(t.text for t in self._held if t.type in shown and not t.is_control)
        self._output.emit(held)
        return self._leave(State.CODE if TokenType.FENCE in self._nesting else State.TEXT)

    def _end_at_start(self, token: Token) -> State:
        """End the response: drop control tokens, keep tags and a response of only white space."""
        is_tag = any(t.type is TokenType.CLOSER and not t.is_control for t in self._held)
        if is_tag:
            self._held = [t for t in self._held if t.type is not TokenType.CONTROL]
        has_text = self._output.last_char != ""
        return self._end(token) if has_text and not is_tag else self._release(token)

    def _end(self, _: Token) -> State:
        return self._leave(State.TEXT)

    def _text_of_held(self) -> str:
        return "".join(token.text for token in self._held if not token.is_control)

    def _end_in_object(self, _: Token) -> State:
        """End the response within an object: a call without its last brackets, or half a call."""
        if not self._object.may_be_call:
            return self._reject()
        return self._accept_truncated() if self._object.scanner.truncated else self._complete()

    def _truncate_object(self, _: Token) -> State:
        return self._accept_truncated() if self._object.may_be_call else self._reject()

    # Steps that transitions share.

    def _complete(self) -> State:
        """Handle a complete object, which is a call or text."""
        if self._nesting.quoted:
            return self._reject()
        marked = self._nesting.marked or self._required
        calls = self._normalizer.calls(
            "".join(self._object.pieces), marked=marked, in_array=self._nesting.arrays > 0
        )
        return self._accept(calls) if calls else self._reject()

    def _accept_truncated(self) -> State:
        if self._nesting.quoted:
            return self._reject()
        name, raw = self._object.name, "".join(self._object.pieces)
        tool = self._keys.tools.find(name)
        return self._accept([Call(name if tool is None else tool.name, None, raw, TRUNCATED)])

    def _accept(self, calls: Iterable[Call]) -> State:
        is_enclosed = TokenType.OPENER in self._nesting or TokenType.FENCE in self._nesting
        is_alone = self._required or is_enclosed
        text = self._text_of_held() + "".join(self._object.pieces)
        self._output.add(calls, text, is_pending=not is_alone)
        self._held.clear()
        self._nesting.mark_following()
        return State.AFTER_CALL

    def _reject(self) -> State:
        """Emit the held tokens as text, and the rest of a fenced block or of other JSON as well."""
        self._output.reject_pending()
        self._output.emit(self._text_of_held())
        self._output.line.is_tagged |= any(token.is_control for token in self._held)
        if self._state is not State.OBJECT:
            return self._leave(State.CODE if TokenType.FENCE in self._nesting else State.TEXT)
        self._output.emit("".join(self._object.pieces))
        if TokenType.FENCE in self._nesting:
            return self._leave(State.CODE)
        is_json = self._object.read_as_data(arrays=self._nesting.arrays)
        return self._leave(State.DATA if is_json else State.TEXT)

    def _leave(self, state: State) -> State:
        self._held.clear()
        self._nesting = Nesting()
        return state


class _Output:
    """Text and calls found since `take` was last called."""

    def __init__(self) -> None:
        self.last_char = ""  # of all emitted text
        self.line = Line()
        self._text: list[str] = []
        self._calls: list[Call] = []
        self._pending: list[Call] = []  # calls, unless text follows on their line
        self._pending_text = ""

    @property
    def is_blank(self) -> bool:
        """Whether the text that was emitted last is empty or ends with white space."""
        return self.last_char == "" or self.last_char.isspace()

    def emit(self, text: str) -> None:
        """Add text."""
        if text:
            self._text.append(text)
            self.last_char = text[-1]
            self.line.feed(text)

    def add(self, calls: Iterable[Call], text: str, *, is_pending: bool) -> None:
        """Add calls, and the text to emit instead if they turn out to be part of a sentence."""
        if not is_pending:
            self.confirm()
            self._calls += calls
            return
        self._pending += calls
        self._pending_text += text

    def confirm(self) -> None:
        """Accept pending calls, because their line contains nothing else."""
        self._calls += self._pending
        self._pending, self._pending_text = [], ""

    def reject_pending(self) -> bool:
        """Turn pending calls into text, because text follows on their line; `False` if none."""
        text = self._pending_text
        self._pending, self._pending_text = [], ""
        self.emit(text)
        return text != ""

    def take(self) -> ParseResult:
        """Return the text and calls found, and forget them."""
        result = ParseResult("".join(self._text), tuple(self._calls))
        self._text, self._calls = [], []
        return result


# The lexer method that each state uses.
_NEXT_TOKEN: dict[State, Callable[[ToolCallParser], Token | None]] = {
    State.START: lambda parser: parser._lexer.opening(),
    State.TEXT: lambda parser: parser._lexer.text(),
    State.AFTER_CALL: lambda parser: parser._lexer.opening(after_call=True),
    State.OPENED: lambda parser: parser._lexer.opening(),
    State.LANGUAGE: lambda parser: parser._lexer.language(),
    State.OBJECT: lambda parser: parser._lexer.json(parser._object),
    State.DATA: lambda parser: parser._lexer.json(parser._object.scanner),
    State.CODE: lambda parser: parser._lexer.code(),
}

_Transition = Callable[[ToolCallParser, Token], State]

_BEGINNINGS: dict[TokenType, _Transition] = {
    TokenType.OPENER: ToolCallParser._open_tag,
    TokenType.FENCE: ToolCallParser._open_fence,
    TokenType.ARRAY_START: ToolCallParser._open_array,
    TokenType.OBJECT_START: ToolCallParser._open_object,
}

# The tokens that can occur in each state, and their transitions.
_TRANSITIONS: dict[State, dict[TokenType, _Transition]] = {
    State.START: {
        **_BEGINNINGS,
        TokenType.SPACE: ToolCallParser._hold,
        TokenType.CLOSER: ToolCallParser._hold,
        TokenType.CONTROL: ToolCallParser._hold,
        TokenType.OTHER: ToolCallParser._release,
        TokenType.END: ToolCallParser._end_at_start,
        TokenType.TRUNCATED: ToolCallParser._end_at_start,
    },
    State.TEXT: {
        **dict.fromkeys(_BEGINNINGS, ToolCallParser._begin_in_text),
        TokenType.TEXT: ToolCallParser._emit,
        TokenType.CLOSER: ToolCallParser._hold_at_start,
        TokenType.CONTROL: ToolCallParser._hold_at_start,
        TokenType.END: ToolCallParser._end,
        TokenType.TRUNCATED: ToolCallParser._end,
    },
    State.AFTER_CALL: {
        **_BEGINNINGS,
        TokenType.SPACE: ToolCallParser._hold_separators,
        TokenType.CLOSER: ToolCallParser._hold_after_call,
        TokenType.CONTROL: ToolCallParser._hold_after_call,
        TokenType.FENCE: ToolCallParser._close_fence,
        TokenType.OTHER: ToolCallParser._release,
        TokenType.END: ToolCallParser._end,
        TokenType.TRUNCATED: ToolCallParser._end,
    },
    State.OPENED: {
        **_BEGINNINGS,
        TokenType.SPACE: ToolCallParser._hold,
        TokenType.CLOSER: ToolCallParser._reject_opened,
        TokenType.CONTROL: ToolCallParser._reject_opened,
        TokenType.OTHER: ToolCallParser._reject_opened,
        TokenType.END: ToolCallParser._reject_opened,
        TokenType.TRUNCATED: ToolCallParser._reject_opened,
    },
    State.LANGUAGE: {
        TokenType.LANGUAGE: ToolCallParser._open_language,
        TokenType.END: ToolCallParser._reject_opened,
        TokenType.TRUNCATED: ToolCallParser._reject_opened,
    },
    State.OBJECT: {
        TokenType.JSON: ToolCallParser._extend_object,
        TokenType.OPENER: ToolCallParser._end_object,
        TokenType.CLOSER: ToolCallParser._end_object,
        TokenType.CONTROL: ToolCallParser._end_object,
        TokenType.FENCE: ToolCallParser._end_enclosed_object,
        TokenType.ARRAY_END: ToolCallParser._end_enclosed_object,
        TokenType.CHARACTER: ToolCallParser._skip_in_object,
        TokenType.END: ToolCallParser._end_in_object,
        TokenType.TRUNCATED: ToolCallParser._truncate_object,
    },
    State.DATA: {
        TokenType.JSON: ToolCallParser._extend_data,
        TokenType.OPENER: ToolCallParser._end_data,
        TokenType.CLOSER: ToolCallParser._end_data,
        TokenType.CONTROL: ToolCallParser._end_data,
        TokenType.FENCE: ToolCallParser._end_data,
        TokenType.ARRAY_END: ToolCallParser._skip_in_data,
        TokenType.CHARACTER: ToolCallParser._skip_in_data,
        TokenType.END: ToolCallParser._end,
        TokenType.TRUNCATED: ToolCallParser._end,
    },
    State.CODE: {
        TokenType.TEXT: ToolCallParser._emit,
        TokenType.FENCE: ToolCallParser._end_code,
        TokenType.END: ToolCallParser._end,
        TokenType.TRUNCATED: ToolCallParser._end,
    },
}
