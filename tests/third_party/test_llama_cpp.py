"""This package with llama.cpp's server: completions, streams, usage, errors, cancellation."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from langchain_azure_phi3 import (
    AuthenticationError,
    ChatAzurePhi3,
    ContextLengthError,
    diagnose,
)
from tests.integration_tests.call_modes import CALL_MODES, call_error, call_model
from tests.third_party.llama_server import CONTEXT_TOKENS, KEY, LlamaServer

PROMPT = "The capital of France is"
LONG_ANSWER_TOKENS = 2000
SECONDS_TO_STOP = 20.0  # on a busy machine
NEVER_END = {"1": -100, "106": -100}  # the end of a text, and of a turn


async def test_every_call_mode_returns_the_same_text(llama: LlamaServer) -> None:
    """At temperature 0, with the finish reason and the model's name."""
    model = ChatAzurePhi3(**llama.settings())
    text = model.invoke(PROMPT).text
    assert text
    for mode in CALL_MODES:
        message = await call_model(model, mode, PROMPT)

        assert message.text == text, mode
        assert message.response_metadata["finish_reason"] in ("length", "stop"), mode
        assert message.response_metadata["model_name"] == "gemma-3-270m", mode


async def test_usage_is_the_servers(llama: LlamaServer) -> None:
    """In complete responses and in streams; the server counts what it generated itself."""
    model = ChatAzurePhi3(**llama.settings())
    for mode in CALL_MODES:
        before = llama.count_generated_tokens()
        usage = (await call_model(model, mode, PROMPT)).usage_metadata

        assert usage is not None, mode
        assert usage["output_tokens"] == llama.count_generated_tokens() - before, mode
        assert usage["input_tokens"] + usage["output_tokens"] == usage["total_tokens"], mode


async def test_stop_sequences_and_limits_reach_the_model(llama: LlamaServer) -> None:
    """The text ends before the sequence, or after `max_tokens`."""
    model = ChatAzurePhi3(**llama.settings())
    text = model.invoke(PROMPT).text
    word = text.split()[1]
    for mode in CALL_MODES:
        stopped = await call_model(model, mode, PROMPT, stop=[word])
        short = await call_model(model, mode, PROMPT, max_tokens=3)

        assert stopped.text == text[: text.index(word)], mode
        assert text.startswith(short.text), mode
        assert short.response_metadata["finish_reason"] == "length", mode


async def test_llama_cpp_errors_are_typed(llama: LlamaServer) -> None:
    """A wrong key, and a prompt that is longer than the context."""
    wrong_key = ChatAzurePhi3(**llama.settings(credential="wrong"))
    model = ChatAzurePhi3(**llama.settings())
    for mode in CALL_MODES:
        error = await call_error(wrong_key, mode, PROMPT)
        assert isinstance(error, AuthenticationError), mode
        assert "Invalid API Key" in str(error), mode

        error = await call_error(model, mode, "word " * (CONTEXT_TOKENS + 900))
        assert isinstance(error, ContextLengthError), mode
        assert f"{CONTEXT_TOKENS}" in str(error).replace(",", ""), mode


def test_llama_cpp_without_v1_in_the_address_works(llama: LlamaServer) -> None:
    """With one more request."""
    assert ChatAzurePhi3(**llama.settings(endpoint=llama.url)).invoke(PROMPT).text


def wait_until(is_true: Callable[[], bool]) -> None:
    """Fail if the condition does not become true in time."""
    end = time.monotonic() + SECONDS_TO_STOP
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_server_stops_when_a_stream_is_closed(llama: LlamaServer) -> None:
    """After two chunks of a long completion."""
    model = ChatAzurePhi3(**llama.settings(max_tokens=LONG_ANSWER_TOKENS, logit_bias=NEVER_END))
    before = llama.count_generated_tokens()
    with closing(model.stream(PROMPT)) as chunks:  # type: ignore[type-var]  # a generator
        for _ in range(2):
            next(chunks)
        assert llama.is_generating()

    wait_until(lambda: not llama.is_generating())
    assert llama.count_generated_tokens() - before < LONG_ANSWER_TOKENS / 2


async def test_the_server_stops_when_a_task_is_cancelled(llama: LlamaServer) -> None:
    """Streamed, or complete with `streaming=True`.

    While it generates a complete response, llama.cpp may not notice that its client is gone.
    """
    settings = llama.settings(max_tokens=LONG_ANSWER_TOKENS, logit_bias=NEVER_END, streaming=True)
    model = ChatAzurePhi3(**settings)
    for mode in ("ainvoke", "astream"):
        before = llama.count_generated_tokens()
        task = asyncio.create_task(call_model(model, mode, PROMPT))
        await asyncio.to_thread(wait_until, llama.is_generating)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await asyncio.to_thread(wait_until, lambda: not llama.is_generating())
        assert llama.count_generated_tokens() - before < LONG_ANSWER_TOKENS / 2, mode


async def test_cancelled_complete_call_returns_at_once(llama: LlamaServer) -> None:
    """Also where llama.cpp goes on; then the slot is free when `max_tokens` is reached."""
    model = ChatAzurePhi3(**llama.settings(max_tokens=200, logit_bias=NEVER_END))
    task = asyncio.create_task(model.ainvoke(PROMPT))
    await asyncio.to_thread(wait_until, llama.is_generating)
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - start < 1
    assert (await model.ainvoke(PROMPT, max_tokens=3)).text
    await asyncio.to_thread(wait_until, lambda: not llama.is_generating())


def test_doctor_prints_the_matching_constructor_argument(llama: LlamaServer) -> None:
    """It finds out that the server constrains, and a model of that call is constrained."""
    report = diagnose({"endpoint": llama.v1, "credential": KEY}, timeout=120)

    assert report.usable
    outcomes = {finding.step: finding.outcome for finding in report.findings}
    assert outcomes["stream"] == outcomes["usage in streams"] == outcomes["constraints"] == "ok"
    assert 'constrained_decoding="response_format"' in report.call.replace("'", '"')
