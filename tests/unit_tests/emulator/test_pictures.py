"""Pictures: how large, what they cost, and which model takes how many."""

import base64
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from langchain_azure_phi3.emulator.token_counts import image_tokens
from langchain_azure_phi3.emulator.images import size_in_data_url, size_of
from tests.unit_tests.emulator.conftest import Desk

VISION = "Phi-3-vision-128k-instruct"


def png(width: int, height: int) -> bytes:
    """A whole, black PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" * (1 + (width + 7) // 8)) * height)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def jpeg(width: int, height: int) -> bytes:
    """A JPEG up to its frame header: an APP0 segment, a table, a fill byte, then the frame."""
    app0 = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + b"\0" * 9
    table = b"\xff\xc4" + struct.pack(">H", 4) + b"\xff\xc0"
    frame = b"\xff\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3)
    return b"\xff\xd8" + app0 + table + frame + b"\0" * 9


def webp(kind: bytes, data: bytes) -> bytes:
    """A WEBP's container with one chunk."""
    chunk = kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def lossless(width: int, height: int) -> bytes:
    """The start of a lossless WEBP's data."""
    return b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 8


def extended(width: int, height: int) -> bytes:
    """The header of an extended WEBP."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"\0" * 4 + sides


def tiff(order: str, kind: int, tags: tuple[int, ...] = (254, 256, 257)) -> bytes:
    """The directory of a TIFF of 640 x 480, its sizes as 16 bits (3) or 32 (4)."""
    value = {254: 0, 256: 640, 257: 480}
    field = "H2x" if kind == 3 else "I"
    entries = [struct.pack(f"{order}HHI{field}", tag, kind, 1, value[tag]) for tag in tags]
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    return start + struct.pack(f"{order}H", len(entries)) + b"".join(entries)


PICTURES = {
    "tiff, 16 bits": tiff("<", 3),
    "tiff, 32 bits": tiff(">", 4),
    "png": png(640, 480),
    "jpeg": jpeg(640, 480),
    "gif": b"GIF89a" + struct.pack("<HH", 640, 480),
    "bmp": b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, 640, -480),
    "webp lossy": webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640 | 1 << 14, 480)),
    "webp lossless": webp(b"VP8L", lossless(640, 480)),
    "webp extended": webp(b"VP8X", extended(640, 480)),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_the_size_is_read_from_the_bytes(kind: str) -> None:
    """Whatever type the data URL claims."""
    data = base64.b64encode(PICTURES[kind]).decode()

    assert size_in_data_url(f"data:image/jpg;base64,{data}") == (640, 480)


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_that_ends_within_its_header_is_unreadable(kind: str) -> None:
    """Wherever it ends."""
    for length in (7, 12, 16):
        with pytest.raises(ValueError, match=r"header|identify|data URL"):
            size_of(PICTURES[kind][: min(length, 8 if kind == "gif" else length)])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cannot identify"),
        (b"hello", "cannot identify"),
        (tiff("<", 4, (254, 256)), "does not say its size"),
        (tiff("<", 4)[:20], "ends within its header"),
        (b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 40, "cannot identify"),
        (webp(b"ICCP", b"\0" * 20), "cannot identify"),
        (png(0, 480), "no size"),
        (b"\xff\xd8" + b"\0" * 20, "segments"),
    ],
)
def test_other_bytes_are_no_picture(data: bytes, words: str) -> None:
    """And the reason is told."""
    with pytest.raises(ValueError, match=words):
        size_of(data)


# Computed with the processor's own formula, microsoft/Phi-3-vision-128k-instruct.
@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (1900, 1069, 2353),
        (1069, 1900, 2353),
        (1920, 1080, 2353),
        (640, 480, 1921),
        (336, 336, 2509),
        (1, 1, 2509),
        (3000, 100, 2473),
        (100_000, 1, 2473),
    ],
)
def test_a_picture_costs_what_the_models_processor_makes_of_it(
    width: int, height: int, tokens: int
) -> None:
    """It depends on the shape more than on the size."""
    assert image_tokens(width, height) == tokens


def image(data: bytes, mime: str = "image/jpeg") -> dict[str, Any]:
    """A picture as a part of a message."""
    url = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def text(words: str) -> dict[str, Any]:
    """Text as a part of a message."""
    return {"type": "text", "text": words}


LINK = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}


def test_azures_own_picture_costs_what_azure_says(open_desk: Callable[..., Desk]) -> None:
    """2,380 tokens of prompt and 126 of answer, in the how-to of 2024-07-02."""
    question = (
        "Which peculiar conclusion about LLMs and SLMs can be extracted from the following chart?"
    )

    body = open_desk(VISION).ask([text(question), image(png(1900, 1069), "image/jpg")]).json()

    answer = body["choices"][0]["message"]["content"]
    assert answer.startswith("The chart illustrates that larger models tend to perform better")
    assert body["model"] == "Phi-3-vision-128k-Instruct"
    assert body["usage"] == {"prompt_tokens": 2380, "total_tokens": 2506, "completion_tokens": 126}


def test_the_answer_says_what_was_seen(open_desk: Callable[..., Desk]) -> None:
    """Sizes of pictures that came along; links are never followed."""
    desk = open_desk("Phi-3.5-vision-instruct")

    assert "Images: 2 (64x48, not fetched)." in desk.said([text("?"), image(png(64, 48)), LINK])


def test_a_linked_picture_costs_a_fixed_sum(open_desk: Callable[..., Desk]) -> None:
    """That of 640 by 480 pixels, since nothing is fetched."""
    desk = open_desk(VISION)

    linked, sent = (
        desk.ask([part]).json()["usage"]["prompt_tokens"] for part in (LINK, image(png(640, 480)))
    )

    assert linked == sent


def test_two_pictures_in_one_turn_are_refused(open_desk: Callable[..., Desk]) -> None:
    """By Phi-3-vision, in the engine's words."""
    response = open_desk(VISION).ask([image(png(9, 9)), LINK])

    assert response.status_code == 400
    assert response.json()["message"] == "At most 1 image(s) may be provided in one request."


def test_two_pictures_in_one_conversation_are_refused(open_desk: Callable[..., Desk]) -> None:
    """The limit is for the whole request."""
    messages = [{"role": "user", "content": [LINK]}, {"role": "user", "content": [LINK]}]

    assert open_desk(VISION).ask(messages=messages).status_code == 400


def test_a_model_without_eyes_refuses_pictures(desk: Desk) -> None:
    """With 404, says Azure's API reference."""
    response = desk.ask([LINK])

    assert response.status_code == 404
    assert response.json()["message"] == (
        "Modality not supported by the model: Phi-3-mini-4k-instruct takes no image."
    )


def test_a_model_without_ears_refuses_recordings(open_desk: Callable[..., Desk]) -> None:
    """Phi-4-multimodal takes them, whichever way they come."""
    parts = [
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "audio_url", "audio_url": {"url": "https://example.org/a.wav"}},
    ]

    assert open_desk(VISION).ask(parts).status_code == 404
    response = open_desk("Phi-4-multimodal-instruct").ask(parts)
    assert response.json()["usage"]["prompt_tokens"] == 1 + 2 + 2 * 100


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("data:image/jpg;base64,0xABCDFGHIJKLMNOPQRSTUVWXYZ...", "not base64"),
        ("data:image/png;base64,aGVsbG8=", "cannot identify image file"),
        ("data:image/png", "holds no data"),
        ("file:///etc/passwd", "must start with"),
    ],
)
def test_a_picture_that_cannot_be_read_is_a_bad_request(
    open_desk: Callable[..., Desk], url: str, words: str
) -> None:
    """The shortened data URL of Azure's REST sample among them."""
    response = open_desk(VISION).ask([{"type": "image_url", "image_url": {"url": url}}])

    assert response.status_code == 400
    assert words in response.json()["message"]
