"""Fetches Entra ID tokens from credentials and callables."""

import base64
import binascii
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain_azure_phi3._http.environment import find_missing_certificates
from langchain_azure_phi3.errors import (
    AuthenticationError,
    AzurePhi3Error,
    ConnectionFailedError,
    InvalidInputError,
)

# Variables of requests, which azure-identity uses, and of Python.
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_CLAIMS = re.compile(r"""\bclaims="([A-Za-z0-9+/_=-]+)\"""")


class TokenFetcher:
    """Fetches a token; call it with the claims that the token must have, or `None`.

    Attributes:
        is_async: Whether it always returns an awaitable.
        answers_claims: Whether it can fetch a token with claims.
    """

    def __init__(self, fetch: Callable[..., Any], *, answers_claims: bool, is_async: bool) -> None:
        self._fetch = fetch
        self.answers_claims = answers_claims
        self.is_async = is_async

    def __call__(self, claims: str | None) -> Any:
        """Return a token, or an awaitable of one.

        Raises:
            AuthenticationError: Entra ID, or a server on the way to it, rejects the request.
            InvalidInputError: The environment names certificates that do not exist.
        """
        try:
            return self._fetch(claims)
        except AzurePhi3Error:
            raise
        except Exception as problem:  # a user's credential may raise any exception
            refusal = _to_phi_error(problem)
        raise refusal  # outside of `except`, so that azure-core's exception is not its context


def make_fetcher(credential: Any, scopes: Sequence[str]) -> TokenFetcher:
    """Create a fetcher for a credential of azure-identity, or for a callable."""
    get = getattr(credential, "get_token", None)
    if get is None:
        is_async = inspect.iscoroutinefunction(credential)
        return TokenFetcher(lambda _: credential(), answers_claims=False, is_async=is_async)
    # azure-core 1.31 has a later protocol, with the options in one argument.
    get_info = getattr(credential, "get_token_info", None)

    def fetch(claims: str | None) -> Any:
        options = {} if claims is None else {"claims": claims, "enable_cae": True}
        if get_info is not None:
            return get_info(*scopes, options=options)
        return get(*scopes, **options)

    is_async = inspect.iscoroutinefunction(get if get_info is None else get_info)
    return TokenFetcher(fetch, answers_claims=True, is_async=is_async)


async def await_token(token: Awaitable[Any]) -> Any:
    """Await the token.

    Raises:
        AuthenticationError: Entra ID, or a server on the way to it, rejects the request.
        InvalidInputError: The environment names certificates that do not exist.
    """
    try:
        return await token
    except AzurePhi3Error:
        raise
    except Exception as problem:  # a user's credential may raise any exception
        refusal = _to_phi_error(problem)
    raise refusal


def parse_claims(challenges: Sequence[str]) -> str | None:
    """Return the claims that a `WWW-Authenticate` header requires, as JSON; `None` without any.

    (Microsoft identity platform, "Claims challenges, claims requests and client capabilities".)
    """
    found = _CLAIMS.search(", ".join(challenges))
    if found is None:
        return None
    text = found[1].replace("+", "-").replace("/", "_").rstrip("=")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def audience(token: str) -> str | None:
    """Return the unverified audience in a token; `None` if it cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    found = claims.get("aud") if isinstance(claims, dict) else None
    return found if isinstance(found, str) else None


def read_token(token: Any) -> tuple[str, float]:
    """Return a token as text, and when it expires: for plain text, which is not cached, at once.

    Raises:
        InvalidInputError: It is not a token.
    """
    text = token if isinstance(token, str) else getattr(token, "token", None)
    expires = 0.0 if isinstance(token, str) else getattr(token, "expires_on", None)
    if isinstance(text, str) and text.strip() and isinstance(expires, int | float):
        return text, float(expires)
    returned = (
        "an empty string" if isinstance(text, str) else f"an object of type {type(token).__name__}"
    )
    raise InvalidInputError(
        f"The credential returned {returned} instead of a token. A callable returns the token as "
        "text; get_token() returns an object with `token` and `expires_on`."
    )


def _to_phi_error(problem: Exception) -> AzurePhi3Error:
    """Return the error for azure-core's exception, without its request, which contains secrets."""
    # Imported when it can be raised: azure.core takes a tenth of a second.
    from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError

    if not isinstance(problem, AzureError):
        return AuthenticationError(
            f"The credential raised {type(problem).__name__}: {str(problem).rstrip('.')}. It "
            "returned no token, so nothing was sent to the model."
        )
    message = str(getattr(problem, "message", "") or type(problem).__name__).strip().rstrip(".")
    if "certificate" in message.lower():
        missing = find_missing_certificates(*_CERTIFICATES)
        if missing is not None:
            return missing
    unreached = ServiceRequestError, ServiceResponseError
    # MSAL's credentials report a failed connection as a failed authentication with a cause.
    if isinstance(problem, unreached) or isinstance(problem.__cause__, unreached):
        return ConnectionFailedError(f"Could not reach Entra ID for a token: {message}.")
    return AuthenticationError(
        f"Could not get an Entra ID token: {message}. Check the credential's tenant, client and "
        "secret, or that you are signed in; nothing was sent to the model."
    )
