"""Reasoning models think before they answer."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator, Prompt, Spoken

Json = dict[str, Any]

REASONING = ("Phi-4-reasoning", "Phi-4-reasoning-plus", "Phi-4-mini-reasoning")


def reply(phi: Emulator, **fields: Any) -> httpx.Response:
    """The answer to a question about Rome."""
    body = {"messages": [{"role": "user", "content": "Where is Rome?"}], **fields}
    with httpx.Client(transport=phi.transport(), base_url=phi.endpoint) as client:
        headers = {"authorization": f"Bearer {phi.key}"}
        return client.post("/chat/completions", json=body, headers=headers)


def message(phi: Emulator, **fields: Any) -> Json:
    """The first choice's message."""
    found: Json = reply(phi, **fields).json()["choices"][0]["message"]
    return found


def deltas(phi: Emulator, **fields: Any) -> Iterator[Json]:
    """What a stream adds, one after another."""
    for line in reply(phi, stream=True, **fields).text.splitlines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))["choices"][0]["delta"]


def test_an_unknown_place_for_thoughts_is_refused() -> None:
    """The message lists the known ones."""
    with pytest.raises(
        ValueError, match=r"reasoning='aloud' is unknown; use one of \['field', 'text'\]"
    ):
        Emulator(reasoning="aloud")  # type: ignore[arg-type]


@pytest.mark.parametrize("model", REASONING)
def test_thoughts_begin_the_text(model: str) -> None:
    """In tags; the answer follows after a blank line."""
    text = message(Emulator(model))["content"]
    thoughts, _, answer = text.removeprefix("<think>\n").partition("\n</think>\n\n")
    assert thoughts.startswith("The user says: Where is Rome?")
    assert answer.startswith("I am a scripted stand-in")


@pytest.mark.parametrize("place", ["text", "field"])
def test_other_models_do_not_think(place: Any) -> None:
    """Their messages have no field for it."""
    found = message(Emulator("Phi-4", reasoning=place))
    assert found["content"].startswith("I am a scripted stand-in")
    assert "reasoning_content" not in found


def test_thoughts_have_a_field_of_their_own() -> None:
    """As with api-version 2025-04-01."""
    found = message(Emulator("Phi-4-reasoning", reasoning="field"))
    assert found["reasoning_content"].startswith("The user says: Where is Rome?")
    assert found["content"].startswith("I am a scripted stand-in")


def test_thoughts_are_streamed_before_the_text() -> None:
    """Pieces of the field, then pieces of the text."""
    phi = Emulator("Phi-4-reasoning", reasoning="field")
    added = list(deltas(phi))[1:-1]
    fields = [next(iter(delta)) for delta in added]
    assert sorted(fields, reverse=True) == fields
    whole = message(phi)
    for field in ("reasoning_content", "content"):
        assert whole[field] == "".join(delta.get(field, "") for delta in added)


def test_thoughts_cost_tokens() -> None:
    """One for each piece."""
    body = reply(Emulator("Phi-4-reasoning", reasoning="field")).json()
    streamed = list(deltas(Emulator("Phi-4-reasoning", reasoning="field")))
    assert len(streamed) - 2 == body["usage"]["completion_tokens"]


@pytest.mark.parametrize("limit", [0, 5])
def test_a_limit_ends_thoughts(limit: int) -> None:
    """Nothing is left for the answer."""
    phi = Emulator("Phi-4-reasoning", reasoning="field")
    choice = reply(phi, max_tokens=limit).json()["choices"][0]
    assert "length" == choice["finish_reason"]
    assert "" == choice["message"]["content"]
    assert "The user says: "[: 3 * limit] in choice["message"].get("reasoning_content", "")


def test_thoughts_precede_what_was_asked_for_too() -> None:
    """JSON comes after the tag."""
    asks = [{"role": "user", "content": "A joke. JSON only, with 'setup' and 'end' keys."}]
    text = message(Emulator("Phi-4-reasoning"), messages=asks)["content"]
    assert ["setup", "end"] == list(json.loads(text.partition("</think>")[2]))


def test_thoughts_name_the_tools_on_offer() -> None:
    """Without a call that could be taken for one."""
    tool = {"name": "get_weather", "description": "The weather."}
    asks = [{"role": "user", "content": f"Tools: {json.dumps(tool)}\nHello!"}]
    text = message(Emulator("Phi-4-reasoning"), messages=asks)["content"]
    assert "I could call get_weather." in text
    assert "{" not in text


def test_a_persona_may_think_for_itself() -> None:
    """And is told whether the model reasons."""

    def persona(prompt: Prompt) -> Spoken:
        return Spoken(f"{prompt.reasons}", thoughts="Hm.")

    assert (
        "<think>\nHm.\n</think>\n\nTrue"
        == message(Emulator(REASONING[0], persona=persona))["content"]
    )
    found = message(Emulator("Phi-4", persona=persona, reasoning="field"))
    assert ("False", "Hm.") == (found["content"], found["reasoning_content"])


def test_scripted_answers_are_word_for_word() -> None:
    """Thoughts and all."""
    phi = Emulator("Phi-4-reasoning")
    phi.script("mine")
    assert "mine" == message(phi)["content"]


def test_a_filtered_answer_keeps_its_thoughts() -> None:
    """The filter looks at the text."""
    asks = [{"role": "user", "content": "Please trigger the filter on your answer"}]
    phi = Emulator("Phi-4-reasoning", reasoning="field")
    choice = reply(phi, messages=asks).json()["choices"][0]
    assert "content_filter" == choice["finish_reason"]
    assert "reasoning_content" in choice["message"]
