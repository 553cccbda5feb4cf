"""Adds credentials to every request: keys, or Entra ID tokens, which it refreshes."""

import asyncio
import hashlib
import inspect
import itertools
import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

import httpx

from langchain_azure_phi3._http import entra
from langchain_azure_phi3._http.routes import Route
from langchain_azure_phi3.errors import InvalidInputError

# A token is replaced this many seconds before it expires, so that none expires during a request.
_EARLY = 300.0


@runtime_checkable
class TokenCredential(Protocol):
    """The interface of azure-identity's credentials, sync or async (`azure.core.credentials`)."""

    def get_token(self, *scopes: str, **kwargs: Any) -> Any:
        """Return a token with `token` and `expires_on` (epoch seconds), or an awaitable of one."""
        ...


TokenProvider = Callable[[], str | Awaitable[str]]


class Auth:
    """Signs requests, and describes the credential; this class adds none.

    Attributes:
        identity: Identifies the credential without revealing it.
    """

    identity = ""

    def sign(self, request: httpx.Request, claims: str | None = None) -> None:
        """Add the credential's headers; `claims` are required by a challenge."""

    async def sign_async(self, request: httpx.Request, claims: str | None = None) -> None:
        """Do the same without blocking the event loop."""
        self.sign(request, claims)

    def claims_challenge(self, response: httpx.Response) -> str | None:
        """Return the claims that a challenge requires, if a new token can be fetched with them."""
        return None

    def describe(self) -> str:
        """Describe the credential that was sent, for error messages, without secrets."""
        return "No credential was sent; pass one as credential=, or set AZURE_INFERENCE_CREDENTIAL."

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must not appear in errors."""
        return ()


def auth_for(
    credential: str | TokenCredential | TokenProvider | None,
    route: Route,
    scopes: Sequence[str] | None = None,
) -> Auth:
    """Return the `Auth` for the requests to one endpoint.

    Raises:
        InvalidInputError: The credential's type is unknown, or it may not be sent to this endpoint.
    """
    if credential is None:
        return Auth()
    if isinstance(credential, str):
        return KeyAuth(credential)
    if isinstance(credential, type):
        raise InvalidInputError(
            f"The credential is the class {credential.__name__}, not an instance of it. Create "
            f"one: credential={credential.__name__}(...)."
        )
    if isinstance(credential, TokenCredential):
        return TokenAuth(credential, _scopes(route, scopes))
    if callable(credential):
        return TokenAuth(credential)
    raise InvalidInputError(
        f"Unsupported credential type {type(credential).__name__}. Pass the key itself, a "
        "credential of azure-identity, or a callable that returns a token."
    )


def _scopes(route: Route, given: Sequence[str] | None) -> list[str]:
    if given:
        return list(given)
    if route.scope is not None:
        return [route.scope]
    if route.endpoint_type.scope is not None:
        raise InvalidInputError(
            f"{route.base} is not a known Azure host, so no Entra ID token is sent by default. To "
            "send one, pass its scope: credential_scopes=[...]."
        )
    raise InvalidInputError(
        f"The {route.endpoint_type.name} {route.base} accepts a key, not Entra ID tokens. "
        f"{route.endpoint_type.entra_unsupported_reason} If yours does, name the scope: "
        "credential_scopes=[...]."
    )


class KeyAuth(Auth):
    """The key in both headers, as Azure's own SDK sends it.

    Serverless APIs and managed compute read `Authorization`; Foundry and Azure OpenAI read
    `api-key`.
    """

    def __init__(self, key: str) -> None:
        key = _sendable(key)
        self._key = key
        self._signed = {"authorization": f"Bearer {key}", "api-key": key}
        self.identity = hashlib.sha256(key.encode()).hexdigest()[:16]

    def sign(self, request: httpx.Request, claims: str | None = None) -> None:
        """Add the key."""
        for name, value in self._signed.items():  # takes half the time of update()
            request.headers[name] = value

    def describe(self) -> str:
        """Name the headers that contain the key."""
        return f"A key was sent, in the header {' and in '.join(self._signed)}."

    @property
    def secrets(self) -> tuple[str, ...]:
        """The key."""
        return (self._key,)


_NUMBERS = itertools.count(1)


class _TokenCache:
    """The token of one credential for some scopes, and the locks for fetching it."""

    def __init__(self) -> None:
        self.identity = f"credential {next(_NUMBERS)}"
        self.lock = threading.Lock()
        self.token: str | None = None
        self.previous: str | None = None
        self._expires = 0.0
        self._loop_lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        _caches.add(self)

    def fresh(self, refused: str | None) -> str | None:
        """Return the token, unless it expires soon or is the one that was rejected."""
        fresh = self.token != refused and time.time() < self._expires - _EARLY
        return self.token if fresh else None

    def store(self, token: Any) -> str:
        """Store a credential's token; callables return plain strings and do their own caching."""
        text, self._expires = entra.read_token(token)
        text = _sendable(text)
        if text != self.token:
            self.token, self.previous = text, self.token
        return text

    def expire(self) -> None:
        """Fetch another token next time, even if this one has not expired."""
        self._expires = 0.0

    def refresh_lock(self) -> asyncio.Lock:
        """Return the lock of the running loop: a lock cannot outlive its loop."""
        loop = asyncio.get_running_loop()
        held = self._loop_lock
        if held is None or held[0] is not loop:
            held = self._loop_lock = loop, asyncio.Lock()
        return held[1]


# Caches by the credential's id and scopes, so that models with the same credential share its
# tokens. An entry is removed with its credential, which it does not keep alive.
_shared: dict[int, dict[tuple[str, ...], _TokenCache]] = {}
_caches: weakref.WeakSet[_TokenCache] = weakref.WeakSet()


def _cache_of(credential: Any, scopes: tuple[str, ...]) -> _TokenCache:
    key = id(credential)
    if key not in _shared:
        with suppress(TypeError):  # the object does not support weak references
            weakref.finalize(credential, _shared.pop, key, None).atexit = False
            _shared[key] = {}
    by_scopes = _shared.get(key, {})
    return by_scopes.get(scopes) or by_scopes.setdefault(scopes, _TokenCache())


def _reset_after_fork() -> None:
    """Replace the locks: a thread that holds one does not exist in the forked process."""
    for cache in list(_caches):
        cache.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


class TokenAuth(Auth):
    """Adds a bearer token, which is fetched when needed and cached until shortly before it expires.

    A token that is rejected with a challenge (continuous access evaluation: the session was
    revoked, or the network changed) is replaced once by one with the required claims.
    """

    def __init__(
        self, credential: TokenCredential | TokenProvider, scopes: Sequence[str] | None = None
    ) -> None:
        self._scopes = tuple(scopes or ())
        self._fetch = entra.make_fetcher(credential, self._scopes)
        self._cache = _cache_of(credential, self._scopes)
        self.identity = self._cache.identity

    def sign(self, request: httpx.Request, claims: str | None = None) -> None:
        """Add a token, fetched on this thread if there is no fresh one."""
        token = self._token(claims, _refused(request, claims))
        if inspect.isawaitable(token):
            if inspect.iscoroutine(token):
                token.close()
            raise InvalidInputError(
                "An async credential does not work with sync methods. Use ainvoke and astream, or "
                "a sync credential, which works with both."
            )
        request.headers["authorization"] = f"Bearer {token}"

    async def sign_async(self, request: httpx.Request, claims: str | None = None) -> None:
        """Add a token, fetched without blocking the loop."""
        token = await self._token_async(claims, _refused(request, claims))
        request.headers["authorization"] = f"Bearer {token}"

    def claims_challenge(self, response: httpx.Response) -> str | None:
        """Return the claims that a challenge requires; a rejected token is not used again."""
        if response.status_code != 401:
            return None
        if self._cache.token == _refused(response.request, ""):
            self._cache.expire()
        if not self._fetch.answers_claims:
            return None
        return entra.parse_claims(response.headers.get_list("www-authenticate"))

    def describe(self) -> str:
        """Name the audience of the token: the requested one, or the one in a callable's token."""
        audiences = [scope.removesuffix("/.default") for scope in self._scopes]
        found = audiences or [entra.audience(self._cache.token or "") or "that your callable chose"]
        return (
            f"A token for the audience {', '.join(found)} was sent, in the header authorization. "
            "Another audience: credential_scopes=['<audience>/.default']."
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The current token and the previous one, which a running request may have used."""
        held = (self._cache.token, self._cache.previous)
        return tuple(token for token in held if token is not None)

    def _token(self, claims: str | None, refused: str | None) -> str | Awaitable[Any]:
        cache = self._cache
        with cache.lock:
            if (token := cache.fresh(refused)) is not None:
                return token
            fetched = self._fetch(claims)
            return fetched if inspect.isawaitable(fetched) else cache.store(fetched)

    async def _token_async(self, claims: str | None, refused: str | None) -> str:
        cache = self._cache
        if (token := cache.fresh(refused)) is not None:
            return token
        async with cache.refresh_lock():
            if self._fetch.is_async:
                fetched = self._token(claims, refused)
            else:
                fetched = await asyncio.to_thread(self._token, claims, refused)
            if isinstance(fetched, str):
                return fetched
            return cache.store(await entra.await_token(fetched))


def _refused(request: httpx.Request, claims: str | None) -> str | None:
    """Return the token that a request was signed with, if a challenge rejected it."""
    if claims is None:
        return None
    return str(request.headers.get("authorization", "")).removeprefix("Bearer ")


def _sendable(secret: str) -> str:
    """Strip a secret, and check that a header can contain it."""
    secret = secret.strip()
    if not (secret.isascii() and secret.isprintable()):
        raise InvalidInputError(
            "The credential contains a line break or a character that is not ASCII, which an HTTP "
            "header cannot carry. Copy it again, without the text around it."
        )
    return secret
