"""Converts all forms of image and audio blocks in LangChain to wire parts.

Nothing is fetched. The format is detected from the bytes, because the MIME type of a block is often
missing or wrong (Azure's own how-to writes `image/jpg`). Valid base64 is neither decoded completely
nor copied more than once.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_azure_phi3._request.media_sniffing import audio_format, decoded_start, image_format
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

_MEDIA_TYPES = frozenset({"image", "image_url", "input_image", "audio", "audio_url", "input_audio"})
_DETAILS = ("auto", "low", "high")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
_TO_STANDARD = str.maketrans("-_", "+/", " \t\r\n\f\v")
_HEAD_CHARACTERS = 64
"""Characters of base64 that contain every magic number: 48 bytes."""

_AUDIO_BY_MIME = {
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/vnd.wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "wav": "wav",
    "mp3": "mp3",
}
_MIME_BY_AUDIO = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_MIME_KEYS = ("mime_type", "media_type", "mimeType")
_IMAGE_BLOCK_HINT = (
    "langchain_azure_phi3.images.image_block makes one of a path, bytes or a PIL image"
)


@dataclass(frozen=True, slots=True)
class _MediaSource:
    """The source of a block's image or audio: a URL, or inline base64 or bytes."""

    url: str | None = None
    data: str | bytes | None = None
    mime: str | None = None
    detail: str | None = None


def is_media_block(block: Any) -> bool:
    """Whether a content block is an image or audio, well-formed or not."""
    if not isinstance(block, Mapping):
        return False
    block_type = block.get("type")
    has_media_type = isinstance(block_type, str) and block_type in _MEDIA_TYPES
    return has_media_type or _is_file_of_type(block, "image/") or _is_file_of_type(block, "audio/")


def media_part(block: Mapping[str, Any]) -> Json | None:
    """Convert a content block to the wire's part for an image or audio; `None` for other blocks.

    Raises:
        InvalidInputError: The block's image or audio cannot be sent.
    """
    image = image_part(block)
    return audio_part(block) if image is None else image


def image_part(block: Mapping[str, Any]) -> Json | None:
    """Convert a content block to the wire's `image_url` part; `None` if it is not an image block.

    Accepts OpenAI's `image_url` and `input_image`, LangChain's standard blocks of both
    generations, Anthropic's blocks, MCP's, and files of a type `image/...`.

    Raises:
        InvalidInputError: The image is missing, broken, of an unsupported format, or unreachable.
    """
    block_type = block.get("type")
    if block_type in ("image_url", "input_image"):
        source = _from_openai(block, "image_url")
    elif block_type == "image" or _is_file_of_type(block, "image/"):
        source = _from_standard(block)
    else:
        return None
    image: Json = {"url": _image_url(source)}
    if source.detail is not None:
        image["detail"] = source.detail
    return {"type": "image_url", "image_url": image}


def audio_part(block: Mapping[str, Any]) -> Json | None:
    """Convert a content block to an `input_audio` or `audio_url` part; `None` if it is not audio.

    Raises:
        InvalidInputError: The audio is missing, broken, neither WAV nor MP3, or unreachable.
    """
    block_type = block.get("type")
    if block_type == "audio_url":
        source = _from_openai(block, "audio_url")
    elif block_type == "input_audio":
        source = _from_input_audio(block)
    elif block_type == "audio" or _is_file_of_type(block, "audio/"):
        source = _from_standard(block)
    else:
        return None
    if source.data is not None:
        data, name = _inline_audio(source.data, source.mime)
        return {"type": "input_audio", "input_audio": {"data": data, "format": name}}
    return {
        "type": "audio_url",
        "audio_url": {"url": _audio_url(_require_url(source.url, "audio"))},
    }


def _from_openai(block: Mapping[str, Any], key: str) -> _MediaSource:
    value = block.get(key)
    if isinstance(value, Mapping):
        return _MediaSource(url=_optional_text(value, "url"), detail=_detail(value))
    _refuse_file_id(block)
    return _MediaSource(url=_optional_text(block, key), detail=_detail(block))


def _from_input_audio(block: Mapping[str, Any]) -> _MediaSource:
    value = block.get("input_audio")
    if not isinstance(value, Mapping):
        raise InvalidInputError('input_audio must be {"data": <base64>, "format": "wav" or "mp3"}.')
    return _MediaSource(data=_data(value, "data"), mime=_optional_text(value, "format"))


def _from_standard(block: Mapping[str, Any]) -> _MediaSource:
    """Read LangChain's v0 and v1 blocks, Anthropic's and MCP's, which only differ in their keys."""
    source = block.get("source")
    fields = source if isinstance(source, Mapping) else block
    _refuse_file_id(fields)
    inline = _data(fields, "base64")
    return _MediaSource(
        url=_optional_text(fields, "url"),
        data=_data(fields, "data") if inline is None else inline,
        mime=next((_optional_text(fields, key) for key in _MIME_KEYS if key in fields), None),
        detail=_detail(block),
    )


def _is_file_of_type(block: Mapping[str, Any], mime: str) -> bool:
    """Whether a general-purpose block (`file`, Google's `media`) has this MIME type."""
    given = block.get("mime_type")
    return (
        block.get("type") in ("file", "media") and isinstance(given, str) and given.startswith(mime)
    )


def _refuse_file_id(fields: Mapping[str, Any]) -> None:
    if fields.get("file_id") is not None or fields.get("source_type") == "id":
        raise InvalidInputError(
            "A file_id cannot be resolved: Phi deployments store no files. "
            f"Send the contents as base64 ({_IMAGE_BLOCK_HINT}), or a URL."
        )


def _detail(fields: Mapping[str, Any]) -> str | None:
    extras = fields.get("extras")
    detail = fields.get("detail")
    if detail is None and isinstance(extras, Mapping):
        detail = extras.get("detail")
    if detail is not None and detail not in _DETAILS:
        raise InvalidInputError(f"An image's detail is one of {', '.join(_DETAILS)}: {detail!r}.")
    return detail


def _optional_text(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if value is None or isinstance(value, str):
        return value
    raise InvalidInputError(f"{key!r} of a content block must be text, not {type(value).__name__}.")


def _data(fields: Mapping[str, Any], key: str) -> str | bytes | None:
    value = fields.get(key)
    return value if isinstance(value, bytes) else _optional_text(fields, key)


def _require_url(url: str | None, what: str) -> str:
    if url is None:
        raise InvalidInputError(f"The block contains no {what}: it needs 'base64' or 'url'.")
    return url


def _image_url(source: _MediaSource) -> str:
    data = source.data
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode("ascii")
    if data is not None:
        data = _normalize_base64(data, 0)
        return f"data:{_image_mime(data, 0)};base64,{data}"
    url = _require_url(source.url, "image")
    if not _is_data_url(url):
        return _check_remote_url(url, "image")
    start = _data_start(url)
    url = _normalize_base64(url, start)
    right = f"data:{_image_mime(url, start)};base64,"
    return url if url.startswith(right) else url.replace(url[:start], right, 1)


def _image_mime(text: str, start: int) -> str:
    head = decoded_start(text, start, start + _HEAD_CHARACTERS)
    mime = image_format(head)
    if mime is None:
        raise InvalidInputError(
            f"The image is {describe_format(head)}. Phi's servers decode JPEG, PNG, GIF, BMP, "
            "WEBP and TIFF: convert it, for example with Pillow."
        )
    return mime


def describe_format(head: bytes) -> str:
    """Describe data in another format than Phi's servers decode, from its first bytes."""
    known: Iterable[tuple[bool, str]] = (
        (head == b"", "empty"),
        (head.startswith(b"%PDF"), "a PDF"),
        (head.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")), "PostScript"),
        (head.lstrip().startswith((b"<svg ", b"<?xml")), "SVG or other XML"),
        (head[4:8] == b"ftyp", "HEIC, AVIF or a video"),
        (head.lstrip().lower().startswith((b"<!doctype", b"<html")), "a web page"),
    )
    return next((name for found, name in known if found), "of an unknown format")


def _audio_url(url: str) -> str:
    # Kept in this form if the user chose it: a managed-compute server of July 2026 accepts it and
    # rejects every `input_audio`.
    if not _is_data_url(url):
        return _check_remote_url(url, "audio")
    start = _data_start(url)
    data, name = _inline_audio(url[start:], url[5:start].partition(";")[0])
    return f"data:{_MIME_BY_AUDIO[name]};base64,{data}"


def _inline_audio(data: str | bytes, mime: str | None) -> tuple[str, str]:
    """Return base64 and format of audio; the given type is only used if the bytes are ambiguous."""
    text = (
        base64.b64encode(data).decode("ascii")
        if isinstance(data, bytes)
        else _normalize_base64(data, 0)
    )
    name = audio_format(decoded_start(text, 0, _HEAD_CHARACTERS)) or _AUDIO_BY_MIME.get(
        (mime or "").lower()
    )
    if text == "" or name is None:
        raise InvalidInputError(
            f"The audio is {'empty' if text == '' else 'neither WAV nor MP3'}; "
            "Phi-4-multimodal-instruct accepts only these. Convert it, for example with ffmpeg."
        )
    return text, name


def _is_data_url(url: str) -> bool:
    return url[:5].lower() == "data:"


def _data_start(url: str) -> int:
    """Return the index at which the base64 of a data URL begins."""
    comma = url.find(",", 0, 256)
    if comma == -1 or not url[:comma].lower().endswith(";base64"):
        raise InvalidInputError("A data URL must look like data:image/png;base64,<data>.")
    return comma + 1


def _check_remote_url(url: str, what: str) -> str:
    if url[:8].lower().startswith(("http://", "https://")):
        return url
    raise InvalidInputError(
        f"The server cannot fetch the {what} {url[:60]!r}: send an http(s) URL that it can reach, "
        f"or the contents as base64; for images, {_IMAGE_BLOCK_HINT}."
    )


def _normalize_base64(text: str, start: int) -> str:
    """Normalize base64 from `start` on; return the text itself if it is already normalized.

    Raises:
        InvalidInputError: It is not base64, even without line breaks or in the URL alphabet.
    """
    if _is_standard_base64(text, start):
        return text
    repaired = text[start:].translate(_TO_STANDARD).rstrip("=")
    unexpected = _NOT_BASE64.search(repaired)
    if unexpected is not None or len(repaired) % 4 == 1:
        found = (
            "its length is invalid" if unexpected is None else f"it contains {unexpected.group()!r}"
        )
        raise InvalidInputError(
            f"The data is not base64: {found}. Encode the bytes with base64.b64encode."
        )
    return text[:start] + repaired + "=" * (-len(repaired) % 4)


def _is_standard_base64(text: str, start: int) -> bool:
    unexpected = _NOT_BASE64.search(text, start)
    padding = 0 if unexpected is None else len(text) - unexpected.start()
    return (len(text) - start) % 4 == 0 and (
        padding == 0 or (padding <= 2 and text.endswith("=" * padding))
    )
