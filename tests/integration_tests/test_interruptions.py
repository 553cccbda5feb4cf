"""No broken answer is taken for a whole one; what came of it is on the error."""

import json
from typing import Any

import httpx
import pytest

from langchain_azure_phi3 import (
    AzurePhi3Error,
    BadRequestError,
    ChatAzurePhi3,
    ContentFilterError,
    ContextLengthError,
    InterruptedStreamError,
    InvalidResponseError,
    RateLimitError,
    ServerError,
)
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.raw_server import serving

TEXT = "Grüße 😀!"
CALL = '{"name": "get_weather", "arguments": {"city": "Zürich 😀"}}'
STREAMS = ("stream", "astream")
KEY = "canary-of-interruptions"


def get_weather(city: str) -> str:
    """What the weather in a city is."""
    return f"Rain in {city}."


async def read(model: Any, mode: str) -> tuple[str, AzurePhi3Error | None]:
    """The text that a stream gave, and the error that ended it."""
    texts: list[str] = []
    try:
        if mode == "stream":
            texts.extend(chunk.text for chunk in model.stream("Hi"))
        else:
            async for chunk in model.astream("Hi"):
                texts.append(chunk.text)  # noqa: PERF401 -- what came before the error counts
    except AzurePhi3Error as error:
        return "".join(texts), error
    return "".join(texts), None


def in_process(phi: Emulator) -> ChatAzurePhi3:
    """A model that asks without a socket: every offset is tried, and time passes at once."""
    return ChatAzurePhi3(
        endpoint="https://phi.example",
        credential=phi.key,
        max_retries=0,
        http_client=httpx.Client(transport=phi.transport()),
        http_async_client=httpx.AsyncClient(transport=phi.transport()),
    )


def body_of(phi: Emulator, text: str, *, stream: bool) -> bytes:
    """The bytes of an answer with this text."""
    phi.script(text)
    with httpx.Client(transport=phi.transport()) as client:
        return client.post(
            "https://phi.example/chat/completions",
            headers={"authorization": f"Bearer {phi.key}"},
            json={"messages": [{"role": "user", "content": "Hi"}], "stream": stream},
        ).content


def text_in(stream: bytes, *, cleanly: bool) -> str:
    """The text of the whole events, read in another way than the package does.

    Where the stream ended cleanly, an event that only lacks its blank line is whole.
    """
    *events, last = stream.split(b"\n\n")
    if cleanly and _is_json(last.removeprefix(b"data: ")):
        events.append(last)
    bodies = [json.loads(event[6:]) for event in events if event.startswith(b"data: {")]
    return "".join(body["choices"][0]["delta"].get("content") or "" for body in bodies)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


# -- every byte ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tools", [False, True], ids=["plain", "tools"])
@pytest.mark.parametrize("mode", STREAMS)
@pytest.mark.parametrize("fault", ["cut", "reset", "end"])
async def test_streams_cut_at_any_byte_are_interrupted(fault: Any, mode: str, tools: bool) -> None:
    """Within an event, a field, a character of four bytes; `partial` is all that came.

    Text that was held back, because it may have become a call, is in it too.
    """
    output = CALL if tools else TEXT
    phi = Emulator(key=KEY)
    whole = body_of(phi, output, stream=True)
    finished = whole.index(b'"finish_reason":"stop"')
    # A clean end after the finish reason is complete, though [DONE] is missing.
    last = whole.index(b"\n", finished) if fault == "end" else whole.index(b"[DONE]")
    model = in_process(phi)
    runnable = model.bind_tools([get_weather]) if tools else model
    # With tools, the prompt makes each request slow: a selection, of no even step.
    for after in range(1, last, 13 if tools else 1):
        phi.script(output)
        phi.fail(name=fault, after_bytes=after)

        text, error = await read(runnable, mode)

        assert isinstance(error, InterruptedStreamError), after
        assert text_in(whole[:after], cleanly=fault == "end") == error.partial, after
        assert ("" if tools else error.partial) == text, after
    await model.http_async_client.aclose()  # type: ignore[union-attr]


async def test_responses_cut_at_any_byte_are_errors() -> None:
    """Cut short by the network, or by a proxy that counts its length anew."""
    for mode in ["invoke", "ainvoke"]:
        for fault, error in [
            ("cut", InterruptedStreamError),
            ("reset", InterruptedStreamError),
            ("end", InvalidResponseError),
        ]:
            phi = Emulator(key=KEY)
            model = in_process(phi)
            for after in range(len(body_of(phi, TEXT, stream=False))):
                phi.script(TEXT)
                phi.fail(name=fault, after_bytes=after)
                with pytest.raises(error):
                    await call_model(model, mode, "Hi")
            await model.http_async_client.aclose()  # type: ignore[union-attr]


# -- on sockets ----------------------------------------------------------------------------------

PLACES = {
    "after the first byte": b"",
    "within a field's name": b"da",
    "within an event": b'"delta":',
    "within a character": "😀".encode()[:2],
    "between events": b"\n\n",
    "before the blank line": b"\n",
}


@pytest.mark.usefixtures("each_transport")
async def test_streams_cut_on_a_socket_are_interrupted(phi: Emulator, model: ChatAzurePhi3) -> None:
    """By FIN, by reset, and by a last chunk in good order."""
    for place in PLACES:
        for mode in STREAMS:
            for fault in ["cut", "reset", "end"]:
                phi.requests.clear()
                whole = body_of(phi, TEXT, stream=True)
                after = whole.index(PLACES[place], 1) + len(PLACES[place])
                phi.script(TEXT)
                phi.fail(name=fault, after_bytes=after)
                phi.requests.clear()

                text, error = await read(model, mode)

                assert isinstance(error, InterruptedStreamError)
                assert text == error.partial == text_in(whole[:after], cleanly=fault == "end")
                assert error.is_retryable
                assert 1 == len(phi.requests)


HEAD = "HTTP/1.1 200 OK\r\ncontent-type: {}\r\n{}\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
CHUNKED = HEAD.format("text/event-stream", "transfer-encoding: chunked").encode()
COUNTED = HEAD.format("text/event-stream", "content-length: 1000").encode()
UNTIL_CLOSED = HEAD.format("text/event-stream", "connection: close").encode()


@pytest.mark.usefixtures("each_transport")
async def test_broken_framing_is_an_interruption() -> None:
    """Below the events, HTTP itself breaks off."""
    for mode in STREAMS:
        for resets in [False, True]:
            for answer, later in [
                (CHUNKED + b"3a\r\n" + EVENT + b"\r\n40\r\n" + EVENT[:20], b""),
                (CHUNKED + b"3a\r\n" + EVENT + b"\r\n4", b""),
                (CHUNKED + b"3a\r\n" + EVENT + b"\r\n", b""),
                (CHUNKED + b"3a\r\n" + EVENT + b"\r\n", b"no number\r\n"),
                (COUNTED + EVENT + EVENT[:20], b""),
                (UNTIL_CLOSED + EVENT + EVENT[:20], b""),
            ]:
                with serving(answer, later, resets=resets) as address:
                    model = ChatAzurePhi3(endpoint=address, timeout=5, max_retries=0)
                    text, error = await read(model, mode)

                assert isinstance(error, InterruptedStreamError)
                assert "Hi" == text == error.partial


@pytest.mark.usefixtures("each_transport")
async def test_short_bodies_are_errors(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Even where what came is JSON, as with `short`."""
    for mode in ["invoke", "ainvoke"]:
        for fault in ["short", "cut", "reset"]:
            phi.requests.clear()
            phi.fail(name=fault, after_bytes=50)

            with pytest.raises(InterruptedStreamError) as caught:
                await call_model(model, mode, "Hi")

            assert caught.value.is_retryable
            assert 1 == len(phi.requests)


# -- errors in the middle ------------------------------------------------------------------------

SPOILT = (
    'event: error\ndata: Error parsing decoded stream: data: {"x": 1}\n'
    "1 validation error for ChatCompletionStreamResponse\nchoices\n  Field required\n\n"
)
LENGTH = "This model's maximum context length is 4096 tokens."
SHAPES: dict[str, tuple[Any, type[AzurePhi3Error]]] = {
    "nested": ({"error": {"code": "429", "message": "slow down"}}, RateLimitError),
    "nested with a status": ({"error": {"message": "m", "status": 400}}, BadRequestError),
    "words": ({"error": "the engine died"}, ServerError),
    "vLLM": ({"object": "error", "message": "m", "type": "B", "code": 400}, BadRequestError),
    "vLLM 0.5.3": ({"error": {"object": "error", "message": "m", "code": 500}}, ServerError),
    "TGI": ({"error": "Request failed", "error_type": "generation"}, ServerError),
    "too long": ({"error": {"message": LENGTH, "code": 400}}, ContextLengthError),
    "filtered": ({"error": {"code": "content_filter", "message": "no"}}, ContentFilterError),
    "not re-encoded": (SPOILT, InvalidResponseError),
    "named": ('event: error\ndata: {"detail": "engine stopped"}\n\n', ServerError),
    "a list": ("data: [1]\n\n", ServerError),
    "a number": ("data: 7\n\n", ServerError),
    "null": ("data: null\n\n", ServerError),
    "a string": ('data: "sorry"\n\n', InvalidResponseError),
    "an error in a list": ('data: [{"error": {"code": "429"}}]\n\n', RateLimitError),
    "no JSON": ('data: {"choices": [\n\n', InvalidResponseError),
}


async def test_errors_in_mid_stream_keep_the_text(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Text that was held back, because it may have become a call, is in `partial` too."""
    for shape in SHAPES:
        for mode in STREAMS:
            for tools in [False, True]:
                phi.requests.clear()
                body, expected = SHAPES[shape]
                event = body if isinstance(body, str) else f"data: {json.dumps(body)}\n\n"
                output = CALL if tools else TEXT
                phi.script(output)
                phi.fail(name="event", after=4, body=event)

                text, error = await read(model.bind_tools([get_weather]) if tools else model, mode)

                assert type(error) is expected
                assert error.partial
                assert output.startswith(error.partial)
                assert ("" if tools else error.partial) == text
                assert 1 == len(phi.requests)


CHOICE = {"index": 0, "message": None, "finish_reason": "stop"}
NO_ANSWERS: dict[str, Any] = {
    "an error": {"status": 200, "body": {"error": {"code": "500", "message": "m"}}},
    "a page": {"name": "html"},
    "nothing": {"name": "empty"},
    "a list": {"status": 200, "body": [1]},
    "no choices": {"status": 200, "body": {"choices": []}},
    "choices missing": {"status": 200, "body": {"id": "1"}},
    "no message": {"status": 200, "body": {"choices": [CHOICE]}},
}


async def test_empty_responses_are_not_corrected(phi: Emulator, model: ChatAzurePhi3) -> None:
    """It is no call that did not come: nothing is asked again."""
    for fault in NO_ANSWERS:
        for mode in CALL_MODES:
            for choice in ["auto", "any"]:
                phi.requests.clear()
                phi.fail(**NO_ANSWERS[fault])

                with pytest.raises(ServerError if fault == "an error" else InvalidResponseError):
                    await call_model(
                        model.bind_tools([get_weather], tool_choice=choice), mode, "Hi"
                    )

                assert 1 == len(phi.requests)
