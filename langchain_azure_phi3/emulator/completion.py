"""Answers as the API writes them: whole, or as the chunks of a stream."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from langchain_azure_phi3.emulator import counting
from langchain_azure_phi3.emulator.conversation import Spoken
from langchain_azure_phi3.emulator.server_types import UsagePlace
from langchain_azure_phi3.emulator.upstream_stream import LiveChoice
from langchain_azure_phi3.emulator.wire import Json


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: its text in pieces, each a token, and why it ended.

    Attributes:
        filter_results: The content filter's findings, where the answer carries them.
        thoughts: What goes into a field of its own before the text, in pieces too.
        calls: Names of the tools called, and the arguments as text.
        counted: How many tokens it counts as, where the model itself said so.
        prompt_tokens: How many the prompt counts as, likewise.
    """

    pieces: tuple[str, ...]
    finish_reason: str
    filter_results: Json | None = None
    thoughts: tuple[str, ...] = ()
    calls: tuple[tuple[str, str], ...] = ()
    counted: int | None = None
    prompt_tokens: int | None = None

    @property
    def tokens(self) -> int:
        """What the answer costs: one for each delta that a stream of it has."""
        if self.counted is not None:
            return self.counted
        return sum(1 for _ in self.deltas("", 0))

    def deltas(self, answer_id: str, index: int) -> Iterator[Json]:
        """What the chunks of a stream add one after another."""
        yield from ({"reasoning_content": piece} for piece in self.thoughts)
        yield from ({"content": piece} for piece in self.pieces)
        for number, (name, arguments) in enumerate(self.calls):
            call = _wire_call(name, "", _call_id(answer_id, index, number))
            yield {"tool_calls": [{"index": number, **call}]}
            for piece in counting.pieces(arguments):
                yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}

    def message(self, answer_id: str, index: int) -> Json:
        """The whole of it as a message."""
        text = "".join(self.pieces)
        message: Json = {"role": "assistant", "content": text, "tool_calls": None}
        if len(self.calls) > 0:
            message["content"] = text or None
            message["tool_calls"] = [
                _wire_call(name, arguments, _call_id(answer_id, index, number))
                for number, (name, arguments) in enumerate(self.calls)
            ]
        if len(self.thoughts) > 0:
            message["reasoning_content"] = "".join(self.thoughts)
        return message


def choice_of(
    spoken: Spoken, *, stops: Sequence[str], limit: int, filter_results: Json | None = None
) -> Choice:
    """What a persona said, cut where the request or the model's limit cuts it."""
    if spoken.final:
        return _as_spoken(spoken, filter_results)
    text = spoken.text
    cuts = [text.index(stop) for stop in stops if stop in text]
    if len(cuts) > 0:
        text = text[: min(cuts)]
    whole = len(text) == len(spoken.text)
    count = spoken.tokens if whole and spoken.tokens is not None else 0
    thoughts = counting.pieces(spoken.thoughts)
    pieces = counting.pieces_numbering(text, count)
    room = max(0, limit - len(thoughts))
    finish = "tool_calls" if len(spoken.calls) > 0 else "stop"
    if spoken.cut_off or len(pieces) > room:
        finish = "length"
    choice = Choice(tuple(pieces[:room]), finish, filter_results, tuple(thoughts[:limit]))
    return _with_calls(choice, spoken.calls, limit)


def _as_spoken(spoken: Spoken, filter_results: Json | None) -> Choice:
    """What a real model said: it has cut and counted already."""
    finish = "tool_calls" if len(spoken.calls) > 0 else "stop"
    return Choice(
        tuple(counting.pieces(spoken.text)),
        "length" if spoken.cut_off else finish,
        filter_results,
        tuple(counting.pieces(spoken.thoughts)),
        spoken.calls,
        counted=spoken.tokens,
        prompt_tokens=spoken.prompt_tokens,
    )


def _with_calls(choice: Choice, calls: Sequence[tuple[str, str]], limit: int) -> Choice:
    """With the calls that the limit leaves room for; the last may break off in its arguments."""
    for name, arguments in calls:
        room = limit - choice.tokens - 1
        if room < 0:
            return replace(choice, finish_reason="length")
        pieces = counting.pieces(arguments)
        choice = replace(choice, calls=(*choice.calls, (name, "".join(pieces[:room]))))
        if len(pieces) > room:
            return replace(choice, finish_reason="length")
    return choice


def filtered(choice: Choice, filter_results: Json) -> Choice:
    """The first half of an answer, then the content filter."""
    kept = choice.pieces[: (len(choice.pieces) + 1) // 2]
    return Choice(kept, "content_filter", filter_results, choice.thoughts)


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
    choices: tuple[Choice | LiveChoice, ...]
    top_logprobs: int | None = None
    prompt_filter_results: list[Json] | None = None
    usage_place: UsagePlace = "finish"

    def whole(self) -> Json:
        """The body of an answer that is not streamed."""
        body = self._root("chat.completion")
        given = [choice for choice in self.choices if isinstance(choice, Choice)]
        body["choices"] = [self._whole_choice(*item) for item in enumerate(given)]
        body["usage"] = self._usage(sum(choice.tokens for choice in given))
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
        for spent, (index, delta) in enumerate(self._deltas_in_turn(), start=1):
            yield self._chunk(index, delta, piece=delta.get("content"), spent=spent)
        for index, choice in enumerate(self.choices):
            yield self._last_chunk(index, choice, self._spent(spent))
        if self.usage_place == "separate":
            root = self._root("chat.completion.chunk")
            yield root | {"choices": [], "usage": self._usage(self._spent(spent))}

    def _spent(self, deltas: int) -> int:
        """Tokens of all answers: what the model told, else one for each delta."""
        counted = [choice.counted for choice in self.choices if choice.counted is not None]
        return sum(counted) if len(counted) == len(self.choices) else deltas

    def _deltas_in_turn(self) -> Iterator[tuple[int, Json]]:
        answers = (choice.deltas(self.id, index) for index, choice in enumerate(self.choices))
        for row in zip_longest(*answers):
            yield from ((index, delta) for index, delta in enumerate(row) if delta is not None)

    def _last_chunk(self, index: int, choice: Choice | LiveChoice, spent: int) -> Json:
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
        told = (choice.prompt_tokens for choice in self.choices)
        prompt = next((count for count in told if count is not None), self.prompt_tokens)
        total = prompt + answer
        return {
            "prompt_tokens": prompt,
            "total_tokens": total,
            "completion_tokens": answer,
        }

    def _whole_choice(self, index: int, choice: Choice) -> Json:
        written: Json = {
            "index": index,
            "message": choice.message(self.id, index),
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
    def _annotate(written: Json, choice: Choice | LiveChoice) -> None:
        if choice.filter_results is not None:
            written["content_filter_results"] = choice.filter_results


def _wire_call(name: str, arguments: str, identity: str) -> Json:
    function = {"name": name, "arguments": arguments}
    return {"id": identity, "type": "function", "function": function}


def _call_id(answer_id: str, index: int, number: int) -> str:
    digest = hashlib.sha256(f"{answer_id}/{index}/{number}".encode()).hexdigest()
    return f"call_{digest[:24]}"


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
