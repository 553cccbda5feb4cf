"""Calls and results of a conversation, told in words."""

from langchain_azure_phi3._request.flatten_tools import in_words, instructed
from langchain_core.messages import (
    AIMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)


def call(name: str, identity: str, **args: object) -> dict[str, object]:
    """A tool call as LangChain has it."""
    return {"name": name, "args": args, "id": identity, "type": "tool_call"}


def test_calls_become_what_the_model_is_asked_to_write() -> None:
    """So that it can go on in the same way."""
    told = in_words([AIMessage("", tool_calls=[call("weather", "c1", city="Ulm")])], "plain")

    assert [AIMessage('{"name": "weather", "arguments": {"city": "Ulm"}}')] == told


def test_calls_of_phi_4_mini_have_its_own_form() -> None:
    """It was trained on it."""
    message = AIMessage("", tool_calls=[call("weather", "c1", city="Ulm")])

    told = in_words([message], "phi-4-mini")

    assert told[0].text.startswith("<|tool_call|>[")


def test_text_before_a_call_stays() -> None:
    """On a line of its own."""
    told = in_words([AIMessage("Let me see.", tool_calls=[call("now", "c1")])], "plain")

    assert 'Let me see.\n{"name": "now", "arguments": {}}' == told[0].text


def test_an_invalid_call_is_told_too() -> None:
    """The model sees what it had written."""
    invalid = {"name": "now", "args": "oops", "id": "c1", "error": "e", "type": "invalid_tool_call"}

    told = in_words([AIMessage("", invalid_tool_calls=[invalid])], "plain")

    assert "oops" in told[0].text


def test_results_that_stand_together_become_one_user_turn() -> None:
    """Named after the tool that gave them, found by the call's id."""
    told = in_words(
        [
            AIMessage("", tool_calls=[call("weather", "c1"), call("now", "c2")]),
            ToolMessage("18 degrees", tool_call_id="c1"),
            ToolMessage("clock is broken", tool_call_id="c2", status="error"),
            HumanMessage("And?"),
        ],
        "plain",
    )

    assert ["ai", "human", "human"] == [message.type for message in told]
    assert told[1].text == (
        "Result of the tool weather:\n18 degrees\n\nThe tool now failed:\nclock is broken"
    )


def test_a_result_whose_call_is_gone_is_told_by_its_own_name() -> None:
    """Trimmed histories begin anywhere."""
    told = in_words(
        [FunctionMessage("7", name="dice"), ToolMessage("8", tool_call_id="lost")], "plain"
    )

    assert "tool dice:\n7" in told[0].text
    assert "8" in told[0].text


def test_pictures_in_a_result_go_into_the_users_turn() -> None:
    """Only user turns can hold them."""
    picture = {"type": "image", "base64": "aaaa", "mime_type": "image/png"}

    told = in_words(
        [ToolMessage([{"type": "text", "text": "Here."}, picture], tool_call_id="c1", name="draw")],
        "plain",
    )

    assert isinstance(told[0], HumanMessage)
    assert "Here." in told[0].text
    assert picture == told[0].content[1]


def test_other_messages_stay_as_they_are() -> None:
    """The very same objects."""
    messages = [SystemMessage("s"), HumanMessage("h"), AIMessage("a")]

    assert all(
        told is given for told, given in zip(in_words(messages, "plain"), messages, strict=True)
    )


def test_instructions_end_the_first_system_turn() -> None:
    """The user's own words come first."""
    told = instructed([SystemMessage("Be brief."), HumanMessage("Hi")], "Use tools.")

    assert ["Be brief.\n\nUse tools.", "Hi"] == [message.text for message in told]


def test_instructions_make_a_system_turn_where_there_is_none() -> None:
    """At the beginning; an empty one is as good as none."""
    for messages in ([HumanMessage("Hi")], [SystemMessage(""), HumanMessage("Hi")]):
        told = instructed(messages, "Use tools.")

        assert ["Use tools.", "Hi"] == [message.text for message in told]
