"""What responses report about the quota, and their headers."""

from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessageChunk

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3._http.rate_limit import parse_rate_limit
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.unit_tests.scripted import STREAM, Scripted

KEY = "a-key-that-nobody-may-see"
COMPLETE = b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}'
STREAMED = (
    b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
    b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
)
HEADERS = {
    "x-ms-region": "East US 2",
    "x-ratelimit-remaining-tokens": "900",
    "x-echo": f"Bearer {KEY}",
    "set-cookie": "session=1",
    "www-authenticate": "Bearer",
    "api-key": "another",
}


def make_scripted(mode: str, **settings: Any) -> ChatAzurePhi3:
    """A model whose server sends these headers."""
    is_stream = mode.endswith("stream")
    content_type = STREAM if is_stream else {"content-type": "application/json"}
    transport = Scripted([STREAMED if is_stream else COMPLETE], headers={**HEADERS, **content_type})
    return ChatAzurePhi3(
        endpoint="https://phi.example",
        credential=KEY,
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
        **settings,
    )


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_metadata_reports_the_quota(mode: str) -> None:
    """Always, if the server sends it: what remains, and the limits."""
    with Emulator(requests_per_minute=10, tokens_per_minute=1000) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_tokens=100)
        first = (await call_model(model, mode, "Hi")).response_metadata["rate_limit"]
        second = (await call_model(model, mode, "Hi")).response_metadata["rate_limit"]
    with Emulator() as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        assert "rate_limit" not in (await call_model(model, mode, "Hi")).response_metadata

    assert (first["limit_requests"], first["limit_tokens"]) == (10, 1000)
    assert (first["remaining_requests"], second["remaining_requests"]) == (9, 8)
    assert 1000 > first["remaining_tokens"] > second["remaining_tokens"] > 700


def test_stream_reports_the_quota_once() -> None:
    """LangChain adds up the numbers of several chunks."""
    with Emulator(requests_per_minute=10) as phi:
        chunks = list(ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key).stream("Hi"))
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    assert sum("rate_limit" in chunk.response_metadata for chunk in chunks) == 1


def test_quota_headers_are_parsed() -> None:
    """Azure's two spellings; durations become seconds; what is not a number is left out."""
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-remaining-tokens": "many",
        "x-ratelimit-reset-requests": "6m0s",
        "x-rate-limit-reset-tokens": "12",
        "x-ratelimit-limit-requests-extra": "1",
        "retry-after": "3",
    }
    assert parse_rate_limit(headers) == {
        "limit_requests": 60,
        "remaining_requests": 59,
        "reset_requests": 360.0,
        "reset_tokens": 12.0,
    }
    assert parse_rate_limit({"x-ratelimit-limit-tokens": "-1", "content-type": "a"}) is None


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_headers_are_included_on_request(mode: str) -> None:
    """Without cookies and credentials; a key that the server repeats is redacted."""
    model = make_scripted(mode, include_response_headers=True)
    metadata = (await call_model(model, mode, "Hi")).response_metadata

    assert metadata["headers"]["x-ms-region"] == "East US 2"
    assert metadata["headers"]["x-ratelimit-remaining-tokens"] == "900"
    assert metadata["headers"]["x-echo"] == "Bearer ***"
    assert {"set-cookie", "www-authenticate", "api-key"}.isdisjoint(metadata["headers"])
    assert metadata["rate_limit"] == {"remaining_tokens": 900}


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_headers_are_left_out_by_default(mode: str) -> None:
    """Traces would store them."""
    assert "headers" not in (await call_model(make_scripted(mode), mode, "Hi")).response_metadata
