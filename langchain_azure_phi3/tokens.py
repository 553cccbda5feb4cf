"""What a conversation costs in tokens, without a download.

Tokenizers of the Phi models are megabytes that would have to be fetched, so tokens are
estimated from what a text is made of: 7 to 8 % off on average, within `ERROR` for all kinds of
text that were measured. The table of errors is in `tests/calibration/README.md`. What the server
reports can correct the rest (`Learned`), and a local `tokenizer.json` makes texts exact
(`load_tokenizer`).
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from operator import mul
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any, Protocol

from langchain_azure_phi3._text_shape import shape
from langchain_azure_phi3.catalogue import PhiModel, TokenizerFamily
from langchain_azure_phi3.media_headers import size_of_base64
from langchain_azure_phi3.token_weights import FAMILIES, WEIGHTS

Json = dict[str, Any]

ERROR: Mapping[TokenizerFamily, float] = MappingProxyType(
    {"llama-32k": 0.3, "cl100k": 0.3, "o200k": 0.3}
)
"""The largest relative error to reckon with, by family: somewhat more than the worst measured."""

MOST_IMAGE_TOKENS = 2_509
"""What the dearest picture costs on Phi-3-vision: the price of one whose size is not known."""

_BY_FAMILY = {
    family: tuple(weights[at] for weights in WEIGHTS.values()) for at, family in enumerate(FAMILIES)
}

# Around a turn, and for the opening of the answer. The Llama vocabulary's control tokens swallow
# the line break behind them, so `<|user|>...<|end|>` is two, and the documented 19 tokens of
# Azure's sample conversation are 6 + 8 + 2 * 2 + 1. Phi-3-small counts the breaks and a first
# `<|endoftext|>`; Phi-4 has `<|im_start|>role<|im_sep|>...<|im_end|>`.
_CONTROL: Mapping[TokenizerFamily, tuple[int, int]] = MappingProxyType(
    {"llama-32k": (2, 1), "cl100k": (4, 3), "o200k": (2, 1)}
)

# Of an unknown model, the vocabulary that needs the most tokens.
_DEAREST: TokenizerFamily = "llama-32k"


class Tokenizer(Protocol):
    """Anything that turns text into token ids, without control tokens of its own."""

    def encode(self, text: str) -> Sequence[int]:
        """The ids of a text's tokens."""


def estimate(text: str, family: TokenizerFamily) -> int:
    """Tokens of a text; at least one of a text that is not empty.

    Relative errors of single sentences are larger than `ERROR` says, because they are rounded.
    """
    if text == "":
        return 0
    tokens: float = sum(map(mul, shape(text), _BY_FAMILY[family]))
    return max(1, round(tokens))


def conversation_tokens(
    turns: Sequence[Mapping[str, Any]],
    model: PhiModel | None,
    *,
    tokenizer: Tokenizer | None = None,
) -> int:
    """Tokens of wire messages as a prompt: texts, tool calls, pictures and control tokens.

    Pictures in data URLs are priced by their size, those at other URLs as the dearest. Sounds
    cost nothing here, because their length is not known. Of an unknown model (`None`) the
    dearest vocabulary is assumed.
    """
    family = _DEAREST if model is None else model.tokenizer

    def count(text: str) -> int:
        return estimate(text, family) if tokenizer is None else len(tokenizer.encode(text))

    around, opening = _CONTROL[family]
    texts = sum(count(text) for turn in turns for text in _texts(turn))
    return texts + around * len(turns) + opening + _pictures_tokens(turns, model)


def image_tokens(width: int, height: int, crops: int = 16) -> int:
    """Tokens of a picture on Phi-3-vision and Phi-3.5-vision, exactly as their processor counts.

    The picture is scaled, up or down, to the largest grid of 336-pixel squares of its
    proportions that has at most `crops`; each square is 144 tokens, and so is a small copy of
    the whole. Phi-3.5-vision takes 4 crops a picture where there are several.
    """
    longer, shorter = max(width, height), min(width, height)
    ratio = longer / shorter
    side = max(n for n in range(1, crops + 1) if n * math.ceil(n / ratio) <= crops)
    across = max(1, math.ceil(int(336 * side / ratio) / 336))
    return (across * side + 1) * 144 + 1 + (across + 1) * 12


def multimodal_image_tokens(width: int, height: int, crops: int = 36) -> int:
    """Tokens of a picture on Phi-4-multimodal, as its processor counts.

    The picture is laid on a grid of 448-pixel squares. Every patch of 28 pixels that it covers
    is a token, every row of them one more, and a small copy of the whole costs 273.
    """
    columns, rows = math.ceil(width / 448), math.ceil(height / 448)
    if columns * rows > crops:
        columns, rows = _nearest_grid(width / height, crops)
    scale = min(columns * 448 / width, rows * 448 / height)
    wide = _patches(columns * 448, int(width * scale))
    high = _patches(rows * 448, int(height * scale))
    return 273 + wide * high + high


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """A Hugging Face `tokenizer.json`, or the folder that holds one; counts are exact then.

    Raises:
        ImportError: The package `tokenizers` is missing; the extra `tokenizers` brings it.
        OSError: The file cannot be read.
    """
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
    return _Exact(HuggingFaceTokenizer.from_str(file.read_text(encoding="utf-8")))


class Learned:
    """How far off estimates are for a deployment, from the usage that it reports.

    A key is whatever tells deployments apart. Old observations fade, and one of a short prompt
    counts for little. Ratios stay between a half and two. Safe to share between threads.
    """

    _FADING = 0.9
    _DOUBT = 200.0
    """Tokens of evidence for the estimate that stand against the first observations."""
    _MOST_KEYS = 256

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}
        self._lock = Lock()

    def add(self, key: str, *, estimated: int, actual: int) -> None:
        """Take in what a prompt was estimated at and what it cost, both in tokens.

        Figures of nothing say nothing: some servers report 0 where they did not count.
        """
        if estimated <= 0 or actual <= 0:
            return
        with self._lock:
            before, cost = self._sums.pop(key, (0.0, 0.0))
            self._sums[key] = before * self._FADING + estimated, cost * self._FADING + actual
            if len(self._sums) > self._MOST_KEYS:
                del self._sums[next(iter(self._sums))]

    def ratio(self, key: str) -> float:
        """What to multiply an estimate by; 1.0 for a key of which nothing is known."""
        with self._lock:
            estimated, actual = self._sums.get(key, (0.0, 0.0))
        return min(2.0, max(0.5, (actual + self._DOUBT) / (estimated + self._DOUBT)))


class _Exact:
    """A tokenizer of the package `tokenizers`, without the control tokens that it would add."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> Sequence[int]:
        ids: Sequence[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _texts(turn: Mapping[str, Any]) -> list[str]:
    content = turn.get("content")
    texts = [content] if isinstance(content, str) else []
    texts += [part["text"] for part in _parts(turn) if part.get("type") == "text"]
    if turn.get("tool_calls"):
        texts.append(json.dumps(turn["tool_calls"]))
    return texts


def _parts(turn: Mapping[str, Any]) -> list[Json]:
    content = turn.get("content")
    return content if isinstance(content, list) else []


def _pictures_tokens(turns: Sequence[Mapping[str, Any]], model: PhiModel | None) -> int:
    urls = [
        part["image_url"]["url"]
        for turn in turns
        for part in _parts(turn)
        if part.get("type") == "image_url"
    ]
    if not urls:
        return 0
    if model is not None and model.tokenizer == "o200k":
        return sum(_multimodal_price(url) for url in urls)
    # Phi-3's processor cuts the prompt at its pictures and puts a `<s>` before every piece. The
    # line break behind a picture is two tokens (a lone space and the break), and the word after
    # it, without its space, may need a third ("Wh", "ich"). With this, the documented sample of
    # Azure's how-to of 2024-07-02 comes to its 2,380 tokens.
    return sum(_price(url) for url in urls) + 3 * len(urls) + len(urls) + 1


def _price(url: str) -> int:
    size = _size(url)
    return MOST_IMAGE_TOKENS if size is None else image_tokens(*size)


def _multimodal_price(url: str) -> int:
    # A large square picture fills all crops.
    return multimodal_image_tokens(*(_size(url) or (4_032, 4_032)))


def _size(url: str) -> tuple[int, int] | None:
    if url[:5].lower() != "data:":
        return None
    return size_of_base64(url, url.find(",", 0, 256) + 1)


def _nearest_grid(ratio: float, crops: int) -> tuple[int, int]:
    """The grid of squares whose proportions are nearest to a picture's; the largest of equals."""
    grids = ((w, h) for w in range(1, crops + 1) for h in range(1, crops // w + 1))
    return min(grids, key=lambda grid: (abs(ratio - grid[0] / grid[1]), -grid[0] * grid[1]))


def _patches(side: int, covered: int) -> int:
    """Patches of 28 pixels that a picture covers: every other one of 14, blank ones left out."""
    return math.ceil((side // 14 - (side - covered) // 14) / 2)
