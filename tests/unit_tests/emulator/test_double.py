"""The emulator as a test double: what was left unused, when it has no endpoint, its request log."""

from typing import get_args

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.emulator.conversation import Generation, Prompt
from langchain_azure_phi3.emulator.framing import FRAMINGS, FramingName
from langchain_azure_phi3.emulator.model_errors import ModelErrorName, apply_model_error
from langchain_azure_phi3.emulator.server_types import SERVER_TYPES, ServerTypeName
from tests.unit_tests.emulator.conftest import Client, MakeClient


def test_unused_answers_and_faults_are_listed(client: Client) -> None:
    """Until they are used; random faults may stay."""
    phi = client.phi
    phi.assert_all_used()
    phi.script("First.", "Second.")
    phi.inject_model_error("prose")
    phi.fail(status=503, skip=1)
    phi.fail("cut", rate=0.000001)
    client.post()
    with pytest.raises(AssertionError) as caught:
        phi.assert_all_used()
    message = str(caught.value)
    assert message.startswith("Not used after 1 request: scripted responses: ['Second.']; ")
    assert "model errors: ['prose']; faults: [Fault(" in message
    assert "503" in message
    for _ in range(3):
        client.post()
    phi.assert_all_used()


def test_skipped_faults_do_not_count(client: Client) -> None:
    """Only failures do, not the requests that succeed before them."""
    client.phi.fail(status=503, skip=5)
    for _ in range(6):
        client.post()
    client.phi.assert_all_used()


def test_an_emulator_has_no_endpoint_before_start() -> None:
    """Nor after it is stopped; the message says how to start it."""
    phi = Emulator()
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"not started.*with Emulator\(\) as phi.*transport"):
            _ = phi.endpoint
        assert repr(phi) == "Emulator('Phi-3-mini-4k-instruct', endpoint=not started)"
        with phi:
            assert phi.endpoint.startswith("http://127.0.0.1:")
            assert phi.endpoint in repr(phi)


def test_type_checkers_know_all_names() -> None:
    """Each literal has the names of its table, and no other."""
    assert set(get_args(ServerTypeName)) == SERVER_TYPES.keys()
    assert set(get_args(FramingName)) == FRAMINGS
    for name in get_args(ModelErrorName):
        apply_model_error(name, Generation('{"a": 1}'), Prompt("Phi-4", ()))


def test_requests_are_logged_in_one_line(make_client: MakeClient) -> None:
    """Method, path, model, status, tokens and milliseconds, without control characters."""
    lines: list[str] = []
    client = make_client(socket=True, log=lines.append)
    client.phi.fail("refuse", skip=4)
    client.post(model="my\nphi")
    client.post(model="my\nphi", stream=True)
    client.http.get("/no%0Awhere")
    client.post(temperature=9)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post()
    client.phi.stop()

    texts = [line.rpartition(" ")[0].rpartition(" ")[0] for line in lines]
    tokens = texts[0].split()[-2]
    assert texts == [
        f"POST /chat/completions my?phi 200 {tokens} tokens",
        f"POST /chat/completions my?phi 200 {tokens} tokens",
        "GET /no?where - 404 -",
        "POST /chat/completions - 422 -",
        "POST /chat/completions - no response -",
    ]
    assert int(tokens) > 10
    assert all(line.endswith(" ms") for line in lines)
