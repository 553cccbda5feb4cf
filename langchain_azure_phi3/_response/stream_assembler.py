"""Assembles a stream's JSON objects into LangChain's chunks, in order."""

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_azure_phi3._request.build import ChatRequest
from langchain_azure_phi3._response.complete import content_filter_error, requirement_metadata
from langchain_azure_phi3._response.fast_chunks import text_chunk
from langchain_azure_phi3._response.metadata import ResponseMetadata
from langchain_azure_phi3._response.score_route import from_score_response
from langchain_azure_phi3._response.text_parser import ParsedText, TextParser
from langchain_azure_phi3._response.wire_response import (
    choice_logprobs,
    choice_message,
    content_text,
    invalid_arguments_text,
    new_tool_call_id,
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


class StreamAssembler:
    """Assembles one stream: `feed` it each JSON object, then `finish` it.

    Text is passed on as it arrives. The finish reason, the usage and everything else that is only
    known at the end come in one last chunk, because usage may follow the finish reason in a chunk
    of its own.

    Attributes:
        usage: The tokens of this stream, as far as the server reported them.
    """

    def __init__(self, request: ChatRequest) -> None:
        self.usage: UsageMetadata | None = None
        self._request = request
        self._parser: TextParser | None = None
        if request.output is not None or request.parses_reasoning:
            self._parser = TextParser(request.output, parses_reasoning=request.parses_reasoning)
        self._metadata = ResponseMetadata()
        self._received = bytearray()  # a list of its pieces would take ten times the memory
        self._finish: Json = {}
        self._info: ResponseInfo | None = None
        self._has_choice = False
        self._calls = _StreamedCalls()

    @property
    def has_choice(self) -> bool:
        """Whether the stream has begun to answer."""
        return self._has_choice

    @property
    def received_text(self) -> str:
        """The text so far, as it was received."""
        return self._received.decode()

    @property
    def is_holding(self) -> bool:
        """Whether text is held back because something required has not come yet."""
        return self._parser is not None and self._parser.is_holding

    @property
    def unmet_requirement(self) -> str | None:
        """After `finish`, what the response lacks of what was required."""
        return None if self._parser is None else self._parser.unmet_requirement

    @property
    def raw_text(self) -> str:
        """The text to quote to the model in a correction."""
        return "" if self._parser is None else self._parser.raw_text

    def feed(self, body: Json, info: ResponseInfo) -> list[ChatGenerationChunk]:
        """The chunks that one JSON object of the stream adds."""
        self._info = info
        if self._request.is_score_route:
            body = from_score_response(body, info)
        if body.get("usage") is not None and (usage := parse_usage(body)) is not None:
            self.usage = usage  # the last figure wins: some servers repeat a running total
        self._metadata.add(body, info)
        chunks = []
        for choice in sorted_choices(body):
            if choice.get("index") in (0, None):
                chunk = self._feed_choice(choice, body, info)
                if chunk is not None:
                    chunks.append(chunk)
        return chunks

    def finish(self, previous_usage: UsageMetadata | None = None) -> list[ChatGenerationChunk]:
        """The chunks at the end of the stream.

        Args:
            previous_usage: The tokens of the attempts that this one corrects.

        Raises:
            ContentFilterError: The completion was filtered and `on_content_filter` is `"raise"`.
            InvalidResponseError: The stream held no choice.
        """
        info = self._info if self._info is not None else ResponseInfo()
        if not self._has_choice:
            raise InvalidResponseError(
                "The stream ended without a choice.",
                status_code=info.status_code,
                request_id=info.request_id,
            )
        reason = self._finish.get("finish_reason")
        if reason == "content_filter" and self._request.on_content_filter == "raise":
            filters = self._finish.get("content_filter_results")
            raise content_filter_error(filters, self.received_text, None, info)
        chunks = []
        if self._parser is not None:
            parts = [self._parser.finish(truncated=reason == "length")]
            if self._parser.unmet_requirement is not None:
                parts.append(self._parser.flush())
            chunks = [chunk for part in parts if (chunk := self._chunk(part, [], {})) is not None]
        return [*chunks, self._last_chunk(total_usage(previous_usage, self.usage))]

    def _feed_choice(
        self, choice: Json, body: Json, info: ResponseInfo
    ) -> ChatGenerationChunk | None:
        if not self._has_choice:
            self._has_choice = _has_content(choice)
        if choice.get("finish_reason") or choice.get("content_filter_results"):
            self._read_end(choice)
        if "message" in choice:  # a complete response, from a server that ignores `stream`
            delta = choice_message(choice, body, info)
        else:
            found = choice.get("delta")
            delta = found if isinstance(found, dict) else {}
        text = content_text(delta)
        self._received += text.encode()
        if self._parser is None or not text:
            parsed = ParsedText("", text)
        else:
            parsed = self._parser.feed(text)
        if reasoning := reasoning_content(delta):
            parsed = ParsedText(reasoning + parsed.reasoning, parsed.text, parsed.calls)
        native = tool_call_chunks(delta) if delta.get("tool_calls") else []
        logprobs = choice_logprobs(choice) if choice.get("logprobs") else {}
        return self._chunk(parsed, native, logprobs)

    def _chunk(
        self, parsed: ParsedText, native: list[ToolCallChunk], logprobs: Json
    ) -> ChatGenerationChunk | None:
        reasoning, text, calls = parsed
        if not (native or calls or reasoning or logprobs):
            return text_chunk(text, self._metadata.take()) if text else None
        pieces = [*map(self._calls.identify, native), *map(self._calls.add, calls)]
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=text,
                tool_call_chunks=pieces,
                additional_kwargs={"reasoning_content": reasoning} if reasoning else {},
                response_metadata=self._metadata.take(),
            ),
            generation_info=logprobs or None,
        )

    def _last_chunk(self, usage: UsageMetadata | None) -> ChatGenerationChunk:
        self._metadata.set_default("model_name", self._request.model)
        metadata = self._metadata.take()
        metadata |= requirement_metadata(self.unmet_requirement, self._calls.errors)
        if usage is not None:
            metadata["token_usage"] = to_token_usage(usage)
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                response_metadata=metadata,
                usage_metadata=usage,
                chunk_position="last",
            ),
            generation_info=self._finish or None,
        )

    def _read_end(self, choice: Json) -> None:
        if (reason := str_or_none(choice.get("finish_reason"))) is not None:
            self._finish["finish_reason"] = reason
        results = choice.get("content_filter_results")
        if isinstance(results, dict):
            known = self._finish.get("content_filter_results", {})
            self._finish["content_filter_results"] = known | results


class _StreamedCalls:
    """Numbers a stream's tool calls and gives ids to those that have none."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}  # why calls are invalid, by their ids
        self._prompted = 0
        self._has_own_id: dict[int | None, bool] = {}

    def identify(self, piece: ToolCallChunk) -> ToolCallChunk:
        """A piece of a native call, with an id in the call's first piece."""
        index = piece["index"]
        if index in self._has_own_id:
            return piece if self._has_own_id[index] else {**piece, "id": None}
        self._has_own_id[index] = piece["id"] is not None
        return piece if piece["id"] is not None else {**piece, "id": new_tool_call_id()}

    def add(self, call: Call) -> ToolCallChunk:
        """A call found in the text, as a chunk."""
        index, self._prompted = self._prompted, self._prompted + 1
        call_id = new_tool_call_id()
        if call.error is None:
            args = to_compact_json(call.arguments)
        else:
            self.errors[call_id] = call.error
            args = invalid_arguments_text(call.arguments, call.raw)
        return tool_call_chunk(name=call.name, args=args, id=call_id, index=index)


def _has_content(choice: Json) -> bool:
    """Whether a choice of a stream holds a delta, a message or a finish reason."""
    return str_or_none(choice.get("finish_reason")) is not None or any(
        isinstance(choice.get(key), dict) for key in ("delta", "message")
    )
