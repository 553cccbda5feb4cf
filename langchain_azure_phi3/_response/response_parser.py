"""An answer's text, told apart while it streams: thoughts, words, calls."""

from typing import NamedTuple

from langchain_azure_phi3._response.reasoning import ThoughtReader
from langchain_azure_phi3._tools.json_extraction import ObjectReader, json_text
from langchain_azure_phi3._tools.tool_call_parser import ToolReader
from langchain_azure_phi3._tools.tool_choice import Asked
from langchain_azure_phi3._tools.tools import Call

_NO_CALL = "There was no call of a tool, but one was demanded."


class Said(NamedTuple):
    """What a piece of the answer brought, to pass on now."""

    thoughts: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()


class AnswerReader:
    """Reads one answer.

    Where a call or an object is demanded, nothing is passed on until it is there: a correction
    would have to take it back. `problem` says after `finish` what is missing; `leftover` gives
    what was held all the same. Where nothing may stand in the text but words, it `is_plain`.
    """

    def __init__(self, asked: Asked | None, *, thinks: bool) -> None:
        """`asked`: what was asked for in words, if anything; `thinks`: look for `<think>`."""
        self.problem: str | None = None
        self.wrote: list[str] = []
        self._thoughts = ThoughtReader() if thinks else None
        self._tools: ToolReader | None = None
        self._object: ObjectReader | None = None
        self._demands_call = False
        if asked is not None:
            self._demands_call = asked.demands_call
            if asked.tools:
                self._tools = ToolReader(asked.offered, demanded=asked.demands_call)
            if asked.schema is not None and not asked.demands_call:
                self._object = ObjectReader(asked.schema)
        self._holds = self._demands_call or self._object is not None
        self.is_plain = self._thoughts is None and self._tools is None and not self._holds
        self._text: list[str] = []
        self._calls: list[Call] = []

    def feed(self, text: str) -> Said:
        """Read a piece."""
        if self.is_plain:
            return Said("", text)
        thoughts, words = self._thoughts.feed(text) if self._thoughts is not None else ("", text)
        return self._told(thoughts, words, self._called(words) if words else Said())

    def finish(self, *, cut_off: bool) -> Said:
        """Read the end; `cut_off`: it was not the model's own."""
        thoughts, words = self._thoughts.finish() if self._thoughts is not None else ("", "")
        said = self._called(words)
        if self._tools is not None:
            rest = self._tools.finish(cut_off=cut_off)
            said = Said("", said.text + rest.text, said.calls + rest.calls)
        passed = self._told(thoughts, words, said)
        if not self._holds:
            return passed
        if self._object is not None and not any(call.error is None for call in self._calls):
            return Said(passed.thoughts, passed.text + self._read_object(self._object))
        if self._demands_call:
            self.problem = "; ".join(call.error or "" for call in self._calls) or _NO_CALL
            return passed
        return Said(passed.thoughts, *self.leftover()[1:])

    def leftover(self) -> Said:
        """What was held back."""
        held = Said("", "".join(self._text), tuple(self._calls))
        self._text, self._calls = [], []
        return held

    def _called(self, words: str) -> Said:
        if self._tools is None:
            return Said("", words)
        reading = self._tools.feed(words)
        return Said("", reading.text, reading.calls)

    def _told(self, thoughts: str, words: str, said: Said) -> Said:
        if not self._holds:
            return Said(thoughts, said.text, said.calls)
        self.wrote.append(words)
        self._text.append(said.text)
        self._calls += said.calls
        if self._demands_call and any(call.error is None for call in said.calls):
            self._holds = False
            return Said(thoughts, *self.leftover()[1:])
        return Said(thoughts)

    def _read_object(self, reader: ObjectReader) -> str:
        found, self.problem = reader.read("".join(self._text))
        if found is None:
            return ""
        self.problem = None
        self._text.clear()
        return json_text(found)
