"""What becomes of a stream's bytes, however they are framed, cut or spoilt."""

import json
from typing import Any

import pytest

from langchain_azure_phi3 import (
    AzurePhi3Error,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    InterruptedStreamError,
    InvalidResponseError,
    RateLimitError,
    ServerError,
)
from langchain_azure_phi3._http import json_body
from langchain_azure_phi3._http.stream_decoder import StreamDecoder
from langchain_azure_phi3._types import ResponseInfo

INFO = ResponseInfo(200, "r-1", {"content-type": "text/event-stream"})
ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
TEXT = {"choices": [{"index": 0, "delta": {"content": "Grüße 😀"}, "finish_reason": None}]}
FINISH = {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}
DONE = b"data: [DONE]\n\n"


def event(body: Any, end: str = "\n", space: str = " ") -> bytes:
    """One event as the services write it."""
    return f"data:{space}{json.dumps(body, ensure_ascii=False)}{end}{end}".encode()


WHOLE = event(ROLE) + event(TEXT) + event(FINISH) + DONE


class Read:
    """The objects that some bytes gave, and the error after them, if any."""

    def __init__(self, *pieces: bytes) -> None:
        self.objects: list[Any] = []
        self.error: AzurePhi3Error | None = None
        self.reader = StreamDecoder(INFO)
        try:
            for piece in pieces:
                for body in self.reader.feed(piece):
                    self.objects.append(body)
            for body in self.reader.finish():
                self.objects.append(body)
        except AzurePhi3Error as error:
            self.error = error


# -- failures --


def test_an_unfinished_stream_is_an_interruption() -> None:
    """What came is given; then the error says that it is not all."""
    read = Read(event(ROLE) + event(TEXT))
    assert read.objects == [ROLE, TEXT]
    assert isinstance(read.error, InterruptedStreamError)
    assert (read.error.request_id, read.error.status_code) == ("r-1", 200)
    assert read.error.is_retryable


def test_any_choices_finish_reason_ends_the_stream() -> None:
    """And one that is null ends none."""
    both = {"choices": [{"index": 0, "finish_reason": None}, {"index": 1, "finish_reason": "eos"}]}
    assert Read(event(both)).error is None
    assert isinstance(Read(event(TEXT)).error, InterruptedStreamError)


def test_malformed_choices_are_harmless() -> None:
    """Filter chunks have none; some servers send null."""
    for choices in [None, [], {}, "x", [None], [1], [{}]]:
        read = Read(event({"choices": choices}))
        assert read.objects == [{"choices": choices}]
        assert isinstance(read.error, InterruptedStreamError)


def test_a_cut_stream_gives_its_beginning() -> None:
    """Never garbage: whole objects, then an interruption or, once finished, a clean end."""
    for cut in range(len(WHOLE) + 1):
        read = Read(WHOLE[:cut])
        everything = [ROLE, TEXT, FINISH]
        assert read.objects == everything[: len(read.objects)]
        if read.objects == everything:
            assert read.error is None
        elif cut == 0:
            assert isinstance(read.error, InvalidResponseError)
        else:
            assert isinstance(read.error, InterruptedStreamError)


def test_network_boundaries_mean_nothing() -> None:
    """A UTF-8 character, a line end or a field name may be cut in two."""
    for cut in range(len(WHOLE) + 1):
        read = Read(WHOLE[:cut], WHOLE[cut:])
        assert (read.objects, read.error) == ([ROLE, TEXT, FINISH], None)


def test_a_stream_may_come_byte_by_byte() -> None:
    """The hardest cut of all."""
    read = Read(*(WHOLE[at : at + 1] for at in range(len(WHOLE))))
    assert (read.objects, read.error) == ([ROLE, TEXT, FINISH], None)


ERRORS = {
    "nested": ({"error": {"code": "429", "message": "slow down"}}, RateLimitError),
    "status": ({"error": {"message": "m", "status": 400}}, BadRequestError),
    "string": ({"error": "the engine died"}, ServerError),
    "string-and-message": (
        {"error": "Bad Request", "message": "m", "status": 400},
        BadRequestError,
    ),
    "vllm": (
        {"object": "error", "message": "m", "type": "BadRequestError", "param": None, "code": 400},
        BadRequestError,
    ),
    "vllm-0.5.3": ({"error": {"object": "error", "message": "m", "code": 500}}, ServerError),
    "tgi": ({"error": "Request failed", "error_type": "generation"}, ServerError),
    "length": (
        {"error": {"message": "This model's maximum context length is 4096 tokens.", "code": 400}},
        ContextLengthError,
    ),
    "length-code": ({"error": {"code": "context_length_exceeded"}}, ContextLengthError),
    "filter": ({"error": {"code": "content_filter", "message": "no"}}, ContentFilterError),
    "with-choices": ({"choices": [], "error": {"message": "m"}}, ServerError),
}


def test_an_error_in_mid_stream_is_raised() -> None:
    """What came before it, even in the same piece, is given first."""
    for body, error_type in ERRORS.values():
        read = Read(event(ROLE) + event(TEXT) + event(body) + DONE)
        assert read.objects == [ROLE, TEXT]
        assert type(read.error) is error_type
        assert "The stream reported an error" in str(read.error)
        assert read.error.request_id == "r-1"


def test_an_empty_error_field_is_no_error() -> None:
    """Some servers write the field always."""
    for error in [None, {}, "", False]:
        body = {**FINISH, "error": error}
        read = Read(event(body))
        assert (read.objects, read.error) == ([body], None)


def test_an_unencodable_chunk_is_an_error_event() -> None:
    """Managed compute's own words, whose rest is on lines without `data:`; then it goes on."""
    spoilt = (
        b'event: error\ndata: Error parsing decoded stream: data: {"x": 1}\n'
        b"1 validation error for ChatCompletionStreamResponse\nchoices\n  Field required\n\n"
    )
    read = Read(event(ROLE) + spoilt + event(TEXT) + DONE)
    assert read.objects == [ROLE]
    assert isinstance(read.error, InvalidResponseError)
    assert "Error parsing decoded stream" in str(read.error)
    assert "disable_streaming=True" in str(read.error)


def test_an_error_event_is_always_an_error() -> None:
    """The name alone says it."""
    read = Read(b"event: error\n" + event({"detail": "engine stopped"}))
    assert isinstance(read.error, ServerError)
    assert "engine stopped" in str(read.error)


def test_events_that_are_not_objects_are_refused() -> None:
    """It is no completion."""
    for data in [b"[]", b"[1]", b"1", b'"text"', b"null", b"true"]:
        read = Read(event(ROLE) + b"data: " + data + b"\n\n" + DONE)
        assert read.objects == [ROLE]
        assert "not a JSON object" in str(read.error)


def test_events_that_are_not_json_are_refused() -> None:
    """Terminated by its blank line, it cannot be the place of a cut."""
    for data in [b"{", b'{"choices": [', b"hello", b"[DONE", b"\xff"]:
        read = Read(event(ROLE) + b"data: " + data + b"\n\n" + event(FINISH) + DONE)
        assert read.objects == [ROLE]
        assert isinstance(read.error, InvalidResponseError)


# -- what is no stream --


def test_a_complete_json_response_is_accepted() -> None:
    """Managed-compute server 0.1.8 ignores `stream`."""
    for lead in [b"", b"\n", b" \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf "]:
        for size in [1, 3, 10_000]:
            answer = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}
            content = lead + json.dumps(answer, indent=1).encode()
            read = Read(*(content[at : at + size] for at in range(0, len(content), size)))
            assert (read.objects, read.error) == ([answer], None)


def test_a_json_error_under_200_is_raised() -> None:
    """TGI-like back ends answer so."""
    read = Read(b'{"error": {"code": "429", "message": "busy"}}')
    assert isinstance(read.error, RateLimitError)


def test_other_bodies_are_shown() -> None:
    """A proxy's page, an empty body, a sentence: all came with status 200."""
    for content, message in [
        (b"", "an empty body"),
        (b" \n\r\n\t", "an empty body"),
        (b" " * 3000, "text that is not an event stream"),
        (b"<!DOCTYPE html><html><title>Sign\n in</title></html>", "an HTML page titled 'Sign in'"),
        (b'[{"a": 1}]', "instead of a JSON object"),
        (b'"not found"', "'not found'"),
        (b"{not json", "{not json"),
        (b"NOT FOUND", "NOT FOUND"),
        (b"upstream request timeout\n\n", "upstream request timeout"),
        (b"\xff\xfe\x00", "not an event stream"),
    ]:
        read = Read(content)
        assert read.objects == []
        assert isinstance(read.error, InvalidResponseError)
        assert message in str(read.error)
        assert read.error.request_id == "r-1"


def test_other_bodies_are_recognized_in_any_pieces() -> None:
    """A first byte that could begin a field decides nothing."""
    for size in [1, 6, 1000]:
        for content in [b"dog", b"not found", b" " * 1030 + b'{"a": 1}']:
            read = Read(*(content[at : at + size] for at in range(0, len(content), size)))
            assert isinstance(read.error, InvalidResponseError)
            assert str(read.error) == str(Read(content).error)


def test_an_empty_stream_is_an_interruption() -> None:
    """It was a stream, and nothing of the answer was received: `partial` is empty, not unknown."""
    for content in [b": keep-alive\n\n", b"event: x\n\n", b"id: 1\n", b"retry: 1"]:
        read = Read(content)
        assert isinstance(read.error, InterruptedStreamError)
        assert read.error.partial == ""


def test_a_body_beyond_the_bound_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless JSON body must not fill the memory."""
    monkeypatch.setattr(json_body, "MAX_BODY_BYTES", 1000)
    read = Read(b"{" + b" " * 600, b" " * 600)
    assert "larger than 1,000 bytes" in str(read.error)


# -- variants that are all right --


def test_every_known_framing_is_read() -> None:
    """With and without the space, all line ends, a BOM, comments and other fields."""
    for end in ["\n", "\r\n", "\r"]:
        for space in ["", " "]:
            for lead in [b"", b"\xef\xbb\xbf", b"\n\n", b": hi\n\n", b"id: 1\nretry: 2\n"]:
                stream = lead + b"".join(event(body, end, space) for body in (ROLE, TEXT, FINISH))
                assert Read(stream).objects == [ROLE, TEXT, FINISH]


def test_several_data_lines_are_one_object() -> None:
    """JSON may be broken where it has white space."""
    read = Read(b'data: {"choices":\ndata: [],\ndata: "id": 1}\n\n' + DONE)
    assert (read.objects, read.error) == ([{"choices": [], "id": 1}], None)


def test_done_without_finish_reason_is_complete() -> None:
    """The server said that it is done."""
    read = Read(event(ROLE) + event(TEXT) + DONE)
    assert (read.objects, read.error) == ([ROLE, TEXT], None)
    assert read.reader.done


def test_finish_reason_without_done_is_complete() -> None:
    """TGI-like back ends never send `[DONE]`."""
    read = Read(event(TEXT) + event(FINISH))
    assert (read.objects, read.error) == ([TEXT, FINISH], None)


def test_done_needs_no_blank_line() -> None:
    """Some servers close right after it."""
    for last in [b"data: [DONE]", b"data:[DONE]\n", b"data: [DONE]\r"]:
        read = Read(event(TEXT) + last)
        assert (read.objects, read.error) == ([TEXT], None)


def test_the_last_object_needs_no_blank_line() -> None:
    """It is whole JSON, so it is whole."""
    read = Read(event(TEXT) + event(FINISH).rstrip())
    assert (read.objects, read.error) == ([TEXT, FINISH], None)


def test_a_last_error_needs_no_blank_line() -> None:
    """It is not mistaken for an interruption."""
    read = Read(event(TEXT) + event({"error": {"message": "m", "status": 400}}).rstrip())
    assert isinstance(read.error, BadRequestError)


def test_nothing_after_done_counts() -> None:
    """In the same piece, or in a later one before the connection is closed."""
    for tail in [b"garbage", event({"error": {"message": "late"}}), event(TEXT)]:
        read = Read(event(TEXT) + DONE + tail)
        assert (read.objects, read.error) == ([TEXT], None)


def test_invalid_utf_8_costs_one_character() -> None:
    """They become U+FFFD."""
    read = Read(b'data: {"choices": [], "id": "a\xffb"}\n\n' + DONE)
    assert read.objects == [{"choices": [], "id": "a\ufffdb"}]


def test_usage_may_follow_the_finish_reason() -> None:
    """The separate last chunk of vLLM and Azure OpenAI."""
    usage = {"choices": [], "usage": {"prompt_tokens": 1}}
    assert Read(event(FINISH) + event(usage) + DONE).objects == [FINISH, usage]
