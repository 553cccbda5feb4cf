"""Finds the URLs of an endpoint, in any form in which its URL was pasted."""

import ipaddress
import re
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import httpx

from langchain_azure_phi3._http.endpoint_types import (
    AI_SCOPE,
    AZURE_OPENAI,
    BY_API,
    FOUNDRY,
    FOUNDRY_LOCAL,
    INFERENCE_VERSION,
    MANAGED,
    ML_SCOPE,
    OPENAI_SERVER,
    OPENAI_V1,
    OTHER,
    SERVERLESS,
    Api,
    EndpointType,
)
from langchain_azure_phi3._http.secret_url import SecretUrl
from langchain_azure_phi3.errors import InvalidInputError

# Suffixes that users paste after the base: a route of the API, or the portal's scoring URL.
_PASTED = (
    "/v1/chat/completions",
    "/chat/completions",
    "/v1/completions",
    "/completions",
    "/v1/models",
    "/info",
    "/score",
)

_FOUNDRY_HOST = ".services.ai.azure.com"

# Host suffix, type, and token scope where it is not the type's own. Azure's how-tos of July and
# August 2024 write managed compute as .inference.ai.azure.com too.
_BY_HOST: tuple[tuple[str, EndpointType, str | None], ...] = (
    (".inference.ml.azure.com", MANAGED, MANAGED.scope),
    (".models.ai.azure.com", SERVERLESS, None),
    (".inference.ai.azure.com", SERVERLESS, ML_SCOPE),
    (_FOUNDRY_HOST, OPENAI_V1, OPENAI_V1.scope),
    (".openai.azure.com", OPENAI_V1, OPENAI_V1.scope),
    (".cognitiveservices.azure.com", OPENAI_V1, OPENAI_V1.scope),
)

# Azure's own hosts, in its public and its national clouds.
_AZURE_DOMAINS = (".azure.com", ".azure.us", ".azure.cn")

# Retired on 2026-07-30, the inference API included (gptel#1503, llm-github-models#53).
_GITHUB_MODELS = frozenset({"models.github.ai", "models.inference.ai.azure.com"})

# Python's resolver fails on other lengths with a UnicodeError (RFC 1035, 2.3.4). Underscores are
# common. URL parsers disagree about other ASCII characters in names; `<name>` is a placeholder of
# the documentation, which is never sent.
_LABEL = re.compile(r"(?:[A-Za-z0-9_-]|[^\x00-\x7f\s]){1,63}|<[a-z-]+>")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# Hosts of pages whose URL users copy instead of the endpoint's.
_WEBSITES = frozenset(
    {
        *("ai.azure.com", "ml.azure.com", "portal.azure.com", "oai.azure.com"),
        *("azure.microsoft.com", "learn.microsoft.com", "aka.ms"),
        *("github.com", "huggingface.co", "hf.co", "platform.openai.com"),
    }
)

_BY_PATH = (
    ("/openai/v1", OPENAI_V1),
    ("/models", FOUNDRY),
    ("/v1", OPENAI_SERVER),
)

# The default path for a host alone, or for a project's page in the portal.
_DEFAULT_PATHS = {
    FOUNDRY.name: "/models",
    OPENAI_V1.name: "/openai/v1",
    OPENAI_SERVER.name: "/v1",
    FOUNDRY_LOCAL.name: "/v1",
}
_PROJECTS = "/api/projects/"
_DATED = re.compile(r"\d{4}-")  # an API version of the /models route, not of /openai/v1
_OLDER_ROUTE_HEADERS = (("extra-parameters", "pass-through"),)


@dataclass(frozen=True, slots=True)
class Route:
    """The URLs of one endpoint.

    Attributes:
        endpoint_type: The properties of this type of endpoint.
        base: The endpoint without query and known suffixes, for traces and cache keys.
        chat_url: The URL for completions.
        info_url: The URL for the name of the model.
        models_url: The URL for the list of models; `None` if there is none.
        loopback: Whether the host is this machine.
        alternate_url: Another possible URL for completions, which depends on the server's age.
        alternate_headers: Headers for that URL, unless the request sets them.
        scope: The Entra ID scope of its tokens; `None` if none may be sent by default.
        guessed: Whether the type was inferred from the URL.
        query: The query of the URLs, which may contain a gateway's key.
        is_azure: Whether the host is one of Azure's, rather than a gateway or the user's own.
    """

    endpoint_type: EndpointType
    base: str
    chat_url: str = field(repr=False)
    info_url: str = field(repr=False)
    loopback: bool
    models_url: str | None = field(default=None, repr=False)
    alternate_url: str | None = field(default=None, repr=False)
    alternate_headers: tuple[tuple[str, str], ...] = ()
    scope: str | None = None
    guessed: bool = True
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    is_azure: bool = False


@lru_cache(maxsize=256)
def route_for(endpoint: str, api_version: str | None = None, api: Api = "auto") -> Route:
    """Parse an endpoint in any form in which users paste it.

    Args:
        endpoint: A URL: a bare host, a base URL, or a URL with route and query.
        api_version: The user's own; by default, the pasted one or the type's default.
        api: The endpoint type; `"auto"` infers it from the URL.

    Raises:
        InvalidInputError: It is not an http or https URL, contains a user name and password, or is
            a URL of GitHub Models.
    """
    url = _parse(endpoint)
    host = _reachable(url.hostname or "")
    if host.lower() in _GITHUB_MODELS:
        raise InvalidInputError(
            f"GitHub Models was retired on 2026-07-30, and {host} with it. Deploy the model in "
            "Foundry, or run it on your own server, such as Ollama, vLLM or Foundry Local."
        )
    endpoint_type, path, scope = _find_type(host, _base_path(url.path), api)
    loopback = is_loopback(host)
    netloc = f"[{host}]" if ":" in host else host
    origin = f"{url.scheme}://{netloc}{f':{url.port}' if url.port else ''}"
    base = origin + path
    query = parse_qsl(url.query, keep_blank_values=True)
    default = None if api == "score" else endpoint_type.api_version
    version = api_version or dict(query).get("api-version") or default
    older = None
    if api == "auto" and endpoint_type is OPENAI_V1 and "/openai/v1" not in url.path.lower():
        # For a host alone, a dated version is that of the older route.
        older = _older_foundry_url(origin, host, query, version)
        version = None if _DATED.match(version or "") else version
        query = [pair for pair in query if pair[0] != "api-version"]
    if version is not None:
        query = _with_version(query, version)
    tail = f"?{urlencode(query)}" if query else ""
    # Where /v1 is an older chat route, /info and /score lie next to it.
    root = base.removesuffix("/v1") if endpoint_type.has_info_route else base
    _check_parsed(base, url.scheme, host)
    chat, alternate = (f"{base}/chat/completions{tail}", _alternate_url(endpoint_type, base, tail))
    return Route(
        endpoint_type=endpoint_type,
        base=base,
        chat_url=SecretUrl(f"{root}/score{tail}" if api == "score" else chat),
        info_url=SecretUrl(f"{root}/info{tail}"),
        loopback=loopback,
        models_url=_models_url(endpoint_type, base, tail),
        alternate_url=older or (None if api == "score" else alternate),
        alternate_headers=() if older is None else _OLDER_ROUTE_HEADERS,
        scope=endpoint_type.scope if loopback or endpoint_type.scope is None else scope,
        guessed=api == "auto",
        query=tuple(query),
        is_azure=host.lower().endswith(_AZURE_DOMAINS),
    )


def _older_foundry_url(
    origin: str, host: str, query: list[tuple[str, str]], version: str | None
) -> str | None:
    """Return Foundry's /models route, for resources that do not have /openai/v1 yet."""
    if not host.endswith(_FOUNDRY_HOST):
        return None
    query = _with_version(query, version or INFERENCE_VERSION)
    return SecretUrl(f"{origin}/models/chat/completions?{urlencode(query)}")


def _with_version(query: list[tuple[str, str]], version: str) -> list[tuple[str, str]]:
    """Set `api-version` in the parameters, in its place or at the end."""
    names = [name for name, _ in query]
    place = names.index("api-version") if "api-version" in names else len(names)
    before, after = query[:place], query[place:]
    return [*before, ("api-version", version), *(p for p in after if p[0] != "api-version")]


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine, also in the form `0.0.0.0`, as servers print it."""
    if host is None:
        return False
    host = host.lower().removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _ip_address(host)
    return address is not None and (address.is_loopback or address.is_unspecified)


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _reachable(host: str) -> str:
    """Replace the hosts `0.0.0.0` and `::` by this machine's address.

    Servers print these for "all addresses"; Windows cannot connect to them.
    """
    address = _ip_address(host)
    if address is None or not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _check_parsed(base: str, scheme: str, host: str) -> None:
    """Check that httpx parses the same scheme and host from the URL.

    Raises:
        InvalidInputError: It does not.
    """
    try:
        url = httpx.URL(base)
        is_same = "<" in host or (url.scheme == scheme and _is_same_host(url, host))
    except httpx.InvalidURL:
        is_same = False
    if not is_same:
        raise InvalidInputError(
            "The endpoint is not a valid URL: its host name has unusual characters."
        )


def _is_same_host(url: httpx.URL, host: str) -> bool:
    """Whether the URL's host is this one, in letters or in its ASCII form (IDNA)."""
    return host in (url.host, url.raw_host.decode("ascii"))


def _parse(endpoint: str) -> SplitResult:
    text = endpoint.strip()
    # urlsplit drops some control characters, so it would check another URL.
    if _CONTROL.search(text):
        raise InvalidInputError(
            "The endpoint is not a valid URL: it contains a control character, such as a tab or a "
            "line break. Copy it again."
        )
    if text.lower().startswith(("http:", "https:")) and "://" not in text:
        raise InvalidInputError(
            f"The endpoint is not a valid URL: two slashes must follow "
            f"'{text.partition(':')[0]}:', as in https://<name>.<region>.models.ai.azure.com."
        )
    try:
        if "://" not in text:
            local = is_loopback(urlsplit(f"//{text}").hostname)
            text = f"{'http' if local else 'https'}://{text}"
        url = urlsplit(text)
        host, _ = url.hostname, url.port  # an invalid port raises here
    except ValueError as problem:
        raise InvalidInputError(f"The endpoint is not a valid URL: {problem}.") from None
    if url.scheme not in ("http", "https") or not host:
        found = f"begins with '{url.scheme}://'" if host else "has no host name"
        raise InvalidInputError(
            f"The endpoint {found}. It must be an http or https URL, such as "
            "https://<name>.<region>.models.ai.azure.com."
        )
    if not all(map(_LABEL.fullmatch, host.removesuffix(".").split("."))) and ":" not in host:
        shown = f" {host!r}" if "://" in endpoint else ""  # else it may be a part of a key
        raise InvalidInputError(
            f"The endpoint is not a valid URL: its host name{shown} has an invalid character, an "
            "empty part, or a part of more than 63 characters."
        )
    if url.username is not None:
        raise InvalidInputError("Pass the key as `credential`, not inside the endpoint.")
    _check_host(host, is_alone=host == endpoint.strip().lower())
    return url


def _check_host(host: str, *, is_alone: bool) -> None:
    """Reject hosts and names that users paste instead of an endpoint's URL."""
    if host.removeprefix("www.") in _WEBSITES:
        raise InvalidInputError(
            f"{host} is a website, not an endpoint. Copy the endpoint's URL that the page of your "
            "deployment shows."
        )
    if is_alone and "." not in host and not is_loopback(host):
        raise InvalidInputError(
            f"The endpoint {host} is a name, not a URL. Pass the URL of the deployment, such as "
            "https://<name>.<region>.models.ai.azure.com."
        )


def _base_path(path: str) -> str:
    path = path.rstrip("/")
    for suffix in _PASTED:
        if path.lower().endswith(suffix):
            kept = "/v1" if suffix.startswith("/v1") else ""
            # Azure's /openai/v1 and a server's /v1 are base URLs; elsewhere, /v1 is an older route.
            return path[: -len(suffix)].rstrip("/") + kept
    return path


def _find_type(host: str, path: str, api: Api) -> tuple[EndpointType, str, str | None]:
    """Return the endpoint's type, the path of its routes, and the token scope of its host."""
    endpoint_type, scope = next(
        (
            (endpoint_type, scope)
            for suffix, endpoint_type, scope in _BY_HOST
            if host == suffix or (suffix.startswith(".") and host.endswith(suffix))
        ),
        (None, None),
    )
    if api != "auto":
        return BY_API[api], _complete_path(BY_API[api], path), scope
    if endpoint_type is OPENAI_V1 and path.lower() == "/openai":
        path += "/v1"
    lowered = path.lower()
    if "/openai/deployments/" in lowered:
        return AZURE_OPENAI, path, scope
    if lowered.endswith("/openai/v1"):
        is_project = endpoint_type is OPENAI_V1 and lowered.startswith(_PROJECTS)
        return OPENAI_V1, path, AI_SCOPE if is_project else scope
    if endpoint_type is OPENAI_V1 and lowered.endswith("/models"):
        return FOUNDRY, _complete_path(FOUNDRY, path), scope
    if endpoint_type is None:
        endpoint_type = next((found for end, found in _BY_PATH if lowered.endswith(end)), OTHER)
    return endpoint_type, _complete_path(endpoint_type, path), scope


def _complete_path(endpoint_type: EndpointType, path: str) -> str:
    """Return the path, or the default of this type if there is none."""
    if endpoint_type in (FOUNDRY, OPENAI_V1) and path.lower().startswith(_PROJECTS):
        path = ""
    return path or _DEFAULT_PATHS.get(endpoint_type.name, "")


def _models_url(endpoint_type: EndpointType, base: str, tail: str) -> str | None:
    if not endpoint_type.lists_models:
        return None
    return SecretUrl(f"{base if base.endswith('/v1') else f'{base}/v1'}/models{tail}")


def _alternate_url(endpoint_type: EndpointType, base: str, tail: str) -> str | None:
    if not endpoint_type.has_legacy_v1:
        return None
    other = base.removesuffix("/v1") if base.endswith("/v1") else f"{base}/v1"
    return SecretUrl(f"{other}/chat/completions{tail}")
