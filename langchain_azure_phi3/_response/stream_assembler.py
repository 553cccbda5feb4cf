"""Assembles a stream's JSON objects into LangChain's chunks, in order."""

from dataclasses import dataclass, field

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_azure_phi3._request.build import ChatRequest
from langchain_azure_phi3._response.complete import is_stopped_in_json, requirement_metadata
from langchain_azure_phi3._response.fast_chunks import text_chunk
from langchain_azure_phi3._response.metadata import ResponseMetadata
from langchain_azure_phi3._response.refusal import FILTERED, filtered_error
from langchain_azure_phi3._response.score_route import from_score_response
from langchain_azure_phi3._response.text_parser import ParsedText, TextParser
from langchain_azure_phi3._response.wire_response import (
    MAX_CALLS,
    MAX_CHARACTERS,
    MAX_FILTERS,
    choice_logprobs,
    choice_message,
    content_text,
    excess_error,
    explain_unmet,
    invalid_arguments_text,
    is_truncated,
    new_tool_call_id,
    parse_arguments,
    parse_usage,
    reasoning_content,
    sorted_choices,
    str_or_none,
    to_token_usage,
    tool_call_chunks,
    total_usage,
)
from langchain_azure_phi3._tools.schema_compaction import to_compact_json
from langchain_azure_phi3._tools.tools import Call
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import InvalidResponseError

_OUTPUT_FIELDS = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal")


class StreamAssembler:
    """Assembles one stream: call `feed` with each JSON object, then `finish`.

    Text is emitted as it arrives. One last chunk contains the finish reason, the usage and all else
    that is only known at the end, because usage may follow the finish reason in a separate chunk.
    It also contains a refusal, because LangChain's events cannot contain a part of one.

    Attributes:
        usage: The tokens of this stream, if the server has reported them.
    """

    def __init__(self, request: ChatRequest, *, corrects: bool = False) -> None:
        """Start a stream; `corrects`: whether another one may replace an invalid call."""
        self.usage: UsageMetadata | None = None
        self._request = request
        self._parser = TextParser(
            request.output, parses_reasoning=request.parses_reasoning, corrects=corrects
        )
        self._metadata = ResponseMetadata(request.show_headers)
        self._received = _Received()
        self._refusal: list[str] = []
        self._finish: Json = {}
        self._has_choice = False
        self._calls = _StreamedCalls()

    @property
    def has_choice(self) -> bool:
        """Whether the stream has contained a choice."""
        return self._has_choice

    @property
    def received_text(self) -> str:
        """The text that was received so far."""
        return self._received.text.decode()

    @property
    def is_holding(self) -> bool:
        """Whether text is held back because a required call or object has not arrived yet."""
        return self._parser.is_holding

    @property
    def is_refused(self) -> bool:
        """Whether the model refuses to answer, or a content filter ended the completion."""
        return bool(self._refusal) or self._finish.get("finish_reason") == FILTERED

    @property
    def unmet_requirement(self) -> str | None:
        """After `finish`, the requirement that the response does not meet."""
        if self._calls.has_native:
            return None
        return explain_unmet(
            self._parser.unmet_requirement,
            truncated=is_truncated(self._finish.get("finish_reason")),
            # White space alone is not reasoning; an empty text is reasoning that was cut off.
            reasoning=self._request.parses_reasoning and not self.received_text.isspace(),
            raw=self.raw_text,
        )

    @property
    def raw_text(self) -> str:
        """The text to quote to the model in a correction."""
        return self._parser.raw_text

    def feed(self, body: Json, info: ResponseInfo) -> list[ChatGenerationChunk]:
        """Return the chunks that one JSON object of the stream adds."""
        if self._request.is_score_route:
            body = from_score_response(body, info)
        if body.get("usage") is not None and (usage := parse_usage(body)) is not None:
            self.usage = usage  # the last one wins: some servers repeat a running total
        self._metadata.add(body, info)
        choice = _only_choice(sorted_choices(body))
        if choice is None:
            return []
        chunk = self._feed_choice(choice, _choice_delta(choice, body, info))
        return [] if chunk is None else [chunk]

    def finish(self, previous_usage: UsageMetadata | None = None) -> list[ChatGenerationChunk]:
        """Return the chunks at the end of the stream.

        Args:
            previous_usage: The tokens of the attempts before this one.

        Raises:
            FilteredCompletionError: It was filtered and `on_content_filter` is `"raise"`.
            InvalidResponseError: The stream contained no choice.
        """
        info = self._metadata.info
        if not self._has_choice:
            raise InvalidResponseError(
                "The stream ended without a choice.",
                status_code=info.status_code,
                request_id=info.request_id,
            )
        reason = self._finish.get("finish_reason")
        truncated = is_truncated(reason)
        if self._request.output is not None:
            truncated = truncated or is_stopped_in_json(self._request, self.received_text)
        if reason == FILTERED and self._request.on_content_filter == "raise":
            raise filtered_error(self._filtered_message(), self.received_text, None, info)
        parts = [self._parser.finish(truncated=truncated)]
        if self._parser.unmet_requirement is not None:
            parts.append(self._parser.flush())
        chunks = [self._chunk(part, [], {}) for part in parts]
        chunks.append(self._arguments_chunk(truncated=truncated))
        chunks.append(self._last_chunk(total_usage(previous_usage, self.usage)))
        return [chunk for chunk in chunks if chunk is not None]

    def _feed_choice(self, choice: Json, delta: Json) -> ChatGenerationChunk | None:
        if not self._has_choice:
            self._has_choice = _has_content(choice)
        if choice.get("finish_reason") or choice.get("content_filter_results"):
            self._read_end(choice)
        text = content_text(delta)
        reasoning = reasoning_content(delta)
        native = tool_call_chunks(delta) if delta.get("tool_calls") else []
        refusal = str_or_none(delta.get("refusal")) or ""
        self._received.add(text, reasoning, refusal, *(piece["args"] or "" for piece in native))
        if refusal:
            self._refusal.append(refusal)
        parsed = self._parser.feed(text) if text else ParsedText()
        if reasoning:
            parsed = ParsedText(reasoning + parsed.reasoning, parsed.text, parsed.calls)
        logprobs = choice_logprobs(choice) if choice.get("logprobs") else {}
        return self._chunk(parsed, native, logprobs)

    def _chunk(
        self, parsed: ParsedText, native: list[ToolCallChunk], logprobs: Json
    ) -> ChatGenerationChunk | None:
        reasoning, text, calls = parsed
        kwargs: Json = {"reasoning_content": reasoning} if reasoning else {}
        if not (native or calls or kwargs or logprobs):
            return text_chunk(text, self._metadata.take()) if text else None
        pieces = [*self._calls.feed(native), *map(self._calls.add, calls)]
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=text,
                tool_call_chunks=pieces,
                additional_kwargs=kwargs,
                response_metadata=self._metadata.take(),
            ),
            generation_info=logprobs or None,
        )

    def _arguments_chunk(self, *, truncated: bool) -> ChatGenerationChunk | None:
        # Not in the last chunk, where LangChain treats calls as complete.
        calls = self._calls.finish(truncated=truncated)
        if not calls:
            return None
        message = AIMessageChunk(
            content="", tool_call_chunks=calls, response_metadata=self._metadata.take()
        )
        return ChatGenerationChunk(message=message)

    def _last_chunk(self, usage: UsageMetadata | None) -> ChatGenerationChunk:
        self._metadata.set_default("model_name", self._request.model)
        metadata = self._metadata.take() | self._metadata.timings
        metadata |= requirement_metadata(self._request, self.unmet_requirement, self._calls.errors)
        if usage is not None:
            metadata["token_usage"] = to_token_usage(usage)
        if self._finish.get("finish_reason") == FILTERED:
            metadata |= self._finish  # `content_blocks` finds the refusal there
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                additional_kwargs={"refusal": "".join(self._refusal)} if self._refusal else {},
                response_metadata=metadata,
                usage_metadata=usage,
                chunk_position="last",
            ),
            generation_info=self._finish or None,
        )

    def _filtered_message(self) -> AIMessage:
        """Return the message that was received so far."""
        self._metadata.set_default("model_name", self._request.model)
        return AIMessage(
            content=self.received_text,
            response_metadata={**self._metadata.all, **self._finish},
            usage_metadata=self.usage,
        )

    def _read_end(self, choice: Json) -> None:
        reason = str_or_none(choice.get("finish_reason"))
        # Azure ends a filtered stream with one more chunk, whose reason may be `stop`.
        if reason is not None and self._finish.get("finish_reason") != "content_filter":
            self._finish["finish_reason"] = reason
        results = choice.get("content_filter_results")
        if isinstance(results, dict):
            known = self._finish.setdefault("content_filter_results", {})
            known.update(results)
            if len(known) > MAX_FILTERS:
                raise excess_error(f"{MAX_FILTERS} results of content filters")


class _Received:
    """The received text of a stream, of limited length."""

    def __init__(self) -> None:
        self.text = bytearray()  # a list of pieces would take ten times the memory
        self._length = 0

    def add(self, text: str, *others: str) -> None:
        """Add a delta: its text, and what it holds besides.

        Raises:
            InvalidResponseError: The stream is too long.
        """
        self._length += len(text) + sum(map(len, others))
        if self._length > MAX_CHARACTERS:
            raise excess_error(f"{MAX_CHARACTERS:,} characters")
        self.text += text.encode()


@dataclass(slots=True)
class _NativeCall:
    """A native call that is still incomplete: its id, and the pieces of its arguments."""

    id: str
    arguments: list[str] = field(default_factory=list)


class _StreamedCalls:
    """Numbers a stream's tool calls, and generates ids for those that have none.

    The arguments of native calls are emitted at the end, when it is known whether they are complete
    and whether they need repair: LangChain would run calls with incomplete arguments.
    """

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}  # why calls are invalid, by their ids
        self._prompted = 0
        self._native: dict[int | None, _NativeCall] = {}

    @property
    def has_native(self) -> bool:
        """Whether there are native calls."""
        return bool(self._native)

    def feed(self, pieces: list[ToolCallChunk]) -> list[ToolCallChunk]:
        """Add pieces of native calls; return the chunks that open new calls.

        If a server sends the calls in the text as native calls too, they count once.
        """
        opened: list[ToolCallChunk] = []
        if self._prompted:
            return opened
        for piece in pieces:
            index = piece["index"]
            if (call := self._native.get(index)) is None:
                if len(self._native) == MAX_CALLS:
                    raise excess_error(f"{MAX_CALLS} calls")
                call_id = piece["id"] or new_tool_call_id()
                call = self._native[index] = _NativeCall(call_id)
                opened.append(tool_call_chunk(name=piece["name"], args="", id=call_id, index=index))
            if piece["args"]:
                call.arguments.append(piece["args"])
        return opened

    def add(self, call: Call) -> ToolCallChunk:
        """Convert a call found in the text to a chunk."""
        index, self._prompted = self._prompted, self._prompted + 1
        call_id = new_tool_call_id()
        if call.error is None:
            args = to_compact_json(call.arguments)
        else:
            self.errors[call_id] = call.error
            args = invalid_arguments_text(call.arguments, call.raw)
        return tool_call_chunk(name=call.name, args=args, id=call_id, index=index)

    def finish(self, *, truncated: bool) -> list[ToolCallChunk]:
        """Return the arguments of the native calls."""
        chunks = []
        last = next(reversed(self._native), None)
        for index, call in self._native.items():
            raw = "".join(call.arguments)
            arguments, error = parse_arguments(raw, truncated=truncated and index == last)
            if error is not None:
                self.errors[call.id] = error
                args = invalid_arguments_text(None, raw)
            else:
                args = to_compact_json(arguments) if raw else ""
            chunks.append(tool_call_chunk(name=None, args=args, id=None, index=index))
        return chunks


def _only_choice(choices: list[Json]) -> Json | None:
    """Return a stream's choice, whatever its index: some servers count up, or send strings.

    If there are several, return the first one: requests for more than one are not streamed.
    """
    return choices[0] if choices else None


def _choice_delta(choice: Json, body: Json, info: ResponseInfo) -> Json:
    """Return the delta of a choice.

    A complete `message`, from a server that ignores `stream`, counts as one delta. If both are
    present, the one with content is used.

    Raises:
        InvalidResponseError: The choice is complete and has no message.
    """
    delta, message = choice.get("delta"), choice.get("message")
    if isinstance(delta, dict) and (not isinstance(message, dict) or _holds_output(delta)):
        return delta
    return choice_message(choice, body, info) if "message" in choice else {}


def _holds_output(delta: Json) -> bool:
    return any(map(delta.get, _OUTPUT_FIELDS))


def _has_content(choice: Json) -> bool:
    """Whether a choice of a stream has a delta, a message or a finish reason."""
    return str_or_none(choice.get("finish_reason")) is not None or any(
        isinstance(choice.get(key), dict) for key in ("delta", "message")
    )
