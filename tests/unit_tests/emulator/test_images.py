"""Images: their sizes, their tokens, and which model accepts how many."""

import base64
import struct
import zlib
from typing import Any

from tests.unit_tests.emulator.conftest import Client, MakeClient

VISION = "Phi-3-vision-128k-instruct"
LINK = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}


def png(width: int, height: int) -> bytes:
    """A complete black PNG."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" * (1 + (width + 7) // 8)) * height)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def jpeg(width: int, height: int) -> bytes:
    """A JPEG up to its frame header: an APP0 segment, a table, a fill byte, then the frame."""
    app0 = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + b"\0" * 9
    table = b"\xff\xc4" + struct.pack(">H", 4) + b"\xff\xc0"
    frame = b"\xff\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3)
    return b"\xff\xd8" + app0 + table + frame + b"\0" * 9


def webp(name: bytes, data: bytes) -> bytes:
    """A WEBP container with one chunk."""
    chunk = name + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def tiff(order: str, field_type: int, tags: tuple[int, ...] = (254, 256, 257)) -> bytes:
    """The directory of a TIFF of 640 x 480, with sizes of 16 bits (3) or 32 (4)."""
    value = {254: 0, 256: 640, 257: 480}
    layout = f"{order}HHI" + ("H2x" if field_type == 3 else "I")
    entries = [struct.pack(layout, tag, field_type, 1, value[tag]) for tag in tags]
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    return start + struct.pack(f"{order}H", len(entries)) + b"".join(entries)


LOSSLESS = b"\x2f" + struct.pack("<I", 639 | 479 << 14) + b"\0" * 8
EXTENDED = b"\0" * 4 + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")
IMAGES = {
    "tiff, 16 bits": tiff("<", 3),
    "tiff, 32 bits": tiff(">", 4),
    "png": png(640, 480),
    "jpeg": jpeg(640, 480),
    "gif": b"GIF89a" + struct.pack("<HH", 640, 480),
    "bmp": b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, 640, -480),
    "webp lossy": webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 640 | 1 << 14, 480)),
    "webp lossless": webp(b"VP8L", LOSSLESS),
    "webp extended": webp(b"VP8X", EXTENDED),
}


def part(data: bytes, media_type: str = "image/jpeg") -> dict[str, Any]:
    """An image as a part of a message."""
    url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def text(content: str) -> dict[str, Any]:
    """Text as a part of a message."""
    return {"type": "text", "text": content}


def test_sizes_are_read_from_the_bytes(make_client: MakeClient) -> None:
    """Whatever media type the URL claims; images at URLs are not fetched."""
    client = make_client("Phi-3.5-vision-instruct")
    for name, data in IMAGES.items():
        described = client.text([text("?"), part(data), LINK])
        assert "Images: 2 (640x480, not fetched)." in described, name


def test_incomplete_images_are_rejected(make_client: MakeClient) -> None:
    """Wherever they end."""
    client = make_client(VISION)
    for name, data in IMAGES.items():
        for length in (7, 8) if name == "gif" else (7, 12, 16):
            response = client.post([part(data[:length])])
            assert response.status_code == 400, name
            assert response.json()["message"].startswith("Invalid image: ")


def test_other_bytes_are_rejected(make_client: MakeClient) -> None:
    """With the reason; the shortened data URL of Azure's REST sample is among them."""
    client = make_client(VISION)
    for data, message in (
        (b"hello", "cannot identify"),
        (tiff("<", 4, (254, 256)), "has no size"),
        (tiff("<", 4)[:20], "header is incomplete"),
        (b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 40, "cannot identify"),
        (webp(b"ICCP", b"\0" * 20), "cannot identify"),
        (png(0, 480), "no pixels"),
        (b"\xff\xd8" + b"\0" * 20, "segments"),
    ):
        assert message in client.post([part(data)]).json()["message"]
    for url, message in (
        ("data:image/jpg;base64,0xABCDFGHIJKLMNOPQRSTUVWXYZ...", "not base64"),
        ("data:image/png", "has no data"),
        ("file:///etc/passwd", "must start with"),
    ):
        response = client.post([{"type": "image_url", "image_url": {"url": url}}])
        assert response.status_code == 400
        assert message in response.json()["message"]


def test_images_take_the_processors_tokens(make_client: MakeClient) -> None:
    """Computed with the formula of microsoft/Phi-3-vision-128k-instruct."""
    client = make_client(VISION)
    for width, height, tokens in (
        (1900, 1069, 2353),
        (1069, 1900, 2353),
        (1920, 1080, 2353),
        (640, 480, 1921),
        (336, 336, 2509),
        (1, 1, 2509),
        (3000, 100, 2473),
        (100_000, 1, 2473),
    ):
        usage = client.post([part(png(width, height))]).json()["usage"]
        assert usage["prompt_tokens"] == tokens + 3 + 4
    linked, sent = (client.post([image]).json()["usage"] for image in (LINK, part(png(640, 480))))
    assert linked["prompt_tokens"] == sent["prompt_tokens"]


def test_azures_image_sample_has_azures_counts(make_client: MakeClient) -> None:
    """2,380 tokens of prompt and 126 of answer, in the how-to of 2024-07-02."""
    question = (
        "Which peculiar conclusion about LLMs and SLMs can be extracted from the following chart?"
    )
    content = [text(question), part(png(1900, 1069), "image/jpg")]
    body = make_client(VISION).post(content).json()

    answer = body["choices"][0]["message"]["content"]
    assert answer.startswith("The chart illustrates that larger models tend to perform better")
    assert body["model"] == "Phi-3-vision-128k-Instruct"
    assert body["usage"] == {"prompt_tokens": 2380, "total_tokens": 2506, "completion_tokens": 126}


def test_models_limit_images_and_audio(client: Client, make_client: MakeClient) -> None:
    """One image for Phi-3-vision; a 404, says Azure's reference, for other models."""
    vision = make_client(VISION)
    for messages in (
        [{"role": "user", "content": [part(png(9, 9)), LINK]}],
        [{"role": "user", "content": [LINK]}, {"role": "user", "content": [LINK]}],
    ):
        response = vision.post(messages=messages)
        assert response.status_code == 400
        assert response.json()["message"] == "At most 1 image(s) may be provided in one request."
    response = client.post([LINK])
    assert response.status_code == 404
    assert response.json()["message"] == (
        "Modality not supported by the model: Phi-3-mini-4k-instruct takes no image."
    )
    audio = [
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "audio_url", "audio_url": {"url": "https://example.org/a.wav"}},
    ]
    assert vision.post(audio).status_code == 404
    usage = make_client("Phi-4-multimodal-instruct").post(audio).json()["usage"]
    assert usage["prompt_tokens"] == 1 + 2 + 2 * 100
