"""Formats from the first bytes."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from langchain_azure_phi3._request.media_sniffing import (
    audio_format,
    decoded_start,
    image_format,
)
from tests.unit_tests import images


def test_real_image_files_are_recognized() -> None:
    """The six formats that Phi's servers decode, as Pillow writes them."""
    for name in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"):
        file = BytesIO()
        Image.new("RGB", (64, 43)).save(file, name)
        assert image_format(file.getvalue()[:18]) == f"image/{name.lower()}"


def test_rarer_variants_are_recognized() -> None:
    """A BMP as OS/2 wrote it, all forms of WEBP, and TIFF in both byte orders."""
    variants = {
        "image/bmp": [images.old_bmp_of(6, 4), images.bmp_of(6, -4)],
        "image/webp": [images.webp_of(form, 6, 4) for form in (b"VP8 ", b"VP8L", b"VP8X")],
        "image/tiff": [images.tiff_of(6, 4), images.tiff_of(6, 4, ">")],
    }

    for mime, files in variants.items():
        assert [image_format(data[:18]) for data in files] == [mime] * len(files)


def test_other_content_is_not_an_image() -> None:
    """Also where it starts with the two letters of a BMP."""
    for data in (b"", b"BM is how this text begins, without a bitmap", b"%PDF-1.7", images.WAV):
        assert image_format(data[:18]) is None


def test_audio_is_recognized_by_its_first_bytes() -> None:
    """WAV, and MP3 with and without a tag."""
    assert audio_format(images.WAV) == "wav"
    assert [audio_format(head) for head in (images.MP3, images.MP3_FRAME)] == ["mp3", "mp3"]
    for head in (b"\xff", b"\xff\xd8\xff\xe0", b"OggS", b"", b"RIFF\x24\x00\x00\x00WEBP"):
        assert audio_format(head) is None


def test_a_part_of_base64_is_decoded() -> None:
    """Padded where the text ends; anything else than base64 is an error."""
    assert decoded_start("data:,UGhpIQ", 6, 10) == b"Phi"
    assert decoded_start("data:,UGhpIQ", 6, 30) == b"Phi!"
    with pytest.raises(ValueError, match=r"(?i)base64|padding"):
        decoded_start("data:,a-_.", 6, 10)


@given(st.binary(max_size=40))
def test_no_bytes_break_the_sniffing(head: bytes) -> None:
    """Whatever follows a magic number."""
    for magic in (b"", b"RIFF", b"BM", b"\xff", b"ID3"):
        assert str(image_format(magic + head)).startswith(("None", "image/"))
        assert audio_format(magic + head) in (None, "wav", "mp3")
