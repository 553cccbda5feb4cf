"""Tokens of a text: estimated from what it is made of, or counted by a local tokenizer."""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import mul
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from langchain_azure_phi3._tokens.shape import shape
from langchain_azure_phi3._tokens.weights import FAMILIES, WEIGHTS
from langchain_azure_phi3.models import TokenizerFamily

ERROR: Mapping[TokenizerFamily, float] = MappingProxyType(
    {"llama-32k": 0.3, "cl100k": 0.3, "o200k": 0.3}
)
"""The relative error to reckon with, by family: somewhat more than the worst measured.

Not a guarantee: licences in capitals were estimated up to 34 % too high, tables of rare Chinese
and Korean characters 40 to 60 % too low.
"""

HIGHEST = 1.5
"""An estimate that is this many times too high was never seen, on any text."""

_BY_FAMILY = {
    family: tuple(weights[at] for weights in WEIGHTS.values()) for at, family in enumerate(FAMILIES)
}


class Tokenizer(Protocol):
    """Anything that turns text into tokens: of `tokenizers`, `transformers`, `tiktoken`, or own."""

    def encode(self, text: str) -> Any:
        """Something whose length is the number of tokens."""


def estimate(text: str, family: TokenizerFamily) -> int:
    """Tokens of a text; at least one of a text that is not empty.

    Relative errors of single sentences are larger than `ERROR` says, because they are rounded.
    """
    if text == "":
        return 0
    tokens: float = sum(map(mul, shape(text), _BY_FAMILY[family]))
    return max(1, round(tokens))


class Remembered:
    """Estimates of texts seen before, which a conversation repeats with every turn.

    Texts are known by hash and length, so that none is kept.
    """

    _MOST = 8_192

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, str], int] = {}

    def estimate(self, text: str, family: TokenizerFamily) -> int:
        """Tokens of a text."""
        key = (hash(text), len(text), family)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= self._MOST:
                self._known.clear()
            found = self._known[key] = estimate(text, family)
        return found


def exact(text: str, tokenizer: Tokenizer) -> int:
    """Tokens of a text by a tokenizer, without those that it puts around every text."""
    # tiktoken's `encode` refuses texts that spell a control token.
    encode = getattr(tokenizer, "encode_ordinary", tokenizer.encode)
    return len(encode(text)) - len(encode(""))


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """A Hugging Face `tokenizer.json`, or the folder that holds one; counts are exact then.

    A file is read once; changes to it take effect in the next process.

    Raises:
        ImportError: The package `tokenizers` is missing; the extra `tokenizers` brings it.
        OSError: The file cannot be read.
    """
    return _loaded(os.fspath(path))


@lru_cache(maxsize=8)
def _loaded(path: str) -> Tokenizer:
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
    return _WithoutControl(HuggingFaceTokenizer.from_str(file.read_text(encoding="utf-8")))


class _WithoutControl:
    """A tokenizer of the package `tokenizers`, without the control tokens that it would add."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> Sequence[int]:
        ids: Sequence[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids
