"""One question, and how to read its answer."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.messages.tool import (
    ToolCallChunk,
    invalid_tool_call,
    tool_call,
    tool_call_chunk,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_azure_phi3._request import score_route
from langchain_azure_phi3._response.fast_chunks import words
from langchain_azure_phi3._response.response import (
    PROVIDER,
    arguments_text,
    choices,
    described,
    describing,
    logprobs,
    message_of,
    spoken,
    text_of,
    thoughts_of,
    token_usage,
    tool_call_chunks,
    tool_calls,
    usage,
)
from langchain_azure_phi3._response.response_parser import ParsedText, ResponseParser
from langchain_azure_phi3._tools import json_extraction, tool_prompt
from langchain_azure_phi3._tools.schema_compaction import to_compact_json
from langchain_azure_phi3._tools.tool_choice import OutputSpec
from langchain_azure_phi3._tools.tools import Call
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import (
    AzurePhi3Error,
    ContentFilterError,
    FilterResult,
    InterruptedStreamError,
    InvalidResponseError,
)

OnContentFilter = Literal["raise", "return"]


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms an answer is read.

    Attributes:
        model: What the model is called where the answer does not say.
        on_content_filter: Whether a filtered completion raises or is returned.
        asked: The tools and the format that were asked for in words, if any.
        family: The way of writing calls that the model knows.
        thinks: Whether thoughts may stand in the text.
        max_corrections: How often to ask again for what was demanded and did not come.
        scores: Whether question and answer have the form of the `/score` route.
    """

    model: str | None = None
    on_content_filter: OnContentFilter = "raise"
    asked: OutputSpec | None = None
    tool_format: str = "plain"
    thinks: bool = False
    max_corrections: int = 0
    scores: bool = False


class Exchange:
    """A payload, and the reader of what comes back.

    `result` reads a whole answer; `chunks` each piece of a stream, and `last_chunks` its end. As
    long as `is_open`, the payload is to be sent (again: it then quotes what was wrong).
    """

    def __init__(self, payload: Json, headers: Mapping[str, str], terms: Terms) -> None:
        self.payload = payload
        self.headers = headers
        self.is_open = True
        self._terms = terms
        self._corrections = terms.max_corrections if terms.asked is not None else 0
        self._spent: UsageMetadata | None = None
        self._told: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        """Forget the answer before a corrected one."""
        self._reader = self._new_reader()
        self._text = bytearray()  # takes what the text takes; a list of its pieces, ten times that
        self._counted: UsageMetadata | None = None
        self._news: Json = {}
        self._described: tuple[Any, ...] | None = None
        self._finish: Json = {}
        self._filters: Json = {}
        self._errors: dict[str, str] = {}
        self._calls = 0
        self._made_up: dict[int | None, bool] = {}
        self._request_id: str | None = None
        self._answered = False

    @property
    def request(self) -> Json:
        """The payload, in the form that the route expects."""
        return score_route.request(self.payload) if self._terms.scores else self.payload

    # -- a whole answer ----------------------------------------------------------------------

    def result(self, body: Json, request_id: str | None) -> ChatResult | None:
        """The generations of a whole answer, one for each choice; `None` to ask again.

        Raises:
            ContentFilterError: A choice was filtered and `on_content_filter` is `"raise"`.
            InvalidResponseError: There is no choice, or one without a message.
        """
        if self._terms.scores:
            body = score_route.completion(body, request_id)
        found = choices(body)
        if not found:
            raise InvalidResponseError(
                "The answer holds no choices.", status_code=200, request_id=request_id, body=body
            )
        self._counted = usage(body)
        generations = []
        for choice in found:
            generations.append(self._generation(choice, body, request_id))
            if self._reopened():
                return None
        self.is_open = False
        # The figure is of the whole request: on one message only, so that a sum over the
        # messages stays true.
        first = generations[0].message
        if isinstance(first, AIMessage):
            first.usage_metadata = self._usage
        return ChatResult(generations=generations, llm_output=self._llm_output(first))

    def _generation(self, choice: Json, body: Json, request_id: str | None) -> ChatGeneration:
        message = message_of(choice, body, request_id)
        text = spoken(message)
        if self._raises(choice):
            raise self._blocked(choice.get("content_filter_results"), text, request_id, body)
        self._reader, self._errors = self._new_reader(), {}
        said = self._heard(text, truncated=choice.get("finish_reason") == "length")
        good, bad = tool_calls(message)
        for call in said.calls:
            if call.error is None:
                good.append(tool_call(name=call.name, args=call.arguments or {}, id=_new_id()))
            else:
                identity, args = self._refused(call)
                bad.append(
                    invalid_tool_call(name=call.name, args=args, id=identity, error=call.error)
                )
        metadata: Json = {"model_provider": PROVIDER}
        if self._terms.model is not None:
            metadata["model_name"] = self._terms.model
        metadata |= described(body, request_id) | self._unmet()
        return ChatGeneration(
            message=AIMessage(
                content=said.text,
                tool_calls=good,
                invalid_tool_calls=bad,
                additional_kwargs=_thinking(thoughts_of(message) + said.thoughts),
                response_metadata=metadata,
            ),
            generation_info=_info(choice),
        )

    def _heard(self, text: str, *, truncated: bool) -> ParsedText:
        """All that a whole text says."""
        if self._reader.is_plain:
            return ParsedText("", text)
        first, last = self._reader.feed(text), self._reader.finish(truncated=truncated)
        held = self._reader.leftover() if self._gives_up() else ParsedText()
        parts = (first, last, held)
        return ParsedText(
            "".join(part.thoughts for part in parts),
            "".join(part.text for part in parts),
            tuple(call for part in parts for call in part.calls),
        )

    def _llm_output(self, message: Any) -> Json:
        # Only keys that a stream gives as well: core copies these into response_metadata.
        told = message.response_metadata
        output: Json = {k: told[k] for k in ("model_provider", "model_name") if k in told}
        if self._usage is not None:
            output["token_usage"] = token_usage(self._usage)
        return output

    # -- an answer in pieces -----------------------------------------------------------------

    def chunks(self, body: Json, request_id: str | None) -> list[ChatGenerationChunk]:
        """The chunks that one piece gives: none for usage, filters and other choices."""
        self._request_id = request_id
        if self._terms.scores:
            body = score_route.completion(body, request_id)
        if (counted := usage(body)) is not None:
            self._counted = counted  # the last figure wins: some servers repeat a running total
        if (fields := describing(body)) != self._described:  # each piece says the same again
            self._described = fields
            self._note(described(body, request_id))
        found = []
        for choice in choices(body):
            if choice.get("index") in (0, None):
                chunk = self._piece(choice, body, request_id)
                if chunk is not None:
                    found.append(chunk)
        return found

    def _note(self, found: Json) -> None:
        for key, value in found.items():
            if key not in self._told:
                self._news[key] = value

    def _piece(
        self, choice: Json, body: Json, request_id: str | None
    ) -> ChatGenerationChunk | None:
        if not self._answered:
            self._answered = _says_something(choice)
        if choice.get("finish_reason") or choice.get("content_filter_results"):
            self._remember(choice)
        if "message" in choice:  # a whole answer, from a server that ignores `stream`
            delta = message_of(choice, body, request_id)
        else:
            found = choice.get("delta")
            delta = found if isinstance(found, dict) else {}
        text = spoken(delta)
        self._text += text.encode()
        said = self._reader.feed(text) if text else _NOTHING
        if thoughts := thoughts_of(delta):
            said = ParsedText(thoughts + said.thoughts, said.text, said.calls)
        calls = tool_call_chunks(delta) if delta.get("tool_calls") else []
        info = logprobs(choice) if choice.get("logprobs") else {}
        return self._chunk(said, calls, info)

    def _chunk(
        self, said: ParsedText, native: list[ToolCallChunk], info: Json
    ) -> ChatGenerationChunk | None:
        thoughts, text, written = said
        if not (native or written or thoughts or info):
            return words(text, self._latest()) if text else None
        calls = [*map(self._identified, native), *map(self._call_chunk, written)]
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content=text,
                tool_call_chunks=calls,
                additional_kwargs=_thinking(thoughts),
                response_metadata=self._latest(),
            ),
            generation_info=info or None,
        )

    def _identified(self, piece: ToolCallChunk) -> ToolCallChunk:
        """A piece of a call whose first piece has an id: the server's, else the whole answer's."""
        index = piece["index"]
        if index in self._made_up:
            return {**piece, "id": None} if self._made_up[index] else piece
        self._made_up[index] = piece["id"] is None
        return {**piece, "id": piece["id"] or f"call_{piece['name'] or ''}_{index}"}

    def _call_chunk(self, call: Call) -> ToolCallChunk:
        index, self._calls = self._calls, self._calls + 1
        if call.error is None:
            identity, args = _new_id(), to_compact_json(call.arguments)
        else:
            identity, args = self._refused(call)
        return tool_call_chunk(name=call.name, args=args, id=identity, index=index)

    def last_chunks(self) -> Iterator[ChatGenerationChunk]:
        """The end of the stream, with everything that may be said only once.

        Nothing, where the answer is to be asked for again.

        Raises:
            ContentFilterError: The answer was filtered and `on_content_filter` is `"raise"`.
            InvalidResponseError: The stream held no choice.
        """
        if not self._answered:
            raise InvalidResponseError("The stream ended without a choice.", status_code=200)
        if self._raises(self._finish):
            raise self._blocked(self._filters, self._text.decode(), self._request_id)
        rest = self._reader.finish(truncated=self._finish.get("finish_reason") == "length")
        if self._reopened():
            return
        self.is_open = False
        held = self._reader.leftover() if self._gives_up() else ParsedText()
        ends = (self._chunk(said, [], {}) for said in (rest, held))
        yield from (chunk for chunk in ends if chunk is not None)
        yield self._last_chunk()

    def _last_chunk(self) -> ChatGenerationChunk:
        if self._filters:
            self._finish["content_filter_results"] = self._filters
        if "model_name" not in self._told and self._terms.model is not None:
            self._news.setdefault("model_name", self._terms.model)
        metadata = self._latest() | self._unmet()
        if self._usage is not None:
            metadata["token_usage"] = token_usage(self._usage)
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                response_metadata=metadata,
                usage_metadata=self._usage,
                chunk_position="last",
            ),
            generation_info=self._finish or None,
        )

    @contextmanager
    def keeping_partial(self) -> Iterator[None]:
        """Put what was received so far on an error that ends the stream."""
        try:
            yield
        except AzurePhi3Error as error:
            began = self._answered or isinstance(error, InterruptedStreamError)
            if error.partial is None and began:
                error.partial = self._text.decode()
            if error.usage_metadata is None:
                error.usage_metadata = self._usage
            raise

    def _remember(self, choice: Json) -> None:
        if (reason := text_of(choice.get("finish_reason"))) is not None:
            self._finish["finish_reason"] = reason
        results = choice.get("content_filter_results")
        if isinstance(results, dict):
            self._filters |= results

    def _latest(self) -> Json:
        """Metadata not told yet: LangChain joins what it is told twice."""
        if not self._news:
            return {"model_provider": PROVIDER}
        news, self._news = self._news, {}
        self._told.update(news)
        return {"model_provider": PROVIDER, **news}

    # -- both --------------------------------------------------------------------------------

    @property
    def _usage(self) -> UsageMetadata | None:
        """The sum over all requests, with the corrections."""
        if self._spent is None or self._counted is None:
            return self._counted if self._counted is not None else self._spent
        return add_usage(self._spent, self._counted)

    def _new_reader(self) -> ResponseParser:
        return ResponseParser(self._terms.asked, thinks=self._terms.thinks)

    def _gives_up(self) -> bool:
        return self._reader.problem is not None and self._corrections == 0

    def _reopened(self) -> bool:
        """Whether what was demanded did not come, and the payload now asks again."""
        problem, asked = self._reader.problem, self._terms.asked
        if problem is None or asked is None or self._corrections == 0:
            return False
        wrote = "".join(self._reader.wrote)
        if asked.requires_tool_call:
            again = tool_prompt.correction(
                problem, wrote=wrote, choice=asked.choice, tool_format=self._terms.tool_format
            )
        else:
            again = json_extraction.correction(problem, wrote)
        turns = [{"role": "assistant", "content": wrote}, {"role": "user", "content": again}]
        self.payload = {**self.payload, "messages": [*self.payload["messages"], *turns]}
        self._corrections -= 1
        self._spent = self._usage
        self._begin()
        return True

    def _refused(self, call: Call) -> tuple[str, str]:
        """Id and arguments of a call that cannot be made; its reason is kept for the metadata."""
        identity = _new_id()
        self._errors[identity] = call.error or ""
        return identity, arguments_text(call.arguments, call.raw)

    def _unmet(self) -> Json:
        """What was demanded and did not come, and why calls cannot be made."""
        found: Json = {}
        if self._reader.problem is not None:
            found["unmet"] = self._reader.problem
        if self._errors:
            found["tool_call_errors"] = self._errors
        return found

    def _raises(self, choice: Json) -> bool:
        filtered = choice.get("finish_reason") == "content_filter"
        return filtered and self._terms.on_content_filter == "raise"

    def _blocked(
        self, results: Any, partial: str, request_id: str | None, body: Json | None = None
    ) -> ContentFilterError:
        error = ContentFilterError(
            "The answer was filtered by the service's content management policy. "
            "What came before is in `partial`; on_content_filter='return' gives it as an answer.",
            status_code=200,
            code="content_filter",
            request_id=request_id,
            body=body,
            partial=partial,
            usage_metadata=self._usage,
        )
        error.stage = "completion"
        error.filters = FilterResult.read(results)
        return error


_NOTHING = ParsedText()


def _says_something(choice: Json) -> bool:
    """Whether a choice of a stream is one: neither a piece nor an end is no answer."""
    pieces = (choice.get("delta"), choice.get("message"))
    ended = text_of(choice.get("finish_reason")) is not None
    return ended or any(isinstance(piece, dict) for piece in pieces)


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def _thinking(thoughts: str) -> Json:
    return {"reasoning_content": thoughts} if thoughts else {}


def _info(choice: Json) -> Json:
    info = {"finish_reason": text_of(choice.get("finish_reason")), **logprobs(choice)}
    if isinstance(choice.get("content_filter_results"), dict):
        info["content_filter_results"] = choice["content_filter_results"]
    return {key: value for key, value in info.items() if value is not None}
