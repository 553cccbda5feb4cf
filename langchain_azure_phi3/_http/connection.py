"""Builds the requests to one deployment, and explains their failures."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version

import httpx

from langchain_azure_phi3._http.auth import Auth
from langchain_azure_phi3._http.deployments import find_facts, learn_models
from langchain_azure_phi3._http.error_mapping import add_sentence, map_error_response
from langchain_azure_phi3._http.json_codec import encode
from langchain_azure_phi3._http.quota import AttemptLimiter, Demand
from langchain_azure_phi3._http.redaction import find_secrets, redact
from langchain_azure_phi3._http.retries import RetryPolicy
from langchain_azure_phi3._http.retry_state import Quota, is_route_missing
from langchain_azure_phi3._http.routes import Route
from langchain_azure_phi3._http.secret_url import SecretUrl
from langchain_azure_phi3._model_listing import parse_models
from langchain_azure_phi3._types import Json, ResponseInfo
from langchain_azure_phi3.errors import (
    AzurePhi3Error,
    BadRequestError,
    ConnectionFailedError,
    ContextLengthError,
    InterruptedStreamError,
    InvalidInputError,
    InvalidResponseError,
    NotFoundError,
    RequestTimeoutError,
)

_USER_AGENT = f"langchain-azure-phi3/{version('langchain-azure-phi3')}"
_DEPLOYMENT = "azureml-model-deployment"
_MISSING_NAME = re.compile(
    r"model\b.{0,40}\b(?:required|missing|name|not found|not exist)"
    r"|(?:\bmissing\b|\bprovide\b|\bspecify\b).{0,40}\bmodel",
    re.I | re.S,
)
_LISTED = 20  # names in an error message
_MIN_CONTEXT = 256  # tokens; a smaller number means that a message was misread

UNSENDABLE_HEADER = (
    "The request cannot be sent: a header contains characters that HTTP does not allow."
)
_CONTROL_CHARACTER = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True, repr=False)  # headers may contain a gateway's key
class HttpRequest:
    """An unsigned request, for all its attempts.

    Attributes:
        parts: The arguments of a client's `build_request` besides the URL.
        quota: Identifies its rate limit; begins with its URL.
        alternate_url: Another URL that the deployment may have.
        alternate_headers: Headers to add for that URL, unless the request has them.
        payload: Its JSON as requested; `None` for requests that are not for a completion.
        is_listed: Whether its model was just taken from the server's list.
        demand: The quota that each attempt uses, if there is a limiter.
    """

    parts: Json
    quota: Quota
    alternate_url: str | None = None
    alternate_headers: tuple[tuple[str, str], ...] = ()
    payload: Json | None = None
    is_listed: bool = False
    demand: Demand | None = None

    def build_args(self, url: str) -> Json:
        """Return the arguments for a client's `build_request`, for one of the two URLs."""
        if not self.alternate_headers or url != self.alternate_url:
            return {"url": url, **self.parts}
        headers = httpx.Headers(list(self.alternate_headers))
        headers.update(self.parts["headers"])
        return {"url": url, **self.parts, "headers": headers}


@dataclass(frozen=True)
class Connection:
    """The URLs, credential and settings to reach one deployment.

    Attributes:
        route: Its URLs and endpoint type.
        auth: Signs a request.
        headers: Headers of every request.
        timeout: Seconds to connect, and for each read and write; `None` for the client's own.
        retries: Whether and when to try again.
        limiter: Counts every attempt at a completion.
    """

    route: Route
    auth: Auth
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: tuple[float, float] | None = None
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    limiter: AttemptLimiter | None = None

    def chat_request(self, payload: Json, headers: Mapping[str, str]) -> HttpRequest:
        """Return the request for a completion; without a name, it names the only listed model."""
        sent = payload
        if "model" not in payload and self.route.models_url is not None:
            served_name = find_facts(self.route, headers.get(_DEPLOYMENT), None).served_name
            if served_name is not None:
                sent = {**payload, "model": served_name}
        content = encode(sent)
        merged = httpx.Headers(
            self._stream_headers if payload.get("stream") else self._json_headers
        )
        if headers:
            merged.update(headers)
        merged["content-length"] = str(len(content))
        quota = (
            self.route.chat_url,
            headers.get(_DEPLOYMENT) or self._deployment,
            str(sent.get("model", "")),
            self.auth.identity,
        )
        parts = {"method": "POST", "headers": merged, "content": content, **self._timeouts}
        route = self.route
        demand = None if self.limiter is None else self.limiter.estimate(quota, payload)
        return HttpRequest(
            parts, quota, route.alternate_url, route.alternate_headers, payload, demand=demand
        )

    def info_request(self, model: str | None, headers: Mapping[str, str]) -> HttpRequest:
        """Return the request for information on a model."""
        endpoint_type = self.route.endpoint_type
        if not endpoint_type.has_info_route and self.route.models_url is not None:
            return self.get_request(self.route.models_url, headers)
        url = httpx.URL(self.route.info_url)
        if endpoint_type.info_version is not None and model is not None:
            url = url.copy_set_param("model_deployment", model)
            if url.params.get("api-version") == endpoint_type.api_version:
                url = url.copy_set_param("api-version", endpoint_type.info_version)
        return self.get_request(SecretUrl(url), headers, model)

    def get_request(
        self, url: str, headers: Mapping[str, str], model: str | None = None
    ) -> HttpRequest:
        """Return the request for the JSON at a URL of this server."""
        merged = httpx.Headers(self._json_headers)
        merged.update(headers)
        quota = (url, "", model or "", self.auth.identity)
        parts = {"method": "GET", "headers": merged, "content": b"", **self._timeouts}
        return HttpRequest(parts, quota)

    def models_request(self, request: HttpRequest, failure: AzurePhi3Error) -> HttpRequest | None:
        """Return the request for the list of models, if a model's name caused the failure."""
        if self.route.models_url is None or request.payload is None or request.is_listed:
            return None
        if "model" in request.payload:
            is_about_name = isinstance(failure, NotFoundError) and not is_route_missing(failure)
        else:
            is_refusal = isinstance(failure, NotFoundError | BadRequestError)
            is_about_name = is_refusal and _MISSING_NAME.search(str(failure)) is not None
        return self.get_request(self.route.models_url, {}) if is_about_name else None

    def with_listed_model(
        self, request: HttpRequest, failure: AzurePhi3Error, body: Json
    ) -> HttpRequest:
        """Name the only model that a server lists in a request.

        Raises:
            AzurePhi3Error: The failure, with the names that the server lists, if there are several
                or the request names another one.
        """
        listed = parse_models(body)
        learn_models(self.route, request.quota[1], listed)
        payload = request.payload or {}
        if len(listed) == 1 and "model" not in payload:
            return replace(self.chat_request(payload, request.parts["headers"]), is_listed=True)
        if listed:
            names = ", ".join(model.name for model in listed[:_LISTED])
            add_sentence(failure, f"The server lists: {names}.")
        raise failure

    def explain_overflow(self, request: HttpRequest, failure: AzurePhi3Error) -> None:
        """Remember the context of a deployment; if `max_tokens` is too large for it, say so."""
        if not isinstance(failure, ContextLengthError) or request.payload is None:
            return
        context, max_tokens = failure.context, request.payload.get("max_tokens")
        if context is not None and context >= _MIN_CONTEXT:
            model = request.payload.get("model")
            find_facts(self.route, request.quota[1], model).context = context
        if not isinstance(max_tokens, int) or context is None:
            return
        prompt = failure.prompt_tokens if failure.prompt_tokens is not None else context
        if max_tokens >= context or prompt < context:
            add_sentence(
                failure,
                f"max_tokens={max_tokens:,} counts towards the context of {context:,} tokens: "
                "lower it, or pass fit_max_tokens=True.",
            )

    # Built once, because headers take httpx as long as a request.

    @cached_property
    def _json_headers(self) -> httpx.Headers:
        return self._base_headers("application/json")

    @cached_property
    def _stream_headers(self) -> httpx.Headers:
        return self._base_headers("text/event-stream, application/json")

    def _base_headers(self, accept: str) -> httpx.Headers:
        names = {
            "host": httpx.URL(self.route.chat_url).netloc.decode(),
            "content-type": "application/json",
            "accept": accept,
            # A small compressed body may decompress to more than fits into memory.
            "accept-encoding": "identity",
            "user-agent": _USER_AGENT,
            **{name.lower(): value for name, value in self.headers.items()},
        }
        with SENDING:
            headers = httpx.Headers(names)
        # The oldest supported aiohttp sends them.
        if any(_CONTROL_CHARACTER.search(value) for _, value in headers.raw):
            raise InvalidInputError(UNSENDABLE_HEADER) from None
        return headers

    @cached_property
    def _deployment(self) -> str:
        return {name.lower(): value for name, value in self.headers.items()}.get(_DEPLOYMENT, "")

    @cached_property
    def _timeouts(self) -> Json:
        if self.timeout is None:
            return {}
        connect, read = self.timeout
        # Waiting for a free connection is not a network failure.
        return {"timeout": httpx.Timeout(read, connect=connect, pool=None)}

    def failure(self, info: ResponseInfo, content: bytes) -> AzurePhi3Error:
        """Return the exception for a response that is not a success."""
        return map_error_response(info, content, advice=self._advice())

    @cached_property
    def redacting(self) -> "RedactSecrets":
        """A context that redacts secrets from errors."""
        return RedactSecrets(self)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not appear in errors; they change, because tokens are replaced."""
        return find_secrets(self.auth.secrets, (*self.headers.items(), *self.route.query))

    def _advice(self) -> Mapping[int, str]:
        """Return advice by status, for this type of endpoint and the credential that was sent."""
        advice = dict(self.route.endpoint_type.advice)
        if type(self.auth) is Auth and not self.route.endpoint_type.self_hosted:
            # Azure's gateways return 400 if the key is missing.
            advice[400] = f"{self.auth.describe()} {advice.get(400, '')}".rstrip()
        for status in (401, 403):
            advice[status] = f"{self.auth.describe()} {advice[status]}"
        if self.route.guessed:
            name = self.route.endpoint_type.name
            advice[404] += (
                f" Endpoint type, inferred from the URL: {name}. Set api= if that is wrong."
            )
        return advice


class RedactSecrets:
    """A context that redacts secrets from errors.

    A class because it is faster than a generator, and entered for each request.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, problem: BaseException | None, __: object) -> None:
        if isinstance(problem, AzurePhi3Error):
            redact(problem, self._connection.secrets)


class MapHttpxErrors:
    """Translates httpx's exceptions; no other code does.

    A class because it is faster than a generator, and entered several times for each request.
    """

    def __init__(self, *, receiving: bool) -> None:
        """`receiving`: a successful response has begun, so only the rest of it is missing."""
        self._receiving = receiving

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, problem: BaseException | None, __: object) -> None:
        if isinstance(problem, UnicodeEncodeError | httpx.LocalProtocolError):
            # Both quote the header, which may be a secret.
            raise InvalidInputError(UNSENDABLE_HEADER) from None
        if isinstance(problem, httpx.RequestError):
            _strip_auth(problem)
            raise _to_phi_error(problem, receiving=self._receiving) from problem
        if isinstance(problem, UnicodeError | OverflowError):  # an invalid host name or port
            raise InvalidInputError(f"The request cannot be sent: {problem}.") from None
        if isinstance(problem, httpx.InvalidURL | httpx.CookieConflict):
            raise InvalidInputError(f"The request cannot be sent: {problem}.") from problem


SENDING, RECEIVING = MapHttpxErrors(receiving=False), MapHttpxErrors(receiving=True)

_TIMEOUT_CODES: Mapping[type[httpx.RequestError], str] = {
    httpx.ConnectTimeout: "connect_timeout",
    httpx.WriteTimeout: "write_timeout",
}


def _to_phi_error(problem: httpx.RequestError, *, receiving: bool) -> AzurePhi3Error:
    reason = (str(problem) or type(problem).__name__).rstrip(".")
    if isinstance(problem, httpx.TimeoutException):
        what = "The next part of the response" if receiving else "The server's response"
        return RequestTimeoutError(
            f"{what} did not arrive in time ({type(problem).__name__}). "
            "`timeout` sets the seconds to wait; a busy deployment may need more.",
            code=_TIMEOUT_CODES.get(type(problem), "read_timeout"),
        )
    if isinstance(problem, httpx.DecodingError):
        return InvalidResponseError(f"The response cannot be decompressed: {reason}.")
    if receiving:
        return InterruptedStreamError(
            f"The connection broke in the middle of the response: {reason}. "
            "The text received so far is in `partial`; the same request may succeed again."
        )
    if isinstance(problem, httpx.UnsupportedProtocol):
        return InvalidInputError(f"The request cannot be sent: {reason}.")
    advice = "Check the endpoint's host name, the network and any proxy."
    if "WRONG_VERSION_NUMBER" in reason or "record layer failure" in reason:
        advice = "The server there does not use TLS: does its address begin with http://?"
    return ConnectionFailedError(f"Connection failed: {reason}. {advice}")


def _strip_auth(problem: httpx.RequestError) -> None:
    """Remove the credential from the signed request that httpx attaches to an exception."""
    request = getattr(problem, "_request", None)
    if request is not None:
        problem.request = httpx.Request(request.method, request.url.copy_with(query=None))
