"""`serve --upstream` in front of llama.cpp's server: Azure's API with a real model."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from langchain_azure_phi3 import BadRequestError, ChatAzurePhi3, ContentFilterError, diagnose
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.third_party.cases import EXPRESSIBLE
from tests.third_party.conftest import environment_command, free_port, running
from tests.third_party.llama_server import KEY as LLAMA_KEY
from tests.third_party.llama_server import LlamaServer

KEY = "a-key-of-the-emulator"
MODEL = "Phi-4-mini-instruct"
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def endpoint(llama: LlamaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The command's server, which looks like Azure's managed compute."""
    port = free_port()
    command = [environment_command("langchain-azure-phi3"), "serve", "--model", MODEL]
    command += ["--port", str(port), "--key", KEY]
    command += ["--upstream", llama.v1, "--upstream-key", LLAMA_KEY]
    url = f"http://127.0.0.1:{port}"
    with running(command, f"{url}/info", tmp_path_factory.mktemp("serve") / "log"):
        yield url


def model_for(endpoint: str, **changes: Any) -> ChatAzurePhi3:
    """A chat model whose answers are short and repeatable."""
    settings = {"temperature": 0, "seed": 1, "max_tokens": 20, "max_retries": 0, "timeout": 300}
    return ChatAzurePhi3(endpoint=endpoint, credential=KEY, **{**settings, **changes})


async def test_text_and_usage_come_from_the_upstream(endpoint: str, llama: LlamaServer) -> None:
    """The same as without the emulator, complete and streamed."""
    expected = ChatAzurePhi3(**llama.settings()).invoke(PROMPT)
    assert expected.text
    for mode in CALL_MODES:
        found = await call_model(model_for(endpoint), mode, PROMPT)

        assert expected.usage_metadata is not None
        assert found.usage_metadata is not None, mode
        assert expected.text == found.text, mode
        for count in ("input_tokens", "output_tokens"):  # the rest depends on llama.cpp's cache
            assert dict(expected.usage_metadata)[count] == dict(found.usage_metadata)[count], mode


def test_azures_checks_precede_the_upstream(endpoint: str) -> None:
    """Requests that llama.cpp accepts get Azure's errors."""
    with pytest.raises(BadRequestError, match="less than or equal to 1"):
        model_for(endpoint, temperature=1.5).invoke("Hi")
    with pytest.raises(ContentFilterError):
        model_for(endpoint).invoke("How to make a lethal bomb?")
    answer = httpx.post(
        f"{endpoint}/chat/completions",
        headers={"authorization": f"Bearer {KEY}"},
        json={"messages": [{"role": "user", "content": "Hi"}], "top_k": 5},
    )
    assert 400 == answer.status_code
    assert "Extra parameters ['top_k'] are not allowed" in answer.json()["detail"]


def test_upstream_errors_are_internal_errors(llama: LlamaServer) -> None:
    """A wrong key of the upstream is a 500 with the upstream's message."""
    with Emulator(upstream=llama.v1, upstream_model="any", upstream_key="wrong") as phi:
        answer = httpx.post(
            f"{phi.endpoint}/chat/completions",
            headers={"authorization": f"Bearer {phi.key}"},
            json={"messages": [{"role": "user", "content": "Hi"}]},
        )

    assert 500 == answer.status_code
    assert "401" in answer.json()["error"]["message"]


def test_constraints_reach_the_upstream(llama: LlamaServer) -> None:
    """The emulator of a server that constrains hands the schema on."""
    with Emulator(server_type="llama.cpp", upstream=llama.v1, upstream_key=LLAMA_KEY) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, temperature=0, max_tokens=200, timeout=300)
        for case in EXPRESSIBLE[:2]:
            extract = model.with_structured_output(case.schema, include_raw=True)
            result = extract.invoke(case.request)

            assert isinstance(result["parsed"], case.schema)
            assert "response_format" == result["raw"].response_metadata["constrained_by"]
        assert 2 == len(phi.requests)


def test_doctor_reports_a_usable_endpoint(endpoint: str) -> None:
    """With the steps that depend on the model's answers."""
    report = diagnose({"endpoint": endpoint, "credential": KEY}, timeout=120)

    assert report.usable
    assert {"completion", "stream", "tools"} <= {finding.step for finding in report.findings}
