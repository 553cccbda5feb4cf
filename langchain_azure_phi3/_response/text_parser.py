"""Separates a response's text, while it streams, into reasoning, text and prompted tool calls."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from langchain_azure_phi3._response.reasoning import ReasoningParser, split_reasoning
from langchain_azure_phi3._response.turn_end import TurnEndFilter, Unescaper
from langchain_azure_phi3._tools.answer_parser import AnswerParser
from langchain_azure_phi3._tools.control_tokens import escape_strings, unescape_control_tokens
from langchain_azure_phi3._tools.json_extraction import ObjectExtractor
from langchain_azure_phi3._tools.schema_compaction import to_compact_json
from langchain_azure_phi3._tools.tool_choice import OutputSpec
from langchain_azure_phi3._tools.tools import Call

_NO_CALL = "There is no tool call, but one is required."


class ParsedText(NamedTuple):
    """The reasoning, text and calls to emit after a piece of the response."""

    reasoning: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()


@dataclass(slots=True)
class _Held:
    """What is held back: the text as the model wrote it, and what was found in it.

    Nothing in it is looked at again with each piece, or the work would grow with the square of the
    number of pieces.
    """

    raw: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    has_valid_call: bool = False
    is_blank: bool = True

    def add(self, raw: str, text: str, calls: Iterable[Call]) -> None:
        self.raw.append(raw)
        self.text.append(text)
        self.calls += calls
        self.has_valid_call = self.has_valid_call or any(call.error is None for call in calls)
        self.is_blank = self.is_blank and not text.strip()


class TextParser:
    """Parses the text of one response.

    If a tool call or an object is required, only reasoning is emitted until it is complete, because
    a correction would replace the text. If calls are optional, an invalid call and everything after
    it are held back, unless text was already emitted.

    Attributes:
        unmet_requirement: After `finish`, a sentence for the model about what is wrong or missing.
        is_holding: Whether text is held back because a correction may still replace it.
    """

    def __init__(
        self, output: OutputSpec | None, *, parses_reasoning: bool, corrects: bool = True
    ) -> None:
        """Start a response.

        Args:
            output: The tools and the format that the prompt requests, if any.
            parses_reasoning: Whether to look for `<think>`.
            corrects: Whether an invalid call can be corrected.
        """
        has_tools = output is not None and bool(output.tools)
        self.unmet_requirement: str | None = None
        self._turn_end = TurnEndFilter(has_tools=has_tools)
        self._reasoning = ReasoningParser() if parses_reasoning else None
        self._tool_calls: AnswerParser | None = None
        self._object: ObjectExtractor | None = None
        self._requires_call = output is not None and output.requires_tool_call
        if output is not None and has_tools:
            self._tool_calls = AnswerParser(output.allowed_tools, required=self._requires_call)
        if output is not None and output.schema is not None and not self._requires_call:
            self._object = ObjectExtractor(output.schema)
        requires = self._requires_call or self._object is not None
        self.is_holding = requires or (has_tools and corrects)
        self._held = _Held()
        self._unescaper = Unescaper()

    @property
    def raw_text(self) -> str:
        """The text that was held back, as the model wrote it, without its reasoning."""
        return "".join(self._held.raw)

    def feed(self, text: str) -> ParsedText:
        """Parse a piece of the response."""
        text = self._turn_end.feed(text)
        reasoning = ""
        if self._reasoning is not None:
            reasoning, text = self._reasoning.feed(text)
        calls: tuple[Call, ...] = ()
        raw = text
        if self._tool_calls is not None and text:
            text, calls = self._tool_calls.feed(text)
        return self._unescape(self._hold(raw, ParsedText(reasoning, text, calls)))

    def finish(self, *, truncated: bool) -> ParsedText:
        """Parse the end.

        Args:
            truncated: Whether the response was cut off, as at `max_tokens`.
        """
        truncated = truncated and not self._turn_end.has_ended
        reasoning, raw = self._finish_reasoning(self._turn_end.finish())
        before, raw = self._take_lone_reasoning(raw)
        reasoning += before
        text = raw
        calls: tuple[Call, ...] = ()
        if self._tool_calls is not None:
            fed = self._tool_calls.feed(raw)
            rest = self._tool_calls.finish(truncated=truncated)
            text, calls = fed.text + rest.text, fed.calls + rest.calls
        passed = self._hold(raw, ParsedText(reasoning, text, calls))
        if self.is_holding:
            passed = self._settle(passed.reasoning, truncated=truncated)
        passed = self._unescape(passed)
        return passed._replace(text=passed.text + self._unescaper.finish())

    def flush(self) -> ParsedText:
        """Return the text that is still held back after `finish`."""
        held = self._release("")
        calls = tuple(map(_unescape_call, held.calls))
        return ParsedText("", unescape_control_tokens(held.text), calls)

    def _release(self, reasoning: str) -> ParsedText:
        held = self._held
        self._held = _Held(raw=held.raw)
        return ParsedText(reasoning, "".join(held.text), tuple(held.calls))

    def _finish_reasoning(self, text: str) -> tuple[str, str]:
        if self._reasoning is None:
            return "", text
        fed, rest = self._reasoning.feed(text), self._reasoning.finish()
        return fed[0] + rest[0], fed[1] + rest[1]

    def _take_lone_reasoning(self, rest: str) -> tuple[str, str]:
        """Split the held text into reasoning without an opening tag and the text to parse.

        Calls and objects within this reasoning do not count.
        """
        if self._reasoning is None or not self.is_holding:
            return "", rest
        before, after = split_reasoning(self.raw_text + rest)
        if not before:
            return "", rest
        self._held = _Held()
        if self._tool_calls is not None:
            self._tool_calls.restart()
        return before, after

    def _settle(self, reasoning: str, *, truncated: bool) -> ParsedText:
        """Decide at the end about the text that is still held back."""
        held = self._held
        if held.has_valid_call:
            return self._release(reasoning)
        if held.calls:
            self.unmet_requirement = join_errors(held.calls)
        elif self._requires_call:
            self.unmet_requirement = _NO_CALL
        elif self._object is not None:
            return ParsedText(reasoning, self._extract(self._object, truncated=truncated))
        else:
            return self._release(reasoning)
        return ParsedText(reasoning)

    def _hold(self, raw: str, parsed: ParsedText) -> ParsedText:
        if not self.is_holding:
            return parsed
        self._held.add(raw, parsed.text, parsed.calls)
        if self._is_decided:
            self.is_holding = False
            return self._release(parsed.reasoning)
        return ParsedText(parsed.reasoning)

    @property
    def _is_decided(self) -> bool:
        """Whether a correction can no longer replace the held text."""
        if self._object is not None:
            return False
        if self._held.has_valid_call:
            can_be_reasoning = self._reasoning is not None and not self._reasoning.has_ended
            return self._held.is_blank or not can_be_reasoning
        return not self._requires_call and not self._held.calls and not self._held.is_blank

    def _extract(self, extractor: ObjectExtractor, *, truncated: bool) -> str:
        found, problem = extractor.read("".join(self._held.text), truncated=truncated)
        if found is None:
            self.unmet_requirement = problem
            return ""
        self._held.text.clear()
        return to_compact_json(found)

    def _unescape(self, parsed: ParsedText) -> ParsedText:
        """Undo the escape of control tokens in streamed text."""
        if not parsed.text and not parsed.calls:
            return parsed
        text = self._unescaper.feed(parsed.text) if parsed.text else ""
        return ParsedText(parsed.reasoning, text, tuple(map(_unescape_call, parsed.calls)))


def join_errors(calls: Iterable[Call]) -> str:
    """Join the errors of invalid calls into a text for the model."""
    return "; ".join(dict.fromkeys(call.error or "" for call in calls))


def _unescape_call(call: Call) -> Call:
    if "|>" not in call.raw:
        return call
    arguments = escape_strings(call.arguments, unescape_control_tokens)
    return Call(call.name, arguments, unescape_control_tokens(call.raw), call.error)


def parse_text(
    text: str, output: OutputSpec | None, *, parses_reasoning: bool, truncated: bool
) -> tuple[ParsedText, str | None, str]:
    """Parse the text of a complete response.

    Returns:
        The parsed text; what is wrong or missing, if anything; and the text to quote to the model
        in a correction.
    """
    reasoning, rest = split_reasoning(text) if parses_reasoning else ("", text)
    parser = TextParser(output, parses_reasoning=parses_reasoning)
    parts = [ParsedText(reasoning), parser.feed(rest), parser.finish(truncated=truncated)]
    if parser.unmet_requirement is not None:
        parts.append(parser.flush())
    parsed = ParsedText(
        "".join(part.reasoning for part in parts),
        "".join(part.text for part in parts),
        tuple(call for part in parts for call in part.calls),
    )
    problem = parser.unmet_requirement
    if problem is None and parsed.calls and all(call.error for call in parsed.calls):
        return parsed, join_errors(parsed.calls), rest  # the text next to them was not emitted yet
    return parsed, problem, parser.raw_text
