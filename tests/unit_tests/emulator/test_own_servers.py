"""Deployments with names of their own, and what self-hosted servers report."""

from typing import Any

import httpx
import pytest

from langchain_azure_phi3 import ChatAzurePhi3, ContextLengthError, NotFoundError
from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.emulator.server_types import SERVER_TYPES
from tests.unit_tests.emulator.conftest import Json, MakeClient

PHI = "Phi-4-mini-instruct"
NAME = "prod-phi"


def connect(server_type: Any, **options: Any) -> tuple[Emulator, httpx.Client]:
    """An emulator, and a client for its base URL that sends the API version."""
    phi = Emulator(PHI, server_type=server_type, **options)
    transport = phi.transport()
    http = httpx.Client(
        base_url=phi.endpoint,
        headers={"authorization": f"Bearer {phi.key}"},
        params={"api-version": "2024-05-01-preview"},
        transport=transport,
    )
    return phi, http


def ask(http: httpx.Client, content: str = "Hello", **fields: Any) -> httpx.Response:
    """Post a question."""
    path = "/chat/completions"
    body = {"messages": [{"role": "user", "content": content}], **fields}
    return http.post(path, json=body)


def test_deployments_have_names_of_their_own() -> None:
    """The servers that read the name know this one only; responses name what each type names."""
    reported = {"vllm": NAME, "llama.cpp": NAME, "ollama": NAME, "openai-server": NAME}
    for server_type in SERVER_TYPES.keys() - {"managed-2024-05", "foundation-model-serve"}:
        phi, http = connect(server_type, deployment=NAME)
        answer = ask(http, model=NAME)
        other = ask(http, model=PHI)

        assert phi.model == NAME
        assert answer.status_code == 200, (server_type, answer.text)
        assert answer.json()["model"] == reported.get(server_type, PHI)
        reads_name = SERVER_TYPES[server_type].model_field != "ignored"
        assert other.status_code == (404 if reads_name else 200), server_type
    phi, _ = connect("azure-openai", deployment=NAME)
    assert phi.base_path == f"/openai/deployments/{NAME}"


def test_the_client_uses_the_deployments_name() -> None:
    """With a clear error for another one."""
    for server_type in ("openai-v1", "vllm", "ollama"):
        with Emulator(PHI, server_type=server_type, deployment=NAME) as phi:
            settings: Json = {"endpoint": phi.endpoint, "credential": phi.key}
            answer = ChatAzurePhi3(**settings, model=NAME).invoke("Hello")
            assert answer.text.startswith("I am a scripted stand-in")
            with pytest.raises(NotFoundError):
                ChatAzurePhi3(**settings, model="other-phi").invoke("Hello")


def test_servers_list_their_models_and_context() -> None:
    """As vLLM, llama.cpp and Ollama list them; llama.cpp's properties repeat the context."""
    expected: dict[str, Json] = {
        "vllm": {"owned_by": "vllm", "root": f"microsoft/{PHI}", "max_model_len": 4096},
        "llama.cpp": {"owned_by": "llamacpp", "meta": {"n_ctx": 4096}},
        "ollama": {"owned_by": "library"},
    }
    for server_type, fields in expected.items():
        _, http = connect(server_type, deployment=NAME, context=4096)
        (entry,) = http.get("/models").json()["data"]

        assert entry["id"] == NAME
        assert fields.items() <= entry.items()
        props = http.get("http://phi.invalid/props")
        assert (props.status_code == 200) == (server_type == "llama.cpp")
        if props.is_success:
            assert props.json()["default_generation_settings"]["n_ctx"] == 4096


def test_contexts_can_be_smaller_than_the_models() -> None:
    """llama.cpp rejects prompts only, and cuts the answers that exceed its context."""
    for server_type, cuts in (("vllm", False), ("llama.cpp", True)):
        _, http = connect(server_type, context=64)
        answer = ask(http, "Hello there " * 20, max_tokens=500)
        if cuts:
            assert answer.json()["choices"][0]["finish_reason"] == "length"
            assert answer.json()["usage"]["total_tokens"] == 64
        else:
            assert "maximum context length is 64 tokens" in answer.json()["message"]
        error = ask(http, "Hello there " * 99).json()
        if cuts:
            assert (error["error"]["n_ctx"], error["error"]["code"]) == (64, 400)
            assert error["error"]["type"] == "exceed_context_size_error"


def test_the_client_reads_llama_cpps_context_error() -> None:
    """With both numbers."""
    with Emulator(PHI, server_type="llama.cpp", context=64) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, max_retries=0)
        with pytest.raises(ContextLengthError, match="64 tokens"):
            model.invoke("Hello there " * 99)


def test_servers_report_their_timings(make_client: MakeClient) -> None:
    """In complete answers, and in the last chunk of a stream."""
    fields: dict[str, set[str]] = {
        "llama.cpp": {"timings"},
        "ollama": {"total_duration", "load_duration", "prompt_eval_duration", "eval_duration"},
        "vllm": set(),
    }
    known = set().union(*fields.values())
    for server_type, expected in fields.items():
        client = make_client(PHI, server_type=server_type)
        path = f"{client.phi.base_path}/chat/completions"
        body = client.post(path="/chat/completions", model=PHI).json()
        chunks = client.chunks(model=PHI)

        assert known & body.keys() == expected, path
        assert known & chunks[-1].keys() == expected
        assert not any(known & chunk.keys() for chunk in chunks[:-1])
        if server_type == "llama.cpp":
            usage, timings = body["usage"], body["timings"]
            assert timings["prompt_n"] == usage["prompt_tokens"]
            assert timings["predicted_n"] == usage["completion_tokens"]
            assert timings["predicted_per_second"] > 0


def test_errors_have_the_servers_words() -> None:
    """Of Ollama for a missing name, and of llama.cpp for an unknown path."""
    _, ollama = connect("ollama")
    missing = ask(ollama)
    assert missing.status_code == 400
    assert missing.json()["error"]["message"] == "model is required"
    _, llama = connect("llama.cpp")
    assert llama.get("/nowhere").json() == {
        "error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}
    }
