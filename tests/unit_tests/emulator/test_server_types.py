"""The differences between the server types, on the wire."""

from typing import Any

import httpx

from langchain_azure_phi3.emulator import Emulator
from tests.unit_tests.emulator.conftest import PASS_THROUGH

MANAGED = ["managed-2024-05", "managed-2024-06", "managed-2026-07", "foundation-model-serve"]
HELP_LINK = b"Please check this guide to understand why this error code might have been returned"
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
MODEL = "Phi-3-mini-4k-instruct"
FOUNDRY = "/models/chat/completions?api-version=2024-05-01-preview"
ROUTES = {
    "serverless": ["/chat/completions", "/v1/chat/completions", "/info"],
    "managed-2024-05": ["/v1/chat/completions", "/score"],
    "managed-2024-06": ["/chat/completions", "/score", "/info"],
    "managed-2026-07": ["/chat/completions", "/v1/chat/completions", "/score", "/info"],
    "foundation-model-serve": ["/chat/completions", "/v1/chat/completions", "/score", "/v1/models"],
}


def send(
    server_type: str, path: str, body: Any = HELLO, *, headers: Any = None, key: str = "k"
) -> httpx.Response:
    """The answer to a POST, or to a GET without a body."""
    phi = Emulator(MODEL, "Phi-3.5-vision-instruct", server_type=server_type, key="k")
    with httpx.Client(transport=phi.transport(), base_url="http://phi.invalid") as client:
        signed = {"authorization": f"Bearer {key}", **(headers or {})}
        return client.request("GET" if body is None else "POST", path, json=body, headers=signed)


def test_each_type_has_its_routes() -> None:
    """A route that exists answers 405 to a wrong method, or 424 around it."""
    paths = sorted({path for routes in ROUTES.values() for path in routes})
    for server_type, routes in ROUTES.items():
        found = []
        for path in paths:
            response = send(server_type, path, HELLO if path in ("/info", "/v1/models") else None)
            status = response.headers.get("ms-azureml-model-error-statuscode", response.status_code)
            found += [path] if int(status) == 405 else []
        assert sorted(routes) == found


def test_managed_compute_wraps_errors() -> None:
    """The status moves to a header, and a link follows the body; a wrong key is not wrapped."""
    for server_type in MANAGED:
        response = send(server_type, "/nowhere")
        assert response.status_code == 424
        assert response.headers["ms-azureml-model-error-statuscode"] == "404"
        assert response.headers["ms-azureml-model-error-reason"] == "Not Found"
        assert response.content.startswith(b'{"detail":"Not Found"}')
        assert HELP_LINK in response.content
        assert send(server_type, "/nowhere", key="wrong").status_code == 401


def test_field_errors_have_the_versions_format() -> None:
    """A list, a list inside an error, or OpenAI's one object."""
    for server_type, body in {
        "managed-2024-06": '{"detail":[{"type":"less_than_equal"',
        "managed-2026-07": '{"error":{"code":"Invalid input","status":422,"message":',
        "foundation-model-serve": '{"error":{"code":"Invalid input","status":422,"message":',
        "openai-v1": '{"error":{"message":"Input should be less than or equal to 1"',
    }.items():
        prefix = "/openai/v1" if server_type == "openai-v1" else ""
        fields = {**HELLO, "model": MODEL, "temperature": 3}
        response = send(server_type, f"{prefix}/chat/completions", fields)
        assert response.text.startswith(body)


def test_the_later_server_quotes_engine_errors() -> None:
    """As JSON inside JSON."""
    response = send("managed-2026-07", "/chat/completions", {**HELLO, "max_tokens": 5000})

    assert response.text.startswith('{"error":{"code":"Bad Request","message":"{\\"object\\": ')


def test_the_first_server_masks_engine_errors() -> None:
    """As filtered answers without a message."""
    response = send("managed-2024-05", "/v1/chat/completions", {**HELLO, "max_tokens": 5000})

    assert response.status_code == 200
    choice = {"index": 0, "message": None, "finish_reason": "content_filter"}
    assert response.json()["choices"] == [choice]


def test_extra_parameters_without_their_header() -> None:
    """Rejected, dropped, or accepted."""
    body = {**HELLO, "model": MODEL, "n": 2}
    for server_type, path, rejected in (
        ("serverless", "/chat/completions", True),
        ("managed-2024-06", "/chat/completions", True),
        ("managed-2026-07", "/v1/chat/completions", False),
        ("foundation-model-serve", "/chat/completions", False),
        ("foundry", FOUNDRY, True),
        ("openai-v1", "/openai/v1/chat/completions", False),
    ):
        text = send(server_type, path, body).text
        assert ("Extra parameters ['n'] are not allowed" in text) == rejected


def test_managed_compute_drops_log_probabilities() -> None:
    """Though the engine returned them."""
    types = {"serverless": True, "managed-2024-06": False, "foundation-model-serve": False}
    for server_type, has_logprobs in types.items():
        body = {**HELLO, "logprobs": True}
        answer = send(server_type, "/chat/completions", body, headers=PASS_THROUGH).json()
        assert (answer["choices"][0]["logprobs"] is not None) == has_logprobs


def test_tools_are_rejected_by_server_or_engine() -> None:
    """Servers that pass parameters on leave it to the engine."""
    body = {**HELLO, "tools": []}
    for server_type, message in (
        ("managed-2024-06", "Tools and tool_choice are not supported."),
        ("foundation-model-serve", "requires --enable-auto-tool-choice"),
    ):
        assert message in send(server_type, "/chat/completions", body).text


def test_info_differs_by_server_type() -> None:
    """Names, types and providers have several spellings; Foundry requires a deployment."""
    deployment = "/models/info?api-version=2025-04-01&model_deployment=Phi-3.5-vision-instruct"
    for server_type, path, info in (
        ("serverless", "/info", ("Phi-3-mini-4k-Instruct", "chat-completions", "Microsoft")),
        ("managed-2024-06", "/info", (MODEL, "chat-completion", "microsoft")),
        ("foundry", deployment, ("Phi-3.5-vision-instruct", "chat-completion", "microsoft")),
    ):
        assert tuple(send(server_type, path, None).json().values()) == info
    for version in ("2025-04-01", "2024-05-01-preview&model_deployment=Phi-3.5-vision-instruct"):
        assert send("foundry", f"/models/info?api-version={version}", None).status_code == 404


def test_models_are_listed() -> None:
    """Where there is such a route."""
    models = send("openai-server", "/v1/models", None).json()

    assert [model["id"] for model in models["data"]] == [MODEL, "Phi-3.5-vision-instruct"]


def test_managed_compute_uses_the_registrys_names() -> None:
    """Or the path of the model's files."""
    registry = "Phi-3.5-vision-128k-instruct"
    for server_type, name in (
        ("managed-2024-06", registry),
        ("managed-2024-05", f"/var/azureml-app/azureml-models/{registry}/1"),
    ):
        body = {**HELLO, "model": "Phi-3.5-vision-instruct"}
        assert send(server_type, ROUTES[server_type][0], body).json()["model"] == name


def test_unknown_models_get_the_servers_error() -> None:
    """Some servers ignore the name."""
    for server_type, path, status, message in (
        ("foundry", FOUNDRY, 404, "DeploymentNotFound"),
        ("openai-v1", "/openai/v1/chat/completions", 404, "DeploymentNotFound"),
        ("openai-server", "/v1/chat/completions", 404, "The model `Phi-9` does not exist."),
        ("ollama", "/v1/chat/completions", 404, "try pulling it first"),
        ("foundation-model-serve", "/chat/completions", 424, "The model `Phi-9` does not exist."),
        ("managed-2024-06", "/chat/completions", 200, MODEL),
    ):
        response = send(server_type, path, {**HELLO, "model": "Phi-9"})
        assert response.status_code == status
        assert message in response.text


def test_azure_requires_version_deployment_and_model() -> None:
    """Each has its own error code."""
    for server_type, path, code in (
        ("foundry", "/models/chat/completions", "404"),
        ("azure-openai", f"/openai/deployments/{MODEL}/chat/completions", "404"),
        ("azure-openai", "/openai/deployments/x/chat/completions", "DeploymentNotFound"),
        ("foundry", "/models/chat/completions?api-version=x", "no_model_name"),
    ):
        assert send(server_type, path).json()["error"]["code"] == code


def test_server_types_read_different_headers() -> None:
    """With a valid credential, the path is not found."""
    for server_type, headers, status in (
        ("foundry", {"authorization": "", "api-key": "k"}, 404),
        ("foundry", {"authorization": "", "api-key": "wrong"}, 401),
        ("managed-2024-06", {"authorization": "", "api-key": "k"}, 401),
        ("openai-server", {"authorization": "Bearer wrong"}, 401),
        ("ollama", {"authorization": ""}, 404),
    ):
        assert send(server_type, "/nowhere", headers=headers).status_code == status


def test_ollama_reports_unknown_routes_as_text() -> None:
    """As Go's HTTP server does."""
    response = send("ollama", "/chat/completions")

    assert (response.status_code, response.text) == (404, "404 page not found")
    assert response.headers["content-type"] == "text/plain"


def test_score_has_its_own_format() -> None:
    """Malformed bodies get an empty 200; its own parameters are read, others dropped."""
    for body in ({}, [], {"input_data": 5}, {"input_data": {"parameters": 5}}):
        response = send("managed-2024-06", "/score", body)
        assert (response.status_code, response.json()) == (200, {})
    data = {
        "input_string": HELLO["messages"],
        "parameters": {"max_new_tokens": 3, "do_sample": False, "unknown": 1},
    }
    assert list(send("managed-2024-06", "/score", {"input_data": data}).json()) == ["output"]
    later = send("foundation-model-serve", "/score", {"input_data": data}).json()
    assert later["usage"]["completion_tokens"] == 3
    assert later["output"] == later["message"]["content"]
    assert later["finish_reason"] == "length"
    failed = send("foundation-model-serve", "/score", {}).json()
    assert (failed["output"], failed["error"]["status_code"]) == (None, 422)
