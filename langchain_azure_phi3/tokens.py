"""What a conversation costs in tokens, without a download, and whether a model has room for it.

Tokenizers of the Phi models are megabytes that would have to be fetched, so tokens are
estimated from what a text is made of: 7 to 8 % off on average, within `ERROR` for all kinds of
text that were measured. The table of errors is in `tests/calibration/README.md`. What the server
reports corrects the rest, and a local `tokenizer.json` makes texts exact (`load_tokenizer`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from langchain_azure_phi3._tokens.learning import Learned
from langchain_azure_phi3._tokens.pictures import (
    MOST_MULTIMODAL_TOKENS,
    image_tokens,
    multimodal_image_tokens,
    pictures_tokens,
)
from langchain_azure_phi3._tokens.texts import (
    ERROR,
    HIGHEST,
    Remembered,
    Tokenizer,
    estimate,
    exact,
    load_tokenizer,
)
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import ContextLengthError
from langchain_azure_phi3.models import PhiModel, TokenizerFamily

__all__ = [
    "ERROR",
    "Count",
    "Learned",
    "Meter",
    "Tokenizer",
    "estimate",
    "image_tokens",
    "load_tokenizer",
    "multimodal_image_tokens",
]


# Around a turn, and for the opening of the answer. The Llama vocabulary's control tokens swallow
# the line break behind them, so `<|user|>...<|end|>` is two, and the documented 19 tokens of
# Azure's sample conversation are 6 + 8 + 2 * 2 + 1. Phi-3-small counts the breaks and a first
# `<|endoftext|>`; Phi-4 has `<|im_start|>role<|im_sep|>...<|im_end|>`.
_CONTROL: Mapping[TokenizerFamily, tuple[int, int]] = MappingProxyType(
    {"llama-32k": (2, 1), "cl100k": (4, 3), "o200k": (2, 1)}
)

# Of an unknown model, the vocabulary that needs the most tokens.
_DEAREST: TokenizerFamily = "llama-32k"

_remembered = Remembered()
_learned = Learned()


@dataclass(frozen=True, slots=True)
class Count:
    """What a prompt costs, in tokens.

    Attributes:
        texts: Of its texts, tool calls and tools: estimated, unless `exact`.
        rest: Of its pictures, by their formula, and of the template's control tokens.
        least_rest: The same with the fewest that pictures can cost.
        exact: Whether a tokenizer counted the texts.
        error: The relative error of an estimate that is not exact.
    """

    texts: int
    rest: int
    least_rest: int
    exact: bool
    error: float

    @property
    def total(self) -> int:
        """The likeliest figure."""
        return self.texts + self.rest

    @property
    def least(self) -> int:
        """What it costs at least, even where the estimate is as far too high as was ever seen."""
        return self.least_rest + (self.texts if self.exact else int(self.texts / HIGHEST))

    @property
    def most(self) -> int:
        """What it costs at most, if the estimate is not further off than stated."""
        return self.rest + (self.texts if self.exact else math.ceil(self.texts / (1 - self.error)))


@dataclass(frozen=True, slots=True)
class Meter:
    """What prompts cost on one deployment.

    Attributes:
        model: What is deployed there; of an unknown model (`None`) the dearest vocabulary is
            assumed, and no limit.
        deployment: Whatever tells it apart from others, for what is learned from its answers.
        tokenizer: Counts texts in place of the estimate.
    """

    model: PhiModel | None
    deployment: str
    tokenizer: Tokenizer | None = None

    def text(self, text: str) -> int:
        """Tokens of a text alone."""
        count = _text_tokens(text, self.model, self.tokenizer)
        return count if self.tokenizer is not None else self._corrected(count)

    def prompt(self, payload: Mapping[str, Any]) -> int:
        """Tokens of a payload's messages and tools; 0 of none."""
        if not payload["messages"] and not payload.get("tools"):
            return 0
        return self._count(payload, corrected=True).total

    def fitted(self, payload: Json, *, lower: bool) -> Json:
        """The payload; with `max_tokens` lowered to what the prompt leaves, if `lower` says so.

        Raises:
            ContextLengthError: The prompt alone does not fit the model's context, even at the
                least that it can cost.
        """
        if self.model is None:
            return payload
        context, wanted = self.model.context, payload.get("max_tokens")
        if not lower or not isinstance(wanted, int):
            if not _is_short(payload, context):
                self._check(payload, self.model)
            return payload
        # Some scripts need two tokens a character.
        if _is_short(payload, (context - wanted) // 2):
            return payload
        self._check(payload, self.model)
        count = self._count(payload, corrected=True)
        rooms = (context - count.most, context - count.total, 1)
        return {**payload, "max_tokens": min(wanted, next(room for room in rooms if room > 0))}

    def learn(self, payload: Mapping[str, Any], actual: int) -> None:
        """Take in what the server says a prompt cost.

        Of prompts with pictures or sounds nothing is learned: their share is not the texts'.
        """
        if (
            self.tokenizer is not None
            or _has_media(payload)
            or not _learned.is_due(self.deployment)
        ):
            return
        count = self._count(payload)
        _learned.add(self.deployment, estimated=count.texts, actual=actual - count.rest)

    def _check(self, payload: Json, model: PhiModel) -> None:
        # What was learned does not count here: it is of other texts, and may be too high for this.
        count = self._count(payload)
        if count.least <= model.context:
            return
        error = ContextLengthError(
            f"The prompt is {'' if count.exact else 'about '}{count.total:,} tokens, "
            f"{'' if count.exact else f'{count.least:,} at the very least, '}and "
            f"{model.name} has a context of {model.context:,}. Shorten the conversation "
            "(trim_messages, SummarizationMiddleware), or use a model with more context. "
            "Nothing was sent."
        )
        error.prompt_tokens, error.context = count.total, model.context
        raise error

    def _count(self, payload: Mapping[str, Any], *, corrected: bool = False) -> Count:
        count = _count(payload["messages"], payload.get("tools"), self.model, self.tokenizer)
        if not corrected or count.exact:
            return count
        texts = self._corrected(count.texts)
        return Count(texts, count.rest, count.least_rest, count.exact, count.error)

    def _corrected(self, estimated: int) -> int:
        return round(estimated * _learned.ratio(self.deployment))


def _count(
    turns: Sequence[Mapping[str, Any]],
    tools: Sequence[Any] | None,
    model: PhiModel | None,
    tokenizer: Tokenizer | None,
) -> Count:
    """What a prompt costs: its texts, tool calls, pictures and control tokens.

    Pictures in data URLs are priced by their size, those at other URLs as the dearest. Sounds
    cost nothing here, because their length is not known.
    """
    family = _DEAREST if model is None else model.tokenizer
    around, opening = _CONTROL[family]
    control = around * len(turns) + opening
    texts = [text for turn in turns for text in _texts(turn)]
    if tools:
        texts.append(json.dumps(tools, ensure_ascii=False, default=str))
    urls = [part["image_url"]["url"] for part in _parts(turns) if part["type"] == "image_url"]
    return Count(
        texts=sum(_text_tokens(text, model, tokenizer) for text in texts),
        rest=control + pictures_tokens(urls, model),
        least_rest=control + pictures_tokens(urls, model, fewest=True),
        exact=tokenizer is not None,
        error=ERROR[family],
    )


def _text_tokens(text: str, model: PhiModel | None, tokenizer: Tokenizer | None) -> int:
    if tokenizer is not None:
        return exact(text, tokenizer)
    return _remembered.estimate(text, _DEAREST if model is None else model.tokenizer)


def _is_short(payload: Mapping[str, Any], context: int) -> bool:
    """Whether a prompt has fewer characters than there is room for tokens."""
    room = context - 4 * len(payload["messages"]) - 3  # control tokens, where they are most
    for turn in payload["messages"]:
        room -= sum(map(len, _texts(turn)))
    for part in _parts(payload["messages"]):
        room -= MOST_MULTIMODAL_TOKENS if part["type"] == "image_url" else 0
    return room > 0 and not payload.get("tools")


def _has_media(payload: Mapping[str, Any]) -> bool:
    return any(part["type"] != "text" for part in _parts(payload["messages"]))


def _texts(turn: Mapping[str, Any]) -> list[str]:
    content = turn.get("content")
    texts = [content] if isinstance(content, str) else []
    texts += [part["text"] for part in _parts([turn]) if part["type"] == "text"]
    if turn.get("tool_calls"):
        texts.append(json.dumps(turn["tool_calls"], ensure_ascii=False))
    return texts


def _parts(turns: Sequence[Mapping[str, Any]]) -> list[Json]:
    return [
        part for turn in turns if isinstance(turn.get("content"), list) for part in turn["content"]
    ]
