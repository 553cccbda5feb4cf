"""Responses that would take far more memory than a completion are refused before they are read."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest

from langchain_azure_phi3 import ChatAzurePhi3, InvalidResponseError
from langchain_azure_phi3._http import json_codec
from langchain_azure_phi3._response.wire_response import MAX_CHARACTERS
from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.errors import FailedResponse
from tests.integration_tests.call_modes import CALL_MODES, STREAM_MODES, call_model

TOOL = {"title": "look", "description": "Look.", "type": "object", "properties": {"q": {}}}
EVENT_STREAM = {"content-type": "text/event-stream"}


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A deployment whose responses are scripted."""
    with Emulator() as emulator:
        yield emulator


def model_of(phi: Emulator) -> ChatAzurePhi3:
    """A model that tries once."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_retries=0)


@pytest.mark.parametrize("value", ["[]", "{}", "1.5", '"ab"', "[0"])
async def test_bodies_of_many_values_are_refused(phi: Emulator, value: str) -> None:
    """60 MB of `[],` would take 1.5 GB: little more than the body itself is used."""
    values = f"[{f'{value},' * 2_500_000}0]"
    for mode in CALL_MODES:
        phi.fail(status=200, body=f'{{"choices":[],"x":{values}}}'.encode())
        tracemalloc.start()
        try:
            with pytest.raises(InvalidResponseError, match="more than 2,000,000 JSON values"):
                await call_model(model_of(phi), mode, "Hi")
            assert tracemalloc.get_traced_memory()[1] < 10 * len(values)
        finally:
            tracemalloc.stop()


def test_events_of_many_values_are_refused() -> None:
    """Also where an earlier event ended with half a character."""
    for start in [b"{}", rb'{"choices":[{"delta":{"content":"\ud83d"}}]}']:
        decoder = json_codec.EventDecoder()
        decoder.decode(start)

        with pytest.raises(InvalidResponseError, match="JSON values"):
            decoder.decode(b"[" + b"[]," * 1_000_001 + b"0]")


async def test_answers_that_no_model_can_write_are_refused(phi: Emulator) -> None:
    """In text, reasoning, refusals and arguments, complete and streamed, whatever is requested."""
    text = "[]," * (MAX_CHARACTERS // 6 + 1)
    deltas = [
        {"content": text},
        {"reasoning_content": text, "content": "x"},
        {"refusal": text, "content": "x"},
        {"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": 2 * text}}]},
    ]
    for delta in deltas:
        chunk = json.dumps({"choices": [{"index": 0, "delta": delta}]})
        twice = {name: 2 * value if value == text else value for name, value in delta.items()}
        whole = {"role": "assistant", **twice}
        body = json.dumps({"choices": [{"index": 0, "message": whole, "finish_reason": "stop"}]})
        for mode in CALL_MODES:
            events = f"data: {chunk}\n\ndata: {chunk}\n\ndata: [DONE]\n\n"
            if "stream" in mode:
                phi.fail(status=200, body=events.encode(), headers=EVENT_STREAM)
            else:
                phi.fail(status=200, body=body.encode())
            with pytest.raises(InvalidResponseError, match="which no Phi can write"):
                await call_model(model_of(phi).bind_tools([TOOL]), mode, "Hi")


async def test_more_calls_or_choices_than_fit_are_refused(phi: Emulator) -> None:
    """A body of 60 MB can hold 600,000, which would take gigabytes as messages."""
    call = {"id": "a", "function": {"name": "look", "arguments": "{}"}}
    calls = [{"index": n, **call} for n in range(1000)]
    message = {"role": "assistant", "content": "x"}
    for choices, limit in (
        (
            [{"message": {**message, "tool_calls": calls}, "delta": {"tool_calls": calls}}],
            "256 calls",
        ),
        ([{"message": message, "delta": message}] * 1000, "128 choices"),
    ):
        body = json.dumps({"choices": choices})
        for mode in CALL_MODES:
            if "stream" in mode:
                phi.fail(status=200, body=f"data: {body}\n\n".encode(), headers=EVENT_STREAM)
            else:
                phi.fail(status=200, body=body.encode())
            with pytest.raises(InvalidResponseError, match=f"more than {limit}"):
                await call_model(model_of(phi).bind_tools([TOOL]), mode, "Hi")


@pytest.mark.parametrize("mode", STREAM_MODES)
async def test_events_cannot_add_up_to_more_than_fits(phi: Emulator, mode: str) -> None:
    """A call or a filter's result in each event: a stream may have any number of events."""
    call = {"id": "a", "function": {"name": "look", "arguments": "{}"}}
    events = {
        "256 calls": lambda n: {"delta": {"tool_calls": [{"index": n, **call}]}},
        "128 results": lambda n: {"delta": {}, "content_filter_results": {f"filter-{n}": {}}},
    }
    for limit, choice in events.items():
        chunks = (json.dumps({"choices": [choice(n)]}) for n in range(1000))
        body = "".join(f"data: {chunk}\n\n" for chunk in chunks)
        phi.fail(status=200, body=body.encode(), headers=EVENT_STREAM)
        with pytest.raises(InvalidResponseError, match=f"more than {limit}"):
            await call_model(model_of(phi), mode, "Hi")


@pytest.mark.parametrize("mode", STREAM_MODES)
async def test_events_of_a_stream_are_limited(phi: Emulator, mode: str) -> None:
    """In values, as complete bodies are."""
    event = f'data: {{"choices":[],"x":[{"[]," * 2_500_000}0]}}\n\n'
    phi.fail(status=200, body=event.encode(), headers=EVENT_STREAM)
    with pytest.raises(InvalidResponseError, match="more than 2,000,000 JSON values"):
        await call_model(model_of(phi), mode, "Hi")


def test_error_bodies_as_json_can_be_written_again() -> None:
    """Half of a surrogate pair is no character; a deep body is no reason for a RecursionError."""
    body = rb'{"message": "\ud800 \ud83d\ude00 ok", "\udc00": [1]}'

    parsed = FailedResponse(400, {}, body).json()

    assert parsed == {"message": "\ufffd \U0001f600 ok", "\ufffd": [1]}
    assert json.dumps(parsed, ensure_ascii=False).encode()
    with pytest.raises(ValueError, match="too deeply"):
        FailedResponse(400, {}, b"[" * 100_000).json()
