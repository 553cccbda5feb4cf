"""Pictures and sounds in every form that users have them, as wire parts or as clear refusals."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3._request.media_parts import audio_part, image_part
from langchain_azure_phi3.errors import InvalidInputError
from tests.unit_tests.pictures import (
    MP3,
    MP3_FRAME,
    WAV,
    bmp_of,
    data_url,
    jpeg_of,
    png_of,
    text_of,
    tiff_of,
    webp_of,
)

PNG, JPEG = png_of(3, 2), jpeg_of(3, 2)
URL = "https://example.com/chart.png"

BLOCKS: dict[str, dict[str, Any]] = {
    "openai": {"type": "image_url", "image_url": {"url": data_url(PNG, "image/png")}},
    "openai, short": {"type": "image_url", "image_url": data_url(PNG, "image/png")},
    "openai responses": {"type": "input_image", "image_url": data_url(PNG, "image/png")},
    "langchain v1": {"type": "image", "base64": text_of(PNG), "mime_type": "image/png"},
    "langchain v1, no type": {"type": "image", "base64": text_of(PNG)},
    "langchain v0": {"type": "image", "source_type": "base64", "data": text_of(PNG)},
    "data url as a url": {"type": "image", "url": data_url(PNG, "image/png")},
    "anthropic": {"type": "image", "source": {"type": "base64", "data": text_of(PNG)}},
    "mcp": {"type": "image", "data": text_of(PNG), "mimeType": "image/png"},
    "file": {"type": "file", "base64": text_of(PNG), "mime_type": "image/png"},
    "media": {"type": "media", "data": PNG, "mime_type": "image/png"},
    "bytes": {"type": "image", "base64": PNG},
    "wrong type": {"type": "image", "base64": text_of(PNG), "mime_type": "image/jpeg"},
    "url of wrong type": {"type": "image_url", "image_url": data_url(PNG, "image/jpg")},
    "upper case": {"type": "image", "url": data_url(PNG).replace("data:", "DATA:")},
    "line breaks": {"type": "image", "base64": "\n".join(text_of(PNG))},
    "no padding": {"type": "image", "base64": text_of(PNG).rstrip("=")},
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_every_form_of_a_picture_becomes_the_same_part(block: dict[str, Any]) -> None:
    """A data URL with the type that the bytes have."""
    assert image_part(block) == {
        "type": "image_url",
        "image_url": {"url": data_url(PNG, "image/png")},
    }


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (JPEG, "image/jpeg"),
        (bmp_of(1, 1), "image/bmp"),
        (tiff_of(1, 1), "image/tiff"),
        (webp_of(b"VP8 ", 1, 1), "image/webp"),
        (b"GIF87a" + bytes(20), "image/gif"),
    ],
)
def test_the_type_is_read_from_the_bytes(data: bytes, mime: str) -> None:
    """Azure's how-to writes image/jpg, which is none."""
    part = image_part({"type": "image_url", "image_url": {"url": data_url(data, "image/jpg")}})

    assert part == {"type": "image_url", "image_url": {"url": data_url(data, mime)}}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": URL},
        {"type": "image", "url": URL},
        {"type": "image", "source_type": "url", "url": URL},
        {"type": "image", "source": {"type": "url", "url": URL}},
    ],
)
def test_a_picture_on_the_web_is_passed_on(block: dict[str, Any]) -> None:
    """The server fetches it, or does not; nothing is fetched here."""
    assert image_part(block) == {"type": "image_url", "image_url": {"url": URL}}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        {"type": "input_image", "image_url": URL, "detail": "low"},
        {"type": "image", "url": URL, "extras": {"detail": "low"}},
    ],
)
def test_the_detail_is_kept(block: dict[str, Any]) -> None:
    """The servers take it and ignore it."""
    assert image_part(block) == {
        "type": "image_url",
        "image_url": {"url": URL, "detail": "low"},
    }


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "hi"},
        {},
        {"type": ["image"]},
        {"type": "file", "mime_type": "application/pdf"},
    ],
)
def test_a_block_about_something_else_is_left_to_others(block: dict[str, Any]) -> None:
    """None, for pictures and for sounds."""
    assert (image_part(block), audio_part(block)) == (None, None)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"type": "image"}, "holds no image"),
    "nothing, openai": ({"type": "image_url", "image_url": {}}, "holds no image"),
    "a number": ({"type": "image_url", "image_url": 3}, "must be text, not int"),
    "empty": ({"type": "image", "base64": ""}, "is empty"),
    "empty bytes": ({"type": "image", "base64": b""}, "is empty"),
    "svg": ({"type": "image", "base64": text_of(b"<svg xmlns='x'></svg>")}, "SVG"),
    "pdf": ({"type": "image", "base64": text_of(b"%PDF-1.7")}, "a PDF"),
    "heic": ({"type": "image", "base64": text_of(b"\0\0\0\x18ftypheic")}, "HEIC"),
    "html": ({"type": "image", "base64": text_of(b"<!DOCTYPE html>")}, "a web page"),
    "html, bare": ({"type": "image", "base64": text_of(b"\n<HTML><head>")}, "a web page"),
    "text": ({"type": "image", "base64": text_of(b"just some text")}, "of no known format"),
    "no base64": ({"type": "image", "base64": "no way!"}, "it contains '!'"),
    "odd length": ({"type": "image", "base64": "AAAAA"}, "its length is impossible"),
    "padding inside": ({"type": "image", "base64": "AA==AAAA"}, "it contains '='"),
    "file id": ({"type": "image", "file_id": "file-1"}, "file_id cannot be resolved"),
    "file id, v0": ({"type": "image", "source_type": "id", "id": "f"}, "file_id cannot"),
    "file id, openai": ({"type": "input_image", "file_id": "f"}, "file_id cannot"),
    "path": ({"type": "image_url", "image_url": "/tmp/a.png"}, "image_block"),  # noqa: S108
    "scheme": ({"type": "image", "url": "file:///a.png"}, "image_block"),
    "data url in text": ({"type": "image", "url": "data:image/svg+xml,<svg/>"}, "data:image/png"),
    "detail": ({"type": "image_url", "image_url": {"url": URL, "detail": "medium"}}, "auto, low"),
}


@pytest.mark.parametrize(("block", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_picture_is_refused_with_advice(block: dict[str, Any], message: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidInputError, match=message):
        image_part(block)


def test_a_clean_data_url_is_passed_on_as_it_is() -> None:
    """The very same string: ten megabytes are not copied at all."""
    url = data_url(PNG + bytes(300), "image/png")

    part = image_part({"type": "image_url", "image_url": {"url": url}})

    assert part is not None
    assert part["image_url"]["url"] is url


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
        [URL, text_of(PNG), data_url(WAV), data_url(PNG), "data:x;base64,", "auto", "base64", "id"]
    ),
    lambda values: st.dictionaries(KEYS, values, max_size=4) | st.lists(values, max_size=2),
    max_leaves=8,
)
KINDS = st.sampled_from(
    ["image", "image_url", "input_image", "file", "media", "audio", "audio_url", "input_audio"]
)


@given(kind=KINDS, block=st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_block_is_a_part_or_a_refusal(kind: str, block: dict[str, Any]) -> None:
    """No other outcome: neither another exception nor something half converted."""
    for convert, parts in (
        (image_part, {"image_url": "url"}),
        (audio_part, {"input_audio": "data", "audio_url": "url"}),
    ):
        try:
            part = convert({**block, "type": kind})
        except InvalidInputError:
            continue
        if part is not None:
            assert isinstance(part[part["type"]][parts[part["type"]]], str)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_picture_or_a_refusal(data: bytes) -> None:
    """Whether the magic number is right decides."""
    for content in (data, PNG[:8] + data):
        try:
            part = image_part({"type": "image", "base64": text_of(content)})
        except InvalidInputError:
            assert not content.startswith(PNG[:8])
        else:
            assert part is not None


@pytest.mark.parametrize(
    "block",
    [
        {"type": "input_audio", "input_audio": {"data": text_of(WAV), "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": text_of(WAV), "format": "mp3"}},
        {"type": "audio", "base64": text_of(WAV), "mime_type": "audio/wav"},
        {"type": "audio", "base64": text_of(WAV)},
        {"type": "audio", "source_type": "base64", "data": text_of(WAV)},
        {"type": "file", "base64": text_of(WAV), "mime_type": "audio/x-wav"},
        {"type": "audio", "base64": WAV},
    ],
)
def test_every_form_of_a_sound_becomes_the_same_part(block: dict[str, Any]) -> None:
    """With the format that the bytes have."""
    assert audio_part(block) == {
        "type": "input_audio",
        "input_audio": {"data": text_of(WAV), "format": "wav"},
    }


@pytest.mark.parametrize(("data", "mime"), [(MP3, None), (MP3_FRAME, None), (b"?", "audio/MPEG")])
def test_a_type_counts_where_the_bytes_tell_nothing(data: bytes, mime: str | None) -> None:
    """An MP3 may begin with anything."""
    part = audio_part({"type": "audio", "base64": text_of(data), "mime_type": mime})

    assert part == {
        "type": "input_audio",
        "input_audio": {"data": text_of(data), "format": "mp3"},
    }


@pytest.mark.parametrize(
    ("block", "url"),
    [
        ({"type": "audio_url", "audio_url": {"url": URL}}, URL),
        ({"type": "audio", "url": URL}, URL),
        ({"type": "audio_url", "audio_url": data_url(WAV, "x/y")}, data_url(WAV, "audio/wav")),
    ],
)
def test_a_sound_at_a_url_stays_there(block: dict[str, Any], url: str) -> None:
    """A data URL is set right."""
    assert audio_part(block) == {"type": "audio_url", "audio_url": {"url": url}}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "audio"}, "holds no audio"),
        ({"type": "input_audio", "input_audio": "x"}, "input_audio must be"),
        ({"type": "input_audio", "input_audio": {}}, "holds no audio"),
        ({"type": "audio", "base64": ""}, "is empty"),
        ({"type": "audio", "base64": text_of(b"OggS"), "mime_type": "audio/ogg"}, "neither WAV"),
        ({"type": "audio_url", "audio_url": "ftp://x/a.wav"}, "cannot fetch the audio"),
        ({"type": "audio", "file_id": "f"}, "file_id cannot"),
    ],
)
def test_what_is_no_sound_is_refused_with_advice(block: dict[str, Any], message: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidInputError, match=message):
        audio_part(block)
