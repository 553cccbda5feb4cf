"""Pictures as data URLs, sounds as base64: every form in which LangChain users have them.

Nothing is fetched, nothing is believed: the format is read from the bytes, because the MIME
type beside them is often missing or wrong (Azure's own how-to writes `image/jpg`). Base64 that
is in order is neither decoded whole nor copied more than once.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_azure_phi3._request.media_sniffing import audio_format, decoded_start, image_format
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

_MEDIA = frozenset({"image", "image_url", "input_image", "audio", "audio_url", "input_audio"})
_DETAILS = ("auto", "low", "high")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")
_TIDY = str.maketrans("-_", "+/", " \t\r\n\f\v")
_HEAD = 64
"""Characters of base64 that hold every magic number: 48 bytes."""

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
_MAKE_A_BLOCK = "langchain_azure_phi3.images.image_block makes one of a path, bytes or a PIL image"


@dataclass(frozen=True, slots=True)
class _Medium:
    """Where a block's picture or sound is: at a URL, or in base64 (or bytes) beside it."""

    url: str | None = None
    data: str | bytes | None = None
    mime: str | None = None
    detail: str | None = None


def is_medium(block: Any) -> bool:
    """Whether a content block is about a picture or a sound, well-formed or not."""
    if not isinstance(block, Mapping):
        return False
    kind = block.get("type")
    named = isinstance(kind, str) and kind in _MEDIA
    return named or _is_file_of(block, "image/") or _is_file_of(block, "audio/")


def medium_part(block: Mapping[str, Any]) -> Json | None:
    """A content block as the wire's part for a picture or a sound; `None` if it is neither.

    Raises:
        InvalidInputError: What the block promises cannot be sent.
    """
    image = image_part(block)
    return audio_part(block) if image is None else image


def image_part(block: Mapping[str, Any]) -> Json | None:
    """A content block as the wire's `image_url` part; `None` if it is about no picture.

    Understood are OpenAI's `image_url` and `input_image`, LangChain's standard blocks of both
    generations, Anthropic's blocks, MCP's, and files of a type `image/...`.

    Raises:
        InvalidInputError: The block promises a picture that is missing, broken, of an
            unsupported format, or out of reach.
    """
    kind = block.get("type")
    if kind in ("image_url", "input_image"):
        medium = _openai(block, "image_url")
    elif kind == "image" or _is_file_of(block, "image/"):
        medium = _standard(block)
    else:
        return None
    image: Json = {"url": _image_url(medium)}
    if medium.detail is not None:
        image["detail"] = medium.detail
    return {"type": "image_url", "image_url": image}


def audio_part(block: Mapping[str, Any]) -> Json | None:
    """A content block as the wire's `input_audio` or `audio_url`; `None` if it is no sound.

    Raises:
        InvalidInputError: The sound is missing, broken, neither WAV nor MP3, or out of reach.
    """
    kind = block.get("type")
    if kind == "audio_url":
        medium = _openai(block, "audio_url")
    elif kind == "input_audio":
        medium = _input_audio(block)
    elif kind == "audio" or _is_file_of(block, "audio/"):
        medium = _standard(block)
    else:
        return None
    if medium.data is not None:
        data, name = _inline_audio(medium.data, medium.mime)
        return {"type": "input_audio", "input_audio": {"data": data, "format": name}}
    return {"type": "audio_url", "audio_url": {"url": _audio_url(_required(medium.url, "audio"))}}


def _openai(block: Mapping[str, Any], key: str) -> _Medium:
    value = block.get(key)
    if isinstance(value, Mapping):
        return _Medium(url=_text(value, "url"), detail=_detail(value))
    _refuse_file_id(block)
    return _Medium(url=_text(block, key), detail=_detail(block))


def _input_audio(block: Mapping[str, Any]) -> _Medium:
    value = block.get("input_audio")
    if not isinstance(value, Mapping):
        raise InvalidInputError('input_audio must be {"data": <base64>, "format": "wav" or "mp3"}.')
    return _Medium(data=_data(value, "data"), mime=_text(value, "format"))


def _standard(block: Mapping[str, Any]) -> _Medium:
    """LangChain's blocks of v0 and v1, Anthropic's and MCP's, which differ in the keys only."""
    source = block.get("source")
    held = source if isinstance(source, Mapping) else block
    _refuse_file_id(held)
    inline = _data(held, "base64")
    return _Medium(
        url=_text(held, "url"),
        data=_data(held, "data") if inline is None else inline,
        mime=next((_text(held, key) for key in _MIME_KEYS if key in held), None),
        detail=_detail(block),
    )


def _is_file_of(block: Mapping[str, Any], mime: str) -> bool:
    """Whether a general-purpose block (`file`, Google's `media`) is of this kind of type."""
    given = block.get("mime_type")
    return (
        block.get("type") in ("file", "media") and isinstance(given, str) and given.startswith(mime)
    )


def _refuse_file_id(held: Mapping[str, Any]) -> None:
    if held.get("file_id") is not None or held.get("source_type") == "id":
        raise InvalidInputError(
            "A file_id cannot be resolved: Phi deployments store no files. "
            f"Send the contents as base64 ({_MAKE_A_BLOCK}), or a URL."
        )


def _detail(held: Mapping[str, Any]) -> str | None:
    extras = held.get("extras")
    detail = held.get("detail")
    if detail is None and isinstance(extras, Mapping):
        detail = extras.get("detail")
    if detail is not None and detail not in _DETAILS:
        raise InvalidInputError(f"An image's detail is one of {', '.join(_DETAILS)}: {detail!r}.")
    return detail


def _text(held: Mapping[str, Any], key: str) -> str | None:
    value = held.get(key)
    if value is None or isinstance(value, str):
        return value
    raise InvalidInputError(f"{key!r} of a content block must be text, not {type(value).__name__}.")


def _data(held: Mapping[str, Any], key: str) -> str | bytes | None:
    value = held.get(key)
    return value if isinstance(value, bytes) else _text(held, key)


def _required(url: str | None, what: str) -> str:
    if url is None:
        raise InvalidInputError(f"The block holds no {what}: it needs 'base64' or 'url'.")
    return url


def _image_url(medium: _Medium) -> str:
    data = medium.data
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode("ascii")
    if data is not None:
        data = _tidy(data, 0)
        return f"data:{_image_mime(data, 0)};base64,{data}"
    url = _required(medium.url, "image")
    if not _is_data_url(url):
        return _remote(url, "image")
    start = _data_start(url)
    url = _tidy(url, start)
    right = f"data:{_image_mime(url, start)};base64,"
    return url if url.startswith(right) else url.replace(url[:start], right, 1)


def _image_mime(text: str, start: int) -> str:
    head = decoded_start(text, start, start + _HEAD)
    mime = image_format(head)
    if mime is None:
        raise InvalidInputError(
            f"The image is {_described(head)}; Phi's servers decode JPEG, PNG, GIF, BMP, WEBP "
            "and TIFF. Convert it, for example with Pillow."
        )
    return mime


def _described(head: bytes) -> str:
    """What was sent in place of a picture, as far as its first bytes tell."""
    known: Iterable[tuple[bool, str]] = (
        (head == b"", "empty"),
        (head.startswith(b"%PDF"), "a PDF"),
        (head.lstrip().startswith((b"<svg ", b"<?xml")), "SVG or other XML"),
        (head[4:8] == b"ftyp", "HEIC, AVIF or a video"),
        (head.lstrip().lower().startswith((b"<!doctype", b"<html")), "a web page"),
    )
    return next((name for found, name in known if found), "of no known format")


def _audio_url(url: str) -> str:
    # Kept in this form where the user chose it: a managed-compute server of July 2026 takes it
    # and refuses every `input_audio`.
    if not _is_data_url(url):
        return _remote(url, "audio")
    start = _data_start(url)
    data, name = _inline_audio(url[start:], url[5:start].partition(";")[0])
    return f"data:{_MIME_BY_AUDIO[name]};base64,{data}"


def _inline_audio(data: str | bytes, mime: str | None) -> tuple[str, str]:
    """Base64 and format of a sound; the type given counts only where the bytes tell nothing."""
    text = base64.b64encode(data).decode("ascii") if isinstance(data, bytes) else _tidy(data, 0)
    name = audio_format(decoded_start(text, 0, _HEAD)) or _AUDIO_BY_MIME.get((mime or "").lower())
    if text == "" or name is None:
        raise InvalidInputError(
            f"The audio is {'empty' if text == '' else 'neither WAV nor MP3'}; "
            "Phi-4-multimodal-instruct takes those two: convert it, for example with ffmpeg."
        )
    return text, name


def _is_data_url(url: str) -> bool:
    return url[:5].lower() == "data:"


def _data_start(url: str) -> int:
    """Where the base64 of a data URL begins."""
    comma = url.find(",", 0, 256)
    if comma == -1 or not url[:comma].lower().endswith(";base64"):
        raise InvalidInputError("A data URL must look like data:image/png;base64,<data>.")
    return comma + 1


def _remote(url: str, what: str) -> str:
    if url[:8].lower().startswith(("http://", "https://")):
        return url
    raise InvalidInputError(
        f"The server cannot fetch the {what} {url[:60]!r}: send an http(s) URL that it can reach, "
        f"or the contents as base64; for images, {_MAKE_A_BLOCK}."
    )


def _tidy(text: str, start: int) -> str:
    """Base64 from `start` on in its standard form; the text itself if it is so already.

    Raises:
        InvalidInputError: It is not base64, even without line breaks and of the URL alphabet.
    """
    if _is_clean(text, start):
        return text
    repaired = text[start:].translate(_TIDY).rstrip("=")
    odd = _NOT_BASE64.search(repaired)
    if odd is not None or len(repaired) % 4 == 1:
        found = "its length is impossible" if odd is None else f"it contains {odd.group()!r}"
        raise InvalidInputError(
            f"The data is not base64: {found}. Encode the bytes with base64.b64encode."
        )
    return text[:start] + repaired + "=" * (-len(repaired) % 4)


def _is_clean(text: str, start: int) -> bool:
    odd = _NOT_BASE64.search(text, start)
    padding = 0 if odd is None else len(text) - odd.start()
    return (len(text) - start) % 4 == 0 and (
        padding == 0 or (padding <= 2 and text.endswith("=" * padding))
    )
