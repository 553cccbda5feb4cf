"""Picture files, bytes and PIL images as content blocks, made small enough to send.

```python
from langchain_core.messages import HumanMessage
from PIL import Image

from langchain_azure_phi3 import image_block

chart = Image.new("RGB", (640, 480))  # or a path, or bytes
message = HumanMessage([{"type": "text", "text": "What is this?"}, image_block(chart)])
print(message.content_blocks[1]["mime_type"])
```

Pillow is needed for `max_side` and for PIL images only: the extra `images` brings it.
"""

import base64
import os
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from langchain_azure_phi3._request.media_parts import image_part
from langchain_azure_phi3._request.media_sniffing import image_format
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["image_block", "resize_image_part", "scaled"]


_JPEG_QUALITY = 90
_JPEG_FORMATS = ("JPEG", "MPO")
_ORIENTATION = 0x0112
"""The EXIF tag of how the camera was held."""
_TURNED = range(2, 9)  # 1 is upright, and 0, which some cameras write, says nothing
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
_PILLOW_NEEDED = "Pillow is needed to change a picture: pip install 'langchain-azure-phi3[images]'."


def image_block(
    source: "str | os.PathLike[str] | bytes | BinaryIO | Image.Image",
    *,
    detail: Literal["auto", "low", "high"] | None = None,
    max_side: int | None = None,
) -> dict[str, Any]:
    """A picture as a LangChain standard image block with base64 and its true MIME type.

    Args:
        source: A path, the bytes of a file, a file open for reading bytes, or a PIL image.
        detail: Passed on to the server; Phi's servers take it and ignore it.
        max_side: Scale down so that neither side has more pixels than that. Phi-3-vision works
            on 1,344 to 1,680 pixels for ordinary proportions, so more is sent for nothing.

    Raises:
        InvalidInputError: It is no picture, or of a format that Phi's servers cannot decode.
        OSError: The file cannot be read.
        ImportError: Pillow is needed and missing.
    """
    data = _bytes_of(source)
    if max_side is not None:
        data = scaled(data, max_side)
    block: dict[str, Any] = {
        "type": "image",
        "base64": base64.b64encode(data).decode("ascii"),
        "mime_type": image_format(data[:18]),
    }
    if detail is not None:
        block["extras"] = {"detail": detail}
    # Refused here, where the traceback still shows which file it was.
    image_part(block)
    return block


def scaled(data: bytes, max_side: int) -> bytes:
    """A picture with neither side longer than `max_side` pixels, in its proportions.

    Never enlarged; the very same bytes where nothing is to be done. A camera's orientation mark
    is carried out, because the server does not look at it. JPEG stays JPEG (quality 90),
    anything else becomes PNG, of an animation the first picture.

    Raises:
        InvalidInputError: It is no picture that Pillow can read, or `max_side` is below 1.
        ImportError: Pillow is missing.
    """
    if max_side < 1:
        raise InvalidInputError(f"max_side is a number of pixels from 1 on, not {max_side}.")
    try:
        from PIL import Image, ImageOps
    except ImportError as missing:
        raise ImportError(_PILLOW_NEEDED) from missing
    try:
        with Image.open(BytesIO(data)) as image:
            if image.getexif().get(_ORIENTATION) not in _TURNED and max(image.size) <= max_side:
                return data
            fitted = _fitted(ImageOps.exif_transpose(image), max_side)
            return _encoded(fitted, jpeg=image.format in _JPEG_FORMATS)
    # Pillow raises SyntaxError for a broken PNG, and its own error for one of a billion pixels.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as broken:
        raise InvalidInputError(f"The picture cannot be read: {broken}") from broken


def resize_image_part(part: Json, max_side: int) -> Json:
    """A wire image part that is no longer than `max_side` pixels; one at a URL stays as it is.

    Raises:
        InvalidInputError: Pillow cannot read the image.
        ImportError: Pillow is missing.
    """
    image = part["image_url"]
    if not image["url"].startswith("data:"):
        return part
    data = base64.b64decode(image["url"].partition(",")[2])
    resized = scaled(data, max_side)
    if resized is data:
        return part
    url = f"data:{image_format(resized[:18])};base64,{base64.b64encode(resized).decode('ascii')}"
    return {**part, "image_url": {**image, "url": url}}


def _bytes_of(source: Any) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, str | os.PathLike):
        return _file_bytes(source)
    if hasattr(source, "read"):
        return _read(source)
    # Whoever holds a PIL image has imported its module.
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(source, pillow.Image):
        return _encoded(source, jpeg=source.format in _JPEG_FORMATS)
    raise InvalidInputError(
        f"A picture is a path, bytes, a file opened for bytes, or a PIL image, "
        f"not {type(source).__name__}."
    )


def _file_bytes(path: str | os.PathLike[str]) -> bytes:
    if str(path).lower().startswith(("http:", "https:", "data:")):
        raise InvalidInputError(
            'A URL needs no reading: use {"type": "image", "url": ...} as the content block.'
        )
    return Path(path).read_bytes()


def _read(file: Any) -> bytes:
    data = file.read()
    if isinstance(data, bytes):
        return data
    raise InvalidInputError('The file gives text: open it for bytes, as in open(path, "rb").')


def _fitted(image: "Image.Image", max_side: int) -> "Image.Image":
    # A palette cannot be averaged; it would be scaled without smoothing.
    fitted = image.convert("RGBA") if image.mode in ("P", "1") else image.copy()
    fitted.thumbnail((max_side, max_side))
    return fitted


def _encoded(image: "Image.Image", *, jpeg: bool) -> bytes:
    file = BytesIO()
    if jpeg:
        picture = image if image.mode in ("RGB", "L") else image.convert("RGB")
        picture.save(file, "JPEG", quality=_JPEG_QUALITY)
    else:
        picture = image if image.mode in _PNG_MODES else image.convert("RGB")
        picture.save(file, "PNG")
    return file.getvalue()
