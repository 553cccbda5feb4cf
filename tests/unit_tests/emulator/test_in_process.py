"""The emulator as a transport: both colours, piece by piece, without a server."""

import threading

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator
from tests.unit_tests.emulator.conftest import AZURES_QUESTION

STREAM = {"messages": AZURES_QUESTION, "stream": True}


def test_a_sync_client_gets_the_same_answers() -> None:
    """Requests are recorded as over a socket."""
    phi = Emulator(key="k")
    key = {"Authorization": "Bearer k"}
    with httpx.Client(transport=phi.transport(), base_url=phi.endpoint, headers=key) as http:
        response = http.post(
            "/chat/completions", params={"api-version": "1"}, json={"messages": AZURES_QUESTION}
        )

    assert response.json()["usage"]["total_tokens"] == 91
    (request,) = phi.requests
    assert (request.path, request.query) == ("/chat/completions", {"api-version": "1"})
    assert request.headers["AUTHORIZATION"] == "Bearer k"


async def test_an_async_client_streams_piece_by_piece() -> None:
    """Each event is a piece of its own; 74 chunks and the end."""
    phi = Emulator(key="k")
    key = {"authorization": "Bearer k"}
    async with (
        httpx.AsyncClient(transport=phi.transport(), base_url=phi.endpoint, headers=key) as http,
        http.stream("POST", "/chat/completions", json=STREAM) as response,
    ):
        pieces = [piece async for piece in response.aiter_raw()]

    assert len(pieces) == 75
    assert pieces[-1] == b"data: [DONE]\n\n"


async def test_faults_reach_an_async_client() -> None:
    """After what got through."""
    phi = Emulator(key="k")
    phi.fail(kind="reset", after=2)
    key = {"authorization": "Bearer k"}
    async with (
        httpx.AsyncClient(transport=phi.transport(), base_url=phi.endpoint, headers=key) as http,
        http.stream("POST", "/chat/completions", json=STREAM) as response,
    ):
        pieces = response.aiter_raw()
        got_through = [await anext(pieces), await anext(pieces)]
        with pytest.raises(httpx.ReadError):
            await anext(pieces)

    assert all(piece.startswith(b"data: {") for piece in got_through)


def test_no_thread_is_started() -> None:
    """Nor any server."""
    before = threading.active_count()
    phi = Emulator()
    with httpx.Client(transport=phi.transport()) as http:
        http.get(phi.endpoint)

    assert threading.active_count() == before
    assert phi.open_connections == 0
