"""Answers as the API writes them: whole, or as the chunks of a stream."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from langchain_azure_phi3.emulator import counting
from langchain_azure_phi3.emulator.conversation import Spoken
from langchain_azure_phi3.emulator.quirks import UsagePlace
from langchain_azure_phi3.emulator.wire import Json


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: its text in pieces, each a token, and why it ended.

    Attributes:
        filter_results: The content filter's findings, where the answer carries them.
    """

    pieces: tuple[str, ...]
    finish_reason: str
    filter_results: Json | None = None


def choice_of(
    spoken: Spoken, *, stops: Sequence[str], limit: int, filter_results: Json | None = None
) -> Choice:
    """What a persona said, cut where the request or the model's limit cuts it."""
    text = spoken.text
    cuts = [text.index(stop) for stop in stops if stop in text]
    if len(cuts) > 0:
        text = text[: min(cuts)]
    whole = len(text) == len(spoken.text)
    count = spoken.tokens if whole and spoken.tokens is not None else 0
    pieces = counting.pieces_numbering(text, count)
    if len(pieces) > limit:
        return Choice(tuple(pieces[:limit]), "length", filter_results)
    return Choice(tuple(pieces), "stop", filter_results)


def filtered(choice: Choice, filter_results: Json) -> Choice:
    """The first half of an answer, then the content filter."""
    kept = choice.pieces[: (len(choice.pieces) + 1) // 2]
    return Choice(kept, "content_filter", filter_results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """All that one answer says, before it is written down.

    Attributes:
        top_logprobs: How many alternatives each token lists; `None`: no log-probabilities.
        prompt_filter_results: The findings on the prompt, where the answer carries them.
        usage_place: Where a stream says what it cost.
    """

    id: str
    created: int
    model: str
    prompt_tokens: int
    choices: tuple[Choice, ...]
    top_logprobs: int | None = None
    prompt_filter_results: list[Json] | None = None
    usage_place: UsagePlace = "finish"

    def whole(self) -> Json:
        """The body of an answer that is not streamed."""
        body = self._root("chat.completion")
        body["choices"] = [self._whole_choice(*item) for item in enumerate(self.choices)]
        body["usage"] = self._usage(sum(len(choice.pieces) for choice in self.choices))
        if self.prompt_filter_results is not None:
            body["prompt_filter_results"] = self.prompt_filter_results
        return body

    def chunks(self) -> Iterator[Json]:
        """The chunks of a stream, choices taking turns."""
        if self.prompt_filter_results is not None:
            empty: Json = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
            yield empty | {"prompt_filter_results": self.prompt_filter_results}
        for index in range(len(self.choices)):
            yield self._chunk(index, {"role": "assistant", "content": ""}, spent=0)
        spent = 0
        for spent, (index, piece) in enumerate(self._pieces_in_turn(), start=1):
            yield self._chunk(index, {"content": piece}, piece=piece, spent=spent)
        for index, choice in enumerate(self.choices):
            yield self._last_chunk(index, choice, spent)
        if self.usage_place == "separate":
            root = self._root("chat.completion.chunk")
            yield root | {"choices": [], "usage": self._usage(spent)}

    def _pieces_in_turn(self) -> Iterator[tuple[int, str]]:
        for row in zip_longest(*(choice.pieces for choice in self.choices)):
            yield from ((index, piece) for index, piece in enumerate(row) if piece is not None)

    def _last_chunk(self, index: int, choice: Choice, spent: int) -> Json:
        chunk = self._chunk(index, {"content": ""}, spent=spent)
        chunk["choices"][0]["finish_reason"] = choice.finish_reason
        self._annotate(chunk["choices"][0], choice)
        if self.usage_place == "finish" and index == len(self.choices) - 1:
            chunk["usage"] = self._usage(spent)
        return chunk

    def _root(self, kind: str) -> Json:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _usage(self, answer: int) -> Json:
        # In the order in which Azure's how-tos show them.
        total = self.prompt_tokens + answer
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": total,
            "completion_tokens": answer,
        }

    def _whole_choice(self, index: int, choice: Choice) -> Json:
        text = "".join(choice.pieces)
        written: Json = {
            "index": index,
            "message": {"role": "assistant", "content": text, "tool_calls": None},
            "finish_reason": choice.finish_reason,
            "logprobs": self._logprobs(choice.pieces),
        }
        self._annotate(written, choice)
        return written

    def _chunk(self, index: int, delta: Json, *, spent: int, piece: str | None = None) -> Json:
        logprobs = None if piece is None else self._logprobs((piece,))
        choice = {"index": index, "delta": delta, "finish_reason": None, "logprobs": logprobs}
        chunk = self._root("chat.completion.chunk") | {"choices": [choice]}
        if self.usage_place == "every":
            chunk["usage"] = self._usage(spent)
        if self.usage_place == "separate":
            chunk["usage"] = None
        return chunk

    def _logprobs(self, pieces: Sequence[str]) -> Json | None:
        if self.top_logprobs is None:
            return None
        return {"content": [_token(piece, self.top_logprobs) for piece in pieces]}

    @staticmethod
    def _annotate(written: Json, choice: Choice) -> None:
        if choice.filter_results is not None:
            written["content_filter_results"] = choice.filter_results


def _token(piece: str, alternatives: int) -> Json:
    chosen = _likelihood(piece, rank=0)
    others = [_likelihood(f"{piece}~{rank}", rank=rank) for rank in range(1, alternatives)]
    listed = [chosen, *others] if alternatives > 0 else []
    return chosen | {"top_logprobs": listed}


def _likelihood(token: str, *, rank: int) -> Json:
    """A made-up log-probability, always the same for a token, less likely by rank."""
    digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
    logprob = -(rank + digest[0] / 256)
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}
