"""Read the size of a PNG, JPEG, GIF, BMP, WEBP or TIFF image from its header."""

import base64
import binascii
import struct
from collections.abc import Callable, Mapping

Size = tuple[int, int]

# JPEG frame headers are C0 to CF, except the tables C4, C8 and CC (ITU T.81, table B.1).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_UNKNOWN = "cannot identify image file"


def data_url_size(url: str) -> Size:
    """Return width and height in pixels of an image, or raise a `ValueError`.

    Like the servers, it ignores the media type.
    """
    _, comma, data = url.partition(",")
    if comma == "":
        raise ValueError("the data URL has no data")
    try:
        return image_size(base64.b64decode(data, validate=True))
    except binascii.Error as error:
        raise ValueError("the data URL is not base64") from error


def image_size(data: bytes) -> Size:
    """Return width and height in pixels, or raise a `ValueError`."""
    for magic, read in _READERS.items():
        if data.startswith(magic):
            try:
                width, height = read(data)
            except (struct.error, IndexError) as error:
                raise ValueError("the image header is incomplete") from error
            if width < 1 or height < 1:
                raise ValueError("the image has no pixels")
            return width, height
    raise ValueError(_UNKNOWN)


def _fixed(layout: str, offset: int, mask: int = -1) -> Callable[[bytes], Size]:
    """Return a reader of two numbers at a fixed offset."""

    def read(data: bytes) -> Size:
        width, height = struct.unpack_from(layout, data, offset)
        return width & mask, abs(height) & mask  # BMP heights may be negative

    return read


def _jpeg(data: bytes) -> Size:
    offset = 2
    while data[offset + 1] not in _JPEG_FRAMES:
        if data[offset] != 0xFF:
            raise ValueError("the JPEG's segments are not contiguous")
        # Any number of FF bytes may precede a marker.
        is_fill = data[offset + 1] == 0xFF
        offset += 1 if is_fill else 2 + struct.unpack_from(">H", data, offset + 2)[0]
    height, width = struct.unpack_from(">HH", data, offset + 5)
    return width, height


def _webp_lossless(data: bytes) -> Size:
    bits = struct.unpack_from("<I", data, 21)[0]
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _webp_extended(data: bytes) -> Size:
    width, height = int.from_bytes(data[24:27], "little"), int.from_bytes(data[27:30], "little")
    return width + 1, height + 1


_WEBP: Mapping[bytes, Callable[[bytes], Size]] = {
    b"VP8 ": _fixed("<HH", 26, mask=0x3FFF),  # the upper two bits are for scaling
    b"VP8L": _webp_lossless,
    b"VP8X": _webp_extended,
}


def _webp(data: bytes) -> Size:
    read = _WEBP.get(data[12:16])
    if data[8:12] != b"WEBP" or read is None or len(data) < 30:
        raise ValueError(_UNKNOWN)
    return read(data)


def _tiff(data: bytes) -> Size:
    order = "<" if data.startswith(b"II") else ">"
    directory = struct.unpack_from(f"{order}I", data, 4)[0]
    values: dict[int, int] = {}
    for index in range(struct.unpack_from(f"{order}H", data, directory)[0]):
        entry = directory + 2 + 12 * index
        tag, field_type = struct.unpack_from(f"{order}HH", data, entry)
        # Width is tag 256 and height 257, as 16 bits (type 3) or 32 (TIFF 6.0, section 2).
        if tag in (256, 257):
            layout = order + ("H" if field_type == 3 else "I")
            values[tag] = struct.unpack_from(layout, data, entry + 8)[0]
    if len(values) < 2:
        raise ValueError("the TIFF header has no size")
    return values[256], values[257]


_READERS: Mapping[bytes, Callable[[bytes], Size]] = {
    b"\x89PNG\r\n\x1a\n": _fixed(">II", 16),
    b"\xff\xd8": _jpeg,
    b"GIF8": _fixed("<HH", 6),
    b"BM": _fixed("<ii", 18),
    b"RIFF": _webp,
    b"II*\x00": _tiff,
    b"MM\x00*": _tiff,
}
