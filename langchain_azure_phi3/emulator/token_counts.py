"""How many tokens a text or a picture costs: plausible for text, exact for pictures.

The count of text is a regular expression, not a tokenizer: it agrees with the figures of Azure's
how-tos (19 tokens for their question, 2,380 for their picture) and always adds up.
"""

import math
import re

# A word, a capital, a digit, a run of spaces beyond the one before a word, or one other sign.
_PIECE = re.compile(r" ?(?:[A-Z]?[^\W\d_A-Z]{1,9}|[A-Z]|\d|[^\w\s]|_)|\n|\s| ?\w")

TURN_TOKENS = 2  # <|user|> ... <|end|>
PROMPT_TOKENS = 1  # the <|assistant|> that asks for the answer
# What Azure's example of a picture (2,380 tokens) leaves after the picture, the text and the turn.
IMAGE_FRAME_TOKENS = 4
AUDIO_TOKENS = 100  # a stand-in: recordings are not read
# A picture behind an address is never fetched; it counts as one of this size.
UNSEEN_SIZE = (640, 480)

_CROP_PIXELS = 336
_MAX_CROPS = 16


def pieces(text: str) -> list[str]:
    """A text cut into token-like pieces; joined, they are the text."""
    return _PIECE.findall(text)


def pieces_numbering(text: str, count: int) -> list[str]:
    """A text in at least `count` pieces, if it has that many characters."""
    found = pieces(text)
    while len(found) < min(count, len(text)):
        longest = max(range(len(found)), key=lambda index: len(found[index]))
        word = found[longest]
        half = (len(word) + 1) // 2
        found[longest : longest + 1] = [word[:half], word[half:]]
    return found


def text_tokens(text: str) -> int:
    """Tokens that a text costs in a prompt."""
    return len(pieces(text))


def image_tokens(width: int, height: int) -> int:
    """Tokens that a picture of that size, in pixels, costs a Phi-3 vision model.

    The model's processor (microsoft/Phi-3-vision-128k-instruct, `processing_phi3_v.py`) scales a
    picture to a grid of at most 16 crops of 336 pixels; each crop and a thumbnail give 144 tokens,
    each row of the grid 12 more as line ends.
    """
    ratio = max(width, height) / min(width, height)
    columns = 1
    while (columns + 1) * math.ceil((columns + 1) / ratio) <= _MAX_CROPS:
        columns += 1
    rows = max(1, math.ceil(int(columns * _CROP_PIXELS / ratio) / _CROP_PIXELS))
    return (rows * columns + 1) * 144 + 1 + (rows + 1) * 12
