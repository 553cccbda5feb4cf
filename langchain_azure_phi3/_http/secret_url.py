"""URLs whose query may contain a gateway's key, which is sent but not shown."""

from urllib.parse import urlsplit

from langchain_azure_phi3._http.redaction import REDACTED

_SHOWN = frozenset({"api-version"})


class SecretUrl(str):
    """A URL whose `repr` hides all values in its query except the API version."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(mask_query(self))


def is_masked(url: str) -> bool:
    """Whether a URL was written by `mask_query`, so that it cannot be sent."""
    return any(part.endswith(REDACTED) for part in urlsplit(url).query.split("&"))


def mask_query(url: str) -> str:
    """Replace everything in a URL's query except the API version by `***`.

    A parameter without a value may be a key too.
    """
    base, mark, query = url.partition("?")
    return base + mark + "&".join(map(_mask_parameter, query.split("&"))) if query else str(url)


def _mask_parameter(parameter: str) -> str:
    name, _, value = parameter.partition("=")
    if name in _SHOWN:
        return parameter
    return f"{name}={REDACTED}" if value else REDACTED
