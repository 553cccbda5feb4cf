"""Tools on a deployment that refuses them: in the prompt, with calls parsed from the text."""

import json
from itertools import product
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_azure_phi3 import BadRequestError, ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model, merge_chunks
from tests.unit_tests.scripted import Scripted, model_on

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


def calls_of(message: AIMessage) -> list[tuple[str, dict[str, Any]]]:
    """The calls without their ids."""
    return [(call["name"], call["args"]) for call in message.tool_calls]


# -- refused before a request --------------------------------------------------------------------


def test_unknown_tool_choice_is_refused_when_bound(model: ChatAzurePhi3) -> None:
    """The error lists the tools."""
    with pytest.raises(InvalidInputError, match="weather"):
        model.bind_tools([weather], tool_choice="weather2")


def test_json_mode_that_hangs_is_refused(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Phi-3 floods line feeds until max_tokens; the error names what works instead."""
    for json_type in ("json_object", "json_schema"):
        parameters = {"response_format": {"type": json_type}}
        other = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **parameters)

        with pytest.raises(InvalidInputError, match="with_structured_output"):
            model.invoke("Hi", **parameters)
        with pytest.raises(InvalidInputError, match="with_structured_output"):
            other.invoke("Hi")

    assert [] == phi.requests


def test_json_mode_can_be_forced(phi: Emulator) -> None:
    """For a deployment that the user knows better."""
    forced = {"response_format": {"type": "json_object"}}
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model_extras=forced)

    with pytest.raises(BadRequestError):
        model.invoke("Hi")

    assert {"type": "json_object"} == phi.requests[-1].json["response_format"]


def test_forced_native_tools_get_the_servers_error(phi: Emulator) -> None:
    """Phi-3's server answers with a 400."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, tool_calling="native")

    with pytest.raises(BadRequestError, match="Tools and tool_choice are not supported"):
        model.bind_tools([weather]).invoke("Weather?")


# -- requests ------------------------------------------------------------------------------------


def test_tools_of_every_type_go_into_the_prompt(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As request parameters they would be a 400."""
    model.bind_tools([weather, Search, Order, add, SCHEMA]).invoke("Hi")

    sent = phi.requests[-1].json
    system = sent["messages"][0]
    assert not {"tools", "tool_choice"} & sent.keys()
    assert "system" == system["role"]
    for name in ("weather", "Search", "Order", "add", "Note"):
        assert f'"name":"{name}"' in system["content"]


def test_tools_stay_in_the_call_arguments(model: ChatAzurePhi3) -> None:
    """`disable_streaming="tool_calling"`, tracing and caches read them there."""
    bound = model.bind_tools([weather], tool_choice="any")

    assert "weather" == bound.kwargs["tools"][0]["function"]["name"]
    assert "required" == bound.kwargs["tool_choice"]


def test_system_message_precedes_the_tools(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Both are in one message."""
    model.bind_tools([weather]).invoke([SystemMessage("Be brief."), HumanMessage("Hi")])

    messages = phi.requests[-1].json["messages"]
    assert ["system", "user"] == [message["role"] for message in messages]
    assert messages[0]["content"].startswith("Be brief.\n\nYou have these tools:")


def test_tool_choice_none_hides_the_tools(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The prompt stays as it was."""
    for choice in ("none", False):
        model.bind_tools([weather], tool_choice=choice).invoke("Hi")

        assert [{"role": "user", "content": "Hi"}] == phi.requests[-1].json["messages"], choice


def test_calls_and_results_are_sent_as_text(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The template of Phi-3-mini drops tool messages silently."""
    model.bind_tools([weather]).invoke(
        [
            HumanMessage("Weather in Ulm?"),
            AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Ulm"}, "id": "c1"}]),
            ToolMessage("sunny", tool_call_id="c1"),
        ]
    )

    assert [
        {"role": "user", "content": "Weather in Ulm?"},
        {"role": "assistant", "content": CALL},
        {"role": "user", "content": "Result of the tool weather:\nsunny"},
    ] == phi.requests[-1].json["messages"][1:]


def test_history_with_calls_needs_no_tools(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As when an agent's conversation is summarized."""
    model.invoke([HumanMessage("a"), ToolMessage("b", tool_call_id="c1", name="weather")])

    assert ["user", "user"] == [message["role"] for message in phi.requests[-1].json["messages"]]


PHI_4_MINI = "Phi-4-mini-instruct"


def test_phi_4_mini_gets_its_trained_tool_format() -> None:
    """Tools between tags at the end of the system message, calls between tags as well."""
    with Emulator("Phi-4-mini-instruct") as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model="Phi-4-mini-instruct"
        )
        phi.script(f"<|tool_call|>[{CALL}]<|/tool_call|>")
        answer = model.bind_tools([weather]).invoke("Weather in Ulm?")

        assert phi.requests[-1].json["messages"][0]["content"].endswith("]<|/tool|>")
    assert [("weather", {"city": "Ulm"})] == calls_of(answer)


NATIVE: list[tuple[dict[str, Any], bool]] = [
    ({}, False),
    ({"model": "Phi-4"}, False),
    ({"model": "Phi-4-mini-instruct"}, False),
    ({"model": "our-deployment"}, False),
    ({"model": "our-deployment", "tool_calling": "native"}, True),
    ({"model": "Phi-4", "tool_calling": "native"}, True),
    ({"model": "phi-4-mini", "api": "foundry-local"}, True),
    ({"model": "Phi-4-mini-reasoning-generic-cpu:3", "api": "foundry-local"}, True),
    ({"model": "phi-4", "api": "foundry-local"}, False),
    ({"model": "phi-4-mini", "api": "openai-server"}, False),
]


def test_model_and_setting_decide_native_or_prompted(phi: Emulator) -> None:
    """Prompted for every Phi, whatever the deployment's name is; native when requested."""
    for settings, native in NATIVE:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **settings)
        phi.fail(status=418)

        with pytest.raises(BadRequestError):
            model.bind_tools([weather], parallel_tool_calls=False).invoke("Weather?")

        sent = phi.requests[-1].json
        assert native == ("tools" in sent) == ("parallel_tool_calls" in sent), settings


TEXT_CALLS = (
    f"<tool_call>{CALL}</tool_call>",
    f"functools[{CALL}]",
    f"<|tool_call|>[{CALL}]<|/tool_call|>",
)


async def test_native_calls_are_also_found_in_text() -> None:
    """Foundry Local leaves them there in streams and by default (foundry-local#874)."""
    with Emulator("Phi-4-mini-instruct", server_type="openai-server", tools="native") as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model=PHI_4_MINI, api="foundry-local"
        )
        for mode, choice, text in product(CALL_MODES, ("auto", "any"), TEXT_CALLS):
            phi.script(text)
            bound = model.bind_tools([weather], tool_choice=choice)
            answer = await call_model(bound, mode, "Weather in Ulm?")
            assert [("weather", {"city": "Ulm"})] == calls_of(answer), (mode, choice, text)
            assert "" == answer.text
            phi.script("It is sunny.")
            answer = await call_model(model.bind_tools([weather]), mode, "Weather in Ulm?")
            assert ("It is sunny.", []) == (answer.text, answer.tool_calls)
        assert all("tools" in request.json for request in phi.requests)


def test_foundry_local_gets_schemas_in_the_prompt() -> None:
    """Its tools are native, but a small model has to see the schema; as a tool, it does."""
    with Emulator(PHI_4_MINI, server_type="openai-server", tools="native") as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model=PHI_4_MINI, api="foundry-local"
        )
        for method in ("json_schema", "json_mode", "function_calling"):
            phi.script('{"query": "phi"}')
            found = model.with_structured_output(Search, method=method).invoke("JSON with query.")
            sent = phi.requests[-1].json
            assert Search(query="phi") == found
            assert ("response_format" in sent) == (method != "function_calling")
            assert ("tools" in sent) == (method == "function_calling")
            if method == "json_schema":
                assert '"query"' in sent["messages"][0]["content"]


async def test_native_calls_are_found_where_required() -> None:
    """A call on the wire is not missed in the text, and a missing one is reported."""
    with Emulator(PHI_4_MINI, server_type="openai-server", tools="native") as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model=PHI_4_MINI, tool_calling="native"
        )
        bound = model.bind_tools([weather], tool_choice="any")
        for mode in CALL_MODES:
            answer = await call_model(bound, mode, "Weather in Ulm?")
            assert ["weather"] == [call["name"] for call in answer.tool_calls]
            assert "unmet_requirement" not in answer.response_metadata
            phi.script("It is sunny.")
            answer = await call_model(bound, mode, "Weather in Ulm?")
            assert "It is sunny." == answer.text
            assert "no tool call" in answer.response_metadata["unmet_requirement"]


def test_strict_is_set_on_the_tools(model: ChatAzurePhi3) -> None:
    """For deployments with native tools."""
    for strict in (None, True, False):
        bound = model.bind_tools([weather], strict=strict)

        assert strict == bound.kwargs["tools"][0]["function"].get("strict")


def test_profile_includes_prompted_abilities() -> None:
    """`create_agent` chooses its strategy from the profile."""

    def profile(name: str | None) -> Any:
        return ChatAzurePhi3(endpoint="https://phi.example", credential="key", model=name).profile

    for name in (None, "unheard-of", "Phi-3-mini-4k-instruct"):
        assert profile(name)["tool_calling"] is True
        assert profile(name)["structured_output"] is True
        assert profile(name)["text_inputs"] is True


# -- responses -----------------------------------------------------------------------------------


async def test_impossible_call_is_invalid_with_its_reason(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """The reason is in the metadata too, because streams cannot carry it elsewhere."""
    for mode in CALL_MODES:
        phi.script('{"name": "weather", "arguments": {"days": [1]}}')

        bound = model.bind_tools([weather]).bind(max_corrections=0)
        answer = await call_model(bound, mode, "Weather?")

        assert [] == answer.tool_calls, mode
        (invalid,) = answer.invalid_tool_calls
        arguments = json.loads(str(invalid["args"]))
        if isinstance(arguments, str):  # LangChain takes an object in a stream for a valid call
            arguments = json.loads(arguments)
        assert ("weather", {"days": [1]}) == (invalid["name"], arguments)
        reason = answer.response_metadata["tool_call_errors"][invalid["id"]]
        assert '"city" is a required property' in reason


def test_truncated_call_is_not_a_call(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Half of an argument could be anything."""
    phi.script('{"name": "weather", "arguments": {"city": "Ulm am Rhein am Main"}}')

    answer = model.bind_tools([weather]).invoke("Weather?", max_tokens=12)

    assert "length" == answer.response_metadata["finish_reason"]
    assert [] == answer.tool_calls


TEXTS = (
    "It is sunny.",
    'JSON looks so: {"name": "Ann", "age": 7}.',
    "```python\nprint({'name': 'weather'})\n```",
)


async def test_text_stays_text(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Also where it only resembles a call."""
    for text in TEXTS:
        for mode in CALL_MODES:
            phi.script(text)

            answer = await call_model(model.bind_tools([weather]), mode, "How does JSON look?")

            assert (text, []) == (answer.text, answer.tool_calls), mode


def test_tools_do_not_delay_streamed_text(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The chunks are the same as without tools."""
    phi.script("It is sunny in Ulm.", "It is sunny in Ulm.")

    plain = [chunk.text for chunk in model.stream("Weather?")]
    with_tools = [chunk.text for chunk in model.bind_tools([weather]).stream("Weather?")]

    assert plain == with_tools


@pytest.mark.parametrize("version", [None, "v1"])
async def test_text_and_calls_become_separate_blocks(phi: Emulator, version: str | None) -> None:
    """Two calls after a text; their JSON is not part of the content."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, output_version=version)
    for mode in CALL_MODES:
        phi.script(f'Let me look.\n{CALL}\n{{"name": "now", "arguments": {{}}}}')

        answer = await call_model(model.bind_tools([weather, now]), mode, "Weather in Ulm now?")

        assert [("weather", {"city": "Ulm"}), ("now", {})] == calls_of(answer), mode
        assert 2 == len({call["id"] for call in answer.tool_calls})
        assert "Let me look.\n" == answer.text
        types = [block["type"] for block in answer.content_blocks]
        assert ["text", "tool_call", "tool_call"] == types


async def test_unambiguous_argument_mistakes_are_fixed(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A number in quotes, an invented argument, a trailing comma."""
    for mode in CALL_MODES:
        phi.script('{"name": "weather", "arguments": {"city": "Ulm", "days": "2", "mood": 1,},}')

        answer = await call_model(model.bind_tools([weather]), mode, "Weather?")

        assert [("weather", {"city": "Ulm", "days": 2})] == calls_of(answer), mode


# The texts in which small models write a call of `weather(city="Ulm", days=3)`.
CALL_TEXTS = {
    "prose": 'Sure! {"name": "weather", "arguments": {"city": "Ulm", "days": 3}} That is it.',
    "fence": '```json\n{"name": "weather", "arguments": {"city": "Ulm", "days": 3}}\n```',
    "unclosed fence": '```json\n{"name": "weather", "arguments": {"city": "Ulm", "days": 3}}',
    "wrong types": '{"name": "weather", "arguments": {"city": "Ulm", "days": "3"}}',
    "invented arguments": '{"name": "weather", "arguments": {"city": "Ulm", "days": 3, "x": 1}}',
    "single quotes": "{'name': 'weather', 'arguments': {'city': 'Ulm', 'days': 3}}",
    "trailing comma": '{"name": "weather", "arguments": {"city": "Ulm", "days": 3,},}',
    "python literals": '{"name": "weather", "arguments": {"city": "Ulm", "days": 3, "x": None}}',
}


async def test_call_formats_of_small_models_are_read(phi: Emulator, model: ChatAzurePhi3) -> None:
    """With one request each."""
    bound = model.bind_tools([weather], tool_choice="any")
    for mistake, text in CALL_TEXTS.items():
        for mode in CALL_MODES:
            phi.script(text)

            answer = await call_model(bound, mode, "Weather?")
            assert [("weather", {"city": "Ulm", "days": 3})] == calls_of(answer), (mistake, mode)

    assert len(CALL_TEXTS) * len(CALL_MODES) == len(phi.requests)


# -- required calls ------------------------------------------------------------------------------

TEXT = "It is probably sunny."
# Answers in which the required call is missing, and what the correction quotes.
WITHOUT_CALL = {
    TEXT: TEXT,
    '{"name": "weather", "arguments": {}}': '"city" is a required property',
    '{"name": "forecast", "arguments": {"place": "Ulm"}}': "forecast",
    '{"name": "weather", "arguments": {"ci': '"ci',
    "": "corrected call",
}


async def test_missing_required_call_is_reported(phi: Emulator) -> None:
    """After the corrections the last answer is returned, and its metadata says what it lacks."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_corrections=2)
    for mode in CALL_MODES:
        phi.script(*[TEXT] * 3)

        answer = await call_model(model.bind_tools([weather], tool_choice="any"), mode, "Weather?")

        assert (TEXT, []) == (answer.text, answer.tool_calls), mode
        assert "no tool call" in answer.response_metadata["unmet_requirement"]
    assert 3 * len(CALL_MODES) == len(phi.requests)


def test_zero_corrections_send_one_request(phi: Emulator) -> None:
    """Whatever the answer is."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_corrections=0)
    phi.script(TEXT)

    model.bind_tools([weather], tool_choice="any").invoke("Weather?")

    assert 1 == len(phi.requests)


async def test_missing_required_call_is_corrected(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The model gets its answer back with the reason; the user sees the second answer only."""
    for choice in ("any", "weather", True):
        bound = model.bind_tools([weather], tool_choice=choice)
        for mode in CALL_MODES:
            phi.script(TEXT, CALL)

            answer = await call_model(bound, mode, "Weather?")

            assert [("weather", {"city": "Ulm"})] == calls_of(answer), (choice, mode)
            assert "" == answer.text
            assert "unmet_requirement" not in answer.response_metadata
            first, second = (request.json["messages"] for request in phi.requests[-2:])
            assert [{"role": "assistant", "content": TEXT}] == second[len(first) : -1]


async def test_correction_names_the_mistake(phi: Emulator, model: ChatAzurePhi3) -> None:
    """No call, wrong arguments, an unknown tool, a truncated call, an empty answer."""
    bound = model.bind_tools([weather], tool_choice="any")
    for mode in CALL_MODES:
        for text, reason in WITHOUT_CALL.items():
            phi.script(text, CALL)

            answer = await call_model(bound, mode, "Weather?")

            assert [("weather", {"city": "Ulm"})] == calls_of(answer), (text, mode)
            assert reason in phi.requests[-1].json["messages"][-1]["content"], (text, mode)


def test_usage_includes_the_corrected_answers(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The sum of both requests."""
    bound = model.bind_tools([weather], tool_choice="any")
    phi.script(CALL, TEXT, CALL)

    once, twice = (bound.invoke("Weather?").usage_metadata for _ in range(2))

    assert once is not None
    assert twice is not None
    assert twice["input_tokens"] > 2 * once["input_tokens"]


def test_named_tool_is_the_only_one_offered(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A call of another tool is corrected."""
    phi.script('{"name": "now", "arguments": {}}', CALL)

    answer = model.bind_tools([weather, now], tool_choice="weather").invoke("Weather?")

    assert '"name":"now"' not in phi.requests[0].json["messages"][0]["content"]
    assert [("weather", {"city": "Ulm"})] == calls_of(answer)


def test_required_call_is_emitted_at_once(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The text after it keeps streaming."""
    phi.script(f"{CALL} And then some words.")

    chunks = list(model.bind_tools([weather], tool_choice="any").stream("Weather?"))

    first = next(i for i, chunk in enumerate(chunks) if chunk.tool_call_chunks)
    assert first < len(chunks) - 3
    assert "And then some words." == merge_chunks(chunks).text.strip()


# -- what is not executed ------------------------------------------------------------------------

QUOTED = (
    f"Never write {CALL} here.",
    f"{CALL} is how I would call it.",
    f"Write `{CALL}` for that.",
    f"> {CALL}",
    f"The page says:\n> {CALL}\nI will not do that.",
    f"```python\n{CALL}\n```",
    f"~~~xml\n{CALL}\n~~~",
    f"Say `<|tool_call|>[{CALL}]<|/tool_call|>`.",
    f"> <|tool_call|>[{CALL}]<|/tool_call|>",
    f"[TEXT] {CALL}",
)


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_a_quoted_call_is_text(mode: str) -> None:
    """In a sentence, in code, in a quotation, or in a block of another language."""
    for name in ("Phi-4", "Phi-4-mini-instruct"):
        with Emulator(name) as phi:
            model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model=name)
            for answer in QUOTED:
                phi.script(answer)
                message = await call_model(model.bind_tools([weather]), mode, "Hi")
                assert ([], []) == (message.tool_calls, message.invalid_tool_calls), answer
                assert CALL in message.text


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_a_truncated_native_call_is_invalid(mode: str) -> None:
    """Whatever its arguments lack: agents run no half of a call."""
    for arguments in ('{"city": "Ul', '{"city": "Ulm"', '{"city": ', "{", ""):
        call = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": arguments}}
        part = {"role": "assistant", "tool_calls": [call]}
        choice = {"index": 0, "message": part, "delta": part, "finish_reason": "length"}
        body = json.dumps({"choices": [choice]}).encode()
        is_stream = "stream" in mode
        transport = Scripted([b"data: " + body + b"\n\n"] if is_stream else [body])
        message = await call_model(model_on(transport).bind_tools([weather]), mode, "Hi")

        assert [] == message.tool_calls, arguments
        assert ["c1"] == [invalid["id"] for invalid in message.invalid_tool_calls]
