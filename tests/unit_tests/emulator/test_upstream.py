"""Azure's API in front of a real model: what passes through, what stays in front, what fails."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator, Prompt
from tests.unit_tests.emulator.conftest import AZURES_QUESTION, PASS_THROUGH, Desk
from tests.unit_tests.emulator.local_model import LocalModel, running
from tests.unit_tests.pictures import png_of

NOTHING_LISTENS = "http://127.0.0.1:9/v1"


@pytest.fixture
def behind() -> Iterator[LocalModel]:
    """A local model."""
    with running() as model:
        yield model


@pytest.fixture
def front(behind: LocalModel, open_desk: Callable[..., Desk]) -> Desk:
    """The emulator in front of it."""
    return open_desk("Phi-3-mini-4k-instruct", upstream=behind.url)


def test_the_words_and_the_counts_are_the_models(front: Desk) -> None:
    """The envelope is Azure's."""
    body = front.ask("What colour is the sky?").json()

    assert " The sky is blue." == body["choices"][0]["message"]["content"]
    assert {"prompt_tokens": 1234, "completion_tokens": 56, "total_tokens": 1290} == body["usage"]
    assert "Phi-3-mini-4k-Instruct" == body["model"]
    assert "stop" == body["choices"][0]["finish_reason"]


def test_a_stream_says_the_same(front: Desk) -> None:
    """One delta for each of the model's, and its counts where Azure has them."""
    chunks = front.chunks("What colour is the sky?")

    deltas = [chunk["choices"][0]["delta"]["content"] for chunk in chunks]
    assert ["", " The", " sky", " is", " blue.", ""] == deltas
    assert 1290 == chunks[-1]["usage"]["total_tokens"]
    assert "stop" == chunks[-1]["choices"][0]["finish_reason"]


def test_pieces_are_passed_on_as_they_come(behind: LocalModel, front: Desk) -> None:
    """Not collected first: the first is here while the model holds the second back."""
    behind.hold.clear()
    body = {"messages": AZURES_QUESTION, "stream": True}
    with front.http.stream("POST", "/chat/completions", json=body) as response:
        lines = (line for line in response.iter_lines() if line)
        seen = [next(lines), next(lines)]
        behind.hold.set()
        rest = list(lines)

    assert " The" in seen[1]
    assert "data: [DONE]" == rest[-1]


def test_the_length_of_an_answer_is_the_models_to_tell(behind: LocalModel, front: Desk) -> None:
    """The emulator counts otherwise than a tokenizer, so it cuts nothing."""
    behind.finish = "length"

    choice = front.choice("Hi", max_tokens=2)
    assert " The sky is blue." == choice["message"]["content"]
    assert "length" == choice["finish_reason"]
    assert 2 == behind.asked[-1]["max_tokens"]


def test_what_was_set_is_passed_on_and_nothing_else(behind: LocalModel, front: Desk) -> None:
    """Extras too, once the header lets them through."""
    front.ask("Hi", temperature=0, stop=["x"], top_k=5, n=1, headers=PASS_THROUGH)

    assert {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0,
        "stop": ["x"],
        "top_k": 5,
    } == behind.asked[-1]


def test_dropped_extras_do_not_reach_the_model(behind: LocalModel, front: Desk) -> None:
    """`drop` is one of the three things that the header can say."""
    front.ask("Hi", top_k=5, headers={"extra-parameters": "drop"})

    assert "top_k" not in behind.asked[-1]


def test_pictures_are_passed_on(behind: LocalModel, open_desk: Callable[..., Desk]) -> None:
    """As they were sent."""
    desk = open_desk("Phi-3-vision-128k-instruct", upstream=behind.url)
    encoded = base64.b64encode(png_of(8, 8)).decode()
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
    ]
    desk.said(parts)

    assert parts == behind.asked[-1]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("dialect", "expected"), [("serverless", ["user", "user"]), ("managed-2024-06", ["user"])]
)
def test_the_template_of_the_model_in_front_decides_on_system_turns(
    dialect: str, expected: list[str], behind: LocalModel, open_desk: Callable[..., Desk]
) -> None:
    """Phi-3-medium has no system role: a serverless API translates it, managed compute loses it."""
    desk = open_desk("Phi-3-medium-4k-instruct", upstream=behind.url, dialect=dialect)
    desk.http.post("/chat/completions", json={"messages": AZURES_QUESTION})

    assert expected == [message["role"] for message in behind.asked[-1]["messages"]]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"temperature": 1.5}, 422),
        ({"top_k": 5}, 400),
        ({"tools": []}, 400),
        ({"response_format": {"type": "json_object"}}, 422),
        ({"content": "How to make a lethal bomb?"}, 400),
    ],
)
def test_what_azure_refuses_never_reaches_the_model(
    fields: dict[str, Any], status: int, behind: LocalModel, front: Desk
) -> None:
    """Validation, extras, tools, JSON mode and the content filter stay in front."""
    assert status == front.ask(**fields).status_code
    assert [] == behind.asked


def test_the_model_may_have_a_name_and_a_key(
    behind: LocalModel, open_desk: Callable[..., Desk]
) -> None:
    """Of its own: those of the endpoint in front do not reach it."""
    desk = open_desk(upstream=behind.url, upstream_model="phi3:mini", upstream_key="k2")
    desk.said("Hi", model="Phi-3-mini-4k-instruct")

    assert "phi3:mini" == behind.asked[-1]["model"]
    assert ["Bearer k2"] == behind.keys


def test_the_endpoints_own_key_is_not_handed_on(behind: LocalModel, front: Desk) -> None:
    """It opens this endpoint and no other."""
    front.said("Hi")

    assert [None] == behind.keys


@pytest.mark.parametrize("stream", [False, True])
def test_no_log_probabilities_are_made_up(stream: bool, behind: LocalModel, front: Desk) -> None:
    """The emulator's own would be lies about a real model, and the model is not asked for its."""
    answer = front.ask("Hi", logprobs=True, stream=stream, headers=PASS_THROUGH)

    assert 200 == answer.status_code
    assert '"logprob":' not in answer.text
    assert "logprobs" not in behind.asked[-1]


def test_every_choice_is_asked_for(behind: LocalModel, front: Desk) -> None:
    """Not every local server knows `n`."""
    body = front.ask("Hi", n=2, headers=PASS_THROUGH).json()

    assert 2 == len(body["choices"])
    assert 2 == len(behind.asked)
    assert 2 * 56 == body["usage"]["completion_tokens"]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("text", ("<think>\nBlue?\n</think>\n\n The sky is blue.", "")),
        ("field", (" The sky is blue.", "Blue?")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_go_where_they_are_wanted(
    place: str,
    expected: tuple[str, str],
    stream: bool,
    behind: LocalModel,
    open_desk: Callable[..., Desk],
) -> None:
    """In tags, or in a field of their own."""
    behind.thoughts = ("Blue", "?")
    desk = open_desk("Phi-4-reasoning", upstream=behind.url, reasoning=place)
    if stream:
        said = [chunk["choices"][0]["delta"] for chunk in desk.chunks("Hi")]
    else:
        said = [desk.choice("Hi")["message"]]

    text = "".join(delta.get("content", "") for delta in said)
    assert expected == (text, "".join(delta.get("reasoning_content", "") for delta in said))


def test_scripted_answers_and_mistakes_come_before_the_model(
    behind: LocalModel, front: Desk
) -> None:
    """A test can still say what it needs."""
    front.phi.script("As I was told.")
    front.phi.misbehave("empty")

    assert "As I was told." == front.said("Hi")
    assert [] == behind.asked
    assert "" == front.said("Hi")
    assert 1 == len(behind.asked)


def test_faults_are_still_to_be_had(behind: LocalModel, front: Desk) -> None:
    """A stream of the model that is cut by the emulator."""
    front.phi.fail(kind="cut", after=2)
    with pytest.raises(httpx.RemoteProtocolError):
        front.ask("Hi", stream=True)


def test_nobody_behind_is_a_503(open_desk: Callable[..., Desk]) -> None:
    """Which says where it looked; streamed or not."""
    desk = open_desk(upstream=NOTHING_LISTENS)

    for stream in (False, True):
        answer = desk.ask("Hi", stream=stream)
        assert 503 == answer.status_code
        assert "ServiceUnavailable" == answer.json()["error"]["code"]
        assert NOTHING_LISTENS in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (500, b"boom", 500),
        (503, b"", 500),
        (401, b'{"error": "Unauthorized"}', 500),
        (404, b'{"error": {"message": "model not found"}}', 500),
        (200, b"<html>", 500),
        (200, b'{"choices": []}', 500),
        (400, b'{"error": {"message": "too long"}}', 400),
    ],
)
def test_a_failure_behind_is_a_failure_of_the_service(
    status: int, body: bytes, expected: int, behind: LocalModel, front: Desk
) -> None:
    """Never a 401 or 404, which would speak of this endpoint; a 400 is the caller's to mend."""
    front.said("Hi")
    behind.refusal = (status, {}, body)

    assert expected == front.ask("Hi").status_code


def test_a_refusal_to_stream_comes_before_the_stream(behind: LocalModel, front: Desk) -> None:
    """With a status of its own, not as an event."""
    behind.refusal = (500, {}, b"boom")

    assert 500 == front.ask("Hi", stream=True).status_code


def test_a_limit_behind_is_a_limit_in_front(behind: LocalModel, front: Desk) -> None:
    """With the time that it asks for."""
    behind.refusal = (429, {"retry-after": "7"}, b'{"error": {"message": "slow down"}}')

    answer = front.ask("Hi")
    assert (429, "7") == (answer.status_code, answer.headers["retry-after"])
    assert "slow down" == answer.json()["error"]["message"]


@pytest.mark.parametrize("how", ["breaks", "error", "garbage"])
def test_a_stream_that_fails_behind_ends_in_an_error_event(
    how: str, behind: LocalModel, front: Desk
) -> None:
    """After what was said until then."""
    behind.breaks = how == "breaks"
    behind.event = {"error": b'data: {"error": "oom"}\n\n', "garbage": b"data: {oops\n\n"}.get(how)

    *_, first, last, done, _ = front.ask("Hi", stream=True).text.split("\n\n")
    assert "data: [DONE]" == done
    assert " The" in first
    assert json.loads(last.removeprefix("data: "))["error"]["message"]


def test_a_slow_model_does_not_stall_the_others(behind: LocalModel, front: Desk) -> None:
    """The server goes on while the model thinks."""
    behind.hold.clear()

    async def asked() -> int:
        key = {"authorization": f"Bearer {front.phi.key}"}
        async with httpx.AsyncClient(base_url=front.phi.endpoint, headers=key, timeout=20) as http:
            slow = [
                asyncio.create_task(
                    http.post("/chat/completions", json={"messages": AZURES_QUESTION})
                )
                for _ in range(20)
            ]
            while len(behind.asked) < 20:  # noqa: ASYNC110 -- another thread's doing
                await asyncio.sleep(0.01)
            answer = await http.get("/info")
            pending = sum(not task.done() for task in slow)
            behind.hold.set()
            answers = await asyncio.gather(*slow)
        assert {200} == {one.status_code for one in [answer, *answers]}
        return pending

    assert 20 == asyncio.run(asked())


def test_a_slow_persona_does_not_stall_the_others(open_desk: Callable[..., Desk]) -> None:
    """Nor a function of a user's own."""

    def slow(prompt: Prompt) -> str:
        time.sleep(0.5)
        return "At last."

    desk = open_desk(persona=slow)

    async def asked() -> list[str]:
        key = {"authorization": f"Bearer {desk.phi.key}"}
        async with httpx.AsyncClient(base_url=desk.phi.endpoint, headers=key, timeout=20) as http:
            body = {"messages": AZURES_QUESTION}
            answers = await asyncio.gather(
                *(http.post("/chat/completions", json=body) for _ in range(20))
            )
        return [answer.json()["choices"][0]["message"]["content"] for answer in answers]

    began = time.perf_counter()
    assert ["At last."] * 20 == asyncio.run(asked())
    assert time.perf_counter() - began < 5  # one after the other, they would take ten seconds


def test_a_persona_that_fails_is_the_services_failure(
    open_desk: Callable[..., Desk], caplog: pytest.LogCaptureFixture
) -> None:
    """A 500, and the traceback in the log."""

    def broken(prompt: Prompt) -> str:
        raise LookupError("no such thing")

    assert 500 == open_desk(persona=broken).ask("Hi").status_code
    assert "no such thing" in caplog.text


def test_the_emulator_stops_while_the_model_is_silent(behind: LocalModel) -> None:
    """At once, whatever the model does."""
    behind.hold.clear()
    phi = Emulator(upstream=behind.url, key="k").start()
    key = {"authorization": "Bearer k"}
    with (
        httpx.Client(base_url=phi.endpoint, headers=key) as http,
        http.stream(
            "POST", "/chat/completions", json={"messages": AZURES_QUESTION, "stream": True}
        ) as response,
    ):
        pieces = response.iter_raw()  # kept: dropping it would close the connection
        next(pieces)
        began = time.perf_counter()
        phi.stop()

    assert time.perf_counter() - began < 5


async def test_in_process_neither_stalls_nor_collects(behind: LocalModel) -> None:
    """The transport hands the waiting to a thread too."""
    phi = Emulator(upstream=behind.url, key="k")
    key = {"authorization": "Bearer k"}
    body = {"messages": AZURES_QUESTION, "stream": True}
    behind.hold.clear()
    async with (
        httpx.AsyncClient(transport=phi.transport(), base_url=phi.endpoint, headers=key) as http,
        http.stream("POST", "/chat/completions", json=body) as response,
    ):
        pieces = response.aiter_raw()
        early = [await anext(pieces), await anext(pieces)]
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        behind.hold.set()
        late = [await waiting] + [piece async for piece in pieces]
    phi.stop()

    assert b" The" in early[1]
    assert b"data: [DONE]\n\n" == late[-1]


@pytest.mark.parametrize("tools", ["refuse", "native"])
def test_an_emulator_may_stand_behind_another(tools: str, open_desk: Callable[..., Desk]) -> None:
    """One speaks as an OpenAI-compatible server does, the other as Azure."""
    behind = open_desk("Phi-4", dialect="openai-server", tools=tools)
    front = open_desk(
        "Phi-4", upstream=behind.phi.endpoint, upstream_key=behind.phi.key, tools=tools
    )
    fields: dict[str, Any] = {}
    if tools == "native":
        parameters = {"type": "object", "properties": {}}
        function = {"name": "get_weather", "description": "Weather.", "parameters": parameters}
        fields = {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}

    direct = behind.ask("Hi", model="Phi-4", **fields).json()
    through = front.ask("Hi", **fields).json()

    assert direct["usage"] == through["usage"]
    for answer in (direct, through):
        for call in answer["choices"][0]["message"]["tool_calls"] or ():
            del call["id"]
    assert direct["choices"] == through["choices"]


@pytest.mark.parametrize("url", ["localhost:11434", "", "ftp://localhost"])
def test_an_upstream_must_be_a_url(url: str) -> None:
    """Found when it is set, not with the first question."""
    with pytest.raises(ValueError, match="http://localhost:11434/v1"):
        Emulator(upstream=url)


def test_only_one_can_speak() -> None:
    """A persona and a model are one too many."""
    with pytest.raises(ValueError, match="one of them"):
        Emulator(upstream=NOTHING_LISTENS, persona=lambda prompt: "I")
