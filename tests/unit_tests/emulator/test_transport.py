"""The emulator as an `httpx` transport, without a server."""

import threading

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator
from tests.unit_tests.emulator.conftest import QUESTION, STREAM

KEY = {"Authorization": "Bearer k"}


def test_sync_clients_get_the_same_answers() -> None:
    """Requests are recorded as over a socket; no thread and no server starts."""
    threads = threading.active_count()
    phi = Emulator(key="k")
    with httpx.Client(transport=phi.transport(), base_url=phi.endpoint, headers=KEY) as http:
        body = {"messages": QUESTION}
        response = http.post("/chat/completions", params={"api-version": "1"}, json=body)

    assert response.json()["usage"]["total_tokens"] == 91
    (request,) = phi.requests
    assert (request.path, request.query) == ("/chat/completions", {"api-version": "1"})
    assert request.headers["AUTHORIZATION"] == "Bearer k"
    assert threading.active_count() == threads
    assert phi.open_connections == 0
    assert phi.endpoint == "http://phi.invalid"


async def test_async_clients_get_each_event_alone() -> None:
    """74 chunks and the end; faults come after what was sent before them."""
    phi = Emulator(key="k")
    async with httpx.AsyncClient(
        transport=phi.transport(), base_url=phi.endpoint, headers=KEY
    ) as http:
        async with http.stream("POST", "/chat/completions", json=STREAM) as response:
            pieces = [piece async for piece in response.aiter_raw()]
        phi.fail("reset", after=2)
        async with http.stream("POST", "/chat/completions", json=STREAM) as response:
            stream = response.aiter_raw()
            sent = [await anext(stream), await anext(stream)]
            with pytest.raises(httpx.ReadError):
                await anext(stream)

    assert len(pieces) == 75
    assert pieces[-1] == b"data: [DONE]\n\n"
    assert all(piece.startswith(b"data: {") for piece in sent)
