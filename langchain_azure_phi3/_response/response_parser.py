"""An answer's text, told apart while it streams: thoughts, words, calls."""

from typing import NamedTuple

from langchain_azure_phi3._response.reasoning import ReasoningParser
from langchain_azure_phi3._tools.json_extraction import ObjectExtractor
from langchain_azure_phi3._tools.schema_compaction import to_compact_json
from langchain_azure_phi3._tools.tool_call_parser import ToolCallParser
from langchain_azure_phi3._tools.tool_choice import OutputSpec
from langchain_azure_phi3._tools.tools import Call

_NO_CALL = "There was no call of a tool, but one was demanded."


class ParsedText(NamedTuple):
    """What a piece of the answer brought, to pass on now."""

    thoughts: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()


class ResponseParser:
    """Reads one answer.

    Where a call or an object is demanded, nothing is passed on until it is there: a correction
    would have to take it back. `problem` says after `finish` what is missing; `leftover` gives
    what was held all the same. Where nothing may stand in the text but words, it `is_plain`.
    """

    def __init__(self, asked: OutputSpec | None, *, thinks: bool) -> None:
        """`asked`: what was asked for in words, if anything; `thinks`: look for `<think>`."""
        self.problem: str | None = None
        self.wrote: list[str] = []
        self._thoughts = ReasoningParser() if thinks else None
        self._tools: ToolCallParser | None = None
        self._object: ObjectExtractor | None = None
        self._demands_call = False
        if asked is not None:
            self._demands_call = asked.requires_tool_call
            if asked.tools:
                self._tools = ToolCallParser(asked.allowed_tools, required=asked.requires_tool_call)
            if asked.schema is not None and not asked.requires_tool_call:
                self._object = ObjectExtractor(asked.schema)
        self._holds = self._demands_call or self._object is not None
        self.is_plain = self._thoughts is None and self._tools is None and not self._holds
        self._text: list[str] = []
        self._calls: list[Call] = []

    def feed(self, text: str) -> ParsedText:
        """Read a piece."""
        if self.is_plain:
            return ParsedText("", text)
        thoughts, words = self._thoughts.feed(text) if self._thoughts is not None else ("", text)
        return self._told(thoughts, words, self._called(words) if words else ParsedText())

    def finish(self, *, truncated: bool) -> ParsedText:
        """Read the end; `cut_off`: it was not the model's own."""
        thoughts, words = self._thoughts.finish() if self._thoughts is not None else ("", "")
        said = self._called(words)
        if self._tools is not None:
            rest = self._tools.finish(truncated=truncated)
            said = ParsedText("", said.text + rest.text, said.calls + rest.calls)
        passed = self._told(thoughts, words, said)
        if not self._holds:
            return passed
        if self._object is not None and not any(call.error is None for call in self._calls):
            return ParsedText(passed.thoughts, passed.text + self._read_object(self._object))
        if self._demands_call:
            self.problem = "; ".join(call.error or "" for call in self._calls) or _NO_CALL
            return passed
        return ParsedText(passed.thoughts, *self.leftover()[1:])

    def leftover(self) -> ParsedText:
        """What was held back."""
        held = ParsedText("", "".join(self._text), tuple(self._calls))
        self._text, self._calls = [], []
        return held

    def _called(self, words: str) -> ParsedText:
        if self._tools is None:
            return ParsedText("", words)
        reading = self._tools.feed(words)
        return ParsedText("", reading.text, reading.calls)

    def _told(self, thoughts: str, words: str, said: ParsedText) -> ParsedText:
        if not self._holds:
            return ParsedText(thoughts, said.text, said.calls)
        self.wrote.append(words)
        self._text.append(said.text)
        self._calls += said.calls
        if self._demands_call and any(call.error is None for call in said.calls):
            self._holds = False
            return ParsedText(thoughts, *self.leftover()[1:])
        return ParsedText(thoughts)

    def _read_object(self, reader: ObjectExtractor) -> str:
        found, self.problem = reader.read("".join(self._text))
        if found is None:
            return ""
        self.problem = None
        self._text.clear()
        return to_compact_json(found)
