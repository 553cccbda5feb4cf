"""Completions as JSON: complete, or as the chunks of a stream."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.content_filter import prompt_filter_results
from langchain_azure_phi3.emulator.conversation import Generation
from langchain_azure_phi3.emulator.engine_reports import timings
from langchain_azure_phi3.emulator.server_types import Engine, StreamUsage
from langchain_azure_phi3.emulator.token_counts import split_pieces
from langchain_azure_phi3.emulator.upstream_stream import StreamedChoice


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a completion."""

    pieces: tuple[str, ...]  # the content, one piece for each token
    finish_reason: str
    filter_results: Json | None = None
    reasoning: tuple[str, ...] = ()  # the `reasoning_content`, in pieces too
    tool_calls: tuple[tuple[str, str], ...] = ()  # names and JSON arguments
    completion_tokens: int | None = None  # if the model reported them
    prompt_tokens: int | None = None  # if the model reported them
    refusal: tuple[str, ...] = ()  # in pieces too
    usage_details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Tokens of the response: one for each delta of a stream, unless reported."""
        if self.completion_tokens is not None:
            return self.completion_tokens
        return sum(1 for _ in self.deltas("", 0))

    def deltas(self, completion_id: str, index: int) -> Iterator[Json]:
        """Yield the deltas of a stream."""
        yield from ({"reasoning_content": piece} for piece in self.reasoning)
        yield from ({"content": piece} for piece in self.pieces)
        yield from ({"refusal": piece} for piece in self.refusal)
        for position, (name, arguments) in enumerate(self.tool_calls):
            call = _tool_call(name, "", completion_id, index, position)
            yield {"tool_calls": [{"index": position, **call}]}
            for piece in split_pieces(arguments):
                yield {"tool_calls": [{"index": position, "function": {"arguments": piece}}]}

    def message(self, completion_id: str, index: int) -> Json:
        """Return the complete message."""
        text = "".join(self.pieces)
        message: Json = {"role": "assistant", "content": text, "tool_calls": None}
        if len(self.tool_calls) > 0:
            message["content"] = text or None
            message["tool_calls"] = [
                _tool_call(name, arguments, completion_id, index, position)
                for position, (name, arguments) in enumerate(self.tool_calls)
            ]
        if len(self.reasoning) > 0:
            message["reasoning_content"] = "".join(self.reasoning)
        if len(self.refusal) > 0:
            message |= {"content": text or None, "refusal": "".join(self.refusal)}
        return message


def build_choice(
    generation: Generation, stops: Sequence[str], limit: int, filter_results: Json | None
) -> Choice:
    """Turn a generation into a choice, cut by `stop` and by the token limit."""
    text = generation.text
    reasoning = split_pieces(generation.reasoning)
    finish_reason = "tool_calls" if len(generation.tool_calls) > 0 else "stop"
    if generation.final:
        return Choice(
            tuple(split_pieces(text)),
            "length" if generation.truncated else finish_reason,
            filter_results,
            tuple(reasoning),
            generation.tool_calls,
            completion_tokens=generation.tokens,
            prompt_tokens=generation.prompt_tokens,
            refusal=tuple(split_pieces(generation.refusal)),
            usage_details=generation.usage_details,
        )
    end = min((text.index(stop) for stop in stops if stop in text), default=len(text))
    is_complete = end == len(text)
    pieces = split_pieces(text[:end], (generation.tokens or 0) if is_complete else 0)
    room = max(0, limit - len(reasoning))
    is_cut = generation.truncated or len(pieces) > room
    choice = Choice(
        tuple(pieces[:room]),
        "length" if is_cut else finish_reason,
        filter_results,
        tuple(reasoning[:limit]),
        refusal=tuple(split_pieces(generation.refusal)),
        usage_details=generation.usage_details,
    )
    return _add_tool_calls(choice, generation.tool_calls, limit)


def _add_tool_calls(choice: Choice, calls: Sequence[tuple[str, str]], limit: int) -> Choice:
    """Add the calls that fit the limit; the arguments of the last may be cut."""
    for name, arguments in calls:
        room = limit - choice.tokens - 1
        if room < 0:
            return replace(choice, finish_reason="length")
        pieces = split_pieces(arguments)
        call = (name, "".join(pieces[:room]))
        choice = replace(choice, tool_calls=(*choice.tool_calls, call))
        if len(pieces) > room:
            return replace(choice, finish_reason="length")
    return choice


def filter_choice(choice: Choice) -> Choice:
    """Return the first half of a choice, ended by the content filter."""
    kept = choice.pieces[: (len(choice.pieces) + 1) // 2]
    return Choice(kept, "content_filter", choice.filter_results, choice.reasoning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A completion, independent of its encoding."""

    id: str
    created: int
    model: str
    prompt_tokens: int
    choices: tuple[Choice | StreamedChoice, ...]
    top_logprobs: int | None = None  # alternatives for each token; `None`: no log-probabilities
    options: tuple[str, ...] = ()  # the only values that a constraint allows
    has_prompt_filter_results: bool = False
    stream_usage: StreamUsage = "finish"
    headers: Mapping[str, str] = field(default_factory=dict)
    engine: Engine | None = None

    def to_json(self) -> Json:
        """Return the body of a complete response."""
        body = self._root("chat.completion")
        choices = [choice for choice in self.choices if isinstance(choice, Choice)]
        body["choices"] = [self._complete_choice(*item) for item in enumerate(choices)]
        tokens = sum(choice.tokens for choice in choices)
        body |= {"usage": self._usage(tokens), **timings(self.engine, self.prompt_tokens, tokens)}
        if self.has_prompt_filter_results:
            body |= prompt_filter_results({})
        return body

    def chunks(self) -> Iterator[Json]:
        """Yield the chunks of a stream, with the choices interleaved."""
        if self.has_prompt_filter_results:
            empty: Json = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
            yield empty | prompt_filter_results({})
        for index in range(len(self.choices)):
            yield self._chunk(index, {"role": "assistant", "content": ""}, tokens=0)
        sent = 0
        for sent, (index, delta) in enumerate(self._interleaved_deltas(), start=1):
            yield self._chunk(index, delta, piece=delta.get("content"), tokens=sent)
        tokens = self._completion_tokens(sent)
        last = [self._last_chunk(*choice, tokens) for choice in enumerate(self.choices)]
        if self.stream_usage == "separate":
            root = self._root("chat.completion.chunk")
            last.append(root | {"choices": [], "usage": self._usage(tokens)})
        last[-1] |= timings(self.engine, self.prompt_tokens, tokens)
        yield from last

    def _completion_tokens(self, deltas: int) -> int:
        """Return the tokens of all choices: as the model reports, or one for each delta."""
        reported = [c.completion_tokens for c in self.choices if c.completion_tokens is not None]
        return sum(reported) if len(reported) == len(self.choices) else deltas

    def _interleaved_deltas(self) -> Iterator[tuple[int, Json]]:
        streams = (choice.deltas(self.id, index) for index, choice in enumerate(self.choices))
        for row in zip_longest(*streams):
            yield from ((index, delta) for index, delta in enumerate(row) if delta is not None)

    def _last_chunk(self, index: int, choice: Choice | StreamedChoice, tokens: int) -> Json:
        chunk = self._chunk(index, {"content": ""}, tokens=tokens)
        chunk["choices"][0] |= {"finish_reason": choice.finish_reason, **_filter_results(choice)}
        if self.stream_usage == "finish" and index == len(self.choices) - 1:
            chunk["usage"] = self._usage(tokens)
        return chunk

    def _root(self, object_name: str) -> Json:
        root = {"id": self.id, "object": object_name}
        return root | {"created": self.created, "model": self.model}

    def _usage(self, completion_tokens: int) -> Json:
        reported = (choice.prompt_tokens for choice in self.choices)
        prompt_tokens = next((n for n in reported if n is not None), self.prompt_tokens)
        details = (choice.usage_details for choice in self.choices)
        # In the order of Azure's how-tos.
        return {
            "prompt_tokens": prompt_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "completion_tokens": completion_tokens,
            **next(filter(None, details), {}),
        }

    def _complete_choice(self, index: int, choice: Choice) -> Json:
        return {
            "index": index,
            "message": choice.message(self.id, index),
            "finish_reason": choice.finish_reason,
            "logprobs": self._logprobs(choice.pieces),
            **_filter_results(choice),
        }

    def _chunk(self, index: int, delta: Json, *, tokens: int, piece: str | None = None) -> Json:
        logprobs = None if piece is None else self._logprobs((piece,))
        choice = {"index": index, "delta": delta, "finish_reason": None, "logprobs": logprobs}
        chunk = self._root("chat.completion.chunk") | {"choices": [choice]}
        if self.stream_usage == "every":
            chunk["usage"] = self._usage(tokens)
        if self.stream_usage == "separate":
            chunk["usage"] = None
        return chunk

    def _logprobs(self, pieces: Sequence[str]) -> Json | None:
        if self.top_logprobs is None:
            return None
        return {"content": [self._token_logprobs(piece, self.top_logprobs) for piece in pieces]}

    def _token_logprobs(self, piece: str, alternatives: int) -> Json:
        """Return invented log-probabilities, the same for each occurrence of a piece."""
        options = [option for option in self.options if option != piece]
        if piece not in self.options:
            options = [f"{piece}~{n}" for n in range(1, alternatives)]
        ranked = []
        for rank, token in enumerate([piece, *options][: max(alternatives, 1)]):
            encoded = token.encode("utf-8", "replace")
            logprob = -(rank + hashlib.sha256(encoded).digest()[0] / 256)
            ranked.append({"token": token, "logprob": logprob, "bytes": list(encoded)})
        return ranked[0] | {"top_logprobs": ranked if alternatives > 0 else []}


def _filter_results(choice: Choice | StreamedChoice) -> Json:
    results = choice.filter_results
    return {} if results is None else {"content_filter_results": results}


def _tool_call(name: str, arguments: str, *origin: object) -> Json:
    digest = hashlib.sha256("/".join(map(str, origin)).encode()).hexdigest()
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{digest[:24]}", "type": "function", "function": function}
