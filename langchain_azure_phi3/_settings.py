"""What a user sets, checked, and the connection that follows from it."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import InitVar
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

import httpx
from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
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

from langchain_azure_phi3._http.auth import Auth, auth_for
from langchain_azure_phi3._http.client import CONNECT_SECONDS
from langchain_azure_phi3._http.connection import Connection, RedactSecrets
from langchain_azure_phi3._http.endpoint import AsyncEndpoint, Endpoint
from langchain_azure_phi3._http.endpoint_types import Api
from langchain_azure_phi3._http.retries import RetryPolicy
from langchain_azure_phi3._http.routes import Route, route_for
from langchain_azure_phi3._request import parameters
from langchain_azure_phi3._request.messages import SystemMessages
from langchain_azure_phi3._request.parameters import ExtraParameters, LogitBias, Number, Stop
from langchain_azure_phi3._response.completion import OnContentFilter
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

# The first of each pair is Azure's later name, the second its earlier one.
ENDPOINT_VARIABLES = ("AZURE_INFERENCE_ENDPOINT", "AZUREAI_ENDPOINT_URL")
CREDENTIAL_VARIABLES = ("AZURE_INFERENCE_CREDENTIAL", "AZUREAI_ENDPOINT_KEY")

_VERSION = version("langchain-azure-phi3")  # it reads a file: once, not for each model

_LONGEST = 1e9  # seconds: operating systems count in nanoseconds, and not much further

_PROFILE_KEYS = frozenset(ModelProfile.__annotations__)


class Connected(NamedTuple):
    """The endpoints that follow from some settings."""

    settings: tuple[Any, ...]
    connection: Connection
    sync: Endpoint
    asynchronous: AsyncEndpoint

    @property
    def keeping_secrets(self) -> RedactSecrets:
        """Lets no error leave with a secret in it."""
        return self.connection.redacting


class _Connections:
    """The endpoints of one model's present settings. Copies and pickles of it are empty."""

    def __init__(self) -> None:
        self.made: Connected | None = None

    def __deepcopy__(self, memo: object) -> "_Connections":
        return _Connections()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Connections, ())


class BaseAzurePhi3(BaseChatModel):
    """The settings of a deployment of Phi; `ChatAzurePhi3` asks it."""

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
        populate_by_name=True,
        defer_build=True,  # until a first model is made: a third of the time of importing it
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

    if TYPE_CHECKING:
        # Other names of the two above, for type checkers: pydantic alone knows of aliases.
        api_key: InitVar[str | SecretStr | None] = None
        model_name: InitVar[str | None] = None

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

    @field_validator("timeout")
    @classmethod
    def _check_timeout(
        cls, timeout: float | tuple[float, float] | None
    ) -> float | tuple[float, float] | None:
        for seconds in timeout if isinstance(timeout, tuple) else (timeout,):
            if seconds is not None and not 0 < seconds <= _LONGEST:
                raise ValueError(f"{seconds} seconds cannot be waited for")
        return timeout

    @field_serializer("tokenizer")
    def _serialise_tokenizer(self, tokenizer: Any) -> str | None:
        return tokenizer if isinstance(tokenizer, str) else None

    @model_validator(mode="after")
    def _set_azure_phi3_version(self) -> Self:
        self._add_version("langchain-azure-phi3", _VERSION)
        return self

    @model_validator(mode="after")
    def _check_profile_keys(self) -> Self:
        # LangChain resolves type hints for its warning each time, at half the cost of a model.
        if self.profile is not None and self.profile.keys() - _PROFILE_KEYS:
            super()._check_profile_keys()  # type: ignore[operator]  # a validator is callable
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

    @property
    def _route(self) -> Route:
        return route_for(self.endpoint, self.api_version, self.api)

    def _connected(self) -> Connected:
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
            made = Connected(
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
        # Without one each client has its own: the shared ones 10 and 180 seconds.
        return None if self.timeout is None else (min(self.timeout, CONNECT_SECONDS), self.timeout)

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
