"""Counts the tokens of conversations offline, and checks whether they fit a model's context.

The tokenizers of the Phi models are downloads of several megabytes, so token counts are estimated
from the number of characters, by script. On held-out texts the estimate is off by 10 to 11 % on
average, and by at most 35 %; hashes, base64 and tables of numbers can be underestimated by up to
47 % (`tests/calibration/README.md`). A local `tokenizer.json` makes counts of texts exact: see
`load_tokenizer`.
"""

import json
import math
import os
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from langchain_azure_phi3._deprecated import renamed_names
from langchain_azure_phi3._files import explain_os_error
from langchain_azure_phi3._image_tokens import (
    MAX_MULTIMODAL_IMAGE_TOKENS,
    image_tokens,
    multimodal_image_tokens,
    prompt_image_tokens,
)
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import ContextLengthError, InvalidInputError
from langchain_azure_phi3.models import PhiModel, TokenizerFamily

__all__ = [
    "MAX_ERROR",
    "Count",
    "TokenCounter",
    "Tokenizer",
    "estimate_tokens",
    "image_tokens",
    "load_tokenizer",
    "multimodal_image_tokens",
]

if not TYPE_CHECKING:
    __getattr__ = renamed_names(__name__, {"estimate": "estimate_tokens"})

MAX_ERROR = 0.35
"""The relative error that `Count.upper_bound` allows for: the largest one on held-out texts."""

_FAMILIES: tuple[TokenizerFamily, ...] = ("llama-32k", "cl100k", "o200k")

# Tokens per character, by the character's first UTF-8 byte: one column for each tokenizer family.
# `python -m tests.calibration.fit` computes the numbers. A space belongs to the next word.
_TOKENS_PER_CHARACTER: tuple[tuple[bytes, tuple[float, float, float]], ...] = (
    (string.ascii_letters.encode(), (0.25, 0.25, 0.25)),
    (string.digits.encode(), (1.55, 1.05, 1.0)),
    (string.punctuation.encode(), (0.5, 0.35, 0.4)),
    (b"\r\n", (2.2, 1.2, 1.35)),
    (bytes(range(0xC2, 0xCA)), (2.7, 2.35, 1.25)),  # Latin letters with accents
    (bytes(range(0xD0, 0xD4)), (0.4, 0.55, 0.3)),  # Cyrillic
    (bytes([*range(0xCA, 0xD0), *range(0xD4, 0xD8)]), (1.25, 1.15, 0.45)),  # Greek, Hebrew, ...
    (bytes(range(0xD8, 0xE0)), (1.1, 0.85, 0.35)),  # Arabic
    (b"\xe0", (1.25, 1.15, 0.4)),  # Indic scripts, Thai
    (bytes([0xE1, 0xE2, 0xEE, 0xEF]), (1.1, 0.8, 0.6)),  # other scripts, symbols, wide signs
    (bytes(range(0xF0, 0xF5)), (4.0, 2.45, 1.7)),  # emoji, rare characters
    (bytes(range(0xE3, 0xEA)), (1.25, 1.15, 0.8)),  # Chinese, Japanese
    (bytes(range(0xEA, 0xEE)), (2.05, 1.35, 0.85)),  # Korean
)
_WEIGHTS = {
    family: tuple(weights[column] for _, weights in _TOKENS_PER_CHARACTER)
    for column, family in enumerate(_FAMILIES)
}
_CLASSES, _ASCII_CLASSES = len(_TOKENS_PER_CHARACTER), 4
_CJK_CLASSES = 2  # the last two

_UNCOUNTED = 0xFF
_CLASS_OF_BYTE = bytes(
    next((n for n, (chars, _) in enumerate(_TOKENS_PER_CHARACTER) if byte in chars), _UNCOUNTED)
    for byte in range(256)
)

_MAX_CJK_CHARACTERS_PER_TOKEN = 4
"""Vocabularies contain few tokens of more Chinese, Japanese or Korean characters."""

# Control tokens of the chat template: around each message, and at the start of the response. The
# Llama vocabulary's control tokens include the line break after them, so `<|user|>...<|end|>` is
# two, and the documented 19 tokens of Azure's sample conversation are 6 + 8 + 2 * 2 + 1.
# Phi-3-small also counts the line breaks and a first `<|endoftext|>`; Phi-4 has
# `<|im_start|>role<|im_sep|>...<|im_end|>`.
_CONTROL_TOKENS: Mapping[TokenizerFamily, tuple[int, int]] = MappingProxyType(
    {"llama-32k": (2, 1), "cl100k": (4, 3), "o200k": (2, 1)}
)

# For unknown models: the family that needs the most tokens.
_WORST_CASE_TOKENIZER: TokenizerFamily = "llama-32k"


class Tokenizer(Protocol):
    """Anything that encodes text: of `tokenizers`, `transformers` or `tiktoken`, or your own."""

    def encode(self, text: str) -> Any:
        """Return an object whose length is the number of tokens."""


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens of a prompt.

    Attributes:
        total: The most likely number.
        lower_bound: The minimum for any tokenizer: each word is at least one token.
        upper_bound: The number if the estimate is too low by `MAX_ERROR`.
        exact: Whether a tokenizer counted the texts.
    """

    total: int
    lower_bound: int
    upper_bound: int
    exact: bool


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts the tokens of prompts for one model.

    Attributes:
        model: The deployed model. For an unknown one (`None`), the counter assumes the vocabulary
            that needs the most tokens, and no limit.
        tokenizer: Counts texts exactly, instead of the estimate.
        context: The limit on the tokens of prompt and response together on this server; `None` for
            the model's own.
    """

    model: PhiModel | None
    tokenizer: Tokenizer | None = None
    context: int | None = None

    def count_text(self, text: str) -> int:
        """Count the tokens of a text, without a chat template."""
        if self.tokenizer is not None:
            return _encoded_length(text, self.tokenizer)
        return estimate_tokens(text, self._family)

    def count_prompt(self, payload: Mapping[str, Any]) -> int:
        """Count the tokens of a payload's messages and tools; 0 for an empty payload."""
        if not payload["messages"] and not payload.get("tools"):
            return 0
        return self._count(_Prompt.of(payload)).total

    def fit_max_tokens(self, payload: Json, *, lower: bool) -> Json:
        """Check that the payload fits the model's context, and return it.

        Args:
            payload: A request for chat completions.
            lower: Whether to lower `max_tokens` to the context that the prompt leaves.

        Raises:
            ContextLengthError: The prompt's lower bound exceeds the context.
        """
        own = None if self.model is None else self.model.context
        context = own if self.context is None else self.context
        if context is None:
            return payload
        prompt, max_tokens = _Prompt.of(payload), payload.get("max_tokens")
        if not lower or not isinstance(max_tokens, int):
            if not prompt.is_shorter_than(context):
                self._check(self._count(prompt), context)
            return payload
        # Some scripts need two tokens per character.
        if prompt.is_shorter_than((context - max_tokens) // 2):
            return payload
        count = self._count(prompt)
        self._check(count, context)
        rooms = (context - count.upper_bound, context - count.total, 1)
        return {**payload, "max_tokens": min(max_tokens, next(room for room in rooms if room > 0))}

    @property
    def _family(self) -> TokenizerFamily:
        return _WORST_CASE_TOKENIZER if self.model is None else self.model.tokenizer

    def _check(self, count: Count, context: int) -> None:
        if count.lower_bound <= context:
            return
        name = "the deployment" if self.model is None else self.model.name
        error = ContextLengthError(
            f"The prompt is {'' if count.exact else 'about '}{count.total:,} tokens, "
            f"{'' if count.exact else f'at least {count.lower_bound:,}, '}and "
            f"{name} has a context of {context:,}. Shorten the conversation "
            "(trim_messages, SummarizationMiddleware), or use a model with more context. "
            "Nothing was sent."
        )
        error.prompt_tokens, error.context = count.total, context
        raise error

    def _count(self, prompt: "_Prompt") -> Count:
        around, opening = _CONTROL_TOKENS[self._family]
        control = around * prompt.messages + opening
        other = control + prompt_image_tokens(prompt.image_urls, self.model)
        min_other = control + prompt_image_tokens(prompt.image_urls, self.model, at_least=True)
        tokens = sum(map(self.count_text, prompt.texts))
        if self.tokenizer is not None:
            return Count(other + tokens, min_other + tokens, other + tokens, exact=True)
        lower_bound = min_other + sum(map(_min_tokens, prompt.texts))
        return Count(
            total=max(other + tokens, lower_bound),
            lower_bound=lower_bound,
            upper_bound=other + math.ceil(tokens / (1 - MAX_ERROR)),
            exact=False,
        )


class _Prompt(NamedTuple):
    """The tokens of a payload. Audio is not counted, because its length is unknown."""

    messages: int
    texts: list[str]
    """With tool calls and tools, as JSON."""
    image_urls: list[str]

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> "_Prompt":
        messages, texts, urls = payload["messages"], [], []
        for message in messages:
            content = message.get("content")
            if isinstance(content, str):
                texts.append(content)
            elif content is not None:
                texts += [part["text"] for part in content if part["type"] == "text"]
                urls += [p["image_url"]["url"] for p in content if p["type"] == "image_url"]
            if message.get("tool_calls"):
                texts.append(json.dumps(message["tool_calls"], ensure_ascii=False))
        if payload.get("tools"):
            texts.append(json.dumps(payload["tools"], ensure_ascii=False, default=str))
        return cls(len(messages), texts, urls)

    def is_shorter_than(self, tokens: int) -> bool:
        """Whether the prompt certainly needs fewer tokens, at one token per character."""
        control = 4 * self.messages + 3  # the maximum of all families
        images = MAX_MULTIMODAL_IMAGE_TOKENS * len(self.image_urls)
        return control + images + sum(map(len, self.texts)) < tokens


def estimate_tokens(text: str, family: TokenizerFamily) -> int:
    """Estimate the tokens of a text: at least 1, or 0 for an empty text.

    Relative errors of short texts exceed the stated ones, because the estimate is rounded.
    """
    if text == "":
        return 0
    tokens: float = sum(map(mul, _WEIGHTS[family], _count_classes(text)))
    return max(1, round(tokens))


def _min_tokens(text: str) -> int:
    """Return the minimum number of tokens of a text, with any of the tokenizers.

    No token spans two words: all of them split texts at white space first.
    """
    words = len(text.split())
    if text.isascii():
        return words
    return max(words, sum(_count_classes(text)[-_CJK_CLASSES:]) // _MAX_CJK_CHARACTERS_PER_TOKEN)


def _count_classes(text: str) -> list[int]:
    """Count the characters of a text in each class of `_TOKENS_PER_CHARACTER`."""
    classes = text.encode("utf-8", "surrogatepass").translate(_CLASS_OF_BYTE)
    return list(map(classes.count, range(_ASCII_CLASSES if text.isascii() else _CLASSES)))


def _encoded_length(text: str, tokenizer: Tokenizer) -> int:
    """Count the tokens of a text, without those that a tokenizer adds to each text."""
    # tiktoken's `encode` rejects texts that contain a control token.
    encode = getattr(tokenizer, "encode_ordinary", tokenizer.encode)
    return len(encode(text)) - len(encode(""))


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Load a Hugging Face `tokenizer.json`, for exact counts.

    The file is read once per process; later changes to it have no effect.

    Args:
        path: The file, or the folder that contains it.

    Raises:
        ImportError: The package `tokenizers` is missing; install the extra `tokenizers`.
        InvalidInputError: The file is not a `tokenizer.json`.
        OSError: The file cannot be read. The message names the path; the type is Python's own, such
            as `FileNotFoundError`.
    """
    return _load(os.fspath(path))


@lru_cache(maxsize=8)
def _load(path: str) -> Tokenizer:
    try:
        from tokenizers import Tokenizer as HuggingFaceTokenizer
    except ImportError as missing:
        raise ImportError(
            "Exact counts need the package tokenizers: "
            "pip install 'langchain-azure-phi3[tokenizers]'."
        ) from missing
    file = Path(path)
    if file.is_dir():
        file /= "tokenizer.json"
    try:
        loaded = HuggingFaceTokenizer.from_str(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain_os_error(error, "The tokenizer", file) from error
    except Exception as error:  # the package raises this class itself
        raise InvalidInputError(
            f"{str(file)!r} is not a tokenizer.json of Hugging Face: {error}. Pass the path of "
            "such a file, or of its folder."
        ) from error
    return _WithoutControlTokens(loaded)


class _WithoutControlTokens:
    """A tokenizer of the package `tokenizers`, without the control tokens that it would add."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> Sequence[int]:
        ids: Sequence[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids
