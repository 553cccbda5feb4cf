"""Whole answers: what Azure's how-tos show, and what each parameter changes."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from langchain_azure_phi3.emulator import Emulator, Prompt, Spoken
from langchain_azure_phi3.emulator.models import MODELS
from tests.unit_tests.emulator.conftest import AZURES_QUESTION, PASS_THROUGH, Desk

LANGUAGES = (
    "As of now, it's estimated that there are about 7,000 languages spoken around the world."
)


def test_azures_own_question_gets_azures_own_answer(desk: Desk) -> None:
    """The body equals the how-to's, field by field and in its order, but for id and time."""
    body = desk.ask(messages=AZURES_QUESTION).json()

    assert list(body) == ["id", "object", "created", "model", "choices", "usage"]
    assert body["object"] == "chat.completion"
    assert body["model"] == "Phi-3-mini-4k-Instruct"
    (choice,) = body["choices"]
    assert list(choice) == ["index", "message", "finish_reason", "logprobs"]
    assert choice["message"]["content"].startswith(LANGUAGES)
    assert choice["message"]["tool_calls"] is None
    assert (choice["finish_reason"], choice["logprobs"]) == ("stop", None)
    assert list(body["usage"].items()) == [
        ("prompt_tokens", 19),
        ("total_tokens", 91),
        ("completion_tokens", 72),
    ]


def test_the_same_request_has_the_same_id(desk: Desk) -> None:
    """Ids are 32 hexadecimal digits made from the request."""
    first, again, other = (desk.ask(text).json()["id"] for text in ("a", "a", "b"))

    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first == again
    assert first != other


def test_anything_else_is_answered_with_what_arrived(desk: Desk) -> None:
    """The stand-in lists the turns and repeats the last user text."""
    messages = [*AZURES_QUESTION, {"role": "assistant", "content": "Many."}]
    messages.append({"role": "user", "content": "Name é 🙂."})

    assert desk.said(messages=messages) == (
        "I am a scripted stand-in for Phi-3-mini-4k-Instruct. "
        "Turns: 4 (system, user, assistant, user). You said: Name é 🙂."
    )


def test_a_conversation_without_a_user_is_answered_too(desk: Desk) -> None:
    """The templates of Phi ask for no user turn, nor for any text."""
    assert "Turns: 1 (assistant). You said: " in desk.said(
        messages=[{"role": "assistant", "content": None}]
    )


def test_tool_turns_are_dropped_by_the_template_of_mini(desk: Desk) -> None:
    """Phi-3-mini's template knows three roles and drops the others in silence."""
    messages = [{"role": "user", "content": "Hi"}, {"role": "tool", "content": "42"}]

    assert "Turns: 1 (user)" in desk.said(messages=messages)


def test_tool_turns_are_seen_by_small(open_desk: Callable[..., Desk]) -> None:
    """Phi-3-small's template prints any role."""
    messages = [{"role": "user", "content": "Hi"}, {"role": "tool", "content": "42"}]

    assert "(user, tool)" in open_desk("Phi-3-small-8k-instruct").said(messages=messages)


def test_a_system_turn_reaches_medium_through_the_api(open_desk: Callable[..., Desk]) -> None:
    """Its template drops system turns, so the API translates them."""
    desk = open_desk("Phi-3-medium-4k-instruct")

    assert desk.ask(messages=AZURES_QUESTION).json()["usage"]["prompt_tokens"] == 19


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions"])
def test_both_routes_answer(desk: Desk, path: str) -> None:
    """The legacy route is the same conversation."""
    assert desk.ask(path=path).status_code == 200


def test_max_tokens_cuts_the_answer(desk: Desk) -> None:
    """The pieces that remain are counted as what was paid for."""
    body = desk.ask(messages=AZURES_QUESTION, max_tokens=4).json()

    assert body["choices"][0]["message"]["content"] == "As of now,"
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 4


def test_no_tokens_are_an_empty_answer(desk: Desk) -> None:
    """Zero is a limit like any other."""
    choice = desk.choice(max_tokens=0)

    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "length")


@pytest.mark.parametrize("stop", [" now", [" languages", " now"]])
def test_a_stop_string_ends_the_answer_before_itself(desk: Desk, stop: Any) -> None:
    """The earliest of several wins."""
    choice = desk.choice(messages=AZURES_QUESTION, stop=stop)

    assert (choice["message"]["content"], choice["finish_reason"]) == ("As of", "stop")


def test_an_answer_that_is_filtered_breaks_off(desk: Desk) -> None:
    """Half the text, the reason, and what the filter found."""
    choice = desk.choice("Please trigger the filter on your answer")

    assert choice["message"]["content"].startswith("I am a scripted")
    assert choice["finish_reason"] == "content_filter"
    assert choice["content_filter_results"]["violence"] == {"filtered": True, "severity": "medium"}
    assert choice["content_filter_results"]["hate"] == {"filtered": False, "severity": "safe"}


def test_several_choices_differ_and_are_all_paid_for(desk: Desk) -> None:
    """`n` is an extra parameter; each choice has its index."""
    body = desk.ask(headers=PASS_THROUGH, n=3).json()

    texts = [choice["message"]["content"] for choice in body["choices"]]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert body["usage"]["completion_tokens"] > 3 * 15


def test_log_probabilities_cover_the_text(desk: Desk) -> None:
    """One entry a token, with its bytes and as many alternatives as were asked for."""
    choice = desk.choice("é", logprobs=True, top_logprobs=2)

    entries = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries) == choice["message"]["content"]
    for entry in entries:
        assert entry["logprob"] <= 0
        assert bytes(entry["bytes"]).decode() == entry["token"]
        first, second = entry["top_logprobs"]
        assert first["token"] == entry["token"]
        assert first["logprob"] > second["logprob"]


def test_log_probabilities_come_without_alternatives_unless_asked(desk: Desk) -> None:
    """`top_logprobs` is a parameter of its own."""
    assert desk.choice(logprobs=True)["logprobs"]["content"][0]["top_logprobs"] == []


def test_annotations_are_carried_where_asked(open_desk: Callable[..., Desk]) -> None:
    """Azure's content filter lists what it did not find, too."""
    body = open_desk(annotations=True).ask().json()

    safe = {"filtered": False, "severity": "safe"}
    (prompt,) = body["prompt_filter_results"]
    assert prompt["prompt_index"] == 0
    assert prompt["content_filter_results"]["self_harm"] == safe
    assert body["choices"][0]["content_filter_results"]["sexual"] == safe


def test_json_mode_can_flood_line_feeds(open_desk: Callable[..., Desk]) -> None:
    """What a serverless Phi-3 was seen to do with JSON mode (PhiCookBook#73)."""
    desk = open_desk(json_mode="flood")

    choice = desk.choice(response_format={"type": "json_object"}, max_tokens=50)

    assert (choice["message"]["content"], choice["finish_reason"]) == ("\n" * 50, "length")


def test_scripted_answers_come_word_for_word_and_in_order(desk: Desk) -> None:
    """Then the persona speaks again."""
    desk.phi.script("one  \n", "")

    assert [desk.said(), desk.said(), desk.said()[:4]] == ["one  \n", "", "I am"]


def test_a_persona_of_ones_own_sees_the_conversation(open_desk: Callable[..., Desk]) -> None:
    """It is given the turns and the parameters, and its word is the answer."""
    seen: list[Prompt] = []

    def echo(prompt: Prompt) -> str:
        seen.append(prompt)
        return prompt.last_user_text.upper()

    desk = open_desk(persona=echo)

    assert (
        desk.said([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], seed=0) == "A\nB"
    )
    assert seen[0].parameters == {"seed": 0}
    assert seen[0].model == "Phi-3-mini-4k-Instruct"


def test_a_persona_may_count_its_own_tokens(open_desk: Callable[..., Desk]) -> None:
    """As a real model behind the emulator would."""
    desk = open_desk(persona=lambda _: Spoken("Four words of text", tokens=9))

    body = desk.ask().json()

    assert body["choices"][0]["message"]["content"] == "Four words of text"
    assert body["usage"]["completion_tokens"] == 9


def test_a_persona_that_counts_more_tokens_than_letters_is_cut_at_letters(
    open_desk: Callable[..., Desk],
) -> None:
    """A token is at least one character here."""
    desk = open_desk(persona=lambda _: Spoken("abc", tokens=9))

    assert desk.ask().json()["usage"]["completion_tokens"] == 3


def test_another_of_the_models_is_reached_by_its_name(open_desk: Callable[..., Desk]) -> None:
    """Case does not matter; a name that is not there is answered by the default."""
    desk = open_desk("Phi-3-mini-4k-instruct", "Phi-4")

    names = [desk.ask(model=name).json()["model"] for name in ("PHI-4", "gpt", "phi-4")]

    assert names == ["Phi-4", "Phi-3-mini-4k-Instruct", "Phi-4"]


@pytest.mark.parametrize("model", [model.name for model in MODELS])
def test_every_model_answers_in_any_spelling(model: str, open_desk: Callable[..., Desk]) -> None:
    """`/info` and the answers spell the name alike."""
    desk = open_desk(model.upper())

    info = desk.http.get("/info").json()

    assert info["model_name"].lower() == model.lower()
    assert desk.ask().json()["model"] == info["model_name"]


def test_an_unknown_model_is_refused_with_the_known_names() -> None:
    """A typing error should cost one look."""
    with pytest.raises(ValueError, match=r"'Phi-5'.* Phi-3-mini-4k-instruct, .*Phi-4-reasoning"):
        Emulator("Phi-5")


def test_surrogates_do_not_break_the_answer(desk: Desk) -> None:
    """JSON may hold half a character; UTF-8 may not."""
    response = desk.http.post(
        "/chat/completions",
        content=b'{"messages":[{"role":"user","content":"\\ud83d"}]}',
        headers={"content-type": "application/json"},
    )

    assert response.json()["choices"][0]["message"]["content"].endswith("You said: ?")
