"""Computes the tokens of images as the image processors of the Phi models do."""

import base64
import math
from collections.abc import Sequence
from io import BytesIO

from langchain_azure_phi3.models import PhiModel

MAX_IMAGE_TOKENS = 2_509
"""The maximum tokens of an image on Phi-3-vision, assumed for an image of unknown size."""

MAX_MULTIMODAL_IMAGE_TOKENS = 9_585
"""The maximum on Phi-4-multimodal: a large square image that fills all crops."""

_MIN_CROPS = 4
"""The recommendation of Phi-3.5-vision's model card for several images: the fewest crops used."""

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
"""Pillow's names of the formats that Phi's servers decode; Pillow must not try others."""

# The start of JPEG and TIFF in base64: their size may follow long metadata, or be at the end.
_LATE_SIZES = ("/9j/", "SUkq", "TU0A")
_HEAD_CHARACTERS = 4 * 32_768
"""The length of base64 in which most formats contain the size: 96 KiB, decoded."""


def prompt_image_tokens(
    urls: Sequence[str], model: PhiModel | None, *, at_least: bool = False
) -> int:
    """Count the tokens of all images of a prompt.

    An image in a data URL is counted by its size, if Pillow is installed. An image at another URL,
    or of unknown size, is counted at the maximum.

    Args:
        urls: URLs of the images, as sent.
        model: The model that receives them; `None` counts as Phi-3-vision.
        at_least: Return a lower bound instead: the fewest crops that servers use, and nothing for
            images of unknown size.
    """
    if not urls:
        return 0
    sizes = [_size_of_url(url) for url in urls]
    known = [size for size in sizes if size is not None]
    unknown = 0 if at_least else len(sizes) - len(known)
    if model is not None and model.image_tokens is not None:
        fewest, most = model.image_tokens
        return len(urls) * (fewest if at_least else most)
    crops = None if model is None else model.image_crops
    if model is not None and model.tokenizer == "o200k":
        crops = _MIN_CROPS if at_least else crops or 36
        cost = sum(multimodal_image_tokens(*size, crops) for size in known)
        return cost + unknown * MAX_MULTIMODAL_IMAGE_TOKENS
    crops = _MIN_CROPS if at_least else crops or 16
    cost = sum(image_tokens(*size, crops) for size in known)
    # Phi-3's processor splits the prompt at its images and starts each piece with `<s>`. The line
    # break after an image is two tokens (a space and the break), and the next word, without its
    # space, may need one more ("Wh", "ich"). With this, the sample of Azure's how-to of 2024-07-02
    # costs its documented 2,380 tokens.
    return cost + unknown * MAX_IMAGE_TOKENS + 4 * len(urls) + 1


def image_tokens(width: int, height: int, crops: int = 16) -> int:
    """Count the tokens of an image as the image processor of Phi-3-vision and Phi-3.5-vision does.

    The processor scales the image, up or down, to the largest grid of 336-pixel squares of its
    proportions that has at most `crops` squares. Each square is 144 tokens, and so is a small copy
    of the entire image. Phi-3.5-vision uses 4 crops per image for prompts with several images.

    Args:
        width: Pixels.
        height: Pixels.
        crops: The most squares that the image may be cut into.
    """
    longer, shorter = max(width, height), min(width, height)
    ratio = longer / shorter
    side = max(n for n in range(1, crops + 1) if n * math.ceil(n / ratio) <= crops)
    across = max(1, math.ceil(int(336 * side / ratio) / 336))
    return (across * side + 1) * 144 + 1 + (across + 1) * 12


def multimodal_image_tokens(width: int, height: int, crops: int = 36) -> int:
    """Count the tokens of an image as the image processor of Phi-4-multimodal does.

    The processor lays the image on a grid of 448-pixel squares. Each patch of 28 pixels that the
    image covers is a token, each row of patches one more, and a small copy of the entire image
    costs 273.

    Args:
        width: Pixels.
        height: Pixels.
        crops: The most squares that the image may be cut into.
    """
    columns, rows = math.ceil(width / 448), math.ceil(height / 448)
    if columns * rows > crops:
        columns, rows = _nearest_grid(width / height, crops)
    scale = min(columns * 448 / width, rows * 448 / height)
    across = _patches(columns * 448, int(width * scale))
    down = _patches(rows * 448, int(height * scale))
    return 273 + across * down + down


def _nearest_grid(ratio: float, crops: int) -> tuple[int, int]:
    """Return the grid with the proportions nearest to `ratio`; the largest of equally near ones."""
    grids = ((w, h) for w in range(1, crops + 1) for h in range(1, crops // w + 1))
    return min(grids, key=lambda grid: (abs(ratio - grid[0] / grid[1]), -grid[0] * grid[1]))


def _patches(side: int, covered: int) -> int:
    """Count patches of 28 pixels on a side: every second one of 14 pixels, without blank ones."""
    return math.ceil((side // 14 - (side - covered) // 14) / 2)


def _size_of_url(url: str) -> tuple[int, int] | None:
    """Return width and height of an image in a data URL; `None` if they cannot be determined."""
    if url[:5].lower() != "data:":
        return None
    start = url.find(",", 0, 256) + 1
    head = _size_of_base64(url[start : start + _HEAD_CHARACTERS])
    if head is not None or not url.startswith(_LATE_SIZES, start):
        return head
    return _size_of_base64(url[start:])


def _size_of_base64(text: str) -> tuple[int, int] | None:
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        # Opening only reads the header; load(), which would decode pixels, is not called.
        with Image.open(BytesIO(base64.b64decode(text)), formats=_FORMATS) as image:
            width, height = image.size
    except Exception:
        # Pillow raises what its format parsers raise (OSError, SyntaxError, struct.error, ...).
        # A count must not fail because of it.
        return None
    return (width, height) if width > 0 and height > 0 else None
