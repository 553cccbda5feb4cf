"""`ChatAzurePhi3`: the LangChain chat model for Microsoft's Phi family."""

import difflib
import operator
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, closing
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, cast

import httpx
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import (
    BaseChatModel,
    LangSmithParams,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
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
from pydantic import (
    AliasChoices,
    ConfigDict,
    Field,
    FieldSerializationInfo,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)
from typing_extensions import override

from langchain_azure_phi3 import catalogue, images, structured_output, tokens
from langchain_azure_phi3._codec import anthropic, history, media, parameters, prompted
from langchain_azure_phi3._codec.asked import Asked, asked, chosen, named
from langchain_azure_phi3._codec.exchange import Exchange, OnContentFilter, Terms
from langchain_azure_phi3._codec.messages import SystemMessages, turns, with_wire_media
from langchain_azure_phi3._codec.parameters import ExtraParameters, LogitBias, Number, Stop
from langchain_azure_phi3._codec.replies import PROVIDER, ModelInfo, model_info
from langchain_azure_phi3._http import clients
from langchain_azure_phi3._http.auth import Auth, auth_for
from langchain_azure_phi3._http.endpoint import AsyncEndpoint, Connection, Endpoint
from langchain_azure_phi3._http.kinds import Api
from langchain_azure_phi3._http.retries import RetryPolicy
from langchain_azure_phi3._http.routes import Route, route_for
from langchain_azure_phi3.catalogue import PhiModel
from langchain_azure_phi3.errors import InvalidInputError

Json = dict[str, Any]

# The first of each pair is Azure's later name, the second its earlier one.
ENDPOINT_VARIABLES = ("AZURE_INFERENCE_ENDPOINT", "AZUREAI_ENDPOINT_URL")
CREDENTIAL_VARIABLES = ("AZURE_INFERENCE_CREDENTIAL", "AZUREAI_ENDPOINT_KEY")

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 180.0  # the longest that managed compute lets a request take

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


_WIRE_CHOICES = {"auto": "auto", "any": "required", "none": "none"}

# What the package gives every Phi, whatever its deployment takes: agents choose their strategy
# by it. `structured_output` is true because bind_tools(response_format=...) is honoured.
_BY_PROMPT = {
    "tool_calling": True,
    "tool_choice": True,
    "tool_call_streaming": True,
    "structured_output": True,
}


class _Asking(NamedTuple):
    """Whom a call asks, for what, and whether the deployment takes that on the wire."""

    model: str | None
    row: PhiModel | None
    asked: Asked
    native: bool

    @property
    def family(self) -> str:
        return self.row.tool_prompt if self.row is not None else "plain"

    @property
    def in_words(self) -> Asked | None:
        return None if self.native else self.asked

    @property
    def fields(self) -> Json:
        return self.asked.on_the_wire if self.native else self.asked.beside_words


class _Connected(NamedTuple):
    settings: tuple[Any, ...]
    connection: Connection
    sync: Endpoint
    asynchronous: AsyncEndpoint


class _Connections:
    """The endpoints of one model's present settings. Copies and pickles of it are empty."""

    def __init__(self) -> None:
        self.made: _Connected | None = None

    def __deepcopy__(self, memo: object) -> "_Connections":
        return _Connections()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Connections, ())


class ChatAzurePhi3(BaseChatModel):
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

    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, protected_namespaces=(), populate_by_name=True
    )

    endpoint: str = ""
    """The deployment's URL, as the portal shows it: base, or with a route and query pasted along.

    Else the environment's `AZURE_INFERENCE_ENDPOINT`, or `AZUREAI_ENDPOINT_URL`.
    """

    credential: SecretStr | Any | None = Field(
        default=None, repr=False, validation_alias=AliasChoices("credential", "api_key")
    )
    """A key; or a credential of azure-identity, sync or async; or a callable that gives a token.

    Else the environment's `AZURE_INFERENCE_CREDENTIAL`, or `AZUREAI_ENDPOINT_KEY`. Servers on
    this machine may need none.
    """

    model: str | None = Field(default=None, validation_alias=AliasChoices("model", "model_name"))
    """What the model is, such as `"Phi-3-mini-4k-instruct"`; the deployment's name on Foundry.

    Sent only where the kind of endpoint expects it.
    """

    temperature: Number | None = None
    """Randomness; Phi's servers accept 0 to 1."""

    top_p: Number | None = None
    """Share of the probability mass that tokens are drawn from, 0 to 1."""

    max_tokens: int | None = None
    """The longest answer, in tokens."""

    presence_penalty: Number | None = None
    """Penalty on tokens that occurred at all, -2 to 2."""

    frequency_penalty: Number | None = None
    """Penalty on tokens by how often they occurred, -2 to 2."""

    stop: Stop | None = None
    """Texts that end the answer. A call's own are added; an empty list in a call switches
    these off."""

    seed: int | None = None
    """For answers that repeat, as far as the server can."""

    response_format: Json | None = None
    """The wire's `response_format`. Phi-3 knows only `{"type": "text"}`."""

    logprobs: bool | None = None
    """Whether to give each token's log probability, in `response_metadata["logprobs"]`.

    An extra parameter, as are the next three: the header that lets them pass is set with them.
    """

    top_logprobs: int | None = None
    """How many alternatives to give at each token, 0 to 20; needs `logprobs=True`."""

    logit_bias: LogitBias | None = None
    """Token ids and what to add to their logits, -100 to 100."""

    n: Annotated[int, Field(ge=1)] | None = None
    """How many answers to generate for one question, all billed. Not for streams."""

    model_extras: Json | None = None
    """Any other parameter that the model understands, sent as it is."""

    extra_parameters: ExtraParameters | None = None
    """The header `extra-parameters`, by hand: what the server does with parameters it does not
    know. Default: `"pass-through"` exactly where there is one."""

    stream_usage: bool | None = None
    """Whether to ask for token counts in streams. Default: where the endpoint knows the
    parameter; elsewhere Phi's servers send them unasked or not at all."""

    tool_calling: Literal["auto", "native", "prompted"] = "auto"
    """Whether tools and formats go on the wire or into the prompt. Auto: into the prompt for every
    Phi, because no deployment of one is known to take them; on the wire for other models."""

    max_corrections: Annotated[int, Field(ge=0)] = 1
    """How often to ask again when a demanded tool call or object did not come."""

    max_image_side: Annotated[int, Field(ge=1)] | None = None
    """Scale pictures down until neither side has more pixels (Pillow, the extra `images`). Off by
    default; pictures at URLs are never touched."""

    fit_max_tokens: bool = False
    """Whether to lower `max_tokens` to what the prompt leaves of the context, by the estimate."""

    tokenizer: Any = Field(default=None, repr=False)
    """Counts exactly in place of the estimate: the path of a Hugging Face `tokenizer.json` (the
    extra `tokenizers`), or an object with `encode`. Only a path is serialised."""

    system_messages: SystemMessages = "auto"
    """`"user"` puts system messages before the next user turn; `"system"` sends them as they are.
    Auto: the first where the model's template drops them (Phi-3-medium) and nobody translates
    them, as Azure's serverless API does."""

    on_content_filter: OnContentFilter = "raise"
    """What a filtered answer does. A filtered prompt always raises `ContentFilterError`."""

    streaming: bool = False
    """Whether `invoke` streams behind the scenes."""

    timeout: float | tuple[float, float] | None = None
    """Seconds to connect and between two reads, or a pair of both; not of the whole answer.
    Default: 10 to connect, 180 to read."""

    max_retries: Annotated[int, Field(ge=0)] = 2
    """How often to try again after a failure that may pass; nothing is retried once an answer
    began."""

    max_retry_wait: Annotated[float, Field(ge=0)] = 60.0
    """The longest pause before another try, in seconds. A server that asks for more is not
    waited for."""

    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with every request; they may hold secrets and are never shown or serialised."""

    deployment: str | None = None
    """One of several deployments behind an online endpoint (`azureml-model-deployment`)."""

    api: Api = "auto"
    """How the endpoint speaks. Auto: as its URL suggests. `"score"` is Azure Machine Learning's own
    route, for online endpoints that have nothing else: whole answers, tools by prompt."""

    api_version: str | None = None
    """The API's version. Default: the endpoint's own, else the kind's."""

    credential_scopes: Sequence[str] | None = None
    """The Entra ID scopes to ask tokens for. Default: by host."""

    http_client: httpx.Client | None = Field(default=None, exclude=True, repr=False)
    """Your own client for the sync path: used as it is, never closed."""

    http_async_client: httpx.AsyncClient | None = Field(default=None, exclude=True, repr=False)
    """Your own client for the async path: used as it is, never closed."""

    _connections: _Connections = PrivateAttr(default_factory=_Connections)

    if not TYPE_CHECKING:

        def __init__(self, **given: Any) -> None:
            try:
                super().__init__(**_from_environment(given))
            except ValidationError as problem:
                raise InvalidInputError(_refusal(type(self), problem)) from None
            self._check_endpoint()

    @field_validator("tokenizer")
    @classmethod
    def _check_tokenizer(cls, tokenizer: Any) -> Any:
        if tokenizer is None or isinstance(tokenizer, str) or hasattr(tokenizer, "encode"):
            return tokenizer
        if isinstance(tokenizer, os.PathLike):
            return os.fspath(tokenizer)
        raise ValueError("it is neither a path nor an object with the method encode")

    @field_serializer("tokenizer")
    def _serialise_tokenizer(self, tokenizer: Any) -> str | None:
        return tokenizer if isinstance(tokenizer, str) else None

    @model_validator(mode="after")
    def _set_azure_phi3_version(self) -> Self:
        self._add_version("langchain-azure-phi3", version("langchain-azure-phi3"))
        return self

    @field_serializer("credential")
    def _masked(self, credential: Any, info: FieldSerializationInfo) -> Any:
        """A text that was assigned or copied in is masked as well; JSON has no credentials."""
        if isinstance(credential, SecretStr | str):
            return str(SecretStr("?")) if info.mode_is_json() else SecretStr(_text_of(credential))
        return None if info.mode_is_json() else credential

    def _check_endpoint(self) -> None:
        if not self.endpoint:
            raise InvalidInputError(
                "There is no endpoint. Pass endpoint='https://...', or set "
                f"{' or '.join(ENDPOINT_VARIABLES)} in the environment."
            )
        route = self._route
        if self.credential is None and not route.loopback:
            raise InvalidInputError(
                "There is no credential. Pass credential= with a key or a credential of "
                f"azure-identity, or set {' or '.join(CREDENTIAL_VARIABLES)} in the environment."
            )
        if self.endpoint.strip().lower().startswith("http://") and not route.loopback:
            raise InvalidInputError(
                f"The endpoint {route.base} is plain http: the credential would cross the "
                "network readable by all. Use https; http is accepted on this machine only."
            )
        self._auth()  # what may not be sent to this endpoint is refused now

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
        with self._keeping_secrets():
            while True:
                answer = self._sync.complete(exchange.request, exchange.headers)
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
        with self._keeping_secrets():
            while True:
                answer = await self._async.complete(exchange.request, exchange.headers)
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
        while exchange.is_open:
            with self._keeping_secrets(), exchange.keeping_partial():
                pieces = self._sync.stream(exchange.request, exchange.headers)
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
        while exchange.is_open:
            with self._keeping_secrets(), exchange.keeping_partial():
                pieces = self._async.stream(exchange.request, exchange.headers)
                async with aclosing(pieces):
                    async for piece in pieces:
                        for chunk in exchange.chunks(*piece):
                            yield chunk
                for chunk in exchange.last_chunks():
                    yield chunk

    def get_model_info(self) -> ModelInfo:
        """What the deployment says of its model (`GET /info`).

        Raises:
            NotFoundError: The kind of endpoint has no such route.
            AzurePhi3Error: Whatever else went wrong.
        """
        with self._keeping_secrets():
            return model_info(self._sync.info(self.model, self._routing()).body)

    async def aget_model_info(self) -> ModelInfo:
        """What the deployment says of its model (`GET /info`).

        Raises:
            NotFoundError: The kind of endpoint has no such route.
            AzurePhi3Error: Whatever else went wrong.
        """
        with self._keeping_secrets():
            return model_info((await self._async.info(self.model, self._routing())).body)

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
                family=asking.family,
                thinks=asking.row is None or asking.row.reasoning,
                max_corrections=self.max_corrections if corrections is None else corrections,
                scores=self.api == "score",
                meter=meter,
            ),
        )

    def _asking(self, call: Json) -> _Asking:
        name = call.get("model") or self.model
        row = catalogue.find(name)
        return _Asking(name, row, self._asked(call, name, row), self._is_native(name, row))

    def _is_native(self, name: str | None, row: PhiModel | None) -> bool:
        """Whether tools and formats go on the wire: of no Phi is known that it takes them."""
        if self.tool_calling == "auto":
            if not self._route.kind.tools:
                return False
            return row.native_tools if row is not None else name is not None
        return self.tool_calling == "native"

    def _asked(self, call: Json, name: str | None, row: PhiModel | None) -> Asked:
        response_format = call.get("response_format") or self.response_format
        asked_for = asked(
            call.get("tools"),
            call.get("tool_choice"),
            response_format,
            call.get("parallel_tool_calls"),
        )
        refused = asked_for.asks_for_json and call.get("tools") is None
        if refused and not self._is_native(name, row):
            raise InvalidInputError(
                f"{name or 'A Phi deployment'} has no JSON mode: it would write empty lines until "
                "max_tokens, or hang. Use with_structured_output(...), or force it with "
                "model_extras={'response_format': ...}."
            )
        return asked_for

    def _turns(self, messages: Sequence[BaseMessage], asking: _Asking) -> list[Json]:
        row = asking.row
        messages = anthropic.translated(messages)
        if asking.in_words is not None:
            messages = history.in_words(messages, asking.family)
            if text := prompted.instructions(asking.in_words, asking.family):
                messages = history.instructed(messages, text)
        folds = row is not None and row.system_messages == "dropped"
        auto: SystemMessages = "user" if folds and not self._route.kind.translates else "system"
        given = auto if self.system_messages == "auto" else self.system_messages
        wire = media.for_model(turns(messages, given), row)
        side = self.max_image_side
        return wire if side is None else images.scaled_turns(wire, side)

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
            choice = chosen(tool_choice, [tool["function"]["name"] for tool in described])
            bound["tool_choice"] = _WIRE_CHOICES.get(choice) or named(choice)
        if parallel_tool_calls is not None:
            bound["parallel_tool_calls"] = parallel_tool_calls
        if response_format is not None:
            bound["response_format"] = structured_output.wire_format(response_format, strict)
        return self.bind(**bound)

    @override
    def with_structured_output(
        self,
        schema: Json | type,
        *,
        method: structured_output.Method = "json_schema",
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
        return structured_output.structured(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            strict=strict,
            native=self._is_native(self.model, catalogue.find(self.model)),
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
        return tokens.Meter(catalogue.find(model), f"{self._route.base} {model}", counter)

    # -- the network -------------------------------------------------------------------------

    @property
    def _route(self) -> Route:
        return route_for(self.endpoint, self.api_version, self.api)

    @property
    def _sync(self) -> Endpoint:
        return self._connected().sync

    @property
    def _async(self) -> AsyncEndpoint:
        return self._connected().asynchronous

    def _keeping_secrets(self) -> AbstractContextManager[None]:
        return self._connected().connection.keeping_secrets()

    def _connected(self) -> _Connected:
        settings = (
            self.endpoint,
            self.api,
            self.api_version,
            self.credential,
            self.credential_scopes,
            self.default_headers,
            self.timeout,
            self.max_retries,
            self.max_retry_wait,
            self.http_client,
            self.http_async_client,
        )
        made = self._connections.made
        if made is None or made.settings != settings:
            connection = self._connection()
            made = _Connected(
                settings,
                connection,
                Endpoint(connection, self.http_client),
                AsyncEndpoint(connection, self.http_async_client),
            )
            self._connections.made = made
        return made

    def _connection(self) -> Connection:
        return Connection(
            route=self._route,
            auth=self._auth(),
            headers=dict(self.default_headers or {}),
            timeout=self._timeout(),
            retries=RetryPolicy(self.max_retries, self.max_retry_wait),
        )

    def _auth(self) -> Auth:
        held = self.credential
        credential = _text_of(held) if isinstance(held, SecretStr | str) else held
        return auth_for(credential, self._route, self.credential_scopes)

    def _timeout(self) -> tuple[float, float] | None:
        if isinstance(self.timeout, tuple):
            return self.timeout
        if self.timeout is not None:
            return min(self.timeout, _CONNECT_SECONDS), self.timeout
        # A user's own client keeps its own limits unless told otherwise.
        own = self.http_client is not None or self.http_async_client is not None
        return None if own else (_CONNECT_SECONDS, _READ_SECONDS)

    # -- LangChain's view --------------------------------------------------------------------

    @override
    def _resolve_model_profile(self) -> ModelProfile | None:
        row = catalogue.find(self.model)
        if row is None:
            return None
        return cast("ModelProfile", catalogue.profile(row) | _BY_PROMPT)

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

    @property
    @override
    def lc_secrets(self) -> dict[str, str]:
        """The constructor's secret, and the variable that holds it."""
        return {"credential": CREDENTIAL_VARIABLES[0]}

    @classmethod
    @override
    def is_lc_serializable(cls) -> bool:
        """True: `dumps` writes everything but the key, which `load` takes from a map."""
        return True

    @override
    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """What `dumps` writes: a tokenizer that is an object is left out."""
        written = super().to_json()
        if written["type"] == "constructor" and not isinstance(self.tokenizer, str):
            written["kwargs"].pop("tokenizer", None)
        return written


def _from_environment(given: Json) -> Json:
    """The constructor's arguments, completed from the environment and cleaned of white space."""
    endpoint = given.get("endpoint") or _variable(ENDPOINT_VARIABLES)
    if isinstance(endpoint, str):
        given["endpoint"] = endpoint.strip()
    name = "api_key" if given.get("credential") is None and "api_key" in given else "credential"
    credential = given.pop(name, None)
    given.pop("api_key", None)
    if credential is None:
        credential = _variable(CREDENTIAL_VARIABLES)
    given["credential"] = _secret(credential)
    return given


def _text_of(secret: SecretStr | str) -> str:
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret


def _secret(credential: Any) -> Any:
    if isinstance(credential, SecretStr):
        credential = credential.get_secret_value()
    if isinstance(credential, str):
        # A trailing newline would make an illegal header, and an empty key is none.
        return SecretStr(credential.strip()) if credential.strip() else None
    return credential


def _variable(names: Sequence[str]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _refusal(cls: type[BaseChatModel], problem: ValidationError) -> str:
    text = f"{cls.__name__} cannot be made: {parameters.explained(problem)}"
    for item in problem.errors(include_url=False, include_input=False, include_context=False):
        if item["type"] == "extra_forbidden":
            close = difflib.get_close_matches(str(item["loc"][-1]), cls.model_fields, n=1)
            hint = f"did you mean {close[0]}?" if close else "model_extras takes other parameters."
            text = f"{text}; {hint}"
    return text
