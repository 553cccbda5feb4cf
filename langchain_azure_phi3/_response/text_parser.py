"""Separates a response's text, while it streams, into reasoning, text and prompted tool calls."""

from typing import NamedTuple

from langchain_azure_phi3._response.reasoning import ReasoningParser
from langchain_azure_phi3._tools.json_extraction import ObjectExtractor
from langchain_azure_phi3._tools.schema_compaction import to_compact_json
from langchain_azure_phi3._tools.tool_call_parser import ToolCallParser
from langchain_azure_phi3._tools.tool_choice import OutputSpec
from langchain_azure_phi3._tools.tools import Call

_NO_CALL = "There was no call of a tool, but one was demanded."


class ParsedText(NamedTuple):
    """What a piece of the response adds, to pass on now."""

    reasoning: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()


class TextParser:
    """Parses the text of one response.

    Where a tool call or an object is required, nothing but reasoning is passed on until it is
    there: a correction would have to take it back.

    Attributes:
        unmet_requirement: After `finish`, what is wrong or missing, in a sentence for the model.
        is_holding: Whether text is held back because something required has not come yet.
    """

    def __init__(self, output: OutputSpec | None, *, parses_reasoning: bool) -> None:
        """Start a response.

        Args:
            output: The tools and the format that were requested by prompt, if any.
            parses_reasoning: Whether to look for `<think>`.
        """
        self.unmet_requirement: str | None = None
        self._reasoning = ReasoningParser() if parses_reasoning else None
        self._tool_calls: ToolCallParser | None = None
        self._object: ObjectExtractor | None = None
        self._requires_call = output is not None and output.requires_tool_call
        if output is not None and output.tools:
            self._tool_calls = ToolCallParser(output.allowed_tools, required=self._requires_call)
        if output is not None and output.schema is not None and not self._requires_call:
            self._object = ObjectExtractor(output.schema)
        self.is_holding = self._requires_call or self._object is not None
        self._raw: list[str] = []
        self._text: list[str] = []
        self._calls: list[Call] = []

    @property
    def raw_text(self) -> str:
        """The text that was held back, as the model wrote it and without its reasoning."""
        return "".join(self._raw)

    def feed(self, text: str) -> ParsedText:
        """Parse a piece of the response."""
        reasoning = ""
        if self._reasoning is not None:
            reasoning, text = self._reasoning.feed(text)
        calls: tuple[Call, ...] = ()
        raw = text
        if self._tool_calls is not None and text:
            text, calls = self._tool_calls.feed(text)
        return self._hold(raw, ParsedText(reasoning, text, calls))

    def finish(self, *, truncated: bool) -> ParsedText:
        """Parse the end.

        Args:
            truncated: Whether the model did not end the response itself, as at `max_tokens`.
        """
        reasoning, raw = self._reasoning.finish() if self._reasoning is not None else ("", "")
        text = raw
        calls: tuple[Call, ...] = ()
        if self._tool_calls is not None:
            fed = self._tool_calls.feed(raw)
            rest = self._tool_calls.finish(truncated=truncated)
            text, calls = fed.text + rest.text, fed.calls + rest.calls
        passed = self._hold(raw, ParsedText(reasoning, text, calls))
        if not self.is_holding:
            return passed
        if self._object is not None and not any(call.error is None for call in self._calls):
            return ParsedText(passed.reasoning, passed.text + self._extract(self._object))
        if self._requires_call:
            self.unmet_requirement = "; ".join(call.error or "" for call in self._calls) or _NO_CALL
            return passed
        return self.flush(passed.reasoning)

    def flush(self, reasoning: str = "") -> ParsedText:
        """What was held back, behind `reasoning`."""
        held = ParsedText(reasoning, "".join(self._text), tuple(self._calls))
        self._text, self._calls = [], []
        return held

    def _hold(self, raw: str, parsed: ParsedText) -> ParsedText:
        if not self.is_holding:
            return parsed
        self._raw.append(raw)
        self._text.append(parsed.text)
        self._calls += parsed.calls
        if self._requires_call and any(call.error is None for call in parsed.calls):
            self.is_holding = False
            return self.flush(parsed.reasoning)
        return ParsedText(parsed.reasoning)

    def _extract(self, extractor: ObjectExtractor) -> str:
        found, problem = extractor.read("".join(self._text))
        if found is None:
            self.unmet_requirement = problem
            return ""
        self._text.clear()
        return to_compact_json(found)


def parse_text(
    text: str, output: OutputSpec | None, *, parses_reasoning: bool, truncated: bool
) -> tuple[ParsedText, str | None, str]:
    """A complete response's text, parsed.

    Returns:
        What it holds; what it lacks of the requirements, if anything; and the text to quote to the
        model in a correction.
    """
    parser = TextParser(output, parses_reasoning=parses_reasoning)
    parts = [parser.feed(text), parser.finish(truncated=truncated)]
    if parser.unmet_requirement is not None:
        parts.append(parser.flush())
    parsed = ParsedText(
        "".join(part.reasoning for part in parts),
        "".join(part.text for part in parts),
        tuple(call for part in parts for call in part.calls),
    )
    return parsed, parser.unmet_requirement, parser.raw_text
