"""The doctor describes each type of server, and each thing that can be wrong with it."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from langchain_azure_phi3 import (
    ChatAzurePhi3,
    DoctorReport,
    Finding,
    InvalidInputError,
    diagnose,
)
from langchain_azure_phi3._doctor.report import check_model
from langchain_azure_phi3._http.environment import ssl_context
from langchain_azure_phi3.cli import main
from langchain_azure_phi3.emulator import Emulator, Prompt
from langchain_azure_phi3.models import find_model
from tests.certificates import certified


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies of this machine would answer instead."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


INSECURE = {"allow_insecure_http": True}


@pytest.fixture(autouse=True)
def fresh_certificates() -> Iterator[None]:
    """Those of the environment are read once; tests change it."""
    ssl_context.cache_clear()
    yield
    ssl_context.cache_clear()


@pytest.fixture
def start() -> Iterator[Callable[..., Emulator]]:
    """Start emulators; the arguments are theirs."""
    with ExitStack() as running:

        def enter(*models: str, **options: Any) -> Emulator:
            return running.enter_context(Emulator(*models, **options))

        yield enter


def report_on(phi: Emulator, **kwargs: Any) -> DoctorReport:
    """The report on an emulator."""
    return diagnose({"endpoint": phi.endpoint, "credential": phi.key, **kwargs}, timeout=5)


def step_of(report: DoctorReport, step: str) -> Finding:
    """The finding of one step."""
    (finding,) = [finding for finding in report.findings if finding.step == step]
    return finding


def outcomes(report: DoctorReport) -> dict[str, str]:
    """The outcome of each step."""
    return {finding.step: finding.outcome for finding in report.findings}


# What each type of server has, as in the emulator's table and its sources.
SERVER_TYPES: dict[str, dict[str, Any]] = {
    "serverless": {"info": True},
    "managed-2024-05": {"route": "/v1/chat/completions", "stream": "no"},
    "managed-2024-06": {"info": True, "stream_usage": True},
    "managed-2025-01": {"info": True, "stream_usage": True},
    "managed-2026-07": {"info": True, "stream_usage": True},
    "foundation-model-serve": {"stream_usage": True},
    "foundry": {"info": True, "named": True, "stream_usage": True},
    "openai-v1": {"named": True},
    "azure-openai": {},
    "openai-server": {"info": True},
    "vllm": {"info": True},
    "llama.cpp": {"info": True},
    "ollama": {"info": True},
}
NO_JSON_MODE = {"serverless", "foundry", "openai-v1", "azure-openai"}


@pytest.mark.parametrize("dialect", SERVER_TYPES)
def test_the_report_describes_each_server_type(
    dialect: str, start: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each capability, and a constructor call that works as printed."""
    has = SERVER_TYPES[dialect]
    phi = start("Phi-3-mini-4k-instruct", server_type=dialect)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
    name = "Phi-3-mini-4k-instruct" if "named" in has else None
    report = diagnose({"endpoint": phi.endpoint, "model": name}, timeout=5)

    assert report.usable
    assert has.get("route", "/chat/completions") in step_of(report, "route").detail
    assert has.get("stream_usage", False) == ("stream_usage" in report.constructor)
    assert "the model called one" in step_of(report, "tools").advice
    expected = {
        "/info": "ok" if has.get("info") else "no",
        "stream": has.get("stream", "ok"),
        "extra parameters": "ok",
        "tools": "no",
        "JSON mode": "no" if dialect in NO_JSON_MODE else "ok",
        "image": "no",
        "constraints": "no" if dialect in NO_JSON_MODE else "ok",
    }
    assert expected.items() <= outcomes(report).items()

    namespace: dict[str, Any] = {"ChatAzurePhi3": ChatAzurePhi3}
    exec(report.call, namespace)  # noqa: S102
    chunks = list(namespace["model"].stream("Hi"))
    assert "scripted stand-in" in "".join(chunk.text for chunk in chunks)
    assert any(chunk.usage_metadata for chunk in chunks)


def test_the_reported_model_name_is_recommended(start: Callable[..., Emulator]) -> None:
    """Another name than that is pointed out, because no error would."""
    phi = start("Phi-4")

    assert '"Phi-4"' == report_on(phi).constructor["model"]
    other = report_on(phi, model="Phi-3-mini-4k-instruct")
    assert "This is not Phi-3-mini-4k-instruct" in step_of(other, "/info").advice


def test_the_model_behind_a_name_is_recommended(
    start: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `/info`, for a name of the user's own, which may come from the environment."""
    monkeypatch.setenv("AZURE_INFERENCE_MODEL", "our-deployment")
    report = report_on(start("Phi-4"))

    assert "Pass base_model='Phi-4' too" in step_of(report, "/info").advice
    assert '"our-deployment"' == report.constructor["model"]
    assert '"Phi-4"' == report.constructor["base_model"]


def test_a_missing_model_name_is_requested(start: Callable[..., Emulator]) -> None:
    """Where one endpoint serves several models."""
    for dialect in ("foundry", "openai-v1"):
        report = report_on(start(server_type=dialect))

        assert not report.usable
        assert "failed" == step_of(report, "completion").outcome
        assert "--model" in step_of(report, "completion").advice


def test_the_only_listed_model_is_used(start: Callable[..., Emulator]) -> None:
    """By servers that require a name; of several models, the report lists the names."""
    report = report_on(start("Phi-4", server_type="ollama"))
    several = report_on(start("Phi-4", "Phi-4-mini-instruct", server_type="ollama"))

    assert report.usable
    assert '"Phi-4"' == report.constructor["model"]
    assert "/v1/models lists Phi-4" == step_of(report, "/info").detail
    assert "Phi-4, a context of 16,384 tokens" == step_of(report, "model").detail
    assert not several.usable
    assert "Phi-4, Phi-4-mini-instruct" in step_of(several, "/info").detail
    assert "Phi-4, Phi-4-mini-instruct" in step_of(several, "completion").detail
    assert step_of(several, "route").detail.endswith("/v1/chat/completions answers")
    assert "" == step_of(several, "route").advice


def test_retirement_is_reported() -> None:
    """Where Azure serves the model; an uncertain date with its source."""
    phi_3, phi_4 = find_model("Phi-3-medium-4k-instruct"), find_model("Phi-4")
    retired = check_model(phi_3, None, retires=True)
    uncertain = check_model(phi_4, 8_192, retires=True)

    assert "Azure retired its deployments on 2025-08-30: use Phi-4." == retired.advice
    assert "Phi-4, a context of 8,192 tokens on this server" == uncertain.detail
    assert "on 2027-01-17, according to one source" in uncertain.advice
    assert "" == check_model(phi_3, None, retires=False).advice
    assert "base_model=" in check_model(None, None, retires=True).advice


def test_the_path_of_a_bare_host_is_found(start: Callable[..., Emulator]) -> None:
    """The chat model itself tries /v1, so Ollama's address needs no path."""
    for dialect, path in (("foundry", "/models"), ("openai-v1", "/openai/v1"), ("ollama", "")):
        phi = start("Phi-4", server_type=dialect)
        host = phi.endpoint.removesuffix(phi.base_path)
        report = diagnose({"endpoint": host, "credential": phi.key, "model": "Phi-4"}, timeout=5)

        assert report.usable
        assert phi.endpoint in step_of(report, "route").detail
        assert f'"{host}{path}"' == report.constructor["endpoint"]


def test_native_tools_are_recommended_where_supported(start: Callable[..., Emulator]) -> None:
    """By a server that was started with a tool parser."""
    report = report_on(start("Phi-4", server_type="openai-server", tools="native"), model="Phi-4")

    assert "ok" == step_of(report, "tools").outcome
    assert '"native"' == report.constructor["tool_calling"]
    assert "ok" == step_of(report, "JSON mode").outcome


def test_white_space_in_json_mode_is_recognized(start: Callable[..., Emulator]) -> None:
    """As serverless Phi-3 answered (PhiCookBook#73)."""
    report = report_on(start(json_mode="flood"))

    assert "only white space" in step_of(report, "JSON mode").detail
    assert "no" == step_of(report, "JSON mode").outcome


def test_image_support_is_recognized(start: Callable[..., Emulator]) -> None:
    """With its cost; a text-only model by the catalog, given or reported, without a request."""
    vision = step_of(report_on(start("Phi-3-vision-128k-instruct")), "image")
    assert "ok" == vision.outcome
    assert "tokens" in vision.detail

    for model in (None, "Phi-4"):
        phi = start("Phi-4", server_type="openai-server")
        image = step_of(report_on(phi, model=model), "image")
        assert ("no", "Phi-4 accepts text only") == (image.outcome, image.detail)
        assert not any(b"image_url" in request.body for request in phi.requests)


def test_a_rejected_credential_fails_the_sign_in(
    start: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The route works, which is reported too; serverless endpoints answer 400 to a missing key."""
    for name in ("AZURE_INFERENCE_CREDENTIAL", "AZUREAI_ENDPOINT_KEY"):
        monkeypatch.delenv(name, raising=False)
    endpoint = start().endpoint
    wrong = diagnose({"endpoint": endpoint, "credential": "not-the-key"}, timeout=5)
    missing = diagnose({"endpoint": endpoint}, timeout=5)

    for report in (wrong, missing):
        assert not report.usable
        expected = {"route": "ok", "sign-in": "failed", "completion": "skipped", "image": "skipped"}
        assert expected.items() <= outcomes(report).items()
    assert "401" in step_of(wrong, "sign-in").detail
    assert "none was given" in step_of(missing, "sign-in").advice


def test_connection_problems_are_found_before_requests() -> None:
    """A closed port, and a name that cannot exist: RFC 2606 reserves `.invalid`."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    refused = diagnose({"endpoint": f"http://127.0.0.1:{port}", "credential": "k"}, timeout=5)
    host = "phi.eastus2.models.ai.azure.invalid"
    unknown = diagnose({"endpoint": f"https://{host}", "credential": "k"}, timeout=5)

    assert "failed" == step_of(refused, "connection").outcome
    assert f"refuses port {port}" in step_of(refused, "connection").detail
    assert "failed" == step_of(unknown, "name resolution").outcome
    assert host in step_of(unknown, "name resolution").detail
    assert ["skipped"] * 2 == [step_of(r, "completion").outcome for r in (refused, unknown)]


@contextmanager
def secured(certificate: Path) -> Iterator[str]:
    """A server with that certificate, which never answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            try:
                context.wrap_socket(raw, server_side=True).close()
            except OSError:
                raw.close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_an_untrusted_certificate_is_explained(tmp_path: Path) -> None:
    """With how to trust an authority, and no advice to disable verification."""
    with secured(certified(tmp_path / "both.pem")) as endpoint:
        report = diagnose({"endpoint": endpoint, "credential": "k"}, timeout=5)

    assert "failed" == step_of(report, "TLS").outcome
    assert "self-signed certificate" in step_of(report, "TLS").detail
    assert "SSL_CERT_FILE" in step_of(report, "TLS").advice


def test_invalid_trusted_certificates_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expired or for another host: trusting another authority would not help."""
    cases = (({"days": -2}, "must renew it"), ({"name": "x.invalid"}, "another host"))
    for options, advice in cases:
        certificate = certified(tmp_path / "both.pem", **options)  # type: ignore[arg-type]
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        ssl_context.cache_clear()
        with secured(certificate) as endpoint:
            report = diagnose({"endpoint": endpoint, "credential": "k"}, timeout=5)

        assert "failed" == step_of(report, "TLS").outcome
        assert advice in step_of(report, "TLS").advice
        assert "SSL_CERT_FILE" not in step_of(report, "TLS").advice


def test_certificates_of_the_environment_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by the chat model; the issuer and the last day are reported."""
    certificate = certified(tmp_path / "both.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with secured(certificate) as endpoint:
        report = diagnose({"endpoint": endpoint, "credential": "k"}, timeout=5)

    assert "ok" == step_of(report, "TLS").outcome
    assert "Nobody" in step_of(report, "TLS").detail
    assert "failed" == step_of(report, "route").outcome  # the server never answers


def test_a_port_without_tls_is_explained(start: Callable[..., Emulator]) -> None:
    """`https` for a server of `http`."""
    endpoint = start().endpoint.replace("http://", "https://")
    report = diagnose({"endpoint": endpoint, "credential": "k"}, timeout=5)

    assert "failed" == step_of(report, "TLS").outcome
    assert "http" in step_of(report, "TLS").advice


def test_a_proxy_is_reported_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connectivity behind it cannot be checked from here."""
    for variable in ("https_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://me:secret@127.0.0.1:9")
        endpoint = "https://phi.eastus2.models.ai.azure.invalid"
        report = diagnose({"endpoint": endpoint, "credential": "k"}, timeout=5)
        monkeypatch.delenv(variable)

        assert "skipped" == step_of(report, "name resolution").outcome
        assert "127.0.0.1:9" in step_of(report, "name resolution").detail
        assert "secret" not in report.as_json()


FAULTS: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"name": "html"}, "route", "web page"),
    ({"status": 404}, "route", "retired on 2025-08-30"),
    ({"status": 403}, "sign-in", "no permission"),
    ({"status": 429, "retry_after": 60}, "completion", "rate limit"),
    ({"status": 500}, "completion", "internal error"),
    ({"name": "refuse"}, "route", "without a response"),
    ({"name": "hang"}, "completion", "--timeout"),
)


def test_each_failure_is_explained_at_its_step(start: Callable[..., Emulator]) -> None:
    """And the deployment is not called usable."""
    for fault, step, advice in FAULTS:
        phi = start()
        phi.fail(**fault, times=9)
        report = diagnose({"endpoint": phi.endpoint, "credential": phi.key}, timeout=1)

        failed = [finding for finding in report.findings if finding.outcome == "failed"]
        assert [step] == [finding.step for finding in failed]
        assert advice in failed[0].advice
        assert not report.usable


# The requests in order: /info, completion, stream and its usage, extra parameters, tools twice,
# JSON mode, image.
def fail_request(phi: Emulator, number: int, **fault: Any) -> None:
    """Make the request of that number fail, and no other."""
    phi.fail(**fault, skip=number)


EXTRAS_REFUSED = {"detail": "Extra parameters ['logprobs'] are not allowed."}


def test_refused_extra_parameters_are_reported(start: Callable[..., Emulator]) -> None:
    """By a server that refuses them despite the header."""
    phi = start()
    fail_request(phi, 4, status=400, body=EXTRAS_REFUSED)
    report = report_on(phi)

    assert "no" == step_of(report, "extra parameters").outcome
    assert "not allowed" in step_of(report, "extra parameters").detail
    assert "model_extras" in step_of(report, "extra parameters").advice


def test_local_models_are_not_called_retired(start: Callable[..., Emulator]) -> None:
    """Ollama has what was pulled; Azure's retirement dates do not apply."""
    report = report_on(start(server_type="ollama"), model="phi3")

    assert "failed" == step_of(report, "route").outcome
    assert "retired" not in step_of(report, "route").advice


def test_the_score_route_is_checked(start: Callable[..., Emulator]) -> None:
    """It accepts neither extras, formats nor tools, streams in one chunk, and reports no usage."""
    phi = start(server_type="managed-2024-05")
    report = report_on(phi, endpoint=f"{phi.endpoint}/score", api="score")

    assert report.usable
    assert '"score"' == report.constructor["api"]
    expected = {"extra parameters": "skipped", "JSON mode": "skipped", "image": "no"}
    assert expected.items() <= outcomes(report).items()
    assert "the model called one" in step_of(report, "tools").advice
    assert "invoke() has it" not in step_of(report, "usage in streams").advice
    assert "Text-only" in step_of(report, "image").advice


def test_broken_streams_are_reported_and_avoided(start: Callable[..., Emulator]) -> None:
    """As the server of late 2025 breaks each one."""
    phi = start()
    fail_request(phi, 2, name="cut", after=2)
    report = report_on(phi)

    assert report.usable
    assert "failed" == step_of(report, "stream").outcome
    assert "True" == report.constructor["disable_streaming"]
    assert "skipped" == step_of(report, "usage in streams").outcome


def test_missing_usage_in_streams_is_reported(start: Callable[..., Emulator]) -> None:
    """Without advice that would not help."""
    phi = start(usage_in_streams="none")
    fail_request(phi, 4, status=400, body=EXTRAS_REFUSED)
    report = report_on(phi)

    assert "no" == step_of(report, "usage in streams").outcome
    assert "rejected" in step_of(report, "usage in streams").detail
    assert "stream_usage" not in report.constructor


def test_a_hanging_json_mode_is_recognized(start: Callable[..., Emulator]) -> None:
    """As Phi-3.5-vision hung (PhiCookBook#231)."""
    phi = start()
    fail_request(phi, 7, name="hang")
    report = diagnose({"endpoint": phi.endpoint, "credential": phi.key}, timeout=1)

    assert "hangs" in step_of(report, "JSON mode").detail


def test_temporary_failures_are_not_missing_capabilities(start: Callable[..., Emulator]) -> None:
    """A rate limit says nothing about extra parameters or JSON mode."""
    for number, step in ((4, "extra parameters"), (7, "JSON mode")):
        phi = start()
        fail_request(phi, number, status=429)
        report = report_on(phi)

        assert report.usable
        assert "failed" == step_of(report, step).outcome


class SignedIn:
    """A credential like those of azure-identity."""

    def get_token(self, *scopes: str, **_: Any) -> Any:
        """A token."""
        return type("Token", (), {"token": "a-token-of-entra", "expires_on": 9e9})


def test_credentials_are_never_shown(start: Callable[..., Emulator]) -> None:
    """Neither a token, nor a key that the server repeats in its answer."""
    phi = start(key="a-token-of-entra")
    scopes = ["https://ml.azure.com/.default"]
    report = report_on(phi, credential=SignedIn(), credential_scopes=scopes)
    assert "Entra ID token" in step_of(report, "sign-in").detail
    assert "SignedIn()" == report.constructor["credential"]
    assert "a-token-of-entra" not in report.as_json()

    phi = start(key="a-very-secret-key")
    phi.script(*["Your key is a-very-secret-key."] * 20)
    report = report_on(phi)
    assert "Your key is ***." in step_of(report, "completion").detail
    assert "a-very-secret-key" not in report.as_text(100) + report.as_json() + repr(report)


def test_the_command_never_shows_the_key(
    start: Callable[..., Emulator],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the environment, repeated by the server in answers and in errors, in text and JSON."""
    phi = start(key="a-very-secret-key")
    phi.script(*["Your key is a-very-secret-key."] * 80)
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
    for options in ([], ["--json"]):
        assert 0 == main(["doctor", *options])
        phi.fail(status=401, body={"error": {"message": "No a-very-secret-key"}}, times=2)
        assert 1 == main(["doctor", *options])
    printed = capsys.readouterr()
    assert "Your key is ***." in printed.out
    assert "No ***" in printed.out
    assert "a-very-secret-key" not in printed.out + printed.err


def test_proxies_see_no_check_of_this_machine(
    start: Callable[..., Emulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key would be readable there; other hosts are checked through the proxy."""
    phi, proxy = start(), start(key="k")
    monkeypatch.setenv("HTTP_PROXY", proxy.endpoint)
    monkeypatch.setenv("ALL_PROXY", proxy.endpoint)

    assert "ok" == step_of(report_on(phi), "completion").outcome
    assert [] == proxy.requests
    away = diagnose({"endpoint": "http://phi.example", "credential": "k"} | INSECURE, timeout=5)
    assert "done by the proxy" in step_of(away, "connection").detail
    assert proxy.requests


def test_an_unusable_environment_is_an_input_error(
    phi: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Missing certificates and broken proxies, with their names."""
    away = {"endpoint": "https://phi.invalid", "credential": "k"}
    for name, value, arguments in (
        ("SSL_CERT_FILE", str(tmp_path / "missing"), {"endpoint": phi.endpoint}),
        ("HTTPS_PROXY", "http://user:Passw0rd@127.0.0.1:none", away),
        ("ALL_PROXY", "ftp://user:Passw0rd@127.0.0.1:9", away),
    ):
        ssl_context.cache_clear()
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            with pytest.raises(InvalidInputError, match=name) as caught:
                diagnose(arguments)
            changed.setenv("AZURE_INFERENCE_CREDENTIAL", "k")
            assert 1 == main(["doctor", arguments["endpoint"]])
        assert "Passw0rd" not in f"{caught.value}{capsys.readouterr()}"
    ssl_context.cache_clear()


def test_the_command_prints_the_report(
    phi: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the environment's endpoint; the exit status tells whether it is usable."""
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", phi.endpoint)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
    usable = main(["doctor", "--timeout", "5"])
    printed = capsys.readouterr().out
    phi.fail(status=404, times=9)
    unusable = main(["doctor", "--timeout", "5"])

    assert (0, 1) == (usable, unusable)
    assert "model = ChatAzurePhi3(" in printed
    assert "# The key comes from AZURE_INFERENCE_CREDENTIAL." in printed
    assert "See route above." in capsys.readouterr().out


def test_findings_are_printed_as_they_arrive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While an endpoint hangs, the earlier findings are visible."""
    printed = []

    def hang(prompt: Prompt) -> str:
        printed.append(capsys.readouterr().out)
        return "Slow."

    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "k")
    with Emulator(key="k", responder=hang) as slow:
        main(["doctor", slow.endpoint])

    assert "connection" in printed[0]
    assert "completion" not in printed[0]
    assert "completion" in printed[1]


def test_the_command_prints_json(
    phi: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For programs: the entire report."""
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", phi.key)
    status = main(["doctor", phi.endpoint, "--json"])

    report = json.loads(capsys.readouterr().out)
    assert (0, True) == (status, report["usable"])
    assert {"step", "outcome", "detail", "advice"} == report["findings"][11].keys()
    assert {"step": "tools", "outcome": "no"}.items() <= report["findings"][11].items()
    assert phi.endpoint == json.loads(report["constructor"]["endpoint"])


def test_a_missing_endpoint_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same as the chat model raises."""
    for name in ("AZURE_INFERENCE_ENDPOINT", "AZUREAI_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidInputError, match="AZURE_INFERENCE_ENDPOINT"):
        diagnose({})

    assert 1 == main(["doctor"])
    assert "AZURE_INFERENCE_ENDPOINT" in capsys.readouterr().err


def test_the_report_fits_the_terminal(start: Callable[..., Emulator]) -> None:
    """Apart from URLs, which are not broken."""
    report = report_on(start())
    for columns in (60, 80, 100, 120):
        lines = report.as_text(columns).splitlines()
        assert [] == [line for line in lines if len(line) > columns and "http://" not in line]


def test_the_form_that_constrains_is_recommended(start: Callable[..., Emulator]) -> None:
    """By trying; a server that ignores the parameter is found out."""
    rows: tuple[tuple[dict[str, Any], str | None], ...] = (
        ({"server_type": "openai-server"}, '"response_format"'),
        ({"server_type": "foundation-model-serve"}, '"structured_outputs"'),
        ({"server_type": "managed-2024-06", "api": "managed"}, '"guided_json"'),
        ({"server_type": "managed-2026-07", "api": "managed"}, '"structured_outputs"'),
        ({"server_type": "openai-server", "constrained_decoding": "ignore"}, '"off"'),
        ({"server_type": "managed-2026-07", "api": "managed", "mode": "ignore"}, '"off"'),
        ({"server_type": "serverless"}, None),
    )
    for options, expected in rows:
        given = {"api": options.pop("api")} if "api" in options else {}
        if "mode" in options:
            options["constrained_decoding"] = options.pop("mode")
        report = report_on(start("Phi-4", **options), **given)

        found = step_of(report, "constraints")
        assert expected == report.constructor.get("constrained_decoding"), options
        if options.get("constrained_decoding") == "ignore":
            assert found.detail.count("ignored") == 3
        elif expected is not None:
            assert expected.strip('"') in found.detail
            assert f"constrained_decoding={expected}" in report.call
        else:
            assert found.detail.count("rejected") == 2


def test_reasoning_models_are_not_advised_a_constraint(start: Callable[..., Emulator]) -> None:
    """It would forbid the reasoning, so it goes with `reasoning="off"`."""
    report = report_on(start("Phi-4-reasoning", server_type="openai-server"))

    assert "constrained_decoding" not in report.constructor
    assert "reasoning='off'" in step_of(report, "constraints").advice


def test_each_step_is_reported_once_in_order(start: Callable[..., Emulator]) -> None:
    """Whether it succeeds or fails."""
    steps = ["name resolution", "connection", "TLS", "route", "sign-in", "/info", "completion"]
    steps += [
        "model",
        "stream",
        "usage in streams",
        "extra parameters",
        "tools",
        "JSON mode",
        "image",
        "constraints",
    ]
    usable = outcomes(report_on(start()))
    refused = outcomes(diagnose({"endpoint": "http://127.0.0.1:9", "credential": "k"}, timeout=1))

    assert steps == list(usable)
    assert [step for step in steps if step in refused] == list(refused)
    assert steps[3:] == list(refused)[-12:]
