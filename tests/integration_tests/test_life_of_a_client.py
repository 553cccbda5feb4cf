"""One model in many threads, loops and processes; connections that come and go."""

import asyncio
import copy
import gc
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress
from pathlib import Path

import cloudpickle
import httpx
import pytest

from langchain_azure_phi3 import (
    AzurePhi3Error,
    ChatAzurePhi3,
    ConnectionFailedError,
    RateLimitError,
    RequestTimeoutError,
)
from langchain_azure_phi3.emulator import Emulator
from tests.certificates import certified
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.raw_server import serving

QUESTION = "How many languages are in the world?"


def settled(value: Callable[[], object], expected: object) -> bool:
    """Whether a value becomes the expected one within some seconds."""
    until = time.monotonic() + 5
    while value() != expected and time.monotonic() < until:
        time.sleep(0.01)
    return value() == expected


async def asettled(value: Callable[[], object], expected: object) -> bool:
    """The same, while the loop goes on."""
    until = time.monotonic() + 5
    while value() != expected and time.monotonic() < until:  # noqa: ASYNC110 -- a server's value
        await asyncio.sleep(0.01)
    return value() == expected


# -- where a model works -------------------------------------------------------------------------


def test_one_model_works_in_many_threads(model: ChatAzurePhi3) -> None:
    """Answers do not cross."""
    questions = [f"question {number}" for number in range(60)]

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda question: model.invoke(question).text, questions))

    assert all(
        answer.endswith(question) for answer, question in zip(answers, questions, strict=True)
    )


def test_one_model_works_in_loops_and_threads(model: ChatAzurePhi3) -> None:
    """Loops in threads, side by side, with sync calls between."""

    def life(number: int) -> list[str]:
        async def call_model() -> str:
            return (await model.ainvoke(f"async {number}")).text

        return [
            asyncio.run(call_model()),
            model.invoke(f"sync {number}").text,
            asyncio.run(call_model()),
        ]

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(life, range(12)))

    prompts = [[text.rpartition("said: ")[2] for text in texts] for texts in found]
    assert [[f"async {n}", f"sync {n}", f"async {n}"] for n in range(12)] == prompts


def test_models_share_their_connections(phi: Emulator) -> None:
    """A second one does not connect again."""
    for number in range(5):
        ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key).invoke(f"{number}")

    assert 1 == phi.open_connections


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TEXT_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
MESSAGE = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
COMPLETION = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(MESSAGE), MESSAGE)
WHOLE = HEAD + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in (TEXT_EVENT, DONE))


@pytest.mark.usefixtures("each_transport")
async def test_tls_works(known_certificate: Path) -> None:
    """From a server whose certificate is known."""
    for mode in CALL_MODES:
        answer = WHOLE + b"0\r\n\r\n" if "stream" in mode else COMPLETION
        with serving(answer, certificate=known_certificate) as address:
            model = ChatAzurePhi3(endpoint=address, credential="k", timeout=5)
            assert "Hi" == (await call_model(model, mode, "Hi")).text
            await model.aclose()
            model.close()


@pytest.mark.usefixtures("each_transport", "known_certificate")
async def test_unknown_certificates_are_refused(tmp_path: Path) -> None:
    """Before the key is sent."""
    for mode in CALL_MODES:
        stranger = certified(tmp_path / "stranger.pem")
        with serving(b"", certificate=stranger) as address:
            model = ChatAzurePhi3(endpoint=address, credential="k", timeout=5, max_retries=0)
            with pytest.raises(ConnectionFailedError, match="certificate verify failed"):
                await call_model(model, mode, "Hi")


async def test_long_messages_arrive_complete(phi: Emulator, model: ChatAzurePhi3) -> None:
    """In more packets than one, and of more than aiohttp sends at once without a warning."""
    for mode in ["invoke", "ainvoke"]:
        phi.requests.clear()
        question = "ß" * 700_000
        unlimited = model.model_copy(update={"model": "an-unknown-phi"})

        with suppress(AzurePhi3Error):  # no Phi reads that much
            await call_model(unlimited, mode, question)

        assert question == phi.requests[-1].json["messages"][-1]["content"]


@pytest.fixture
def unlogged() -> Iterator[None]:
    """What is logged is kept by pytest until the test's end."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("unlogged")
def test_thousands_of_models_leave_nothing_behind(phi: Emulator) -> None:
    """No sockets, no threads, no objects."""

    def use(times: int) -> None:
        for _ in range(times):
            ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key).invoke("Hi")
        phi.requests.clear()
        gc.collect()

    use(50)
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    objects = len(gc.get_objects())
    use(1000)

    assert files == len(os.listdir("/proc/self/fd"))
    assert threads == threading.active_count()
    assert len(gc.get_objects()) - objects < 500


# -- copies --------------------------------------------------------------------------------------


async def test_models_can_be_copied_and_pickled(phi: Emulator) -> None:
    """The copy works as the original does, in both modes."""
    for travel in [
        copy.copy,
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: cloudpickle.loads(cloudpickle.dumps(model)),
    ]:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        before = travel(model)
        model.invoke("Hi")
        await model.ainvoke("Hi")

        for twin in (before, travel(model)):
            assert twin.invoke("twin").text.endswith("twin")
            assert (await twin.ainvoke("twin")).text.endswith("twin")


PROCESSES = """
    import multiprocessing
    import sys

    from langchain_azure_phi3 import ChatAzurePhi3

    def call_model(model, results):
        results.put(model.invoke("from a child").text)

    if __name__ == "__main__":
        model = ChatAzurePhi3()
        context = multiprocessing.get_context(sys.argv[1])
        model.invoke("from the parent")  # a connection that a fork would inherit
        results = context.Queue()
        children = [context.Process(target=call_model, args=(model, results)) for _ in range(3)]
        for child in children:
            child.start()
        texts = [results.get(timeout=60) for _ in children] + [model.invoke("again").text]
        for child in children:
            child.join()
        print(sorted({text.rpartition("said: ")[2] for text in texts}))
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_models_work_in_other_processes(phi: Emulator, tmp_path: Path, method: str) -> None:
    """Spawned, with the model pickled; forked, after it was used."""
    program = tmp_path / "processes.py"
    program.write_text(textwrap.dedent(PROCESSES))
    environment = {
        **os.environ,
        "AZURE_INFERENCE_ENDPOINT": phi.endpoint,
        "AZURE_INFERENCE_CREDENTIAL": phi.key,
    }

    done = subprocess.run(  # noqa: S603
        [sys.executable, str(program), method],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert "['again', 'from a child']\n" == done.stdout, done.stderr


# -- connections that are given back -------------------------------------------------------------


@pytest.fixture
def slow() -> Iterator[Emulator]:
    """An emulator that takes its time for every event."""
    with Emulator("Phi-3-mini-4k-instruct", chunk_delay=0.05) as phi:
        yield phi


@pytest.fixture
def slowly(slow: Emulator) -> ChatAzurePhi3:
    """A model for it."""
    return ChatAzurePhi3(endpoint=slow.endpoint, credential=slow.key)


def test_abandoned_streams_release_their_connections(slow: Emulator, slowly: ChatAzurePhi3) -> None:
    """`break`, and closing the iterator."""
    with closing(slowly.stream(QUESTION)) as chunks:  # type: ignore[type-var]
        next(iter(chunks))

    assert settled(lambda: slow.open_connections, 0)


async def test_leaving_an_async_stream_releases_its_connection(
    slow: Emulator, slowly: ChatAzurePhi3
) -> None:
    """The same in the other mode."""
    async with aclosing(slowly.astream(QUESTION)) as chunks:  # type: ignore[type-var]
        await anext(aiter(chunks))

    assert await asettled(lambda: slow.open_connections, 0)


async def test_forgotten_streams_release_their_connections(
    slow: Emulator, slowly: ChatAzurePhi3
) -> None:
    """Collected as garbage, half-read, in both modes."""
    chunks = slowly.stream(QUESTION)
    next(iter(chunks))
    del chunks
    asynchronous = slowly.astream(QUESTION)
    await anext(aiter(asynchronous))
    del asynchronous
    gc.collect()

    assert await asettled(lambda: slow.open_connections, 0)


async def test_canceled_tasks_release_their_connections(
    slow: Emulator, slowly: ChatAzurePhi3
) -> None:
    """Wherever it was waiting."""
    for streamed in [False, True]:
        slow.fail(name="stall", after=2 if streamed else 0)

        async def life(streamed: bool = streamed) -> None:
            if streamed:
                async for _ in slowly.astream(QUESTION):
                    pass
            else:
                await slowly.ainvoke(QUESTION)

        task = asyncio.create_task(life())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await asettled(lambda: slow.open_connections, 0)


async def test_silent_servers_are_a_timeout(phi: Emulator) -> None:
    """After the read timeout: before the answer, and in the middle of it; in all modes."""
    for fault in ["stall", "hang"]:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, timeout=(5, 0.2), max_retries=0
        )
        for mode in CALL_MODES:
            phi.fail(name=fault, after=2 if fault == "stall" and "stream" in mode else 0)
            with pytest.raises(RequestTimeoutError):
                await call_model(model, mode, QUESTION)

        assert await asettled(lambda: phi.open_connections, 0)


async def test_connections_can_be_closed_by_hand(phi: Emulator, model: ChatAzurePhi3) -> None:
    """And come again with the next question."""
    model.invoke("Hi")
    await model.ainvoke("Hi")
    assert settled(lambda: phi.open_connections, 2)

    model.close()
    await model.aclose()

    assert settled(lambda: phi.open_connections, 0)
    assert model.invoke("again").text.endswith("again")
    assert (await model.ainvoke("again")).text.endswith("again")


async def test_own_clients_stay_open(phi: Emulator) -> None:
    """Whoever opens, closes."""
    with httpx.Client() as client:
        async with httpx.AsyncClient() as asynchronous:
            model = ChatAzurePhi3(
                endpoint=phi.endpoint,
                credential=phi.key,
                http_client=client,
                http_async_client=asynchronous,
            )
            model.invoke("Hi")
            await model.ainvoke("Hi")
            model.close()
            await model.aclose()

            assert not client.is_closed
            assert not asynchronous.is_closed


# -- a rate limit is everybody's -----------------------------------------------------------------


async def test_a_rate_limit_delays_models_with_its_quota(phi: Emulator) -> None:
    """Tasks and instances that share an endpoint wait together instead of storming it."""
    models = [ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key) for _ in range(8)]
    phi.fail(status=429, retry_after=0.5)
    await models[0].ainvoke("warm up")
    before = len(phi.requests)
    phi.fail(status=429, retry_after=0.5)
    first = asyncio.create_task(models[0].ainvoke("first"))
    await asyncio.sleep(0.1)

    began = time.monotonic()
    await asyncio.gather(first, *(model.ainvoke("Hi") for model in models[1:]))

    assert time.monotonic() - began >= 0.35
    assert before + 2 + 7 == len(phi.requests)


async def test_other_quotas_are_not_delayed(phi: Emulator) -> None:
    """Those of another deployment, model or key at the same URL."""
    limited = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
    phi.fail(status=429, retry_after=2)
    waiting = asyncio.create_task(limited.ainvoke("limited"))
    await asyncio.sleep(0.1)

    began = time.monotonic()
    for change in ({"deployment": "green"}, {"credential": "another-key"}):
        with suppress(AzurePhi3Error):  # the emulator knows one key only
            await limited.model_copy(update=change).ainvoke("Hi")

    assert time.monotonic() - began < 1
    waiting.cancel()


async def test_models_without_retries_do_not_wait(phi: Emulator) -> None:
    """They see to rate limits alone."""
    patient = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
    alone = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_retries=0)
    phi.fail(status=429, retry_after=1)
    waiting = asyncio.create_task(patient.ainvoke("patient"))
    await asyncio.sleep(0.1)

    began = time.monotonic()
    await alone.ainvoke("alone")

    assert time.monotonic() - began < 0.8
    await waiting


def test_a_long_retry_after_fails_at_once(phi: Emulator) -> None:
    """With the time on the error, for whoever wants to wait elsewhere."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_retry_wait=5)
    phi.fail(status=429, retry_after=3600)

    with pytest.raises(RateLimitError) as caught:
        model.invoke("Hi")

    assert 3600 == caught.value.retry_after
    assert 1 == len(phi.requests)


def test_each_wait_is_logged_with_its_reason(
    phi: Emulator, model: ChatAzurePhi3, caplog: pytest.LogCaptureFixture
) -> None:
    """At INFO, without a key."""
    phi.fail(status=503)
    phi.fail(status=429, retry_after=0.1)

    with caplog.at_level(logging.INFO, logger="langchain_azure_phi3"):
        model.invoke("Hi")

    ours = [record for record in caplog.records if record.name.startswith("langchain_azure")]
    reasons = [record.getMessage().rpartition(" ")[2] for record in ours]
    assert ["503.", "429."] == reasons
