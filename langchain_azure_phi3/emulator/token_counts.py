"""Counts tokens: exactly for images, and with a regular expression for text.

Both reproduce the counts in Azure's how-tos (19 tokens for their question, 2,380 for their image).
"""

import math
import re

# A word, a capital, a digit, one other character, or white space beyond the space before a word.
_PIECE = re.compile(r" ?(?:[A-Z]?[^\W\d_A-Z]{1,9}|[A-Z]|\d|[^\w\s]|_)|\n|\s| ?\w")

MESSAGE_TOKENS = 2  # <|user|> ... <|end|>
PROMPT_TOKENS = 1  # the final <|assistant|>
# The rest of the 2,380 tokens in Azure's example without its image, text and message.
IMAGE_FRAME_TOKENS = 4
AUDIO_TOKENS = 100  # an assumption: audio is not decoded
# Images at URLs are not fetched and count as images of this size.
UNKNOWN_IMAGE_SIZE = (640, 480)

_CROP_PIXELS = 336
_MAX_CROPS = 16


def split_pieces(text: str, at_least: int = 0) -> list[str]:
    """Split a text into token-like pieces, into `at_least` that many if it is long enough."""
    pieces: list[str] = _PIECE.findall(text)
    while len(pieces) < min(at_least, len(text)):
        longest = max(range(len(pieces)), key=lambda index: len(pieces[index]))
        word = pieces[longest]
        half = (len(word) + 1) // 2
        pieces[longest : longest + 1] = [word[:half], word[half:]]
    return pieces


def text_tokens(text: str) -> int:
    """Count the tokens of a text."""
    return len(split_pieces(text))


def image_tokens(width: int, height: int) -> int:
    """Count the tokens of an image of that size in pixels for a Phi-3 vision model.

    The model's processor (microsoft/Phi-3-vision-128k-instruct, `processing_phi3_v.py`) scales an
    image to a grid of at most 16 crops of 336 pixels. Each crop and a thumbnail take 144 tokens,
    each row of the grid 12 more.
    """
    ratio = max(width, height) / min(width, height)
    columns = 1
    while (columns + 1) * math.ceil((columns + 1) / ratio) <= _MAX_CROPS:
        columns += 1
    rows = max(1, math.ceil(int(columns * _CROP_PIXELS / ratio) / _CROP_PIXELS))
    return (rows * columns + 1) * 144 + 1 + (rows + 1) * 12
