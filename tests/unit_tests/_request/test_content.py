"""Media of messages as wire parts, for LangChain's own counting and tracing."""

import pytest
from langchain_core.messages import HumanMessage

from langchain_azure_phi3 import InvalidInputError
from langchain_azure_phi3._request.content import with_wire_media

URL = "https://example.com/a.png"
WIRE_IMAGE = {"type": "image_url", "image_url": {"url": URL}}


def test_block_without_a_type_in_text_is_refused() -> None:
    """LangChain would raise a TypeError for it."""
    for block in ({"type": ["image"]}, {"type": "image", "source_type": ["url"], "url": URL}):
        with pytest.raises(InvalidInputError, match="is not allowed in this message"):
            with_wire_media(HumanMessage([block]))


def test_only_messages_with_media_are_converted() -> None:
    """In a copy; other messages are returned as they are."""
    image = {"type": "image", "url": URL}
    message = HumanMessage(["Look:", image, {"type": "text", "text": "Well?"}])

    converted = with_wire_media(message)

    assert converted.content == ["Look:", WIRE_IMAGE, {"type": "text", "text": "Well?"}]
    assert message.content[1] == image
    for other in (HumanMessage("Hi"), HumanMessage(["Hi", {"type": "text", "text": "there"}])):
        assert with_wire_media(other) is other
