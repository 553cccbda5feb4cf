"""Credentials on every request: keys as they are, Entra ID tokens while they are fresh."""

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from typing import Any, Protocol, runtime_checkable

import httpx

from langchain_azure_phi3._http import entra
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


class Auth(httpx.Auth):
    """Signs requests, and says with what; this one signs nothing."""

    @property
    def sent(self) -> str:
        """What was sent to identify the caller, for the message of a refusal; no secret."""
        return "No credential was sent."

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no error may show."""
        return ()


def auth_for(
    credential: str | TokenCredential | TokenProvider | None,
    route: Route,
    scopes: Sequence[str] | None = None,
) -> Auth:
    """What signs the requests to one endpoint.

    Raises:
        InvalidInputError: The credential is none, or may not be sent to this endpoint.
    """
    if credential is None:
        return Auth()
    if isinstance(credential, str):
        return KeyAuth(credential, route.endpoint_type.key_headers)
    if isinstance(credential, TokenCredential):
        return TokenAuth(credential, _scopes(route, scopes))
    if callable(credential):
        return TokenAuth(credential)
    raise InvalidInputError(
        f"A {type(credential).__name__} is no credential that is known here. Pass the key itself, "
        "a credential of azure-identity, or a callable that gives a token."
    )


def _scopes(route: Route, given: Sequence[str] | None) -> list[str]:
    if given:
        return list(given)
    if route.scope is not None:
        return [route.scope]
    if route.endpoint_type.scope is not None:
        raise InvalidInputError(
            f"{route.base} is no host of Azure's that is known here, so no Entra ID token is sent "
            "to it unasked. If it may have one, name the scope: credential_scopes=[...]."
        )
    raise InvalidInputError(
        f"The {route.endpoint_type.name} {route.base} takes a key, not Entra ID tokens. "
        f"{route.endpoint_type.entra_unsupported_reason} If yours does, name the scope: credential_scopes=[...]."
    )


class KeyAuth(Auth):
    """The key in both headers, as Azure's own SDK sends it.

    Serverless APIs, managed compute and GitHub read `Authorization`; Foundry and Azure OpenAI
    read `api-key`.
    """

    def __init__(self, key: str, headers: Sequence[str] = ("authorization", "api-key")) -> None:
        key = _sendable(key)
        self._key = key
        self._signed = {
            name: f"Bearer {key}" if name == "authorization" else key for name in headers
        }

    @property
    def sent(self) -> str:
        """The headers by name."""
        return f"A key was sent, in the header {' and in '.join(self._signed)}."

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key."""
        return (self._key,)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign one request."""
        for name, value in self._signed.items():  # half the work of update()
            request.headers[name] = value
        yield request


class TokenAuth(Auth):
    """A bearer token, fetched when needed and kept until shortly before it expires.

    A token that is refused with a challenge (continuous access evaluation: the session was
    revoked, or the network changed) is replaced once by one that answers it.
    """

    def __init__(
        self, credential: TokenCredential | TokenProvider, scopes: Sequence[str] | None = None
    ) -> None:
        self._fetch = entra.fetcher(credential, tuple(scopes or ()))
        self._scopes = tuple(scopes or ())
        self._lock = threading.Lock()
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._expires = 0.0
        self._held: str | None = None
        self._earlier: str | None = None

    @property
    def sent(self) -> str:
        """The audience that was asked for; of a callable's token, the one that it names."""
        audiences = [scope.removesuffix("/.default") for scope in self._scopes]
        found = audiences or [entra.audience(self._held or "") or "that your callable chose"]
        return (
            f"A token for the audience {', '.join(found)} was sent, in the header authorization. "
            "Another audience: credential_scopes=['<audience>/.default']."
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The token, and the one before it: a request under way may have been signed with that."""
        return tuple(token for token in (self._held, self._earlier) if token is not None)

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign one request, on the sync path."""
        token = self._on_this_thread()
        response = yield _signed(request, token)
        if (claims := self._demanded(response, token)) is not None:
            yield _signed(request, self._on_this_thread(claims, refused=token))

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign one request without blocking the loop."""
        token = await self._in_the_loop()
        response = yield _signed(request, token)
        if (claims := self._demanded(response, token)) is not None:
            yield _signed(request, await self._in_the_loop(claims, refused=token))

    def _demanded(self, response: httpx.Response, token: str) -> str | None:
        """The claims that a refusal demands of the next token, if any can have them."""
        if response.status_code != 401:
            return None
        if self._held == token:
            self._expires = 0.0  # whatever its date says
        if not self._fetch.answers_claims:
            return None
        return entra.claims_in(response.headers.get_list("www-authenticate"))

    def _on_this_thread(self, claims: str | None = None, *, refused: str | None = None) -> str:
        token = self._token(claims, refused)
        if inspect.isawaitable(token):
            if inspect.iscoroutine(token):
                token.close()
            raise InvalidInputError(
                "An async credential cannot sign on the sync path: use ainvoke and astream, "
                "or a sync credential, which works on both."
            )
        return str(token)

    async def _in_the_loop(self, claims: str | None = None, *, refused: str | None = None) -> str:
        if (token := self._fresh(refused)) is not None:
            return token
        async with self._one_at_a_time():
            if self._fetch.is_async:
                given = self._token(claims, refused)
            else:
                given = await asyncio.to_thread(self._token, claims, refused)
            if isinstance(given, str):
                return given
            return self._kept(await entra.awaited(given))

    def _one_at_a_time(self) -> asyncio.Lock:
        loop = asyncio.get_running_loop()
        turn = self._turn
        if turn is None or turn[0] is not loop:  # a lock cannot outlive its loop
            turn = self._turn = loop, asyncio.Lock()
        return turn[1]

    def _token(self, claims: str | None, refused: str | None) -> str | Awaitable[Any]:
        with self._lock:
            if (token := self._fresh(refused)) is not None:
                return token
            given = self._fetch(claims)
            return given if inspect.isawaitable(given) else self._kept(given)

    def _fresh(self, refused: str | None) -> str | None:
        fresh = self._held != refused and time.time() < self._expires - _EARLY
        return self._held if fresh else None

    def _kept(self, given: Any) -> str:
        # A callable keeps its own tokens and gives a plain string: it is asked each time.
        token = _sendable(str(given if isinstance(given, str) else given.token))
        self._expires = 0.0 if isinstance(given, str) else float(given.expires_on)
        if token != self._held:
            self._held, self._earlier = token, self._held
        return token


def _signed(request: httpx.Request, token: str) -> httpx.Request:
    request.headers["authorization"] = f"Bearer {token}"
    return request


def _sendable(secret: str) -> str:
    """The secret without white space around it, as a header can carry it."""
    secret = secret.strip()
    if not (secret.isascii() and secret.isprintable()):
        raise InvalidInputError(
            "The credential holds a line break or a character beyond ASCII, which no HTTP header "
            "can carry. Copy it again, whole and alone."
        )
    return secret
