"""Reads certificates and proxies from the environment, and reports their errors."""

import os
import ssl
from functools import cache
from typing import NoReturn
from urllib.request import getproxies

import httpx

from langchain_azure_phi3.errors import InvalidInputError

_PROXIED_SCHEMES = ("all", "http", "https")


@cache
def ssl_context() -> ssl.SSLContext:
    """Return httpx's trusted certificates, read once, because this takes longer than a connection.

    Raises:
        InvalidInputError: An environment variable names a file that does not exist.
    """
    if (missing := find_missing_certificates("SSL_CERT_FILE", "SSL_CERT_DIR")) is not None:
        raise missing
    try:
        context = httpx.create_ssl_context()
    except OSError as problem:
        raise certificate_error(problem) from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def find_missing_certificates(*names: str) -> InvalidInputError | None:
    """Return an error for the first of these environment variables that names a missing file.

    Python's own error names neither the file nor the variable.
    """
    for name in names:
        value = os.environ.get(name)
        if value and not any(map(os.path.exists, value.split(os.pathsep))):
            return InvalidInputError(
                f"The environment variable {name} names {value!r}, which does not exist. "
                "Correct it, or unset it."
            )
    return None


def certificate_error(problem: OSError) -> InvalidInputError:
    """Return the error for an exception that Python raises when it sets up TLS."""
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
    known = [f"{name}={os.environ[name]!r}" for name in names if os.environ.get(name)]
    return InvalidInputError(
        f"TLS cannot be set up: {problem}. Check the environment variables {', '.join(known)}."
        if known
        else f"TLS cannot be set up: {problem}. Check the installation of certifi."
    )


def has_proxy() -> bool:
    """Whether the environment configures a proxy."""
    # httpx's own clients support all of them: SOCKS, credentials, exceptions.
    return any(scheme in getproxies() for scheme in _PROXIED_SCHEMES)


class CheckProxies:
    """Translates httpx's errors about the environment's proxies, which may contain passwords."""

    def __enter__(self) -> None:
        proxies = getproxies()
        for scheme in _PROXIED_SCHEMES:
            if scheme in proxies and not _is_connectable(proxies[scheme]):
                self._refuse(f"the URL in {scheme.upper()}_PROXY is invalid")

    def __exit__(self, _: object, problem: BaseException | None, __: object) -> None:
        if isinstance(problem, ImportError):
            self._refuse("SOCKS needs another package: pip install httpx[socks]")
        if isinstance(problem, ValueError | httpx.InvalidURL):
            self._refuse("HTTP_PROXY, HTTPS_PROXY, ALL_PROXY or NO_PROXY is invalid")

    def _refuse(self, reason: str) -> NoReturn:
        raise InvalidInputError(
            f"The proxy that the environment names cannot be used: {reason}. A proxy is "
            "http://host:port, https://host:port or socks5://host:port."
        ) from None


def _is_connectable(proxy: str) -> bool:
    """Whether a URL has a host and a port that sockets accept."""
    try:
        url = httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
        url.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return False
    return url.scheme in ("http", "https", "socks5", "socks5h") and (url.port or 1) < 65_536
