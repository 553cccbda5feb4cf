"""What the first bytes of a picture or a sound tell: its format, and a picture's size.

Base64 is read in place: only the bytes that are looked at are decoded, so that the size of a
large picture costs microseconds, whatever lies before it in the file.
"""

import binascii
from collections.abc import Callable

_Read = Callable[[int, int], bytes]
"""Bytes of a file, by offset and count; fewer than asked for at its end."""

_BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
"""Lengths that the second header of a BMP has had in its history: "BM" alone is too common."""

_MOST_SEGMENTS = 4_096
"""A JPEG with more than that before its frame header is not looked into further."""


def image_format(head: bytes) -> str | None:
    """The MIME type of a picture from its first 18 bytes, `None` if it is none.

    The six formats are those that the servers of Phi decode: JPEG, PNG, GIF, BMP, WEBP, TIFF.
    """
    for mime, magic in _MAGIC:
        if head.startswith(magic):
            return mime
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[:2] == b"BM" and _little(head[14:18]) in _BITMAP_HEADERS:
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
    """`"wav"` or `"mp3"` from the first 12 bytes of a sound, `None` if it is neither."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    # ID3 tag, or the eleven set bits that open an MPEG frame, of layer III (bits 01).
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] and head[1] & 0xE6 == 0xE2):
        return "mp3"
    return None


def size_of_base64(text: str, start: int = 0) -> tuple[int, int] | None:
    """Width and height of a picture in base64 that begins at `start`.

    `None` where the header does not say, or the text is not base64 without line breaks.
    """

    def read(offset: int, count: int) -> bytes:
        first, last = offset // 3, -(-(offset + count) // 3)
        decoded = decoded_start(text, start + 4 * first, start + 4 * last)
        return decoded[offset - 3 * first :][:count]

    try:
        return _size(read)
    except ValueError:
        return None


def decoded_start(text: str, start: int, stop: int) -> bytes:
    """The bytes of a base64 text between two places that are whole groups of four.

    Raises:
        ValueError: It is not base64.
    """
    group = text[start:stop]
    return binascii.a2b_base64(group + "=" * (-len(group) % 4), strict_mode=True)


def _size(read: _Read) -> tuple[int, int] | None:
    mime = image_format(read(0, 18))
    size = None if mime is None else _SIZES[mime](read)
    return None if size is None or 0 in size else size


def _png(read: _Read) -> tuple[int, int] | None:
    if read(12, 4) != b"IHDR":  # the chunk that must be first
        return None
    return _big(read(16, 4)), _big(read(20, 4))


def _gif(read: _Read) -> tuple[int, int] | None:
    return _little(read(6, 2)), _little(read(8, 2))


def _bmp(read: _Read) -> tuple[int, int] | None:
    if _little(read(14, 4)) == 12:
        return _little(read(18, 2)), _little(read(20, 2))
    # A negative height means that the rows are stored from the top.
    return _little(read(18, 4)), abs(int.from_bytes(read(22, 4), "little", signed=True))


def _webp(read: _Read) -> tuple[int, int] | None:
    kind = read(12, 4)
    if kind == b"VP8 ":
        return _little(read(26, 2)) & 0x3FFF, _little(read(28, 2)) & 0x3FFF
    if kind == b"VP8L":
        bits = _little(read(21, 4))
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return _little(read(24, 3)) + 1, _little(read(27, 3)) + 1
    return None


def _tiff(read: _Read) -> tuple[int, int] | None:
    number = _little if read(0, 2) == b"II" else _big
    directory = number(read(4, 4))
    found: dict[int, int] = {}
    for index in range(number(read(directory, 2))):
        entry = read(directory + 2 + 12 * index, 12)
        tag, kind = number(entry[:2]), number(entry[2:4])
        # Tags 256 and 257 hold the size, as SHORT (type 3) or LONG (type 4). The first of a
        # file's directories counts, and its entries are in order.
        if tag in (256, 257):
            found[tag] = number(entry[8:10] if kind == 3 else entry[8:12])
        if tag >= 257 or len(entry) < 12:
            break
    return (found[256], found[257]) if len(found) == 2 else None


def _jpeg(read: _Read) -> tuple[int, int] | None:
    offset = 2
    for _ in range(_MOST_SEGMENTS):
        segment = read(offset, 9)
        if len(segment) < 9 or segment[0] != 0xFF:
            return None
        marker = segment[1]
        if marker == 0xFF:  # a fill byte
            offset += 1
        # Frame headers; C4, C8 and CC are tables and an extension.
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _big(segment[7:9]), _big(segment[5:7])
        elif marker == 0x01 or 0xD0 <= marker <= 0xD9:  # markers without a length
            offset += 2
        else:
            offset += 2 + _big(segment[2:4])
    return None


_SIZES: dict[str, Callable[[_Read], tuple[int, int] | None]] = {
    "image/bmp": _bmp,
    "image/gif": _gif,
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/tiff": _tiff,
    "image/webp": _webp,
}


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")
