"""Every message of LangChain, in every form, has one form in the request."""

import json
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_azure_phi3 import InvalidInputError
from langchain_azure_phi3._request.build import EndpointFeatures, RequestSettings, build_request
from langchain_azure_phi3._request.conversation import ConversationOptions, to_wire_messages
from langchain_azure_phi3.models import find_model

Json = dict[str, Any]

MEDIUM, VISION = "Phi-3-medium-4k-instruct", "Phi-3-vision-128k-instruct"
URL = "https://example.com/chart.png"
IMAGE, AUDIO = {"type": "image", "url": URL}, {"type": "audio", "url": URL}
WIRE_IMAGE = {"type": "image_url", "image_url": {"url": URL}}
WIRE_OTHER = {"type": "image_url", "image_url": {"url": URL + "?2"}}
WIRE_AUDIO = {"type": "audio_url", "audio_url": {"url": URL}}
CALL = {"name": "weather", "args": {"city": "Zürich"}, "id": "c1", "type": "tool_call"}
INVALID = {"name": "weather", "args": "{", "id": "c2", "error": "cut", "type": "invalid_tool_call"}
USE = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Zürich"}}
JSON_INSTRUCTIONS = "Answer with one JSON object only, without any other words."


def text(value: str) -> Json:
    """A text part."""
    return {"type": "text", "text": value}


def user(content: Any, **fields: Any) -> Json:
    """A user message of the wire."""
    return {"role": "user", "content": content, **fields}


def wire_call(call_id: str, name: str = "weather", arguments: str = '{"city":"Zürich"}') -> Json:
    """A tool call of the wire."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant(content: str, *calls: Json) -> Json:
    """An assistant message of the wire."""
    return {
        "role": "assistant",
        "content": content,
        **({"tool_calls": list(calls)} if calls else {}),
    }


def result(call_id: str, content: str, **fields: Any) -> Json:
    """A tool message of the wire."""
    return {"role": "tool", "tool_call_id": call_id, "content": content, **fields}


def tool_result(**fields: Any) -> Json:
    """Anthropic's block for a result."""
    return {"type": "tool_result", "tool_use_id": "c1", **fields}


def called(name: str, call_id: str | None = None, **args: Any) -> Json:
    """A tool call of LangChain."""
    return {"name": name, "args": args, "id": call_id, "type": "tool_call"}


def build(messages: list[BaseMessage], call: Json | None = None, **settings: Any) -> list[Json]:
    """The messages of a request."""
    settings.setdefault("tool_calling", "native")
    request = build_request(RequestSettings(**settings), messages, call or {})
    sent: list[Json] = request.payload["messages"]
    return sent


def prompted(messages: list[BaseMessage], **settings: Any) -> list[Json]:
    """The messages of a request whose tools are prompted."""
    return build(messages, tool_calling="prompted", **settings)


# -- What cannot be sent ---------------------------------------------------------------------------

REFUSED: dict[str, tuple[BaseMessage, str]] = {
    "RemoveMessage": (RemoveMessage(id="x"), "RemoveMessage has no role"),
    "arguments that are not JSON": (
        AIMessage("", tool_calls=[called("weather", "c1", city=object())]),
        "arguments of the call of 'weather' cannot be written as JSON",
    ),
    "tool_result without an id": (
        HumanMessage([{"type": "tool_result"}]),
        "tool_result block needs 'tool_use_id', a string",
    ),
}


def test_message_that_cannot_be_sent_is_refused() -> None:
    """With what is wrong."""
    for message, reason in REFUSED.values():
        with pytest.raises(InvalidInputError, match=reason):
            build([message])


def test_unknown_blocks_are_refused_by_type() -> None:
    """In every message that a user writes; nothing is dropped silently."""
    unknown: list[Json] = [{"type": "video", "url": URL}, {}, {"type": ["text"], "text": "x"}]
    for block in unknown:
        for message_type in (HumanMessage, SystemMessage):
            with pytest.raises(InvalidInputError, match=r"block of type .* is not allowed in this"):
                build([message_type(content=[block])])


def test_media_belong_into_user_messages() -> None:
    """The error says where to put them."""
    for block in (IMAGE, AUDIO, {"type": "image"}):
        for message in (SystemMessage([block]), AIMessage([block]), ChatMessage([block], role="x")):
            with pytest.raises(InvalidInputError, match="put it into a HumanMessage"):
                build([message])


def test_media_beyond_the_model_are_refused() -> None:
    """With the names of the models that do."""
    refused = [
        ("phi-4", IMAGE, r"Phi-4 does not accept image input. Use one of .*Phi-3-vision-128k"),
        (
            "Phi-3.5-vision-instruct",
            AUDIO,
            r"not accept audio input. Use one of Phi-4-multimodal-instruct\.",
        ),
    ]

    for name, block, message in refused:
        with pytest.raises(InvalidInputError, match=message):
            build([HumanMessage([block])], model=name)


def test_too_many_images_in_a_message_are_refused() -> None:
    """The server would answer 400; in an older message as well, before one is dropped."""
    two, one = HumanMessage([IMAGE, IMAGE]), HumanMessage([IMAGE])

    for messages in ([two], [two, one]):
        with pytest.raises(InvalidInputError, match=r"accepts 1 image\(s\).* this one has 2"):
            build(messages, model=VISION)


# -- One message -----------------------------------------------------------------------------------

MESSAGES: dict[str, tuple[BaseMessage, list[Json]]] = {
    "system": (SystemMessage("Be brief."), [{"role": "system", "content": "Be brief."}]),
    "human": (HumanMessage("Hi"), [user("Hi")]),
    "human with a name": (HumanMessage("Hi", name="ann"), [user("Hi", name="ann")]),
    "ai": (AIMessage("Hello"), [assistant("Hello")]),
    "ai without text": (AIMessage(""), [assistant("")]),
    "ai with a call": (AIMessage("", tool_calls=[CALL]), [assistant("", wire_call("c1"))]),
    "ai with an invalid call": (
        AIMessage("", invalid_tool_calls=[INVALID]),
        [assistant("", wire_call("c2", arguments="{"))],
    ),
    "ai with a function call": (
        AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
        [assistant("", wire_call("call_f_0", "f", "{}"))],
    ),
    "ai with text blocks": (AIMessage([text("One "), text("two")]), [assistant("One two")]),
    "ai with reasoning and calls as blocks": (
        AIMessage([{"type": "reasoning", "reasoning": "Hm."}, text("So."), USE], tool_calls=[CALL]),
        [assistant("So.", wire_call("c1"))],
    ),
    "ai with a call as Anthropic's block": (
        AIMessage([text("I look."), USE]),
        [assistant("I look.", wire_call("c1"))],
    ),
    "tool": (ToolMessage("18", tool_call_id="c1"), [result("c1", "18")]),
    "tool with blocks": (ToolMessage([text("1"), "8"], tool_call_id="c1"), [result("c1", "1\n8")]),
    "function": (
        FunctionMessage("18", name="weather"),
        [result("call_weather", "18", name="weather")],
    ),
    "any role": (ChatMessage("Hm", role="critic"), [{"role": "critic", "content": "Hm"}]),
    "role user": (ChatMessage("Hm", role="user"), [user("Hm")]),
    "role human": (ChatMessage(["a", "b"], role="human"), [user([text("a"), text("b")])]),
    "role ai": (ChatMessage("Hm", role="ai"), [assistant("Hm")]),
    "role developer": (
        ChatMessage("Hm", role="developer"),
        [{"role": "system", "content": "Hm"}],
    ),
    "list of strings": (HumanMessage(["One"]), [user("One")]),
    "one text block": (HumanMessage([text("One")]), [user("One")]),
    "several text blocks": (
        HumanMessage([text("One"), "two"]),
        [user([text("One"), text("two")])],
    ),
    "empty text block": (HumanMessage([text(""), text("two")]), [user("two")]),
    "only empty text blocks": (HumanMessage([text("")]), [user("")]),
    "standard v1 block": (HumanMessage(content_blocks=[text("One")]), [user("One")]),  # type: ignore[list-item]
    "text document": (
        HumanMessage([{"type": "text-plain", "mime_type": "text/plain", "text": "Notes"}]),
        [user("Notes")],
    ),
    "system with blocks": (
        SystemMessage([text("One"), text("two")]),
        [{"role": "system", "content": "One\ntwo"}],
    ),
    "image alone": (HumanMessage([IMAGE]), [user([WIRE_IMAGE])]),
    "media between texts": (
        HumanMessage(["Before", IMAGE, text(""), text("after"), AUDIO]),
        [user([text("Before"), WIRE_IMAGE, text("after"), WIRE_AUDIO])],
    ),
    "image of a tool": (
        ToolMessage([IMAGE], tool_call_id="c1"),
        [result("c1", ""), user([text("What the tool returned:"), WIRE_IMAGE])],
    ),
    "Anthropic's result between texts": (
        HumanMessage([text("Here:"), tool_result(content="18"), text("Well?"), IMAGE]),
        [user("Here:"), result("c1", "18"), user([text("Well?"), WIRE_IMAGE])],
    ),
    "Anthropic's result with an image": (
        HumanMessage([tool_result(content=[text("Here."), IMAGE]), text("Well?")]),
        [
            result("c1", "Here."),
            user([text("What the tool returned:"), WIRE_IMAGE]),
            user("Well?"),
        ],
    ),
    "Anthropic's result without content": (HumanMessage([tool_result()]), [result("c1", "")]),
}


def test_message_has_one_form_in_the_request() -> None:
    """Each type, with each form of content."""
    for name, (message, expected) in MESSAGES.items():
        assert build([message]) == expected, name


# -- Conversations ---------------------------------------------------------------------------------


class Row(NamedTuple):
    """A conversation, the settings and the call's arguments; and what is sent."""

    messages: list[BaseMessage]
    expected: list[Json]
    settings: Json = {}  # noqa: RUF012
    call: Json = {}  # noqa: RUF012


SYSTEM, HI = SystemMessage("Be brief."), HumanMessage("Hi")
WIRE_SYSTEM, WIRE_HI = {"role": "system", "content": "Be brief."}, user("Hi")
FOLDED = user("Be brief.\n\nHi")
FOLDS = {"system_message_mode": "user"}
JSON_CALL = {"tools": [], "response_format": {"type": "json_object"}}
INSTRUCTED = {"role": "system", "content": f"Be brief.\n\n{JSON_INSTRUCTIONS}"}


def check(rows: dict[str, Row]) -> None:
    """That each conversation of a table is sent as expected."""
    for name, row in rows.items():
        request = build_request(RequestSettings(**row.settings), row.messages, row.call)
        assert request.payload["messages"] == row.expected, name


SYSTEM_MESSAGES: dict[str, Row] = {
    "messages of one role stay apart": Row(
        [HI, HI, AIMessage("a"), AIMessage("b"), SYSTEM],
        [WIRE_HI, WIRE_HI, assistant("a"), assistant("b"), WIRE_SYSTEM],
    ),
    "system folded for Phi-3-medium": Row([SYSTEM, HI], [FOLDED], {"model": MEDIUM}),
    "system kept for Phi-3-medium": Row(
        [SYSTEM, HI], [WIRE_SYSTEM, WIRE_HI], {"model": MEDIUM, "system_message_mode": "system"}
    ),
    "system converted by the endpoint": Row(
        [SYSTEM, HI],
        [WIRE_SYSTEM, WIRE_HI],
        {"model": MEDIUM, "endpoint": EndpointFeatures(converts_system_messages=True)},
    ),
    "system kept for other models": Row([SYSTEM, HI], [WIRE_SYSTEM, WIRE_HI], {"model": "Phi-4"}),
    "system messages folded together": Row(
        [SYSTEM, SystemMessage("Be precise."), AIMessage("a"), HI, HI],
        [assistant("a"), user("Be brief.\n\nBe precise.\n\nHi"), WIRE_HI],
        FOLDS,
    ),
    "system folded before parts": Row(
        [SYSTEM, HumanMessage(["One", "two"])],
        [user([text("Be brief."), text("One"), text("two")])],
        FOLDS,
    ),
    "system folded without a user message": Row([HI, SYSTEM], [WIRE_HI, user("Be brief.")], FOLDS),
    "empty system folded": Row([SystemMessage(""), HI], [WIRE_HI], FOLDS),
    "empty system folded before parts": Row(
        [SystemMessage(""), HumanMessage(["One", "two"])],
        [user([text("One"), text("two")])],
        FOLDS,
    ),
    "empty system folded alone": Row([SystemMessage("")], [user("")], FOLDS),
}


def test_system_messages_fold_where_templates_drop_them() -> None:
    """Unless the settings or the endpoint decide otherwise; nothing else is merged."""
    check(SYSTEM_MESSAGES)


INSTRUCTIONS: dict[str, Row] = {
    "instructions after the system message": Row(
        [SYSTEM, SYSTEM, HI], [INSTRUCTED, WIRE_SYSTEM, WIRE_HI], call=JSON_CALL
    ),
    "instructions without a system message": Row(
        [HI, SYSTEM],
        [{"role": "system", "content": JSON_INSTRUCTIONS}, WIRE_HI, WIRE_SYSTEM],
        call=JSON_CALL,
    ),
    "instructions after an empty system message": Row(
        [SystemMessage(""), HI],
        [{"role": "system", "content": JSON_INSTRUCTIONS}, WIRE_HI],
        call=JSON_CALL,
    ),
    "instructions folded": Row(
        [SYSTEM, HI],
        [user(f"Be brief.\n\n{JSON_INSTRUCTIONS}\n\nHi")],
        {"model": MEDIUM},
        JSON_CALL,
    ),
    "instructions before a result": Row(
        [ToolMessage("18", tool_call_id="c1", name="weather")],
        [
            {"role": "system", "content": JSON_INSTRUCTIONS},
            user("Result of the tool weather:\n18"),
        ],
        call=JSON_CALL,
    ),
}


def test_instructions_end_the_first_system_message() -> None:
    """The user's own text comes first."""
    check(INSTRUCTIONS)


MEDIA: dict[str, Row] = {
    "media of tools after the last result": Row(
        [
            AIMessage("", tool_calls=[CALL, {**CALL, "id": "c2"}]),
            ToolMessage([text("Done."), IMAGE], tool_call_id="c1", name="draw"),
            ToolMessage([AUDIO], tool_call_id="c2"),
            HI,
        ],
        [
            assistant("", wire_call("c1"), wire_call("c2")),
            result("c1", "Done.", name="draw"),
            result("c2", ""),
            user([text("What draw returned:"), WIRE_IMAGE]),
            user([text("What the tool returned:"), WIRE_AUDIO]),
            WIRE_HI,
        ],
        {"tool_calling": "native"},
    ),
    "newest image of Phi-3-vision": Row(
        [
            HumanMessage(["first", WIRE_IMAGE]),
            AIMessage("I see."),
            HumanMessage([WIRE_OTHER, "second"]),
            HumanMessage(["third", "fourth"]),
        ],
        [
            user([text("first")]),
            assistant("I see."),
            user([WIRE_OTHER, text("second")]),
            user([text("third"), text("fourth")]),
        ],
        {"model": VISION},
    ),
    "older image alone leaves an empty message": Row(
        [HumanMessage([IMAGE]), HumanMessage([WIRE_OTHER])],
        [user(""), user([WIRE_OTHER])],
        {"model": VISION},
    ),
    "newest image of a tool": Row(
        [HumanMessage([IMAGE]), ToolMessage([WIRE_OTHER], tool_call_id="c1")],
        [user(""), result("c1", ""), user([text("What the tool returned:"), WIRE_OTHER])],
        {"model": VISION, "tool_calling": "native"},
    ),
    "images that Phi-3.5-vision accepts": Row(
        [HumanMessage([IMAGE, WIRE_OTHER]), HumanMessage([IMAGE])],
        [user([WIRE_IMAGE, WIRE_OTHER]), user([WIRE_IMAGE])],
        {"model": "Phi-3.5-vision-instruct"},
    ),
    "media that Phi-4-multimodal accepts": Row(
        [HumanMessage([IMAGE, AUDIO])],
        [user([WIRE_IMAGE, WIRE_AUDIO])],
        {"model": "Phi-4-multimodal-instruct"},
    ),
    "media of an unknown model": Row(
        [HumanMessage([IMAGE, IMAGE, AUDIO])], [user([WIRE_IMAGE, WIRE_IMAGE, WIRE_AUDIO])]
    ),
}


def test_media_fit_what_the_model_accepts() -> None:
    """Those of tools follow the last result: tool messages hold only text."""
    check(MEDIA)


def test_newest_images_of_a_message_stay() -> None:
    """As many as the conversation may hold, counted from its end."""
    vision = find_model(VISION)
    assert vision is not None
    messages = [HumanMessage([WIRE_IMAGE, WIRE_OTHER]), HumanMessage([WIRE_IMAGE])]

    for limit, first in ((1, ""), (2, [WIRE_OTHER]), (3, [WIRE_IMAGE, WIRE_OTHER])):
        model = replace(vision, images_per_message=None, images_per_conversation=limit)
        sent = to_wire_messages(messages, ConversationOptions(model)).messages
        assert sent == [user(first), user([WIRE_IMAGE])]


def test_placeholders_in_a_text_claim_no_image() -> None:
    """The server inserts its own; one in a text would claim an image that is not there."""
    sent = {
        "<|image_1|>\nWhat is this?": "<image_1>\nWhat is this?",
        "Compare <|image_1|> with <|image_12|>.": "Compare <image_1> with <image_12>.",
        "<|audio_1|>": "<audio_1>",
    }

    for given, expected in sent.items():
        messages = [ToolMessage(given, tool_call_id="c1"), HumanMessage([given, IMAGE])]
        with_images = [result("c1", expected), user([text(expected), WIRE_IMAGE])]
        for name in (VISION, None):  # an unknown deployment may be a vision model
            assert build(messages, model=name) == with_images
            assert build([SystemMessage(given)], model=name)[0]["content"] == expected
            (answer,) = build([AIMessage(given, tool_calls=[called("now", at=given)])], model=name)
            assert expected == answer["content"]
            assert json.dumps(expected)[1:-1] in answer["tool_calls"][0]["function"]["arguments"]
        assert build([HumanMessage(given)], model="Phi-4") == [user(given)]


def test_images_are_resized_on_request() -> None:
    """Also those of tools; neither audio nor older images that are not sent."""
    seen: list[Json] = []

    def resize(part: Json) -> Json:
        seen.append(part)
        return WIRE_OTHER

    messages = [HumanMessage([IMAGE, AUDIO]), ToolMessage([IMAGE], tool_call_id="c1")]
    sent = build(messages, resize_image=resize)

    assert seen == [WIRE_IMAGE, WIRE_IMAGE]
    assert [part for message in sent for part in message["content"] if "type" in part] == [
        WIRE_OTHER,
        WIRE_AUDIO,
        text("What the tool returned:"),
        WIRE_OTHER,
    ]

    seen.clear()
    conversation = [HumanMessage([WIRE_OTHER]), HumanMessage([IMAGE])]
    sent = build(conversation, model=VISION, resize_image=resize)
    assert seen == [WIRE_IMAGE]
    assert sent == [user(""), user([WIRE_OTHER])]


# -- Tool calls ------------------------------------------------------------------------------------


def test_calls_without_ids_get_unique_ones() -> None:
    """Each result finds the oldest call of its tool that lacks one."""
    messages = [
        AIMessage("", tool_calls=[called("now"), called("now"), called("dice")]),
        FunctionMessage("first", name="now"),
        ToolMessage("7", tool_call_id="", name="dice"),
        ToolMessage("second", tool_call_id="", name="now"),
        AIMessage("", tool_calls=[called("now")]),
        FunctionMessage("third", name="now"),
    ]

    sent = build(messages)

    ids = [call["id"] for message in sent for call in message.get("tool_calls", ())]
    assert len(set(ids)) == 4
    answered = [(m["tool_call_id"], m["content"]) for m in sent if m["role"] == "tool"]
    assert answered == [(ids[0], "first"), (ids[2], "7"), (ids[1], "second"), (ids[3], "third")]


def test_generated_ids_differ_from_given_ones() -> None:
    """Whatever ids an earlier model has given."""
    earlier = AIMessage("", tool_calls=[called("now", "call_now_1"), called("now", "call_now_2")])

    sent = build([earlier, earlier, AIMessage("", tool_calls=[called("now"), called("now")])])

    ids = [call["id"] for message in sent for call in message["tool_calls"]]
    assert len(set(ids)) == 4


def test_prompted_calls_have_the_form_that_is_requested() -> None:
    """In the model's own format; text before the calls and a broken call stay."""
    invalid = {**INVALID, "args": "oops"}
    ai = AIMessage("I look.", tool_calls=[CALL, called("now", "c2")], invalid_tool_calls=[invalid])
    city, now, broken = (
        '{"name": "weather", "arguments": {"city": "Zürich"}}',
        '{"name": "now", "arguments": {}}',
        '{"name": "weather", "arguments": {"": "oops"}}',
    )

    assert prompted([ai]) == [assistant(f"I look.\n{city}\n{now}\n{broken}")]
    assert prompted([ai], model="Phi-4-mini-instruct") == [
        assistant(f"I look.\n<|tool_call|>[{city}, {now}, {broken}]<|/tool_call|>")
    ]
    assert prompted([AIMessage(" ", tool_calls=[CALL])]) == [assistant(city)]


def test_prompted_tools_are_listed_in_the_models_format() -> None:
    """At the end of the system message."""
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}

    for name, start, end in (
        ("Phi-4", "Be brief.\n\nYou have these tools:\n", "without JSON."),
        ("Phi-4-mini-instruct", "Be brief.\n\nIf you need a tool", "<|/tool|>"),
    ):
        system, question = build(
            [SYSTEM, HI], {"tools": [tool]}, model=name, tool_calling="prompted"
        )
        assert question == WIRE_HI
        assert system["content"].startswith(start)
        assert system["content"].endswith(end)
        assert '"weather"' in system["content"]


def test_prompted_results_share_a_user_message() -> None:
    """Named after the tool, by the call's id; failures are reported as such."""
    messages = [
        AIMessage("", tool_calls=[CALL, called("now", "c2")]),
        ToolMessage("18 degrees", tool_call_id="c1"),
        ToolMessage("clock is broken", tool_call_id="c2", status="error"),
        HI,
        HumanMessage([tool_result(content="no", is_error=True)]),
    ]

    assert prompted(messages)[1:] == [
        user("Result of the tool weather:\n18 degrees\n\nThe tool now failed:\nclock is broken"),
        WIRE_HI,
        user("The tool weather failed:\nno"),
    ]


def test_prompted_result_without_its_call_is_sent() -> None:
    """By its own name, if it has one: trimmed conversations begin anywhere."""
    messages = [FunctionMessage("7", name="dice"), ToolMessage("8", tool_call_id="lost")]

    assert prompted(messages) == [
        user("Result of the tool dice:\n7\n\nResult of the tool that was called:\n8")
    ]


def test_prompted_media_end_their_user_message() -> None:
    """So that each message holds the images of one tool at most."""
    messages = [
        ToolMessage("7", tool_call_id="c1", name="dice"),
        ToolMessage(["Here.", IMAGE], tool_call_id="c2", name="draw"),
        ToolMessage([AUDIO], tool_call_id="c3", name="sing"),
        ToolMessage("8", tool_call_id="c4", name="dice"),
    ]

    first = "Result of the tool dice:\n7\n\nResult of the tool draw:\nHere."
    assert prompted(messages) == [
        user([text(first), WIRE_IMAGE]),
        user([text("Result of the tool sing, without any text."), WIRE_AUDIO]),
        user("Result of the tool dice:\n8"),
    ]
