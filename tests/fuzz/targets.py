"""Fuzz targets: one for each parser of untrusted bytes, with what must hold for any input.

A target takes bytes and returns, or raises what is a bug. `check` runs one, and also fails if it
is slow. `make fuzz` starts from `seeds`, guided by the lines that each input reaches.
"""

import base64
import json
import math
import pickle
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any
from unittest import mock

import httpx

from langchain_azure_phi3 import AzurePhi3Error, InvalidInputError
from langchain_azure_phi3 import images as images_module
from langchain_azure_phi3._http.entra import audience, parse_claims
from langchain_azure_phi3._http.error_mapping import (
    map_error_body,
    map_error_response,
    parse_completion,
)
from langchain_azure_phi3._http.json_codec import (
    EventDecoder,
    decode,
    decode_lenient,
    encode,
    is_cut_off,
)
from langchain_azure_phi3._http.retries import parse_retry_after
from langchain_azure_phi3._http.sse import EventParser
from langchain_azure_phi3._http.stream_decoder import StreamDecoder
from langchain_azure_phi3._image_tokens import prompt_image_tokens
from langchain_azure_phi3._request.media_parts import media_part
from langchain_azure_phi3._request.media_sniffing import audio_format, image_format
from langchain_azure_phi3._request.text_escaping import escape_parts
from langchain_azure_phi3._response.model_info import parse_model_info
from langchain_azure_phi3._response.text_parser import TextParser, parse_text
from langchain_azure_phi3._response.turn_end import TurnEndFilter, Unescaper
from langchain_azure_phi3._tools import control_tokens, schema_validation
from langchain_azure_phi3._tools.answer_parser import AnswerParser
from langchain_azure_phi3._tools.argument_coercion import ArgumentCoercer
from langchain_azure_phi3._tools.constraint_schema import constraint_schema
from langchain_azure_phi3._tools.json_extraction import ObjectExtractor
from langchain_azure_phi3._tools.lenient_json import parse_lenient_json
from langchain_azure_phi3._tools.schema_compaction import compact_schema, to_compact_json
from langchain_azure_phi3._tools.tool_call_parser import ToolCallParser
from langchain_azure_phi3._tools.tool_choice import OutputSpec
from langchain_azure_phi3._tools.tools import Tool
from langchain_azure_phi3._types import ResponseInfo
from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.emulator.server_types import SERVER_TYPES
from langchain_azure_phi3.images import image_block, resize_image

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
_OUTPUT = OutputSpec(
    tuple(
        {"type": "function", "function": {"name": tool.name, "parameters": tool.parameters}}
        for tool in _TOOLS
    )
)
_EMULATORS = tuple(
    Emulator(server_type=server_type, tools=tools)
    for server_type in SERVER_TYPES
    for tools in ("refuse", "native")
)
_CONTROL_TOKEN = re.compile(f"<{control_tokens._NAME}")
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


def answers(data: bytes) -> None:
    """A complete response's text is the same in pieces, with calls in rare forms and reasoning."""
    size, data = _size(data)
    text = data.decode("utf-8", errors="ignore")

    def parse(pieces: Iterable[str]) -> tuple[str, list[Any]]:
        parser = AnswerParser(_TOOLS, required=False)
        results = [parser.feed(piece) for piece in pieces]
        results.append(parser.finish())
        return "".join(r.text for r in results), [call for r in results for call in r.calls]

    assert repr(parse([text])) == repr(parse(_cut(text, size)))
    for output in (None, _OUTPUT):
        parsed, problem, _ = parse_text(text, output, parses_reasoning=True, truncated=False)
        assert isinstance(parsed.text, str)
        assert problem is None or problem != ""
        text_parser = TextParser(output, parses_reasoning=True)
        for piece in _cut(text, size):
            text_parser.feed(piece)
        text_parser.finish(truncated=False)
    turns = []
    for pieces in ([text], _cut(text, size)):
        turn = TurnEndFilter(has_tools=True)
        turns.append("".join([*map(turn.feed, pieces), turn.finish()]))
    assert turns[0] == turns[1]


def objects(data: bytes) -> None:
    """Any text holds a valid object, or there is a problem to report."""
    text = data.decode("utf-8", errors="ignore")
    found, problem = ObjectExtractor(_TOOLS[0].parameters).read(text)
    assert (found is None) == (problem != "")


def lenient(data: bytes) -> None:
    """Text that is nearly JSON gives a JSON value; valid JSON gives its own."""
    text = data.decode("utf-8", errors="ignore")
    value = parse_lenient_json(text)
    json.dumps(value)
    with suppress(ValueError, RecursionError):
        strict = json.loads(text)
        assert value is None or repr(value) == repr(strict)


def codec(data: bytes) -> None:
    """Bytes are JSON or a `ValueError`; what is decoded can be sent, or the error says why not."""
    for read in (decode, decode_lenient, EventDecoder().decode, is_cut_off):
        value: Any = None
        with suppress(ValueError):
            value = read(data)
        with suppress(InvalidInputError):
            encode({"value": value})


def headers(data: bytes) -> None:
    """Any header of an error is a pause, a claim or nothing."""
    text = data.decode("latin-1")
    lines = text.split("\n")
    for name in (*_HEADERS, "x-ratelimit-reset-requests", "x-ms-retry-after-ms"):
        for status in (408, 429):
            pause = parse_retry_after(status, {name: lines[0]}, "".join(lines[1:]), 0.0)
            assert pause is None or 0 <= pause < math.inf
    claims = parse_claims(lines)
    assert claims is None or isinstance(claims, str)
    named = audience(text)
    assert named is None or isinstance(named, str)


def schemas(data: bytes) -> None:
    """Of two JSON values, one is the schema of a tool and the other one its arguments."""
    schema, value = _pair(data)
    if not isinstance(schema, dict):
        return
    compiled = schema_validation.compile_schema(schema, schema)
    if compiled is not None:
        assert compiled.accepts(value) == (compiled.errors(value, 3) == [])
    with suppress(InvalidInputError):
        json.loads(to_compact_json(compact_schema(schema)))
    constraint = constraint_schema(schema)
    assert constraint is None or json.dumps(constraint) != ""
    if isinstance(value, dict):
        coercer = ArgumentCoercer(schema)
        coerced = coercer.coerce(value)
        problem = coercer.validate(coerced)
        assert isinstance(coerced, dict)
        assert problem is None or problem != ""
    found, problem = ObjectExtractor(schema).read(json.dumps(value))
    assert (found is None) == (problem != "")


def images(data: bytes) -> None:
    """The bytes of an image or audio are a part of a message, or an `InvalidInputError`."""
    assert image_format(data[:18]) is None or audio_format(data[:12]) != "mp3"
    for call in (image_block, _resize):
        with suppress(InvalidInputError):
            call(data)
    url = "data:;base64," + base64.b64encode(data).decode()
    assert prompt_image_tokens([url], None) > 0
    text = data.decode("latin-1")
    for block in (
        {"type": "image_url", "image_url": {"url": text}},
        {"type": "image", "base64": text},
        {"type": "input_audio", "input_audio": {"data": text, "format": "wav"}},
        {"type": "audio", "data": base64.b64encode(data).decode()},
    ):
        with suppress(InvalidInputError):
            assert media_part(block) is not None


def _resize(data: bytes) -> None:
    """Decode and resize an image, with fewer pixels allowed, and without Pillow's warnings."""
    with mock.patch.object(images_module, "_MAX_PIXELS", 10_000), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resize_image(data, 1)


def facts(data: bytes) -> None:
    """What a server says about its models."""
    info = ResponseInfo(200, None, {})
    with suppress(AzurePhi3Error):
        body = parse_completion(data, info)
        assert parse_model_info(body, info).model_name != ""


def escapes(data: bytes) -> None:
    """No control token is left in a text, and unescaping restores it, in pieces as well."""
    size, data = _size(data)
    text = data.decode("utf-8", errors="ignore")
    escaped = control_tokens.escape_control_tokens(text)
    assert _CONTROL_TOKEN.search(escaped) is None
    assert control_tokens.unescape_control_tokens(escaped) == text
    unescaper = Unescaper()
    pieces = [unescaper.feed(piece) for piece in _cut(escaped, size)]
    assert "".join([*pieces, unescaper.finish()]) == text
    half = len(text) // 2
    parts = [{"type": "text", "text": part} for part in (text[:half], text[half:])]
    joined = "".join(part["text"] for part in escape_parts(parts))
    assert _CONTROL_TOKEN.search(joined) is None


def emulator(data: bytes) -> None:
    """Any request is an answer or an error below 500, in JSON."""
    choice, content = data[:1], data[1:]
    number = choice[0] if choice else 0
    phi = _EMULATORS[number % len(_EMULATORS)]
    path = (f"{phi.base_path}/chat/completions", "/v1/chat/completions", "/score")[number % 3]
    request = {"authorization": f"Bearer {phi.key}", "content-type": "application/json"}
    phi.script("Fine.") if number & 0x40 else None
    with httpx.Client(transport=phi.transport(), base_url="http://phi.invalid") as http:
        response = http.post(
            f"{path}?api-version=2024-05-01-preview",
            content=content,
            headers={**request, "extra-parameters": "pass-through"},
        )
    phi.requests.clear()
    assert response.status_code < 500
    if response.headers["content-type"] == "application/json":
        json.JSONDecoder(parse_constant=_reject).raw_decode(response.text)


def _reject(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def _pair(data: bytes) -> tuple[Any, Any]:
    """Two JSON values, separated by a zero byte."""
    first, _, second = data.partition(b"\0")
    try:
        return json.loads(first), json.loads(second)
    except (ValueError, RecursionError):
        return None, None


def _size(data: bytes) -> tuple[int, bytes]:
    """The size of the pieces, from the first byte, and the rest."""
    return (data[0] % 16 + 1 if data else 1), data[1:]


def _cut(data: Any, size: int) -> Iterator[Any]:
    return (data[at : at + size] for at in range(0, len(data), size))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "events": events,
    "stream": stream,
    "errors": errors,
    "headers": headers,
    "codec": codec,
    "facts": facts,
    "tools": tools,
    "answers": answers,
    "objects": objects,
    "lenient": lenient,
    "schemas": schemas,
    "escapes": escapes,
    "images": images,
    "emulator": emulator,
}

# The most CPU time of one run: linear in the length of the input. Targets run each parser several
# times, and atheris slows them down.
_SECONDS, _SECONDS_PER_BYTE = 0.1, 100e-6
_REPEATED_LENGTH = 4_000


def check(target: str, data: bytes) -> None:
    """Run a target on an input, which a first byte above 127 repeats, and limit its CPU time."""
    data, is_repeated = data[1:], data[:1] >= b"\x80"
    if is_repeated and data:
        data = (data * (_REPEATED_LENGTH // len(data) + 1))[:_REPEATED_LENGTH]
    limit = _SECONDS + _SECONDS_PER_BYTE * len(data)
    for _ in range(3):  # others may have had the first time's caches or garbage to clean up
        schema_validation._compile.cache_clear()
        began = time.thread_time()
        TARGETS[target](data)
        seconds = time.thread_time() - began
        if seconds <= limit:
            return
    raise AssertionError(f"{len(data)} bytes took {seconds:.2f} s of CPU time")
