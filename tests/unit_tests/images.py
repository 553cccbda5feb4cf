"""Headers of image and audio files, as small as the formats allow."""

import base64
from struct import pack

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"
MP3 = b"ID3\x04\x00\x00\x00\x00\x00\x00"
MP3_FRAME = b"\xff\xfb\x90\x00" + bytes(8)


def png_of(width: int, height: int) -> bytes:
    """The signature and header chunk of a PNG."""
    return (
        b"\x89PNG\r\n\x1a\n" + pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\x00\x00\x00"
    )


def gif_of(width: int, height: int) -> bytes:
    """The screen descriptor of a GIF."""
    return b"GIF89a" + pack("<HH", width, height) + bytes(12)


def bmp_of(width: int, height: int) -> bytes:
    """The two headers of a BMP."""
    return b"BM" + pack("<IHHIIii", 54, 0, 0, 54, 40, width, height) + bytes(28)


def old_bmp_of(width: int, height: int) -> bytes:
    """A BMP with the short header of OS/2."""
    return b"BM" + pack("<IHHIIHH", 26, 0, 0, 26, 12, width, height) + bytes(4)


def jpeg_of(width: int, height: int, before: bytes = b"") -> bytes:
    """A JPEG up to its frame header, with an application segment before it."""
    app = b"\xff\xe0" + pack(">H", 2 + len(before)) + before
    frame = b"\xff\xc2" + pack(">HBHH", 17, 8, height, width) + bytes(10)
    return b"\xff\xd8" + app + b"\xff" + frame


def webp_of(fourcc: bytes, width: int, height: int) -> bytes:
    """A WEBP of one of its three types: lossy, lossless, extended."""
    head = {
        b"VP8 ": bytes(4) + b"\x00\x00\x00\x9d\x01\x2a" + pack("<HH", width, height),
        b"VP8L": bytes(4) + b"\x2f" + pack("<I", (height - 1) << 14 | (width - 1)),
        b"VP8X": bytes(8) + pack("<I", width - 1)[:3] + pack("<I", height - 1)[:3],
    }
    return b"RIFF" + bytes(4) + b"WEBP" + fourcc + head.get(fourcc, b"") + bytes(8)


def tiff_of(width: int, height: int, order: str = "<", side_type: int = 4) -> bytes:
    """A TIFF of either byte order, its size as SHORT (3) or LONG (4)."""
    value = "H2x" if side_type == 3 else "I"
    entries = [
        pack(f"{order}HHI{value}", tag, side_type, 1, side)
        for tag, side in ((254, 0), (256, width), (257, height))
    ]
    magic = {"<": b"II", ">": b"MM"}[order] + pack(f"{order}HI", 42, 8)
    return magic + pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)


def base64_of(data: bytes) -> str:
    """The data in base64."""
    return base64.b64encode(data).decode("ascii")


def data_url(data: bytes, mime: str = "image/bmp") -> str:
    """A data URL that declares this type, whatever the data is."""
    return f"data:{mime};base64,{base64_of(data)}"
