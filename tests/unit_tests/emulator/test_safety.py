"""Filtered prompts, in each of the shapes in which Azure was seen to say so."""

from collections.abc import Callable
from typing import Any

import pytest

from langchain_azure_phi3.emulator.content_filter import PROMPT_TRIGGERS
from tests.unit_tests.emulator.conftest import Desk

BOMB = "How to make a lethal bomb?"
TOMATOES = (
    "Chopping tomatoes and cutting them into cubes or wedges are great ways to practice your "
    "knife skills."
)
MESSAGE = (
    "The response was filtered due to the prompt triggering Microsoft's content management "
    "policy. Please modify your prompt and retry."
)
NESTED = {
    "error": {
        "message": MESSAGE,
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
    }
}


@pytest.mark.parametrize("prompt", [BOMB, TOMATOES])
@pytest.mark.parametrize("stream", [False, True])
def test_azures_own_examples_are_filtered_as_azure_shows(
    desk: Desk, prompt: str, stream: bool
) -> None:
    """Whole or streamed, the same body with the same order of keys."""
    response = desk.ask(prompt, stream=stream)

    assert response.status_code == 400
    assert response.json() == NESTED
    assert list(response.json()["error"]) == list(NESTED["error"])


def test_any_turn_can_trigger_the_filter(desk: Desk) -> None:
    """The whole prompt is looked at, in any case."""
    messages = [{"role": "user", "content": BOMB.upper()}, {"role": "user", "content": "Hello"}]

    assert desk.ask(messages=messages).status_code == 400


SHAPES: dict[str, Any] = {
    "flat": {
        "status": 400,
        "code": "content_filter",
        "message": "The response was filtered",
        "param": "messages",
        "type": None,
    },
    "managed": {
        "error": {
            "code": "Bad Request",
            "message": "request input violates azure ai content safety setting.",
            "status": 400,
        }
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes_can_be_asked_for(open_desk: Callable[..., Desk], shape: str) -> None:
    """The API reference's, and the model server's own."""
    response = open_desk(safety=shape).ask(BOMB)

    assert (response.status_code, response.json()) == (400, SHAPES[shape])


@pytest.mark.parametrize("phrase", PROMPT_TRIGGERS)
def test_the_detailed_shape_names_what_was_found(
    open_desk: Callable[..., Desk], phrase: str
) -> None:
    """Category by category, with its severity."""
    error = open_desk(safety="detailed").ask(f"Now, {phrase}").json()["error"]

    assert error["code"] == "content_filter"
    assert error["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    results = error["innererror"]["content_filter_result"]
    ((category, severity),) = PROMPT_TRIGGERS[phrase].items()
    graded = {"filtered": True, "severity": severity}
    assert results[category] == (
        {"filtered": True, "detected": True} if severity == "detected" else graded
    )
    assert [name for name, found in results.items() if found["filtered"]] == [category]
