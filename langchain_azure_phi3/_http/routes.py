"""Which URL, for which kind of endpoint, and what that kind accepts."""

import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from langchain_azure_phi3.errors import InvalidInputError

# The only value in the TypeSpec of the Azure AI Model Inference API, and the default of its SDK.
INFERENCE_VERSION = "2024-05-01-preview"

_ML_SCOPE = "https://ml.azure.com/.default"
_COGNITIVE_SCOPE = "https://cognitiveservices.azure.com/.default"

# Parameters that OpenAI's own API has and the Model Inference API's schema lacks.
_OPENAI_NATIVE = frozenset(
    {"logprobs", "top_logprobs", "logit_bias", "n", "user", "stream_options"}
    | {"max_completion_tokens", "parallel_tool_calls", "reasoning_effort", "metadata", "store"}
)

# What people paste after the base: a route of the API, or the portal's scoring URL.
_PASTED = (
    "/v1/chat/completions",
    "/chat/completions",
    "/v1/completions",
    "/completions",
    "/info",
    "/score",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of endpoint.

    Attributes:
        name: How error messages call it.
        model: Whether `model` is sent: several servers answer 404 to a name they do not expect.
        api_version: The default of the query parameter, or `None` where there is none.
        info: Whether it has an `/info` route.
        native: Parameters accepted here without the `extra-parameters` header.
        scope: The Entra ID scope of its tokens, or `None` where it takes only keys.
        advice: What to check, by status.
    """

    name: str
    model: Literal["omitted", "optional", "required"] = "omitted"
    api_version: str | None = None
    info: bool = True
    native: frozenset[str] = frozenset()
    scope: str | None = None
    advice: dict[int, str] = field(default_factory=dict)


_KEY_ADVICE = "Check that the key belongs to this endpoint and was not regenerated."
_RETIRED = "A retired or deleted deployment answers so as well."

SERVERLESS = Kind(
    "serverless API",
    api_version=INFERENCE_VERSION,
    advice={
        401: f"{_KEY_ADVICE} A serverless API takes its own 32-character key, not Entra ID.",
        404: f"Check the host name of the endpoint. {_RETIRED}",
    },
)
MANAGED = Kind(
    "managed compute",
    api_version=INFERENCE_VERSION,
    scope=_ML_SCOPE,
    advice={
        401: f"{_KEY_ADVICE} With Entra ID the endpoint needs the auth mode aad_token.",
        403: "Check that the identity may score this online endpoint.",
        404: "Images from before 24 June 2024 have only /score and /v1/chat/completions.",
    },
)
FOUNDRY = Kind(
    "Foundry /models route",
    model="required",
    api_version=INFERENCE_VERSION,
    scope=_COGNITIVE_SCOPE,
    advice={
        401: f"{_KEY_ADVICE} With Entra ID the audience is https://cognitiveservices.azure.com.",
        403: "Check for the role Cognitive Services User (a new role takes minutes to work), "
        "for key authentication being disabled, and for network rules.",
        404: f"Check that `model` is the name of a deployment. {_RETIRED}",
    },
)
OPENAI_V1 = Kind(
    "OpenAI v1 route",
    model="required",
    info=False,
    native=_OPENAI_NATIVE,
    scope=_COGNITIVE_SCOPE,
    advice={**FOUNDRY.advice, 404: "Check that `model` is the name of a deployment."},
)
AZURE_OPENAI = Kind(
    "Azure OpenAI deployment",
    model="optional",
    api_version="2024-06-01",
    info=False,
    native=_OPENAI_NATIVE,
    scope=_COGNITIVE_SCOPE,
    advice={**FOUNDRY.advice, 404: "Check the deployment's name in the endpoint."},
)
GITHUB = Kind(
    "GitHub Models",
    model="required",
    info=False,
    advice={
        401: "GitHub Models takes a personal access token with the permission models: read.",
        404: "Check `model`: it is publisher/name, such as microsoft/phi-4.",
    },
)
OPENAI_SERVER = Kind(
    "OpenAI-compatible server",
    model="optional",
    info=False,
    native=_OPENAI_NATIVE,
    advice={404: "Check that `model` is a name which the server lists under /v1/models."},
)
OTHER = Kind(
    "endpoint",
    model="optional",
    advice={
        404: "If this is an OpenAI-compatible server such as Ollama, vLLM or Foundry Local, "
        "its endpoint ends in /v1."
    },
)

_BY_HOST = (
    (".inference.ml.azure.com", MANAGED),
    ("models.inference.ai.azure.com", GITHUB),
    (".models.ai.azure.com", SERVERLESS),
    (".inference.ai.azure.com", SERVERLESS),
    (".services.ai.azure.com", FOUNDRY),
    (".openai.azure.com", OPENAI_V1),
    (".cognitiveservices.azure.com", OPENAI_V1),
    ("models.github.ai", GITHUB),
)


@dataclass(frozen=True, slots=True)
class Route:
    """Where one endpoint's requests go.

    Attributes:
        kind: What it accepts.
        base: The endpoint without query and known suffixes: fit for traces and cache keys.
        chat_url: Where completions are asked for.
        info_url: Where the model tells its name.
        loopback: Whether the host is this machine.
    """

    kind: Kind
    base: str
    chat_url: str
    info_url: str
    loopback: bool


@lru_cache(maxsize=256)
def route_for(endpoint: str, api_version: str | None = None) -> Route:
    """The route of an endpoint as users paste it.

    Args:
        endpoint: A URL: bare host, base, or with a route and query pasted along.
        api_version: The user's own, else the pasted one, else the kind's default.

    Raises:
        InvalidInputError: It is no http or https URL, or holds a user name and password.
    """
    text = endpoint.strip()
    try:
        if "://" not in text:
            local = _is_loopback(urlsplit(f"//{text}").hostname)
            text = f"{'http' if local else 'https'}://{text}"
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as problem:
        raise InvalidInputError(f"The endpoint is no URL: {problem}.") from None
    if url.scheme not in ("http", "https") or not host:
        raise InvalidInputError(
            "The endpoint must be an http or https URL, such as "
            "https://<name>.<region>.models.ai.azure.com."
        )
    if url.username is not None:
        raise InvalidInputError("Pass the key as `credential`, not inside the endpoint.")
    path = _base_path(url.path)
    kind, path = _kind(host, path)
    netloc = f"[{host}]" if ":" in host else host
    base = f"{url.scheme}://{netloc}{f':{port}' if port else ''}{path}"
    query = dict(parse_qsl(url.query))
    version = api_version or query.get("api-version") or kind.api_version
    if version is not None:
        query["api-version"] = version
    tail = f"?{urlencode(query)}" if query else ""
    # Where /v1 is an older chat route, /info lies beside it.
    info_base = base.removesuffix("/v1") if kind.info else base
    return Route(
        kind=kind,
        base=base,
        chat_url=f"{base}/chat/completions{tail}",
        info_url=f"{info_base}/info{tail}",
        loopback=_is_loopback(host),
    )


def _base_path(path: str) -> str:
    path = path.rstrip("/")
    for suffix in _PASTED:
        if path.lower().endswith(suffix):
            kept = "/v1" if suffix.startswith("/v1") else ""
            # Azure's /openai/v1 and a server's /v1 are bases; elsewhere /v1 is an older route.
            return path[: -len(suffix)].rstrip("/") + kept
    return path


def _kind(host: str, path: str) -> tuple[Kind, str]:
    """The kind of endpoint, and the path under which it has its routes."""
    lowered = path.lower()
    if "/openai/deployments/" in lowered:
        return AZURE_OPENAI, path
    if lowered.endswith("/openai/v1"):
        return OPENAI_V1, path
    for suffix, kind in _BY_HOST:
        if host == suffix or (suffix.startswith(".") and host.endswith(suffix)):
            return _completed(kind, path)
    return (OPENAI_SERVER if lowered.endswith("/v1") else OTHER), path


def _completed(kind: Kind, path: str) -> tuple[Kind, str]:
    """The path that a bare host of this kind lacks."""
    if kind is FOUNDRY and not path:
        return kind, "/models"
    if kind is OPENAI_V1 and not path:
        return kind, "/openai/v1"
    return kind, path


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
