"""Repeats a request whose response lacks a required part, or contains only an invalid call."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from langchain_azure_phi3._request.build import ChatRequest
from langchain_azure_phi3._request.constraints import Forms
from langchain_azure_phi3._response.complete import Completion, parse_completion
from langchain_azure_phi3._response.constraint_negotiation import ConstraintNegotiation
from langchain_azure_phi3._response.stream_assembler import StreamAssembler
from langchain_azure_phi3._response.wire_response import (
    REASONING_USED_ALL_TOKENS,
    choice_message,
    content_text,
    is_truncated,
    parse_usage,
    sorted_choices,
    to_token_usage,
    total_usage,
)
from langchain_azure_phi3._span_events import CONSTRAINT_REJECTED, CORRECTION, add_span_event
from langchain_azure_phi3._tools import json_extraction, tool_prompt
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import AzurePhi3Error, InterruptedStreamError
from langchain_azure_phi3.models import learn_model

# Tracers look for these in `llm_output`.
_LLM_OUTPUT = ("model_provider", "model_name", "id", "system_fingerprint")


class CorrectionLoop:
    """Manages the payload and the remaining corrections of one request.

    Send `payload` while `needs_request` is true. Pass each complete response to `read`. For each
    stream, call `start_stream`, then `feed` for every JSON object, then `finish_stream`. The next
    payload explains what was wrong.

    Attributes:
        needs_request: Whether the payload must be sent (again).
        payload: The JSON to send, in the form that the route expects.
    """

    def __init__(self, request: ChatRequest) -> None:
        self.needs_request = True
        self._request = request
        self._negotiation: ConstraintNegotiation | None = None
        self._messages = request.payload["messages"]
        self.payload = request.wire_payload(request.payload)
        if request.constraint is not None:
            self._negotiation = ConstraintNegotiation(request.constraint, request.facts)
            self.payload = self._next_payload()
        corrects = request.output is not None and not request.has_native_output
        self._remaining = request.max_corrections if corrects else 0
        self._usage: UsageMetadata | None = None  # of the attempts so far
        self._assembler: StreamAssembler  # of the open stream
        self._held: list[ChatGenerationChunk] = []

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers to send with the payload."""
        if self._negotiation is None:
            return self._request.headers
        return {**self._request.headers, **self._negotiation.headers}

    def drop_constraint(self, error: AzurePhi3Error) -> bool:
        """Whether the request failed because of its constraint; then, the payload drops it."""
        if self._negotiation is None:
            return False
        rejected = self._negotiation.forms
        if not self._negotiation.drop(error):
            return False
        _report_rejection(rejected, error)
        self.payload = self._next_payload()
        return True

    def read(self, body: Json, info: ResponseInfo) -> ChatResult | None:
        """Return the result of a complete response; `None` if the request must be repeated.

        Raises:
            FilteredCompletionError: A choice was filtered and `on_content_filter` is `"raise"`.
            InvalidResponseError: There is no choice, or one without a message.
        """
        if self._request.phi is None:
            learn_model(self._request.facts, body.get("model"))
        try:
            completion = parse_completion(body, info, self._request)
        except AzurePhi3Error as error:
            if self.drop_constraint(error):
                return None
            error.usage_metadata = total_usage(self._usage, parse_usage(body))
            raise
        self._usage = total_usage(self._usage, completion.usage)
        if self._negotiation is not None:
            _add_constraints(completion, self._negotiation, body, info)
        problem = completion.unmet_requirement
        if problem is not None and self._can_correct(problem):
            self._start_correction(problem, completion.raw_text)
            return None
        self.needs_request = False
        return _to_result(completion, self._usage)

    @contextmanager
    def start_stream(self) -> Iterator[None]:
        """Start the next stream, and attach the received text to an error that ends it.

        An error because of the constraint, before the first object, only changes the payload.
        """
        self._assembler = StreamAssembler(self._request, corrects=self._remaining > 0)
        self._held = []
        try:
            yield
        except AzurePhi3Error as error:
            if not self._assembler.received_text and self.drop_constraint(error):
                return
            has_begun = self._assembler.has_choice or isinstance(error, InterruptedStreamError)
            if error.partial is None and has_begun:
                error.partial = self._assembler.received_text
            if error.usage_metadata is None:
                error.usage_metadata = total_usage(self._usage, self._assembler.usage)
            raise

    def feed(self, body: Json, info: ResponseInfo) -> list[ChatGenerationChunk]:
        """Return the chunks to emit for one JSON object of the stream.

        Chunks are held back while a correction could still replace them.
        """
        if self._request.phi is None:
            learn_model(self._request.facts, body.get("model"))
        chunks = self._assembler.feed(body, info)
        if self._remaining == 0:
            return chunks
        self._held += chunks
        if self._assembler.is_holding:
            return []
        held, self._held = self._held, []
        return held

    def finish_stream(self) -> list[ChatGenerationChunk]:
        """Return the last chunks of the stream; none if the request must be repeated.

        Raises:
            FilteredCompletionError: It was filtered and `on_content_filter` is `"raise"`.
            InvalidResponseError: The stream contained no choice.
        """
        assembler = self._assembler
        chunks = self._held + assembler.finish(self._usage)
        if self._negotiation is not None:
            self._add_constraint(chunks[-1], self._negotiation)
        problem = assembler.unmet_requirement
        if problem is not None and not assembler.is_refused and self._can_correct(problem):
            self._usage = total_usage(self._usage, assembler.usage)
            self._start_correction(problem, assembler.raw_text)
            return []
        self.needs_request = False
        return chunks

    def _can_correct(self, problem: str) -> bool:
        # A response that ended within its reasoning would do so again, at the same cost.
        return self._remaining > 0 and problem != REASONING_USED_ALL_TOKENS

    def _start_correction(self, problem: str, raw_text: str) -> None:
        output = self._request.output
        if output is not None and (output.requires_tool_call or output.schema is None):
            prompt = tool_prompt.correction(
                problem,
                wrote=raw_text,
                choice=output.choice,
                tool_format=self._request.tool_format,
            )
        else:
            prompt = json_extraction.correction(problem, raw_text)
        turns = (("assistant", raw_text), ("user", prompt))
        escape = self._request.escape_answer
        added = [{"role": role, "content": escape(text)} for role, text in turns]
        self._messages = [*self._messages, *added]
        self.payload = self._next_payload()
        self._remaining -= 1
        number = self._request.max_corrections - self._remaining
        add_span_event(CORRECTION, {"azure_phi3.correction.number": number})

    def _next_payload(self) -> Json:
        payload = {**self._request.payload, "messages": self._messages}
        if self._negotiation is not None:
            payload |= self._negotiation.fields
        return self._request.wire_payload(payload)

    def _add_constraint(
        self, last: ChatGenerationChunk, negotiation: ConstraintNegotiation
    ) -> None:
        negotiation.confirm()
        truncated = is_truncated((last.generation_info or {}).get("finish_reason"))
        found = negotiation.constrained_by(self._assembler.received_text, truncated=truncated)
        if found is not None:
            last.message.response_metadata["constrained_by"] = found


def _report_rejection(rejected: Forms, error: AzurePhi3Error) -> None:
    reason = type(error).__name__ if error.status_code is None else str(error.status_code)
    attributes = {"azure_phi3.constraint": ",".join(rejected), "error.type": reason}
    add_span_event(CONSTRAINT_REJECTED, attributes)


def _add_constraints(
    completion: Completion, negotiation: ConstraintNegotiation, body: Json, info: ResponseInfo
) -> None:
    negotiation.confirm()
    for generation, choice in zip(completion.generations, sorted_choices(body), strict=True):
        text = content_text(choice_message(choice, body, info))
        truncated = is_truncated(choice.get("finish_reason"))
        if (found := negotiation.constrained_by(text, truncated=truncated)) is not None:
            generation.message.response_metadata["constrained_by"] = found


def _to_result(completion: Completion, usage: UsageMetadata | None) -> ChatResult:
    first = completion.generations[0].message
    # The usage is that of the complete request. Only one message has it, so that a sum over the
    # messages is correct.
    if isinstance(first, AIMessage):
        first.usage_metadata = usage
    # Only keys that streams have too, because LangChain copies these into response_metadata.
    metadata = first.response_metadata
    llm_output: Json = {}
    for key in _LLM_OUTPUT:
        if key in metadata:
            llm_output[key] = metadata[key]
    if usage is not None:
        llm_output["token_usage"] = to_token_usage(usage)
    return ChatResult(generations=completion.generations, llm_output=llm_output)
