"""Histories in Anthropic's form, as conversations that a Phi can be sent."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_azure_phi3._request.anthropic_blocks import translated
from langchain_azure_phi3.errors import InvalidInputError

USE = {"type": "tool_use", "id": "foo", "name": "color_picker", "input": {"fav_color": "green"}}
CALL = {"type": "tool_call", "id": "foo", "name": "color_picker", "args": {"fav_color": "green"}}
TEXT = {"type": "text", "text": "Which one?"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}


def result(**fields: Any) -> dict[str, Any]:
    """A `tool_result` block."""
    return {"type": "tool_result", "tool_use_id": "foo", **fields}


def test_a_call_in_a_block_is_a_call() -> None:
    """Where LangChain's own field does not hold it already."""
    (told,) = translated([AIMessage([TEXT, USE])])

    assert isinstance(told, AIMessage)
    assert told.tool_calls == [CALL]


def test_calls_are_not_doubled() -> None:
    """LangChain's Anthropic integration fills both."""
    message = AIMessage([TEXT, USE], tool_calls=[CALL])

    assert translated([message]) == [message]


@pytest.mark.parametrize("content", ["Green it is.", [TEXT, IMAGE], []])
def test_a_result_in_a_block_is_a_tool_message(content: Any) -> None:
    """With its text or its blocks, pictures among them; the words around it stay in order."""
    told = translated([HumanMessage([TEXT, result(content=content), TEXT, IMAGE])])

    assert told == [
        HumanMessage([TEXT]),
        ToolMessage(content or "", tool_call_id="foo"),
        HumanMessage([TEXT, IMAGE]),
    ]


def test_a_failed_result_is_said_to_be_one() -> None:
    """By LangChain's field."""
    (told,) = translated([HumanMessage([result(content="no", is_error=True)])])

    assert told == ToolMessage("no", tool_call_id="foo", status="error")


def test_a_result_without_content_is_an_empty_one() -> None:
    """Tools that return nothing leave the field out."""
    assert translated([HumanMessage([result()])]) == [ToolMessage("", tool_call_id="foo")]


def test_other_messages_stay_as_they_are() -> None:
    """The very same objects."""
    messages = [SystemMessage("Be kind."), HumanMessage([TEXT]), AIMessage([TEXT])]

    assert list(map(id, translated(messages))) == list(map(id, messages))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (HumanMessage([{"type": "tool_result"}]), "needs 'tool_use_id'"),
        (HumanMessage([result(content=5)]), "a text or a list"),
        (HumanMessage([result(content=[5])]), "a text or a list"),
        (AIMessage([{**USE, "id": None}]), "needs 'id'"),
        (AIMessage([{**USE, "name": 1}]), "needs a 'name'"),
        (AIMessage([{**USE, "input": "x"}]), "'input' that is a dict"),
    ],
)
def test_a_block_that_lacks_something_is_refused(
    message: HumanMessage | AIMessage, reason: str
) -> None:
    """Rather than a call or a result without an end."""
    with pytest.raises(InvalidInputError, match=reason):
        translated([message])
