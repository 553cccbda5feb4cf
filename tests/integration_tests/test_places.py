"""Every address that users paste, and the request that each must give, through the chat model."""

import json
from typing import Any, NamedTuple

import httpx
import pytest

from langchain_azure_phi3 import (
    AuthenticationError,
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


class Place(NamedTuple):
    """What one kind of endpoint is sent besides the conversation."""

    api_key: bool = True
    model: bool = False
    native: bool = False


SERVERLESS = MANAGED = Place()
FOUNDRY = Place(model=True)
OPENAI = Place(model=True, native=True)
GITHUB = Place(model=True, api_key=False)
OTHER = Place(model=True)

V = "api-version=2024-05-01-preview"
PHI = "https://phi.eastus2.models.ai.azure.com"
OLDER = "https://phi.eastus2.inference.ai.azure.com"
ML = "https://phi.eastus2.inference.ml.azure.com"
RES = "https://res.services.ai.azure.com"
AOAI = "https://res.openai.azure.com"
COG = "https://res.cognitiveservices.azure.com"
HUB = "https://models.github.ai"
GATEWAY = "https://gateway.example.com"
LOCAL = "http://127.0.0.1:8000"

# pasted, what is sent, and where to
ADDRESSES: list[tuple[str, Place, str]] = [
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
    (RES, FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/models", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/models/", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/models/info", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/chat/completions", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/models/chat/completions?{V}", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    (f"{RES}/api/projects/mine", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
    ("RES.Services.AI.Azure.com", FOUNDRY, f"{RES}/models/chat/completions?{V}"),
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
    (
        "https://models.inference.ai.azure.com",
        GITHUB,
        "https://models.inference.ai.azure.com/chat/completions",
    ),
    (HUB, GITHUB, f"{HUB}/inference/chat/completions"),
    (f"{HUB}/inference", GITHUB, f"{HUB}/inference/chat/completions"),
    (f"{HUB}/inference/chat/completions", GITHUB, f"{HUB}/inference/chat/completions"),
    (f"{HUB}/orgs/us/inference", GITHUB, f"{HUB}/orgs/us/inference/chat/completions"),
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
    ("https://models.ai.azure.com.evil.example", OTHER, None),  # type: ignore[list-item]
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

    def model(self, endpoint: str, **settings: Any) -> ChatAzurePhi3:
        """A model whose requests end here."""
        client = httpx.Client(transport=httpx.MockTransport(self))
        settings = {"credential": KEY, "max_retries": 0, **settings}
        return ChatAzurePhi3(endpoint=endpoint, http_client=client, **settings)


def body(request: httpx.Request) -> Any:
    """The JSON that was sent."""
    return json.loads(request.content)


def test_the_table_is_long_enough() -> None:
    """Sixty ways to write an address, none of them twice."""
    assert len({pasted for pasted, _, _ in ADDRESSES}) == len(ADDRESSES) >= 60


@pytest.mark.parametrize(("pasted", "place", "url"), ADDRESSES, ids=[row[0] for row in ADDRESSES])
def test_an_address_gives_its_request(pasted: str, place: Place, url: str | None) -> None:
    """Request line, headers and body, of a whole answer and of a stream."""
    sent = Recorder()
    model = sent.model(pasted, model=MODEL)

    model.invoke("Hi")
    list(model.stream("Hi"))
    model.invoke("Hi", logprobs=True)

    whole, streamed, extra = sent.requests
    for request in sent.requests:
        assert request.method == "POST"
        assert str(request.url) == (url or f"{pasted}/chat/completions")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers.get("api-key") == (KEY if place.api_key else None)
        assert request.headers["content-type"] == "application/json"
    named = {"model": MODEL} if place.model else {}
    usage = {"stream_options": {"include_usage": True}} if place.native else {}
    assert body(whole) == {"messages": QUESTION, **named}
    assert body(streamed) == {"messages": QUESTION, **named, "stream": True, **usage}
    assert body(extra) == {"messages": QUESTION, **named, "logprobs": True}
    passed = None if place.native else "pass-through"
    assert [r.headers.get("extra-parameters") for r in sent.requests] == [None, None, passed]
    assert whole.headers["accept"] == "application/json"
    assert streamed.headers["accept"] == "text/event-stream, application/json"


@pytest.mark.parametrize(
    ("api", "endpoint", "url", "place"),
    [
        ("serverless", f"{GATEWAY}/phi", f"{GATEWAY}/phi/chat/completions?{V}", SERVERLESS),
        ("managed", OLDER, f"{OLDER}/chat/completions?{V}", MANAGED),
        ("foundry", f"{GATEWAY}/ai", f"{GATEWAY}/ai/chat/completions?{V}", FOUNDRY),
        ("foundry", GATEWAY, f"{GATEWAY}/models/chat/completions?{V}", FOUNDRY),
        ("openai-v1", GATEWAY, f"{GATEWAY}/openai/v1/chat/completions", OPENAI),
        ("openai-v1", RES, f"{RES}/openai/v1/chat/completions", OPENAI),
        ("azure-openai", f"{GATEWAY}/d/phi", None, OPENAI),
        ("github", f"{GATEWAY}/hub", f"{GATEWAY}/hub/chat/completions", GITHUB),
        ("openai-server", LOCAL, f"{LOCAL}/v1/chat/completions", OPENAI),
        ("openai-server", f"{GATEWAY}/llm", f"{GATEWAY}/llm/chat/completions", OPENAI),
    ],
)
def test_the_guess_can_be_overruled(api: Any, endpoint: str, url: str | None, place: Place) -> None:
    """Custom domains and gateways look like nothing that is known."""
    sent = Recorder()

    sent.model(endpoint, api=api, model=MODEL).invoke("Hi")

    (request,) = sent.requests
    expected = url or f"{endpoint}/chat/completions?api-version=2024-06-01"
    assert str(request.url) == expected
    assert ("model" in body(request), "api-key" in request.headers) == (place.model, place.api_key)


def test_a_wrong_guess_is_told_with_the_way_out() -> None:
    """The 404 names what the endpoint was taken for."""
    sent = Recorder(*[httpx.Response(404, json={"detail": "Not Found"}) for _ in range(2)])

    with pytest.raises(NotFoundError, match=r"taken for: endpoint; api= decides"):
        sent.model(f"{GATEWAY}/phi").invoke("Hi")


def test_an_unknown_api_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(InvalidInputError, match="api: Input should be 'auto', 'serverless'"):
        ChatAzurePhi3(endpoint=PHI, credential=KEY, api="soap")


@pytest.mark.parametrize("endpoint", [RES, AOAI, HUB, f"{LOCAL}/openai/v1"])
def test_a_name_is_demanded_where_it_is_the_address(endpoint: str) -> None:
    """Before anything is sent."""
    sent = Recorder()

    with pytest.raises(InvalidInputError, match="needs model=, the name of the deployment"):
        sent.model(endpoint).invoke("Hi")
    assert sent.requests == []


def test_a_named_deployment_is_asked_for() -> None:
    """One of several behind an online endpoint, for answers and for its model's name."""
    sent = Recorder(
        httpx.Response(200, json=COMPLETION), httpx.Response(200, json={"model_name": "x"})
    )
    model = sent.model(f"{ML}/score", deployment="blue")

    model.invoke("Hi")
    model.get_model_info()

    assert [r.headers["azureml-model-deployment"] for r in sent.requests] == ["blue", "blue"]


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (PHI, f"{PHI}/info?{V}"),
        (f"{PHI}/v1", f"{PHI}/info?{V}"),
        (f"{ML}/score", f"{ML}/info?{V}"),
        (RES, f"{RES}/models/info?api-version=2025-04-01&model_deployment={MODEL}"),
        (f"{LOCAL}/v1", f"{LOCAL}/v1/info"),
    ],
)
def test_the_models_name_is_asked_for_where_it_is(endpoint: str, url: str) -> None:
    """Beside the chat route, and on Foundry only in its later version, with the deployment."""
    sent = Recorder(httpx.Response(200, json={"model_name": "x"}))

    assert sent.model(endpoint, model=MODEL).get_model_info().model_name == "x"
    assert str(sent.requests[0].url) == url


# -- servers of another age --------------------------------------------------------------------

NOT_FOUND = {"detail": "Not Found"}


def missing(status: int = 404, wrapped: str | None = None) -> httpx.Response:
    """No such route, said by the container or by the front end before it."""
    headers = {} if wrapped is None else {"ms-azureml-model-error-statuscode": wrapped}
    return httpx.Response(status, json=NOT_FOUND, headers=headers)


def paths(sent: Recorder) -> list[str]:
    """What was asked, in order."""
    return [request.url.path for request in sent.requests]


OLD, NEW = "/v1/chat/completions", "/chat/completions"


@pytest.mark.parametrize(
    "first", [missing, lambda: missing(424), lambda: missing(424, "404"), lambda: missing(405)]
)
def test_a_missing_route_is_looked_for_under_v1_once_and_remembered(first: Any) -> None:
    """A 404, or a 424 around one: images from before 24 June 2024 have /v1 only."""
    endpoint = f"https://{abs(hash(first))}.eastus2.inference.ml.azure.com"
    sent = Recorder(first())

    model = sent.model(endpoint)
    model.invoke("Hi")
    list(model.stream("Hi"))
    sent.model(endpoint).invoke("Hi")

    assert paths(sent) == [NEW, OLD, OLD, OLD]


def test_what_was_remembered_is_forgotten_when_it_is_gone() -> None:
    """The endpoint got a newer image, which has no /v1."""
    endpoint = "https://renewed.eastus2.inference.ml.azure.com"
    answer = httpx.Response(200, json=COMPLETION)
    sent = Recorder(missing(), answer, missing(424), answer)
    model = sent.model(endpoint)

    for _ in range(3):
        model.invoke("Hi")

    assert paths(sent) == [NEW, OLD, OLD, NEW, NEW]


def test_each_deployment_behind_an_endpoint_is_remembered_apart() -> None:
    """Blue may be of another age than green."""
    endpoint = "https://two.eastus2.inference.ml.azure.com"
    sent = Recorder(missing())

    sent.model(endpoint, deployment="blue").invoke("Hi")
    sent.model(endpoint, deployment="green").invoke("Hi")

    assert paths(sent) == [NEW, OLD, NEW]


def test_when_both_are_missing_it_is_said_after_two_requests() -> None:
    """And nothing is remembered."""
    endpoint = "https://gone.eastus2.inference.ml.azure.com"
    sent = Recorder(missing(), missing())
    model = sent.model(endpoint, max_retries=5)

    with pytest.raises(NotFoundError, match="only /score"):
        model.invoke("Hi")
    model.invoke("Hi")

    assert paths(sent) == [NEW, OLD, NEW]


@pytest.mark.parametrize(
    "refusal",
    [
        {"error": {"code": "DeploymentNotFound", "message": "It does not exist."}},
        {"object": "error", "message": "The model `x` does not exist.", "code": 404},
        {"error": "Not Found", "message": "Modality not supported by the model: no image."},
    ],
)
def test_a_missing_deployment_means_what_it_says_at_once(refusal: Any) -> None:
    """The route is there: another path would say the same."""
    sent = Recorder(httpx.Response(404, json=refusal))

    with pytest.raises(NotFoundError):
        sent.model(ML).invoke("Hi")
    assert len(sent.requests) == 1


def test_a_rate_limit_on_the_older_route_is_waited_for_there() -> None:
    """Retries go where the route is."""
    endpoint = "https://limited.eastus2.inference.ml.azure.com"
    limit = httpx.Response(429, headers={"retry-after": "0"})
    sent = Recorder(missing(), limit)

    sent.model(endpoint, max_retries=1).invoke("Hi")

    assert paths(sent) == [NEW, OLD, OLD]


@pytest.mark.parametrize("endpoint", [RES, f"{AOAI}/openai/v1", HUB, "http://localhost:11434/v1"])
def test_kinds_with_one_route_are_asked_once(endpoint: str) -> None:
    """There are no older servers of these."""
    sent = Recorder(missing())

    with pytest.raises(NotFoundError):
        sent.model(endpoint, model=MODEL).invoke("Hi")
    assert len(sent.requests) == 1


def test_a_local_server_without_v1_is_found(caplog: pytest.LogCaptureFixture) -> None:
    """Ollama's "404 page not found"; a log line says what happened, without a query."""
    sent = Recorder(httpx.Response(404, text="404 page not found"))
    caplog.set_level("INFO", logger="langchain_azure_phi3")

    sent.model("http://localhost:11434?token=secret", model="phi3").invoke("Hi")

    assert paths(sent) == [NEW, OLD]
    assert "http://localhost:11434/v1/chat/completions, because of 404" in caplog.text
    assert "secret" not in "".join(
        r.getMessage() for r in caplog.records if r.name.startswith("langchain_azure_phi3")
    )


# -- refusals ----------------------------------------------------------------------------------

REFUSED = [
    (PHI, "header authorization and in api-key", "32-character key"),
    (ML, "header authorization and in api-key", "auth mode aad_token"),
    (RES, "header authorization and in api-key", "audience is https://cognitiveservices"),
    (AOAI, "header authorization and in api-key", "audience is https://cognitiveservices"),
    (HUB, r"header authorization\.", "permission models: read"),
    (f"{LOCAL}/v1", "header authorization and in api-key", "the server was started with"),
    (LOCAL, "header authorization and in api-key", "belongs to this endpoint"),
]


@pytest.mark.parametrize(("endpoint", "header", "advice"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_refused_key_is_told_with_its_header_and_what_to_check(
    endpoint: str, header: str, advice: str
) -> None:
    """For each kind of endpoint; never the key, though the server quotes it."""
    for status, kind in ((401, AuthenticationError), (403, PermissionDeniedError)):
        refusal = {"error": {"code": str(status), "message": f"Bad key {KEY}"}}
        sent = Recorder(httpx.Response(status, json=refusal, headers={"x-echo": f"Bearer {KEY}"}))
        with pytest.raises(kind, match=f"A key was sent, in the {header}") as caught:
            sent.model(endpoint, model=MODEL).invoke("Hi")
        assert status == 403 or advice in str(caught.value)
        failure = caught.value
        assert KEY not in f"{failure} {failure!r} {failure.body} {failure.response}"


@pytest.mark.parametrize(
    "event",
    [
        f'data: {{"error":{{"message":"key {KEY} expired"}}}}\n\n',
        f"data: no JSON but {KEY}\n\n",
        f'{{"error":{{"message":"key {KEY} expired"}}}}',
        f"Your key {KEY} expired",
    ],
)
def test_a_key_that_comes_back_with_success_is_struck_out_too(event: str) -> None:
    """Whole or streamed: an error under status 200 is an error."""
    answer = {"content": event.encode(), "headers": {"x-echo": KEY}}
    sent = Recorder(httpx.Response(200, **answer), httpx.Response(200, **answer))
    model = sent.model(PHI)

    for asked in (lambda: model.invoke("Hi"), lambda: list(model.stream("Hi"))):
        with pytest.raises(Exception, match=r"\*\*\*") as caught:
            asked()
        failure: Any = caught.value
        assert KEY not in f"{failure} {failure!r} {failure.body} {failure.response}"


def test_a_redirect_is_not_followed() -> None:
    """The key would go to another host."""
    elsewhere = httpx.Response(307, headers={"location": "https://evil.example/chat/completions"})
    sent = Recorder(elsewhere)

    with pytest.raises(Exception, match="307"):
        sent.model(PHI).invoke("Hi")
    assert [request.url.host for request in sent.requests] == ["phi.eastus2.models.ai.azure.com"]
