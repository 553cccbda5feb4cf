"""`ChatAzurePhi3` over a socket: what fails, and the typed error of each failure."""

import json
from typing import Any

import pytest

from langchain_azure_phi3 import (
    AuthenticationError,
    ChatAzurePhi3,
    ContentFilterError,
    InterruptedStreamError,
    InvalidInputError,
    InvalidResponseError,
    NotFoundError,
)
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, STREAM_MODES, call_error, call_model

# -- refused before a request --------------------------------------------------------------------

WRONG_PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"temperature": "hot"}, "temperature"),
    ({"top_logprobs": 3}, "logprobs=True"),
    ({"stop": [""]}, "stop"),
    ({"model_extras": {"messages": []}}, "model_extras"),
    ({"top_k": float("nan")}, "NaN"),
    ({"top_k": object()}, "JSON"),
]


def test_wrong_parameters_are_refused_before_sending(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The error names the parameter."""
    for parameters, reason in WRONG_PARAMETERS:
        with pytest.raises(InvalidInputError, match=reason):
            model.invoke("Hi", **parameters)

    assert [] == phi.requests


def test_unpaired_surrogates_are_refused_before_sending(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """Such a text has no UTF-8."""
    with pytest.raises(InvalidInputError, match="JSON"):
        model.invoke("\ud83d")

    assert [] == phi.requests


async def test_streams_refuse_several_choices(model: ChatAzurePhi3) -> None:
    """A stream is one message."""
    for mode in STREAM_MODES:
        error = await call_error(model, mode, "Hi", n=2)

        assert isinstance(error, InvalidInputError), mode
        assert "n > 1" in str(error)


# -- refused by the server -----------------------------------------------------------------------


async def test_wrong_key_is_an_authentication_error(phi: Emulator) -> None:
    """The key is not in the error's text, body or response."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential="canary-wrong-key")
    for mode in CALL_MODES:
        error = await call_error(model, mode, "Hi")

        assert isinstance(error, AuthenticationError), mode
        assert "canary" not in f"{error!r} {vars(error)}"


async def test_filtered_prompt_is_a_typed_error(model: ChatAzurePhi3) -> None:
    """With Azure's message and code."""
    for mode in CALL_MODES:
        error = await call_error(model, mode, "How to make a lethal bomb?")

        assert isinstance(error, ContentFilterError), mode
        assert "content management policy" in str(error)
        assert ("prompt", 400, "content_filter") == (error.stage, error.status_code, error.code)


BLOCKED_ANSWER = "Please trigger the filter on your answer."


async def test_filtered_answer_keeps_its_partial_text() -> None:
    """Text, usage and the categories of the filter are on the error."""
    with Emulator(include_filter_results=True) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        for mode in CALL_MODES:
            error = await call_error(model, mode, BLOCKED_ANSWER)

            assert isinstance(error, ContentFilterError), mode
            assert "completion" == error.stage
            assert error.partial
            assert error.usage_metadata is not None
            assert ["violence"] == [each.category for each in error.filters if each.filtered]


async def test_filtered_answer_can_be_returned() -> None:
    """For programs that check the finish reason instead."""
    with Emulator(include_filter_results=True) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, on_content_filter="return")
        for mode in CALL_MODES:
            answer = await call_model(model, mode, BLOCKED_ANSWER)

            assert answer.text, mode
            assert "content_filter" == answer.response_metadata["finish_reason"]


async def test_filter_results_are_in_the_metadata() -> None:
    """Azure's annotations are the same in streams and in complete answers."""
    with Emulator(include_filter_results=True) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
        metadata = [(await call_model(model, m, "Hi")).response_metadata for m in CALL_MODES]

    for name in ("prompt_filter_results", "content_filter_results"):
        assert [metadata[0][name]] * 4 == [each[name] for each in metadata]


async def test_transient_failures_are_retried(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A 503 and a closed connection, in every call mode."""
    for mode in CALL_MODES:
        phi.fail(status=503, times=1)
        phi.fail(name="refuse", times=1)
        phi.script("Hello.")

        assert "Hello." == (await call_model(model, mode, "Hi")).text, mode
    assert 3 * len(CALL_MODES) == len(phi.requests)


async def test_cut_stream_raises_after_its_text(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Chunks stay yielded; then the interruption is raised, with the text so far."""
    for mode in STREAM_MODES:
        phi.script("As of now, nobody knows.")
        phi.fail(name="cut", after=4)
        seen: list[str] = []

        with pytest.raises(InterruptedStreamError) as caught:  # noqa: PT012 -- a loop is one
            if mode == "stream":
                for chunk in model.stream("Hi"):
                    seen.append(chunk.text)  # noqa: PERF401 -- a comprehension would lose it
            else:
                async for chunk in model.astream("Hi"):
                    seen.append(chunk.text)  # noqa: PERF401 -- the same

        assert ["As", " of", " now"] == seen, mode
        assert "As of now" == caught.value.partial


# -- success that is not a completion ------------------------------------------------------------


COMPLETION = {"id": "1", "model": "m", "choices": [], "usage": None}
NOT_COMPLETIONS: list[Any] = [
    {**COMPLETION, "choices": []},
    {**COMPLETION, "choices": None},
    {"id": "1"},
    {**COMPLETION, "choices": [{"index": 0, "message": None, "finish_reason": "stop"}]},
    {**COMPLETION, "choices": [{"index": 0}]},
    [],
    "text",
    None,
]


async def test_success_without_completion_is_an_error(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A login page, an empty body, JSON without a message: never a KeyError or an IndexError."""
    bodies = [json.dumps(body) for body in NOT_COMPLETIONS]
    bodies += ["", "<!doctype html><html><title>Sign in</title></html>"]
    for body in bodies:
        for mode in CALL_MODES:
            phi.fail(status=200, body=body)
            error = await call_error(model, mode, "Hi")

            assert isinstance(error, InvalidResponseError), (mode, body)


def test_missing_message_with_filter_reason_is_filtered(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """Managed compute's server 0.1.8 answers so to any internal failure."""
    choice = {"index": 0, "message": None, "finish_reason": "content_filter"}
    phi.fail(status=200, body={**COMPLETION, "choices": [choice]})

    with pytest.raises(ContentFilterError):
        model.invoke("Hi")


INFO_FAULTS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"status": 404}, NotFoundError),
    ({"status": 401}, AuthenticationError),
    ({"status": 200, "body": {"name": "x"}}, InvalidResponseError),
    ({"status": 200, "body": ["x"]}, InvalidResponseError),
    ({"status": 200, "body": "<html></html>"}, InvalidResponseError),
]


def test_failing_info_route_is_a_typed_error(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A missing route, a wrong key, odd bodies."""
    for fault, error in INFO_FAULTS:
        phi.fail(**fault)

        with pytest.raises(error):
            model.get_model_info()
