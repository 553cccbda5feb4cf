"""`doctor` tells the truth about every kind of server, and about everything that can be wrong."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3._doctor.doctor import examine
from langchain_azure_phi3._doctor.report import Finding, Report
from langchain_azure_phi3.cli import main
from langchain_azure_phi3.emulator import Emulator, Prompt
from tests.certificates import certified

Examine = Callable[..., Report]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this machine are not what is tested."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def start() -> Iterator[Callable[..., Emulator]]:
    """Start emulators; the arguments are theirs."""
    with ExitStack() as running:

        def started(*models: str, **options: Any) -> Emulator:
            return running.enter_context(Emulator(*models, **options))

        yield started


def examined(phi: Emulator, **given: Any) -> Report:
    """The report on an emulator."""
    return examine({"endpoint": phi.endpoint, "credential": phi.key, **given}, timeout=5)


def found(report: Report, step: str) -> Finding:
    """What one step found."""
    (finding,) = [finding for finding in report.findings if finding.step == step]
    return finding


def outcomes(report: Report) -> dict[str, str]:
    """How each step went."""
    return {finding.step: finding.outcome for finding in report.findings}


# What each dialect has, as its rows in the emulator's table and the sources behind them say.
DIALECTS: dict[str, dict[str, Any]] = {
    "serverless": {"info": True, "usage": "ok"},
    "managed-2024-05": {"route": "/v1/chat/completions", "stream": "no"},
    "managed-2024-06": {"info": True, "stream_usage": True, "logprobs": False},
    "managed-2026-07": {"info": True, "stream_usage": True, "logprobs": False},
    "foundation-model-serve": {"stream_usage": True, "logprobs": False},
    "foundry": {"info": True, "named": True, "stream_usage": True},
    "openai-v1": {"named": True},
    "azure-openai": {},
    "github": {"named": True, "stream_usage": True},
    "openai-server": {},
    "ollama": {"named": True},
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_described_as_it_is(dialect: str, start: Callable[..., Emulator]) -> None:
    """Route, information, stream, usage and extras, each as that kind of server has them."""
    has = DIALECTS[dialect]
    phi = start("Phi-3-mini-4k-instruct", server_type=dialect)
    report = examined(phi, model="Phi-3-mini-4k-instruct" if "named" in has else None)

    assert report.usable
    assert has.get("route", "/chat/completions") in found(report, "route").found
    assert ("ok" if has.get("info") else "no") == found(report, "/info").outcome
    assert has.get("stream", "ok") == found(report, "stream").outcome
    assert has.get("stream_usage", False) == ("stream_usage" in report.constructor)
    assert "ok" == found(report, "extra parameters").outcome
    assert "no" == found(report, "tools").outcome
    assert "one was called" in found(report, "tools").means
    assert "no" == found(report, "JSON mode").outcome
    assert "no" == found(report, "image").outcome


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_constructor_call_works_as_printed(
    dialect: str, start: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is Python; it answers; and its streams say what they cost, if anything can make them."""
    phi = start("Phi-3-mini-4k-instruct", server_type=dialect)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
    name = "Phi-3-mini-4k-instruct" if "named" in DIALECTS[dialect] else None
    report = examine({"endpoint": phi.endpoint, "model": name}, timeout=5)

    made: dict[str, Any] = {"ChatAzurePhi3": ChatAzurePhi3}
    exec(report.call, made)  # noqa: S102
    chunks = list(made["model"].stream("Hi"))
    assert "scripted stand-in" in "".join(chunk.text for chunk in chunks)
    assert any(chunk.usage_metadata for chunk in chunks)


def test_the_models_own_name_is_found_and_used(start: Callable[..., Emulator]) -> None:
    """So that the package knows its limits."""
    report = examined(start("Phi-4"))

    assert '"Phi-4"' == report.constructor["model"]


def test_another_name_than_the_deployments_is_told(start: Callable[..., Emulator]) -> None:
    """The one thing that no error would ever tell."""
    report = examined(start("Phi-4"), model="Phi-3-mini-4k-instruct")

    assert "That is not Phi-3-mini-4k-instruct" in found(report, "/info").means


@pytest.mark.parametrize("dialect", ["foundry", "openai-v1", "github", "ollama"])
def test_a_missing_name_is_asked_for(dialect: str, start: Callable[..., Emulator]) -> None:
    """Where one endpoint has several models."""
    report = examined(start(server_type=dialect))

    assert not report.usable
    assert "failed" == found(report, "completion").outcome
    assert "--model" in found(report, "completion").means


@pytest.mark.parametrize(
    ("dialect", "path"), [("foundry", "/models"), ("openai-v1", "/openai/v1"), ("ollama", "")]
)
def test_a_server_whose_address_lacks_its_path_is_found(
    dialect: str, path: str, start: Callable[..., Emulator]
) -> None:
    """The chat model itself looks under /v1, so that Ollama's address is good as it is."""
    phi = start("Phi-4", server_type=dialect)
    host = phi.endpoint.removesuffix(phi.base_path)
    report = examine({"endpoint": host, "credential": phi.key, "model": "Phi-4"}, timeout=5)

    assert report.usable
    assert phi.endpoint in found(report, "route").found
    assert f'"{host}{path}"' == report.constructor["endpoint"]


def test_tools_on_the_wire_are_found_and_used(start: Callable[..., Emulator]) -> None:
    """A server that was started with a tool parser."""
    report = examined(start("Phi-4", server_type="openai-server", tools="native"), model="Phi-4")

    assert "ok" == found(report, "tools").outcome
    assert '"native"' == report.constructor["tool_calling"]
    assert "ok" == found(report, "JSON mode").outcome


def test_a_flood_of_white_space_in_json_mode_is_recognised(start: Callable[..., Emulator]) -> None:
    """What serverless Phi-3 did (PhiCookBook#73)."""
    report = examined(start(json_mode="flood"))

    assert "only white space" in found(report, "JSON mode").found
    assert "no" == found(report, "JSON mode").outcome


def test_a_picture_is_taken_by_a_model_with_eyes(start: Callable[..., Emulator]) -> None:
    """And its price told."""
    report = examined(start("Phi-3-vision-128k-instruct"))

    assert "ok" == found(report, "image").outcome
    assert "tokens" in found(report, "image").found


@pytest.mark.parametrize("model", [None, "Phi-4"])
def test_a_text_only_model_is_recognised(model: str | None, start: Callable[..., Emulator]) -> None:
    """By the catalogue, without asking; else by asking."""
    phi = start("Phi-4", server_type="openai-server")
    report = examined(phi, model=model)

    asked_for_it = any(b"image_url" in request.body for request in phi.requests)
    assert "no" == found(report, "image").outcome
    assert (model is None) == asked_for_it


def test_a_wrong_key_is_a_failed_sign_in(start: Callable[..., Emulator]) -> None:
    """The route is there, which is said too; nothing more is tried."""
    phi = start()
    report = examine({"endpoint": phi.endpoint, "credential": "not-the-key"}, timeout=5)

    assert not report.usable
    assert ("ok", "failed") == (found(report, "route").outcome, found(report, "sign-in").outcome)
    assert "401" in found(report, "sign-in").found
    assert {"skipped"} == {found(report, step).outcome for step in ("completion", "tools", "image")}


def test_a_missing_key_is_a_failed_sign_in(
    start: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though serverless endpoints answer 400 to it."""
    for name in ("AZURE_INFERENCE_CREDENTIAL", "AZUREAI_ENDPOINT_KEY"):
        monkeypatch.delenv(name, raising=False)
    report = examine({"endpoint": start().endpoint}, timeout=5)

    assert "failed" == found(report, "sign-in").outcome
    assert "None was given" in found(report, "sign-in").means


def test_a_refused_connection_is_told() -> None:
    """Before any question is asked."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    report = examine({"endpoint": f"http://127.0.0.1:{port}", "credential": "k"}, timeout=5)

    assert "failed" == found(report, "connection").outcome
    assert "refuses" in found(report, "connection").found
    assert "skipped" == found(report, "completion").outcome


def test_a_name_that_nobody_has_is_told() -> None:
    """RFC 2606 reserves `.invalid` for that."""
    endpoint = "https://phi.eastus2.models.ai.azure.invalid"
    report = examine({"endpoint": endpoint, "credential": "k"}, timeout=5)

    assert "failed" == found(report, "name resolution").outcome
    assert "phi.eastus2.models.ai.azure.invalid" in found(report, "name resolution").found
    assert "skipped" == found(report, "completion").outcome


@contextmanager
def secured(certificate: Path) -> Iterator[str]:
    """A server with that certificate, which answers nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                raw, _ = listening.accept()
            except OSError:
                return
            try:
                context.wrap_socket(raw, server_side=True).close()
            except OSError:
                raw.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"https://127.0.0.1:{listening.getsockname()[1]}"
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def test_an_unknown_certificate_is_told(tmp_path: Path) -> None:
    """With where to name an authority, and without advice to look away."""
    with secured(certified(tmp_path / "both.pem")) as endpoint:
        report = examine({"endpoint": endpoint, "credential": "k"}, timeout=5)

    assert "failed" == found(report, "TLS").outcome
    assert "self-signed certificate" in found(report, "TLS").found
    assert "SSL_CERT_FILE" in found(report, "TLS").means


@pytest.mark.parametrize(
    ("made", "means"), [({"days": -2}, "must renew it"), ({"name": "x.invalid"}, "another host")]
)
def test_a_known_certificate_that_is_not_valid_is_told(
    made: dict[str, Any], means: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with what can be done about it: naming an authority would not help."""
    certificate = certified(tmp_path / "both.pem", **made)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with secured(certificate) as endpoint:
        report = examine({"endpoint": endpoint, "credential": "k"}, timeout=5)

    assert "failed" == found(report, "TLS").outcome
    assert means in found(report, "TLS").means
    assert "SSL_CERT_FILE" not in found(report, "TLS").means


def test_a_certificate_named_in_the_environment_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the chat model trusts it; who issued it, and until when it is good, is told."""
    certificate = certified(tmp_path / "both.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with secured(certificate) as endpoint:
        report = examine({"endpoint": endpoint, "credential": "k"}, timeout=5)

    assert "ok" == found(report, "TLS").outcome
    assert "Nobody" in found(report, "TLS").found
    assert "failed" == found(report, "route").outcome  # it answers no question


def test_a_port_without_tls_is_told(start: Callable[..., Emulator]) -> None:
    """`https` where `http` is spoken."""
    endpoint = start().endpoint.replace("http://", "https://")
    report = examine({"endpoint": endpoint, "credential": "k"}, timeout=5)

    assert "failed" == found(report, "TLS").outcome
    assert "http" in found(report, "TLS").means


@pytest.mark.parametrize("variable", ["https_proxy", "all_proxy"])
def test_a_proxy_is_told_without_its_password(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies behind it cannot be looked at from here."""
    monkeypatch.setenv(variable, "http://me:secret@127.0.0.1:9")
    endpoint = "https://phi.eastus2.models.ai.azure.invalid"
    report = examine({"endpoint": endpoint, "credential": "k"}, timeout=5)

    assert "skipped" == found(report, "name resolution").outcome
    assert "127.0.0.1:9" in found(report, "name resolution").found
    assert "secret" not in report.as_json()


FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a web page": ({"name": "html"}, "route", "Something else than a model"),
    "a retired deployment": ({"status": 404}, "route", "retired on 2025-08-30"),
    "a forbidden deployment": ({"status": 403}, "sign-in", "may not ask"),
    "a busy deployment": ({"status": 429, "retry_after": 60}, "completion", "no room"),
    "a broken deployment": ({"status": 500}, "completion", "not well"),
    "a closed connection": ({"name": "refuse"}, "route", "without an answer"),
    "a silent deployment": ({"name": "hang"}, "completion", "--timeout"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_failure_is_blamed_on_its_step(fault: str, start: Callable[..., Emulator]) -> None:
    """And explained; the deployment is not called usable."""
    how, step, means = FAULTS[fault]
    phi = start()
    phi.fail(**how, times=9)
    report = examine({"endpoint": phi.endpoint, "credential": phi.key}, timeout=1)

    failed = [finding for finding in report.findings if finding.outcome == "failed"]
    assert [step] == [finding.step for finding in failed]
    assert means in failed[0].means
    assert not report.usable


# The questions in their order: /info, completion, stream and its usage, extras, tools twice,
# JSON mode, image.
def faulty(phi: Emulator, number: int, **fault: Any) -> None:
    """Let the question of that number fail, and no other."""
    phi.fail(**fault, skip=number)


EXTRAS_REFUSED = {"detail": "Extra parameters ['logprobs'] are not allowed."}


def test_refused_extras_are_told(start: Callable[..., Emulator]) -> None:
    """By a server that refuses them with the header too."""
    phi = start()
    faulty(phi, 4, status=400, body=EXTRAS_REFUSED)
    report = examined(phi)

    assert "no" == found(report, "extra parameters").outcome
    assert "not allowed" in found(report, "extra parameters").found
    assert "model_extras" in found(report, "extra parameters").means


def test_a_local_servers_missing_model_is_not_called_retired(
    start: Callable[..., Emulator],
) -> None:
    """Ollama has what was pulled; Azure's calendar is none of its business."""
    report = examined(start(server_type="ollama"), model="phi3")

    assert "failed" == found(report, "route").outcome
    assert "retired" not in found(report, "route").means


def test_a_score_route_is_not_blamed_for_what_it_cannot_say(
    start: Callable[..., Emulator],
) -> None:
    """It counts nothing, and answers a text-only model's picture with an empty object."""
    phi = start(server_type="managed-2024-05")
    report = examine(
        {"endpoint": f"{phi.endpoint}/score", "credential": phi.key, "api": "score"}, timeout=5
    )

    assert "invoke() has it" not in found(report, "usage in streams").means
    assert "no" == found(report, "image").outcome
    assert "text-only" in found(report, "image").means


def test_a_stream_that_breaks_is_told_and_avoided(start: Callable[..., Emulator]) -> None:
    """As the server of late 2025 breaks every one."""
    phi = start()
    faulty(phi, 2, name="cut", after=2)
    report = examined(phi)

    assert report.usable
    assert "failed" == found(report, "stream").outcome
    assert "True" == report.constructor["disable_streaming"]
    assert "skipped" == found(report, "usage in streams").outcome


def test_streams_that_never_tell_their_cost_are_told(start: Callable[..., Emulator]) -> None:
    """And nothing is advised that would not help."""
    phi = start(usage_in_streams="none")
    faulty(phi, 4, status=400, body=EXTRAS_REFUSED)
    report = examined(phi)

    assert "no" == found(report, "usage in streams").outcome
    assert "refused" in found(report, "usage in streams").found
    assert "stream_usage" not in report.constructor


def test_a_json_mode_that_hangs_is_recognised(start: Callable[..., Emulator]) -> None:
    """What Phi-3.5-vision did (PhiCookBook#231)."""
    phi = start()
    faulty(phi, 7, name="hang")
    report = examine({"endpoint": phi.endpoint, "credential": phi.key}, timeout=1)

    assert "hangs" in found(report, "JSON mode").found


@pytest.mark.parametrize(("number", "step"), [(4, "extra parameters"), (7, "JSON mode")])
def test_a_failure_on_the_way_is_not_taken_for_a_lack(
    number: int, step: str, start: Callable[..., Emulator]
) -> None:
    """A rate limit says nothing about extras or JSON."""
    phi = start()
    faulty(phi, number, status=429)
    report = examined(phi)

    assert report.usable
    assert "failed" == found(report, step).outcome


def test_the_older_route_is_examined_for_what_it_has(start: Callable[..., Emulator]) -> None:
    """`/score` takes neither extras nor formats nor tools; streams come in one piece."""
    report = examined(start(server_type="managed-2024-05"), api="score")

    assert report.usable
    assert '"score"' == report.constructor["api"]
    assert "skipped" == found(report, "extra parameters").outcome
    assert "skipped" == found(report, "JSON mode").outcome
    assert "one was called" in found(report, "tools").means


def test_a_token_is_told_from_a_key(start: Callable[..., Emulator]) -> None:
    """The call names the class of the credential, and the token is not shown."""
    phi = start(key="a-token-of-entra")

    class Signed:
        """Like a credential of azure-identity."""

        def get_token(self, *scopes: str, **_: Any) -> Any:
            return type("Token", (), {"token": phi.key, "expires_on": 9e9})

    report = examine(
        {
            "endpoint": phi.endpoint,
            "credential": Signed(),
            "credential_scopes": ["https://ml.azure.com/.default"],
        },
        timeout=5,
    )

    assert "Entra ID token" in found(report, "sign-in").found
    assert "Signed()" == report.constructor["credential"]
    assert "a-token-of-entra" not in report.as_json()


def test_the_key_is_never_shown(start: Callable[..., Emulator]) -> None:
    """Not even when a server quotes it where nobody expects it."""
    phi = start(key="a-very-secret-key")
    phi.script(*["Your key is a-very-secret-key."] * 20)
    report = examined(phi)

    assert "Your key is ***." in found(report, "completion").found
    assert "a-very-secret-key" not in report.as_text(100) + report.as_json() + repr(report)


def test_the_command_prints_the_report_and_says_whether_it_is_usable(
    phi: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the environment's endpoint and key."""
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
    usable = main(["doctor", "--timeout", "5"])
    told = capsys.readouterr().out
    phi.fail(status=404, times=9)
    unusable = main(["doctor", "--timeout", "5"])

    assert (0, 1) == (usable, unusable)
    assert "model = ChatAzurePhi3(" in told
    assert "# The key comes from AZURE_INFERENCE_CREDENTIAL." in told
    assert "See route above." in capsys.readouterr().out


def test_findings_are_told_as_they_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an endpoint that hangs, people see at once what was found before."""
    told = []

    def hang(prompt: Prompt) -> str:
        told.append(capsys.readouterr().out)
        return "Slow."

    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "k")
    with Emulator(key="k", responder=hang) as slow:
        main(["doctor", slow.endpoint])

    assert "connection" in told[0]
    assert "completion" not in told[0]
    assert "completion" in told[1]


def test_the_command_speaks_json(
    phi: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For programs: everything that people are told."""
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
    status = main(["doctor", phi.endpoint, "--json"])

    told = json.loads(capsys.readouterr().out)
    assert (0, True) == (status, told["usable"])
    assert {"step": "tools", "outcome": "no"}.items() <= told["findings"][10].items()
    assert phi.endpoint == json.loads(told["constructor"]["endpoint"])


def test_a_missing_endpoint_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the chat model refuses it."""
    for name in ("AZURE_INFERENCE_ENDPOINT", "AZUREAI_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidInputError, match="There is no endpoint"):
        examine({})

    assert 1 == main(["doctor"])
    assert "AZURE_INFERENCE_ENDPOINT" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_the_report_fits_the_terminal(columns: int, start: Callable[..., Emulator]) -> None:
    """Apart from URLs, which are not broken."""
    lines = examined(start()).as_text(columns).splitlines()

    assert [] == [line for line in lines if len(line) > columns and "http://" not in line]


def test_every_step_is_told_once_and_in_order(start: Callable[..., Emulator]) -> None:
    """Whether it went well or not."""
    expected = ["name resolution", "connection", "TLS", "route", "sign-in", "/info", "completion"]
    expected += ["stream", "usage in streams", "extra parameters", "tools", "JSON mode", "image"]
    well = outcomes(examined(start()))
    badly = outcomes(examine({"endpoint": "http://127.0.0.1:9", "credential": "k"}, timeout=1))

    assert expected == list(well)
    assert [step for step in expected if step in badly] == list(badly)
    assert expected[3:] == list(badly)[-10:]
