"""Failures on demand, as a client meets them: over a socket, and in process."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator
from tests.unit_tests.emulator.conftest import AZURES_QUESTION, Desk


@pytest.fixture(params=["socket", "in process"])
def door(request: pytest.FixtureRequest, desk: Desk) -> Desk:
    """The same emulator through either door."""
    if request.param == "in process":
        desk.http = httpx.Client(
            base_url=desk.phi.endpoint,
            headers=desk.http.headers,
            transport=desk.phi.transport(),
        )
    return desk


def received(desk: Desk, **fields: Any) -> tuple[bytes, Exception | None]:
    """What arrives of an answer, and what ends it."""
    body = {"messages": AZURES_QUESTION, "stream": True, **fields}
    arrived = b""
    try:
        with desk.http.stream("POST", "/chat/completions", json=body) as response:
            for piece in response.iter_raw():
                arrived += piece
    except httpx.TransportError as error:
        return arrived, error
    return arrived, None


def test_a_status_comes_as_often_as_asked(door: Desk) -> None:
    """Then all is well again; every request was recorded."""
    door.phi.fail(status=429, retry_after=1, times=2)

    responses = [door.ask() for _ in range(3)]

    assert [response.status_code for response in responses] == [429, 429, 200]
    assert responses[0].headers["retry-after"] == "1"
    assert responses[0].json()["error"]["message"] == (
        "Rate limit is exceeded. Try again in 1 seconds."
    )
    assert len(door.phi.requests) == 3


def test_failures_are_used_up_in_order(desk: Desk) -> None:
    """Each with its own usual body."""
    for status in (401, 403, 404, 408, 429, 500, 503, 418):
        desk.phi.fail(status=status)

    responses = [desk.ask() for _ in range(8)]

    assert [r.status_code for r in responses] == [401, 403, 404, 408, 429, 500, 503, 418]
    assert all(r.json()["error"]["message"] != "" for r in responses)
    assert "retry-after" not in responses[4].headers
    assert responses[7].json() == {"error": {"code": "418", "message": "The request failed."}}


@pytest.mark.parametrize("fault", [{"status": 429}, {"kind": "refuse"}, {"kind": "html"}])
def test_a_scripted_answer_waits_for_the_retry(door: Desk, fault: Any) -> None:
    """A failure that leaves nothing of the answer uses none up."""
    door.phi.script("It worked.")
    door.phi.fail(**fault)

    received(door)

    assert door.said() == "It worked."


def test_failures_can_be_forgotten(desk: Desk) -> None:
    """Those that were not used up."""
    desk.phi.fail(status=500, times=5)
    desk.phi.clear_faults()

    assert desk.ask().status_code == 200


# -- by lot --------------------------------------------------------------------------------------


def statuses(phi: Emulator, questions: Iterable[object]) -> dict[object, int]:
    """What each question met."""
    with httpx.Client(transport=phi.transport(), base_url=phi.endpoint) as http:
        desk = Desk(phi, http)
        http.headers["authorization"] = f"Bearer {phi.key}"
        return {question: desk.ask(f"{question}").status_code for question in questions}


def test_a_share_of_all_requests_fails() -> None:
    """Each fault its own; what was met is on the request."""
    phi = Emulator(faults={"429": 0.1})
    phi.fail(kind="html", share=0.2)

    statuses(phi, range(1000))

    met = Counter(None if r.fault is None else r.fault.kind or r.fault.status for r in phi.requests)
    assert {429, "html", None} == set(met)
    assert 70 < met[429] < 130
    assert 150 < met["html"] < 250


def test_the_same_requests_fail_in_whatever_order_they_arrive() -> None:
    """By the seed, of which another lets others fail."""
    forth, back, other = (Emulator(faults={"503": 0.5}, seed=seed) for seed in (1, 1, 2))

    first = statuses(forth, range(100))

    assert {200, 503} == set(first.values())
    assert first == statuses(back, reversed(range(100)))
    assert first != statuses(other, range(100))


def test_a_request_that_comes_again_is_drawn_again() -> None:
    """Else no retry would ever help."""
    phi = Emulator(faults={"503": 0.5})

    met = [statuses(phi, ["the same"])["the same"] for _ in range(50)]

    assert {200, 503} == set(met)


def test_what_was_ordered_for_the_next_request_comes_before_a_share() -> None:
    """`spared` included."""
    phi = Emulator(faults={"503": 1.0})
    phi.fail(status=418, spared=1)

    assert [200, 418, 503] == list(statuses(phi, range(3)).values())


def test_shares_can_be_forgotten() -> None:
    """With all other failures."""
    phi = Emulator(faults={"503": 1.0})
    phi.clear_faults()
    phi.fail(status=429, share=1.0)

    assert {1: 429} == statuses(phi, [1])


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"429": 0.6, "503": 0.6}, "the other faults leave 0.4"),
        ({"429": 0.0}, "share=0.0 is none"),
        ({"429": -0.1}, "share=-0.1 is none"),
        ({"999": 0.1}, "'999' is no status"),
        ({"lies": 0.1}, "kind='lies' is unknown"),
    ],
)
def test_a_share_that_cannot_be_is_refused(faults: dict[str, float], said: str) -> None:
    """At once, with what could be."""
    with pytest.raises(ValueError, match=re.escape(said)):
        Emulator(faults=faults)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_breaks_off_in_its_middle(door: Desk, stream: bool) -> None:
    """Whole or streamed, however long it is."""
    whole, _ = received(door, stream=stream)
    door.phi.fail(kind="cut", at=0.5)

    arrived, error = received(door, stream=stream)

    assert len(whole) // 2 == len(arrived)
    assert isinstance(error, httpx.RemoteProtocolError)


# -- statuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content", "kind"),
    [
        ({"detail": "é"}, '{"detail":"é"}'.encode(), "application/json"),
        ("nope", b"nope", "text/plain; charset=utf-8"),
        (b"\xff", b"\xff", "text/plain; charset=utf-8"),
        ("", b"", "text/plain; charset=utf-8"),
        ([], b"[]", "application/json"),
    ],
)
def test_a_body_of_ones_own_is_sent(desk: Desk, body: Any, content: bytes, kind: str) -> None:
    """Text and bytes as they are, anything else as JSON."""
    desk.phi.fail(status=502, body=body)

    response = desk.ask()

    assert (response.content, response.headers["content-type"]) == (content, kind)


def test_headers_of_ones_own_win(desk: Desk) -> None:
    """In any case of letters, over the usual ones."""
    wrapped = {"ms-azureml-model-error-statuscode": "400", "Content-Type": "text/html"}
    desk.phi.fail(status=424, body="<html>", headers=wrapped)

    response = desk.ask()

    assert response.headers.get_list("content-type") == ["text/html"]
    assert response.headers["ms-azureml-model-error-statuscode"] == "400"
    assert "x-ms-request-id" in response.headers


def test_a_date_can_say_when_to_retry(desk: Desk) -> None:
    """As HTTP allows."""
    desk.phi.fail(status=503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")

    assert desk.ask().headers["retry-after"] == "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize("after", [0, 3])
def test_a_cut_ends_a_stream_after_so_many_events(door: Desk, after: int) -> None:
    """With nothing that HTTP would take for an end."""
    door.phi.fail(kind="cut", after=after)

    arrived, error = received(door)

    assert arrived.count(b"\n\n") == after
    assert isinstance(error, httpx.RemoteProtocolError)


def test_a_cut_can_fall_within_an_event(door: Desk) -> None:
    """After so many bytes."""
    door.phi.fail(kind="cut", after_bytes=77)

    arrived, error = received(door)

    assert len(arrived) == 77
    assert isinstance(error, httpx.RemoteProtocolError)


def test_a_whole_answer_can_be_cut_too(door: Desk) -> None:
    """It is shorter than its length says."""
    door.phi.fail(kind="cut", after_bytes=10)

    arrived, error = received(door, stream=False)

    assert (len(arrived), arrived[:7]) == (10, b'{"id":"')
    assert isinstance(error, httpx.RemoteProtocolError)


def test_a_reset_is_told_from_a_cut(door: Desk) -> None:
    """What came before it arrives; then the connection breaks."""
    door.phi.fail(kind="reset", after=3)

    arrived, error = received(door)

    assert arrived.count(b"\n\n") == 3
    assert isinstance(error, httpx.ReadError)


def test_a_stall_lasts_until_the_client_gives_up(desk: Desk) -> None:
    """Or for ever, if it does not."""
    desk.http.timeout = httpx.Timeout(5, read=0.2)
    desk.phi.fail(kind="stall", after=2)

    arrived, error = received(desk)

    assert arrived.count(b"\n\n") == 2
    assert isinstance(error, httpx.ReadTimeout)
    assert desk.ask().status_code == 200


def test_a_stall_can_end_with_a_cut(desk: Desk) -> None:
    """After the time that was asked."""
    desk.phi.fail(kind="stall", after=1, seconds=0.1)
    started = time.monotonic()

    _, error = received(desk)

    assert isinstance(error, httpx.RemoteProtocolError)
    assert 0.1 <= time.monotonic() - started < 2


def test_in_process_a_stall_is_a_timeout_at_once(desk: Desk) -> None:
    """No time passes there."""
    http = httpx.Client(transport=desk.phi.transport(), headers=desk.http.headers)
    desk.phi.fail(kind="stall")

    with pytest.raises(httpx.ReadTimeout):
        http.post(f"{desk.phi.endpoint}/chat/completions", json={"messages": AZURES_QUESTION})


def test_a_server_can_leave_without_an_answer(door: Desk) -> None:
    """It read the request and closed."""
    door.phi.fail(kind="refuse")

    assert isinstance(received(door)[1], httpx.RemoteProtocolError)
    assert len(door.phi.requests) == 1


def test_a_server_can_hang_before_an_answer(door: Desk) -> None:
    """Not even the headers come."""
    door.http.timeout = httpx.Timeout(5, read=0.2)
    door.phi.fail(kind="hang")

    assert isinstance(received(door)[1], httpx.ReadTimeout)


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_can_end_early_but_cleanly(door: Desk, stream: bool) -> None:
    """Which a client can only tell from the content."""
    door.phi.fail(kind="end", after=2 if stream else 0)

    arrived, error = received(door, stream=stream)

    assert (arrived.count(b"\n\n"), error) == (2 if stream else 0, None)
    assert b"[DONE]" not in arrived


def test_a_stream_can_turn_to_garbage(door: Desk) -> None:
    """An event that is no JSON ends it."""
    door.phi.fail(kind="garble", after=2)

    arrived, error = received(door)

    assert arrived.count(b"\n\n") == 3
    assert arrived.endswith(b'"content":"bro\n\n')
    assert error is None


def test_a_whole_answer_can_be_broken_json(door: Desk) -> None:
    """Half of it, with the right length and type."""
    door.phi.fail(kind="garble")

    response = door.ask()

    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match=r"."):
        response.json()


def test_the_garbage_can_be_chosen(door: Desk) -> None:
    """Whatever a proxy may write."""
    door.phi.fail(kind="garble", body=b"\x00\xff", times=2)

    assert received(door)[0] == b"\x00\xff"
    assert door.ask().content == b"\x00\xff"


@pytest.mark.parametrize("body", [None, 'event: error\ndata: {"x":1}\n\n'])
def test_an_event_can_appear_in_the_middle(door: Desk, body: str | None) -> None:
    """An error by default; the stream goes on after it, as the model server's does."""
    door.phi.fail(kind="event", after=2, body=body)

    arrived, error = received(door)

    events = arrived.decode().split("\n\n")
    assert events[2] == (
        'data: {"error":{"code":"InternalServerError","message":"The engine stopped.",'
        '"status":500}}'
        if body is None
        else body.rstrip()
    )
    assert events[-2:] == ["data: [DONE]", ""]
    assert error is None


def test_an_event_has_no_middle_to_appear_in_where_nothing_streams(desk: Desk) -> None:
    """A whole answer stays as it is."""
    desk.phi.fail(kind="event")

    assert desk.ask().json()["object"] == "chat.completion"


def test_a_login_page_can_come_instead(door: Desk) -> None:
    """With 200, or with a status of a gateway's own."""
    door.phi.fail(kind="html")
    gone = {"X-Cache": "miss"}
    door.phi.fail(kind="html", status=502, body="<html>bad gateway</html>", headers=gone)

    page, gateway = door.ask(), door.ask()

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Please sign in" in page.text
    assert (gateway.status_code, gateway.text) == (502, "<html>bad gateway</html>")
    assert gateway.headers["x-cache"] == "miss"


def test_nothing_can_come_instead(door: Desk) -> None:
    """Success, without a body."""
    door.phi.fail(kind="empty")

    response = door.ask()

    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("stream", [True, False])
def test_a_body_can_be_shorter_than_announced(door: Desk, stream: bool) -> None:
    """All of it comes, and then less than there should be."""
    door.phi.fail(kind="short")

    arrived, error = received(door, stream=stream)

    assert arrived.endswith(b"data: [DONE]\n\n" if stream else b"}")
    assert isinstance(error, httpx.RemoteProtocolError)


def test_faults_pass_through_bytewise_framing(open_desk: Callable[..., Desk]) -> None:
    """They count events, before those are cut into bytes."""
    desk = open_desk(framing="bytewise")
    desk.phi.fail(kind="cut", after=2)

    arrived, error = received(desk)

    assert arrived.count(b"\n\n") == 2
    assert isinstance(error, httpx.RemoteProtocolError)


@pytest.mark.parametrize(
    ("fault", "words"), [({}, "Say how to fail"), ({"kind": "x"}, "kind='x' is unknown; use one")]
)
def test_a_fault_that_says_nothing_is_refused(desk: Desk, fault: Any, words: str) -> None:
    """When it is set, not when it is due."""
    with pytest.raises(ValueError, match=words):
        desk.phi.fail(**fault)


def test_requests_before_a_fault_can_be_spared(desk: Desk) -> None:
    """For what goes wrong only at the third step of a conversation."""
    desk.phi.fail(status=500, spared=2)

    assert [desk.ask().status_code for _ in range(4)] == [200, 200, 500, 200]
