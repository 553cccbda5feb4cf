"""Requests that attack the emulator: an error of its server, in bounded time and memory."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from langchain_azure_phi3.emulator.server_types import SERVER_TYPES
from tests.raw_server import answering
from tests.unit_tests.emulator.conftest import PASS_THROUGH, Client, MakeClient

START = b'{"messages":[{"role":"user","content":"hi"}],'
JSON_TYPE = {"content-type": "application/json", **PASS_THROUGH}


def nested(opening: str, closing: str, depth: int) -> bytes:
    """A body with a value of that depth."""
    return START + b'"x":' + (opening * depth + "1" + closing * depth).encode() + b"}"


def reject_constant(name: str) -> float:
    """JSON has no NaN and no infinity."""
    raise AssertionError(f"{name} is not JSON")


def cpu_seconds(action: Callable[[], object]) -> float:
    """How long an action keeps this thread busy."""
    began = time.thread_time()
    action()
    return time.thread_time() - began


def test_json_that_cannot_be_parsed_is_a_400(client: Client) -> None:
    """In the words of FastAPI: deep, too many digits, not finite, not UTF-8."""
    bodies = (
        b"[" * 100_000,
        nested("[", "]", 100_000),
        nested('{"a":', "}", 100_000),
        nested("[", "]", 150),
        START + b'"seed":' + b"9" * 5_000 + b"}",
        *(START + b'"x":%b}' % value for value in (b"NaN", b"Infinity", b"-Infinity", b"1e999")),
        b'{"messages":[{"role":"user","content":"\xff"}]}',
        b"\xff",
        b"\x1f\x8b\x08\x00 compressed",
    )
    for content in bodies:
        response = client.http.post("/chat/completions", content=content, headers=JSON_TYPE)

        assert 400 == response.status_code, content[:60]
        assert {"detail": "There was an error parsing the body"} == response.json()


def test_odd_values_are_answered_or_named(client: Client) -> None:
    """Halves of surrogate pairs, duplicate keys, huge numbers, nulls: never a 500."""
    lone = '"\\ud83d"'
    values = (
        *(f'"{name}": {lone}' for name in ("model", "stop", "seed", "tools", "user")),
        f'"messages": [{{"role": "user", "content": {lone}}}]',
        f'"messages": [{{"role": {lone}, "content": "hi"}}]',
        f'"response_format": {{"type": {lone}}}',
        '"max_tokens": ' + "9" * 4_000,
        '"max_tokens": "' + "9" * 5_000 + '"',
        '"temperature": ' + "9" * 400,
        '"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": '
        '{"url": "data:,\\ud83d"}}]}]',
    )
    for value in values:
        content = START + value.encode() + b"}"
        response = client.http.post("/chat/completions", content=content, headers=JSON_TYPE)

        assert response.status_code in (200, 400, 404, 422), value
        json.loads(response.content, parse_constant=reject_constant)


def test_other_content_types_are_text(client: Client) -> None:
    """As FastAPI reads them: a 422 that says so."""
    for content_type in ("text/plain", "multipart/form-data", "application/x-www-form-urlencoded"):
        headers = {"content-type": content_type}
        response = client.http.post("/chat/completions", content=START, headers=headers)

        assert 422 == response.status_code
        assert "model_type" == response.json()["detail"][0]["type"]


def test_many_invalid_parts_are_one_problem(client: Client) -> None:
    """An error for each would be a thousand times as large as the request."""
    for field in ({"messages": [{}] * 50_000}, {"content": [{}] * 50_000}):
        response = client.post(**field)

        assert 422 == response.status_code
        assert len(response.json()["detail"]) < 5


PROPERTIES = {f"p{number}": {} for number in range(10_000)}
SCHEMAS: tuple[dict[str, Any], ...] = (
    {"allOf": [{"$ref": "#"}] * 50},
    {"required": list("abcdefgh"), "properties": {name: {"$ref": "#"} for name in "abcdefgh"}},
    {"required": ["a"], "properties": {"a": {"type": "array", "minItems": 1000, "items": {
        "type": "array", "minItems": 1000, "items": {"type": "string", "minLength": 1000}}}}},
    {"required": list(PROPERTIES)[::-1], "properties": PROPERTIES},
    {"required": list(PROPERTIES)[::-1], "properties": PROPERTIES, "additionalProperties": False},
    {"required": ["a"], "properties": {"a": {"type": "number", "multipleOf": 0}}},
    {"required": ["a"], "properties": {"a": {"type": "number", "multipleOf": 1e-320}}},
    {"required": ["a"], "properties": {"a": {"type": "integer", "minimum": 10**400}}},
    {"required": 5, "properties": {"a": 5}, "additionalProperties": False},
    {"required": [{}], "properties": []},
    {"default": "x" * 100_000, "allOf": [5, {"properties": 5}]},
)  # fmt: skip


def test_hostile_schemas_take_bounded_time(make_client: MakeClient) -> None:
    """Those that refer to themselves, repeat a lot, or calculate with extreme numbers."""
    client = make_client(tools="native")
    for schema in SCHEMAS:
        for strict in (False, True):
            function = {"type": "object", **schema}
            tool = {"name": "f", "strict": strict, "parameters": function}
            form = {"name": "f", "strict": strict, "schema": function}
            for fields in (
                {"tools": [{"type": "function", "function": tool}]},
                {"response_format": {"type": "json_schema", "json_schema": form}},
                {"content": f"Answer with JSON that fits this schema: {json.dumps(schema)}"},
            ):
                statuses = []
                seconds = cpu_seconds(lambda: statuses.append(client.post(**fields).status_code))  # noqa: B023

                assert statuses[0] in (200, 400), schema
                assert seconds < 0.5, str(schema)[:100]


def test_schemas_are_never_fetched(make_client: MakeClient) -> None:
    """Also where the emulator constrains its answers to them."""
    with answering(lambda *_: None) as server:
        for server_type in SERVER_TYPES:
            client = make_client(server_type=server_type, tools="native")
            for keyword in ("$ref", "$schema", "$id", "$dynamicRef"):
                schema = {"type": "object", keyword: f"{server.url}/x", "items": {"$ref": "y"}}
                form = {"name": "f", "schema": schema}
                for fields in (
                    {"response_format": {"type": "json_schema", "json_schema": form}},
                    {"guided_json": schema},
                    {"structured_outputs": {"json": schema}},
                ):
                    response = client.post(**fields, headers=PASS_THROUGH)
                    assert response.status_code < 500, (server_type, fields)
        assert [] == server.accepted


def test_prompts_full_of_braces_take_bounded_time(client: Client) -> None:
    """Each could be the start of a schema or tool."""
    for text in ("{" * 4_000, "{}" * 2_000, '{"":' * 1_000, '{"a": "b' * 500, "schema {}" * 500):
        assert cpu_seconds(lambda: client.post(text)) < 0.5, text[:10]  # noqa: B023


def test_bodies_have_a_limit(make_client: MakeClient) -> None:
    """A 413 in the words of each server type; only smaller ones reach the model."""
    for server_type in SERVER_TYPES:
        phi = make_client(server_type=server_type, max_body_bytes=1_000)
        response = phi.post("x" * 1_000)

        assert 413 == response.status_code, server_type
        assert "Request body too large. Max size: 1000 bytes." in response.text
    phi = make_client(max_body_bytes=1_000)
    assert 200 == phi.post("x" * 800).status_code


HEAD = b"POST /chat/completions HTTP/1.1\r\nhost: x\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def endless(start: bytes, piece: bytes) -> Iterator[bytes]:
    """A request that does not end."""
    yield start
    while True:
        yield piece


def send(address: tuple[str, int], pieces: Iterator[bytes]) -> tuple[bytes, int]:
    """The status line of the response, and how much the server accepted."""
    sent = 0
    with socket.create_connection(address, timeout=10) as connection:
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
                sent += len(piece)
        return connection.recv(65_536).partition(b"\r\n")[0], sent


def test_the_server_stops_to_read_what_is_too_large(make_client: MakeClient) -> None:
    """Whatever part of the request does not end."""
    client = make_client(socket=True, max_body_bytes=100_000)
    address = ("127.0.0.1", int(client.phi.endpoint.rsplit(":", 1)[1]))
    large = b"x" * 65_536
    for expected, start, piece in (
        (b"413", HEAD + b"content-length: 99999999999999999999\r\n\r\n", large),
        (b"413", CHUNKED, b"10000\r\n" + large + b"\r\n"),
        (b"400", CHUNKED + b"1;", large),
        (b"400", CHUNKED + b"1\r\na\r\n0\r\n", b"a: b\r\n" * 10_000),
        (b"400", HEAD, b"a: b\r\n" * 10_000),
        (b"400", b"", large),
        (b"400", b"", b"\r\n" * 10_000),
    ):
        status, sent = send(address, endless(start, piece))

        assert status.startswith(b"HTTP/1.1 " + expected), (start, status)
        assert sent < 20_000_000  # most of it waits in the buffers of both sockets
        assert all(len(request.body) < 1_000_000 for request in client.phi.requests)


def test_the_usual_limit_is_100_megabytes(socket_client: Client) -> None:
    """Of which nothing is read if the request announces more."""
    address = ("127.0.0.1", int(socket_client.phi.endpoint.rsplit(":", 1)[1]))
    status, _ = send(address, iter([HEAD + b"content-length: 100000001\r\n\r\n"]))

    assert status.startswith(b"HTTP/1.1 413")


def test_contradictory_lengths_are_a_400(socket_client: Client) -> None:
    """Or else requests could be smuggled past a proxy."""
    address = ("127.0.0.1", int(socket_client.phi.endpoint.rsplit(":", 1)[1]))
    for lines in (
        b"content-length: -1",
        b"content-length: 1\r\ncontent-length: 2",
        b"content-length: 9" + b"9" * 5_000,
        b"content-length: \xd9\xa3",
        b"transfer-encoding: gzip",
    ):
        status, _ = send(address, iter([HEAD + lines + b"\r\n\r\n"]))

        assert status.startswith(b"HTTP/1.1 400"), lines


def test_slow_uploads_hold_up_nobody(socket_client: Client) -> None:
    """Neither in the headers nor in the body; stopping does not wait for them."""
    address = ("127.0.0.1", int(socket_client.phi.endpoint.rsplit(":", 1)[1]))
    slow = [socket.create_connection(address) for _ in range(100)]
    for number, connection in enumerate(slow):
        connection.sendall(HEAD + (b"content-length: 9\r\n\r\n{" if number % 2 else b"x:"))

    assert 200 == socket_client.post().status_code
    began = time.monotonic()
    socket_client.phi.stop()
    assert time.monotonic() - began < 1
    for connection in slow:
        connection.close()


def test_pipelined_requests_are_answered_in_order(socket_client: Client) -> None:
    """One at a time."""
    address = ("127.0.0.1", int(socket_client.phi.endpoint.rsplit(":", 1)[1]))
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 99 + b"GET /? HTTP/1.1\r\n\r\n")
        received = b""
        while data := connection.recv(65_536):
            received += data

    assert 99 == received.count(b"HTTP/1.1 200")
    assert received.rindex(b"HTTP/1.1 400") > received.rindex(b"HTTP/1.1 200")


def test_long_running_servers_keep_few_bytes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the requests they received."""
    monkeypatch.setattr("langchain_azure_phi3.emulator.deployment._MAX_KEPT_BYTES", 500)
    client.phi._deployment.max_requests = 100
    for _ in range(20):
        client.text("x" * 100)

    assert 0 < len(client.phi.requests) < 5
