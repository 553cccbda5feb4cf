"""Injected failures, over a socket and in process."""

import re
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator
from tests.unit_tests.emulator.conftest import QUESTION, STREAM, Client, MakeClient


@pytest.fixture(params=["socket", "in process"])
def each_client(request: pytest.FixtureRequest, make_client: MakeClient) -> Client:
    """The same emulator over either transport."""
    return make_client(socket=request.param == "socket")


def receive(client: Client, **fields: Any) -> tuple[bytes, Exception | None]:
    """The received bytes of an answer, and the error that ended it."""
    received = b""
    try:
        with client.http.stream("POST", "/chat/completions", json={**STREAM, **fields}) as response:
            for piece in response.iter_raw():
                received += piece
    except httpx.TransportError as error:
        return received, error
    return received, None


def test_statuses_are_used_up_in_order(each_client: Client) -> None:
    """Each with its own default body; every request is recorded."""
    statuses = [401, 403, 404, 408, 429, 500, 503, 418]
    each_client.phi.fail(status=429, retry_after=1, times=2)
    for status in statuses:
        each_client.phi.fail(status=status)

    responses = [each_client.post() for _ in range(11)]

    assert [response.status_code for response in responses] == [429, 429, *statuses, 200]
    assert responses[0].headers["retry-after"] == "1"
    message = responses[0].json()["error"]["message"]
    assert message == "Rate limit is exceeded. Try again in 1 seconds."
    assert all(response.json()["error"]["message"] for response in responses[:10])
    assert "retry-after" not in responses[6].headers
    unknown = {"error": {"code": "418", "message": "The request failed."}}
    assert responses[9].json() == unknown
    assert len(each_client.phi.requests) == 11


def test_scripted_answers_wait_for_the_retry(each_client: Client) -> None:
    """A failure without an answer uses up no script."""
    faults: tuple[Any, ...] = ({"status": 429}, {"name": "refuse"}, {"name": "html"})
    for fault in faults:
        each_client.phi.script("It worked.")
        each_client.phi.fail(**fault)
        receive(each_client)
        assert each_client.text() == "It worked."


def test_requests_can_be_skipped_and_faults_cleared(client: Client) -> None:
    """For failures in the third step of a conversation."""
    client.phi.fail(status=500, skip=2)
    assert [client.post().status_code for _ in range(4)] == [200, 200, 500, 200]
    client.phi.fail(status=500, times=5)
    client.phi.fail(status=429, rate=1.0)
    client.phi.clear_faults()
    assert client.post().status_code == 200


def test_bodies_and_headers_can_be_chosen(client: Client) -> None:
    """Text and bytes unchanged, anything else as JSON; chosen headers win."""
    text = "text/plain; charset=utf-8"
    for body, content, content_type in (
        ({"detail": "é"}, '{"detail":"é"}'.encode(), "application/json"),
        ([], b"[]", "application/json"),
        ("nope", b"nope", text),
        (b"\xff", b"\xff", text),
        ("", b"", text),
    ):
        client.phi.fail(status=502, body=body)
        response = client.post()
        assert (response.content, response.headers["content-type"]) == (content, content_type)
    wrapped = {"ms-azureml-model-error-statuscode": "400", "Content-Type": "text/html"}
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    client.phi.fail(status=424, body="<html>", headers=wrapped, retry_after=date)
    response = client.post()
    assert response.headers.get_list("content-type") == ["text/html"]
    assert response.headers["ms-azureml-model-error-statuscode"] == "400"
    assert response.headers["retry-after"] == date
    assert "x-ms-request-id" in response.headers


def test_invalid_faults_are_rejected(client: Client) -> None:
    """When they are set, not when they are due."""
    with pytest.raises(ValueError, match="Pass a status or the name of a fault"):
        client.phi.fail()
    with pytest.raises(ValueError, match=r"Fault 'x' is unknown\. Use one of"):
        client.phi.fail("x")  # type: ignore[arg-type]


# -- random --


def statuses(phi: Emulator, questions: Iterable[object]) -> dict[object, int]:
    """The status of each question."""
    headers = {"authorization": f"Bearer {phi.key}"}
    transport = phi.transport()
    with httpx.Client(transport=transport, base_url=phi.endpoint, headers=headers) as http:
        client = Client(phi, http)
        return {question: client.post(f"{question}").status_code for question in questions}


def test_a_fraction_of_all_requests_fails() -> None:
    """Each fault at its own rate; the request names its fault."""
    phi = Emulator(faults={"429": 0.1})
    phi.fail("html", rate=0.2)

    statuses(phi, range(1000))

    faults = [request.fault for request in phi.requests]
    counts = Counter(None if fault is None else fault.name or fault.status for fault in faults)
    assert {429, "html", None} == set(counts)
    assert 70 < counts[429] < 130
    assert 150 < counts["html"] < 250


def test_the_seed_chooses_the_failing_requests() -> None:
    """In whatever order they arrive; repeated requests are sampled again."""
    first, second, other = (Emulator(faults={"503": 0.5}, seed=seed) for seed in (1, 1, 2))

    forward = statuses(first, range(100))

    assert {200, 503} == set(forward.values())
    assert forward == statuses(second, reversed(range(100)))
    assert forward != statuses(other, range(100))
    assert {200, 503} == {statuses(first, ["again"])["again"] for _ in range(50)}


def test_queued_faults_precede_random_ones() -> None:
    """Skipped requests included."""
    phi = Emulator(faults={"503": 1.0})
    phi.fail(status=418, skip=1)

    assert [200, 418, 503] == list(statuses(phi, range(3)).values())


def test_impossible_rates_are_rejected() -> None:
    """At once, with what is possible."""
    for faults, message in (
        ({"429": 0.6, "503": 0.6}, "between 0 and 0.4"),
        ({"429": 0.0}, "rate=0.0 is not possible"),
        ({"429": -0.1}, "rate=-0.1 is not possible"),
        ({"999": 0.1}, "'999' is not an HTTP status"),
        ({"lies": 0.1}, "Fault 'lies' is unknown"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            Emulator(faults=faults)


# -- interruptions --


def test_cuts_end_an_answer_anywhere(each_client: Client) -> None:
    """After some events, bytes, or a fraction of the body, streamed or complete."""
    complete, _ = receive(each_client, stream=False)
    cases: list[tuple[dict[str, Any], bool, int | None]] = [
        ({"after": 0}, True, 0),
        ({"after_bytes": 77}, True, 77),
        ({"after_bytes": 10}, False, 10),
        ({"fraction": 0.5}, False, len(complete) // 2),
        ({"after": 3}, True, None),
    ]
    for options, stream, length in cases:
        each_client.phi.fail("cut", **options)
        received, error = receive(each_client, stream=stream)
        assert isinstance(error, httpx.RemoteProtocolError)
        assert length is None or len(received) == length
    assert received.count(b"\n\n") == 3


def test_resets_differ_from_cuts(each_client: Client) -> None:
    """The bytes before the reset arrive."""
    each_client.phi.fail("reset", after=3)

    received, error = receive(each_client)

    assert received.count(b"\n\n") == 3
    assert isinstance(error, httpx.ReadError)


def test_stalls_last_until_somebody_leaves(socket_client: Client) -> None:
    """The client at its timeout, or the server after the given time."""
    socket_client.http.timeout = httpx.Timeout(5, read=0.2)
    socket_client.phi.fail("stall", after=2)
    received, error = receive(socket_client)
    assert received.count(b"\n\n") == 2
    assert isinstance(error, httpx.ReadTimeout)
    socket_client.phi.fail("stall", after=1, seconds=0.1)
    started = time.monotonic()
    assert isinstance(receive(socket_client)[1], httpx.RemoteProtocolError)
    assert 0.1 <= time.monotonic() - started < 2
    assert socket_client.post().status_code == 200


def test_servers_can_hang_or_leave(each_client: Client) -> None:
    """Before any answer; in process, a timeout comes at once."""
    each_client.http.timeout = httpx.Timeout(5, read=0.2)
    for name, expected in (("refuse", httpx.RemoteProtocolError), ("hang", httpx.ReadTimeout)):
        each_client.phi.fail(name)  # type: ignore[arg-type]
        assert isinstance(receive(each_client)[1], expected)
    assert len(each_client.phi.requests) == 2


def test_answers_can_end_early_but_cleanly(each_client: Client) -> None:
    """Only the content shows it."""
    for stream, after in ((True, 2), (False, 0)):
        each_client.phi.fail("end", after=after)
        received, error = receive(each_client, stream=stream)
        assert (received.count(b"\n\n"), error) == (after, None)
        assert b"[DONE]" not in received


def test_answers_can_turn_into_garbage(each_client: Client) -> None:
    """An invalid event, half of the JSON, or any bytes."""
    each_client.phi.fail("garble", after=2)
    received, error = receive(each_client)
    assert received.count(b"\n\n") == 3
    assert received.endswith(b'"content":"bro\n\n')
    assert error is None
    each_client.phi.fail("garble")
    response = each_client.post()
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match=r"."):
        response.json()
    each_client.phi.fail("garble", body=b"\x00\xff", times=2)
    assert receive(each_client)[0] == each_client.post().content == b"\x00\xff"


def test_events_can_appear_in_the_middle(each_client: Client) -> None:
    """An error by default; complete answers have no middle."""
    error_event = (
        'data: {"error":{"code":"InternalServerError","message":"The engine stopped.",'
        '"status":500}}'
    )
    for body in (None, 'event: error\ndata: {"x":1}\n\n'):
        each_client.phi.fail("event", after=2, body=body)
        received, error = receive(each_client)
        events = received.decode().split("\n\n")
        assert events[2] == (error_event if body is None else body.rstrip())
        assert events[-2:] == ["data: [DONE]", ""]
        assert error is None
    each_client.phi.fail("event")
    assert each_client.post().json()["object"] == "chat.completion"


def test_other_content_can_come_instead(each_client: Client) -> None:
    """A login page, a gateway's page, or nothing."""
    each_client.phi.fail("html")
    page_body = "<html>bad gateway</html>"
    each_client.phi.fail("html", status=502, body=page_body, headers={"X-Cache": "miss"})
    each_client.phi.fail("empty")

    page, gateway, nothing = (each_client.post() for _ in range(3))

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Please sign in" in page.text
    assert (gateway.status_code, gateway.text) == (502, page_body)
    assert gateway.headers["x-cache"] == "miss"
    assert (nothing.status_code, nothing.content) == (200, b"")


def test_bodies_can_be_shorter_than_announced(each_client: Client) -> None:
    """All of the body comes, and then less than there should be."""
    for stream in (True, False):
        each_client.phi.fail("short")
        fields = {"messages": QUESTION, "max_tokens": 0, "stream": stream}
        received, error = receive(each_client, **fields)
        assert len(received) > 100
        assert isinstance(error, httpx.RemoteProtocolError)
