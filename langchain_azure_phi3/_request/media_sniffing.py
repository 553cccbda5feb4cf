"""Detects formats of images and audio from the first bytes of a file."""

import binascii

_BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
"""Lengths of all versions of the second header of a BMP: "BM" alone is too common."""


def image_format(head: bytes) -> str | None:
    """Return the MIME type of an image, from its first 18 bytes; `None` for another format.

    The six formats are those that Phi's servers decode: JPEG, PNG, GIF, BMP, WEBP and TIFF.
    """
    for mime, magic in _MAGIC:
        if head.startswith(magic):
            return mime
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "image/bmp"
    return None


_MAGIC = (
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/gif", b"GIF87a"),
    ("image/gif", b"GIF89a"),
    ("image/tiff", b"II*\x00"),
    ("image/tiff", b"MM\x00*"),
)


def audio_format(head: bytes) -> str | None:
    """Return `"wav"` or `"mp3"`, from the first 12 bytes of audio; `None` for another format."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    # An ID3 tag, or the eleven set bits at the start of an MPEG frame of layer III (bits 01).
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] and head[1] & 0xE6 == 0xE2):
        return "mp3"
    return None


def decoded_start(text: str, start: int, stop: int) -> bytes:
    """Decode a part of a base64 text; `start` and `stop` are multiples of four from its start.

    Raises:
        ValueError: The part is not base64.
    """
    group = text[start:stop]
    return binascii.a2b_base64(group + "=" * (-len(group) % 4), strict_mode=True)
