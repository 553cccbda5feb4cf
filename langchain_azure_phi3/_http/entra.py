"""Entra ID tokens from whatever gives them: asked for, awaited, and their refusals named."""

import base64
import binascii
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain_azure_phi3.errors import (
    AuthenticationError,
    AzurePhi3Error,
    ConnectionFailedError,
)

_CLAIMS = re.compile(r"""\bclaims="([A-Za-z0-9+/_=-]+)\"""")


class Fetch:
    """Asks for a token: called with the claims that it must have, or `None`.

    Attributes:
        is_async: Whether the answer is always to be awaited.
        answers_claims: Whether claims can be asked for at all.
    """

    def __init__(self, ask: Callable[..., Any], *, answers_claims: bool, is_async: bool) -> None:
        self._ask = ask
        self.answers_claims = answers_claims
        self.is_async = is_async

    def __call__(self, claims: str | None) -> Any:
        """A token, or an awaitable of one.

        Raises:
            AuthenticationError: Entra ID, or the way to it, refuses.
        """
        azure = _azure_error()
        try:
            return self._ask(claims)
        except azure as problem:
            refusal = _named(problem)
        raise refusal  # here, where azure-core's exception is no longer its context


def fetcher(credential: Any, scopes: Sequence[str]) -> Fetch:
    """How to ask a credential of azure-identity, or a callable, for tokens."""
    get = getattr(credential, "get_token", None)
    if get is None:
        is_async = inspect.iscoroutinefunction(credential)
        return Fetch(lambda _: credential(), answers_claims=False, is_async=is_async)
    # azure-core 1.31 has a later protocol, with the demands in one argument.
    get_info = getattr(credential, "get_token_info", None)

    def ask(claims: str | None) -> Any:
        demands = {} if claims is None else {"claims": claims, "enable_cae": True}
        if get_info is not None:
            return get_info(*scopes, options=demands)
        return get(*scopes, **demands)

    is_async = inspect.iscoroutinefunction(get if get_info is None else get_info)
    return Fetch(ask, answers_claims=True, is_async=is_async)


async def awaited(given: Awaitable[Any]) -> Any:
    """The token that `given` will be.

    Raises:
        AuthenticationError: Entra ID, or the way to it, refuses.
    """
    azure = _azure_error()
    try:
        return await given
    except azure as problem:
        refusal = _named(problem)
    raise refusal


def claims_in(challenges: Sequence[str]) -> str | None:
    """The claims that a `WWW-Authenticate` header demands, as JSON; `None` where it demands none.

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
    """The audience that a token names, unverified; `None` where it cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        said = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    found = said.get("aud") if isinstance(said, dict) else None
    return found if isinstance(found, str) else None


def _azure_error() -> type[Exception]:
    # Imported when it can be raised: azure.core takes a tenth of a second.
    from azure.core.exceptions import AzureError

    return AzureError


def _named(problem: Exception) -> AzurePhi3Error:
    """What azure-core's exception says, without the request that it holds: secrets are there."""
    from azure.core.exceptions import ServiceRequestError, ServiceResponseError

    said = " ".join(str(getattr(problem, "message", "") or type(problem).__name__).split())
    said = said.rstrip(".")
    unreached = ServiceRequestError, ServiceResponseError
    # MSAL's credentials call a failed connection a failed authentication, and keep its cause.
    if isinstance(problem, unreached) or isinstance(problem.__cause__, unreached):
        return ConnectionFailedError(f"Entra ID was not reached, so there is no token: {said}.")
    return AuthenticationError(
        f"No token could be had from Entra ID: {said}. Check the credential's tenant, client and "
        "secret, or that you are signed in; nothing was sent to the model."
    )
