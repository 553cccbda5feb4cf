"""`ChatAzurePhi3`: the LangChain chat model for Microsoft's Phi family."""

import operator
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    BaseRunManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import (
    LangSmithParams,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    MessageLikeRepresentation,
    convert_to_messages,
)
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import ChatPromptValue, PromptValue
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.utils import LC_ID_PREFIX
from typing_extensions import override

from langchain_azure_phi3 import models, tokens
from langchain_azure_phi3._http import clients
from langchain_azure_phi3._request import anthropic_blocks, flatten_tools, media_limits, parameters
from langchain_azure_phi3._request.messages import SystemMessages, turns, with_wire_media
from langchain_azure_phi3._response.completion import Exchange, Terms
from langchain_azure_phi3._response.events import CURRENT, EventWriter
from langchain_azure_phi3._response.response import PROVIDER, ModelInfo, model_info
from langchain_azure_phi3._settings import BaseAzurePhi3
from langchain_azure_phi3._tools import tool_prompt
from langchain_azure_phi3._tools.tool_choice import (
    OutputSpec,
    parse_output_spec,
    parse_tool_choice,
    tool_choice_field,
)
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.models import PhiModel

if TYPE_CHECKING:
    from langchain_azure_phi3.structured_output import Method


# The model's own parameters that go into every payload, and that a call may override.
_SAMPLING = (
    "temperature",
    "top_p",
    "max_tokens",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "n",
)

# What the package gives every Phi, whatever its deployment takes: agents choose their strategy
# by it. `structured_output` is true because bind_tools(response_format=...) is honoured.
_BY_PROMPT = {
    "tool_calling": True,
    "tool_choice": True,
    "tool_call_streaming": True,
    "structured_output": True,
}


# Imported where they are used: pictures to be scaled, and structured output. Not every program
# needs them, and importing the package should take little longer than importing LangChain.


class _Asking(NamedTuple):
    """Whom a call asks, for what, and whether the deployment takes that on the wire."""

    model: str | None
    row: PhiModel | None
    asked: OutputSpec
    native: bool

    @property
    def tool_format(self) -> str:
        return self.row.tool_prompt if self.row is not None else "plain"

    @property
    def in_words(self) -> OutputSpec | None:
        return None if self.native else self.asked

    @property
    def fields(self) -> Json:
        return self.asked.native_fields if self.native else self.asked.prompted_fields


class ChatAzurePhi3(BaseAzurePhi3):
    """A Phi-3, Phi-3.5 or Phi-4 deployment as a LangChain chat model.

    Works with serverless APIs, managed compute, Foundry's `/models` and `/openai/v1` routes, and
    servers on localhost; which one it is follows from the endpoint.

    Setup:
        ```bash
        pip install langchain-azure-phi3
        export AZURE_INFERENCE_ENDPOINT="https://<name>.<region>.models.ai.azure.com"
        export AZURE_INFERENCE_CREDENTIAL="<key>"
        ```

    Example:
        ```python
        from langchain_azure_phi3 import ChatAzurePhi3

        model = ChatAzurePhi3(temperature=0)
        answer = model.invoke("How many languages are in the world?")
        print(answer.content, answer.usage_metadata)

        for chunk in model.stream("Tell me a story."):
            print(chunk.content, end="", flush=True)
        ```

    Raises:
        InvalidInputError: A parameter is unknown or of the wrong type, or the endpoint or the
            credential is missing. Nothing at construction touches the network.
    """

    @override
    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        # Before LangChain's tracing reads the blocks: it refuses pictures without a type with a
        # ValueError of its own, and copies every picture that is not in OpenAI's form already.
        prompt = super()._convert_input(model_input)
        given = prompt.to_messages()
        messages = [with_wire_media(message) for message in given]
        same = all(map(operator.is_, given, messages))
        return prompt if same else ChatPromptValue(messages=messages)

    # -- one question ------------------------------------------------------------------------

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        exchange = self._exchange(messages, stop, kwargs)
        connected = self._connected()
        with connected.keeping_secrets:
            while True:
                answer = connected.sync.complete(exchange.request, exchange.headers)
                if (result := exchange.result(*answer)) is not None:
                    return result

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        exchange = self._exchange(messages, stop, kwargs)
        connected = self._connected()
        with connected.keeping_secrets:
            while True:
                answer = await connected.asynchronous.complete(exchange.request, exchange.headers)
                if (result := exchange.result(*answer)) is not None:
                    return result

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        exchange = self._exchange(messages, stop, kwargs, stream=True)
        connected = self._connected()
        while exchange.is_open:
            with connected.keeping_secrets, exchange.keeping_partial():
                pieces = connected.sync.stream(exchange.request, exchange.headers)
                with closing(pieces):
                    for piece in pieces:
                        yield from exchange.chunks(*piece)
                yield from exchange.last_chunks()

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        exchange = self._exchange(messages, stop, kwargs, stream=True)
        connected = self._connected()
        while exchange.is_open:
            with connected.keeping_secrets, exchange.keeping_partial():
                pieces = connected.asynchronous.stream(exchange.request, exchange.headers)
                async with aclosing(pieces):
                    async for piece in pieces:
                        for chunk in exchange.chunks(*piece):
                            yield chunk
                for chunk in exchange.last_chunks():
                    yield chunk

    # `stream_events(version="v3")` looks for these two, and makes the same of `_stream` where
    # they are not there: in more time.

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[Json]:
        events = _writer(run_manager)
        chunks = self._stream(messages, stop, run_manager, **kwargs)
        with closing(chunks):  # type: ignore[type-var]  # a generator, whatever its type says
            for chunk in chunks:
                yield from events.feed(chunk)
        yield from events.finish()

    async def _astream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Json]:
        events = _writer(run_manager)
        chunks = self._astream(messages, stop, run_manager, **kwargs)
        async with aclosing(chunks):  # type: ignore[type-var]  # a generator
            async for chunk in chunks:
                for event in events.feed(chunk):
                    yield event
        for event in events.finish():
            yield event

    if not CURRENT:
        del _stream_chat_model_events, _astream_chat_model_events

    def get_model_info(self) -> ModelInfo:
        """What the deployment says of its model (`GET /info`).

        Raises:
            NotFoundError: The kind of endpoint has no such route.
            AzurePhi3Error: Whatever else went wrong.
        """
        connected = self._connected()
        with connected.keeping_secrets:
            return model_info(connected.sync.info(self.model, self._routing()).body)

    async def aget_model_info(self) -> ModelInfo:
        """What the deployment says of its model (`GET /info`).

        Raises:
            NotFoundError: The kind of endpoint has no such route.
            AzurePhi3Error: Whatever else went wrong.
        """
        connected = self._connected()
        with connected.keeping_secrets:
            return model_info((await connected.asynchronous.info(self.model, self._routing())).body)

    def _routing(self) -> dict[str, str]:
        return parameters.headers({}, frozenset(), None, self.deployment)

    def close(self) -> None:
        """Close the connections that the models of this process share on the sync path.

        Nobody has to: they are kept for the next request and closed at exit. Answers under way
        are finished first, and the next request opens new ones. Your own `http_client` is left
        alone.
        """
        clients.retire()

    async def aclose(self) -> None:
        """Close the connections that the models of the running event loop share.

        Nobody has to: the loop closes them when it ends. Answers under way are finished first, and
        the next request opens new ones. Your own `http_async_client` is left alone.
        """
        await clients.aretire()

    def _exchange(
        self,
        messages: Sequence[BaseMessage],
        stop: Sequence[str] | None,
        kwargs: Mapping[str, Any],
        *,
        stream: bool = False,
    ) -> Exchange:
        """The payload of one question, and the reader of its answer."""
        call = parameters.checked({**kwargs, "stop": stop}) if kwargs or stop is not None else {}
        asking = self._asking(call)
        payload: Json = {"messages": self._turns(messages, asking)}
        payload |= parameters.fields(self._defaults(), call) | asking.fields
        if stops := parameters.stops(self.stop, call.get("stop")):
            payload["stop"] = stops
        payload |= self._addressed(asking.model)
        if stream:
            payload |= self._streamed(payload)
        meter = self._meter(asking.model)
        payload = meter.fitted(payload, lower=self.fit_max_tokens)
        header = call.get("extra_parameters") or self.extra_parameters
        corrections = call.get("max_corrections")
        return Exchange(
            payload,
            parameters.headers(payload, self._route.kind.native, header, self.deployment),
            Terms(
                model=asking.model,
                on_content_filter=self.on_content_filter,
                asked=asking.in_words,
                tool_format=asking.tool_format,
                thinks=asking.row is None or asking.row.reasoning,
                max_corrections=self.max_corrections if corrections is None else corrections,
                scores=self.api == "score",
                meter=meter,
            ),
        )

    def _asking(self, call: Json) -> _Asking:
        name = call.get("model") or self.model
        row = models.find_model(name)
        native = self._is_native(name, row)
        return _Asking(name, row, self._asked(call, name, native=native), native)

    def _is_native(self, name: str | None, row: PhiModel | None) -> bool:
        """Whether tools and formats go on the wire: of no Phi is known that it takes them."""
        if self.tool_calling == "auto":
            if not self._route.kind.tools:
                return False
            return row.native_tools if row is not None else name is not None
        return self.tool_calling == "native"

    def _asked(self, call: Json, name: str | None, *, native: bool) -> OutputSpec:
        response_format = call.get("response_format") or self.response_format
        asked_for = parse_output_spec(
            call.get("tools"),
            call.get("tool_choice"),
            response_format,
            call.get("parallel_tool_calls"),
        )
        if asked_for.requires_json and call.get("tools") is None and not native:
            raise InvalidInputError(
                f"{name or 'A Phi deployment'} has no JSON mode: it would write empty lines until "
                "max_tokens, or hang. Use with_structured_output(...), or force it with "
                "model_extras={'response_format': ...}."
            )
        return asked_for

    def _turns(self, messages: Sequence[BaseMessage], asking: _Asking) -> list[Json]:
        row = asking.row
        messages = anthropic_blocks.translated(messages)
        if asking.in_words is not None:
            messages = flatten_tools.in_words(messages, asking.tool_format)
            if text := tool_prompt.output_instructions(asking.in_words, asking.tool_format):
                messages = flatten_tools.instructed(messages, text)
        folds = row is not None and row.system_messages == "dropped"
        auto: SystemMessages = "user" if folds and not self._route.kind.translates else "system"
        given = auto if self.system_messages == "auto" else self.system_messages
        wire = media_limits.for_model(turns(messages, given), row)
        side = self.max_image_side
        if side is None:
            return wire
        from langchain_azure_phi3 import images

        return images.scaled_turns(wire, side)

    def _addressed(self, name: str | None) -> Json:
        kind = self._route.kind
        if kind.model == "required" and name is None:
            raise InvalidInputError(
                f"A {kind.name} needs model=, the name of the deployment to ask."
            )
        return {"model": name} if kind.model != "omitted" and name is not None else {}

    def _defaults(self) -> Json:
        values = self.__dict__
        defaults = {name: values[name] for name in _SAMPLING if values[name] is not None}
        if self.model_extras:
            defaults["model_extras"] = self.model_extras
        return defaults

    def _streamed(self, payload: Json) -> Json:
        if payload.get("n", 1) != 1:
            raise InvalidInputError(
                "A stream carries one answer: use generate() for n > 1, or leave n out."
            )
        native = "stream_options" in self._route.kind.native
        wanted = native if self.stream_usage is None else self.stream_usage
        usage = {"stream_options": {"include_usage": True}} if wanted else {}
        return {"stream": True, **usage} | (
            {"stream_options": payload["stream_options"]} if "stream_options" in payload else {}
        )

    # -- tools and structured output ---------------------------------------------------------

    @override
    def bind_tools(
        self,
        tools: Sequence[Json | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | Json | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Json | type | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools that it may, or must, call.

        Where the deployment takes no tools, they are described in the prompt, and the calls are
        read from the answer, streamed or whole.

        Args:
            tools: Functions, pydantic models, `BaseTool`s, TypedDicts or JSON schemas.
            tool_choice: `None` or `"auto"`: the model decides. `"any"`, `"required"` or `True`: it
                must call one. A name, or OpenAI's object with one: it must call that one.
                `"none"` or `False`: it gets no tools.
            strict: Marks the tools as strict where they go on the wire.
            parallel_tool_calls: Passed on where tools go on the wire.
            response_format: What a final answer must be: OpenAI's object, or a schema.
            kwargs: Any other parameters of the calls.

        Raises:
            InvalidInputError: `tool_choice` names no tool of `tools`.
        """
        described = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        bound: Json = {"tools": described, **kwargs}
        if tool_choice is not None:
            choice = parse_tool_choice(
                tool_choice, [tool["function"]["name"] for tool in described]
            )
            bound["tool_choice"] = tool_choice_field(choice)
        if parallel_tool_calls is not None:
            bound["parallel_tool_calls"] = parallel_tool_calls
        if response_format is not None:
            from langchain_azure_phi3 import structured_output

            bound["response_format"] = structured_output.wire_format(response_format, strict)
        return self.bind(**bound)

    @override
    def with_structured_output(
        self,
        schema: Json | type,
        *,
        method: "Method" = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """The model with answers that are objects of a schema.

        Where the deployment has no such mode, the schema goes into the prompt; the object is cut
        out of the answer, mended, and checked. What is wrong with it is quoted back to the model
        at most `max_corrections` times, each as a run of its own in the same trace.

        Args:
            schema: A pydantic model (v2 or v1), TypedDict, dataclass or JSON schema.
            method: `"json_schema"`; `"function_calling"`: a tool that must be called;
                `"json_mode"`: the schema is only checked, the prompt has to ask for it.
            include_raw: Whether to give `{"raw", "parsed", "parsing_error"}` instead, and never to
                raise for an answer that does not fit. `raw.response_metadata["corrections"]`
                holds the answers that were asked again for.
            strict: Passed on where the schema goes on the wire.
            kwargs: Any other parameters of the calls.

        Raises:
            InvalidInputError: `schema` is none, or `method` is unknown.
        """
        from langchain_azure_phi3 import structured_output

        return structured_output.structured(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            strict=strict,
            native=self._is_native(self.model, models.find_model(self.model)),
            corrections=self.max_corrections,
            kwargs=kwargs,
        )

    # -- tokens ------------------------------------------------------------------------------

    @override
    def get_num_tokens(self, text: str) -> int:
        """Tokens of a text on this model, offline.

        An estimate, corrected by what the deployment reported so far; exact with `tokenizer`.
        """
        return self._meter(self.model).text(text)

    @override
    def get_num_tokens_from_messages(
        self,
        messages: Sequence[MessageLikeRepresentation],
        tools: Sequence[Json | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """Tokens of what these messages would be sent as, offline.

        With the template's control tokens, pictures by the model's formula, and tools as they go
        to this deployment: as instructions in words, or as they are. An estimate, corrected by
        what the deployment reported so far; exact for texts with `tokenizer`.

        Raises:
            InvalidInputError: The messages hold what this model cannot be sent.
        """
        described = [convert_to_openai_tool(tool) for tool in tools or ()]
        asking = self._asking({"tools": described})
        nothing = not messages and (asking.native or not described)
        wire = [] if nothing else self._turns(convert_to_messages(messages), asking)
        return self._meter(asking.model).prompt({"messages": wire, **asking.fields})

    def _meter(self, model: str | None) -> tokens.Meter:
        given = self.tokenizer
        counter = tokens.load_tokenizer(given) if isinstance(given, str) else given
        return tokens.Meter(models.find_model(model), f"{self._route.base} {model}", counter)

    # -- the network -------------------------------------------------------------------------
    # -- LangChain's view --------------------------------------------------------------------

    @override
    def _resolve_model_profile(self) -> ModelProfile | None:
        row = models.find_model(self.model)
        if row is None:
            return None
        return cast("ModelProfile", models.model_profile(row) | _BY_PROMPT)

    @property
    @override
    def _llm_type(self) -> str:
        return "azure-phi3-chat"

    @property
    @override
    def _identifying_params(self) -> Mapping[str, Any]:
        given: Json = {"model": self.model, "endpoint": self._route.base, "stop": self.stop}
        given["response_format"] = self.response_format
        given |= self._defaults()
        given |= {"api_version": self.api_version, "deployment": self.deployment}
        if self.api != "auto":
            given["api"] = self.api
        return {name: value for name, value in given.items() if value is not None}

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        call = {key: value for key, value in kwargs.items() if value is not None}
        found = LangSmithParams(ls_provider=PROVIDER, ls_model_type="chat")
        if (model := call.get("model", self.model)) is not None:
            found["ls_model_name"] = model
        if (temperature := call.get("temperature", self.temperature)) is not None:
            found["ls_temperature"] = temperature
        if (max_tokens := call.get("max_tokens", self.max_tokens)) is not None:
            found["ls_max_tokens"] = max_tokens
        if stops := parameters.stops(self.stop, parameters.checked({"stop": stop})["stop"]):
            found["ls_stop"] = stops
        return found

    @override
    def _combine_llm_outputs(self, llm_outputs: list[Json | None], /) -> Json:
        combined: Json = {}
        for output in llm_outputs:
            if output is None:  # streamed
                continue
            counts: Counter[str] = Counter(combined.get("token_usage"))
            counts.update(output.get("token_usage") or {})
            combined = {**output, **combined}
            if "token_usage" in combined:
                combined["token_usage"] = dict(counts)
        return combined


def _writer(run_manager: BaseRunManager | None) -> EventWriter:
    """The writer of a run's events, with the id that LangChain gives the run's message."""
    return EventWriter("" if run_manager is None else f"{LC_ID_PREFIX}-{run_manager.run_id}")
