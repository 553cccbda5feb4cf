"""What of a conversation's pictures and sounds each model is sent."""

from dataclasses import replace
from typing import Any

import pytest
from langchain_azure_phi3._request.media_limits import for_model

from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.models import PhiModel, find_model

URL = "https://example.com/chart.png"
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
OTHER = {"type": "image_url", "image_url": {"url": URL + "?2"}}
SOUND = {"type": "audio_url", "audio_url": {"url": URL}}
VISION = "Phi-3-vision-128k-instruct"


def _row(name: str) -> PhiModel:
    row = find_model(name)
    assert row is not None
    return row


def _user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def _words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def test_a_text_model_is_spared_a_picture_and_the_user_told_where_to_go() -> None:
    """By the names of the models that see."""
    with pytest.raises(InvalidInputError, match=r"Phi-4 takes no image; .*Phi-3-vision-128k"):
        for_model([_user(IMAGE)], _row("phi-4"))


def test_a_model_that_only_sees_is_spared_a_sound() -> None:
    """One model hears."""
    with pytest.raises(InvalidInputError, match="no audio; use one of Phi-4-multimodal-instruct"):
        for_model([_user(IMAGE, SOUND)], _row("Phi-3.5-vision-instruct"))


def test_phi_3_vision_is_spared_two_pictures_in_a_turn() -> None:
    """The server would answer 400; in an older turn as well, before one is dropped."""
    for turns in ([_user(IMAGE, OTHER)], [_user(IMAGE, OTHER), _user(IMAGE)]):
        with pytest.raises(InvalidInputError, match=r"1 image\(s\) in a turn, this one has 2"):
            for_model(turns, _row(VISION))


@pytest.mark.parametrize(
    ("turn", "name"),
    [
        (_user(IMAGE, OTHER), "Phi-3.5-vision-instruct"),
        (_user(IMAGE, OTHER, SOUND), "Phi-4-multimodal-instruct"),
        (_user(IMAGE), VISION),
        (_user(IMAGE, OTHER, SOUND), None),
        ({"role": "user", "content": "words"}, "Phi-4"),
        ({"role": "assistant", "content": ""}, VISION),
    ],
)
def test_what_a_model_may_be_able_to_do_is_not_kept_from_it(
    turn: dict[str, Any], name: str | None
) -> None:
    """Least of all from an unknown one."""
    assert for_model([turn, turn], find_model(name))[-1] == turn


def test_only_the_newest_picture_stays() -> None:
    """With the words around the older ones; the turns given are not changed."""
    turns = [
        _user(_words("first"), IMAGE),
        {"role": "assistant", "content": "I see."},
        _user(OTHER, _words("second")),
        _user(_words("third")),
    ]

    assert for_model(turns, _row(VISION)) == [_user(_words("first")), *turns[1:]]
    assert turns[0] == _user(_words("first"), IMAGE)


def test_a_turn_that_was_only_an_older_picture_stays_as_an_empty_one() -> None:
    """The turns still alternate."""
    assert for_model([_user(IMAGE), _user(OTHER)], _row(VISION)) == [
        {"role": "user", "content": ""},
        _user(OTHER),
    ]


def test_of_several_in_one_turn_the_last_stay() -> None:
    """As many as the conversation may hold, counted from the end."""
    two = replace(_row(VISION), images_per_message=None, images_per_conversation=2)
    turns = [_user(IMAGE, OTHER), _user(IMAGE)]

    assert for_model(turns, two) == [_user(OTHER), _user(IMAGE)]
    assert for_model(turns, replace(two, images_per_conversation=3)) == turns


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("<|image_1|>\nWhat is this?", "<image_1>\nWhat is this?"),
        ("Compare <|image_1|> with <|image_12|>.", "Compare <image_1> with <image_12>."),
        ("<|audio_1|>", "<audio_1>"),
        ("<|image|> and <|user|>", "<|image|> and <|user|>"),
    ],
)
def test_a_placeholder_in_a_text_claims_no_picture(written: str, sent: str) -> None:
    """The server puts its own; one in the text would stand for a picture that is not there."""
    turns = [{"role": "tool", "content": written}, _user(_words(written), IMAGE)]

    assert for_model(turns, _row(VISION)) == [
        {"role": "tool", "content": sent},
        _user(_words(sent), IMAGE),
    ]


@pytest.mark.parametrize("name", ["Phi-4", None])
def test_a_model_without_placeholders_gets_them_as_text(name: str | None) -> None:
    """Nothing of a user's text is changed without need."""
    turns = [{"role": "user", "content": "What does <|image_1|> mean?"}]

    assert for_model(turns, find_model(name)) == turns
