"""Keys and tokens on every request, sync and async."""

import asyncio
import functools
import gc
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken

from langchain_azure_phi3 import AuthenticationError, InvalidInputError
from langchain_azure_phi3._http import auth as auth_module
from langchain_azure_phi3._http.auth import Auth, KeyAuth, TokenAuth, auth_for
from langchain_azure_phi3._http.routes import route_for

SERVERLESS = route_for("https://phi.eastus2.models.ai.azure.com")
MANAGED = route_for("https://phi.eastus2.inference.ml.azure.com")
FOUNDRY = route_for("https://res.services.ai.azure.com")
ML = "https://ml.azure.com/.default"
COGNITIVE = "https://cognitiveservices.azure.com/.default"


class Credential:
    """What azure-identity's sync credentials are to a client."""

    def __init__(self, lifetime: float = 3600, seconds: float = 0.0) -> None:
        self.requested: list[tuple[str, ...]] = []
        self._lifetime = lifetime
        self._seconds = seconds

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """A new token each time."""
        time.sleep(self._seconds)
        self.requested.append(scopes)
        return AccessToken(f"token-{len(self.requested)}", int(time.time() + self._lifetime))


class AsyncCredential(Credential):
    """And the async ones."""

    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:  # type: ignore[override]
        """A new token each time."""
        await asyncio.sleep(self._seconds)
        self.requested.append(scopes)
        return AccessToken(f"token-{len(self.requested)}", int(time.time() + self._lifetime))


class CallableObject:
    """A provider that is an object."""

    async def __call__(self) -> str:
        """A token."""
        return "mine"


async def coroutine_provider() -> str:
    """A provider of azure.identity.aio."""
    return "mine"


def request() -> httpx.Request:
    """Any request."""
    return httpx.Request("POST", "https://phi.invalid/chat/completions")


def signed(auth: Auth) -> httpx.Headers:
    """The headers of a request that was signed on the sync path."""
    signed = request()
    auth.sign(signed)
    return signed.headers


async def signed_async(auth: Auth) -> httpx.Headers:
    """The same on the async path."""
    signed = request()
    await auth.sign_async(signed)
    return signed.headers


# -- keys --


async def test_a_key_is_sent_in_both_headers() -> None:
    """Serverless reads the one, Foundry the other; Azure's own SDK sends both."""
    auth = auth_for("k" * 32, SERVERLESS)
    assert isinstance(auth, KeyAuth)
    for headers in (signed(auth), await signed_async(auth)):
        assert headers["authorization"] == f"Bearer {'k' * 32}"
        assert headers["api-key"] == "k" * 32


async def test_no_credential_is_no_header() -> None:
    """Servers on this machine may need none."""
    auth = auth_for(None, route_for("http://localhost:8000"))
    for headers in (signed(auth), await signed_async(auth)):
        assert "authorization" not in headers
        assert "api-key" not in headers


async def test_an_unsendable_key_is_refused_and_not_shown() -> None:
    """Whatever it comes from; httpx would quote it in its error."""
    for key in ["two\nlines", "two\r\nlines", "schlüssel", "a\u2028b", "\x00"]:
        with pytest.raises(InvalidInputError, match="Copy it again") as caught:
            auth_for(key, SERVERLESS)
        assert key not in str(caught.value)
        with pytest.raises(InvalidInputError, match="Copy it again"):
            signed(auth_for(functools.partial(str, key), SERVERLESS))


async def test_white_space_around_a_token_is_dropped() -> None:
    """Files end with a line feed."""
    auth = auth_for(lambda: " token\n", SERVERLESS)
    assert signed(auth)["authorization"] == "Bearer token"
    assert (await signed_async(auth))["authorization"] == "Bearer token"


# -- scopes --


async def test_the_scope_follows_the_host_unless_given() -> None:
    """The wrong audience is the usual mistake with Entra ID."""
    for route, given, requested in [
        (MANAGED, None, (ML,)),
        (FOUNDRY, None, (COGNITIVE,)),
        (route_for("https://res.openai.azure.com/openai/v1"), None, (COGNITIVE,)),
        (FOUNDRY, ["https://ai.azure.com/.default"], ("https://ai.azure.com/.default",)),
        (SERVERLESS, ["a", "b"], ("a", "b")),
        (MANAGED, [], (ML,)),
    ]:
        sync, asynchronous = Credential(), AsyncCredential()
        signed(auth_for(sync, route, given))
        await signed_async(auth_for(asynchronous, route, given))
        assert sync.requested == asynchronous.requested == [requested]


def test_entra_id_needs_scopes_where_keys_are_expected() -> None:
    """Azure's how-to of 2024-07-23: serverless endpoints do not support Entra ID."""
    for endpoint in ["https://phi.eastus2.models.ai.azure.com", "localhost"]:
        with pytest.raises(
            InvalidInputError, match=r"name the scope: credential_scopes=\[\.\.\.\]"
        ):
            auth_for(Credential(), route_for(endpoint))


# -- tokens --


async def test_a_fresh_token_is_fetched_once() -> None:
    """On either path; both use one cache."""
    credential = Credential()
    auth = auth_for(credential, MANAGED)
    found = [signed(auth), signed(auth), await signed_async(auth), await signed_async(auth)]
    assert [headers["authorization"] for headers in found] == ["Bearer token-1"] * 4
    assert "api-key" not in found[0]
    assert len(credential.requested) == 1


async def test_a_token_is_replaced_before_it_expires() -> None:
    """So that none expires under way."""
    for lifetime, fetches in [(299, 3), (-10, 3), (302, 1)]:
        sync, asynchronous = Credential(lifetime), AsyncCredential(lifetime)
        auth, async_auth = auth_for(sync, MANAGED), auth_for(asynchronous, MANAGED)
        for _ in range(3):
            signed(auth)
            await signed_async(async_auth)
        assert len(sync.requested) == len(asynchronous.requested) == fetches


def test_many_threads_wait_for_one_fetch() -> None:
    """A batch must not ask for a hundred tokens."""
    credential = Credential(seconds=0.05)
    auth = auth_for(credential, MANAGED)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(signed(auth)["authorization"]))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["Bearer token-1"] * 20
    assert len(credential.requested) == 1


async def test_many_tasks_wait_for_one_fetch() -> None:
    """The same on the async path, for both sorts of credentials."""
    for credential_type in [Credential, AsyncCredential]:
        credential = credential_type(seconds=0.05)
        auth = auth_for(credential, MANAGED)
        found = await asyncio.gather(*(signed_async(auth) for _ in range(20)))
        assert {headers["authorization"] for headers in found} == {"Bearer token-1"}
        assert len(credential.requested) == 1


async def test_a_sync_credential_does_not_block_the_loop() -> None:
    """DefaultAzureCredential may start a process; meanwhile other tasks go on."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    await signed_async(auth_for(Credential(seconds=0.3), MANAGED))
    ticking.cancel()
    assert ticks >= 10


def test_async_credentials_are_refused_on_the_sync_path() -> None:
    """It cannot be awaited there."""
    with pytest.raises(InvalidInputError, match="Use ainvoke and astream, or a sync credential"):
        signed(auth_for(AsyncCredential(), MANAGED))


async def test_a_failed_fetch_is_raised_and_not_kept() -> None:
    """As an error of this package; nothing of it is cached, no lock is kept."""

    class Failing(Credential):
        def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
            token = super().get_token(*scopes)
            if len(self.requested) < 3:
                raise RuntimeError("not signed in")
            return token

    auth = auth_for(Failing(), MANAGED)
    with pytest.raises(AuthenticationError, match="raised RuntimeError: not signed in"):
        signed(auth)
    with pytest.raises(AuthenticationError, match="raised RuntimeError: not signed in"):
        await signed_async(auth)
    assert signed(auth)["authorization"] == "Bearer token-3"


# -- callables --


async def test_a_callable_is_called_each_time() -> None:
    """It keeps its own tokens, as azure-identity's get_bearer_token_provider does."""
    tokens = iter("abcd")
    auth = auth_for(lambda: next(tokens), SERVERLESS)
    assert isinstance(auth, TokenAuth)
    found = [signed(auth), signed(auth), await signed_async(auth), await signed_async(auth)]
    assert [headers["authorization"] for headers in found] == [f"Bearer {t}" for t in "abcd"]


ASYNC_CALLABLES: dict[str, Callable[[], Awaitable[str]]] = {
    "function": coroutine_provider,
    "object": CallableObject(),
    "partial": functools.partial(coroutine_provider),
    "lambda": lambda: coroutine_provider(),
}


async def test_an_async_callable_is_awaited() -> None:
    """However it is written."""
    for given in ASYNC_CALLABLES.values():
        assert (await signed_async(auth_for(given, SERVERLESS)))["authorization"] == "Bearer mine"


class _Token:
    """Something like a token."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


async def test_what_is_no_token_is_an_input_error() -> None:
    """From a callable and from `get_token`, on both paths; never an `AttributeError`."""
    for value in (None, b"key", 5, "", " ", [], _Token(), _Token(token="t"), _Token(token=b"t")):
        for auth in (
            TokenAuth(lambda value=value: value),
            TokenAuth(_Token(get_token=lambda *_, value=value, **__: value), ["s"]),
        ):
            request = httpx.Request("POST", "https://phi.example")
            with pytest.raises(InvalidInputError, match=r"instead of a token\. A callable"):
                auth.sign(request)
            with pytest.raises(InvalidInputError, match=r"instead of a token\. A callable"):
                await auth.sign_async(request)


async def test_what_credentials_raise_is_an_authentication_error() -> None:
    """Mistakes in a user's callable, and what its libraries raise."""

    def fail() -> str:
        raise OSError("vault is sealed.")

    async def fail_async() -> str:
        return fail()

    message = r"The credential raised OSError: vault is sealed\. It returned no token"
    request = httpx.Request("POST", "https://phi.example")
    with pytest.raises(AuthenticationError, match=message):
        TokenAuth(fail).sign(request)
    for given in (fail, fail_async):
        with pytest.raises(AuthenticationError, match=message):
            await TokenAuth(given).sign_async(request)


def test_async_callables_are_refused_on_the_sync_path() -> None:
    """And leaves no coroutine that was never awaited."""
    for given in ASYNC_CALLABLES.values():
        with pytest.raises(InvalidInputError, match="Use ainvoke and astream"):
            signed(auth_for(given, SERVERLESS))


# -- sharing --


async def test_models_share_the_tokens_of_a_credential() -> None:
    """By scopes, on both paths, for as long as the credential lives."""
    credential = Credential()
    first, second = auth_for(credential, MANAGED), auth_for(credential, MANAGED)
    other = auth_for(credential, FOUNDRY)
    for auth in (first, second, first, second):
        assert signed(auth)["authorization"] == "Bearer token-1"
        assert (await signed_async(auth))["authorization"] == "Bearer token-1"
    assert signed(other)["authorization"] == "Bearer token-2"
    assert [(ML,), (COGNITIVE,)] == credential.requested

    del first, second, other, auth
    assert signed(auth_for(credential, MANAGED))["authorization"] == "Bearer token-1"
    known = id(credential)
    assert known in auth_module._shared
    del credential
    gc.collect()
    assert known not in auth_module._shared


def test_credentials_without_weak_references_work() -> None:
    """Their tokens are not shared."""

    class Slotted:
        __slots__ = ("fetched",)

        def get_token(self, *_: str, **__: Any) -> AccessToken:
            self.fetched += 1
            return AccessToken(f"token-{self.fetched}", int(time.time() + 3600))

    credential = Slotted()
    credential.fetched = 0
    auth = auth_for(credential, MANAGED)
    assert ["Bearer token-1"] * 2 == [signed(auth)["authorization"] for _ in range(2)]
    assert signed(auth_for(credential, MANAGED))["authorization"] == "Bearer token-2"


def test_identities_tell_credentials_apart() -> None:
    """Without holding them."""
    credential = Credential()
    found = [
        auth_for(None, SERVERLESS),
        auth_for("a-key", SERVERLESS),
        auth_for("another-key", SERVERLESS),
        auth_for(credential, MANAGED),
        auth_for(credential, FOUNDRY),
        auth_for(Credential(), MANAGED),
    ]
    identities = [auth.identity for auth in found]
    assert 6 == len(set(identities))
    assert not any("key" in identity for identity in identities)
    assert auth_for("a-key", SERVERLESS).identity == identities[1]
    assert auth_for(credential, MANAGED).identity == identities[3]


def test_a_fork_during_a_fetch_leaves_no_lock() -> None:
    """The thread that holds it does not exist in the child."""
    credential = Credential()
    auth = auth_for(credential, MANAGED)
    assert isinstance(auth, TokenAuth)
    held = auth._cache.lock
    with held:
        auth_module._reset_after_fork()
        assert signed(auth)["authorization"] == "Bearer token-1"


def test_a_credentials_class_is_no_credential() -> None:
    """It has the methods of its instances, which fail when they are called."""

    class Lonely:
        """Neither a token nor a callable's result."""

    for credential in [Credential, AsyncCredential, Lonely]:
        with pytest.raises(InvalidInputError, match=f"class {credential.__name__}, not an inst"):
            auth_for(credential, SERVERLESS)
