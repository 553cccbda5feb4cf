"""Content blocks that no Phi receives, as text."""

import base64
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3._request.readable_text import readable_text

Json = dict[str, Any]


def encoded(content: bytes) -> str:
    """Base64."""
    return base64.b64encode(content).decode("ascii")


PDF = b"%PDF-1.7\x00\xff\xfe"
PDF_SHOWN = f"application/pdf, {len(PDF)} bytes, not shown"
TSV = b"city\tdegrees\nUlm\t18\n"
LINK = "https://docs.example/plan.odt"

# -- Files of each provider ------------------------------------------------------------------------

FILES: dict[str, tuple[Json, str]] = {
    "LangChain v1, URL": (
        {"type": "file", "url": LINK, "mime_type": "application/odt"},
        f"{LINK} (application/odt)",
    ),
    "LangChain v1, text": (
        {"type": "file", "base64": encoded(TSV), "mime_type": "text/tab-separated-values"},
        TSV.decode(),
    ),
    "LangChain v1, binary with a name": (
        {
            "type": "file",
            "base64": encoded(PDF),
            "mime_type": "application/pdf",
            "extras": {"filename": "plan.pdf"},
        },
        f"plan.pdf ({PDF_SHOWN})",
    ),
    "LangChain v1, id": (
        {"type": "file", "file_id": "file-9"},
        "File (stored under the id file-9, not shown)",
    ),
    "LangChain v1, plain text": (
        {"type": "text-plain", "base64": encoded(b"notes"), "mime_type": "text/plain"},
        "notes",
    ),
    "LangChain v0, base64": (
        {"type": "file", "source_type": "base64", "data": encoded(TSV), "mime_type": "text/csv"},
        TSV.decode(),
    ),
    "LangChain v0, text": ({"type": "file", "source_type": "text", "text": "notes"}, "notes"),
    "LangChain v0, id": (
        {"type": "file", "source_type": "id", "id": "file-8"},
        "File (stored under the id file-8, not shown)",
    ),
    "MCP link": (
        {
            "type": "resource_link",
            "uri": "file:///srv/plan.md",
            "name": "plan",
            "mimeType": "text/markdown",
            "description": "The plan of 2026",
        },
        "plan: file:///srv/plan.md (text/markdown, The plan of 2026)",
    ),
    "MCP resource, text": (
        {"type": "resource", "resource": {"uri": "file:///srv/plan.md", "text": "# Plan"}},
        "file:///srv/plan.md:\n# Plan",
    ),
    "MCP resource, binary": (
        {
            "type": "resource",
            "resource": {
                "uri": "file:///srv/plan.pdf",
                "mimeType": "application/pdf",
                "blob": encoded(PDF),
            },
        },
        f"file:///srv/plan.pdf ({PDF_SHOWN})",
    ),
    "OpenAI, completions": (
        {
            "type": "file",
            "file": {
                "filename": "t.tsv",
                "file_data": f"data:text/plain;base64,{encoded(TSV)}",
            },
        },
        f"t.tsv:\n{TSV.decode()}",
    ),
    "OpenAI, responses": ({"type": "input_file", "file_url": LINK}, LINK),
    "Anthropic, text": (
        {
            "type": "document",
            "title": "Plan",
            "source": {"type": "text", "media_type": "text/plain", "data": "Step one."},
        },
        "Plan:\nStep one.",
    ),
    "Anthropic, PDF": (
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": encoded(PDF)},
        },
        f"File ({PDF_SHOWN})",
    ),
    "Anthropic, blocks": (
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "text", "text": "Step one."}, "2"]},
        },
        "Step one.\n2",
    ),
    "Google, URI": (
        {"type": "file_data", "file_uri": "gs://bucket/a.mp4", "mime_type": "video/mp4"},
        "gs://bucket/a.mp4 (video/mp4)",
    ),
    "Google, data": (
        {"type": "media", "mime_type": "video/mp4", "data": b"four"},
        "Video (video/mp4, 4 bytes, not shown)",
    ),
    "Bedrock, text": (
        {"document": {"format": "csv", "name": "table", "source": {"bytes": TSV}}},
        f"table:\n{TSV.decode()}",
    ),
    "Bedrock, PDF": (
        {"document": {"format": "pdf", "name": "plan", "source": {"bytes": PDF}}},
        f"plan (pdf, {len(PDF)} bytes, not shown)",
    ),
    "video": ({"type": "video", "url": LINK}, LINK),
    "an image that is broken": (
        {"type": "image", "base64": "?", "mime_type": "image/png"},
        "Image (image/png, 0 bytes, not shown)",
    ),
    "an image in a format that no server decodes": (
        {"type": "image_url", "image_url": {"url": f"data:image/svg+xml;base64,{encoded(b'<')}"}},
        "Image (image/svg+xml, 1 bytes, not shown)",
    ),
}


def test_files_become_their_text_or_link() -> None:
    """In the form of each provider; of binary files, what they are."""
    for name, (block, expected) in FILES.items():
        assert readable_text(block) == expected, name


# -- Other blocks ----------------------------------------------------------------------------------

OTHERS: dict[str, tuple[Any, str]] = {
    "LangChain's JSON": ({"type": "json", "json": {"rows": [1, None]}}, '{"rows":[1,null]}'),
    "Bedrock's JSON": ({"json": {"straße": 2}}, '{"straße":2}'),
    "Anthropic's search result": (
        {
            "type": "search_result",
            "source": "https://docs.example",
            "title": "Docs",
            "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
        },
        "Docs (https://docs.example):\nOne.\nTwo.",
    ),
    "Bedrock's search result": (
        {"searchResult": {"source": "kb", "title": "Docs", "content": [{"text": "One."}]}},
        "Docs (kb):\nOne.",
    ),
    "a citation": (
        {"type": "citation", "url": "https://docs.example", "cited_text": "One."},
        '{"type":"citation","url":"https://docs.example","cited_text":"One."}',
    ),
    "a block of no known type": ({"type": "card", "degrees": 18}, '{"type":"card","degrees":18}'),
    "a block in a block": ({"type": "non_standard", "value": {"type": "json", "json": 3}}, "3"),
    "encoded data": (
        {"type": "search", "encrypted_content": "A" * 5000},
        '{"type":"search","encrypted_content":"(5,000 characters of data, not shown)"}',
    ),
    "a text without its text": ({"type": "text", "text": None}, '{"type":"text","text":null}'),
    "a type that is not a text": ({"type": ["file"]}, '{"type":["file"]}'),
    "nothing": ({}, "{}"),
    "a number": (5, "5"),
    "what is not JSON": ({"a": {1}, "b": b"xy"}, '{"a":[1],"b":"(2 bytes, not shown)"}'),
    "NaN": ({"a": float("nan")}, '{"a":NaN}'),
}


def test_other_blocks_become_readable() -> None:
    """Their text with its source, else JSON without encoded data."""
    for name, (block, expected) in OTHERS.items():
        assert readable_text(block) == expected, name


def test_deep_and_cyclic_blocks_end() -> None:
    """Whatever a tool returns."""
    cyclic: Json = {"type": "card"}
    cyclic["self"] = cyclic
    file: Json = {"type": "file"}
    file["source"] = file
    deep: Json = {}
    for _ in range(50_000):
        deep = {"content": [deep]}

    assert readable_text(cyclic) == '{"type":"card","self":"..."}'
    assert readable_text(file) == '{"type":"file","source":"..."}'
    assert "nested too deeply" in readable_text(deep)
    while deep:  # else the interpreter would free it recursively
        deep = deep["content"].pop()


KEYS = st.sampled_from(
    [
        "type",
        "text",
        "source",
        "file",
        "resource",
        "url",
        "data",
        "base64",
        "content",
        "value",
        "mime_type",
        "json",
        "title",
        "image_url",
        "document",
        "name",
        "bytes",
        "extras",
        "id",
    ]
)
TYPES = st.sampled_from(["file", "document", "image", "resource", "non_standard", "json", "text"])
VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5) | TYPES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_no_block_raises(block: Any) -> None:
    """An agent cannot change what its tools return."""
    assert isinstance(readable_text(block), str)
