"""A canary, as a key and as a token, is looked for wherever users and their tools look."""

import copy
import json
import logging
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps
from langchain_core.tracers import BaseTracer, Run
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from langchain_azure_phi3 import AzurePhi3Error, ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3._doctor.doctor import diagnose
from langchain_azure_phi3._http.client import aclose_shared, close_shared
from langchain_azure_phi3.cli import main
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.raw_server import serving

CANARY = "canary/7d1f+0a93c5e8b246"
HEADER = "canary-of-a-gateway-51b7"
PATTERNS = (CANARY, HEADER, CANARY.replace("/", "\\/"), CANARY.replace("+", "\\u002B"))


# -- where it is looked for ----------------------------------------------------------------------


def leaks(*texts: str) -> list[str]:
    """Those that hold a canary."""
    return [text for text in texts if any(pattern in text for pattern in PATTERNS)]


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what caused it, and what was being handled, hidden or not."""
    if error is not None:
        yield error
        yield from chain_of(error.__cause__)
        if error.__context__ is not error.__cause__:
            yield from chain_of(error.__context__)


def shown(error: BaseException) -> Iterator[str]:
    """Everything that can be read from an error."""
    yield "".join(traceback.format_exception(error))
    for each in chain_of(error):
        yield f"{each!s} {each!r} {each.args!r} {vars(each)!r}"
        request = getattr(each, "_request", None)
        if request is not None:
            yield f"{request.url} {request.headers.raw!r} {request.content!r}"
        if isinstance(each, UnicodeError):
            yield str(each.object)
    yield pickle.dumps(error).decode("latin-1")
    yield repr(vars(copy.deepcopy(error)))
    if isinstance(error, AzurePhi3Error) and error.response is not None:
        response = error.response
        yield f"{response!r} {response.text} {response.headers} {response.content!r}"


class Recorder(BaseCallbackHandler):
    """Keeps all that LangChain tells a callback, as text."""

    def __init__(self) -> None:
        self.received: list[str] = []

    def keep(self, *given: Any, **named: Any) -> None:
        """Take what an event brings."""
        for value in (*given, *named.values()):
            self.received.append(f"{value!r} {dumps(value)}")
            if isinstance(value, BaseException):
                self.received.extend(shown(value))

    on_chat_model_start = on_llm_new_token = on_llm_end = on_llm_error = keep


class Tracer(BaseTracer):
    """What LangSmith's tracer would send."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self.received += [repr(run), repr(vars(run)), dumps(run.extra), str(run.error)]
        self.received.append(run.model_dump_json())


class Watched:
    """Everything that watches one question."""

    def __init__(self) -> None:
        self.recorder, self.tracer = Recorder(), Tracer()
        self.collector = RunCollectorCallbackHandler()
        self.config = {"callbacks": [self.recorder, self.tracer, self.collector]}

    def received(self) -> list[str]:
        """All that they were told."""
        collected = [f"{vars(run)!r}" for run in self.collector.traced_runs]
        assert self.recorder.received
        assert self.tracer.received
        assert collected
        return [*self.recorder.received, *self.tracer.received, *collected]


# -- how it is held ------------------------------------------------------------------------------


class Credential:
    """As azure-identity's: gives the canary as a token."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        """The canary, for an hour."""
        return AccessToken(CANARY, int(time.time()) + 3600)


CREDENTIALS: dict[str, Callable[[], Any]] = {
    "key": lambda: CANARY,
    "token": Credential,
    "callable": lambda: lambda: CANARY,
}


def made(phi: Emulator, credential: str = "key", **settings: Any) -> ChatAzurePhi3:
    """A model whose secrets are canaries."""
    return ChatAzurePhi3(
        endpoint=phi.endpoint,
        credential=CREDENTIALS[credential](),
        credential_scopes=["https://ml.azure.com/.default"],
        max_retries=1,
        max_retry_wait=0,
        **{
            "default_headers": {"x-gateway-key": HEADER, "cookie": f"session={HEADER}"},
            "timeout": (5.0, 0.3),
            **settings,
        },
    )


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A deployment that the canary opens."""
    with Emulator(key=CANARY) as emulator:
        yield emulator


# -- what happens --------------------------------------------------------------------------------

MESSAGE = f"The key {CANARY} of {HEADER} cannot be used."
NET = f'{{"error": "{CANARY.replace("+", chr(92) + "u002B")}"}}'
PHP = json.dumps({"error": MESSAGE}).replace("/", "\\/")
QUOTED = {"detail": [{"loc": ["header", CANARY], "msg": MESSAGE, "input": {CANARY: [HEADER]}}]}
CHOICE = {"index": 0, "finish_reason": "content_filter"}
FILTERED = {"choices": [CHOICE], "note": MESSAGE, "id": CANARY}
STARTED = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'

FAILURES: dict[str, dict[str, Any]] = {
    "401 in words": {"status": 401, "body": MESSAGE},
    "401 as JSON": {"status": 401, "body": {"error": {"code": CANARY, "message": MESSAGE}}},
    "401 of .NET": {"status": 401, "body": NET},
    "401 of PHP": {"status": 401, "body": PHP},
    "403 in a page": {"status": 403, "body": f"<html><title>{CANARY}</title></html>"},
    "400 nested": {"status": 400, "body": {"message": json.dumps({"message": MESSAGE})}},
    "422 with its input": {"status": 422, "body": QUOTED},
    "400 filtered": {
        "status": 400,
        "body": {
            "error": {
                "code": "content_filter",
                "innererror": {"content_filter_result": {CANARY: {"filtered": True}}},
            }
        },
    },
    "429 each time": {"status": 429, "body": MESSAGE, "retry_after": 0, "times": 2},
    "503 each time": {"status": 503, "body": MESSAGE, "times": 2},
    "500 in headers": {"status": 501, "headers": {"x-key": CANARY, "x-request-id": CANARY}},
    "redirect": {"status": 307, "body": "", "headers": {"location": f"/?key={CANARY}"}},
    "deep": {"status": 400, "body": '{"a":' * 400 + f'"{CANARY}"' + "}" * 400},
    "200 with an error": {"status": 200, "body": {"error": {"message": MESSAGE}}},
    "200 with a page": {"name": "html", "body": f"<html><title>{MESSAGE}</title></html>"},
    "200 with words": {"status": 200, "body": MESSAGE},
    "200 with a list": {"status": 200, "body": [MESSAGE]},
    "200 with a string": {"status": 200, "body": json.dumps(MESSAGE)},
    "200 without choices": {"status": 200, "body": {"choices": [], "note": MESSAGE}},
    "200 without a message": {"status": 200, "body": {"choices": [{"x": CANARY}]}},
    "200 filtered": {"status": 200, "body": FILTERED},
    "200 in headers": {"status": 200, "body": "?", "headers": {"x-request-id": CANARY}},
    "cut": {"name": "cut", "after_bytes": 30, "times": 2},
    "reset": {"name": "reset", "after_bytes": 30, "times": 2},
    "short": {"name": "short", "times": 2},
    "refused": {"name": "refuse", "times": 2},
    "hanging": {"name": "hang"},
}
EVENTS = {
    "error event": STARTED + b"data: " + json.dumps({"error": {"message": MESSAGE}}).encode(),
    "named error": STARTED + f"event: error\ndata: {MESSAGE}".encode(),
    "no object": STARTED + b"data: " + json.dumps([MESSAGE]).encode(),
    "no JSON": STARTED + f"data: {MESSAGE}".encode(),
    "no stream": MESSAGE.encode(),
    "filtered": b"data: " + json.dumps(FILTERED).encode(),
}


OCCASIONS = ("success", *FAILURES, *EVENTS)
# Each occasion in two ways and with two credentials; over all, each way with each credential.
PAIRS = [
    (occasion, CALL_MODES[(n + shift) % 4], tuple(CREDENTIALS)[(n // 4 + shift) % 3])
    for n, occasion in enumerate(OCCASIONS)
    for shift in (0, 1)
]


def test_the_pairs_cover_both_paths() -> None:
    """Each occasion in threads and in loops; each way with each credential."""
    for occasion in OCCASIONS:
        assert {True, False} == {c.startswith("a") for o, c, _ in PAIRS if o == occasion}
    assert 12 == len({(mode, credential) for _, mode, credential in PAIRS})


@pytest.mark.parametrize(("occasion", "mode", "credential"), PAIRS)
async def test_no_secret_is_shown_anywhere(
    phi: Emulator,
    occasion: str,
    mode: str,
    credential: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in errors, traces, log records or output, whatever the server answers."""
    caplog.set_level(logging.DEBUG)
    if occasion in FAILURES:
        phi.fail(**FAILURES[occasion])
    if occasion in EVENTS:
        body = EVENTS[occasion] + b"\n\n"
        phi.fail(status=200, body=body, headers={"content-type": "text/event-stream"})
    watched = Watched()
    error = None

    try:
        await call_model(made(phi, credential), mode, "Hi", config=watched.config)
    except AzurePhi3Error as caught:
        error = caught

    # A body that is shorter than it says does not matter to a stream that is done.
    harmless = occasion == "success" or (occasion == "short" and "stream" in mode)
    assert harmless == (error is None)
    assert f"Bearer {CANARY}" == phi.requests[0].headers["authorization"]
    # httpcore logs the headers of responses at DEBUG; SECURITY.md says so.
    logged = [r.getMessage() for r in caplog.records if not r.name.startswith("httpcore")]
    printed = capfd.readouterr()
    assert [] == leaks(*(shown(error) if error else ()))
    assert [] == leaks(*watched.received())
    assert [] == leaks(*logged)
    assert [] == leaks(printed.out, printed.err, repr(phi), repr(phi.requests))


@pytest.mark.usefixtures("each_transport")
async def test_malformed_responses_are_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    """h11 and aiohttp quote what they cannot read, and the URL: a gateway's may hold a key."""
    for mode in CALL_MODES:
        for answer in [
            "",
            f"HTTP/1.1 200 OK\r\n{CANARY} no header\r\n\r\n",
            f"{CANARY} is no HTTP\r\n\r\n",
            f"HTTP/1.1 200 OK\r\ncontent-length: {CANARY}\r\n\r\n",
            f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{CANARY}\r\n",
            f"HTTP/1.1 404 No\r\ncontent-length: 60\r\n\r\nNo page /?code={HEADER}" + " " * 60,
        ]:
            caplog.set_level(logging.INFO, "langchain_azure_phi3")
            with serving(answer.encode()) as address:
                settings = {"max_retries": 1, "max_retry_wait": 0, "timeout": 5}
                endpoint = f"{address}?code={HEADER}"
                model = ChatAzurePhi3(endpoint=endpoint, credential=CANARY, **settings)
                with pytest.raises(AzurePhi3Error) as caught:
                    await call_model(model, mode, "Hi")

            assert [] == leaks(*shown(caught.value))
            ours = [r for r in caplog.records if r.name.startswith("langchain_azure_phi3")]
            assert [] == leaks(*(r.getMessage() for r in ours))


async def test_undecodable_keys_are_not_shown(phi: Emulator) -> None:
    """It cannot be sent, nor written as part of a URL."""
    for mode in CALL_MODES:
        model = made(phi, default_headers={"x-api-key": f"{HEADER}\udce9"})
        with pytest.raises(InvalidInputError) as caught:
            await call_model(model, mode, "Hi")

        assert [] == leaks(*shown(caught.value))


@pytest.mark.usefixtures("each_transport")
async def test_keys_in_urls_are_not_shown(phi: Emulator) -> None:
    """Whatever goes wrong; a shared access signature is another such key."""
    for mode in CALL_MODES:
        for fault in ["hang", "refuse", "reset", "cut"]:
            phi.fail(name=fault, times=2)
            model = made(phi)
            model.endpoint = f"{phi.endpoint}?sig={HEADER}%3D"
            with pytest.raises(AzurePhi3Error) as caught:
                await call_model(model, mode, "Hi")

            assert [] == leaks(*shown(caught.value))


async def test_info_responses_are_redacted(phi: Emulator) -> None:
    """A success without a model's name."""
    for body in [{"note": MESSAGE}, [MESSAGE], {"error": MESSAGE}]:
        phi.fail(status=200, body=body, times=2)

        with pytest.raises(AzurePhi3Error) as sync:
            made(phi).get_model_info()
        with pytest.raises(AzurePhi3Error) as asynchronous:
            await made(phi).aget_model_info()

        assert [] == leaks(*shown(sync.value), *shown(asynchronous.value))


def test_a_placeholder_is_no_secret(phi: Emulator) -> None:
    """Local servers take any word, which must not be struck out of what they say."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential="ollama")
    phi.fail(status=404, body={"error": "ollama has no such model"})

    with pytest.raises(AzurePhi3Error, match="ollama has no such model"):
        model.invoke("Hi")


def test_completions_are_not_redacted(phi: Emulator) -> None:
    """Also where it is what an error keeps of it."""
    phi.script(f"I say {CANARY} again.")
    phi.fail(name="end", after=10)
    model = made(phi)

    with pytest.raises(AzurePhi3Error) as caught:
        list(model.stream("Hi"))

    assert "I say canary" in (caught.value.partial or "")


# -- what debuggers and error trackers see -------------------------------------------------------

SECRETS = {
    name: f"{name}-canary-9876543210" for name in ("key", "header", "query", "user", "proxy")
}


class EntraCredential:
    """Gives one token, as azure-identity's credentials do."""

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        """The key as a token."""
        return AccessToken(SECRETS["key"], int(time.time()) + 3600)


def locals_of(error: BaseException) -> Iterator[tuple[str, str, str]]:
    """Function, name and `repr` of all that Sentry, rich and `pytest -l` show, besides ours."""
    for each in chain_of(error):
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_code.co_filename != __file__:
                for name, value in frame.f_locals.items():
                    yield frame.f_code.co_qualname, name, repr(value)


@pytest.mark.parametrize("proxied", [False, True])
async def test_frames_of_a_failure_hold_no_secret(
    proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key, headers, the endpoint's query, and a proxy's password."""
    close_shared()
    for body in [
        b"",
        b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {bad\n\n",
        b"no HTTP at all\r\n\r\n",
    ]:
        for credential in (SECRETS["key"], lambda: SECRETS["key"], EntraCredential()):
            with serving(body) as address:
                host = "http://phi.example" if proxied else address.removesuffix("/v1")
                if proxied:
                    user = f"://user:{SECRETS['proxy']}@"
                    monkeypatch.setenv("HTTP_PROXY", address.replace("://", user))
                model = ChatAzurePhi3(
                    endpoint=f"{host}/v1?subscription-key={SECRETS['query']}",
                    credential=credential,
                    max_retries=0,
                    timeout=5,
                    allow_insecure_http=True,
                    credential_scopes=["https://phi.example/.default"],
                    default_headers={
                        "x-gateway": SECRETS["header"],
                        "authorization": f"Basic {SECRETS['user']}",
                    },
                )
                for mode in CALL_MODES:
                    with pytest.raises(AzurePhi3Error) as caught:
                        await call_model(model, mode, "Hi")

                    found = [
                        (function, name, secret)
                        for function, name, text in locals_of(caught.value)
                        for secret in SECRETS.values()
                        if secret in text
                    ]
                    assert [] == found
                close_shared()
                await aclose_shared()


def test_frames_of_a_refused_constructor_hold_no_secret() -> None:
    """A mistake in one setting shows none of the others."""
    given: dict[str, Any] = {
        "endpoint": f"https://phi.example/v1?code={SECRETS['query']}",
        "credential": SECRETS["key"],
        "default_headers": {"x-gateway": SECRETS["header"]},
    }
    for wrong in [{"temperature": "hot"}, {"max_token": 1}, {"timeout": -1}]:
        with pytest.raises(InvalidInputError) as caught:
            ChatAzurePhi3(**given, **wrong)

        texts = [f"{place} {name} {text}" for place, name, text in locals_of(caught.value)]
        assert [] == [text for text in texts if any(s in text for s in SECRETS.values())]


# -- without any request -------------------------------------------------------------------------

WRONG: list[dict[str, Any]] = [
    {"temperature": CANARY},
    {"max_token": CANARY},
    {"max_retries": -1},
    {"endpoint": f"https://user:{CANARY}@phi.example"},
    {"endpoint": "http://phi.example"},
    {"endpoint": f"https://phi.example:{CANARY}"},
    {"default_headers": CANARY},
    {"credential": CANARY + "\n" + CANARY},
]


def test_a_refused_constructor_shows_no_value() -> None:
    """Neither in the error nor in what it stands on."""
    for settings in WRONG:
        with pytest.raises(InvalidInputError) as caught:
            ChatAzurePhi3(
                **{"endpoint": "http://127.0.0.1:9", "credential": CANARY, **settings}
            ).invoke("Hi")

        assert [] == leaks(*shown(caught.value))


async def test_unsendable_headers_are_not_shown(phi: Emulator) -> None:
    """It may be a gateway's key."""
    for mode in CALL_MODES:
        model = made(phi).model_copy(update={"default_headers": {"x-team": f"{HEADER}\n"}})

        with pytest.raises(InvalidInputError) as caught:
            await call_model(model, mode, "Hi")

        assert [] == leaks(*shown(caught.value))


def test_a_model_shows_no_secret(phi: Emulator) -> None:
    """However it is written, before and after use, with tools and formats bound."""
    for credential in CREDENTIALS:
        for used in [False, True]:
            model = made(phi, credential)
            if used:
                model.invoke("Hi")
            bound = [
                model,
                model.bind_tools([]),
                model.with_structured_output({"title": "A", "type": "object"}),
            ]
            texts = [text for each in bound for text in (repr(each), str(each), dumps(each))]
            texts += [str(model.model_dump()), str(model.asdict()), model._get_llm_string()]
            texts += [str(model._get_invocation_params()), str(model.lc_attributes)]

            assert [] == leaks(*texts)


async def test_a_key_in_the_query_is_sent_and_not_shown(
    phi: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever its name is, also without a name or a value; the API version is no secret."""
    for query in [f"code={HEADER}", f"subscription-key={HEADER}", f"x={HEADER}&a=b", HEADER]:
        model = made(phi, default_headers=None)
        model.endpoint = f"{phi.endpoint}?api-version=2024-05-01-preview&{query}"
        for mode in CALL_MODES:
            await call_model(model, mode, "Hi")
            assert HEADER in str(phi.requests[-1].query)

        bound = [model, model.model_copy(), model.bind_tools([]), model._endpoints]
        texts = [f"{each!r} {each!s} {vars(model)!r}" for each in bound]
        texts += [dumps(model), model._get_llm_string(), str(model._get_ls_params())]
        texts += [str(model.model_dump()), model.model_dump_json(), str(model.asdict())]
        texts += [str(model._get_invocation_params()), str(model.lc_attributes)]
        assert [] == leaks(*texts)
        assert "api-version=2024-05-01-preview" in repr(model)

        with pytest.raises(InvalidInputError, match=r"query has '\*\*\*' in place of a key"):
            ChatAzurePhi3(endpoint=model.model_dump()["endpoint"], credential=CANARY)

        diagnose({"endpoint": model.endpoint, "credential": CANARY}, on_finding=print)
        report = diagnose({"endpoint": model.endpoint, "credential": CANARY})
        main(["doctor", model.endpoint])
        main(["doctor", model.endpoint, "--json"])
        printed = capfd.readouterr()
        assert [] == leaks(repr(report), printed.out, printed.err)


@pytest.mark.parametrize("change", ["copied", "assigned"])
def test_changed_keys_are_masked(phi: Emulator, change: str) -> None:
    """`model_copy(update=...)` and assignment do not validate, so they leave it as a text."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential="another-key")
    if change == "copied":
        model = model.model_copy(update={"credential": CANARY})
    else:
        model.credential = CANARY

    assert model.invoke("Hi").text
    texts = [repr(model), dumps(model), str(model.asdict()), model._get_llm_string()]
    texts += [str(model.model_dump()), model.model_dump_json(), str(model.model_dump(mode="json"))]
    assert [] == leaks(*texts)


def test_a_model_can_be_written_as_json(phi: Emulator) -> None:
    """Without its credential, whatever that is."""
    for credential in CREDENTIALS:
        written = made(phi, credential).model_dump_json()

        assert phi.endpoint == json.loads(written)["endpoint"]
        assert [] == leaks(written)


def test_cache_keys_hold_no_secret(phi: Emulator) -> None:
    """Caches write them to disk."""
    cache = InMemoryCache()
    model = made(phi, cache=cache)

    model.invoke("Hi")

    assert 1 == len(cache._cache)
    assert [] == leaks(repr(cache._cache))


def test_a_pickle_holds_the_key(phi: Emulator) -> None:
    """As it must to work elsewhere; the documents say so."""
    pickled = pickle.dumps(made(phi))

    assert [CANARY] == [text for text in (CANARY,) if text.encode() in pickled]
    assert pickle.loads(pickled).invoke("Hi").text


def test_the_command_line_shows_no_key(
    phi: Emulator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither with an answer nor with a failure that quotes it."""
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", CANARY)

    assert 0 == main(["ask", "Hi"])
    phi.fail(status=401, body=MESSAGE.replace(HEADER, "nobody"))
    assert 1 == main(["ask", "Hi"])

    printed = capfd.readouterr()
    assert "The key *** of nobody" in printed.err
    assert [] == leaks(printed.out, printed.err)
