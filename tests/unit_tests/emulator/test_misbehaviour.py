"""The stand-in model goes wrong as small models do, when it is told to."""

import json
from typing import Any

import httpx
import pytest

from langchain_azure_phi3.emulator import Emulator

Json = dict[str, Any]

PARAMETERS: Json = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "zip": {"type": "string", "pattern": "^[0-9]{5}$"},
        "tags": {"type": "array", "items": {"enum": ["sun", "rain"]}},
        "wet": {"type": "boolean"},
    },
    "required": ["city", "days", "zip", "tags", "wet"],
}
RIGHT = {"city": "L'Aquila", "days": 3, "zip": "67100", "tags": ["sun"], "wet": False}
QUESTION = 'The weather: city: "L\'Aquila", days: 3, zip 67100, sun?'
TOOL = {"name": "get_weather", "parameters": PARAMETERS}
OTHER = {"name": "roll_dice", "description": "Rolls dice."}
FORM = '{"name": "TOOL", "arguments": {}}'
CALLS = f"Tools:\n{json.dumps(TOOL)}\n{FORM}"
TAGGED = f"Tools:\n{json.dumps(TOOL)}\n<|tool_call|>[{FORM}]<|/tool_call|>"
OBJECT = f"Answer in JSON that fits this schema:\n{json.dumps(PARAMETERS)}"


def choice(phi: Emulator, system: str = CALLS, question: str = QUESTION, **fields: Any) -> Json:
    """The first choice of an answer."""
    turns = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    with httpx.Client(transport=phi.transport(), base_url=phi.endpoint) as client:
        reply = client.post(
            "/chat/completions",
            json={"messages": turns, **fields},
            headers={"authorization": f"Bearer {phi.key}"},
        )
    found: Json = reply.json()["choices"][0]
    return found


def said(kind: str, system: str = CALLS, question: str = QUESTION) -> str:
    """The text of an answer that goes wrong."""
    text: str = choice(Emulator(misbehaves=kind), system, question)["message"]["content"]
    return text


def test_an_unknown_misbehaviour_is_refused_with_the_known_ones() -> None:
    """At once, not at the next answer."""
    with pytest.raises(
        ValueError, match=r"'lies' is unknown; use one of \['bad values', 'cut off'"
    ):
        Emulator(misbehaves="lies")
    phi = Emulator()
    with pytest.raises(ValueError, match="unknown"):
        phi.misbehave("prose", "lies")
    assert "Sure!" not in choice(phi)["message"]["content"]


def test_the_model_behaves_when_nothing_else_was_ordered() -> None:
    """What the others are measured by."""
    right = choice(Emulator())["message"]["content"]
    assert {"name": "get_weather", "arguments": RIGHT} == json.loads(right)
    assert json.loads(choice(Emulator(), OBJECT)["message"]["content"]) == RIGHT


def test_misbehaviours_are_used_up_in_order() -> None:
    """Each for one answer, or for `times`."""
    phi = Emulator(misbehaves=["empty", "fence"])
    phi.misbehave("prose", times=2)
    texts = [choice(phi)["message"]["content"] for _ in range(5)]
    assert ["", "```json", "Sure! He", "Sure! He"] == [
        texts[0],
        texts[1][:7],
        *(t[:8] for t in texts[2:4]),
    ]
    assert RIGHT == json.loads(texts[4])["arguments"]


def test_scripted_answers_use_no_misbehaviour_up() -> None:
    """They are word for word."""
    phi = Emulator(misbehaves="empty")
    phi.script("mine")
    assert ["mine", ""] == [choice(phi)["message"]["content"] for _ in range(2)]


def test_words_stay_words() -> None:
    """Where there is no JSON, nothing can go wrong with it."""
    right = choice(Emulator(), question="Hello {}")["message"]["content"]
    assert right == said("fence", question="Hello {}")
    assert "" == said("empty", question="Hello")


@pytest.mark.parametrize("system", [CALLS, OBJECT])
def test_prose_surrounds_the_json(system: str) -> None:
    """Politely."""
    before, json_text, after = said("prose", system).split("\n\n")
    assert before.startswith("Sure!")
    assert "L'Aquila" in json.dumps(json.loads(json_text))
    assert after.startswith("Let me know")


def test_a_fence_surrounds_the_json() -> None:
    """Closed, or not."""
    right = choice(Emulator(), OBJECT)["message"]["content"]
    assert f"```json\n{right}\n```" == said("fence", OBJECT)
    assert f"```json\n{right}" == said("unclosed fence", OBJECT)


def test_a_fence_stays_between_tags() -> None:
    """The tags are the model's habit, the fence its fault."""
    assert said("fence", TAGGED).startswith("<|tool_call|>```json\n[{")
    assert said("fence", TAGGED).endswith("}]\n```<|/tool_call|>")


def test_wrong_types_can_be_told_from_the_right_ones() -> None:
    """Numbers as strings, digits as numbers, an item for its list."""
    wrong = {"city": "L'Aquila", "days": "3", "zip": 67100, "tags": "sun", "wet": "false"}
    assert wrong == json.loads(said("wrong types", OBJECT))
    assert wrong == json.loads(said("wrong types"))["arguments"]


def test_wrong_types_keep_longer_lists() -> None:
    """Their items go wrong."""
    schema = {
        "type": "object",
        "properties": {"n": {"type": "array", "items": {"type": "integer"}}},
    }
    asks = f"Fit this schema, in JSON: {json.dumps(schema)}"
    assert {"n": ["3", "4"]} == json.loads(said("wrong types", asks, "3 and 4"))


def test_bad_values_lack_a_required_key() -> None:
    """The first one."""
    assert ["days", "zip", "tags", "wet"] == list(json.loads(said("bad values", OBJECT)))


def test_bad_values_without_required_keys_are_of_an_impossible_type() -> None:
    """Nothing reads them as they should be."""
    schema = {**PARAMETERS, "required": []}
    asks = f"Fit this schema, in JSON: {json.dumps(schema)}"
    assert {"unexpected": [3]} == json.loads(said("bad values", asks))["days"]
    asked = f"Tools: {json.dumps(OTHER)}"
    call = json.loads(said("bad values", asked, "roll dice"))
    assert ["nothing of the kind"] == call["arguments"]


def test_arguments_are_invented() -> None:
    """Beside the right ones."""
    wrong = json.loads(said("invented arguments"))["arguments"]
    assert {**RIGHT, "verbose": True, "reason": "as you asked"} == wrong


def test_a_tool_is_invented() -> None:
    """Objects name no tool."""
    assert "look_it_up" == json.loads(said("unknown tool"))["name"]
    assert RIGHT == json.loads(said("unknown tool", OBJECT))


@pytest.mark.parametrize("system", [CALLS, TAGGED, OBJECT, f"{CALLS}\nYou must call a tool."])
def test_no_call_is_words(system: str) -> None:
    """Even where a call is demanded."""
    assert said("no call", system).startswith("I would ")
    assert "{" not in said("no call", system)


def test_the_schema_is_echoed() -> None:
    """Instead of an instance of it."""
    assert PARAMETERS == json.loads(said("schema echo", OBJECT))
    assert {"name": "get_weather", "arguments": PARAMETERS} == json.loads(said("schema echo"))


def test_two_calls_are_written_for_one() -> None:
    """The same again, or another tool on offer."""
    first, second = said("two calls").splitlines()
    assert first == second
    names = [
        json.loads(line)["name"]
        for line in said("two calls", f"{CALLS}\n{json.dumps(OTHER)}").splitlines()
    ]
    assert ["get_weather", "roll_dice"] == names
    assert 2 == len(
        json.loads(said("two calls", TAGGED)[len("<|tool_call|>") : -len("<|/tool_call|>")])
    )
    assert 2 == len(said("two calls", OBJECT).splitlines())


def test_quotes_are_single() -> None:
    """An apostrophe is escaped, as in JavaScript."""
    assert (
        r"{'city': 'L\'Aquila', 'days': 3, 'zip': '67100', 'tags': ['sun'], 'wet': false}"
        == said("single quotes", OBJECT)
    )


def test_a_comma_trails() -> None:
    """Not where there is nothing to trail."""
    assert said("trailing comma", OBJECT).endswith('"wet": false,}')
    assert said("trailing comma").endswith('"wet": false,}}')
    nothing = said("trailing comma", f"Tools: {json.dumps(OTHER)}", "roll dice")
    assert '{"name": "roll_dice", "arguments": {}}' == nothing


def test_literals_are_pythons() -> None:
    """As `repr` writes them."""
    assert repr(RIGHT) == said("python literals", OBJECT)


@pytest.mark.parametrize("question", [QUESTION, "Hello"])
def test_a_cut_off_answer_says_so(question: str) -> None:
    """By its finish reason, as at a limit of tokens."""
    whole = choice(Emulator(), question=question)["message"]["content"]
    cut = choice(Emulator(misbehaves="cut off"), question=question)
    assert "length" == cut["finish_reason"]
    assert whole.startswith(cut["message"]["content"])
    assert 0 < len(cut["message"]["content"]) < len(whole)


def test_the_model_behaves_after_a_correction() -> None:
    """One misbehaviour is for one answer."""
    phi = Emulator(misbehaves="no call")
    wrong = choice(phi)["message"]["content"]
    correction = f"That cannot be used. You wrote:\n{wrong}\nWrite the corrected call only:\n{FORM}"
    asks = f"{QUESTION}\n{correction}"
    assert RIGHT == json.loads(choice(phi, question=asks)["message"]["content"])["arguments"]


def test_native_calls_go_wrong_too() -> None:
    """In their arguments, in their number, or by not being there."""
    tools = [{"type": "function", "function": TOOL}]

    def calls(kind: str) -> Any:
        phi = Emulator("Phi-4", tools="native", misbehaves=kind)
        return choice(phi, "Be brief.", tools=tools)["message"]["tool_calls"]

    assert calls("fence")[0]["function"]["arguments"].startswith("```json\n{")
    assert 2 == len({call["id"] for call in calls("two calls")})
    assert "look_it_up" == calls("unknown tool")[0]["function"]["name"]
    assert calls("no call") is None
    assert calls("empty") is None
    assert '{"city": "L\'Aq' == calls("cut off")[0]["function"]["arguments"][:14]


def test_native_calls_come_with_prose() -> None:
    """As the message's content."""
    phi = Emulator("Phi-4", tools="native", misbehaves=["prose", "cut off"])
    tools = [{"type": "function", "function": TOOL}]
    message = choice(phi, "Be brief.", tools=tools)["message"]
    assert "Sure! Here is what you asked for:" == message["content"]
    assert RIGHT == json.loads(message["tool_calls"][0]["function"]["arguments"])
    assert "length" == choice(phi, "Be brief.", tools=tools)["finish_reason"]
