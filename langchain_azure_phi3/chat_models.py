"""`ChatAzurePhi3`: the LangChain chat model for Microsoft's Phi family."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from functools import reduce
from operator import add, is_
from typing import Any, Literal, NoReturn, Self, TypeVar, cast, overload

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
from langchain_core.utils.utils import LC_ID_PREFIX
from typing_extensions import override

from langchain_azure_phi3._http.client import aclose_shared, close_shared
from langchain_azure_phi3._request.build import (
    ChatRequest,
    build_request,
    fit_to_context,
    folds_system_messages,
    merge_stops,
    request_headers,
)
from langchain_azure_phi3._request.content import with_wire_media
from langchain_azure_phi3._request.parameters import CallParameters, validate_call
from langchain_azure_phi3._response.content_blocks import PROVIDER
from langchain_azure_phi3._response.correction import CorrectionLoop
from langchain_azure_phi3._response.events import MATCHES_LANGCHAIN, EventWriter
from langchain_azure_phi3._response.model_info import ModelInfo, parse_model_info
from langchain_azure_phi3._settings import PROFILE_KEYS, BaseAzurePhi3
from langchain_azure_phi3._tools.tool_choice import (
    check_tools,
    parse_tool_choice,
    tool_choice_field,
)
from langchain_azure_phi3._tools.type_conversion import to_wire_tools
from langchain_azure_phi3._types import Json, Method
from langchain_azure_phi3.errors import AzurePhi3Error, InvalidInputError
from langchain_azure_phi3.models import learn_model, model_profile
from langchain_azure_phi3.tokens import TokenCounter

T = TypeVar("T")

# Of `gen_ai.provider.name`, https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/
_AZURE_PROVIDER = "azure.ai.inference"

_LS_PARAMS = {
    "model": "ls_model_name",
    "temperature": "ls_temperature",
    "max_tokens": "ls_max_tokens",
}

# What the package supports for every Phi, whatever its deployment accepts: agents choose their
# strategy based on it. `structured_output` is true because bind_tools(response_format=...) is
# honored.
_PROMPTED_FEATURES = {
    "tool_calling": True,
    "tool_choice": True,
    "tool_call_streaming": True,
    "structured_output": True,
}


# Arguments of the constructor that no call has.
_SETTINGS = BaseAzurePhi3.__annotations__.keys() - CallParameters.__annotations__.keys()


# `structured_output` is imported in the methods that use it: importing the package should take
# little longer than importing LangChain.


class ChatAzurePhi3(BaseAzurePhi3):
    """A Phi-3, Phi-3.5 or Phi-4 deployment as a LangChain chat model.

    Works with serverless APIs, managed compute, Foundry's `/openai/v1` and `/models` routes, and
    servers on localhost. The type is inferred from the endpoint's URL.

    Setup:
        ```bash
        pip install langchain-azure-phi3
        export AZURE_INFERENCE_ENDPOINT="https://<resource>.services.ai.azure.com"
        export AZURE_INFERENCE_CREDENTIAL="<key>"
        ```

    Example:
        ```python
        from langchain_azure_phi3 import ChatAzurePhi3

        model = ChatAzurePhi3(temperature=0)
        response = model.invoke("How many languages are in the world?")
        print(response.content, response.usage_metadata)

        for chunk in model.stream("Tell me a story."):
            print(chunk.content, end="", flush=True)
        ```

    Raises:
        InvalidInputError: A parameter is unknown or of the wrong type, or the endpoint or the
            credential is missing. Construction makes no request.
    """

    @classmethod
    def from_foundry_local(
        cls, alias: str, *, app_name: str = "langchain-azure-phi3", **settings: Any
    ) -> Self:
        """A model that Foundry Local runs on this machine (needs the extra `foundry-local`).

        Foundry Local runs in this process. The model is downloaded and loaded, and the web service
        is started, unless this has already happened; the first time takes minutes.

        Args:
            alias: The model's alias, such as `"phi-4-mini"`, or the id of one of its builds.
            app_name: The name under which Foundry Local keeps its data, if it does not run yet.
            settings: Any other arguments of the constructor.

        Raises:
            ImportError: The SDK is missing.
            InvalidInputError: Foundry Local has no such model, or a setting is not valid.
        """
        from langchain_azure_phi3._foundry_local import start_service

        service = start_service(alias, app_name)
        if service.has_tools is False:
            settings.setdefault("tool_calling", "prompted")
        fixed = {"endpoint": service.endpoint, "model": service.model, "api": "foundry-local"}
        model = cls(**{"credential": "", **settings, **fixed})
        model._identify(ModelInfo(service.model, context=service.context))
        return model

    @override
    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        # Before LangChain's tracing reads the blocks: it raises a ValueError for images without a
        # type, and copies every image that is not in OpenAI's form already.
        prompt = super()._convert_input(model_input)
        given = prompt.to_messages()
        messages = [
            message if isinstance(message.content, str) else with_wire_media(message)
            for message in given
        ]
        is_unchanged = all(map(is_, given, messages))
        return prompt if is_unchanged else ChatPromptValue(messages=messages)

    # -- completions -------------------------------------------------------------------------

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._build_request(messages, stop, kwargs)
        loop = CorrectionLoop(request)
        endpoints = self._endpoints
        with endpoints.redacting:
            while True:
                try:
                    body, info = endpoints.sync.complete(loop.payload, loop.headers)
                except AzurePhi3Error as error:
                    if not loop.drop_constraint(error):
                        raise
                    continue
                if (result := loop.read(body, info)) is not None:
                    return result

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = await self._abuild_request(messages, stop, kwargs)
        loop = CorrectionLoop(request)
        endpoints = self._endpoints
        with endpoints.redacting:
            while True:
                try:
                    body, info = await endpoints.async_.complete(loop.payload, loop.headers)
                except AzurePhi3Error as error:
                    if not loop.drop_constraint(error):
                        raise
                    continue
                if (result := loop.read(body, info)) is not None:
                    return result

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        request = self._build_request(messages, stop, kwargs, stream=True)
        loop = CorrectionLoop(request)
        endpoints = self._endpoints
        while loop.needs_request:
            with endpoints.redacting, loop.start_stream():
                items = endpoints.sync.stream(loop.payload, loop.headers)
                with closing(items):
                    for body, info in items:
                        yield from loop.feed(body, info)
                    yield from loop.finish_stream()

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        request = await self._abuild_request(messages, stop, kwargs, stream=True)
        loop = CorrectionLoop(request)
        endpoints = self._endpoints
        while loop.needs_request:
            with endpoints.redacting, loop.start_stream():
                items = endpoints.async_.stream(loop.payload, loop.headers)
                async with aclosing(items):
                    async for body, info in items:
                        for chunk in loop.feed(body, info):
                            yield chunk
                    for chunk in loop.finish_stream():
                        yield chunk

    # `stream_events(version="v3")` looks for these two. Without them LangChain makes the
    # events from `_stream`, which is slower.

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[Json]:
        events = _event_writer(run_manager)
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
        events = _event_writer(run_manager)
        chunks = self._astream(messages, stop, run_manager, **kwargs)
        async with aclosing(chunks):  # type: ignore[type-var]  # a generator
            async for chunk in chunks:
                for event in events.feed(chunk):
                    yield event
        for event in events.finish():
            yield event

    if not MATCHES_LANGCHAIN:
        del _stream_chat_model_events, _astream_chat_model_events

    def _build_request(
        self,
        messages: Sequence[BaseMessage],
        stop: Sequence[str] | None,
        kwargs: Mapping[str, Any],
        *,
        stream: bool = False,
    ) -> ChatRequest:
        call = {**kwargs, "stop": stop} if stop is not None else kwargs
        if not _SETTINGS.isdisjoint(call):
            _raise_for_settings(call)
        if "response_format" in call and _is_schema(call["response_format"]):
            from langchain_azure_phi3 import structured_output

            format_ = structured_output.to_response_format(call["response_format"])
            call = {**call, "response_format": format_}
        settings = self._request_settings
        try:
            return fit_to_context(build_request(settings, messages, call, stream=stream), settings)
        except RecursionError:
            raise InvalidInputError(
                "Something in the request is nested too deeply to be sent: check the schemas of "
                "the tools, the response format and the arguments of calls in the messages."
            ) from None

    async def _abuild_request(
        self,
        messages: Sequence[BaseMessage],
        stop: Sequence[str] | None,
        kwargs: Mapping[str, Any],
        *,
        stream: bool = False,
    ) -> ChatRequest:
        if self.max_image_side is None:
            return self._build_request(messages, stop, kwargs, stream=stream)
        # Resizing an image can take seconds and would block the event loop.
        return await asyncio.to_thread(self._build_request, messages, stop, kwargs, stream=stream)

    # -- the deployment ----------------------------------------------------------------------

    def get_model_info(self) -> ModelInfo:
        """What the deployment reports about its model.

        The request is `GET /info`; on servers with `/v1` it is `GET /v1/models`.

        Raises:
            InvalidInputError: The server has several models, and `model` is not set.
            NotFoundError: This type of endpoint has no such route, or does not list the model.
            AzurePhi3Error: The request failed in another way.
        """
        endpoints = self._endpoints
        with endpoints.redacting:
            answer = endpoints.sync.info(self.model, self._routing_headers())
            return self._identify(parse_model_info(*answer, self.model))

    async def aget_model_info(self) -> ModelInfo:
        """What the deployment reports about its model.

        The request is `GET /info`; on servers with `/v1` it is `GET /v1/models`.

        Raises:
            InvalidInputError: The server has several models, and `model` is not set.
            NotFoundError: This type of endpoint has no such route, or does not list the model.
            AzurePhi3Error: The request failed in another way.
        """
        endpoints = self._endpoints
        with endpoints.redacting:
            answer = await endpoints.async_.info(self.model, self._routing_headers())
            return self._identify(parse_model_info(*answer, self.model))

    def _identify(self, info: ModelInfo) -> ModelInfo:
        """Remember which Phi the deployment is, unless the name that the user gave says so."""
        reported = info.model_name if info.base_model is None else info.base_model
        learn_model(self._facts, reported, replaces=True)
        if info.context is not None:
            self._facts.context = info.context
        if "profile" not in self.model_fields_set:
            self.__dict__["profile"] = self._resolve_model_profile()
        return info

    def _routing_headers(self) -> dict[str, str]:
        return request_headers({}, frozenset(), None, self.deployment)

    def close(self) -> None:
        """Close the sync connections that the models of this process share.

        Calling it is optional: connections are kept for the next request and closed at exit.
        Requests in flight are finished first, and the next request opens new connections. Your own
        `http_client` is left alone.
        """
        close_shared()

    async def aclose(self) -> None:
        """Close the async connections that the models of the running event loop share.

        Calling it is optional: the loop closes them when it ends. Requests in flight are finished
        first, and the next request opens new connections. Your own `http_async_client` is left
        alone.
        """
        await aclose_shared()

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

        Where the deployment accepts no tools, they are described in the prompt, and the calls are
        parsed from the response, streamed or complete.

        Args:
            tools: Functions, pydantic models, `BaseTool`s, TypedDicts or JSON schemas.
            tool_choice: `None` or `"auto"`: the model decides. `"any"`, `"required"` or `True`: it
                must call a tool. A name, or OpenAI's object with one: it must call that tool.
                `"none"` or `False`: it gets no tools.
            strict: Marks the tools as strict where they are sent natively.
            parallel_tool_calls: Passed on where tools are sent natively.
            response_format: What the final response must be: OpenAI's object, or a schema.
            kwargs: Any other parameters of the calls.

        Raises:
            InvalidInputError: One of `tools` is not a tool, or `tool_choice` does not name one.
        """
        wire_tools = to_wire_tools(tools, strict)
        names = check_tools(wire_tools)
        bound: Json = {"tools": wire_tools, **kwargs}
        if tool_choice is not None:
            bound["tool_choice"] = tool_choice_field(parse_tool_choice(tool_choice, names))
        if parallel_tool_calls is not None:
            bound["parallel_tool_calls"] = parallel_tool_calls
        if response_format is not None:
            from langchain_azure_phi3 import structured_output

            bound["response_format"] = structured_output.to_response_format(response_format, strict)
        return self.bind(**bound)

    @overload
    def with_structured_output(
        self,
        schema: type[T],
        *,
        method: Method = ...,
        include_raw: Literal[False] = ...,
        strict: bool | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, T]: ...

    @overload
    def with_structured_output(
        self,
        schema: Json,
        *,
        method: Method = ...,
        include_raw: bool = ...,
        strict: bool | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Json]: ...

    @overload
    def with_structured_output(
        self,
        schema: Json | type,
        *,
        method: Method = ...,
        include_raw: bool = ...,
        strict: bool | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]: ...

    @override
    def with_structured_output(
        self,
        schema: Json | type,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """A runnable that returns objects of a schema.

        The schema goes into the prompt, and on the wire where the server can restrict decoding to
        it (`constrained_decoding`). The object is extracted from the response, repaired where that
        is unambiguous, and validated. If it is wrong, the model is asked to correct it, at most
        `max_corrections` times, each time in a separate run within the same trace.

        Args:
            schema: A pydantic model (v2 or v1), TypedDict, dataclass or JSON schema.
            method: `"json_schema"`; `"function_calling"`: a tool that must be called;
                `"json_mode"`: the schema is only validated, and the prompt has to request it.
            include_raw: Whether to return `{"raw", "parsed", "parsing_error"}` instead, and not to
                raise an error for a response that does not fit the schema.
                `raw.response_metadata["corrections"]` contains the responses that were corrected.
            strict: Passed on where the schema is sent natively.
            kwargs: Any other parameters of the calls.

        Raises:
            InvalidInputError: `schema` is not a valid schema, or `method` is unknown.
        """
        from langchain_azure_phi3 import structured_output

        settings = self._request_settings
        given = {"max_corrections": kwargs.pop("max_corrections", None)}
        of_call = validate_call(given)["max_corrections"]
        return structured_output.with_structured_output(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            strict=strict,
            is_native=settings.uses_native_schemas(self._phi),
            max_corrections=self.max_corrections if of_call is None else of_call,
            kwargs=kwargs,
        )

    # -- tokens ------------------------------------------------------------------------------

    @override
    def get_num_tokens(self, text: str) -> int:
        """Count the tokens of a text offline: an estimate, or exact with `tokenizer`."""
        settings = self._request_settings
        return TokenCounter(self._phi, settings.tokenizer).count_text(text)

    @override
    def get_num_tokens_from_messages(
        self,
        messages: Sequence[MessageLikeRepresentation],
        tools: Sequence[Json | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """Count the tokens of the prompt for these messages offline.

        Counts the chat template's control tokens, images by the model's formula, and tools in the
        form in which this deployment receives them: as instructions in the prompt, or natively. An
        estimate; with `tokenizer`, exact for text.

        Raises:
            InvalidInputError: The messages contain something that this model does not accept.
        """
        if not messages and not tools:
            return 0
        settings = self._request_settings
        call = {"tools": to_wire_tools(tools)} if tools else {}
        request = self._build_request(convert_to_messages(messages or [("user", "")]), None, call)
        return TokenCounter(request.phi, settings.tokenizer).count_prompt(request.payload)

    # -- LangChain's view --------------------------------------------------------------------

    @override
    def _resolve_model_profile(self) -> ModelProfile | None:
        phi = self._phi
        profile = model_profile(phi) | _PROMPTED_FEATURES
        converts = self._route.endpoint_type.converts_system_messages
        profile["mid_conversation_system_messages"] = not folds_system_messages(
            self.system_message_mode, phi, converts=converts
        )
        if self.reasoning == "off":
            profile["reasoning_output"] = False
        if (context := self._facts.context) is not None:
            profile["max_input_tokens"] = context
        # Older releases of langchain-core warn about keys that they do not know.
        known = {key: value for key, value in profile.items() if key in PROFILE_KEYS}
        return cast("ModelProfile", known)

    @property
    @override
    def _llm_type(self) -> str:
        return "azure-phi3-chat"

    @property
    @override
    def _identifying_params(self) -> Mapping[str, Any]:
        found = self._derived.identifying_params
        if found is None:
            found = self._derived.identifying_params = self._make_identifying_params()
        return {**found}

    def _make_identifying_params(self) -> Json:
        base = self._endpoints.connection.route.base
        params: Json = {
            "model": self.model,
            "base_model": self.base_model,
            "endpoint": base,
            "base_url": base,  # the name under which tracers look for the server
            "stop": self.stop,
            "response_format": self.response_format,
            **self._request_settings.parameters,
            "api_version": self.api_version,
            "deployment": self.deployment,
            "api": None if self.api == "auto" else self.api,
        }
        return {name: value for name, value in params.items() if value is not None}

    @override
    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> Json:
        params = super()._get_invocation_params(stop=stop, **kwargs)
        if stop is not None or self.stop is not None:
            params["stop"] = self._effective_stop(stop)
        return params

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        # LangChain's summarization compares the provider with that of the messages.
        params = LangSmithParams(ls_provider=PROVIDER, ls_model_type="chat")
        for name in ("model", "temperature", "max_tokens"):
            value = kwargs.get(name)
            if value is None:
                value = self.__dict__[name]
            if value is not None:
                params[_LS_PARAMS[name]] = value  # type: ignore[literal-required]
        if "ls_model_name" not in params:
            # OpenTelemetry's instrumentation records nothing about a model without a name.
            name_of_phi = self._phi_name or self._facts.model
            if name_of_phi is not None:
                params["ls_model_name"] = name_of_phi
        if stop is not None or self.stop is not None:
            stops = self._effective_stop(stop)
            if stops:
                params["ls_stop"] = stops
        return params

    @override
    def _get_ls_params_with_defaults(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        """What tracers see: the provider by its registered name in OpenTelemetry."""
        params = super()._get_ls_params_with_defaults(stop=stop, **kwargs)
        if self._endpoints.connection.route.is_azure:
            params["ls_provider"] = _AZURE_PROVIDER
        return params

    def _effective_stop(self, stop: list[str] | None) -> list[str]:
        return merge_stops(
            self.stop, None if stop is None else validate_call({"stop": stop})["stop"]
        )

    @override
    def _combine_llm_outputs(self, llm_outputs: list[Json | None], /) -> Json:
        outputs: list[Json] = list(filter(None, llm_outputs))  # None: streamed
        return reduce(_combine_outputs, outputs) if outputs else {}


def _is_schema(response_format: Any) -> bool:
    """Whether it is a class or a JSON schema, and not a format of the API."""
    is_json_schema = isinstance(response_format, dict) and response_format.get("type") == "object"
    return is_json_schema or isinstance(response_format, type)


def _raise_for_settings(call: Mapping[str, Any]) -> NoReturn:
    names = sorted(_SETTINGS & call.keys())
    raise InvalidInputError(
        f"Invalid arguments of the call: {', '.join(names)} can only be set on the model: use "
        f"model.model_copy(update={{{names[0]!r}: ...}}). If the server has a parameter of this "
        "name, pass it in model_extras."
    )


def _combine_outputs(one: Json, other: Json) -> Json:
    """The metadata of two responses, without their ids, and the sum of their usage."""
    combined = {**other, **one}
    combined.pop("id", None)
    if "token_usage" in one and "token_usage" in other:
        combined["token_usage"] = _add_counts(one["token_usage"], other["token_usage"])
    return combined


def _add_counts(one: Json, other: Json) -> Json:
    """The sums of two dicts of counts, which may contain further dicts."""
    total = {**one, **other}
    for name in one.keys() & other.keys():
        is_nested = isinstance(one[name], dict)
        total[name] = (_add_counts if is_nested else add)(one[name], other[name])
    return total


def _event_writer(run_manager: BaseRunManager | None) -> EventWriter:
    """The writer of a run's events, with the id that LangChain gives the run's message."""
    return EventWriter("" if run_manager is None else f"{LC_ID_PREFIX}-{run_manager.run_id}")
