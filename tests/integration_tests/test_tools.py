"""Tools on a deployment that refuses them: described in words, and read from the answer."""

import json
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_azure_phi3 import BadRequestError, ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.colours import COLOURS, ask, sum_of

CALL = '{"name": "weather", "arguments": {"city": "Ulm"}}'


@tool
def weather(city: str, days: int = 1) -> str:
    """The weather of a city."""
    return f"sunny in {city} for {days}"


@tool
def now() -> str:
    """The time."""
    return "noon"


class Search(BaseModel):
    """Search the web."""

    query: str = Field(description="what to look for")


class Order(TypedDict):
    """Order a product."""

    product: Annotated[str, ..., "its name"]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


SCHEMA = {
    "title": "Note",
    "description": "Write a note.",
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
}


def called(message: AIMessage) -> list[tuple[str, dict[str, Any]]]:
    """The calls without their ids."""
    return [(call["name"], call["args"]) for call in message.tool_calls]


# -- what is asked -----------------------------------------------------------------------------


def test_tools_of_every_kind_are_described_in_words(phi: Emulator, model: ChatAzurePhi3) -> None:
    """And none goes on the wire, where it would be a 400."""
    model.bind_tools([weather, Search, Order, add, SCHEMA]).invoke("Hi")

    sent = phi.requests[-1].json
    told = sent["messages"][0]
    assert not {"tools", "tool_choice"} & sent.keys()
    assert "system" == told["role"]
    for name in ("weather", "Search", "Order", "add", "Note"):
        assert f'"name":"{name}"' in told["content"]


def test_the_tools_stay_in_the_calls_arguments(model: ChatAzurePhi3) -> None:
    """`disable_streaming="tool_calling"`, tracing and caches look there."""
    bound = model.bind_tools([weather], tool_choice="any")

    assert "weather" == bound.kwargs["tools"][0]["function"]["name"]
    assert "required" == bound.kwargs["tool_choice"]


def test_the_users_system_message_stays_first(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The description follows it in the same turn."""
    model.bind_tools([weather]).invoke([SystemMessage("Be brief."), HumanMessage("Hi")])

    turns = phi.requests[-1].json["messages"]
    assert ["system", "user"] == [turn["role"] for turn in turns]
    assert turns[0]["content"].startswith("Be brief.\n\nYou have these tools:")


@pytest.mark.parametrize("choice", ["none", False])
def test_choosing_none_offers_none(phi: Emulator, model: ChatAzurePhi3, choice: Any) -> None:
    """Not in words either."""
    model.bind_tools([weather], tool_choice=choice).invoke("Hi")

    assert [{"role": "user", "content": "Hi"}] == phi.requests[-1].json["messages"]


def test_an_unknown_name_is_refused_where_it_is_bound(model: ChatAzurePhi3) -> None:
    """With the names that there are."""
    with pytest.raises(InvalidInputError, match="weather"):
        model.bind_tools([weather], tool_choice="weather2")


def test_calls_and_results_go_back_as_text(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Phi-3-mini's template drops tool turns without a word."""
    model.bind_tools([weather]).invoke(
        [
            HumanMessage("Weather in Ulm?"),
            AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Ulm"}, "id": "c1"}]),
            ToolMessage("sunny", tool_call_id="c1"),
        ]
    )

    turns = phi.requests[-1].json["messages"][1:]
    assert [
        {"role": "user", "content": "Weather in Ulm?"},
        {"role": "assistant", "content": CALL},
        {"role": "user", "content": "Result of the tool weather:\nsunny"},
    ] == turns


def test_a_history_with_calls_works_without_tools(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As when an agent's conversation is summarised."""
    model.invoke([HumanMessage("a"), ToolMessage("b", tool_call_id="c1", name="weather")])

    assert ["user", "user"] == [turn["role"] for turn in phi.requests[-1].json["messages"]]


def test_phi_4_mini_gets_the_form_it_was_trained_on() -> None:
    """Tools between tags at the end of the system turn, calls between tags as well."""
    with Emulator("Phi-4-mini-instruct") as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model="Phi-4-mini-instruct"
        )
        phi.script(f"<|tool_call|>[{CALL}]<|/tool_call|>")
        answer = model.bind_tools([weather]).invoke("Weather in Ulm?")

        assert phi.requests[-1].json["messages"][0]["content"].endswith("]<|/tool|>")
    assert [("weather", {"city": "Ulm"})] == called(answer)


# -- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize("colour", COLOURS)
async def test_calls_are_the_same_in_all_four_colours(
    phi: Emulator, colour: str, version: str | None
) -> None:
    """Two calls with text before them; their text is nowhere in the content."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, output_version=version)
    phi.script(f'I look.\n{CALL}\n{{"name": "now", "arguments": {{}}}}')

    answer = await ask(model.bind_tools([weather, now]), colour, "Weather in Ulm now?")

    assert [("weather", {"city": "Ulm"}), ("now", {})] == called(answer)
    assert 2 == len({call["id"] for call in answer.tool_calls})
    assert "I look.\n" == answer.text
    kinds = [block["type"] for block in answer.content_blocks]
    assert ["text", "tool_call", "tool_call"] == kinds


@pytest.mark.parametrize("colour", COLOURS)
async def test_arguments_are_mended_where_that_is_unambiguous(
    phi: Emulator, model: ChatAzurePhi3, colour: str
) -> None:
    """A number in quotes, an invented argument, a trailing comma."""
    phi.script('{"name": "weather", "arguments": {"city": "Ulm", "days": "2", "mood": 1,},}')

    answer = await ask(model.bind_tools([weather]), colour, "Weather?")

    assert [("weather", {"city": "Ulm", "days": 2})] == called(answer)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_call_that_cannot_be_made_is_kept_with_the_reason(
    phi: Emulator, model: ChatAzurePhi3, colour: str
) -> None:
    """As an invalid call; the reason is in the metadata too, where streams can carry it."""
    phi.script('{"name": "weather", "arguments": {"days": [1]}}')

    answer = await ask(model.bind_tools([weather]), colour, "Weather?")

    assert [] == answer.tool_calls
    (invalid,) = answer.invalid_tool_calls
    assert ("weather", '{"days": [1]}') == (invalid["name"], json.loads(str(invalid["args"])))
    assert (
        '"city" is a required property'
        in answer.response_metadata["tool_call_errors"][invalid["id"]]
    )


@pytest.mark.parametrize(
    "text",
    [
        "It is sunny.",
        'JSON looks so: {"name": "Ann", "age": 7}.',
        "```python\nprint({'name': 'weather'})\n```",
    ],
)
@pytest.mark.parametrize("colour", COLOURS)
async def test_an_ordinary_answer_stays_what_it_is(
    phi: Emulator, model: ChatAzurePhi3, colour: str, text: str
) -> None:
    """Also where it only looks like a call."""
    phi.script(text)

    answer = await ask(model.bind_tools([weather]), colour, "How does JSON look?")

    assert (text, []) == (answer.text, answer.tool_calls)


def test_the_first_token_of_an_ordinary_answer_is_not_delayed(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """Chunk by chunk as without tools."""
    phi.script("It is sunny in Ulm.", "It is sunny in Ulm.")

    plain = [chunk.text for chunk in model.stream("Weather?")]
    with_tools = [chunk.text for chunk in model.bind_tools([weather]).stream("Weather?")]

    assert plain == with_tools


def test_an_answer_cut_by_the_token_limit_is_no_good_call(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """Half of an argument could be anything."""
    phi.script('{"name": "weather", "arguments": {"city": "Ulm am Rhein am Main"}}')

    answer = model.bind_tools([weather]).invoke("Weather?", max_tokens=12)

    assert "length" == answer.response_metadata["finish_reason"]
    assert [] == answer.tool_calls


# -- what is demanded --------------------------------------------------------------------------

TALK = "I would say it is sunny."


@pytest.mark.parametrize("choice", ["any", "weather", True])
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_demanded_call_is_asked_for_again(
    phi: Emulator, model: ChatAzurePhi3, colour: str, choice: Any
) -> None:
    """With what was wrong; the usage is the sum, and nothing of the first answer is shown."""
    phi.script(TALK, CALL)

    answer = await ask(model.bind_tools([weather], tool_choice=choice), colour, "Weather?")

    assert [("weather", {"city": "Ulm"})] == called(answer)
    assert "" == answer.text
    assert "unmet_requirement" not in answer.response_metadata
    first, second = (request.json["messages"] for request in phi.requests)
    assert [{"role": "assistant", "content": TALK}] == second[len(first) : -1]
    assert TALK in second[-1]["content"]
    alone = model.bind_tools([weather], tool_choice=choice)
    phi.script(CALL)
    assert answer.usage_metadata is not None
    once = (await alone.ainvoke("Weather?")).usage_metadata
    assert answer.usage_metadata["input_tokens"] > 2 * once["input_tokens"]


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_demanded_call_with_wrong_arguments_is_asked_for_again(
    phi: Emulator, model: ChatAzurePhi3, colour: str
) -> None:
    """The reason is quoted to the model."""
    phi.script('{"name": "weather", "arguments": {}}', CALL)

    answer = await ask(model.bind_tools([weather], tool_choice="any"), colour, "Weather?")

    assert [("weather", {"city": "Ulm"})] == called(answer)
    assert '"city" is a required property' in phi.requests[-1].json["messages"][-1]["content"]


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_call_that_never_comes_is_visible(phi: Emulator, colour: str) -> None:
    """After the corrections the answer is given as it is, and says what it lacks."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_corrections=2)
    phi.script(*[TALK] * 3)

    answer = await ask(model.bind_tools([weather], tool_choice="any"), colour, "Weather?")

    assert 3 == len(phi.requests)
    assert (TALK, []) == (answer.text, answer.tool_calls)
    assert "no call" in answer.response_metadata["unmet_requirement"]


def test_corrections_can_be_switched_off(phi: Emulator) -> None:
    """One request, whatever it gives."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_corrections=0)
    phi.script(TALK)

    model.bind_tools([weather], tool_choice="any").invoke("Weather?")

    assert 1 == len(phi.requests)


def test_a_named_tool_is_the_only_one_described(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A call of another one is not what was demanded."""
    phi.script('{"name": "now", "arguments": {}}', CALL)

    answer = model.bind_tools([weather, now], tool_choice="weather").invoke("Weather?")

    assert '"name":"now"' not in phi.requests[0].json["messages"][0]["content"]
    assert [("weather", {"city": "Ulm"})] == called(answer)


def test_a_demanded_call_is_given_as_soon_as_it_is_there(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """What follows it streams on."""
    phi.script(f"{CALL} And then some words.")

    chunks = list(model.bind_tools([weather], tool_choice="any").stream("Weather?"))

    first = next(i for i, chunk in enumerate(chunks) if chunk.tool_call_chunks)
    assert first < len(chunks) - 3
    assert "And then some words." == sum_of(chunks).text.strip()


# -- native tools ------------------------------------------------------------------------------


def test_forced_native_tools_meet_what_the_deployment_says(phi: Emulator) -> None:
    """Phi-3's is a 400, in its own words."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, tool_calling="native")

    with pytest.raises(BadRequestError, match="Tools and tool_choice are not supported"):
        model.bind_tools([weather]).invoke("Weather?")


@pytest.mark.parametrize(
    ("settings", "native"),
    [
        ({"model": "Phi-4"}, False),
        ({"model": "Phi-4-mini-instruct"}, False),
        ({}, False),
        ({"model": "mistral-small"}, True),
        ({"model": "mistral-small", "tool_calling": "prompted"}, False),
        ({"model": "Phi-4", "tool_calling": "native"}, True),
    ],
)
def test_the_way_follows_from_model_and_setting(
    phi: Emulator, settings: dict[str, Any], native: bool
) -> None:
    """Into the prompt for every Phi; on the wire for a model that is none, or when forced."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **settings)
    phi.fail(status=418)

    with pytest.raises(BadRequestError):
        model.bind_tools([weather], parallel_tool_calls=False).invoke("Weather?")

    sent = phi.requests[-1].json
    assert native == ("tools" in sent) == ("parallel_tool_calls" in sent)


@pytest.mark.parametrize("strict", [None, True, False])
def test_strictness_is_marked_on_the_tools(model: ChatAzurePhi3, strict: bool | None) -> None:
    """For deployments that take tools on the wire."""
    bound = model.bind_tools([weather], strict=strict)

    assert strict == bound.kwargs["tools"][0]["function"].get("strict")


@pytest.fixture
def making() -> Callable[..., ChatAzurePhi3]:
    """A model that never asks anybody."""

    def made(**settings: Any) -> ChatAzurePhi3:
        return ChatAzurePhi3(endpoint="https://phi.example", credential="key", **settings)

    return made


def test_the_profile_says_what_the_package_gives(making: Callable[..., ChatAzurePhi3]) -> None:
    """`create_agent` chooses its strategy by it."""
    profile = making(model="Phi-3-mini-4k-instruct").profile

    assert profile is not None
    assert profile["tool_calling"] is True
    assert profile["structured_output"] is True
    assert making(model="unheard-of").profile is None


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
@pytest.mark.parametrize("where", ["constructor", "call"])
def test_a_json_mode_that_hangs_is_refused_before_sending(
    phi: Emulator, kind: str, where: str
) -> None:
    """Phi-3 floods line feeds until max_tokens; the error names what works instead."""
    wanted = {"response_format": {"type": kind}}
    settings, call = (wanted, {}) if where == "constructor" else ({}, wanted)
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **settings)

    with pytest.raises(InvalidInputError, match="with_structured_output"):
        model.invoke("Hi", **call)

    assert [] == phi.requests


def test_a_json_mode_can_be_forced(phi: Emulator) -> None:
    """For a deployment that the user knows better."""
    forced = {"response_format": {"type": "json_object"}}
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model_extras=forced)

    with pytest.raises(BadRequestError):
        model.invoke("Hi")

    assert {"type": "json_object"} == phi.requests[-1].json["response_format"]
