"""Entra ID through azure-identity's own classes, with a token endpoint on this machine."""

import asyncio
import base64
import copy
import json
import pickle
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import AsyncioRequestsTransport
from azure.identity import (
    ChainedTokenCredential,
    ClientSecretCredential,
    CredentialUnavailableError,
    get_bearer_token_provider,
)
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential

from langchain_azure_phi3 import (
    AuthenticationError,
    ChatAzurePhi3,
    ConnectionFailedError,
    InvalidInputError,
    PermissionDeniedError,
)
from langchain_azure_phi3.emulator import Emulator
from tests.certificates import certified
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.integration_tests.entra import SECRET, TENANT, Entra, serving
from tests.raw_server import serving as serving_bytes

MANAGED = "https://phi.eastus2.inference.ml.azure.com/score"
FOUNDRY = "https://res.services.ai.azure.com"
SERVERLESS = "https://phi.eastus2.models.ai.azure.com"
OLDER = "https://phi.eastus2.inference.ai.azure.com"
ML = "https://ml.azure.com/.default"
COGNITIVE = "https://cognitiveservices.azure.com/.default"
CLIENT = "99999999-8888-7777-6666-555555555555"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate that the token endpoint shows, and that the clients trust."""
    return certified(tmp_path_factory.mktemp("entra") / "both.pem")


@pytest.fixture
def entra(pem: Path) -> Iterator[Entra]:
    """The token endpoint."""
    with serving(pem) as found:
        yield found


def settings(entra: Entra, pem: Path) -> dict[str, Any]:
    """What points azure-identity at it."""
    return {
        "authority": entra.authority,
        "disable_instance_discovery": True,
        "connection_verify": str(pem),
        "retry_total": 0,
    }


@contextmanager
def signed_out(entra: Entra, pem: Path) -> Iterator[ClientSecretCredential]:
    """A credential without any token yet."""
    entra.token_requests.clear()
    with ClientSecretCredential(TENANT, CLIENT, SECRET, **settings(entra, pem)) as found:
        yield found


@pytest.fixture
def credential(entra: Entra, pem: Path) -> Iterator[ClientSecretCredential]:
    """The sync class."""
    with signed_out(entra, pem) as found:
        yield found


@pytest.fixture
async def async_credential(entra: Entra, pem: Path) -> AsyncIterator[AsyncClientSecretCredential]:
    """The async class, on the transport that needs no further package."""
    transport = AsyncioRequestsTransport(connection_verify=str(pem))
    async with AsyncClientSecretCredential(
        TENANT, CLIENT, SECRET, transport=transport, **settings(entra, pem)
    ) as found:
        yield found


def placed(phi: Emulator, endpoint: str, credential: Any, **given: Any) -> ChatAzurePhi3:
    """A model at a real place's address, behind which the emulator stands."""
    return ChatAzurePhi3(
        endpoint=endpoint,
        credential=credential,
        http_client=httpx.Client(transport=phi.transport()),
        http_async_client=httpx.AsyncClient(transport=phi.transport()),
        **{"max_retries": 0, **given},
    )


def emulated(entra: Entra, dialect: str = "managed-2024-06") -> Emulator:
    """A deployment that accepts the token that Entra ID gives."""
    return Emulator(server_type=dialect, key=entra.token)


async def test_sync_credentials_sign_on_both_paths(
    entra: Entra, credential: ClientSecretCredential
) -> None:
    """Once for two questions, with the scope of the place."""
    for mode in CALL_MODES:
        phi = emulated(entra)
        model = placed(phi, MANAGED, credential)

        assert (await call_model(model, mode, "Hi")).text
        assert (await call_model(model, mode, "Hi")).text

        assert [ML] == entra.scopes
        assert {"Bearer a-token-of-entra-id"} == {r.headers["authorization"] for r in phi.requests}
        assert all("api-key" not in request.headers for request in phi.requests)


async def test_an_async_credential_signs_on_the_async_path(
    entra: Entra, async_credential: AsyncClientSecretCredential
) -> None:
    """The same, awaited."""
    for mode in ["ainvoke", "astream"]:
        model = placed(emulated(entra), MANAGED, async_credential)

        assert (await call_model(model, mode, "Hi")).text
        assert [ML] == entra.scopes


async def test_async_credentials_are_refused_in_threads(
    entra: Entra, async_credential: AsyncClientSecretCredential
) -> None:
    """It says what to use instead."""
    for mode in ["invoke", "stream"]:
        model = placed(emulated(entra), MANAGED, async_credential)

        with pytest.raises(
            InvalidInputError, match="Use ainvoke and astream, or a sync credential"
        ):
            await call_model(model, mode, "Hi")


async def test_many_calls_wait_for_one_token(
    entra: Entra, async_credential: AsyncClientSecretCredential, credential: ClientSecretCredential
) -> None:
    """On either path."""
    phi = emulated(entra)
    awaited, waited = placed(phi, MANAGED, async_credential), placed(phi, MANAGED, credential)

    await awaited.abatch(["Hi"] * 12)
    await asyncio.to_thread(waited.batch, ["Hi"] * 12)

    assert [ML, ML] == entra.scopes


def test_the_scope_follows_the_host(entra: Entra, pem: Path) -> None:
    """The wrong audience is the usual mistake."""
    for endpoint, given, dialect, scope in [
        (FOUNDRY, {"model": "Phi-3-mini-4k-instruct"}, "foundry", COGNITIVE),
        (f"{FOUNDRY}/openai/v1", {"model": "Phi-3-mini-4k-instruct"}, "openai-v1", COGNITIVE),
        (
            "https://res.openai.azure.com",
            {"model": "Phi-3-mini-4k-instruct"},
            "openai-v1",
            COGNITIVE,
        ),
        (OLDER, {"api": "managed"}, "managed-2024-06", ML),
        (SERVERLESS, {"credential_scopes": [ML]}, "serverless", ML),
        (
            "https://gateway.example.com/phi",
            {"credential_scopes": ["api://gateway/.default"]},
            "serverless",
            "api://gateway/.default",
        ),
    ]:
        with signed_out(entra, pem) as credential:
            phi = emulated(entra, dialect)
            if "gateway" in endpoint:
                endpoint = endpoint.removesuffix("/phi")

            placed(phi, endpoint, credential, **given).invoke("Hi")

            assert [scope] == entra.scopes


def test_a_bearer_token_provider_is_a_callable(
    entra: Entra, credential: ClientSecretCredential
) -> None:
    """azure-identity's own; it knows its scope."""
    provider = get_bearer_token_provider(credential, COGNITIVE)
    phi = emulated(entra, "serverless")

    placed(phi, SERVERLESS, provider).invoke("Hi")

    assert [COGNITIVE] == entra.scopes


# -- what is not sent where ----------------------------------------------------------------------


def test_tokens_are_not_sent_to_unknown_hosts(
    entra: Entra, credential: ClientSecretCredential
) -> None:
    """Refused when the model is made: no token was asked for, nothing was sent."""
    for endpoint, given, match in [
        (SERVERLESS, {}, "how-to of 2024-07-23 says: .* do not support Entra ID, only keys"),
        (OLDER, {}, "If this is managed compute, set api='managed'"),
        ("https://gateway.example.com/openai/v1", {}, "is not a known Azure host"),
        ("https://gateway.example.com/models", {}, "is not a known Azure host"),
        ("https://gateway.example.com", {"api": "managed"}, "is not a known Azure host"),
        (
            "https://x.inference.ml.azure.com.evil.example",
            {"api": "managed"},
            "is not a known Azure host",
        ),
        ("https://gateway.example.com/v1", {}, "accepts a key, not Entra ID tokens"),
    ]:
        with pytest.raises(InvalidInputError, match=match) as caught:
            ChatAzurePhi3(endpoint=endpoint, credential=credential, **given)
        assert "credential_scopes=[...]" in str(caught.value)
        assert entra.token_requests == []


def test_tokens_do_not_follow_a_changed_host(
    entra: Entra, credential: ClientSecretCredential
) -> None:
    """Neither in a copy nor by assignment: those are checked like the constructor's arguments."""
    phi = emulated(entra)
    model = placed(phi, MANAGED, credential)
    keyed = placed(phi, "https://gateway.example.com/openai/v1", "a-key", model="Phi-4")
    changes = (
        (model, {"endpoint": "https://gateway.example.com/openai/v1"}),
        (model, {"endpoint": "https://x.inference.ml.azure.com.evil.example"}),
        (keyed, {"credential": credential}),
    )
    for changed, update in changes:
        with pytest.raises(InvalidInputError, match=r"credential_scopes=\[\.\.\.\]"):
            changed.model_copy(update=update)
        for name, value in update.items():
            with pytest.raises(InvalidInputError, match=r"credential_scopes=\[\.\.\.\]"):
                setattr(changed, name, value)
    assert entra.token_requests == phi.requests == []
    assert model.endpoint == MANAGED


def test_this_machine_may_have_tokens(entra: Entra, credential: ClientSecretCredential) -> None:
    """Where a path says which kind of token."""
    with Emulator("Phi-4", server_type="openai-v1", key=entra.token) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=credential, model="Phi-4")
        assert model.invoke("Hi").text
    assert [COGNITIVE] == entra.scopes


def test_unsupported_credentials_are_refused_at_once() -> None:
    """By the name of its type."""
    with pytest.raises(InvalidInputError, match="Unsupported credential type dict"):
        ChatAzurePhi3(endpoint=MANAGED, credential={"key": "secret"})


# -- refusals ------------------------------------------------------------------------------------


def everything_in(failure: BaseException) -> str:
    """All that a log, a trace or a pickle could show of an exception, and of those behind it."""
    shown, seen = [], failure
    while seen is not None:
        shown += [str(seen), repr(seen), repr(vars(seen)), repr(pickle.dumps(seen))]
        seen = seen.__cause__ or seen.__context__  # type: ignore[assignment]
    return "".join(shown) + "".join(traceback.format_exception(failure))


async def test_a_refused_sign_in_is_an_authentication_error(entra: Entra, pem: Path) -> None:
    """With Entra ID's reason and without the secret, which azure-core's exception holds."""
    for mode in CALL_MODES:
        with signed_out(entra, pem) as credential:
            entra.refusal = {
                "error": "invalid_client",
                "error_description": "AADSTS7000215: Invalid client secret provided.",
            }
            phi = emulated(entra)
            model = placed(phi, MANAGED, credential)

            with pytest.raises(AuthenticationError, match="AADSTS7000215") as caught:
                await call_model(model, mode, "Hi")

            assert caught.value.__context__ is None
            assert caught.value.__cause__ is None
            assert SECRET not in everything_in(caught.value)
            assert not caught.value.is_retryable
            assert phi.requests == []
            entra.refusal = None
            assert (await call_model(model, mode, "Hi")).text


async def test_a_refused_async_sign_in_too(
    entra: Entra, async_credential: AsyncClientSecretCredential
) -> None:
    """The same, awaited."""
    entra.refusal = {"error": "invalid_client", "error_description": "AADSTS700016: Not found."}

    with pytest.raises(AuthenticationError, match="AADSTS700016") as caught:
        await placed(emulated(entra), MANAGED, async_credential).ainvoke("Hi")

    assert SECRET not in everything_in(caught.value)
    assert caught.value.__context__ is None


def test_an_unreachable_sign_in_is_a_failed_connection(pem: Path) -> None:
    """It may pass, and is retried like any other."""
    with serving(pem) as gone:
        options = settings(gone, pem)
    with ClientSecretCredential(TENANT, CLIENT, SECRET, **options) as credential:
        model = placed(Emulator(), MANAGED, credential)
        with pytest.raises(ConnectionFailedError, match="Could not reach Entra ID") as caught:
            model.invoke("Hi")
    assert SECRET not in everything_in(caught.value)


def test_a_refused_tokens_audience_is_named(
    entra: Entra, credential: ClientSecretCredential
) -> None:
    """And the header, and what to check; never the token, though the server quotes it."""
    for status in [401, 403]:
        phi = emulated(entra)
        phi.fail(status=status, body={"error": {"message": f"Bad {entra.token}"}})

        error_type = AuthenticationError if status == 401 else PermissionDeniedError
        with pytest.raises(
            error_type, match=r"audience https://ml\.azure\.com was sent, in the header auth"
        ) as e:
            placed(phi, MANAGED, credential).invoke("Hi")

        assert {401: "aad_token", 403: "score this online endpoint"}[status] in str(e.value)
        assert entra.token not in everything_in(e.value)


def jwt(**claims: Any) -> str:
    """A token that nobody signed."""
    parts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in ({}, claims)]
    return b".".join([*parts, b"signature"]).decode()


def test_a_callables_token_names_its_audience() -> None:
    """Nobody else knows what it asked for."""
    for token, audience in [
        (jwt(aud="https://management.azure.com"), "audience https://management.azure.com was"),
        (jwt(), "audience that your callable chose was"),
        (jwt(aud=["a"]), "audience that your callable chose was"),
        ("a.!.c", "audience that your callable chose was"),
        ("opaque", "audience that your callable chose was"),
    ]:
        phi = Emulator("Phi-4", server_type="foundry")

        with pytest.raises(AuthenticationError, match=audience) as caught:
            placed(phi, FOUNDRY, partial(str, token), model="Phi-4").invoke("Hi")
        assert token not in str(caught.value)


def test_a_missing_credential_is_named() -> None:
    """On this machine nothing is sent unless given."""
    with (
        Emulator(server_type="openai-server") as phi,
        pytest.raises(AuthenticationError, match="No credential was sent; pass one"),
    ):
        ChatAzurePhi3(endpoint=phi.endpoint, max_retries=0).invoke("Hi")


# -- challenges ----------------------------------------------------------------------------------

CLAIMS = '{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}'


def challenge(claims: str = CLAIMS) -> dict[str, str]:
    """The header with which a resource demands a fresh sign-in."""
    encoded = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
    challenge = f'Bearer realm="", error="insufficient_claims", claims="{encoded}"'
    return {"www-authenticate": challenge}


async def test_a_challenge_is_answered_once_with_its_claims(entra: Entra, pem: Path) -> None:
    """Continuous access evaluation; the next questions use the new token."""
    for mode in CALL_MODES:
        with signed_out(entra, pem) as credential:
            phi = emulated(entra)
            phi.fail(status=401, headers=challenge())
            model = placed(phi, MANAGED, credential)

            assert (await call_model(model, mode, "Hi")).text
            assert (await call_model(model, mode, "Hi")).text

            assert len(phi.requests) == 3
            first, second = entra.token_requests
            assert "1700000000" in second["claims"]
            assert "1700000000" not in first.get("claims", "")
            assert phi.requests[0].body == phi.requests[1].body


class Renewing:
    """A credential that gives a deployment's key as its token, each time as a new one."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.token_requests: list[dict[str, Any]] = []

    def get_token(self, *_: str, **kwargs: Any) -> AccessToken:
        """The key, for an hour."""
        self.token_requests.append(kwargs)
        return AccessToken(self.key, int(time.time()) + 3600)


@pytest.mark.usefixtures("each_transport")
async def test_challenges_are_answered_over_every_transport(phi: Emulator) -> None:
    """The refusal is read to its end, so that its connection can be used again."""
    for mode in CALL_MODES:
        phi.requests.clear()
        phi.fail(status=401, headers=challenge())
        credential = Renewing(phi.key)
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=credential, credential_scopes=["https://x/.default"]
        )

        assert (await call_model(model, mode, "Hi")).text
        assert [{}, {"claims": CLAIMS, "enable_cae": True}] == credential.token_requests
        assert 2 == len(phi.requests)
        assert phi.open_connections <= 1
        model.close()
        await model.aclose()
        until = time.monotonic() + 5
        while phi.open_connections and time.monotonic() < until:  # noqa: ASYNC110 -- a server's
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("each_transport")
async def test_a_broken_challenge_is_a_failed_connection() -> None:
    """It may be tried again; its connection is closed."""
    for mode in CALL_MODES:
        head = f"HTTP/1.1 401 No\r\nwww-authenticate: {challenge()['www-authenticate']}\r\n"
        with serving_bytes(f"{head}content-length: 99\r\n\r\nhalf".encode()) as address:
            model = ChatAzurePhi3(
                endpoint=address,
                credential=Renewing("a-token"),
                credential_scopes=["https://x/.default"],
                max_retries=0,
            )
            with pytest.raises(ConnectionFailedError):
                await call_model(model, mode, "Hi")


async def test_an_async_credential_answers_a_challenge(
    entra: Entra, async_credential: AsyncClientSecretCredential
) -> None:
    """The same, awaited."""
    phi = emulated(entra)
    phi.fail(status=401, headers=challenge())

    assert (await placed(phi, MANAGED, async_credential).ainvoke("Hi")).text
    assert "1700000000" in entra.token_requests[1]["claims"]


def test_a_challenge_that_is_repeated_is_an_error(
    entra: Entra, credential: ClientSecretCredential
) -> None:
    """It was answered; that was all that could be done."""
    phi = emulated(entra)
    phi.fail(status=401, headers=challenge(), times=5)

    with pytest.raises(AuthenticationError):
        placed(phi, MANAGED, credential, max_retries=3).invoke("Hi")
    assert (len(phi.requests), len(entra.token_requests)) == (2, 2)


def test_a_401_without_claims_is_not_retried(
    entra: Entra, credential: ClientSecretCredential
) -> None:
    """But its token is not used again either."""
    for headers in [
        {},
        {"www-authenticate": 'Bearer error="invalid_token"'},
        {"www-authenticate": 'Bearer claims="A"'},
        {"www-authenticate": 'Bearer claims="/w=="'},
        {"www-authenticate": 'Bearer claims=""'},
    ]:
        phi = emulated(entra)
        phi.fail(status=401, headers=headers)
        model = placed(phi, MANAGED, credential)

        with pytest.raises(AuthenticationError):
            model.invoke("Hi")
        assert len(phi.requests) == 1
        assert model.invoke("Hi").text


async def test_a_copy_uses_the_same_token(entra: Entra, credential: ClientSecretCredential) -> None:
    """However a model and its copies take turns."""
    model = placed(emulated(entra), MANAGED, credential)
    other = model.model_copy(update={"temperature": 0.5})
    for each in (model, other, copy.copy(model), model, other):
        assert each.invoke("Hi").text
        assert (await each.ainvoke("Hi")).text

    assert [ML] == entra.scopes


def test_callables_cannot_answer_challenges(entra: Entra) -> None:
    """It cannot be asked for claims."""
    phi = emulated(entra)
    phi.fail(status=401, headers=challenge())

    with pytest.raises(AuthenticationError):
        placed(phi, MANAGED, lambda: entra.token).invoke("Hi")
    assert len(phi.requests) == 1


def test_the_earlier_credential_protocol_works(entra: Entra) -> None:
    """`get_token` with keywords, as before azure-core 1.31."""
    token_requests: list[dict[str, Any]] = []

    class Earlier:
        def get_token(self, *scopes: str, **kwargs: Any) -> Any:
            token_requests.append(kwargs)
            if len(token_requests) == 3:
                raise ClientAuthenticationError("AADSTS50173: Sign in again.")
            return type("T", (), {"token": entra.token, "expires_on": 2e9})()

    phi = emulated(entra)
    phi.fail(status=401, headers=challenge(), times=1)
    model = placed(phi, MANAGED, Earlier())
    model.invoke("Hi")

    assert [{}, {"claims": CLAIMS, "enable_cae": True}] == token_requests
    phi.fail(status=401, headers=challenge(), times=1)
    with pytest.raises(AuthenticationError, match="AADSTS50173: Sign in again"):
        model.invoke("Hi")


def test_chained_credentials_are_listed_line_by_line() -> None:
    """As azure-identity lists them, with a reason for each."""

    class SignedOut:
        def get_token(self, *scopes: str, **_: Any) -> Any:
            raise CredentialUnavailableError("Run az login.")

    model = ChatAzurePhi3(
        endpoint=MANAGED, credential=ChainedTokenCredential(SignedOut(), SignedOut())
    )

    with pytest.raises(AuthenticationError) as caught:
        model.invoke("Hi")
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("Could not get an Entra ID token: ChainedTokenCredential failed")
    assert 2 == sum(line.strip() == "SignedOut: Run az login." for line in lines)
    assert lines[-1].endswith("nothing was sent to the model.")


# -- nothing secret is shown ---------------------------------------------------------------------


def test_no_token_is_shown_or_logged(
    entra: Entra, credential: ClientSecretCredential, caplog: pytest.LogCaptureFixture
) -> None:
    """repr, str, trace parameters, cache keys, log records; copies work as well."""
    caplog.set_level("DEBUG", logger="langchain_azure_phi3")
    phi = emulated(entra)
    phi.fail(status=503, retry_after=0)
    model = placed(phi, MANAGED, credential, max_retries=1)
    model.invoke("Hi")

    ours = [r.getMessage() for r in caplog.records if r.name.startswith("langchain_azure_phi3")]
    shown = [repr(model), str(model), str(model._identifying_params), model._get_llm_string()]
    shown += [str(model._get_ls_params()), repr(model._endpoints), *ours]
    assert len(ours) == 1
    for secret in (SECRET, entra.token):
        assert all(secret not in text for text in shown)
    assert copy.copy(model).invoke("Hi").text
