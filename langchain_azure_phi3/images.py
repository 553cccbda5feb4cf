"""Converts image files, bytes and PIL images to content blocks, and reduces their size.

```python
from langchain_core.messages import HumanMessage
from PIL import Image

from langchain_azure_phi3 import image_block

chart = Image.new("RGB", (640, 480))  # or a path, or bytes
message = HumanMessage([{"type": "text", "text": "What is this?"}, image_block(chart)])
print(message.content_blocks[1]["mime_type"])
```

Only `max_side` and PIL images need Pillow, which the extra `images` installs.
"""

import base64
import os
import re
import stat
import struct
import sys
from array import array
from io import BytesIO, UnsupportedOperation
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from langchain_azure_phi3._deprecated import renamed_names
from langchain_azure_phi3._files import explain_os_error
from langchain_azure_phi3._pasted_values import Mistake, find_mistake
from langchain_azure_phi3._request.media_parts import describe_format, image_part
from langchain_azure_phi3._request.media_sniffing import image_format
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["image_block", "resize_image", "resize_image_part"]

if not TYPE_CHECKING:
    __getattr__ = renamed_names(__name__, {"scaled": "resize_image"})

_JPEG_QUALITY = 90
_JPEG_FORMATS = ("JPEG", "MPO")
_ORIENTATION = 0x0112
"""The EXIF tag of the camera's orientation."""
_ROTATED = range(2, 9)  # 1 is upright; 0, which some cameras write, has no meaning
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
"""Pillow's names of the formats that Phi's servers decode. Pillow must not try others: it runs
Ghostscript for EPS."""
_MAX_PIXELS = 50_000_000
"""The most pixels that are decoded: about 500 MB of memory, and a photo of any common camera."""
_MAX_FILE_BYTES = 200_000_000
_NOT_PATHS = (
    Mistake(re.compile(r"^\Z"), "an empty path", "Pass the path of an image file."),
    Mistake(
        re.compile(r"^(?:https?|data):", re.IGNORECASE),
        "a URL",
        'Use {"type": "image", "url": ...} as the block.',
    ),
    Mistake(re.compile("^file:", re.IGNORECASE), "a URL", "Pass the path without file://."),
    Mistake(
        re.compile("^[a-z][a-z0-9+.-]+:/", re.IGNORECASE),  # one letter is a drive of Windows
        "a URL that servers do not fetch either: they fetch http(s) URLs",
        "Download the image, and pass its path or bytes.",
    ),
    Mistake(
        re.compile("^.{2000}", re.DOTALL),
        "a text that is too long for a path",
        'For base64, use {"type": "image", "base64": ..., "mime_type": "image/png"} as the block.',
    ),
    Mistake(
        re.compile("\0"),
        "a text that contains a null character",
        "Pass the contents of a file as bytes.",
    ),
)
_PILLOW_NEEDED = "Resizing an image needs Pillow: pip install 'langchain-azure-phi3[images]'."


def image_block(
    source: "str | os.PathLike[str] | bytes | BinaryIO | Image.Image",
    *,
    detail: Literal["auto", "low", "high"] | None = None,
    max_side: int | None = None,
) -> dict[str, Any]:
    """Create a LangChain image block with base64 data and the MIME type of its content.

    Args:
        source: A path (`~` is the home directory), the bytes of a file, a file opened in binary
            mode, or a PIL image. A PIL image is rotated according to its EXIF orientation, and
            images of 16 or 32 bits per pixel and channel are scaled to 8 bits.
        detail: Sent to the server; Phi's servers accept and ignore it.
        max_side: Reduce the image so that neither side is longer than this, in pixels. For images
            of ordinary proportions, Phi-3-vision uses 1,344 to 1,680 pixels; more only costs time.

    Raises:
        InvalidInputError: The path is not a regular file, or has more than 200 MB; or the data is
            not an image, or of a format that Phi's servers cannot decode, or has too many pixels
            to be decoded.
        OSError: The file cannot be read. The message names the path; the type is Python's own, such
            as `FileNotFoundError`.
        ImportError: Pillow is needed and missing.
    """
    data = _read_source(source)
    if max_side is not None:
        data = resize_image(data, max_side)
    block: dict[str, Any] = {
        "type": "image",
        "base64": base64.b64encode(data).decode("ascii"),
        "mime_type": image_format(data[:18]),
    }
    if detail is not None:
        block["extras"] = {"detail": detail}
    # Raise here, so that the traceback shows which file it is.
    image_part(block)
    return block


def resize_image(data: bytes, max_side: int) -> bytes:
    """Reduce an image so that neither side is longer than `max_side` pixels.

    Proportions are kept, and small images are returned unchanged. The EXIF orientation is applied,
    because servers ignore it, and gray images of more than 8 bits are scaled to 8 bits. JPEG stays
    JPEG (quality 90); other formats become PNG, with the first frame of an animation.

    Raises:
        InvalidInputError: The format is not one that Phi's servers decode, Pillow cannot read the
            image, it has more than 50 million pixels, or `max_side` is below 1.
        ImportError: Pillow is missing.
    """
    if max_side < 1:
        raise InvalidInputError(f"max_side must be at least 1 pixel, not {max_side}.")
    try:
        from PIL import Image, ImageOps
    except ImportError as missing:
        raise ImportError(_PILLOW_NEEDED) from missing
    if image_format(data[:18]) is None:
        raise InvalidInputError(f"The image cannot be read: it is {describe_format(data[:64])}.")
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:  # reads the header only
            _check_pixels(image)  # first, because Pillow decodes a PNG to find its EXIF data
            is_rotated = image.getexif().get(_ORIENTATION) in _ROTATED
            if not (is_rotated or _has_many_bits(image)) and max(image.size) <= max_side:
                return data
            # Resized first: Pillow then decodes a JPEG at a fraction of its size.
            resized = ImageOps.exif_transpose(_resize(image, max_side))
            return _encode(resized, jpeg=image.format in _JPEG_FORMATS)
    except InvalidInputError:
        raise
    except _unreadable() as error:
        raise InvalidInputError(f"The image cannot be read: {error}.") from error


def resize_image_part(part: Json, max_side: int) -> Json:
    """Resize a wire image part to at most `max_side` pixels per side; URLs are unchanged.

    Raises:
        InvalidInputError: Pillow cannot read the image.
        ImportError: Pillow is missing.
    """
    if part["type"] != "image_url" or not part["image_url"]["url"].startswith("data:"):
        return part
    image = part["image_url"]
    data = base64.b64decode(image["url"].partition(",")[2])
    resized = resize_image(data, max_side)
    if resized is data:
        return part
    url = f"data:{image_format(resized[:18])};base64,{base64.b64encode(resized).decode('ascii')}"
    return {**part, "image_url": {**image, "url": url}}


def _read_source(source: Any) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | os.PathLike):
        return _read_file(source)
    if hasattr(source, "read"):
        return _read_stream(source)
    # A PIL image exists only if its module is imported.
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(source, pillow.Image):
        return _read_pil_image(source)
    raise InvalidInputError(
        "An image must be a path, bytes, a file opened in binary mode, or a PIL image, "
        f"not {type(source).__name__}."
    )


def _read_pil_image(image: "Image.Image") -> bytes:
    from PIL import ImageOps

    _check_pixels(image)
    try:
        return _encode(ImageOps.exif_transpose(image), jpeg=image.format in _JPEG_FORMATS)
    except _unreadable() as error:  # the file may not be decoded yet
        raise InvalidInputError(f"The image cannot be read: {error}.") from error


def _unreadable() -> tuple[type[Exception], ...]:
    """Return Pillow's errors: SyntaxError for a broken PNG, its own for a billion pixels."""
    from PIL import Image

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    return (OSError, ValueError, SyntaxError, struct.error, *bombs)


def _read_file(path: str | os.PathLike[str]) -> bytes:
    _check_path(str(path))
    path = Path(os.path.expanduser(path))
    try:
        return _read_regular_file(path)
    except OSError as error:
        raise explain_os_error(error, "The image", path) from error


def _check_path(path: str) -> None:
    mistake = find_mistake(path, _NOT_PATHS)
    if mistake is not None:
        raise InvalidInputError(
            f"image_block reads files, and this is {mistake.description}. {mistake.remedy}"
        )


def _read_regular_file(path: Path) -> bytes:
    # Reading a pipe or a device may never end.
    if not stat.S_ISREG(path.stat().st_mode):
        raise InvalidInputError(
            f"{str(path)!r} is not a regular file, but a directory, a pipe, or a device. "
            "image_block reads image files."
        )
    data = b""
    with open(path, "rb", opener=_open_without_waiting) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= _MAX_FILE_BYTES:
            data = file.read(_MAX_FILE_BYTES + 1) or b""  # the file may be growing
    if max(size, len(data)) > _MAX_FILE_BYTES:
        raise InvalidInputError(
            f"{str(path)!r} has more than {_MAX_FILE_BYTES:,} bytes. Reduce the image first."
        )
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    """Open files such as `/proc/kmsg`, which are regular but block until there are events."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no such flag


def _read_stream(file: Any) -> bytes:
    _refuse_device(file)
    data = file.read()
    if isinstance(data, bytes):
        return data
    raise InvalidInputError(
        'The file is open in text mode. Open it in binary mode: open(path, "rb").'
    )


def _refuse_device(file: Any) -> None:
    """Reject files without an end, such as `/dev/zero`."""
    try:
        mode = os.fstat(file.fileno()).st_mode
    except (AttributeError, UnsupportedOperation, OSError, TypeError):
        return  # in memory
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise InvalidInputError("The file is a device. image_block reads image files.")


def _check_pixels(image: "Image.Image") -> None:
    width, height = image.size
    if width * height > _MAX_PIXELS:
        raise InvalidInputError(
            f"The image has {width:,} x {height:,} pixels. Images of more than {_MAX_PIXELS:,} "
            "pixels are not decoded; reduce it first."
        )


def _has_many_bits(image: "Image.Image") -> bool:
    """Whether it is a gray image of 16 or 32 bits, which servers clip to white or reject."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def _to_8_bits(image: "Image.Image") -> "Image.Image":
    """Convert a gray image of 16 or 32 bits to 8 bits.

    Values of 16 bits are scaled by their full range; integers and floats of 32 bits by the smallest
    usual range that includes them (0 to 1, 255 or 65,535), or else by their own range.
    """
    is_16_bit = image.mode.startswith("I;")
    gray = image.convert("I") if is_16_bit else image
    if image.mode == "F":
        gray = _without_infinities(image)
    low, high = (float(value) for value in gray.getextrema())  # type: ignore[arg-type]
    if is_16_bit:
        low, high = 0.0, 65_535.0
    elif low >= 0:
        ranges = (1.0, 255.0, 65_535.0) if image.mode == "F" else (255.0, 65_535.0)
        low, high = 0.0, next((limit for limit in ranges if high <= limit), high)
    scale = 255 / (high - low) if high > low else 1.0
    floats = gray.convert("F")
    return floats.point(lambda value: value * scale + (0.5 - low * scale)).convert("L")


def _without_infinities(image: "Image.Image") -> "Image.Image":
    """Replace NaN and infinities, which depth maps contain, by 0 in an image of floats."""
    from PIL import Image

    low, high = image.getextrema()
    if isfinite(low) and isfinite(high):  # type: ignore[arg-type]
        return image
    values = array("f", image.tobytes())
    finite = array("f", (value if isfinite(value) else 0.0 for value in values))
    return Image.frombytes("F", image.size, finite.tobytes())


def _resize(image: "Image.Image", max_side: int) -> "Image.Image":
    if _has_many_bits(image):
        image = _to_8_bits(image)
    elif image.mode in ("P", "1"):  # would be resized without smoothing
        image = image.convert("RGBA")
    image.thumbnail((max_side, max_side))
    return image


def _encode(image: "Image.Image", *, jpeg: bool) -> bytes:
    file = BytesIO()
    if _has_many_bits(image):
        image = _to_8_bits(image)
    if jpeg:
        image = image if image.mode in ("RGB", "L") else image.convert("RGB")
        image.save(file, "JPEG", quality=_JPEG_QUALITY)
    else:
        image = image if image.mode in _PNG_MODES else image.convert("RGB")
        image.save(file, "PNG")
    return file.getvalue()
