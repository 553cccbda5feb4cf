"""The settings of `ChatAzurePhi3`, their validation, and what is derived from them."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar
from functools import partial
from importlib.metadata import version
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import httpx
from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from langchain_core.rate_limiters import BaseRateLimiter
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    FieldSerializationInfo,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_validator,
)
from typing_extensions import override

from langchain_azure_phi3 import tokens
from langchain_azure_phi3._argument_hints import argument_hint
from langchain_azure_phi3._http.auth import Auth, auth_for
from langchain_azure_phi3._http.client import CONNECT_SECONDS
from langchain_azure_phi3._http.connection import Connection, RedactSecrets
from langchain_azure_phi3._http.deployments import find_facts
from langchain_azure_phi3._http.endpoint import AsyncEndpoint, Endpoint
from langchain_azure_phi3._http.endpoint_types import Api
from langchain_azure_phi3._http.redaction import find_secrets, shown_headers
from langchain_azure_phi3._http.retries import RetryPolicy
from langchain_azure_phi3._http.routes import Route, route_for
from langchain_azure_phi3._http.secret_url import SecretUrl, is_masked, mask_query
from langchain_azure_phi3._pasted_values import (
    ENDPOINT_MISTAKES,
    KEY_MISTAKES,
    clean_key,
    find_mistake,
    unquote,
)
from langchain_azure_phi3._request.build import (
    EndpointFeatures,
    OnContentFilter,
    RequestSettings,
    SystemMessageMode,
    ToolCalling,
)
from langchain_azure_phi3._request.constraints import ConstrainedDecoding
from langchain_azure_phi3._request.parameters import (
    ExtraParameters,
    Integer,
    LogitBias,
    Number,
    Stop,
    format_validation_error,
    to_list,
)
from langchain_azure_phi3._request.reasoning import Reasoning
from langchain_azure_phi3._tools.control_tokens import ControlTokens
from langchain_azure_phi3._types import DeploymentFacts, Json
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.models import (
    PhiModel,
    warn_of_retirement,
    warn_of_unknown_name,
)

# Of each pair, the first is Azure's later name, the second its earlier one.
ENDPOINT_VARIABLES = ("AZURE_INFERENCE_ENDPOINT", "AZUREAI_ENDPOINT_URL")
CREDENTIAL_VARIABLES = ("AZURE_INFERENCE_CREDENTIAL", "AZUREAI_ENDPOINT_KEY")
MODEL_VARIABLES = ("AZURE_INFERENCE_MODEL",)

_VERSION = version("langchain-azure-phi3")  # reads a file, so only once

_MAX_TIMEOUT = 1e9  # seconds; operating systems count nanoseconds in 64 bits

PROFILE_KEYS = frozenset(ModelProfile.__annotations__)

# Settings that LangChain validates, or leaves as they are.
_OF_LANGCHAIN = BaseChatModel.model_fields.keys() - {"rate_limiter"}

# Former names of the constructor's arguments.
_DEPRECATED = {"system_messages": "system_message_mode"}

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


class Endpoints(NamedTuple):
    """The sync and the async endpoint of one deployment.

    Attributes:
        redacting: A context that redacts secrets from the errors that leave it.
    """

    connection: Connection
    sync: Endpoint
    async_: AsyncEndpoint
    redacting: RedactSecrets


class _Derived:
    """What follows from a model's present settings. A copy or pickle of it is empty."""

    def __init__(self) -> None:
        self.endpoints: Endpoints | None = None
        self.request_settings: RequestSettings | None = None
        self.identifying_params: Json | None = None

    def __copy__(self) -> "_Derived":
        return _Derived()

    def __deepcopy__(self, memo: object) -> "_Derived":
        return _Derived()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Derived, ())


class BaseAzurePhi3(BaseChatModel):
    """The settings of a Phi deployment; `ChatAzurePhi3` sends requests to it.

    A setting that is assigned, or changed by `model_copy`, is validated as in the constructor.
    """

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
        populate_by_name=True,
        defer_build=True,  # until the first model is created: a third of the import time
    )

    endpoint: Annotated[str, AfterValidator(SecretUrl)] = ""
    """The deployment's URL, as the portal shows it: the base URL, or one with a route and query.

    Default: the environment variable `AZURE_INFERENCE_ENDPOINT`, or `AZUREAI_ENDPOINT_URL`.
    """

    credential: SecretStr | Any | None = Field(
        default=None, repr=False, validation_alias=AliasChoices("credential", "api_key")
    )
    """A key, as text or as an `AzureKeyCredential`, which is read once; a credential of
    azure-identity, sync or async; or a callable that returns a token. Alias: `api_key`.

    Default: the environment variable `AZURE_INFERENCE_CREDENTIAL`, or `AZUREAI_ENDPOINT_KEY`.
    Servers on this machine, and servers at http URLs, may need none; `""` overrides the variables.
    """

    model: str | None = Field(default=None, validation_alias=AliasChoices("model", "model_name"))
    """The name that the server knows the model by, such as `"Phi-4-mini-instruct"`; on Foundry, the
    name of the deployment. Alias: `model_name`.

    Sent only if the endpoint type expects it. Default: the environment variable
    `AZURE_INFERENCE_MODEL`; `""` overrides it.
    """

    base_model: str | None = None
    """The Phi model behind the deployment, such as `"Phi-4-mini-instruct"`.

    Default: `model`, if the catalog has that name; else what the server reports in `/info`,
    `/v1/models` or a response; else a Phi model without known limits.
    """

    if TYPE_CHECKING:
        # Aliases, for type checkers: only pydantic sees the ones above.
        api_key: InitVar[str | SecretStr | None] = None
        model_name: InitVar[str | None] = None
        model_kwargs: InitVar[Json | None] = None

    temperature: Number | None = None
    """Sampling temperature; Phi's servers accept 0 to 1."""

    top_p: Number | None = None
    """Share of the probability mass that tokens are sampled from, 0 to 1."""

    max_tokens: Integer | None = None
    """The longest completion, in tokens."""

    presence_penalty: Number | None = None
    """Penalty on tokens that occurred at all, -2 to 2."""

    frequency_penalty: Number | None = None
    """Penalty on tokens by how often they occurred, -2 to 2."""

    stop: Stop | None = None
    """Stop sequences. Those of a call are added; an empty list in a call removes these."""

    seed: Integer | None = None
    """Makes completions repeatable, as far as the server supports it."""

    response_format: Json | None = None
    """The request's `response_format`. Phi-3 accepts only `{"type": "text"}`."""

    logprobs: bool | None = None
    """Whether to return each token's log probability, in `response_metadata["logprobs"]`.

    This and the next three are extra parameters. The package also sends the header that they need.
    """

    top_logprobs: Integer | None = None
    """How many alternatives to return for each token, 0 to 20; needs `logprobs=True`."""

    logit_bias: LogitBias | None = None
    """Token IDs, and what to add to the logits of each, -100 to 100."""

    n: Annotated[Integer, Field(ge=1)] | None = None
    """How many completions to generate for one prompt, all billed. Not for streams."""

    model_extras: Json | None = Field(
        default=None, validation_alias=AliasChoices("model_extras", "model_kwargs")
    )
    """Any other parameters that the model accepts, sent as they are. Alias: `model_kwargs`, as in
    other LangChain models."""

    extra_parameters: ExtraParameters | None = None
    """The header `extra-parameters`: what the server does with parameters that it does not know.
    Default: `"pass-through"` if the request has such a parameter, else no header."""

    stream_usage: bool | None = None
    """Whether to request token counts in streams. Default: where the endpoint accepts the
    parameter. Phi's other servers send token counts without it, or never."""

    tool_calling: ToolCalling = "auto"
    """Whether tools and formats go into the request's own fields (`"native"`) or into the prompt
    (`"prompted"`). Auto: into the prompt, also for unknown names, unless the model is known to
    support native tools on this endpoint type."""

    constrained_decoding: ConstrainedDecoding = "auto"
    """Whether the server restricts each token to what the schema of a required object or tool call
    allows: `"off"`, or the parameter that carries the schema: `"response_format"`,
    `"guided_json"` (vLLM before 0.12) or `"structured_outputs"` (later ones).

    Auto: by the endpoint type, and not for models that reason first. The first is sent to servers
    at `/v1`, the other two to managed compute, none to Azure's other endpoints. A parameter that
    the server rejects is left out for the rest of the process.
    `response_metadata["constrained_by"]` names the parameter that was used."""

    reasoning: Reasoning = "auto"
    """`"on"` or `"off"`: whether the model reasons before it answers. vLLM and llama.cpp get
    `chat_template_kwargs`, Phi-4-reasoning-vision a token in the prompt. If neither the model nor
    the endpoint type has a switch, a call raises `InvalidInputError`. Auto: the model's default.
    Pass limits in `model_kwargs`, under the server's name: `thinking_token_budget` for vLLM,
    `thinking_budget_tokens` for llama.cpp."""

    max_corrections: Annotated[Integer, Field(ge=0)] = 1
    """How often to ask again if a required tool call or object is missing or invalid."""

    max_image_side: Annotated[Integer, Field(ge=1)] | None = None
    """Scale images down until neither side has more pixels (needs Pillow, the extra `images`). Off
    by default; images at URLs are never changed."""

    fit_max_tokens: bool = False
    """Whether to lower `max_tokens` to the part of the context that the prompt leaves, by the
    estimate."""

    tokenizer: Any = Field(default=None, repr=False)
    """Counts tokens exactly instead of estimating them: the path of a Hugging Face
    `tokenizer.json` (needs the extra `tokenizers`), or an object with `encode`. Only a path is
    serialized."""

    system_message_mode: SystemMessageMode = "auto"
    """`"user"` puts system messages in front of the next user message; `"system"` sends them as
    they are. Auto: `"user"` if the model's chat template drops them (Phi-3-medium) and the server
    does not convert them, as Azure's serverless API does."""

    control_tokens: ControlTokens = "escape"
    """How to send control tokens of chat templates that occur in text: `"escape"` writes `<|user|>`
    as `< |user|>`, so that no document or tool can forge a message; `"keep"` sends the text
    unchanged."""

    on_content_filter: OnContentFilter = "raise"
    """What to do with a filtered completion: raise `FilteredCompletionError`, or return what was
    received. A filtered prompt always raises `ContentFilterError`."""

    streaming: bool = False
    """Whether `invoke` streams internally."""

    include_response_headers: bool = False
    """Whether to add the response's headers to `response_metadata["headers"]`, without cookies and
    other secrets. The quota that they report is always in `rate_limit`."""

    timeout: float | tuple[float, float] | None = None
    """Seconds to connect and between two reads, or a pair of both. It does not limit the complete
    response. Default: 10 to connect, 180 to read."""

    max_retries: Annotated[Integer, Field(ge=0)] = 2
    """How often to retry after a transient failure. A stream that has begun is never retried."""

    max_retry_wait: Annotated[float, Field(ge=0)] = 60.0
    """The longest pause before a retry, in seconds. If a server asks for a longer one, the error
    is raised at once."""

    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    """Sent with every request. They may contain secrets, and are never shown or serialized."""

    deployment: str | None = None
    """One of several deployments behind an online endpoint (`azureml-model-deployment`)."""

    api: Api = "auto"
    """The endpoint type. Auto: inferred from the URL. `"score"` is Azure Machine Learning's own
    route, for online endpoints that have no other: no streaming, tools through the prompt."""

    api_version: str | None = None
    """The API version. Default: the one in the endpoint's URL, or else that of its type."""

    allow_insecure_http: bool = False
    """Whether to send a key or token over plain http to another machine, although anyone on the
    network path can read it. Not needed for this machine, or for an endpoint without a key."""

    credential_scopes: Annotated[Sequence[str], BeforeValidator(to_list)] | None = None
    """The Entra ID scopes to request tokens for. Default: inferred from the host."""

    http_client: httpx.Client | None = Field(default=None, exclude=True, repr=False)
    """Your own client for sync calls: used as it is, never closed."""

    http_async_client: httpx.AsyncClient | None = Field(default=None, exclude=True, repr=False)
    """Your own client for async calls: used as it is, never closed."""

    rate_limiter: BaseRateLimiter | None = Field(default=None, exclude=True)
    """LangChain's limiters count each call; a `TokenRateLimiter` counts requests and tokens of
    every HTTP attempt."""

    _derived: _Derived = PrivateAttr(default_factory=_Derived)

    if not TYPE_CHECKING:

        def __init__(self, *positional: Any, **given: Any) -> None:
            if positional:
                del positional, given  # one may be a key
                raise TypeError(
                    f"{type(self).__name__} takes no positional arguments. Pass each by its name: "
                    "model='Phi-4-mini-instruct', endpoint='https://...'."
                )
            _rename_deprecated(given)
            problem = None
            try:
                super().__init__(**_with_environment(given))
            except ValidationError as error:
                problem = InvalidInputError(_constructor_error(type(self), error))
            follows_model = given.get("profile") is None
            given.clear()  # or the frames of an error would show secrets
            if problem is not None:
                raise problem
            if follows_model:
                self.model_fields_set.discard("profile")
            self._check_connection()
            self._warn_of_model()

        def __setattr__(self, name: str, value: Any) -> None:
            """Assign a setting, validated as in the constructor; a refused one changes nothing."""
            if name in type(self).model_fields and name not in _OF_LANGCHAIN:
                changes = self._validate_changes({name: value})
                self._derived = _Derived()
                value = changes.pop(name)
                self.__dict__.update(changes)
            super().__setattr__(name, value)

    @override
    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._derived = _Derived()
        return copied

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with its own connections, and with the changes validated as in the constructor.

        Raises:
            InvalidInputError: A change is not a valid setting.
        """
        changes = self._validate_changes(update) if update else None
        copied = super().model_copy(update=changes, deep=deep)
        if "profile" not in self.model_fields_set.union(update or ()):
            copied.model_fields_set.discard("profile")
        return copied

    def _validate_changes(self, changes: Mapping[str, Any]) -> Json:
        """The changes to some settings, as the constructor would set them, and the new profile."""
        given = {name: self.__dict__[name] for name in self.model_fields_set}
        validated = type(self)(**{**given, **changes})
        changed = changes if "profile" in self.model_fields_set else {**changes, "profile": None}
        return {name: validated.__dict__.get(name) for name in changed}

    @field_validator("tokenizer")
    @classmethod
    def _check_tokenizer(cls, tokenizer: Any) -> Any:
        if tokenizer is None or isinstance(tokenizer, str) or hasattr(tokenizer, "encode"):
            return tokenizer
        if isinstance(tokenizer, os.PathLike):
            return os.fspath(tokenizer)
        raise ValueError("must be a path or an object with an encode method")

    @field_validator("timeout", mode="wrap")
    @classmethod
    def _check_timeout(cls, timeout: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            validated = None if isinstance(timeout, bool) else validate(timeout)
        except ValidationError:
            validated = None
        pair = validated if isinstance(validated, tuple) else (validated,)
        if timeout is None or all(s is not None and 0 < s <= _MAX_TIMEOUT for s in pair):
            return validated
        raise ValueError(
            f"must be a number of seconds, above 0 and at most {_MAX_TIMEOUT:,.0f}, or a pair of "
            "such numbers (to connect, and between two reads)"
        )

    @field_validator("rate_limiter")
    @classmethod
    def _count_attempts(cls, limiter: BaseRateLimiter | None) -> BaseRateLimiter | None:
        """A limiter that counts attempts must not count LangChain's call on top."""
        for_attempts = getattr(limiter, "for_attempts", None)
        return limiter if for_attempts is None else for_attempts()

    @field_serializer("tokenizer")
    def _serialize_tokenizer(self, tokenizer: Any) -> str | None:
        return tokenizer if isinstance(tokenizer, str) else None

    @model_validator(mode="after")
    def _set_azure_phi3_version(self) -> Self:
        self._add_version("langchain-azure-phi3", _VERSION)
        return self

    @model_validator(mode="after")
    def _check_profile_keys(self) -> Self:
        # LangChain resolves type hints for its warning each time: half the cost of a model.
        if self.profile is not None and self.profile.keys() - PROFILE_KEYS:
            super()._check_profile_keys()  # type: ignore[operator]  # a validator is callable
        return self

    @field_serializer("endpoint")
    def _serialize_endpoint(self, endpoint: str) -> str:
        """Without what its query holds, which may be a gateway's key."""
        return mask_query(endpoint)

    @field_serializer("credential")
    def _serialize_credential(self, credential: Any, info: FieldSerializationInfo) -> Any:
        """Keys are masked; JSON holds no credential objects."""
        if not info.mode_is_json():
            return credential
        return str(credential) if isinstance(credential, SecretStr) else None

    def _check_connection(self) -> None:
        if not self.endpoint:
            raise InvalidInputError(
                "The endpoint is missing. Pass endpoint='https://...', or set "
                f"{' or '.join(ENDPOINT_VARIABLES)} in the environment."
            )
        mistake = self._find_pasted_mistake()
        if mistake is not None:
            raise InvalidInputError(mistake)
        if is_masked(self.endpoint):
            raise InvalidInputError(
                "The endpoint's query has '***' in place of a key, as in a serialized or printed "
                "model. Pass the complete URL as endpoint=, or set "
                f"{' or '.join(ENDPOINT_VARIABLES)} in the environment."
            )
        route = self._route
        is_plain = httpx.URL(route.chat_url).scheme != "https"
        # A server at an http URL is one of the user's own, and may need no key.
        if self.credential is None and not (is_plain or route.loopback):
            raise InvalidInputError(
                "The credential is missing. Pass credential= with a key or a credential of "
                f"azure-identity, or set {' or '.join(CREDENTIAL_VARIABLES)} in the environment."
            )
        if is_plain and self._sends_secret(route) and not self.allow_insecure_http:
            raise InvalidInputError(
                f"The endpoint {route.base} is plain http on another machine: the credential would "
                "be sent unencrypted. Use https; or send no key (credential=''), also not in "
                "headers or in the URL; or pass allow_insecure_http=True if the network is trusted."
            )
        self._check_limits(route)
        self._auth()  # refuses a credential that must not be sent to this endpoint

    def _check_limits(self, route: Route) -> None:
        """Check the parameters that every server behind Azure's host would reject."""
        limits = route.endpoint_type.limits if route.is_azure else {}
        for name, (lowest, highest) in limits.items():
            value = getattr(self, name)
            if value is not None and not lowest <= value <= highest:
                accepted = f"{lowest} to {highest}" if isfinite(highest) else f"{lowest} or more"
                raise InvalidInputError(
                    f"Invalid {type(self).__name__} arguments: {name}={value} is outside what the "
                    f"{route.endpoint_type.name} at {route.base} accepts. Pass {accepted}."
                )

    def _find_pasted_mistake(self) -> str | None:
        """What is wrong with the endpoint or the key; no key is shown."""
        key = self.credential.get_secret_value() if isinstance(self.credential, SecretStr) else ""
        for name, value, mistakes, variables in (
            ("endpoint", self.endpoint, ENDPOINT_MISTAKES, ENDPOINT_VARIABLES),
            ("credential", key, KEY_MISTAKES, CREDENTIAL_VARIABLES),
        ):
            found = find_mistake(value, mistakes)
            if found is not None:
                sources = [v for v in variables if clean_key(os.environ.get(v, "")) == value]
                where = f" in the environment variable {sources[0]}" if sources else ""
                is_shown = name == "endpoint" and "://" in value and "@" not in value
                shown = f": {self.endpoint!r}" if is_shown else ""
                return f"The {name}{where} is {found.description}{shown}. {found.remedy}"
        return None

    def _sends_secret(self, route: Route) -> bool:
        """Whether a key or token leaves this machine, be it in a header or in the URL."""
        if route.loopback:
            return False
        headers = self.default_headers or {}
        return self.credential is not None or bool(
            find_secrets((), (*headers.items(), *route.query))
        )

    @property
    def _route(self) -> Route:
        return route_for(self.endpoint, self.api_version, self.api)

    @property
    def _endpoints(self) -> Endpoints:
        found = self._derived.endpoints
        if found is None:
            self._check_connection()  # again: `model_construct` and changed headers bypass it
            connection = self._connection()
            found = self._derived.endpoints = Endpoints(
                connection,
                Endpoint(connection, self.http_client),
                AsyncEndpoint(connection, self.http_async_client),
                connection.redacting,
            )
        return found

    def _warn_of_model(self) -> None:
        route, phi, name = self._route, self._phi, self._phi_name
        if name is not None:
            argument = "model" if self.base_model is None else "base_model"
            is_sent = argument == "model" and route.endpoint_type.model != "omitted"
            warn_of_unknown_name(name, argument=argument, is_sent=is_sent)
        if phi is not None and route.endpoint_type.retires_models and not route.loopback:
            warn_of_retirement(phi)

    @property
    def _phi_name(self) -> str | None:
        """What the user calls the Phi; it may be the name of a deployment."""
        return self.model if self.base_model is None else self.base_model

    @property
    def _facts(self) -> DeploymentFacts:
        return find_facts(self._route, self.deployment, self.model)

    @property
    def _phi(self) -> PhiModel | None:
        """The Phi that is deployed; `None` as long as it is unknown."""
        return self._request_settings.find_phi(self.model)

    @property
    def _request_settings(self) -> RequestSettings:
        found = self._derived.request_settings
        if found is None:
            found = self._derived.request_settings = self._make_request_settings()
        return found

    def _make_request_settings(self) -> RequestSettings:
        endpoint_type = self._route.endpoint_type
        return RequestSettings(
            endpoint=EndpointFeatures(
                name=endpoint_type.name,
                model_field=endpoint_type.model,
                native_parameters=endpoint_type.extra_parameters,
                has_tools=endpoint_type.tools,
                converts_system_messages=endpoint_type.converts_system_messages,
                is_score_route=self.api == "score",
                constraints=endpoint_type.constraints,
                has_reasoning_switch=endpoint_type.has_reasoning_switch,
            ),
            find_facts=partial(find_facts, self._route, self.deployment),
            model=self.model,
            base_model=self.base_model,
            parameters=self._default_params(),
            stop=self.stop,
            response_format=self.response_format,
            extra_parameters=self.extra_parameters,
            deployment=self.deployment,
            stream_usage=self.stream_usage,
            tool_calling=self.tool_calling,
            constrained_decoding=self.constrained_decoding,
            reasoning=self.reasoning,
            system_message_mode=self.system_message_mode,
            control_tokens=self.control_tokens,
            max_corrections=self.max_corrections,
            fit_max_tokens=self.fit_max_tokens,
            tokenizer=self._loaded_tokenizer(),
            on_content_filter=self.on_content_filter,
            resize_image=self._image_resizer(),
            show_headers=self._show_headers if self.include_response_headers else None,
        )

    def _default_params(self) -> Json:
        """The model's own sampling parameters, those that are set."""
        values = self.__dict__
        defaults = {name: values[name] for name in _SAMPLING if values[name] is not None}
        if self.model_extras:
            defaults["model_extras"] = self.model_extras
        return defaults

    def _loaded_tokenizer(self) -> Any:
        given = self.tokenizer
        return tokens.load_tokenizer(given) if isinstance(given, str) else given

    def _image_resizer(self) -> Callable[[Json], Json] | None:
        if self.max_image_side is None:
            return None
        from langchain_azure_phi3 import images  # not every program resizes images

        return partial(images.resize_image_part, max_side=self.max_image_side)

    def _show_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return shown_headers(headers, self._endpoints.connection.secrets)

    def _connection(self) -> Connection:
        return Connection(
            route=self._route,
            auth=self._auth(),
            headers=dict(self.default_headers or {}),
            timeout=self._timeouts(),
            retries=RetryPolicy(self.max_retries, self.max_retry_wait),
            limiter=self.rate_limiter if hasattr(self.rate_limiter, "estimate") else None,
        )

    def _auth(self) -> Auth:
        credential = self.credential
        if isinstance(credential, SecretStr):
            credential = credential.get_secret_value()
        return auth_for(credential, self._route, self.credential_scopes)

    def _timeouts(self) -> tuple[float, float] | None:
        if isinstance(self.timeout, tuple):
            return self.timeout
        # Without a timeout, each client has its own: the shared ones 10 and 180 seconds.
        return None if self.timeout is None else (min(self.timeout, CONNECT_SECONDS), self.timeout)

    @property
    @override
    def lc_secrets(self) -> dict[str, str]:
        """The constructor's secret, and the environment variable that holds it."""
        return {"credential": CREDENTIAL_VARIABLES[0]}

    @classmethod
    @override
    def is_lc_serializable(cls) -> bool:
        """True: `dumps` writes everything except the key, which `load` takes from a map."""
        return True

    @override
    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """What `dumps` writes, without a key in the endpoint's query or a tokenizer object."""
        written = super().to_json()
        if written["type"] != "constructor":
            return written
        kwargs = written["kwargs"]
        if not isinstance(self.tokenizer, str):
            kwargs.pop("tokenizer", None)
        if "endpoint" in kwargs:
            kwargs["endpoint"] = mask_query(kwargs["endpoint"])
        return written


def _rename_deprecated(given: Json) -> None:
    """Replace arguments under their former names, with a warning."""
    for old, new in _DEPRECATED.items():
        if old in given:
            warnings.warn(
                f"The argument {old} is deprecated: use {new}.", DeprecationWarning, stacklevel=3
            )
            given.setdefault(new, given.pop(old))


def _with_environment(given: Json) -> Json:
    """The constructor's arguments, completed from the environment and stripped of white space."""
    endpoint = given.get("endpoint") or _from_environment(ENDPOINT_VARIABLES) or ""
    given["endpoint"] = unquote(endpoint) if isinstance(endpoint, str) else endpoint
    name = "api_key" if given.get("credential") is None and "api_key" in given else "credential"
    credential = given.pop(name, None)
    given.pop("api_key", None)
    if credential is None:
        credential = _from_environment(CREDENTIAL_VARIABLES)
    given["credential"] = _to_secret(credential)
    name = "model_name" if given.get("model") is None and "model_name" in given else "model"
    model = given.pop(name, None)
    given.pop("model_name", None)
    given["model"] = (_from_environment(MODEL_VARIABLES) if model is None else model) or None
    return given


def _to_secret(credential: Any) -> Any:
    if isinstance(credential, SecretStr):
        credential = credential.get_secret_value()
    elif type(credential).__name__ == "AzureKeyCredential":
        credential = credential.key
    if isinstance(credential, str):
        # A trailing line feed would make an illegal header. An empty key means no key.
        key = clean_key(credential)
        return SecretStr(key) if key else None
    return credential


def _from_environment(names: Sequence[str]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _constructor_error(cls: type[BaseChatModel], error: ValidationError) -> str:
    def describe_unknown(name: str) -> str:
        return f"there is no argument {name}; {argument_hint(name, cls.model_fields)}"

    findings = format_validation_error(error, describe_unknown)
    text = f"Invalid {cls.__name__} arguments: {findings}"
    return text if text.endswith(("?", ".")) else f"{text}."
