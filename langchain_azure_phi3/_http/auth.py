"""Credentials on every request: keys as they are, Entra ID tokens while they are fresh."""

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from typing import Any, Protocol, runtime_checkable

import httpx

from langchain_azure_phi3._http.routes import Route
from langchain_azure_phi3.errors import InvalidInputError

# A token is replaced this long before it expires, so that none expires under way.
_EARLY = 300.0


@runtime_checkable
class TokenCredential(Protocol):
    """What azure-identity's credentials offer, sync or async (`azure.core.credentials`)."""

    def get_token(self, *scopes: str, **kwargs: Any) -> Any:
        """A token with `token` and `expires_on` (seconds since the epoch), or an awaitable."""
        ...


TokenProvider = Callable[[], str | Awaitable[str]]


def auth_for(
    credential: str | TokenCredential | TokenProvider | None,
    route: Route,
    scopes: Sequence[str] | None = None,
) -> httpx.Auth:
    """What signs the requests to one endpoint.

    Raises:
        InvalidInputError: The kind of endpoint takes no Entra ID tokens, and no scope was given.
    """
    if credential is None:
        return httpx.Auth()
    if isinstance(credential, str):
        return KeyAuth(credential)
    if callable(credential) and not isinstance(credential, TokenCredential):
        return TokenAuth(credential)
    scopes = list(scopes) if scopes else [route.kind.scope] if route.kind.scope else []
    if not scopes:
        raise InvalidInputError(
            f"A {route.kind.name} takes a key, not Entra ID tokens. "
            "If yours does, name the scope: credential_scopes=[...]."
        )
    return TokenAuth(credential, scopes)


class KeyAuth(httpx.Auth):
    """The key in both headers, as Azure's own SDK sends it.

    Serverless APIs, managed compute and GitHub read `Authorization`; Foundry and Azure OpenAI
    read `api-key`.
    """

    def __init__(self, key: str) -> None:
        self.secret = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign one request."""
        request.headers["authorization"] = f"Bearer {self.secret}"
        request.headers["api-key"] = self.secret
        yield request


class TokenAuth(httpx.Auth):
    """A bearer token, fetched when needed and kept until shortly before it expires."""

    def __init__(
        self, credential: TokenCredential | TokenProvider, scopes: Sequence[str] | None = None
    ) -> None:
        fetch: Any = getattr(credential, "get_token", credential)
        self._fetch: Callable[..., Any] = fetch
        self._scopes = tuple(scopes or ())
        self._lock = threading.Lock()
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._expires = 0.0
        self.secret: str | None = None

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign one request, on the sync path."""
        token = self._token()
        if inspect.isawaitable(token):
            if inspect.iscoroutine(token):
                token.close()
            raise InvalidInputError(
                "An async credential cannot sign on the sync path: use ainvoke and astream, "
                "or a sync credential, which works on both."
            )
        request.headers["authorization"] = f"Bearer {token}"
        yield request

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign one request without blocking the loop."""
        if (token := self._fresh()) is None:
            async with self._one_at_a_time():
                token = await self._token_in_loop()
        request.headers["authorization"] = f"Bearer {token}"
        yield request

    async def _token_in_loop(self) -> str:
        is_async = inspect.iscoroutinefunction(self._fetch)
        token = self._token() if is_async else await asyncio.to_thread(self._token)
        return token if isinstance(token, str) else self._kept(await token)

    def _one_at_a_time(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        turn = self._turn
        if turn is None or turn[0] is not loop:  # a lock cannot outlive its loop
            turn = self._turn = loop, asyncio.Lock()
        return turn[1]

    def _token(self) -> str | Awaitable[Any]:
        with self._lock:
            if (token := self._fresh()) is not None:
                return token
            given = self._fetch(*self._scopes)
            return given if inspect.isawaitable(given) else self._kept(given)

    def _fresh(self) -> str | None:
        return self.secret if time.time() < self._expires - _EARLY else None

    def _kept(self, given: Any) -> str:
        # A callable keeps its own tokens and gives a plain string: it is asked each time.
        token = str(given if isinstance(given, str) else given.token)
        self._expires = 0.0 if isinstance(given, str) else float(given.expires_on)
        self.secret = token
        return token
