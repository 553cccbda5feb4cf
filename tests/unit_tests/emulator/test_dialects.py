"""Where the kinds of servers differ, on the wire."""

from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator
from tests.unit_tests.emulator.conftest import PASS_THROUGH

MANAGED = ["managed-2024-05", "managed-2024-06", "managed-2026-07", "foundation-model-serve"]
GUIDE = b"Please check this guide to understand why this error code might have been returned"
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def asked(
    dialect: str, path: str, body: Any = HELLO, *, headers: Any = None, key: str = "k", **more: Any
) -> httpx.Response:
    """The answer to one POST, or to a GET where there is no body."""
    phi = Emulator("Phi-3-mini-4k-instruct", "Phi-3.5-vision-instruct", dialect=dialect, key="k")
    with httpx.Client(transport=phi.transport(), base_url="http://phi.invalid") as client:
        signed = {"authorization": f"Bearer {key}", **(headers or {})}
        method = "GET" if body is None else "POST"
        return client.request(method, path, json=body, headers=signed, **more)


ROUTES = {
    "serverless": ["/chat/completions", "/v1/chat/completions", "/info"],
    "managed-2024-05": ["/v1/chat/completions", "/score"],
    "managed-2024-06": ["/chat/completions", "/score", "/info"],
    "managed-2026-07": ["/chat/completions", "/v1/chat/completions", "/score", "/info"],
    "foundation-model-serve": ["/chat/completions", "/v1/chat/completions", "/score", "/v1/models"],
}


@pytest.mark.parametrize("dialect", list(ROUTES))
def test_each_image_has_its_own_routes(dialect: str) -> None:
    """A route that is there answers 405 to a wrong method, or 424 around it."""
    paths = {path for found in ROUTES.values() for path in found}
    there = []
    for path in sorted(paths):
        response = asked(dialect, path, HELLO if path in ("/info", "/v1/models") else None)
        status = response.headers.get("ms-azureml-model-error-statuscode", response.status_code)
        there += [path] if int(status) == 405 else []

    assert sorted(ROUTES[dialect]) == there


@pytest.mark.parametrize("dialect", MANAGED)
def test_managed_compute_wraps_every_error_of_its_container(dialect: str) -> None:
    """Its status in a header, its body before a sentence; a wrong key is the front's affair."""
    response = asked(dialect, "/nowhere")
    refused = asked(dialect, "/nowhere", key="wrong")

    assert response.status_code == 424
    assert response.headers["ms-azureml-model-error-statuscode"] == "404"
    assert response.headers["ms-azureml-model-error-reason"] == "Not Found"
    assert response.content.startswith(b'{"detail":"Not Found"}')
    assert GUIDE in response.content
    assert refused.status_code == 401


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("managed-2024-06", '{"detail":[{"type":"less_than_equal"'),
        ("managed-2026-07", '{"error":{"code":"Invalid input","status":422,"message":'),
        ("foundation-model-serve", '{"error":{"code":"Invalid input","status":422,"message":'),
        ("openai-v1", '{"error":{"message":"Input should be less than or equal to 1"'),
    ],
)
def test_a_wrong_field_is_told_in_the_shape_of_the_version(dialect: str, body: str) -> None:
    """A list, a list inside an error, or OpenAI's one object."""
    prefix = "/openai/v1" if dialect == "openai-v1" else ""
    named = {"model": "Phi-3-mini-4k-instruct"}

    response = asked(dialect, f"{prefix}/chat/completions", {**HELLO, **named, "temperature": 3})

    assert response.text.startswith(body)


def test_the_later_server_puts_the_engines_error_into_a_string() -> None:
    """JSON inside JSON."""
    response = asked("managed-2026-07", "/chat/completions", {**HELLO, "max_tokens": 5000})

    assert response.text.startswith('{"error":{"code":"Bad Request","message":"{\\"object\\": ')


@pytest.mark.parametrize(
    ("dialect", "path", "refused"),
    [
        ("serverless", "/chat/completions", True),
        ("managed-2024-06", "/chat/completions", True),
        ("managed-2026-07", "/v1/chat/completions", False),
        ("foundation-model-serve", "/chat/completions", False),
        ("foundry", "/models/chat/completions?api-version=2024-05-01-preview", True),
        ("openai-v1", "/openai/v1/chat/completions", False),
    ],
)
def test_extra_parameters_without_their_header(dialect: str, path: str, refused: bool) -> None:
    """An error, dropped, or taken."""
    body = {**HELLO, "model": "Phi-3-mini-4k-instruct", "n": 2}

    response = asked(dialect, path, body)

    assert ("Extra parameters ['n'] are not allowed" in response.text) == refused


@pytest.mark.parametrize(
    ("dialect", "logprobs"),
    [("serverless", True), ("managed-2024-06", False), ("foundation-model-serve", False)],
)
def test_log_probabilities_are_dropped_by_managed_compute(dialect: str, logprobs: bool) -> None:
    """Though the engine gave them."""
    body = {**HELLO, "logprobs": True}

    choice = asked(dialect, "/chat/completions", body, headers=PASS_THROUGH).json()["choices"][0]

    assert (choice["logprobs"] is not None) == logprobs


@pytest.mark.parametrize(
    ("dialect", "path", "info"),
    [
        ("serverless", "/info", ("Phi-3-mini-4k-Instruct", "chat-completions", "Microsoft")),
        ("managed-2024-06", "/info", ("Phi-3-mini-4k-instruct", "chat-completion", "microsoft")),
        (
            "foundry",
            "/models/info?api-version=2025-04-01&model_deployment=Phi-3.5-vision-instruct",
            ("Phi-3.5-vision-instruct", "chat-completion", "microsoft"),
        ),
    ],
)
def test_info_by_kind(dialect: str, path: str, info: tuple[str, ...]) -> None:
    """Names, types and providers are spelled differently."""
    assert tuple(asked(dialect, path, None).json().values()) == info


@pytest.mark.parametrize(
    "path", ["/models/info?api-version=2025-04-01", "/models/info?api-version=2024-05-01-preview"]
)
def test_info_on_foundry_needs_a_name_and_the_later_version(path: str) -> None:
    """Else it is not found."""
    assert asked("foundry", path, None).status_code == 404


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        ("managed-2024-06", "Phi-3.5-vision-128k-instruct"),
        ("managed-2024-05", "/var/azureml-app/azureml-models/Phi-3.5-vision-128k-instruct/1"),
    ],
)
def test_answers_call_the_model_as_the_registry_does(dialect: str, name: str) -> None:
    """Or by the path of its files."""
    path = ROUTES[dialect][0]

    body = asked(dialect, path, {**HELLO, "model": "Phi-3.5-vision-instruct"}).json()

    assert body["model"] == name


@pytest.mark.parametrize(
    ("dialect", "path", "status", "words"),
    [
        ("foundry", "/models/chat/completions?api-version=x", 404, "DeploymentNotFound"),
        ("openai-v1", "/openai/v1/chat/completions", 404, "DeploymentNotFound"),
        ("github", "/inference/chat/completions", 404, "unknown_model"),
        ("openai-server", "/v1/chat/completions", 404, "The model `Phi-9` does not exist."),
        ("ollama", "/v1/chat/completions", 404, "try pulling it first"),
        ("foundation-model-serve", "/chat/completions", 424, "The model `Phi-9` does not exist."),
        ("managed-2024-06", "/chat/completions", 200, "Phi-3-mini-4k-instruct"),
    ],
)
def test_a_name_that_nobody_has(dialect: str, path: str, status: int, words: str) -> None:
    """Each kind has its own words; some do not care."""
    response = asked(dialect, path, {**HELLO, "model": "Phi-9"})

    assert response.status_code == status
    assert words in response.text


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        ("foundry", "/models/chat/completions", {"error": {"code": "404"}}),
        (
            "azure-openai",
            "/openai/deployments/Phi-3-mini-4k-instruct/chat/completions",
            {"error": {"code": "404"}},
        ),
        ("azure-openai", "/openai/deployments/x/chat/completions", {"error": {"code": "Deploy"}}),
        ("foundry", "/models/chat/completions?api-version=x", {"error": {"code": "no_model_name"}}),
    ],
)
def test_what_azure_misses_in_a_request(dialect: str, path: str, body: Any) -> None:
    """A version, a deployment, a name."""
    assert asked(dialect, path).json()["error"]["code"].startswith(body["error"]["code"])


@pytest.mark.parametrize(
    ("dialect", "headers", "status"),
    [
        ("foundry", {"authorization": "", "api-key": "k"}, 404),
        ("foundry", {"authorization": "", "api-key": "wrong"}, 401),
        ("github", {"authorization": "", "api-key": "k"}, 401),
        ("managed-2024-06", {"authorization": "", "api-key": "k"}, 401),
        ("openai-server", {"authorization": "Bearer wrong"}, 401),
        ("ollama", {"authorization": ""}, 404),
    ],
)
def test_which_header_opens_the_door(dialect: str, headers: Any, status: int) -> None:
    """Behind the door, the path is not found."""
    assert asked(dialect, "/nowhere", headers=headers).status_code == status


def test_ollama_says_not_found_in_plain_text() -> None:
    """As Go's web server does."""
    response = asked("ollama", "/chat/completions")

    assert (response.status_code, response.text) == (404, "404 page not found")
    assert response.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("body", [{}, [], {"input_data": 5}, {"input_data": {"parameters": 5}}])
def test_score_answers_nonsense_with_nothing(body: Any) -> None:
    """And with status 200."""
    response = asked("managed-2024-06", "/score", body)

    assert (response.status_code, response.json()) == (200, {})


def test_score_reads_its_own_parameters() -> None:
    """Another name for the limit, a switch for sampling; the rest is dropped."""
    data = {
        "input_string": HELLO["messages"],
        "parameters": {"max_new_tokens": 3, "do_sample": False, "unknown": 1},
    }

    later = asked("foundation-model-serve", "/score", {"input_data": data}).json()

    assert later["usage"]["completion_tokens"] == 3
    assert later["output"] == later["message"]["content"]
    assert later["finish_reason"] == "length"
