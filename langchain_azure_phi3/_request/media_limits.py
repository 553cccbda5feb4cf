"""What of a conversation's pictures and sounds a model is sent, and what it is spared."""

import re
from collections.abc import Sequence

from langchain_azure_phi3 import models
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.models import Modality, PhiModel

_PARTS: dict[str, Modality] = {
    "image_url": "image",
    "input_audio": "audio",
    "audio_url": "audio",
}

# What the processors of the vision models put where a picture or a sound belongs. In the text of
# a user (or of a document that a tool found) it would claim a picture that is not there.
_PLACEHOLDER = re.compile(r"<\|((?:image|audio)_[0-9]+)\|>")


def for_model(turns: Sequence[Json], model: PhiModel | None) -> list[Json]:
    """Wire turns as this model can be sent them.

    Every turn is checked; of a conversation with more pictures than the model takes the newest
    are kept; placeholders in texts, such as `<|image_1|>`, become `<image_1>`. Of an unknown
    model (`None`) nothing is known, so nothing is changed.

    Raises:
        InvalidInputError: A turn holds what the model does not take, or more of it.
    """
    if model is None:
        return list(turns)
    for turn in turns:
        _check(turn, model)
    if model.modalities == ("text",):
        return list(turns)
    limit = model.images_per_conversation
    kept = turns if limit is None else _newest_only(turns, limit)
    return [_without_placeholders(turn) for turn in kept]


def _check(turn: Json, model: PhiModel) -> None:
    media = [_PARTS[part["type"]] for part in _parts(turn) if part["type"] in _PARTS]
    for modality in media:
        if modality not in model.modalities:
            raise InvalidInputError(
                f"{model.name} takes no {modality}; use one of "
                f"{', '.join(models.models_accepting(modality))}."
            )
    images, limit = media.count("image"), model.images_per_message
    if limit is not None and images > limit:
        raise InvalidInputError(
            f"{model.name} takes {limit} image(s) in a turn, this one has {images}; "
            "join them into one picture, or ask about each in a turn of its own."
        )


def _newest_only(turns: Sequence[Json], limit: int) -> list[Json]:
    """The turns with their newest images only; the text around older ones stays.

    Azure's how-to promises for Phi-3-vision that "only the last image is retained in context";
    the servers do not do it but refuse a conversation with two. A turn that held nothing but
    an older image stays as an empty one, so that the turns still alternate.
    """
    left = limit
    kept: list[Json] = []
    for turn in reversed(turns):
        parts = _parts(turn)
        images = [index for index, part in enumerate(parts) if part["type"] == "image_url"]
        dropped = set(images[: max(0, len(images) - left)])
        left -= len(images) - len(dropped)
        if dropped:
            rest = [part for index, part in enumerate(parts) if index not in dropped]
            turn = {**turn, "content": rest or ""}
        kept.append(turn)
    return kept[::-1]


def _without_placeholders(turn: Json) -> Json:
    content = turn["content"]
    if isinstance(content, str):
        return {**turn, "content": _unmarked(content)}
    parts = [
        {**part, "text": _unmarked(part["text"])} if part["type"] == "text" else part
        for part in content
    ]
    return {**turn, "content": parts}


def _unmarked(text: str) -> str:
    return _PLACEHOLDER.sub(r"<\1>", text)


def _parts(turn: Json) -> list[Json]:
    content = turn["content"]
    return content if isinstance(content, list) else []
