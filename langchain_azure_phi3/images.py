"""Image files, bytes and PIL images as content blocks, and images reduced in size.

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
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from langchain_azure_phi3._deprecated import renamed_names
from langchain_azure_phi3._request.media_parts import image_part
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
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
_PILLOW_NEEDED = "Resizing an image needs Pillow: pip install 'langchain-azure-phi3[images]'."


def image_block(
    source: "str | os.PathLike[str] | bytes | BinaryIO | Image.Image",
    *,
    detail: Literal["auto", "low", "high"] | None = None,
    max_side: int | None = None,
) -> dict[str, Any]:
    """Create a LangChain image block with base64 data and the MIME type of its content.

    Args:
        source: A path, the bytes of a file, a file opened in binary mode, or a PIL image.
        detail: Sent to the server; Phi's servers accept and ignore it.
        max_side: Reduce the image so that neither side is longer than that, in pixels.
            Phi-3-vision uses 1,344 to 1,680 pixels of ordinary proportions; more only costs time.

    Raises:
        InvalidInputError: The data is not an image, or of a format that Phi's servers cannot
            decode.
        OSError: The file cannot be read.
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
    # Raise here, where the traceback shows which file it is.
    image_part(block)
    return block


def resize_image(data: bytes, max_side: int) -> bytes:
    """Reduce an image so that neither side is longer than `max_side` pixels.

    Proportions stay, and small images are returned unchanged. The EXIF orientation is applied,
    because servers ignore it. JPEG stays JPEG (quality 90); other formats become PNG, with the
    first frame of an animation.

    Raises:
        InvalidInputError: Pillow cannot read the image, or `max_side` is below 1.
        ImportError: Pillow is missing.
    """
    if max_side < 1:
        raise InvalidInputError(f"max_side must be at least 1 pixel, not {max_side}.")
    try:
        from PIL import Image, ImageOps
    except ImportError as missing:
        raise ImportError(_PILLOW_NEEDED) from missing
    try:
        with Image.open(BytesIO(data)) as image:
            if image.getexif().get(_ORIENTATION) not in _ROTATED and max(image.size) <= max_side:
                return data
            resized = _resize(ImageOps.exif_transpose(image), max_side)
            return _encode(resized, jpeg=image.format in _JPEG_FORMATS)
    # Pillow raises SyntaxError for a broken PNG, and its own error for one of a billion pixels.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidInputError(f"The image cannot be read: {error}.") from error


def resize_image_part(part: Json, max_side: int) -> Json:
    """A wire image part that is no longer than `max_side` pixels; one at a URL stays as it is.

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
        return _encode(source, jpeg=source.format in _JPEG_FORMATS)
    raise InvalidInputError(
        "An image must be a path, bytes, a file opened in binary mode, or a PIL image, "
        f"not {type(source).__name__}."
    )


def _read_file(path: str | os.PathLike[str]) -> bytes:
    if str(path).lower().startswith(("http:", "https:", "data:")):
        raise InvalidInputError(
            'image_block reads files. For a URL, use {"type": "image", "url": ...} as the block.'
        )
    return Path(path).read_bytes()


def _read_stream(file: Any) -> bytes:
    data = file.read()
    if isinstance(data, bytes):
        return data
    raise InvalidInputError(
        'The file is open in text mode. Open it in binary mode: open(path, "rb").'
    )


def _resize(image: "Image.Image", max_side: int) -> "Image.Image":
    # Palette images would be resized without smoothing.
    resized = image.convert("RGBA") if image.mode in ("P", "1") else image.copy()
    resized.thumbnail((max_side, max_side))
    return resized


def _encode(image: "Image.Image", *, jpeg: bool) -> bytes:
    file = BytesIO()
    if jpeg:
        image = image if image.mode in ("RGB", "L") else image.convert("RGB")
        image.save(file, "JPEG", quality=_JPEG_QUALITY)
    else:
        image = image if image.mode in _PNG_MODES else image.convert("RGB")
        image.save(file, "PNG")
    return file.getvalue()
