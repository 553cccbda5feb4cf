"""How large a picture is, read from the first bytes of a PNG, JPEG, GIF, BMP, WEBP or TIFF."""

import base64
import binascii
import struct
from collections.abc import Callable, Mapping

Size = tuple[int, int]


def size_in_data_url(url: str) -> Size:
    """Width and height in pixels of the picture in a `data:` URL.

    The type that the URL names is ignored, as the servers do.

    Raises:
        ValueError: Not base64, or no picture of a known kind.
    """
    _, comma, data = url.partition(",")
    if comma == "":
        raise ValueError("the data URL holds no data")
    try:
        return size_of(base64.b64decode(data, validate=True))
    except binascii.Error as error:
        raise ValueError("the data URL is not base64") from error


def size_of(data: bytes) -> Size:
    """Width and height in pixels.

    Raises:
        ValueError: No picture of a known kind, or one that is cut off in its header.
    """
    for magic, read in _READERS.items():
        if data.startswith(magic):
            try:
                width, height = read(data)
            except (struct.error, IndexError) as error:
                raise ValueError("the picture ends within its header") from error
            if width < 1 or height < 1:
                raise ValueError("the picture has no size")
            return width, height
    raise ValueError("cannot identify image file")


def _png(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> Size:
    width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # negative when its rows run from top to bottom


# Frame headers are C0 to CF, but for the tables C4, C8 and CC (ITU T.81, table B.1).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _jpeg(data: bytes) -> Size:
    at = 2
    while data[at + 1] not in _JPEG_FRAMES:
        if data[at] != 0xFF:
            raise ValueError("the JPEG's segments do not follow each other")
        # Any number of FF may come before a marker.
        at += 1 if data[at + 1] == 0xFF else 2 + struct.unpack_from(">H", data, at + 2)[0]
    height, width = struct.unpack_from(">HH", data, at + 5)
    return width, height


def _webp_lossy(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF  # the upper two bits scale the display


def _webp_lossless(data: bytes) -> Size:
    bits = struct.unpack_from("<I", data, 21)[0]
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _webp_extended(data: bytes) -> Size:
    width = int.from_bytes(data[24:27], "little") + 1
    height = int.from_bytes(data[27:30], "little") + 1
    return width, height


_WEBP: Mapping[bytes, Callable[[bytes], Size]] = {
    b"VP8 ": _webp_lossy,
    b"VP8L": _webp_lossless,
    b"VP8X": _webp_extended,
}


def _riff(data: bytes) -> Size:
    read = _WEBP.get(data[12:16])
    if data[8:12] != b"WEBP" or read is None or len(data) < 30:
        raise ValueError("cannot identify image file")
    return read(data)


def _tiff(data: bytes) -> Size:
    order = "<" if data.startswith(b"II") else ">"
    directory = struct.unpack_from(f"{order}I", data, 4)[0]
    sides: dict[int, int] = {}
    for index in range(struct.unpack_from(f"{order}H", data, directory)[0]):
        entry = directory + 2 + 12 * index
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        # Width is tag 256 and height 257, as 16 bits (kind 3) or 32 (TIFF 6.0, section 2).
        if tag in (256, 257):
            size = "H" if kind == 3 else "I"
            sides[tag] = struct.unpack_from(order + size, data, entry + 8)[0]
    if len(sides) < 2:
        raise ValueError("the TIFF does not say its size")
    return sides[256], sides[257]


_READERS: Mapping[bytes, Callable[[bytes], Size]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8": _jpeg,
    b"GIF8": _gif,
    b"BM": _bmp,
    b"RIFF": _riff,
    b"II*\x00": _tiff,
    b"MM\x00*": _tiff,
}
