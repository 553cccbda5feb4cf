"""Streams: their chunks and their framing."""

import json
from collections.abc import Callable
from typing import Any

import httpx

from tests.unit_tests.emulator.conftest import (
    PASS_THROUGH,
    QUESTION,
    STREAM,
    Client,
    Json,
    MakeClient,
)


def text_of(chunks: list[Json], index: int = 0) -> str:
    """The text of the choice with that index."""
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(c["delta"]["content"] for c in choices if c["index"] == index)


def test_a_stream_has_azures_chunks(client: Client) -> None:
    """The role, the text, then the finish reason and the usage in one chunk."""
    first, *middle, last = client.chunks(messages=QUESTION)

    assert list(first) == ["id", "object", "created", "model", "choices"]
    assert first["object"] == "chat.completion.chunk"
    common = {"index": 0, "logprobs": None}
    delta = {"role": "assistant", "content": ""}
    assert first["choices"] == [{**common, "delta": delta, "finish_reason": None}]
    assert len(middle) == 72
    assert all(list(chunk["choices"][0]["delta"]) == ["content"] for chunk in middle)
    assert last["choices"] == [{**common, "delta": {"content": ""}, "finish_reason": "stop"}]
    assert last["usage"] == {"prompt_tokens": 19, "total_tokens": 91, "completion_tokens": 72}
    assert len({(c["id"], c["created"], c["model"]) for c in (first, *middle, last)}) == 1


def test_a_stream_equals_the_complete_answer(client: Client) -> None:
    """With the same limits."""
    fields = {"messages": QUESTION, "max_tokens": 30, "stop": [" languages"]}

    assert text_of(client.chunks(**fields)) == client.text(**fields)


def test_filtered_answers_end_their_stream(client: Client) -> None:
    """Some text, then the reason and the findings."""
    *chunks, last = client.chunks("Please trigger the filter on your answer")

    assert text_of(chunks).startswith("I am a scripted stand-in")
    assert last["choices"][0]["finish_reason"] == "content_filter"
    assert last["choices"][0]["content_filter_results"]["violence"]["filtered"] is True


def test_choices_are_interleaved(client: Client) -> None:
    """Only the very last chunk has the usage."""
    chunks = client.chunks(n=2)

    assert [c["choices"][0]["index"] for c in chunks[:6]] == [0, 1, 0, 1, 0, 1]
    assert text_of(chunks, 0) != text_of(chunks, 1)
    assert [c["choices"][0]["finish_reason"] for c in chunks[-2:]] == ["stop", "stop"]
    assert ["usage" in c for c in chunks[-2:]] == [False, True]


def test_log_probabilities_come_with_their_piece(client: Client) -> None:
    """None with the role, and none at the end."""
    first, second, *_, last = client.chunks(logprobs=True, top_logprobs=1)

    (entry,) = second["choices"][0]["logprobs"]["content"]
    assert entry["token"] == second["choices"][0]["delta"]["content"]
    assert first["choices"][0]["logprobs"] is last["choices"][0]["logprobs"] is None


def test_usage_is_where_the_options_say(make_client: MakeClient) -> None:
    """In a last chunk on request, as running totals, or nowhere."""
    for place in ("finish", "none", "separate"):
        client = make_client(usage_in_streams=place)
        *chunks, last = client.chunks(stream_options={"include_usage": True})
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] > last["usage"]["completion_tokens"] > 0
        assert {json.dumps(chunk["usage"]) for chunk in chunks} == {"null"}
    totals = make_client(usage_in_streams="every").chunks(max_tokens=3)
    assert [chunk["usage"]["completion_tokens"] for chunk in totals] == [0, 1, 2, 3, 3]
    assert not any("usage" in c for c in make_client(usage_in_streams="none").chunks())


def test_filter_results_precede_the_first_choice(make_client: MakeClient) -> None:
    """In a chunk without choices and with an empty id, as Azure sends it."""
    first, *_, last = make_client(include_filter_results=True).chunks()

    assert (first["id"], first["model"], first["choices"]) == ("", "", [])
    assert first["prompt_filter_results"][0]["prompt_index"] == 0
    assert last["choices"][0]["content_filter_results"]["hate"]["severity"] == "safe"


FRAMINGS: dict[str, Callable[[bytes], Any]] = {
    "crlf": lambda body: body.count(b"\r\n\r\n") == body.count(b"\n\r\n") == 4,
    "no-space": lambda body: body.startswith(b'data:{"') and body.endswith(b"data:[DONE]\n\n"),
    "comments": lambda body: body.startswith(b": keep-alive\n\ndata: {"),
    "no-done": lambda body: body.endswith(b"}\n\n"),
    "no-final-blank-line": lambda body: body.endswith(b"\n\ndata: [DONE]"),
    "bom": lambda body: body.startswith(b"\xef\xbb\xbfdata: {") and body.count(b"\xef") == 1,
}


def test_events_have_the_requested_framing(make_client: MakeClient) -> None:
    """Each alone, and several together."""
    for framing, is_framed in FRAMINGS.items():
        client = make_client(framing=framing)
        assert is_framed(client.post(stream=True, max_tokens=1).content), framing
    several = ("crlf", "no-space", "no-done", "no-final-blank-line")
    body = make_client(framing=several).post(stream=True, max_tokens=0).content
    assert body.startswith(b"data:{")
    assert body.count(b"\r\n\r\n") == 1
    assert body.endswith(b"}")


def test_events_arrive_one_by_one(socket_client: Client) -> None:
    """The first can be read while the server waits before the third."""
    socket_client.phi.fail("stall", after=2)

    with socket_client.http.stream("POST", "/chat/completions", json=STREAM) as response:
        lines = response.iter_lines()
        received = [next(lines) for _ in range(3)]

    assert '"role":"assistant"' in received[0]
    assert '"content":"As"' in received[2]


def test_bytes_can_arrive_one_by_one(make_client: MakeClient) -> None:
    """So that characters of several bytes are split."""
    client = make_client(framing="bytewise")
    client.phi.script("é🙂")

    with client.http.stream("POST", "/chat/completions", json=STREAM) as response:
        pieces = list(response.iter_raw())

    assert {len(piece) for piece in pieces} == {1}
    assert '"content":"🙂"' in b"".join(pieces).decode()


def test_chunks_can_be_delayed(make_client: MakeClient) -> None:
    """For demonstrations."""
    client = make_client(socket=True, chunk_delay=0.02)

    response = client.post(stream=True, max_tokens=3, headers=PASS_THROUGH)

    assert response.text.endswith("data: [DONE]\n\n")
    assert response.elapsed.total_seconds() >= 5 * 0.02


def test_stream_may_be_written_as_text(client: Client) -> None:
    """The server coerces it."""
    response: httpx.Response = client.post(stream="True")

    assert response.headers["content-type"].startswith("text/event-stream")
