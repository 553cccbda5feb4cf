"""Files, bytes and PIL images as content blocks."""

import base64
import contextlib
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from PIL import Image

from langchain_azure_phi3._request.media_parts import image_part
from langchain_azure_phi3._request.media_sniffing import image_format
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.images import image_block, scaled
from tests.unit_tests.pictures import text_of


def _file(size: tuple[int, int], kind: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def _size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


PNG = _file((30, 20), "PNG")
JPEG = _file((30, 20), "JPEG")


def _decoded(block: dict[str, Any]) -> bytes:
    part = image_part(block)
    assert part is not None
    return Image.open(io.BytesIO(base64.b64decode(block["base64"]))).tobytes()


@pytest.mark.parametrize("wrap", [str, Path])
def test_a_path_becomes_a_block(wrap: Any, tmp_path: Path) -> None:
    """Whatever the file is called."""
    path = tmp_path / "photo.dat"
    path.write_bytes(JPEG)

    assert image_block(wrap(path)) == {
        "type": "image",
        "base64": text_of(JPEG),
        "mime_type": "image/jpeg",
    }


def test_bytes_and_an_open_file_become_the_same_block() -> None:
    """A standard block of LangChain."""
    block = image_block(io.BytesIO(PNG))

    assert block == image_block(PNG)
    assert HumanMessage([block]).content_blocks == [block]


def test_a_pil_image_becomes_a_png() -> None:
    """Nothing of it is lost."""
    image = Image.linear_gradient("L").convert("RGB")

    block = image_block(image)

    assert block["mime_type"] == "image/png"
    assert _decoded(block) == image.tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "CMYK", "F", "I", "YCbCr"])
def test_a_pil_image_of_any_mode_becomes_a_block(mode: str) -> None:
    """PNG does not know all of them."""
    assert image_block(Image.new(mode, (4, 3)))["mime_type"] == "image/png"


def test_a_photo_opened_with_pil_stays_a_jpeg() -> None:
    """A PNG of a photo is many times the size."""
    assert image_block(Image.open(io.BytesIO(JPEG)))["mime_type"] == "image/jpeg"


def test_the_detail_reaches_the_wire() -> None:
    """By way of the block's extras."""
    part = image_part(image_block(PNG, detail="low"))

    assert part is not None
    assert part["image_url"]["detail"] == "low"


@pytest.mark.parametrize("url", ["https://example.com/a.png", "data:image/png;base64,AAAA"])
def test_a_url_is_no_file(url: str) -> None:
    """It is told how a URL is written."""
    with pytest.raises(InvalidInputError, match='"url"'):
        image_block(url)


def test_a_missing_file_is_the_file_systems_error(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(FileNotFoundError, match=r"no\.png"):
        image_block(tmp_path / "no.png")


@pytest.mark.parametrize("source", [io.StringIO("text"), 7, None])
def test_what_is_no_source_of_bytes_is_refused(source: Any) -> None:
    """Files opened for text most of all."""
    with pytest.raises(InvalidInputError, match="file"):
        image_block(source)


def test_a_file_that_is_no_picture_is_refused_at_once(tmp_path: Path) -> None:
    """Not when the model is asked, far from here."""
    path = tmp_path / "report.png"
    path.write_bytes(b"%PDF-1.7 ...")

    with pytest.raises(InvalidInputError, match="a PDF"):
        image_block(path)


@pytest.mark.parametrize(
    ("data", "mime", "size"),
    [
        (_file((300, 200), "PNG"), "image/png", (60, 40)),
        (_file((200, 300), "JPEG"), "image/jpeg", (40, 60)),
        (_file((300, 300), "JPEG", "CMYK"), "image/jpeg", (60, 60)),
        (_file((300, 300), "JPEG", "L"), "image/jpeg", (60, 60)),
        (_file((300, 200), "GIF", "P"), "image/png", (60, 40)),
        (_file((300, 200), "TIFF", "CMYK"), "image/png", (60, 40)),
        (_file((300, 200), "WEBP"), "image/png", (60, 40)),
        (_file((300, 200), "PNG", "RGBA"), "image/png", (60, 40)),
    ],
)
def test_a_large_picture_is_scaled_in_its_proportions(
    data: bytes, mime: str, size: tuple[int, int]
) -> None:
    """And stays what it was, or becomes a PNG."""
    smaller = scaled(data, 60)

    assert (image_format(smaller[:18]), _size(smaller)) == (mime, size)


def _marked(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _file((30, 20), "JPEG", exif=exif)


@pytest.mark.parametrize("data", [PNG, JPEG, _marked(0), _marked(1)])
def test_a_small_picture_is_left_alone(data: bytes) -> None:
    """The very same bytes: neither enlarged nor written anew."""
    assert scaled(data, 30) is data


def test_a_picture_is_turned_as_the_camera_was_held() -> None:
    """Even a small one, because the server does not look at the mark; and only once."""
    turned = scaled(_marked(6), 100)

    assert _size(turned) == (20, 30)
    assert scaled(turned, 100) is turned


def test_a_block_may_be_scaled_on_the_way() -> None:
    """From any source."""
    block = image_block(Image.new("RGB", (300, 200)), max_side=60)

    assert _size(base64.b64decode(block["base64"])) == (60, 40)


@pytest.mark.parametrize("data", [b"", b"text", PNG[:40], JPEG[:300], PNG[:8] + bytes(50)])
def test_what_pillow_cannot_read_is_refused(data: bytes) -> None:
    """By our own error."""
    with pytest.raises(InvalidInputError, match="cannot be read"):
        scaled(data, 5)


@given(st.binary(max_size=80), st.sampled_from([b"", PNG[:40], JPEG[:60], b"GIF89a"]))
def test_no_bytes_raise_anything_else(rest: bytes, head: bytes) -> None:
    """Bytes come from users."""
    with contextlib.suppress(InvalidInputError):
        assert isinstance(scaled(head + rest, 5), bytes)


def test_a_side_of_nothing_is_refused() -> None:
    """Nothing can be scaled to that."""
    with pytest.raises(InvalidInputError, match="from 1 on, not 0"):
        scaled(PNG, 0)


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only where Pillow is needed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)

    assert image_block(PNG)["mime_type"] == "image/png"
    with pytest.raises(InvalidInputError, match="or a PIL image"):
        image_block(7)  # type: ignore[arg-type]
    with pytest.raises(ImportError, match=r"langchain-azure-phi3\[images\]"):
        scaled(PNG, 5)
