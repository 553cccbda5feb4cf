"""Files, bytes and PIL images as content blocks."""

import base64
import contextlib
import io
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from PIL import Image, ImageFile, ImageOps

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


def decoded(block: dict[str, Any]) -> Image.Image:
    """The image of a block."""
    return Image.open(io.BytesIO(base64.b64decode(block["base64"])))


def test_pil_images_are_rotated_upright() -> None:
    """As their EXIF orientation says, in each format that holds one; the tag is not sent."""
    for file_format in ("JPEG", "PNG", "WEBP", "TIFF"):
        for orientation in range(1, 9):
            exif, photo = Image.Exif(), Image.new("RGB", (48, 32), "blue")
            exif[0x0112] = orientation
            photo.paste((255, 0, 0), (0, 0, 16, 16))  # marks the corner
            file = io.BytesIO()
            photo.save(file, file_format, exif=exif)
            expected = ImageOps.exif_transpose(Image.open(file))

            for max_side in (None, 200, 24):
                sent = decoded(image_block(Image.open(file), max_side=max_side))

                assert sent.getexif().get(0x0112, 1) == 1
                size = expected.size if max_side != 24 else tuple(s // 2 for s in expected.size)
                assert sent.size == size
                reds = [
                    [
                        image.convert("RGB").getpixel((x, y))[0] > 128  # type: ignore[index]
                        for x in (1, image.width - 2)
                        for y in (1, image.height - 2)
                    ]
                    for image in (sent, expected)
                ]
                assert reds[0] == reds[1]


def test_deep_gray_images_keep_their_shades() -> None:
    """In 8 bits: servers clip values of 16 or 32 bits to white."""
    scales: list[tuple[str, Callable[[int], float]]] = [
        ("I;16", lambda shade: shade * 257),
        ("I;16B", lambda shade: shade * 257),
        ("I", lambda shade: shade),
        ("I", lambda shade: shade * 257),
        ("I", lambda shade: (shade - 100) * 1_000_000),
        ("F", lambda shade: shade / 255),
        ("F", lambda shade: float(shade)),
        ("F", lambda shade: shade * 257.0),
        ("F", lambda shade: shade / 255 - 0.5),
    ]
    for mode, scale in scales:
        image = Image.new(mode, (256, 1))
        for shade in range(256):
            image.putpixel((shade, 0), scale(shade))

        sent = decoded(image_block(image))

        assert (sent.mode, sent.tobytes()) == ("L", bytes(range(256))), (mode, scale(255))

    file = io.BytesIO()
    Image.new("I;16", (40, 20), 32_896).save(file, "PNG")
    for max_side, size in ((100, (40, 20)), (20, (20, 10))):
        sent = decoded(image_block(file.getvalue(), max_side=max_side))
        assert (sent.mode, sent.size, sent.getpixel((3, 3))) == ("L", size, 128)


def test_missing_depths_are_black() -> None:
    """Depth maps have NaN or infinity where nothing was measured."""
    for missing in (math.nan, math.inf, -math.inf):
        image = Image.new("F", (2, 1), 0.5)
        image.putpixel((0, 0), missing)

        assert decoded(image_block(image)).tobytes() == bytes([0, 128])


def test_paths_may_begin_at_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As shells write it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "photo.png").write_bytes(PNG)

    for source in ("~/photo.png", Path("~/photo.png")):
        assert image_block(source) == image_block(PNG)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """Reading pipes and devices may never end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for source in (tmp_path, pipe, "/dev/zero", "/dev/null"):
        with pytest.raises(InvalidInputError, match="is not a regular file"):
            image_block(source)
    with open("/dev/zero", "rb") as device, pytest.raises(InvalidInputError, match="a device"):
        image_block(device)
    link = tmp_path / "link.png"
    (tmp_path / "photo.png").write_bytes(PNG)
    link.symlink_to(tmp_path / "photo.png")
    assert image_block(link) == image_block(PNG)


def test_paths_that_no_file_can_have_are_refused() -> None:
    """Python raises a ValueError for them."""
    with pytest.raises(InvalidInputError, match="contains a null character"):
        image_block("photo.png\0.txt")


@pytest.mark.skipif(not os.access("/proc/kmsg", os.R_OK), reason="needs a readable /proc/kmsg")
def test_reading_never_waits_for_events() -> None:
    """The kernel's log has the mode of a regular file, and has no end."""
    with pytest.raises(InvalidInputError):
        image_block("/proc/kmsg")


def test_files_are_read_up_to_a_limit(tmp_path: Path) -> None:
    """A sparse file of 10 GB takes no room on the disk, but would in memory."""
    with (tmp_path / "sparse.png").open("wb") as file:
        file.write(PNG)
        file.truncate(10 << 30)
    with pytest.raises(InvalidInputError, match="has more than 200,000,000 bytes"):
        image_block(file.name)


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


def test_other_formats_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would run Ghostscript for EPS."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("Pillow was asked to open it")

    monkeypatch.setattr(Image, "open", fail)
    for data, name in (
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + bytes(40), "PostScript"),
        (b"%PDF-1.7", "PDF"),
        (b"\x00\x00\x01\x00" + bytes(40), "of an unknown format"),
    ):
        with pytest.raises(InvalidInputError, match=f"cannot be read: it is .*{name}"):
            resize_image(data, 5)


@pytest.mark.filterwarnings("ignore:IM image format is deprecated:DeprecationWarning")
def test_formats_are_not_guessed_again() -> None:
    """A file that begins like a GIF may be one of Pillow's other formats, such as IM."""
    header = b"GIF89a: x\nImage type: Greyscale image\nImage size (x*y): 4*2\n"
    image = header.ljust(511, b"\0") + b"\x1a" + bytes(8)
    with Image.open(io.BytesIO(image)) as opened:
        assert opened.format == "IM"

    with pytest.raises(InvalidInputError, match="cannot be read"):
        resize_image(image, 1)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_of_too_many_pixels_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of some kilobytes may need gigabytes."""
    for size in ((7_100, 7_100), (12_000, 12_000)):
        data = image_file(size, "PNG", "1")
        monkeypatch.setattr(ImageFile.ImageFile, "load", None)
        message = rf"{size[0]:,} x {size[1]:,} pixels"
        with pytest.raises(InvalidInputError, match=message):
            resize_image(data, 100)
        with (
            Image.open(io.BytesIO(data)) as opened,
            pytest.raises(InvalidInputError, match=message),
        ):
            image_block(opened)
        monkeypatch.undo()


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
