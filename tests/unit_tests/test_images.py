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
from langchain_azure_phi3.images import image_block, resize_image
from tests.unit_tests.images import base64_of


def image_file(size: tuple[int, int], file_format: str, mode: str = "RGB", **options: Any) -> bytes:
    """A file as Pillow writes it."""
    file = io.BytesIO()
    Image.new(mode, size).save(file, file_format, **options)
    return file.getvalue()


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height, by Pillow."""
    return Image.open(io.BytesIO(data)).size


def with_orientation(orientation: int) -> bytes:
    """A JPEG with that EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return image_file((30, 20), "JPEG", exif=exif)


PNG = image_file((30, 20), "PNG")
JPEG = image_file((30, 20), "JPEG")

# -- blocks --------------------------------------------------------------------------------------


def test_paths_become_blocks(tmp_path: Path) -> None:
    """The content decides the MIME type, not the file's name."""
    path = tmp_path / "photo.dat"
    path.write_bytes(JPEG)

    for source in (str(path), path):
        assert image_block(source) == {
            "type": "image",
            "base64": base64_of(JPEG),
            "mime_type": "image/jpeg",
        }


def test_bytes_and_open_files_become_blocks() -> None:
    """Standard blocks of LangChain; `detail` is sent to the server."""
    block = image_block(io.BytesIO(PNG))
    part = image_part(image_block(PNG, detail="low"))

    assert block == image_block(PNG)
    assert HumanMessage([block]).content_blocks == [block]
    assert part is not None
    assert part["image_url"]["detail"] == "low"


def test_pil_images_become_blocks() -> None:
    """PNG without loss, of any mode; JPEG if they come from one."""
    image = Image.linear_gradient("L").convert("RGB")
    block = image_block(image)
    assert block["mime_type"] == "image/png"
    assert Image.open(io.BytesIO(base64.b64decode(block["base64"]))).tobytes() == image.tobytes()

    for mode in ("RGBA", "LA", "P", "1", "CMYK", "F", "I", "YCbCr"):
        assert image_block(Image.new(mode, (4, 3)))["mime_type"] == "image/png"
    assert image_block(Image.open(io.BytesIO(JPEG)))["mime_type"] == "image/jpeg"


def test_urls_are_refused_as_files() -> None:
    """The message shows the block for a URL."""
    for url in ("https://example.com/a.png", "data:image/png;base64,AAAA"):
        with pytest.raises(InvalidInputError, match='"url"'):
            image_block(url)


def test_other_sources_are_refused(tmp_path: Path) -> None:
    """Missing files, files in text mode, other objects, and files that are not images."""
    with pytest.raises(FileNotFoundError, match=r"no\.png"):
        image_block(tmp_path / "no.png")
    with pytest.raises(InvalidInputError, match="binary mode"):
        image_block(io.StringIO("text"))  # type: ignore[arg-type]
    for source in (7, None):
        with pytest.raises(InvalidInputError, match="or a PIL image, not"):
            image_block(source)  # type: ignore[arg-type]
    path = tmp_path / "report.png"
    path.write_bytes(b"%PDF-1.7 ...")
    with pytest.raises(InvalidInputError, match="PDF"):
        image_block(path)


# -- sizes ---------------------------------------------------------------------------------------


def test_large_images_are_resized_proportionally() -> None:
    """JPEG stays JPEG, other formats become PNG."""
    cases = (
        (image_file((300, 200), "PNG"), "image/png", (60, 40)),
        (image_file((200, 300), "JPEG"), "image/jpeg", (40, 60)),
        (image_file((300, 300), "JPEG", "CMYK"), "image/jpeg", (60, 60)),
        (image_file((300, 300), "JPEG", "L"), "image/jpeg", (60, 60)),
        (image_file((300, 200), "GIF", "P"), "image/png", (60, 40)),
        (image_file((300, 200), "TIFF", "CMYK"), "image/png", (60, 40)),
        (image_file((300, 200), "WEBP"), "image/png", (60, 40)),
        (image_file((300, 200), "PNG", "RGBA"), "image/png", (60, 40)),
    )
    for data, mime, size in cases:
        resized = resize_image(data, 60)
        assert (image_format(resized[:18]), size_of(resized)) == (mime, size)

    block = image_block(Image.new("RGB", (300, 200)), max_side=60)
    assert size_of(base64.b64decode(block["base64"])) == (60, 40)


def test_small_images_are_returned_unchanged() -> None:
    """The same bytes: neither enlarged nor encoded again."""
    for data in (PNG, JPEG, with_orientation(0), with_orientation(1)):
        assert resize_image(data, 30) is data


def test_the_orientation_is_applied_once() -> None:
    """To small images too, because the server ignores it."""
    rotated = resize_image(with_orientation(6), 100)

    assert size_of(rotated) == (20, 30)
    assert resize_image(rotated, 100) is rotated


def test_unreadable_images_are_refused() -> None:
    """With an error of this package; so is a size below one pixel."""
    for data in (b"", b"text", PNG[:40], JPEG[:300], PNG[:8] + bytes(50)):
        with pytest.raises(InvalidInputError, match="cannot be read"):
            resize_image(data, 5)
    with pytest.raises(InvalidInputError, match="at least 1 pixel, not 0"):
        resize_image(PNG, 0)


@given(st.binary(max_size=80), st.sampled_from([b"", PNG[:40], JPEG[:60], b"GIF89a"]))
def test_no_bytes_raise_other_errors(rest: bytes, head: bytes) -> None:
    """Bytes come from users."""
    with contextlib.suppress(InvalidInputError):
        assert isinstance(resize_image(head + rest, 5), bytes)


def test_a_missing_pillow_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where Pillow is needed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)

    assert image_block(PNG)["mime_type"] == "image/png"
    with pytest.raises(InvalidInputError, match="or a PIL image"):
        image_block(7)  # type: ignore[arg-type]
    with pytest.raises(ImportError, match=r"langchain-azure-phi3\[images\]"):
        resize_image(PNG, 5)
