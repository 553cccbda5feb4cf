"""An answer that is still being given: its words are known one by one, the rest at its end."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from langchain_azure_phi3.emulator.wire import Json

_THOUGHTS_OPEN, _THOUGHTS_CLOSE = "<think>\n", "\n</think>\n\n"


def counts(usage: Any) -> tuple[int | None, int | None]:
    """Tokens of prompt and answer, where a server tells them."""
    if not isinstance(usage, dict):
        return None, None
    return usage.get("prompt_tokens"), usage.get("completion_tokens")


def worded(delta: Json) -> str:
    """What a message, or a piece of one, has thought: servers have two names for it."""
    return delta.get("reasoning_content") or delta.get("reasoning") or ""


class LiveChoice:
    """One answer out of a stream of OpenAI's chunks; stands where a `Choice` does.

    Attributes:
        finish_reason: Why it ended; right when all deltas were read.
        counted: Tokens of the answer, likewise; `None` where the server does not tell.
        prompt_tokens: Tokens of the prompt, likewise.
        filter_results: The content filter's findings, where the answer carries them.
        thinks_aloud: Whether thoughts go into the text, between tags.
    """

    def __init__(self, events: Iterator[Json]) -> None:
        self._events = events
        self._is_thinking = False
        self.finish_reason = "stop"
        self.counted: int | None = None
        self.prompt_tokens: int | None = None
        self.filter_results: Json | None = None
        self.thinks_aloud = True

    def deltas(self, answer_id: str, index: int) -> Iterator[Json]:
        """What the chunks of a stream add one after another, as they come.

        Raises:
            Refused: The server broke off.
        """
        with closing(self._events):  # type: ignore[type-var]
            for event in self._events:
                self._count(event)
                for choice in event.get("choices") or ():
                    self.finish_reason = choice.get("finish_reason") or self.finish_reason
                    yield from self._pieces(choice.get("delta") or {})
        if self._is_thinking:
            yield {"content": _THOUGHTS_CLOSE}

    def _count(self, event: Json) -> None:
        prompt_tokens, counted = counts(event.get("usage"))
        self.prompt_tokens = self.prompt_tokens if prompt_tokens is None else prompt_tokens
        self.counted = self.counted if counted is None else counted

    def _pieces(self, delta: Json) -> Iterator[Json]:
        if thought := worded(delta):
            yield self._thought(thought)
        if text := delta.get("content"):
            opening = _THOUGHTS_CLOSE if self._is_thinking else ""
            self._is_thinking = False
            yield {"content": opening + text}
        if calls := delta.get("tool_calls"):
            yield {"tool_calls": calls}

    def _thought(self, thought: str) -> Json:
        if not self.thinks_aloud:
            return {"reasoning_content": thought}
        opening = "" if self._is_thinking else _THOUGHTS_OPEN
        self._is_thinking = True
        return {"content": opening + thought}
