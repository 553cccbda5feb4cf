"""The addresses that users paste, and the requests that the chat model sends to them."""

import json
from typing import Any, NamedTuple

import httpx
import pytest

from langchain_azure_phi3 import (
    AuthenticationError,
    AzurePhi3Error,
    BadRequestError,
    ChatAzurePhi3,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
)

KEY = "0123456789abcdef0123456789abcdef"
MODEL = "Phi-4-mini-instruct"
QUESTION = [{"role": "user", "content": "Hi"}]
COMPLETION = {
    "id": "1",
    "model": MODEL,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    ],
}


class EndpointType(NamedTuple):
    """What the requests to one type of endpoint contain in addition to the conversation."""

    name: str
    api_key: bool = True
    model: bool = True
    native: bool = False


SERVERLESS = EndpointType("serverless", model=False)
MANAGED = EndpointType("managed", model=False)
FOUNDRY = EndpointType("foundry")
OPENAI = EndpointType("openai", native=True)
OTHER = EndpointType("other")
ENDPOINT_TYPES = (SERVERLESS, MANAGED, FOUNDRY, OPENAI, OTHER)

V = "api-version=2024-05-01-preview"
PHI = "https://phi.eastus2.models.ai.azure.com"
OLDER = "https://phi.eastus2.inference.ai.azure.com"
ML = "https://phi.eastus2.inference.ml.azure.com"
RES = "https://res.services.ai.azure.com"
AOAI = "https://res.openai.azure.com"
COG = "https://res.cognitiveservices.azure.com"
GATEWAY = "https://gateway.example.com"
LOCAL = "http://127.0.0.1:8000"
EVIL = "https://models.ai.azure.com.evil.example"

# The pasted address, the type that it has, and the URL of its chat requests.
ADDRESSES: list[tuple[str, EndpointType, str]] = [
    (PHI, SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f"{PHI}/", SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f"{PHI}///", SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f" {PHI}\n", SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f"{PHI}#portal", SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (PHI.upper(), SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (PHI.removeprefix("https://"), SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f"{PHI}:443", SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f"{PHI}:8443", SERVERLESS, f"{PHI}:8443/chat/completions?{V}"),
    (f"{PHI}/chat/completions", SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f"{PHI}/CHAT/Completions/", SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f"{PHI}/completions", SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f"{PHI}/info", SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f"{PHI}/info?{V}", SERVERLESS, f"{PHI}/chat/completions?{V}"),
    (f"{PHI}/v1/chat/completions", SERVERLESS, f"{PHI}/v1/chat/completions?{V}"),
    (f"{PHI}/v1", SERVERLESS, f"{PHI}/v1/chat/completions?{V}"),
    (f"{PHI}?api-version=2025-04-01", SERVERLESS, f"{PHI}/chat/completions?api-version=2025-04-01"),
    (
        f"{PHI}/chat/completions?api-version=2024-04-01-preview",
        SERVERLESS,
        f"{PHI}/chat/completions?api-version=2024-04-01-preview",
    ),
    (f"{PHI}?team=a%20b", SERVERLESS, f"{PHI}/chat/completions?team=a+b&{V}"),
    (OLDER, SERVERLESS, f"{OLDER}/chat/completions?{V}"),
    (f"{OLDER}/v1/completions", SERVERLESS, f"{OLDER}/v1/chat/completions?{V}"),
    (f"{OLDER}/score", SERVERLESS, f"{OLDER}/chat/completions?{V}"),
    (ML, MANAGED, f"{ML}/chat/completions?{V}"),
    (f"{ML}/score", MANAGED, f"{ML}/chat/completions?{V}"),
    (f"{ML}/score/", MANAGED, f"{ML}/chat/completions?{V}"),
    (f"{ML}/Score", MANAGED, f"{ML}/chat/completions?{V}"),
    (f"{ML}/v1/chat/completions", MANAGED, f"{ML}/v1/chat/completions?{V}"),
    (f"{ML}/chat/completions?{V}", MANAGED, f"{ML}/chat/completions?{V}"),
    ("phi.eastus2.inference.ml.azure.com/score", MANAGED, f"{ML}/chat/completions?{V}"),
    (RES, OPENAI, f"{RES}/openai/v1/chat/completions"),
    (f"{RES}/", OPENAI, f"{RES}/openai/v1/chat/completions"),
    (f"{RES}?{V}", OPENAI, f"{RES}/openai/v1/chat/completions"),
    (f"{RES}?team=a", OPENAI, f"{RES}/openai/v1/chat/completions?team=a"),
    (f"{RES}/models", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/models/", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/models/info", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/chat/completions", OPENAI, f"{RES}/openai/v1/chat/completions"),
    (f"{RES}/models/chat/completions?{V}", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/api/projects/mine", OPENAI, f"{RES}/openai/v1/chat/completions"),
    (
        f"{RES}/api/projects/mine/openai/v1",
        OPENAI,
        f"{RES}/api/projects/mine/openai/v1/chat/completions",
    ),
    ("RES.Services.AI.Azure.com", OPENAI, f"{RES}/openai/v1/chat/completions"),
    (f"{GATEWAY}/foundry/models", FOUNDRY, f"{GATEWAY}/foundry/models/chat/completions?{V}"),
    (f"{LOCAL}/models", FOUNDRY, f"{LOCAL}/models/chat/completions?{V}"),
    (f"{RES}/openai/v1", OPENAI, f"{RES}/openai/v1/chat/completions"),
    (f"{RES}/openai/v1/", OPENAI, f"{RES}/openai/v1/chat/completions"),
    (f"{RES}/OpenAI/v1", OPENAI, f"{RES}/OpenAI/v1/chat/completions"),
    (f"{RES}/openai", OPENAI, f"{RES}/openai/v1/chat/completions"),
    (f"{RES}/openai/v1/chat/completions", OPENAI, f"{RES}/openai/v1/chat/completions"),
    (f"{RES}/openai/v1/models", OPENAI, f"{RES}/openai/v1/chat/completions"),
    (AOAI, OPENAI, f"{AOAI}/openai/v1/chat/completions"),
    (f"{AOAI}/openai", OPENAI, f"{AOAI}/openai/v1/chat/completions"),
    (f"{AOAI}/openai/v1/", OPENAI, f"{AOAI}/openai/v1/chat/completions"),
    (COG, OPENAI, f"{COG}/openai/v1/chat/completions"),
    (f"{GATEWAY}/openai/v1", OPENAI, f"{GATEWAY}/openai/v1/chat/completions"),
    (
        f"{AOAI}/openai/deployments/phi",
        OPENAI,
        f"{AOAI}/openai/deployments/phi/chat/completions?api-version=2024-06-01",
    ),
    (
        f"{AOAI}/openai/deployments/phi/chat/completions?api-version=2024-10-21",
        OPENAI,
        f"{AOAI}/openai/deployments/phi/chat/completions?api-version=2024-10-21",
    ),
    ("localhost:11434/v1", OPENAI, "http://localhost:11434/v1/chat/completions"),
    ("http://localhost:11434/v1/models", OPENAI, "http://localhost:11434/v1/chat/completions"),
    ("http://localhost:5273/v1/", OPENAI, "http://localhost:5273/v1/chat/completions"),
    ("http://[::1]:8080/v1", OPENAI, "http://[::1]:8080/v1/chat/completions"),
    ("[::1]:8080", OTHER, "http://[::1]:8080/chat/completions"),
    ("127.0.0.1:8000", OTHER, f"{LOCAL}/chat/completions"),
    (f"{LOCAL}/score", OTHER, f"{LOCAL}/chat/completions"),
    (f"{GATEWAY}/Team/phi/v1", OPENAI, f"{GATEWAY}/Team/phi/v1/chat/completions"),
    (f"{GATEWAY}/Team/phi", OTHER, f"{GATEWAY}/Team/phi/chat/completions"),
    ("https://[2001:db8::1]:9000/v1", OPENAI, "https://[2001:db8::1]:9000/v1/chat/completions"),
    (EVIL, OTHER, f"{EVIL}/chat/completions"),
]


class Recorder:
    """A transport that keeps requests, and answers each with the next of its answers."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Keep and answer one request."""
        self.requests.append(request)
        if self._answers:
            return self._answers.pop(0)
        return httpx.Response(200, json=COMPLETION)

    @property
    def paths(self) -> list[str]:
        """The paths of the requests, in order."""
        return [request.url.path for request in self.requests]

    def model(self, endpoint: str, **settings: Any) -> ChatAzurePhi3:
        """A model whose requests end here."""
        client = httpx.Client(transport=httpx.MockTransport(self))
        settings = {"credential": KEY, "max_retries": 0, **settings}
        return ChatAzurePhi3(endpoint=endpoint, http_client=client, **settings)


def json_body(request: httpx.Request) -> Any:
    """The JSON of a request."""
    return json.loads(request.content)


# -- refused before a request --------------------------------------------------------------------


def test_unknown_api_is_an_error() -> None:
    """The error lists the known values."""
    with pytest.raises(InvalidInputError, match="api must be 'auto', 'serverless'"):
        ChatAzurePhi3(endpoint=PHI, credential=KEY, api="soap")


def test_missing_model_name_is_an_error() -> None:
    """Where the name is part of the address, nothing is sent without it."""
    for endpoint in (RES, AOAI, f"{LOCAL}/openai/v1"):
        recorder = Recorder()

        with pytest.raises(InvalidInputError, match="needs model=, the name of the deployment"):
            recorder.model(endpoint).invoke("Hi")
        assert recorder.requests == [], endpoint


# -- addresses -----------------------------------------------------------------------------------


def test_every_address_gives_its_url() -> None:
    """More than sixty spellings of addresses, each followed by the right path and query."""
    found = {}
    for pasted, _, _ in ADDRESSES:
        recorder = Recorder()
        recorder.model(pasted, model=MODEL).invoke("Hi")
        found[pasted] = str(recorder.requests[0].url)

    assert found == {pasted: url for pasted, _, url in ADDRESSES}
    assert len(found) == len(ADDRESSES) >= 60


@pytest.mark.parametrize("endpoint_type", ENDPOINT_TYPES, ids=lambda each: each.name)
def test_requests_fit_the_endpoint_type(endpoint_type: EndpointType) -> None:
    """Headers and bodies of a complete answer, of a stream, and of a call with an extra."""
    base = {"messages": QUESTION} | ({"model": MODEL} if endpoint_type.model else {})
    usage = {"stream_options": {"include_usage": True}} if endpoint_type.native else {}
    extras_header = None if endpoint_type.native else "pass-through"
    for pasted in (address for address, each, _ in ADDRESSES if each == endpoint_type):
        recorder = Recorder()
        model = recorder.model(pasted, model=MODEL)

        model.invoke("Hi")
        list(model.stream("Hi"))
        model.invoke("Hi", logprobs=True)

        complete, streamed, extra = recorder.requests
        for request in recorder.requests:
            assert request.method == "POST"
            assert request.headers["authorization"] == f"Bearer {KEY}"
            assert request.headers.get("api-key") == (KEY if endpoint_type.api_key else None)
            assert request.headers["content-type"] == "application/json"
        assert json_body(complete) == base, pasted
        assert json_body(streamed) == {**base, "stream": True, **usage}, pasted
        assert json_body(extra) == {**base, "logprobs": True}, pasted
        sent_headers = [request.headers.get("extra-parameters") for request in recorder.requests]
        assert sent_headers == [None, None, extras_header], pasted
        assert complete.headers["accept"] == "application/json"
        assert streamed.headers["accept"] == "text/event-stream, application/json"


OVERRIDES: list[tuple[Any, str, str, EndpointType]] = [
    ("serverless", f"{GATEWAY}/phi", f"{GATEWAY}/phi/chat/completions?{V}", SERVERLESS),
    ("managed", OLDER, f"{OLDER}/chat/completions?{V}", MANAGED),
    ("foundry", f"{GATEWAY}/ai", f"{GATEWAY}/ai/chat/completions?{V}", FOUNDRY),
    ("foundry", GATEWAY, f"{GATEWAY}/models/chat/completions?{V}", FOUNDRY),
    ("openai-v1", GATEWAY, f"{GATEWAY}/openai/v1/chat/completions", OPENAI),
    ("openai-v1", RES, f"{RES}/openai/v1/chat/completions", OPENAI),
    ("foundry", RES, f"{RES}/models/chat/completions?{V}", FOUNDRY),
    ("foundry", f"{RES}/api/projects/mine", f"{RES}/models/chat/completions?{V}", FOUNDRY),
    (
        "azure-openai",
        f"{GATEWAY}/d/phi",
        f"{GATEWAY}/d/phi/chat/completions?api-version=2024-06-01",
        OPENAI,
    ),
    ("openai-server", LOCAL, f"{LOCAL}/v1/chat/completions", OPENAI),
    ("openai-server", f"{GATEWAY}/llm", f"{GATEWAY}/llm/chat/completions", OPENAI),
]


def test_api_overrides_the_inferred_type() -> None:
    """Custom domains and gateways do not look like any known endpoint."""
    for api, endpoint, url, endpoint_type in OVERRIDES:
        recorder = Recorder()

        recorder.model(endpoint, api=api, model=MODEL).invoke("Hi")

        (request,) = recorder.requests
        assert str(request.url) == url
        assert ("model" in json_body(request)) == endpoint_type.model, url
        assert ("api-key" in request.headers) == endpoint_type.api_key, url


def test_deployment_name_is_sent_as_a_header() -> None:
    """It selects one of several deployments, for answers and for the model's name."""
    recorder = Recorder(
        httpx.Response(200, json=COMPLETION), httpx.Response(200, json={"model_name": "x"})
    )
    model = recorder.model(f"{ML}/score", deployment="blue")

    model.invoke("Hi")
    model.get_model_info()

    sent = [request.headers["azureml-model-deployment"] for request in recorder.requests]
    assert sent == ["blue", "blue"]


INFO_URLS = {
    PHI: f"{PHI}/info?{V}",
    f"{PHI}/v1": f"{PHI}/info?{V}",
    f"{ML}/score": f"{ML}/info?{V}",
    f"{RES}/models": f"{RES}/models/info?api-version=2025-04-01&model_deployment={MODEL}",
}


def test_info_route_is_next_to_the_chat_route() -> None:
    """On Foundry only in a later version of the API, with the name of the deployment."""
    for endpoint, url in INFO_URLS.items():
        recorder = Recorder(httpx.Response(200, json={"model_name": "x"}))

        assert recorder.model(endpoint, model=MODEL).get_model_info().model_name == "x"
        assert str(recorder.requests[0].url) == url


# -- older servers, with another route -----------------------------------------------------------

NEW, OLD = "/chat/completions", "/v1/chat/completions"


def missing_route(status: int = 404, wrapped: str | None = None) -> httpx.Response:
    """The answer to an unknown route, by the container or by the gateway in front of it."""
    headers = {} if wrapped is None else {"ms-azureml-model-error-statuscode": wrapped}
    return httpx.Response(status, json={"detail": "Not Found"}, headers=headers)


def managed_endpoint(name: str) -> str:
    """An endpoint that no other test uses: which route answers is remembered by endpoint."""
    return f"https://{name}.eastus2.inference.ml.azure.com"


def test_missing_on_both_routes_is_an_error() -> None:
    """Two requests, whatever the number of retries; nothing is remembered."""
    recorder = Recorder(missing_route(), missing_route())
    model = recorder.model(managed_endpoint("gone"), max_retries=5)

    with pytest.raises(NotFoundError, match="only have /score"):
        model.invoke("Hi")
    model.invoke("Hi")

    assert recorder.paths == [NEW, OLD, NEW]


def test_missing_route_names_the_inferred_type() -> None:
    """The error names the inferred endpoint type, and how to override it."""
    recorder = Recorder(missing_route(), missing_route())

    with pytest.raises(NotFoundError, match=r"inferred from the URL: endpoint\. Set api="):
        recorder.model(f"{GATEWAY}/phi").invoke("Hi")


MISSING_DEPLOYMENTS: list[Any] = [
    {"error": {"code": "DeploymentNotFound", "message": "It does not exist."}},
    {"object": "error", "message": "The model `x` does not exist.", "code": 404},
]


def test_missing_deployment_tries_no_other_route() -> None:
    """The route exists, so another path would give the same error."""
    for body in MISSING_DEPLOYMENTS:
        recorder = Recorder(httpx.Response(404, json=body))

        with pytest.raises(NotFoundError):
            recorder.model(ML).invoke("Hi")
        assert len(recorder.requests) == 1, body


def test_a_refused_image_is_no_missing_route() -> None:
    """Although the status is 404: no other route is tried, and none is recommended."""
    body = {"error": "Not Found", "message": "Modality not supported by the model: no image."}
    for endpoint in (ML, f"{LOCAL}/v1", LOCAL):
        recorder = Recorder(httpx.Response(404, json=body))

        with pytest.raises(BadRequestError, match="Use a model that accepts it") as caught:
            recorder.model(endpoint, model=MODEL).invoke("Hi")
        assert len(recorder.requests) == 1
        assert "/v1" not in str(caught.value)


def test_foundry_falls_back_to_the_models_route() -> None:
    """For the host or a project's page; with its API version, and extras passed on to the model."""
    for number, path in enumerate(("", "/api/projects/mine", "?api-version=2025-04-01")):
        recorder = Recorder(missing_route())
        model = recorder.model(f"https://r{number}.services.ai.azure.com{path}", model=MODEL)

        model.invoke("Hi", logprobs=True)
        model.invoke("Hi", extra_parameters="drop")

        assert recorder.paths == ["/openai/v1" + NEW, "/models" + NEW, "/models" + NEW]
        newer, older, again = recorder.requests
        version = "2025-04-01" if "?" in path else "2024-05-01-preview"
        assert (newer.url.query, older.url.params["api-version"]) == (b"", version)
        sent_headers = [request.headers.get("extra-parameters") for request in recorder.requests]
        assert sent_headers == [None, "pass-through", "drop"]
        assert again.url == older.url


def test_types_with_one_route_send_one_request() -> None:
    """These endpoints have no older servers."""
    for endpoint in (f"{RES}/models", f"{RES}/openai/v1", AOAI, "http://localhost:11434/v1"):
        recorder = Recorder(missing_route())

        with pytest.raises(NotFoundError):
            recorder.model(endpoint, model=MODEL).invoke("Hi")
        assert len(recorder.requests) == 1, endpoint


def test_missing_route_falls_back_to_v1_once() -> None:
    """After a 404, or a 424 around it, every later request of this endpoint goes to /v1."""
    missing = (missing_route(), missing_route(424), missing_route(424, "404"), missing_route(405))
    for number, answer in enumerate(missing):
        endpoint = managed_endpoint(f"older-{number}")
        recorder = Recorder(answer)
        model = recorder.model(endpoint)

        model.invoke("Hi")
        list(model.stream("Hi"))
        recorder.model(endpoint).invoke("Hi")

        assert recorder.paths == [NEW, OLD, OLD, OLD], answer


def test_remembered_route_is_dropped_when_it_disappears() -> None:
    """The endpoint got a newer image, which has no /v1."""
    completion = httpx.Response(200, json=COMPLETION)
    recorder = Recorder(missing_route(), completion, missing_route(424), completion)
    model = recorder.model(managed_endpoint("renewed"))

    for _ in range(3):
        model.invoke("Hi")

    assert recorder.paths == [NEW, OLD, OLD, NEW, NEW]


def test_each_deployment_remembers_its_own_route() -> None:
    """Two deployments of one endpoint may have different images."""
    recorder = Recorder(missing_route())

    recorder.model(managed_endpoint("two"), deployment="blue").invoke("Hi")
    recorder.model(managed_endpoint("two"), deployment="green").invoke("Hi")

    assert recorder.paths == [NEW, OLD, NEW]


def test_retries_use_the_route_that_exists() -> None:
    """A rate limit of the older route is retried on the older route."""
    recorder = Recorder(missing_route(), httpx.Response(429, headers={"retry-after": "0"}))

    recorder.model(managed_endpoint("limited"), max_retries=1).invoke("Hi")

    assert recorder.paths == [NEW, OLD, OLD]


def test_local_server_without_v1_is_found(caplog: pytest.LogCaptureFixture) -> None:
    """After Ollama's "404 page not found"; the log names the new URL, without its query."""
    recorder = Recorder(httpx.Response(404, text="404 page not found"))
    caplog.set_level("INFO", logger="langchain_azure_phi3")

    recorder.model("http://localhost:11434?token=secret", model="phi3").invoke("Hi")

    logged = [r.getMessage() for r in caplog.records if r.name.startswith("langchain_azure_phi3")]
    assert recorder.paths == [NEW, OLD]
    assert "http://localhost:11434/v1/chat/completions, because of 404" in "".join(logged)
    assert "secret" not in "".join(logged)


# -- refused keys --------------------------------------------------------------------------------

REFUSED_KEYS = [
    (PHI, "header authorization and in api-key", "32-character key"),
    (ML, "header authorization and in api-key", "auth mode aad_token"),
    (RES, "header authorization and in api-key", "audience is https://cognitiveservices"),
    (AOAI, "header authorization and in api-key", "audience is https://cognitiveservices"),
    (f"{LOCAL}/v1", "header authorization and in api-key", "the server was started with"),
    (LOCAL, "header authorization and in api-key", "belongs to this endpoint"),
]


def test_refused_key_names_header_and_advice() -> None:
    """For each type of endpoint; the key is redacted, even where the server quotes it."""
    for endpoint, header, advice in REFUSED_KEYS:
        for status, error in ((401, AuthenticationError), (403, PermissionDeniedError)):
            body = {"error": {"code": str(status), "message": f"Bad key {KEY}"}}
            headers = {"x-echo": f"Bearer {KEY}"}
            recorder = Recorder(httpx.Response(status, json=body, headers=headers))

            with pytest.raises(error, match=f"A key was sent, in the {header}") as caught:
                recorder.model(endpoint, model=MODEL).invoke("Hi")
            assert status == 403 or advice in str(caught.value), endpoint
            assert_redacted(caught.value)


def test_key_in_a_200_error_is_redacted() -> None:
    """In complete and streamed answers: an error with status 200 is an error."""
    bodies = (
        f'data: {{"error":{{"message":"key {KEY} expired"}}}}\n\n',
        f"data: no JSON but {KEY}\n\n",
        f'{{"error":{{"message":"key {KEY} expired"}}}}',
        f"Your key {KEY} expired",
    )
    for body in bodies:
        answer = {"content": body.encode(), "headers": {"x-echo": KEY}}
        model = Recorder(httpx.Response(200, **answer), httpx.Response(200, **answer)).model(PHI)

        for call in (lambda m=model: m.invoke("Hi"), lambda m=model: list(m.stream("Hi"))):
            with pytest.raises(AzurePhi3Error, match=r"\*\*\*") as caught:
                call()
            assert_redacted(caught.value)


def assert_redacted(error: Any) -> None:
    """The key is nowhere in the error."""
    assert KEY not in f"{error} {error!r} {error.body} {error.response}"


def test_redirects_are_not_followed() -> None:
    """The key would go to another host."""
    elsewhere = httpx.Response(307, headers={"location": "https://evil.example/chat/completions"})
    recorder = Recorder(elsewhere)

    with pytest.raises(AzurePhi3Error, match="307"):
        recorder.model(PHI).invoke("Hi")
    assert [request.url.host for request in recorder.requests] == [
        "phi.eastus2.models.ai.azure.com"
    ]
