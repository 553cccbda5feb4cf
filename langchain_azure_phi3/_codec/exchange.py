"""One question, and how to read its answer."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_azure_phi3._codec.replies import (
    PROVIDER,
    choices,
    spoken,
    text_of,
    tool_call_chunks,
    tool_calls,
    usage,
)
from langchain_azure_phi3.errors import (
    AzurePhi3Error,
    ContentFilterError,
    FilterResult,
    InvalidResponseError,
)

Json = dict[str, Any]
OnContentFilter = Literal["raise", "return"]


class Exchange:
    """A payload, and the reader of what comes back.

    `result` reads a whole answer; `chunks` each piece of a stream, and `last_chunk` its end.

    Args:
        payload: The request's JSON.
        headers: The request's headers that follow from it.
        model: What the model is called where the answer does not say.
        on_content_filter: Whether a filtered completion raises or is returned.
    """

    def __init__(
        self,
        payload: Json,
        headers: Mapping[str, str],
        *,
        model: str | None,
        on_content_filter: OnContentFilter = "raise",
    ) -> None:
        self.payload = payload
        self.headers = headers
        self._model = model
        self._on_content_filter = on_content_filter
        self._text: list[str] = []
        self._usage: UsageMetadata | None = None
        self._news: Json = {}
        self._told: set[str] = set()
        self._finish: Json = {}
        self._filters: Json = {}
        self._request_id: str | None = None
        self._answered = False

    # -- a whole answer ----------------------------------------------------------------------

    def result(self, body: Json, request_id: str | None) -> ChatResult:
        """The generations of a whole answer, one for each choice.

        Raises:
            ContentFilterError: A choice was filtered and `on_content_filter` is `"raise"`.
            InvalidResponseError: There is no choice, or one without a message.
        """
        found = choices(body)
        if not found:
            raise InvalidResponseError(
                "The answer holds no choices.", status_code=200, request_id=request_id, body=body
            )
        self._usage = usage(body)
        metadata = {"model_provider": PROVIDER, "model_name": self._model}
        metadata |= _described(body, request_id)
        generations = [
            self._generation(choice, dict(metadata), body, request_id) for choice in found
        ]
        # The figure is of the whole request: on one message only, so that a sum over the
        # messages stays true.
        first = generations[0].message
        if isinstance(first, AIMessage):
            first.usage_metadata = self._usage
        return ChatResult(generations=generations, llm_output=self._llm_output(metadata))

    def _generation(
        self, choice: Json, metadata: Json, body: Json, request_id: str | None
    ) -> ChatGeneration:
        message = _message(choice, body, request_id)
        text = spoken(message)
        if self._raises(choice):
            raise self._blocked(choice.get("content_filter_results"), text, request_id, body)
        good, bad = tool_calls(message)
        return ChatGeneration(
            message=AIMessage(
                content=text,
                tool_calls=good,
                invalid_tool_calls=bad,
                response_metadata=metadata,
            ),
            generation_info=_info(choice),
        )

    def _llm_output(self, metadata: Json) -> Json:
        # Only keys that a stream gives as well: core copies these into response_metadata.
        output = {key: metadata[key] for key in ("model_provider", "model_name")}
        if self._usage is not None:
            output["token_usage"] = _token_usage(self._usage)
        return output

    # -- an answer in pieces -----------------------------------------------------------------

    def chunks(self, body: Json, request_id: str | None) -> Iterator[ChatGenerationChunk]:
        """The chunks that one piece gives: none for usage, filters and other choices."""
        self._request_id = request_id
        if (counted := usage(body)) is not None:
            self._usage = counted  # the last figure wins: some servers repeat a running total
        for key, value in _described(body, request_id).items():
            if key not in self._told:
                self._news[key] = value
        for choice in choices(body):
            if choice.get("index") not in (0, None):
                continue
            self._answered = True
            self._remember(choice)
            yield from self._piece(choice, body, request_id)

    def _piece(
        self, choice: Json, body: Json, request_id: str | None
    ) -> Iterator[ChatGenerationChunk]:
        if "message" in choice:  # a whole answer, from a server that ignores `stream`
            delta = _message(choice, body, request_id)
        else:
            delta = choice["delta"] if isinstance(choice.get("delta"), dict) else {}
        text, calls, info = spoken(delta), tool_call_chunks(delta), _logprobs(choice)
        if not (text or calls or info):
            return
        self._text.append(text)
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content=text,
                tool_call_chunks=calls,
                response_metadata=self._latest(),
            ),
            generation_info=info or None,
        )

    def last_chunk(self) -> ChatGenerationChunk:
        """The chunk that ends the stream, with everything that may be said only once.

        Raises:
            ContentFilterError: The answer was filtered and `on_content_filter` is `"raise"`.
            InvalidResponseError: The stream held no choice.
        """
        if not self._answered:
            raise InvalidResponseError("The stream ended without a choice.", status_code=200)
        if self._raises(self._finish):
            raise self._blocked(self._filters, "".join(self._text), self._request_id)
        if self._filters:
            self._finish["content_filter_results"] = self._filters
        if "model_name" not in self._told and self._model is not None:
            self._news.setdefault("model_name", self._model)
        metadata = self._latest()
        if self._usage is not None:
            metadata["token_usage"] = _token_usage(self._usage)
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
            if error.partial is None and self._answered:
                error.partial = "".join(self._text)
            if error.usage_metadata is None:
                error.usage_metadata = self._usage
            raise

    def _remember(self, choice: Json) -> None:
        if (reason := text_of(choice.get("finish_reason"))) is not None:
            self._finish["finish_reason"] = reason
        results = choice.get("content_filter_results")
        if isinstance(results, dict):
            self._filters |= results

    def _raises(self, choice: Json) -> bool:
        filtered = choice.get("finish_reason") == "content_filter"
        return filtered and self._on_content_filter == "raise"

    def _latest(self) -> Json:
        """Metadata not told yet: LangChain joins what it is told twice."""
        news, self._news = self._news, {}
        self._told.update(news)
        return {"model_provider": PROVIDER, **news}

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


def _message(choice: Json, body: Json, request_id: str | None) -> Json:
    """The message of a choice in a whole answer."""
    message = choice.get("message")
    if isinstance(message, dict):
        return message
    # Managed-compute server 0.1.8 answers so, with content_filter, to any failure inside it.
    if choice.get("finish_reason") == "content_filter":
        return {}
    raise InvalidResponseError(
        "The answer holds a choice without a message.",
        status_code=200,
        request_id=request_id,
        body=body,
    )


def _described(body: Json, request_id: str | None) -> Json:
    """What an answer says of itself; empty names are no names (Azure's filter chunk)."""
    described = {
        "model_name": text_of(body.get("model")),
        "id": text_of(body.get("id")),
        "request_id": request_id,
        "system_fingerprint": text_of(body.get("system_fingerprint")),
        "prompt_filter_results": body.get("prompt_filter_results")
        or body.get("prompt_annotations"),
    }
    return {key: value for key, value in described.items() if value}


def _token_usage(usage: UsageMetadata) -> dict[str, int]:
    """The counts under the wire's names, where LangChain's older callbacks look for them."""
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
    }


def _info(choice: Json) -> Json:
    info = {"finish_reason": text_of(choice.get("finish_reason")), **_logprobs(choice)}
    if isinstance(choice.get("content_filter_results"), dict):
        info["content_filter_results"] = choice["content_filter_results"]
    return {key: value for key, value in info.items() if value is not None}


def _logprobs(choice: Json) -> Json:
    logprobs = choice.get("logprobs")
    return {"logprobs": logprobs} if isinstance(logprobs, dict) else {}
