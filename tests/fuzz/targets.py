"""Fuzz targets: one for each parser of untrusted bytes, with what must hold for any input.

A target takes bytes and returns, or raises what is a bug. `make fuzz` starts from `seeds`, guided
by the lines that each input reaches.
"""

import json
import math
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from langchain_azure_phi3 import AzurePhi3Error
from langchain_azure_phi3._http.error_mapping import (
    map_error_body,
    map_error_response,
    parse_completion,
)
from langchain_azure_phi3._http.sse import EventParser
from langchain_azure_phi3._http.stream_decoder import StreamDecoder
from langchain_azure_phi3._tools.json_extraction import ObjectExtractor
from langchain_azure_phi3._tools.tool_call_parser import ToolCallParser
from langchain_azure_phi3._tools.tools import Tool
from langchain_azure_phi3._types import ResponseInfo

_TRANSCRIPTS = Path(__file__).parents[1] / "unit_tests" / "_tools" / "transcripts"
_TOOLS = (
    Tool(
        "get_weather",
        "The weather.",
        {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"enum": ["C", "F"]},
                "at": {"anyOf": [{"$ref": "#/$defs/P"}, {"type": "null"}]},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
            "$defs": {"P": {"type": "object", "properties": {"x": {"type": "number"}}}},
            "required": ["city"],
        },
    ),
    Tool("search", "", {}),
)
_HEADERS = ("retry-after", "retry-after-ms", "x-ratelimit-reset-tokens", "x-ms-error-code")
_WRAPPED = "ms-azureml-model-error-statuscode"


def events(data: bytes) -> None:
    """Server-sent events are the same wherever the network cuts the bytes."""
    size, data = _size(data)

    def parse(pieces: Iterable[bytes]) -> list[Any]:
        parser = EventParser()
        found = [event for piece in pieces for event in parser.feed(piece)]
        return found + parser.finish()

    assert parse([data]) == parse(_cut(data, size))


def stream(data: bytes) -> None:
    """A stream's objects and its end are the same; it raises only errors of this package."""
    size, data = _size(data)

    def read(pieces: Iterable[bytes]) -> tuple[list[Any], type[Exception] | None, str]:
        objects: list[Any] = []
        try:
            objects.extend(_objects(pieces))  # those before a failure stay
        except AzurePhi3Error as error:
            return objects, type(error), str(error)
        return objects, None, ""

    complete, in_pieces = read([data]), read(_cut(data, size))
    assert repr(complete) == repr(in_pieces)  # NaN is not equal to itself


def _objects(pieces: Iterable[bytes]) -> Iterator[Any]:
    reader = StreamDecoder(ResponseInfo())
    for piece in pieces:
        yield from reader.feed(piece)
        if reader.done:
            return
    yield from reader.finish()


def errors(data: bytes) -> None:
    """Any failed response is an error that can be shown, pickled and retried."""
    status = 100 + 2 * (data[0] if data else 0)
    head, _, content = data[1:].partition(b"\0")
    values = head.decode("latin-1").split("\n")
    headers = dict(zip((*_HEADERS, _WRAPPED), values, strict=False))
    info = ResponseInfo(status, None, headers)
    found = [map_error_response(info, content, advice={404: "Look."})]
    found.append(map_error_body(content, info, what="It failed"))
    with suppress(AzurePhi3Error):
        assert isinstance(parse_completion(content, info), dict)
    for error in found:
        assert isinstance(error, AzurePhi3Error)
        assert str(error) != ""
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
        assert error.retry_after is None or 0 <= error.retry_after < math.inf


def tools(data: bytes) -> None:
    """Text and tool calls are the same wherever the model's tokens end."""
    size, data = _size(data)
    flags, text = data[:1], data[1:].decode("utf-8", errors="ignore")
    required, truncated = (flags >= b"\x80"), (flags[-1:] >= b"\x40")

    def parse(pieces: Iterable[str]) -> tuple[str, list[Any]]:
        parser = ToolCallParser(_TOOLS[:1] if required else _TOOLS, required=required)
        results = [parser.feed(piece) for piece in pieces]
        results.append(parser.finish(truncated=truncated))
        return "".join(r.text for r in results), [call for r in results for call in r.calls]

    complete = parse([text])
    assert repr(complete) == repr(parse(_cut(text, size)))
    for call in complete[1]:
        assert (call.error is not None) or isinstance(call.arguments, dict)


def objects(data: bytes) -> None:
    """Any text holds a valid object, or there is a problem to report."""
    text = data.decode("utf-8", errors="ignore")
    found, problem = ObjectExtractor(_TOOLS[0].parameters).read(text)
    assert (found is None) == (problem != "")


def _size(data: bytes) -> tuple[int, bytes]:
    """The size of the pieces, from the first byte, and the rest."""
    return (data[0] % 16 + 1 if data else 1), data[1:]


def _cut(data: Any, size: int) -> Iterator[Any]:
    return (data[at : at + size] for at in range(0, len(data), size))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "events": events,
    "stream": stream,
    "errors": errors,
    "tools": tools,
    "objects": objects,
}

_CHUNK = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc"},"finish_reason":null}]}\n\n'
)
_END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
_DONE = b"data: [DONE]\n\n"
_STREAMS = (
    _CHUNK + _CHUNK + _END + _DONE,
    b"\xef\xbb\xbf: hi\r\n\r\n" + _CHUNK.replace(b"\n", b"\r\n") + _END + _DONE,
    _CHUNK + b'event: error\ndata: {"error":{"message":"m","status":500}}\n\n' + _DONE,
    _CHUNK + b'data: {"object":"error","message":"m","code":400}\n\n',
    b'\n {"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}',
    b"<html><title>Sign in</title></html>",
    b"id: 1\nretry: 5\ndata: a\ndata:b\rdata\n\n",
    b"not found",
)
_BODIES = (
    b'{"error":{"code":"content_filter","message":"m","param":"prompt","status":400,"innererror":'
    b'{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true}}}}}',
    b'{"status":422,"code":"parameter_not_supported","detail":{"loc":["body","x"],"input":"y"}}',
    b'{"detail":[{"loc":["body",1],"msg":"m","input":{}}]}',
    b'{"error":{"message":"{\\"object\\":\\"error\\",\\"message\\":\\"m\\",\\"code\\":400}"}}',
    b'{"statusCode":401,"message":"Try again in 5 seconds."} see https://aka.ms',
    b"<html><title>Bad gateway</title></html>",
    b'"words"',
    b'[{"error":"list"}]',
)


def _texts() -> list[bytes]:
    """Texts of models: the transcripts of the parser's tests."""
    files = [json.loads(path.read_text("utf-8")) for path in sorted(_TRANSCRIPTS.glob("*.json"))]
    return [item["emitted"].encode() for file in files for item in _items(file)]


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and isinstance(value.get("emitted"), str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _items(inner)


def seeds(target: str) -> list[bytes]:
    """The inputs that the fuzzer begins with."""
    if target == "errors":
        statuses = (150, 161, 164)  # 400, 422, 428
        return [bytes([status]) + b"5\n\n\n\n400\0" + b for status in statuses for b in _BODIES]
    if target == "tools":
        return [bytes([3, flags]) + text for text in _texts() for flags in (0, 0xC0)]
    if target == "objects":
        return _texts()
    return [bytes([size]) + content for content in _STREAMS for size in (0, 6)]
