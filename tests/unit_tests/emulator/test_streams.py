"""Streams: their chunks, their framing, and that they really are written piece by piece."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.unit_tests.emulator.conftest import AZURES_QUESTION, PASS_THROUGH, Desk, Json


def text_of(chunks: list[Json], index: int = 0) -> str:
    """What the choice of that index says."""
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(c["delta"]["content"] for c in choices if c["index"] == index)


def test_a_stream_has_the_chunks_that_azure_shows(desk: Desk) -> None:
    """The role first, then the text, then the reason with the usage on the same chunk."""
    first, *middle, last = desk.chunks(messages=AZURES_QUESTION)

    assert list(first) == ["id", "object", "created", "model", "choices"]
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": ""},
            "finish_reason": None,
            "logprobs": None,
        }
    ]
    assert len(middle) == 72
    assert all(list(chunk["choices"][0]["delta"]) == ["content"] for chunk in middle)
    assert last["choices"] == [
        {"index": 0, "delta": {"content": ""}, "finish_reason": "stop", "logprobs": None}
    ]
    assert last["usage"] == {"prompt_tokens": 19, "total_tokens": 91, "completion_tokens": 72}
    assert len({(c["id"], c["created"], c["model"]) for c in (first, *middle, last)}) == 1


def test_a_stream_says_what_the_whole_answer_says(desk: Desk) -> None:
    """Cut by the same limits."""
    fields = {"messages": AZURES_QUESTION, "max_tokens": 30, "stop": [" languages"]}

    chunks = desk.chunks(**fields)

    assert text_of(chunks) == desk.said(**fields)


def test_a_filtered_answer_ends_its_stream(desk: Desk) -> None:
    """Some text, then the reason and the findings."""
    *chunks, last = desk.chunks("Please trigger the filter on your answer")

    assert text_of(chunks).startswith("I am a scripted stand-in")
    assert last["choices"][0]["finish_reason"] == "content_filter"
    assert last["choices"][0]["content_filter_results"]["violence"]["filtered"] is True


def test_choices_take_turns(desk: Desk) -> None:
    """Interleaved by index; only the very last chunk carries the usage."""
    chunks = desk.chunks(n=2)

    assert [c["choices"][0]["index"] for c in chunks[:6]] == [0, 1, 0, 1, 0, 1]
    assert text_of(chunks, 0) != text_of(chunks, 1)
    assert [c["choices"][0]["finish_reason"] for c in chunks[-2:]] == ["stop", "stop"]
    assert ["usage" in c for c in chunks[-2:]] == [False, True]


def test_log_probabilities_come_with_their_piece(desk: Desk) -> None:
    """None with the role, one with each piece, none at the end."""
    first, second, *_, last = desk.chunks(logprobs=True, top_logprobs=1)

    (entry,) = second["choices"][0]["logprobs"]["content"]
    assert entry["token"] == second["choices"][0]["delta"]["content"]
    assert first["choices"][0]["logprobs"] is last["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("place", ["finish", "none", "separate"])
def test_usage_is_a_chunk_of_its_own_when_asked(open_desk: Callable[..., Desk], place: str) -> None:
    """`stream_options` is an extra parameter; the other chunks then say null."""
    desk = open_desk(usage_in_streams=place)

    *chunks, last = desk.chunks(stream_options={"include_usage": True})

    assert last["choices"] == []
    assert last["usage"]["total_tokens"] > last["usage"]["completion_tokens"] > 0
    assert {json.dumps(chunk["usage"]) for chunk in chunks} == {"null"}


def test_usage_can_be_on_every_chunk(open_desk: Callable[..., Desk]) -> None:
    """As a running total, which clients must not add up."""
    chunks = open_desk(usage_in_streams="every").chunks(max_tokens=3)

    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [0, 1, 2, 3, 3]


def test_usage_can_be_left_out(open_desk: Callable[..., Desk]) -> None:
    """As model servers on managed compute do unless asked."""
    chunks = open_desk(usage_in_streams="none").chunks()

    assert [chunk for chunk in chunks if "usage" in chunk] == []


def test_annotations_come_before_the_first_choice(open_desk: Callable[..., Desk]) -> None:
    """In a chunk without choices and with an empty id, as Azure's content filter sends it."""
    first, *_, last = open_desk(annotations=True).chunks()

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


@pytest.mark.parametrize("framing", FRAMINGS)
def test_events_can_be_framed_otherwise(open_desk: Callable[..., Desk], framing: str) -> None:
    """Each of the ways that clients must bear."""
    body = open_desk(framing=framing).ask(stream=True, max_tokens=1).content

    assert FRAMINGS[framing](body)


def test_framings_combine(open_desk: Callable[..., Desk]) -> None:
    """They are independent of each other."""
    desk = open_desk(framing=("crlf", "no-space", "no-done", "no-final-blank-line"))

    body = desk.ask(stream=True, max_tokens=0).content

    assert body.startswith(b"data:{")
    assert body.count(b"\r\n\r\n") == 1
    assert body.endswith(b"}")


def test_events_arrive_one_by_one(open_desk: Callable[..., Desk]) -> None:
    """The first can be read while the server waits with the third."""
    desk = open_desk()
    desk.phi.fail(kind="stall", after=2)
    body = {"messages": AZURES_QUESTION, "stream": True}

    with desk.http.stream("POST", "/chat/completions", json=body) as response:
        lines = response.iter_lines()
        arrived = [next(lines) for _ in range(3)]

    assert '"role":"assistant"' in arrived[0]
    assert '"content":"As"' in arrived[2]


def test_bytes_can_arrive_one_by_one(open_desk: Callable[..., Desk]) -> None:
    """So that every character of several bytes is split."""
    desk = open_desk(framing="bytewise")
    desk.phi.script("é🙂")
    body = {"messages": AZURES_QUESTION, "stream": True}

    with (
        httpx.Client(transport=desk.phi.transport(), headers=desk.http.headers) as http,
        http.stream("POST", f"{desk.phi.endpoint}/chat/completions", json=body) as response,
    ):
        pieces = list(response.iter_raw())

    assert {len(piece) for piece in pieces} == {1}
    assert '"content":"🙂"' in b"".join(pieces).decode()


def test_a_pace_slows_the_stream_down(open_desk: Callable[..., Desk]) -> None:
    """For demonstrations: as long between events as was asked."""
    desk = open_desk(pace=0.02)

    response = desk.ask(stream=True, max_tokens=3, headers=PASS_THROUGH)

    assert response.text.endswith("data: [DONE]\n\n")
    assert response.elapsed.total_seconds() >= 5 * 0.02
