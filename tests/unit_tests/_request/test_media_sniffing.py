"""Formats and sizes from the first bytes."""

from io import BytesIO
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from langchain_azure_phi3._request.media_sniffing import (
    audio_format,
    image_format,
    size_of_base64,
)
from tests.unit_tests import pictures
from tests.unit_tests.pictures import text_of

W, H = 640, 427
PICTURES = {
    "png": ("image/png", pictures.png_of(W, H)),
    "gif": ("image/gif", pictures.gif_of(W, H)),
    "bmp": ("image/bmp", pictures.bmp_of(W, H)),
    "bmp from the top": ("image/bmp", pictures.bmp_of(W, -H)),
    "bmp of OS/2": ("image/bmp", pictures.old_bmp_of(W, H)),
    "jpeg": ("image/jpeg", pictures.jpeg_of(W, H)),
    "jpeg behind a segment": ("image/jpeg", pictures.jpeg_of(W, H, before=bytes(60_000))),
    "webp lossy": ("image/webp", pictures.webp_of(b"VP8 ", W, H)),
    "webp lossless": ("image/webp", pictures.webp_of(b"VP8L", W, H)),
    "webp extended": ("image/webp", pictures.webp_of(b"VP8X", W, H)),
    "tiff, long": ("image/tiff", pictures.tiff_of(W, H)),
    "tiff, short": ("image/tiff", pictures.tiff_of(W, H, kind=3)),
    "tiff, big end first": ("image/tiff", pictures.tiff_of(W, H, ">")),
    "tiff, big end first, short": ("image/tiff", pictures.tiff_of(W, H, ">", kind=3)),
}


@pytest.mark.parametrize(("mime", "data"), PICTURES.values(), ids=PICTURES)
def test_format_and_size_are_read_from_the_header(mime: str, data: bytes) -> None:
    """Of the base64 only what is looked at is decoded."""
    assert image_format(data[:18]) == mime
    assert size_of_base64("data:," + text_of(data), 6) == (W, H)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"progressive": True, "dpi": (300, 300), "comment": b"x" * 500}),
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 50}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_deflate"}),
    ],
)
def test_the_size_of_a_real_file_is_what_pillow_wrote(kind: str, options: dict[str, Any]) -> None:
    """Pillow as the judge of our reading."""
    file = BytesIO()
    Image.effect_noise((W, H), 40).convert("RGB").save(file, kind, **options)

    assert size_of_base64(text_of(file.getvalue())) == (W, H)


NO_SIZE = {
    "empty": b"",
    "text": b"BM is how this text begins, and it is no bitmap",
    "png cut short": pictures.png_of(W, H)[:16],
    "png of nothing": pictures.png_of(0, H),
    "jpeg cut short": pictures.jpeg_of(W, H)[:12],
    "jpeg without a frame": b"\xff\xd8\xff\xe0\x00\x02" + bytes(40),
    "jpeg of endless fill": b"\xff\xd8" + b"\xff" * 9_000,
    "jpeg of empty segments": b"\xff\xd8" + b"\xff\xd0" * 9_000,
    "webp of another kind": pictures.webp_of(b"ANIM", W, H),
    "tiff without entries": b"II*\x00\x08\x00\x00\x00\x00\x00" + bytes(8),
    "tiff that ends early": pictures.tiff_of(W, H)[:24],
    "tiff without a width": pictures.tiff_of(W, H).replace(b"\x00\x01\x04", b"\xfe\x00\x04"),
}


@pytest.mark.parametrize("data", NO_SIZE.values(), ids=NO_SIZE)
def test_a_broken_header_has_no_size(data: bytes) -> None:
    """None, and no exception."""
    assert size_of_base64(text_of(data)) is None


@given(
    head=st.sampled_from([data for _, data in PICTURES.values()]),
    cut=st.integers(0, 80),
    rest=st.binary(max_size=200),
)
def test_no_bytes_break_the_reader(head: bytes, cut: int, rest: bytes) -> None:
    """Whatever follows the magic number."""
    size = size_of_base64(text_of(head[:cut] + rest))

    assert size is None or min(size) > 0


@given(st.text(max_size=200))
def test_any_text_after_a_magic_number_has_no_size(text: str) -> None:
    """A user's URL may hold anything, and if it is base64 by chance, it names no first chunk."""
    assert size_of_base64("iVBORw0KGgo" + text) is None


def test_the_size_of_a_large_picture_is_read_in_place() -> None:
    """Ten megabytes of metadata are skipped; the best of five runs, for a busy machine."""
    segment = b"\xff\xe1\xff\xff" + bytes(65_533)
    data = b"\xff\xd8" + segment * 160 + pictures.jpeg_of(W, H)[2:]
    text = text_of(data)

    def seconds() -> float:
        start = perf_counter()
        assert size_of_base64(text) == (W, H)
        return perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.005


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (pictures.WAV, "wav"),
        (pictures.MP3, "mp3"),
        (pictures.MP3_FRAME, "mp3"),
        (b"\xff", None),
        (b"\xff\xd8\xff\xe0", None),
        (b"OggS", None),
        (b"", None),
        (b"RIFF\x24\x00\x00\x00WEBP", None),
    ],
)
def test_sounds_are_told_by_their_first_bytes(head: bytes, name: str | None) -> None:
    """WAV, MP3 with and without a tag, and nothing else."""
    assert audio_format(head) == name
