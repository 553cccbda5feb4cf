"""Mistakes of small models, on request."""

import json
from typing import Any

import pytest

from langchain_azure_phi3.emulator import Emulator
from tests.unit_tests.emulator.conftest import Client, Json, MakeClient

PARAMETERS: Json = {
    "type": "object",
    "properties": {
        "city": {"const": "L'Aquila"},
        "days": {"const": 3},
        "zip": {"const": "67100"},
        "tags": {"const": ["sun"]},
        "wet": {"const": False},
        "quote": {"const": 'a "b"'},
    },
    "required": ["city", "days", "zip", "tags", "wet", "quote"],
}
RIGHT = {key: schema["const"] for key, schema in PARAMETERS["properties"].items()}
TOOL = {"name": "get_weather", "parameters": PARAMETERS}
FORM = '{"name": "TOOL", "arguments": {}}'
CALLS = f"You have these tools:\n{json.dumps(TOOL)}\n{FORM}"
TAGGED = f"<|tool_call|>[{FORM}]<|/tool_call|>\n<|tool|>[{json.dumps(TOOL)}]<|/tool|>"
OBJECT = f"It must fit this JSON schema:\n{json.dumps(PARAMETERS)}"


def messages_of(system: str, user: str = "Hello") -> list[Json]:
    """A conversation with instructions."""
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


@pytest.fixture
def with_error(client: Client) -> Any:
    """Return the text of an answer with an error."""

    def answer(error: str, system: str = CALLS) -> str:
        client.phi.inject_model_error(error)
        return client.text(messages=messages_of(system))

    return answer


def test_without_errors_the_model_is_right(client: Client) -> None:
    """The other tests are compared with this."""
    call = json.loads(client.text(messages=messages_of(CALLS)))
    assert call == {"name": "get_weather", "arguments": RIGHT}
    assert json.loads(client.text(messages=messages_of(OBJECT))) == RIGHT


def test_errors_are_used_up_in_order(make_client: MakeClient) -> None:
    """Each in one answer, or in `times`; scripted answers use up none."""
    client = make_client(model_errors=["empty", "fence"])
    client.phi.inject_model_error("prose", times=2)
    client.phi.script("mine")

    texts = [client.text(messages=messages_of(CALLS)) for _ in range(6)]

    assert [text[:8] for text in texts] == [
        "mine",
        "",
        "```json\n",
        "Sure! He",
        "Sure! He",
        '{"name":',
    ]


def test_unknown_errors_change_nothing() -> None:
    """The message lists the known ones."""
    phi = Emulator()
    with pytest.raises(ValueError, match=r"'lies' is unknown. Use one of \['bad values'"):
        phi.inject_model_error("prose", "lies")
    assert len(phi._deployment.model_errors) == 0


def test_plain_text_stays_plain(client: Client) -> None:
    """Without JSON there is nothing to get wrong, except the length."""
    right = client.text("Hello {}")
    client.phi.inject_model_error("fence", "bad values", "empty", "cut off")
    assert [client.text("Hello {}") for _ in range(3)] == [right, right, ""]
    cut = client.choice("Hello {}")
    assert cut["finish_reason"] == "length"
    assert right.startswith(cut["message"]["content"])
    assert 0 < len(cut["message"]["content"]) < len(right)


def test_text_surrounds_the_json(client: Client, with_error: Any) -> None:
    """As prose, or as a Markdown block, closed or not."""
    for system in (CALLS, OBJECT):
        right = client.text(messages=messages_of(system))
        before, json_text, after = with_error("prose", system).split("\n\n")
        assert (before[:5], json_text, after[:11]) == ("Sure!", right, "Let me know")
        assert with_error("fence", system) == f"```json\n{right}\n```"
        assert with_error("unclosed fence", system) == f"```json\n{right}"
    assert with_error("fence", TAGGED).startswith("```json\n<|tool_call|>[{")


def test_values_are_wrong(with_error: Any) -> None:
    """Types, missing keys, added keys, or the schema itself."""
    swapped = {"days": "3", "zip": 67100, "tags": "sun", "wet": "false"}
    missing = {key: value for key, value in RIGHT.items() if key != "city"}
    for error, wrong in (
        ("wrong types", {**RIGHT, **swapped}),
        ("bad values", missing),
        ("invented arguments", {**RIGHT, "verbose": True, "reason": "as you asked"}),
        ("schema echo", PARAMETERS),
    ):
        assert json.loads(with_error(error, OBJECT)) == wrong
        assert json.loads(with_error(error))["arguments"] == wrong
    several = {"type": "object", "properties": {"n": {"const": [3, 4]}}, "required": ["n"]}
    text = with_error("wrong types", f"Fit this schema: {json.dumps(several)}")
    assert json.loads(text) == {"n": ["3", "4"]}
    no_parameters = f"Tools: {json.dumps({'name': 'roll', 'parameters': {}})}"
    assert json.loads(with_error("bad values", no_parameters))["arguments"] == [
        "nothing of the kind"
    ]


def test_calls_are_wrong(with_error: Any) -> None:
    """An unknown tool, none, or two."""
    assert json.loads(with_error("unknown tool"))["name"] == "look_it_up"
    assert json.loads(with_error("unknown tool", OBJECT)) == RIGHT
    for system in (CALLS, TAGGED, OBJECT, f"{CALLS}\nYou must call one of the tools now."):
        assert with_error("no call", system).startswith("I would use ")
        assert "{" not in with_error("no call", system)
    first, second = with_error("two calls").splitlines()
    assert first == second
    assert len(with_error("two calls", OBJECT).splitlines()) == 2
    tagged = with_error("two calls", TAGGED).removeprefix("<|tool_call|>")
    assert len(json.loads(tagged.removesuffix("<|/tool_call|>"))) == 2


def test_json_is_invalid(with_error: Any) -> None:
    """Single quotes, a trailing comma, Python literals, or a cut."""
    assert with_error("single quotes", OBJECT) == (
        r"{'city': 'L\'Aquila', 'days': 3, 'zip': '67100', 'tags': ['sun'], 'wet': false, "
        r"""'quote': 'a "b"'}"""
    )
    assert with_error("trailing comma", OBJECT).endswith('",}')
    empty = f"Tools: {json.dumps({'name': 'roll', 'parameters': {}})}"
    assert with_error("trailing comma", empty) == '{"name": "roll", "arguments": {}}'
    assert with_error("python literals", OBJECT) == repr(RIGHT)
    assert with_error("cut off", OBJECT).startswith('{"city": ')


def test_corrections_are_followed(client: Client) -> None:
    """One error is for one answer."""
    client.phi.inject_model_error("no call")
    wrong = client.text(messages=messages_of(CALLS))
    correction = f"That cannot be used. You wrote:\n{wrong}\nWrite the corrected call only:\n{FORM}"
    text = client.text(messages=messages_of(CALLS, f"Hello\n{correction}"))
    assert json.loads(text)["arguments"] == RIGHT


def test_native_calls_have_errors_too(make_client: MakeClient) -> None:
    """In their arguments, in their number, or by their absence."""
    client = make_client("Phi-4", tools="native")
    tools = [{"type": "function", "function": TOOL}]

    def message(error: str) -> Json:
        client.phi.inject_model_error(error)
        found: Json = client.choice(tools=tools)["message"]
        return found

    assert message("fence")["tool_calls"][0]["function"]["arguments"].startswith("```json\n{")
    assert len({call["id"] for call in message("two calls")["tool_calls"]}) == 2
    assert message("unknown tool")["tool_calls"][0]["function"]["name"] == "look_it_up"
    assert message("no call")["tool_calls"] is None
    assert message("empty")["tool_calls"] is None
    cut = message("cut off")["tool_calls"][0]["function"]["arguments"]
    assert cut.startswith('{"city": "L\'Aq')
    prose = message("prose")
    assert prose["content"] == "Sure! Here is what you asked for:"
    assert json.loads(prose["tool_calls"][0]["function"]["arguments"]) == RIGHT
