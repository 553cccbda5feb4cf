"""Converts content blocks that a Phi cannot receive, such as files and search results, to text.

The tables list the fields for URL, data, name and type in the blocks of LangChain (v0 and v1), MCP
and its adapters, OpenAI, Anthropic, Google and Bedrock.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

_MAX_DEPTH = 5

# Objects inside a block that describe the same thing: Anthropic's `source`, MCP's `resource`,
# OpenAI's `file`, Bedrock's `document`, LangChain's `extras`.
_NESTED = frozenset(
    {"source", "resource", "file", "document", "image", "video", "audio", "extras", "metadata"}
    | {"image_url", "input_audio", "audio_url", "video_url", "s3Location", "searchResult"}
    | {"fileData", "inlineData"}
)

_FILE_TYPES = frozenset(
    {"file", "input_file", "file_url", "file_data", "document", "media", "text-plain"}
    | {"resource", "resource_link", "image", "image_url", "input_image", "video", "video_url"}
    | {"audio", "audio_url", "input_audio", "input_text", "text"}
)
_FILE_KEYS = frozenset({"document", "image", "video", "audio", "fileData", "inlineData"})

_URL = ("url", "uri", "file_url", "file_uri", "fileUri", "image_url", "audio_url", "video_url")
_DATA = ("base64", "data", "blob", "bytes", "file_data")
_MIME = ("mime_type", "media_type", "mimeType", "format")
_NAME = ("title", "name", "filename", "file_name")
_FILE_ID = ("file_id", "fileId")

_TEXT_MIME = re.compile(
    r"text/|application/(?:[\w.-]+\+)?(?:json|xml|yaml|x-yaml|toml|javascript|sql|x-ndjson|csv)\b"
    r"|(?:txt|csv|md|html)\Z",  # Bedrock's formats
    re.IGNORECASE,
)
_LABELS = {"image": "Image", "audio": "Audio", "video": "Video"}
_LONG_BASE64 = re.compile(r"[A-Za-z0-9+/_=\r\n-]{256,}\Z")
_DATA_URL = re.compile(r"data:([^;,]{0,100})[^,]{0,100},", re.IGNORECASE)


def readable_text(block: Any) -> str:
    """Return a block's text, its link, a description, or its JSON. Never raises an error."""
    try:
        return _describe(block, 0)
    except RecursionError:
        return "(content that is nested too deeply to be shown)"


def _describe(block: Any, depth: int) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, Sequence) and not isinstance(block, bytes | bytearray):
        return "\n".join(filter(None, (_describe(item, depth + 1) for item in block)))
    if not isinstance(block, Mapping) or depth > _MAX_DEPTH:
        return _json_text(block)
    if block.get("type") == "non_standard" and "value" in block:
        return _describe(block["value"], depth + 1)
    if "json" in block and block.get("type", "json") == "json":
        return _json_text(block["json"])
    fields = _merge_nested(block)
    body = fields.get("content")
    if isinstance(body, str) or (isinstance(body, Sequence) and _is_blocks(body)):
        return _under_heading(_heading(fields), _describe(body, depth + 1))
    if _is_file(block):
        return _describe_file(fields) or _json_text(block)
    text = block.get("text")
    return text if isinstance(text, str) and len(block) == 1 else _json_text(block)


def _is_file(block: Mapping[str, Any]) -> bool:
    block_type = block.get("type")
    if block_type is None:
        return not _FILE_KEYS.isdisjoint(block)
    return isinstance(block_type, str) and block_type in _FILE_TYPES


def _is_blocks(value: Any) -> bool:
    return bool(value) and all(isinstance(item, str | Mapping) for item in value)


def _merge_nested(block: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a block's fields with those of its inner objects; the outer fields win."""
    fields: dict[str, Any] = {}
    level: list[tuple[Mapping[str, Any], str]] = [(block, "type")]
    for _ in range(_MAX_DEPTH):
        inner: list[tuple[Mapping[str, Any], str]] = []
        for part, type_name in level:
            for key, value in part.items():
                if key in _NESTED and isinstance(value, Mapping):
                    inner.append((value, "source_type"))
                else:
                    fields.setdefault(type_name if key == "type" else str(key), value)
        level = inner
    return fields


def _describe_file(fields: Mapping[str, Any]) -> str:
    """Return a file's text, else its link, else a description; empty without any of them."""
    name, mime, url = _first(fields, _NAME), _first(fields, _MIME), _first(fields, _URL)
    heading, text = _heading(fields), fields.get("text")
    data = next((fields[key] for key in _DATA if isinstance(fields.get(key), str | bytes)), None)
    if isinstance(text, str) and text:
        return _under_heading(heading, text)
    if isinstance(data, str) and fields.get("source_type") == "text":
        return _under_heading(heading, data)
    if data is None and (inline := _DATA_URL.match(url)) is not None:
        data, mime, url = url, mime or inline[1], ""
    if data is not None:
        return _describe_data(heading, mime, data)
    details = [mime, _first(fields, ("description",))]
    if not url:
        file_id = _first(fields, _FILE_ID) or _source_id(fields)
        if not (name or file_id):
            return ""
        details.insert(0, f"stored under the id {file_id}, not shown" if file_id else "not shown")
    noted = ", ".join(filter(None, details))
    label = f"{name}: {url}" if name and url else name or url or "File"
    return f"{label} ({noted})" if noted else label


def _describe_data(heading: str, mime: str, data: str | bytes) -> str:
    content = _decode(data)
    if content is not None and (not mime or _TEXT_MIME.match(mime)):
        text = _decode_text(content, strict=not mime)
        if text is not None:
            return _under_heading(heading, text)
    size = "" if content is None else f"{len(content):,} bytes"
    name = heading or _LABELS.get(mime.partition("/")[0], "File")
    return f"{name} ({', '.join(filter(None, [mime, size, 'not shown']))})"


def _decode(data: str | bytes) -> bytes | None:
    if isinstance(data, bytes):
        return data
    start = _DATA_URL.match(data)
    text = data if start is None else data[start.end() :]
    try:
        return base64.b64decode(text.translate({45: "+", 95: "/"}) + "==")
    except (binascii.Error, ValueError):
        return None


def _decode_text(content: bytes, *, strict: bool) -> str | None:
    """Decode the text of a file; if `strict`, only if it is certainly text."""
    if not strict:
        return content.decode("utf-8-sig", errors="replace")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text if text.translate({9: None, 10: None, 13: None}).isprintable() else None


def _source_id(fields: Mapping[str, Any]) -> str:
    return _first(fields, ("id",)) if fields.get("source_type") == "id" else ""


def _heading(fields: Mapping[str, Any]) -> str:
    """Return the name and the source of a file or search result."""
    name = _first(fields, _NAME)
    origin = _first(fields, _URL) or _first(fields, ("source",))
    if origin[:5].lower() == "data:" or origin == name:
        origin = ""
    return f"{name} ({origin})" if name and origin else name or origin


def _under_heading(heading: str, text: str) -> str:
    return f"{heading}:\n{text}" if heading and text else heading or text


def _first(fields: Mapping[str, Any], keys: Sequence[str]) -> str:
    return next((fields[key] for key in keys if isinstance(fields.get(key), str)), "")


def _json_text(value: Any) -> str:
    """Write JSON without long binary data, and values that JSON cannot represent as `str`."""
    shown = _without_binary(value, ())
    try:
        return to_json(shown, fallback=str, inf_nan_mode="constants").decode()
    except (ValueError, RecursionError):
        return json.dumps(shown, default=str)


def _without_binary(value: Any, outer: tuple[int, ...]) -> Any:
    """Replace encoded data in a value by its size, and remove cycles.

    `outer` are the ids of the objects around it.
    """
    if isinstance(value, bytes | bytearray):
        return f"({len(value):,} bytes, not shown)"
    if isinstance(value, str):
        is_binary = _DATA_URL.match(value) or _LONG_BASE64.match(value)
        return f"({len(value):,} characters of data, not shown)" if is_binary else value
    if not isinstance(value, Mapping | list | tuple):
        return value
    if id(value) in outer:
        return "..."
    outer = (*outer, id(value))
    if isinstance(value, Mapping):
        return {str(key): _without_binary(item, outer) for key, item in value.items()}
    return [_without_binary(item, outer) for item in value]
