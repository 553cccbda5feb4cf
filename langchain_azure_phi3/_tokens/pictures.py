"""Tokens of pictures, by the arithmetic of the models' image processors."""

import math
from collections.abc import Sequence

from langchain_azure_phi3._request.media_sniffing import size_of_base64
from langchain_azure_phi3.models import PhiModel

MOST_IMAGE_TOKENS = 2_509
"""What the dearest picture costs on Phi-3-vision: the price of one whose size is not known."""

MOST_MULTIMODAL_TOKENS = 9_585
"""The same on Phi-4-multimodal: a large square one, which fills all crops."""

_FEWEST_CROPS = 4
"""What Phi-3.5-vision's card recommends for several pictures, and nobody goes below."""


def pictures_tokens(urls: Sequence[str], model: PhiModel | None, *, fewest: bool = False) -> int:
    """Tokens of a prompt's pictures: those in data URLs by their size, others as the dearest.

    Args:
        urls: Where the pictures are.
        model: What sees them; `None` counts as Phi-3-vision.
        fewest: Give the least that they can cost instead, whatever the server's settings:
            few crops, and nothing for those of unknown size.
    """
    if not urls:
        return 0
    found = [_size(url) for url in urls]
    seen = [size for size in found if size is not None]
    unseen = 0 if fewest else len(found) - len(seen)
    crops = None if model is None else model.image_crops
    if model is not None and model.tokenizer == "o200k":
        most = _FEWEST_CROPS if fewest else crops or 36
        prices = sum(multimodal_image_tokens(*size, most) for size in seen)
        return prices + unseen * MOST_MULTIMODAL_TOKENS
    most = _FEWEST_CROPS if fewest else crops or 16
    prices = sum(image_tokens(*size, most) for size in seen)
    # Phi-3's processor cuts the prompt at its pictures and puts a `<s>` before every piece. The
    # line break behind a picture is two tokens (a lone space and the break), and the word after
    # it, without its space, may need a third ("Wh", "ich"). With this, the documented sample of
    # Azure's how-to of 2024-07-02 comes to its 2,380 tokens.
    return prices + unseen * MOST_IMAGE_TOKENS + 4 * len(urls) + 1


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
