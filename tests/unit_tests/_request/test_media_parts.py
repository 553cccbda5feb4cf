"""Images and audio in every form that users have become wire parts, or clear errors."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3._request.media_parts import audio_part, image_part, media_part
from langchain_azure_phi3.errors import InvalidInputError
from tests.unit_tests.images import (
    MP3,
    MP3_FRAME,
    WAV,
    base64_of,
    bmp_of,
    data_url,
    jpeg_of,
    png_of,
    tiff_of,
    webp_of,
)

Json = dict[str, Any]

PNG = png_of(3, 2)
URL = "https://example.com/chart.png"


def wire_image(url: str, **fields: Any) -> Json:
    """An image of the wire."""
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def wire_audio(data: bytes, audio_format: str) -> Json:
    """Inline audio of the wire."""
    return {"type": "input_audio", "input_audio": {"data": base64_of(data), "format": audio_format}}


REFUSED_IMAGES: dict[str, tuple[Json, str]] = {
    "nothing": ({"type": "image"}, "contains no image"),
    "nothing, openai": ({"type": "image_url", "image_url": {}}, "contains no image"),
    "a number": ({"type": "image_url", "image_url": 3}, "must be text, not int"),
    "empty": ({"type": "image", "base64": ""}, "is empty"),
    "empty bytes": ({"type": "image", "base64": b""}, "is empty"),
    "svg": ({"type": "image", "base64": base64_of(b"<svg xmlns='x'></svg>")}, "SVG"),
    "pdf": ({"type": "image", "base64": base64_of(b"%PDF-1.7")}, "a PDF"),
    "heic": ({"type": "image", "base64": base64_of(b"\0\0\0\x18ftypheic")}, "HEIC"),
    "html": ({"type": "image", "base64": base64_of(b"<!DOCTYPE html>")}, "a web page"),
    "html, bare": ({"type": "image", "base64": base64_of(b"\n<HTML><head>")}, "a web page"),
    "text": ({"type": "image", "base64": base64_of(b"just some text")}, "of an unknown format"),
    "not base64": ({"type": "image", "base64": "no way!"}, "it contains '!'"),
    "odd length": ({"type": "image", "base64": "AAAAA"}, "its length is invalid"),
    "padding inside": ({"type": "image", "base64": "AA==AAAA"}, "it contains '='"),
    "file id": ({"type": "image", "file_id": "file-1"}, "file_id cannot be resolved"),
    "file id, v0": ({"type": "image", "source_type": "id", "id": "f"}, "file_id cannot"),
    "file id, openai": ({"type": "input_image", "file_id": "f"}, "file_id cannot"),
    "path": ({"type": "image_url", "image_url": "/tmp/a.png"}, "image_block"),  # noqa: S108
    "scheme": ({"type": "image", "url": "file:///a.png"}, "image_block"),
    "data url in text": ({"type": "image", "url": "data:image/svg+xml,<svg/>"}, "data:image/png"),
    "detail": ({"type": "image_url", "image_url": {"url": URL, "detail": "medium"}}, "auto, low"),
}


def test_broken_images_are_refused_with_advice() -> None:
    """Before anything is sent."""
    for name, (block, message) in REFUSED_IMAGES.items():
        with pytest.raises(InvalidInputError, match=message):
            pytest.fail(f"{name}: {image_part(block)}")


def test_broken_audio_is_refused_with_advice() -> None:
    """Before anything is sent."""
    ogg = {"type": "audio", "base64": base64_of(b"OggS"), "mime_type": "audio/ogg"}
    refused: list[tuple[Json, str]] = [
        ({"type": "audio"}, "contains no audio"),
        ({"type": "input_audio", "input_audio": "x"}, "input_audio must be"),
        ({"type": "input_audio", "input_audio": {}}, "contains no audio"),
        ({"type": "audio", "base64": ""}, "is empty"),
        (ogg, "neither WAV"),
        ({"type": "audio_url", "audio_url": "ftp://x/a.wav"}, "cannot fetch the audio"),
        ({"type": "audio", "file_id": "f"}, "file_id cannot"),
    ]

    for block, message in refused:
        with pytest.raises(InvalidInputError, match=message):
            pytest.fail(f"{audio_part(block)}")


IMAGES: dict[str, Json] = {
    "openai": {"type": "image_url", "image_url": {"url": data_url(PNG, "image/png")}},
    "openai, short": {"type": "image_url", "image_url": data_url(PNG, "image/png")},
    "openai responses": {"type": "input_image", "image_url": data_url(PNG, "image/png")},
    "langchain v1": {"type": "image", "base64": base64_of(PNG), "mime_type": "image/png"},
    "langchain v1, no type": {"type": "image", "base64": base64_of(PNG)},
    "langchain v0": {"type": "image", "source_type": "base64", "data": base64_of(PNG)},
    "data url as a url": {"type": "image", "url": data_url(PNG, "image/png")},
    "anthropic": {"type": "image", "source": {"type": "base64", "data": base64_of(PNG)}},
    "mcp": {"type": "image", "data": base64_of(PNG), "mimeType": "image/png"},
    "file": {"type": "file", "base64": base64_of(PNG), "mime_type": "image/png"},
    "media": {"type": "media", "data": PNG, "mime_type": "image/png"},
    "bytes": {"type": "image", "base64": PNG},
    "wrong type": {"type": "image", "base64": base64_of(PNG), "mime_type": "image/jpeg"},
    "url of wrong type": {"type": "image_url", "image_url": data_url(PNG, "image/jpg")},
    "upper case": {"type": "image", "url": data_url(PNG).replace("data:", "DATA:")},
    "line breaks": {"type": "image", "base64": "\n".join(base64_of(PNG))},
    "no padding": {"type": "image", "base64": base64_of(PNG).rstrip("=")},
}


def test_every_form_of_an_image_becomes_one_part() -> None:
    """A data URL with the type that the bytes have."""
    for name, block in IMAGES.items():
        assert image_part(block) == wire_image(data_url(PNG, "image/png")), name
        assert media_part(block) == image_part(block)


def test_image_type_is_read_from_the_bytes() -> None:
    """Azure's how-to writes image/jpg, which does not exist."""
    files = {
        "image/jpeg": jpeg_of(3, 2),
        "image/bmp": bmp_of(1, 1),
        "image/tiff": tiff_of(1, 1),
        "image/webp": webp_of(b"VP8 ", 1, 1),
        "image/gif": b"GIF87a" + bytes(20),
    }

    for mime, data in files.items():
        part = image_part({"type": "image_url", "image_url": {"url": data_url(data, "image/jpg")}})
        assert part == wire_image(data_url(data, mime))


def test_image_at_a_url_is_passed_on() -> None:
    """The server fetches it, or does not; the client fetches nothing."""
    blocks: list[Json] = [
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": URL},
        {"type": "image", "url": URL},
        {"type": "image", "source_type": "url", "url": URL},
        {"type": "image", "source": {"type": "url", "url": URL}},
    ]

    assert [image_part(block) for block in blocks] == [wire_image(URL)] * len(blocks)


def test_detail_of_an_image_is_kept() -> None:
    """The servers accept and ignore it."""
    blocks: list[Json] = [
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        {"type": "input_image", "image_url": URL, "detail": "low"},
        {"type": "image", "url": URL, "extras": {"detail": "low"}},
    ]

    assert [image_part(block) for block in blocks] == [wire_image(URL, detail="low")] * 3


def test_standard_data_url_is_not_copied() -> None:
    """The same string: it may hold ten megabytes."""
    url = data_url(PNG + bytes(300), "image/png")

    part = image_part({"type": "image_url", "image_url": {"url": url}})

    assert part is not None
    assert part["image_url"]["url"] is url


def test_every_form_of_audio_becomes_one_part() -> None:
    """With the format that the bytes have."""
    blocks: list[Json] = [
        {"type": "input_audio", "input_audio": {"data": base64_of(WAV), "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": base64_of(WAV), "format": "mp3"}},
        {"type": "audio", "base64": base64_of(WAV), "mime_type": "audio/wav"},
        {"type": "audio", "base64": base64_of(WAV)},
        {"type": "audio", "source_type": "base64", "data": base64_of(WAV)},
        {"type": "file", "base64": base64_of(WAV), "mime_type": "audio/x-wav"},
        {"type": "audio", "base64": WAV},
    ]

    for block in blocks:
        assert audio_part(block) == media_part(block) == wire_audio(WAV, "wav")


def test_audio_type_counts_for_unknown_bytes() -> None:
    """An MP3 may begin with anything."""
    for data, mime in ((MP3, None), (MP3_FRAME, None), (b"?", "audio/MPEG")):
        block = {"type": "audio", "base64": base64_of(data), "mime_type": mime}
        assert audio_part(block) == wire_audio(data, "mp3")


def test_audio_at_a_url_stays_there() -> None:
    """The type of a data URL is corrected."""
    data = data_url(WAV, "x/y")
    parts: list[tuple[Json, str]] = [
        ({"type": "audio_url", "audio_url": {"url": URL}}, URL),
        ({"type": "audio", "url": URL}, URL),
        ({"type": "audio_url", "audio_url": data}, data_url(WAV, "audio/wav")),
    ]

    for block, url in parts:
        assert audio_part(block) == {"type": "audio_url", "audio_url": {"url": url}}


def test_other_blocks_are_not_media() -> None:
    """Neither images nor audio."""
    blocks: list[Json] = [
        {"type": "text", "text": "hi"},
        {},
        {"type": ["image"]},
        {"type": "file", "mime_type": "application/pdf"},
    ]

    assert [media_part(block) for block in blocks] == [None] * len(blocks)


KEYS = st.sampled_from(
    [
        "image_url",
        "input_audio",
        "audio_url",
        "url",
        "data",
        "base64",
        "source",
        "source_type",
        "detail",
        "extras",
        "format",
        "mime_type",
        "media_type",
        "mimeType",
        "file_id",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=30)
    | st.binary(max_size=40)
    | st.sampled_from(
        [
            URL,
            base64_of(PNG),
            data_url(WAV),
            data_url(PNG),
            "data:x;base64,",
            "auto",
            "base64",
            "id",
        ]
    ),
    lambda values: st.dictionaries(KEYS, values, max_size=4) | st.lists(values, max_size=2),
    max_leaves=8,
)
TYPES = st.sampled_from(
    ["image", "image_url", "input_image", "file", "media", "audio", "audio_url", "input_audio"]
)


@given(block_type=TYPES, block=st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_block_is_a_part_or_an_error(block_type: str, block: dict[str, Any]) -> None:
    """No other outcome: no other exception, and nothing half converted."""
    for convert, parts in (
        (image_part, {"image_url": "url"}),
        (audio_part, {"input_audio": "data", "audio_url": "url"}),
    ):
        try:
            part = convert({**block, "type": block_type})
        except InvalidInputError:
            continue
        if part is not None:
            assert isinstance(part[part["type"]][parts[part["type"]]], str)


@given(st.binary(max_size=100))
def test_any_bytes_are_an_image_or_an_error(data: bytes) -> None:
    """The magic number decides."""
    for content in (data, PNG[:8] + data):
        try:
            part = image_part({"type": "image", "base64": base64_of(content)})
        except InvalidInputError:
            assert not content.startswith(PNG[:8])
        else:
            assert part is not None
