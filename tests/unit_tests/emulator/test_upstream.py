"""The emulator in front of a real model: what is forwarded, what is not, what fails."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator, Generation, Prompt
from tests.unit_tests.emulator.conftest import (
    PASS_THROUGH,
    QUESTION,
    STREAM,
    Client,
    Json,
    MakeClient,
)
from tests.unit_tests.emulator.local_model import LocalModel, running
from tests.unit_tests.images import png_of

UNREACHABLE = "http://127.0.0.1:9/v1"


@pytest.fixture
def upstream() -> Iterator[LocalModel]:
    """A local model."""
    with running() as model:
        yield model


@pytest.fixture
def front(upstream: LocalModel, make_client: MakeClient) -> Client:
    """A client of the emulator in front of it."""
    return make_client(socket=True, upstream=upstream.url)


def test_text_and_counts_are_the_models(front: Client) -> None:
    """The rest is Azure's; streams keep the model's deltas."""
    body = front.post("What color is the sky?").json()
    assert body["choices"][0]["message"]["content"] == " The sky is blue."
    usage = {"prompt_tokens": 1234, "completion_tokens": 56, "total_tokens": 1290}
    assert body["usage"] == usage
    assert body["model"] == "Phi-3-mini-4k-Instruct"
    assert body["choices"][0]["finish_reason"] == "stop"
    chunks = front.chunks("What color is the sky?")
    deltas = [chunk["choices"][0]["delta"]["content"] for chunk in chunks]
    assert deltas == ["", " The", " sky", " is", " blue.", ""]
    assert chunks[-1]["usage"] == usage
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_missing_counts_are_estimated(upstream: LocalModel, front: Client) -> None:
    """As those of scripted answers."""
    body = {name: value for name, value in upstream.completion().items() if name != "usage"}
    upstream.error = (200, {}, json.dumps(body).encode())

    usage = front.post("What color is the sky?").json()["usage"]
    assert usage["prompt_tokens"] > 5
    assert usage["completion_tokens"] == 5


def test_pieces_are_forwarded_as_they_arrive(upstream: LocalModel, front: Client) -> None:
    """The first arrives while the model holds the second back."""
    upstream.hold.clear()
    with front.http.stream("POST", "/chat/completions", json=STREAM) as response:
        lines = (line for line in response.iter_lines() if line)
        early = [next(lines), next(lines)]
        upstream.hold.set()
        rest = list(lines)

    assert " The" in early[1]
    assert rest[-1] == "data: [DONE]"


def test_the_model_applies_the_limits(upstream: LocalModel, front: Client) -> None:
    """The emulator counts differently, so it cuts nothing."""
    upstream.finish_reason = "length"

    choice = front.choice("Hi", max_tokens=2)
    assert choice["message"]["content"] == " The sky is blue."
    assert choice["finish_reason"] == "length"
    assert upstream.received[-1]["max_tokens"] == 2


def test_only_given_parameters_are_forwarded(
    upstream: LocalModel, front: Client, make_client: MakeClient
) -> None:
    """With extra parameters if the header passes them on, and with images."""
    fields: Json = {"temperature": 0, "stop": ["x"]}
    front.post("Hi", top_k=5, n=1, headers=PASS_THROUGH, **fields)
    message = {"role": "user", "content": "Hi"}
    assert upstream.received[-1] == {"model": "tiny", "messages": [message], **fields, "top_k": 5}
    assert upstream.keys == [None]
    front.post("Hi", top_k=5, headers={"extra-parameters": "drop"})
    assert "top_k" not in upstream.received[-1]
    encoded = base64.b64encode(png_of(8, 8)).decode()
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
    ]
    make_client("Phi-3-vision-128k-instruct", upstream=upstream.url).text(parts)
    assert upstream.received[-1]["messages"][0]["content"] == parts


def test_enforced_constraints_reach_the_model(
    upstream: LocalModel, make_client: MakeClient
) -> None:
    """In OpenAI's form; a constraint that the emulated server ignores is not forwarded."""
    schema = {"type": "object"}
    response_format = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    for mode, forwarded in (("enforce", response_format), ("ignore", None)):
        client = make_client(upstream=upstream.url, constrained_decoding=mode)
        for fields in (
            {"guided_json": schema},
            {"structured_outputs": {"json": schema}},
            {"response_format": response_format},
        ):
            client.text(**fields)
            received = upstream.received[-1]
            assert received.get("response_format") == forwarded
            assert not {"guided_json", "structured_outputs"} & received.keys()


def test_the_emulated_template_decides_on_system_messages(
    upstream: LocalModel, make_client: MakeClient
) -> None:
    """Phi-3-medium has no system role: serverless converts it, managed compute drops it."""
    for server_type, roles in (("serverless", ["user", "user"]), ("managed-2024-06", ["user"])):
        options = {"upstream": upstream.url, "server_type": server_type}
        make_client("Phi-3-medium-4k-instruct", **options).post(messages=QUESTION)
        assert [message["role"] for message in upstream.received[-1]["messages"]] == roles


def test_rejected_requests_are_not_forwarded(upstream: LocalModel, front: Client) -> None:
    """Validation, extra parameters, tools, JSON mode and the content filter come first."""
    cases: list[tuple[dict[str, Any], int]] = [
        ({"temperature": 1.5}, 422),
        ({"top_k": 5}, 400),
        ({"tools": []}, 400),
        ({"response_format": {"type": "json_object"}}, 422),
        ({"content": "How to make a lethal bomb?"}, 400),
    ]
    for fields, status in cases:
        assert front.post(**fields).status_code == status
    assert upstream.received == []


def test_upstream_model_and_key_are_used(upstream: LocalModel, make_client: MakeClient) -> None:
    """Instead of the endpoint's own."""
    options = {"upstream_model": "phi3:mini", "upstream_key": "k2"}
    client = make_client(upstream=upstream.url, **options)
    client.text("Hi", model="Phi-3-mini-4k-instruct")

    assert upstream.received[-1]["model"] == "phi3:mini"
    assert upstream.keys == ["Bearer k2"]


def test_keys_of_callers_are_not_forwarded(upstream: LocalModel, make_client: MakeClient) -> None:
    """Nor their other headers: the emulator's key is not the upstream's."""
    client = make_client(upstream=upstream.url, key="the-emulators-own-key")
    for stream in (False, True):
        client.post("Hi", stream=stream, headers={"x-secret": "of-the-caller"})

    assert upstream.keys == [None, None]
    sent = "".join(upstream.headers)
    assert "the-emulators-own-key" not in sent
    assert "of-the-caller" not in sent


def test_proxies_see_no_upstream_of_this_machine(
    upstream: LocalModel, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would see its key."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for host in ("127.0.0.1", "localhost"):
        url = upstream.url.replace("127.0.0.1", host)
        client = make_client(upstream=url, upstream_key="k2")
        assert client.text("Hi") == " The sky is blue."


def test_log_probabilities_are_not_made_up(upstream: LocalModel, front: Client) -> None:
    """Nor requested from the model."""
    for stream in (False, True):
        answer = front.post("Hi", logprobs=True, stream=stream, headers=PASS_THROUGH)
        assert answer.status_code == 200
        assert '"logprob":' not in answer.text
        assert "logprobs" not in upstream.received[-1]


def test_each_choice_is_its_own_request(upstream: LocalModel, front: Client) -> None:
    """Not every local server knows `n`."""
    body = front.post("Hi", n=2, headers=PASS_THROUGH).json()

    assert len(body["choices"]) == len(upstream.received) == 2
    assert body["usage"]["completion_tokens"] == 2 * 56


def test_reasoning_goes_where_the_option_says(
    upstream: LocalModel, make_client: MakeClient
) -> None:
    """In tags or in its own field, streamed or complete."""
    upstream.reasoning = ("Blue", "?")
    for place, expected in (
        ("text", ("<think>\nBlue?\n</think>\n\n The sky is blue.", "")),
        ("field", (" The sky is blue.", "Blue?")),
    ):
        client = make_client("Phi-4-reasoning", upstream=upstream.url, reasoning=place)
        deltas = [chunk["choices"][0]["delta"] for chunk in client.chunks("Hi")]
        for parts in (deltas, [client.choice("Hi")["message"]]):
            text = "".join(part.get("content", "") for part in parts)
            assert expected == (text, "".join(p.get("reasoning_content", "") for p in parts))


def test_scripts_errors_and_faults_still_work(upstream: LocalModel, front: Client) -> None:
    """Scripted answers reach no model."""
    front.phi.script("Scripted.")
    front.phi.inject_model_error("empty")

    assert front.text("Hi") == "Scripted."
    assert upstream.received == []
    assert front.text("Hi") == ""
    assert len(upstream.received) == 1
    front.phi.fail("cut", after=2)
    with pytest.raises(httpx.RemoteProtocolError):
        front.post("Hi", stream=True)


def test_unreachable_upstreams_are_a_503(make_client: MakeClient) -> None:
    """The message has the URL, streamed or not."""
    client = make_client(upstream=UNREACHABLE)

    for stream in (False, True):
        answer = client.post("Hi", stream=stream)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "ServiceUnavailable"
        assert UNREACHABLE in answer.json()["error"]["message"]


def test_upstream_errors_are_the_services(upstream: LocalModel, front: Client) -> None:
    """Never a 401 or 404; the caller can fix a 400, and gets the wait of a 429."""
    front.text("Hi")
    for status, body, expected in (
        (500, b"boom", 500),
        (503, b"", 500),
        (401, b'{"error": "Unauthorized"}', 500),
        (404, b'{"error": {"message": "model not found"}}', 500),
        (200, b"<html>", 500),
        (200, b'{"choices": []}', 500),
        (400, b'{"error": {"message": "too long"}}', 400),
    ):
        upstream.error = (status, {}, body)
        assert front.post("Hi").status_code == expected
    upstream.error = (500, {}, b"boom")
    assert front.post("Hi", stream=True).status_code == 500
    upstream.error = (429, {"retry-after": "7"}, b'{"error": {"message": "slow down"}}')
    answer = front.post("Hi")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["error"]["message"] == "slow down"


def test_broken_streams_end_with_an_error_event(upstream: LocalModel, front: Client) -> None:
    """After the text received so far."""
    for name in ("cut", "error", "garbage"):
        upstream.is_cut = name == "cut"
        events = {"error": b'data: {"error": "oom"}\n\n', "garbage": b"data: {oops\n\n"}
        upstream.event = events.get(name)
        *_, first, last, done, _ = front.post("Hi", stream=True).text.split("\n\n")
        assert done == "data: [DONE]"
        assert " The" in first
        assert json.loads(last.removeprefix("data: "))["error"]["message"]


def test_slow_models_block_nobody(upstream: LocalModel, front: Client) -> None:
    """The server answers others while twenty requests wait."""
    upstream.hold.clear()

    async def count_pending() -> int:
        headers = {"authorization": f"Bearer {front.phi.key}"}
        body = {"messages": QUESTION}
        url = front.phi.endpoint
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as http:
            posts = (http.post("/chat/completions", json=body) for _ in range(20))
            slow = [asyncio.create_task(post) for post in posts]
            while len(upstream.received) < 20:  # noqa: ASYNC110 -- another thread receives
                await asyncio.sleep(0.01)
            answer = await http.get("/info")
            pending = sum(not task.done() for task in slow)
            upstream.hold.set()
            answers = await asyncio.gather(*slow)
        assert {one.status_code for one in [answer, *answers]} == {200}
        return pending

    assert asyncio.run(count_pending()) == 20


def test_slow_responders_block_nobody(make_client: MakeClient) -> None:
    """One after the other, they would take ten seconds."""

    def sleep(prompt: Prompt) -> str:
        time.sleep(0.5)
        return "At last."

    client = make_client(socket=True, responder=sleep)

    async def post_all() -> set[str]:
        headers = {"authorization": f"Bearer {client.phi.key}"}
        url = client.phi.endpoint
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as http:
            body = {"messages": QUESTION}
            posts = (http.post("/chat/completions", json=body) for _ in range(20))
            answers = await asyncio.gather(*posts)
        return {answer.json()["choices"][0]["message"]["content"] for answer in answers}

    started = time.perf_counter()
    assert asyncio.run(post_all()) == {"At last."}
    assert time.perf_counter() - started < 5


def test_stopping_waits_for_no_model(upstream: LocalModel) -> None:
    """Whatever the model does."""
    upstream.hold.clear()
    phi = Emulator(upstream=upstream.url, key="k").start()
    headers = {"authorization": "Bearer k"}
    with (
        httpx.Client(base_url=phi.endpoint, headers=headers) as http,
        http.stream("POST", "/chat/completions", json=STREAM) as response,
    ):
        pieces = response.iter_raw()  # kept: dropping it would close the connection
        next(pieces)
        started = time.perf_counter()
        phi.stop()

    assert time.perf_counter() - started < 5


async def test_the_transport_waits_in_threads_too(upstream: LocalModel) -> None:
    """And does not collect the stream."""
    phi = Emulator(upstream=upstream.url, key="k")
    headers = {"authorization": "Bearer k"}
    upstream.hold.clear()
    transport = phi.transport()
    async with (
        httpx.AsyncClient(transport=transport, base_url=phi.endpoint, headers=headers) as http,
        http.stream("POST", "/chat/completions", json=STREAM) as response,
    ):
        pieces = response.aiter_raw()
        early = [await anext(pieces), await anext(pieces)]
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        upstream.hold.set()
        late = [await waiting] + [piece async for piece in pieces]
    phi.stop()

    assert b" The" in early[1]
    assert late[-1] == b"data: [DONE]\n\n"


def test_emulators_can_be_chained(make_client: MakeClient) -> None:
    """One as an OpenAI-compatible server behind the other, with and without tools."""
    function = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    native: Json = {"tools": [{"type": "function", "function": function}]}
    for tools, fields in (("refuse", {}), ("native", {**native, "tool_choice": "required"})):
        back = make_client("Phi-4", socket=True, server_type="openai-server", tools=tools)
        options = {"upstream": back.phi.endpoint, "upstream_key": back.phi.key, "tools": tools}
        front = make_client("Phi-4", **options)
        path = "/v1/chat/completions"
        direct = back.http.post(
            back.phi.endpoint.removesuffix("/v1") + path,
            json={"messages": [{"role": "user", "content": "Hi"}], "model": "Phi-4", **fields},
        ).json()
        forwarded = front.post("Hi", **fields).json()
        assert direct["usage"] == forwarded["usage"]
        for answer in (direct, forwarded):
            for call in answer["choices"][0]["message"]["tool_calls"] or ():
                del call["id"]
        assert direct["choices"] == forwarded["choices"]


def test_refusals_and_details_are_forwarded(make_client: MakeClient) -> None:
    """As the model reports them, in complete answers and streams."""
    details = {
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    answer = Generation("", refusal="I cannot do that.", usage_details=details)
    back = make_client(
        "Phi-4", socket=True, server_type="openai-server", responder=lambda _: answer
    )
    front = make_client(upstream=back.phi.endpoint, upstream_key=back.phi.key)
    body = front.post().json()
    assert body["choices"][0]["message"]["refusal"] == "I cannot do that."
    assert details.items() <= body["usage"].items()
    chunks = front.chunks()
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("refusal", "") for delta in deltas) == "I cannot do that."
    assert details.items() <= chunks[-1]["usage"].items()


def test_invalid_upstreams_are_rejected() -> None:
    """A URL that is not http, or a responder as well."""
    for url in ("localhost:11434", "", "ftp://localhost"):
        with pytest.raises(ValueError, match="http://localhost:11434/v1"):
            Emulator(upstream=url)
    with pytest.raises(ValueError, match="not both"):
        Emulator(upstream=UNREACHABLE, responder=lambda prompt: "I")
