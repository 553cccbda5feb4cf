"""Quotas of requests and tokens per minute."""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator
from tests.unit_tests.emulator.conftest import Client, Json, MakeClient

LIMIT, REMAINING = "x-ratelimit-limit", "x-ratelimit-remaining"


def prompt_tokens(client: Client) -> int:
    """Tokens of the prompt "Hello"."""
    tokens: int = client.post().json()["usage"]["prompt_tokens"]
    return tokens


def test_answers_report_what_remains(make_client: MakeClient) -> None:
    """A request counts its prompt plus `max_tokens` for each answer, also in streams."""
    prompt = prompt_tokens(make_client())
    client = make_client(requests_per_minute=10, tokens_per_minute=1000)
    used = 0
    cases: list[Json] = [{}, {"max_tokens": 100}, {"max_tokens": 7, "stream": True}]
    for number, fields in enumerate(cases, start=1):
        headers = client.post(**fields).headers
        used += prompt + fields.get("max_tokens", 0)
        assert (headers[f"{LIMIT}-requests"], headers[f"{LIMIT}-tokens"]) == ("10", "1000")
        assert headers[f"{REMAINING}-requests"] == f"{10 - number}"
        assert headers[f"{REMAINING}-tokens"] == f"{1000 - used}"
    many = client.post(max_tokens=10, n=3, headers={"extra-parameters": "pass-through"})
    assert many.headers[f"{REMAINING}-tokens"] == f"{1000 - used - prompt - 30}"


def test_a_used_up_quota_is_a_429(make_client: MakeClient) -> None:
    """With the wait in the headers and in Azure's message, until the period ends."""
    for options in ({"requests_per_minute": 1}, {"tokens_per_minute": 60}):
        client = make_client(quota_period=1.2, **options)
        assert client.post(max_tokens=40).status_code == 200
        started = time.monotonic()
        rejected = client.post(max_tokens=40)

        assert rejected.status_code == 429
        error = {"code": "429", "message": "Rate limit is exceeded. Try again in 2 seconds."}
        assert rejected.json() == {"error": error}
        assert rejected.headers["retry-after"] == "2"
        assert 0 < int(rejected.headers["retry-after-ms"]) <= 1200
        time.sleep(int(rejected.headers["retry-after-ms"]) / 1000)
        assert client.post(max_tokens=40).status_code == 200
        assert time.monotonic() - started < 2
        first, second = client.phi.quota_periods
        assert (first.requests, first.rejected, second.requests) == (1, 1, 1)
        assert 40 < first.tokens < 60


def test_without_quota_there_are_no_headers(make_client: MakeClient) -> None:
    """And with one quota there are only its headers."""
    assert not any(name.startswith("x-ratelimit") for name in make_client().post().headers)
    headers = make_client(tokens_per_minute=1000).post().headers
    found = {name for name in headers if name.startswith("x-ratelimit")}
    assert found == {f"{LIMIT}-tokens", f"{REMAINING}-tokens"}


def test_rejected_requests_use_up_nothing(make_client: MakeClient) -> None:
    """Neither invalid ones nor injected faults; scripted answers stay for later."""
    client = make_client(requests_per_minute=1)
    client.phi.script("Here.")
    client.phi.fail(status=503)
    statuses = [client.post(temperature=9).status_code, client.post(temperature=0).status_code]
    assert statuses == [503, 200]
    client.phi.script("Later.")
    assert client.post().status_code == 429
    client.phi.quota_periods.clear()
    assert client.post().json()["choices"][0]["message"]["content"] == "Later."


def test_gateways_send_their_own_429(make_client: MakeClient) -> None:
    """Managed compute does not wrap it, and `/score` does not hide it."""
    client = make_client(server_type="managed-2024-06", requests_per_minute=1)
    messages = [{"role": "user", "content": "Hello"}]
    score: Json = {"input_data": {"input_string": messages}}
    assert client.http.post("/score", json=score).headers[f"{REMAINING}-requests"] == "0"
    for path, body in (("/score", score), ("/chat/completions", {"messages": messages})):
        rejected = client.http.post(path, json=body)
        assert rejected.status_code == 429
        assert "Rate limit is exceeded." in rejected.text


def post_hello(endpoint: str, key: str, count: int) -> list[int]:
    """Statuses of that many requests."""
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}
    with httpx.Client(base_url=endpoint, headers={"authorization": f"Bearer {key}"}) as http:
        return [http.post("/chat/completions", json=body).status_code for _ in range(count)]


def test_processes_share_the_quota() -> None:
    """Four that compete get it once."""
    context = multiprocessing.get_context("spawn")
    with (
        Emulator(requests_per_minute=30) as phi,
        ProcessPoolExecutor(4, mp_context=context) as pool,
    ):
        runs = [pool.submit(post_hello, phi.endpoint, phi.key, 10) for _ in range(4)]
        statuses = [status for run in runs for status in run.result(timeout=60)]

        (period,) = phi.quota_periods
        assert sorted(statuses) == [200] * 30 + [429] * 10
        assert (period.requests, period.rejected) == (30, 10)


def test_impossible_quotas_are_rejected() -> None:
    """At once."""
    for options in (
        {"requests_per_minute": 0},
        {"tokens_per_minute": -1},
        {"quota_period": 0},
    ):
        with pytest.raises(ValueError, match="must be positive"):
            Emulator(**options)  # type: ignore[arg-type]
