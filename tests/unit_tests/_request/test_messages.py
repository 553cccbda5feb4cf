"""Every message type of LangChain has a place on the wire."""

from typing import Any

import pytest
from langchain_azure_phi3._request.messages import turns
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)

from langchain_azure_phi3 import InvalidInputError

CALL = {"name": "weather", "args": {"city": "Zürich"}, "id": "c1", "type": "tool_call"}
WIRE_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Zürich"}'},
}

ON_THE_WIRE: list[tuple[str, BaseMessage, dict[str, Any]]] = [
    ("system", SystemMessage("Be brief."), {"role": "system", "content": "Be brief."}),
    ("human", HumanMessage("Hi"), {"role": "user", "content": "Hi"}),
    ("ai", AIMessage("Hello"), {"role": "assistant", "content": "Hello"}),
    ("ai without text", AIMessage(""), {"role": "assistant", "content": ""}),
    (
        "human with a name",
        HumanMessage("Hi", name="ann"),
        {"role": "user", "content": "Hi", "name": "ann"},
    ),
    (
        "ai with a call",
        AIMessage("", tool_calls=[CALL]),
        {"role": "assistant", "content": "", "tool_calls": [WIRE_CALL]},
    ),
    (
        "ai with a call that cannot be run",
        AIMessage(
            "", invalid_tool_calls=[{"name": "weather", "args": "{", "id": "c2", "error": "cut"}]
        ),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "c2",
                    "type": "function",
                    "function": {"name": "weather", "arguments": "{"},
                }
            ],
        },
    ),
    (
        "ai with a call of the older kind",
        AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "call_f", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
    ),
    (
        "tool",
        ToolMessage("18 degrees", tool_call_id="c1"),
        {"role": "tool", "tool_call_id": "c1", "content": "18 degrees"},
    ),
    (
        "function",
        FunctionMessage("18 degrees", name="weather"),
        {
            "role": "tool",
            "tool_call_id": "call_weather",
            "content": "18 degrees",
            "name": "weather",
        },
    ),
    ("any role", ChatMessage("Hm", role="critic"), {"role": "critic", "content": "Hm"}),
    ("role human", ChatMessage("Hm", role="human"), {"role": "user", "content": "Hm"}),
    ("role developer", ChatMessage("Hm", role="developer"), {"role": "system", "content": "Hm"}),
    ("list of strings", HumanMessage(["One"]), {"role": "user", "content": "One"}),
    (
        "one text block",
        HumanMessage([{"type": "text", "text": "One"}]),
        {"role": "user", "content": "One"},
    ),
    (
        "several text blocks of a user",
        HumanMessage([{"type": "text", "text": "One"}, "two"]),
        {
            "role": "user",
            "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}],
        },
    ),
    (
        "empty text blocks",
        HumanMessage([{"type": "text", "text": ""}, {"type": "text", "text": "two"}]),
        {"role": "user", "content": "two"},
    ),
    (
        "only empty blocks",
        HumanMessage([{"type": "text", "text": ""}]),
        {
            "role": "user",
            "content": "",
        },
    ),
    (
        "standard v1 blocks",
        HumanMessage(content_blocks=[{"type": "text", "text": "One"}]),
        {"role": "user", "content": "One"},
    ),
    (
        "a text document as a block",
        HumanMessage([{"type": "text-plain", "mime_type": "text/plain", "text": "Notes"}]),
        {"role": "user", "content": "Notes"},
    ),
    (
        "system in blocks",
        SystemMessage([{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]),
        {"role": "system", "content": "One\ntwo"},
    ),
    (
        "what streams leave behind in an ai message",
        AIMessage([{"type": "text", "text": "One "}, {"type": "text", "text": "two"}]),
        {"role": "assistant", "content": "One two"},
    ),
    (
        "thoughts and calls among an ai message's blocks",
        AIMessage(
            [
                {"type": "reasoning", "reasoning": "Hm."},
                {"type": "text", "text": "So."},
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {}},
            ],
            tool_calls=[CALL],
        ),
        {"role": "assistant", "content": "So.", "tool_calls": [WIRE_CALL]},
    ),
]


@pytest.mark.parametrize(
    ("message", "turn"), [row[1:] for row in ON_THE_WIRE], ids=[row[0] for row in ON_THE_WIRE]
)
def test_a_message_becomes_a_turn(message: BaseMessage, turn: dict[str, Any]) -> None:
    """Each type, with each kind of content, has one form."""
    assert [turn] == turns([message])


def test_messages_of_one_role_stay_apart() -> None:
    """Phi's templates do not ask for alternation; nothing is merged behind the user's back."""
    conversation = convert_to_messages([("user", "a"), ("user", "b"), ("ai", "c"), ("ai", "d")])

    assert ["a", "b", "c", "d"] == [turn["content"] for turn in turns(conversation)]


def test_system_messages_fold_into_the_user_turn_that_follows() -> None:
    """For deployments whose template drops the system role."""
    conversation = convert_to_messages(
        [("system", "Be brief."), ("system", "Be kind."), ("user", "Hi"), ("ai", "Hello")]
    )

    assert [
        {"role": "user", "content": "Be brief.\n\nBe kind.\n\nHi"},
        {"role": "assistant", "content": "Hello"},
    ] == turns(conversation, "user")


def test_a_folded_system_message_keeps_the_parts_of_the_turn() -> None:
    """A user turn in parts gets one more in front."""
    conversation = [SystemMessage("Be brief."), HumanMessage(["One", "two"])]

    assert [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Be brief."},
                {"type": "text", "text": "One"},
                {"type": "text", "text": "two"},
            ],
        }
    ] == turns(conversation, "user")


def test_a_system_message_that_nobody_follows_becomes_a_user_turn() -> None:
    """Nothing of what the user wrote is lost."""
    assert [{"role": "user", "content": "Be brief."}] == turns([SystemMessage("Be brief.")], "user")


def test_an_empty_conversation_is_refused() -> None:
    """Servers answer 422 to it; the reason is clear before anything is sent."""
    with pytest.raises(InvalidInputError, match="no message"):
        turns([])


def test_a_message_without_a_role_is_refused() -> None:
    """`RemoveMessage` is an instruction to a graph, not a turn."""
    with pytest.raises(InvalidInputError, match="RemoveMessage"):
        turns([RemoveMessage(id="x")])


@pytest.mark.parametrize("kind", [HumanMessage, SystemMessage, AIMessage])
def test_a_block_that_is_no_text_is_refused(kind: type[BaseMessage]) -> None:
    """The error names the block's type; nothing is dropped in silence."""
    with pytest.raises(InvalidInputError, match="'video'"):
        turns([kind(content=[{"type": "video", "url": "https://x"}])])


URL = "https://example.com/chart.png"
IMAGE = {"type": "image", "url": URL}
SOUND = {"type": "audio", "url": URL}
WIRE_IMAGE = {"type": "image_url", "image_url": {"url": URL}}
WIRE_SOUND = {"type": "audio_url", "audio_url": {"url": URL}}


def words(text: str) -> dict[str, Any]:
    """A text part."""
    return {"type": "text", "text": text}


def test_pictures_and_sounds_stand_in_a_user_turn_where_the_user_put_them() -> None:
    """Between the words around them."""
    message = HumanMessage(["Before", IMAGE, words(""), words("after"), SOUND])

    assert [
        {"role": "user", "content": [words("Before"), WIRE_IMAGE, words("after"), WIRE_SOUND]}
    ] == turns([message])


def test_a_picture_alone_is_a_list_of_one_part() -> None:
    """Only a text can be a string."""
    assert [{"role": "user", "content": [WIRE_IMAGE]}] == turns([HumanMessage([IMAGE])])


def test_what_tools_show_follows_the_last_result_in_user_turns() -> None:
    """One for each tool: tool turns hold only text, and must directly follow the calls."""
    conversation = [
        AIMessage("", tool_calls=[CALL, {**CALL, "id": "c2"}]),
        ToolMessage([words("Done."), IMAGE], tool_call_id="c1", name="draw"),
        ToolMessage([SOUND], tool_call_id="c2"),
        HumanMessage("Well?"),
    ]

    assert [
        {"role": "tool", "tool_call_id": "c1", "content": "Done.", "name": "draw"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "user", "content": [words("What draw returned:"), WIRE_IMAGE]},
        {"role": "user", "content": [words("What the tool returned:"), WIRE_SOUND]},
        {"role": "user", "content": "Well?"},
    ] == turns(conversation)[1:]


def test_what_the_last_tool_shows_ends_the_conversation() -> None:
    """As an agent sends it."""
    assert "user" == turns([ToolMessage([IMAGE], tool_call_id="c1")])[-1]["role"]


@pytest.mark.parametrize("block", [IMAGE, SOUND, {"type": "image"}], ids=["image", "sound", "none"])
@pytest.mark.parametrize(
    "message", [SystemMessage([]), AIMessage([]), ChatMessage([], role="critic")], ids=type
)
def test_a_picture_or_sound_that_no_user_shows_is_refused(
    message: BaseMessage, block: dict[str, Any]
) -> None:
    """The error says where to put it."""
    with pytest.raises(InvalidInputError, match="Put it into a HumanMessage"):
        turns([message.model_copy(update={"content": [block]})])


@pytest.mark.parametrize("kind", [HumanMessage, SystemMessage, AIMessage])
@pytest.mark.parametrize("block", [{}, {"type": ["text"], "text": "x"}, {"type": None}])
def test_a_block_without_a_proper_type_is_refused(
    kind: type[BaseMessage], block: dict[str, Any]
) -> None:
    """As what it is: nothing that the wire knows."""
    with pytest.raises(InvalidInputError, match="no place in this message"):
        turns([kind(content=[block])])
