"""The stand-in model follows instructions that it finds in a prompt."""

import json
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3.emulator import Emulator

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}


def object_of(**properties: Json) -> Json:
    """A schema of an object that requires all of its properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


WEATHER = {
    "name": "get_weather",
    "description": "Get the weather at a location.",
    "parameters": object_of(location=TEXT),
}
MULTIPLY = {"name": "multiply", "description": "a * b", "parameters": object_of(a=WHOLE, b=WHOLE)}
ADD = {"name": "add", "description": "a + b", "parameters": object_of(a=WHOLE, b=WHOLE)}
NO_ARGUMENTS = {"name": "roll_dice", "description": "Rolls dice.", "parameters": {}}

PLAIN = '{"name": "TOOL", "arguments": {"ARGUMENT": "VALUE"}}'
TAGGED = f"<|tool_call|>[{PLAIN}]<|/tool_call|>"


def offering(*tools: Json, demand: str = "", form: str = PLAIN) -> str:
    """Instructions that offer tools, in words of our own."""
    listed = "\n".join(json.dumps(tool) for tool in tools)
    return f"These tools are there for you:\n{listed}\n{demand}\nWrite a call like this:\n{form}"


def turns(*texts: str, system: str | None = None) -> list[Json]:
    """A conversation: user and assistant in turn, perhaps after a system turn."""
    spoken = [
        {"role": "assistant" if index % 2 else "user", "content": text}
        for index, text in enumerate(texts)
    ]
    return spoken if system is None else [{"role": "system", "content": system}, *spoken]


def answer(messages: list[Json], model: str = "Phi-3.5-mini-instruct") -> str:
    """What the stand-in answers."""
    phi = Emulator(model)
    with httpx.Client(transport=phi.transport(), base_url=phi.endpoint) as client:
        reply = client.post(
            "/chat/completions",
            json={"messages": messages},
            headers={"authorization": f"Bearer {phi.key}"},
        )
    text: str = reply.json()["choices"][0]["message"]["content"]
    return text


def filled(schema: Json, question: str) -> Any:
    """What the stand-in makes of a schema and a question; it fits the schema."""
    asks = f"Answer with one JSON object that fits this JSON schema:\n{json.dumps(schema)}"
    value = json.loads(answer(turns(question, system=asks)))
    jsonschema.validate(value, schema)
    return value


def test_a_question_that_needs_no_tool_is_answered_in_words() -> None:
    """Offering a tool does not mean using it."""
    said = answer(turns("Who are you?", system=offering(WEATHER)))
    assert said.startswith("I am a scripted stand-in")
    assert "{" not in said


@pytest.mark.parametrize(
    "question",
    [
        "What is the weather in San Francisco, CA?",
        "Use get_weather for San Francisco, CA.",
        "GET_WEATHER at San Francisco, CA please",
    ],
)
def test_a_question_that_speaks_of_a_tool_is_answered_with_a_call(question: str) -> None:
    """By its name, or by the words of its name."""
    said = answer(turns(question, system=offering(WEATHER, NO_ARGUMENTS)))
    assert {"name": "get_weather", "arguments": {"location": "San Francisco, CA"}} == json.loads(
        said
    )


def test_a_tool_is_recognised_by_its_description() -> None:
    """Two telling words shared with the description are enough."""
    tool = {"name": "lookup", "description": "Population figures of a capital city."}
    said = answer(turns("What population has the capital?", system=offering(tool)))
    assert {"name": "lookup", "arguments": {}} == json.loads(said)


@pytest.mark.parametrize("listed", ["lines", "tags", "fence", "wrapped", "in the user's turn"])
def test_tools_are_found_however_they_are_listed(listed: str) -> None:
    """On lines, between tags, in a fence, as OpenAI's tool objects, or with the question."""
    written = json.dumps(WEATHER)
    forms = {
        "lines": f"Tools:\n{written}",
        "tags": f"<|tool|>[{written}]<|/tool|>",
        "fence": f"Functions:\n```json\n[{written}]\n```",
        "wrapped": f'Tools: [{{"type": "function", "function": {written}}}]',
        "in the user's turn": f"Tools:\n{written}",
    }
    question = "How is the weather in Oslo?"
    messages = turns(question, system=forms[listed])
    if listed == "in the user's turn":
        messages = turns(f"{forms[listed]}\n\n{question}")
    assert {"location": "Oslo"} == json.loads(answer(messages))["arguments"]


def test_json_data_is_no_tool() -> None:
    """A name and a description are a tool only where tools are spoken of."""
    said = answer(turns('What about {"name": "Anna", "description": "a weather girl"}?'))
    assert said.startswith("I am a scripted stand-in")


def test_a_call_takes_the_form_that_was_shown() -> None:
    """Between tags where the prompt's form has tags."""
    said = answer(turns("The weather in Rome?", system=offering(WEATHER, form=TAGGED)))
    call = json.dumps({"name": "get_weather", "arguments": {"location": "Rome"}})
    assert f"<|tool_call|>[{call}]<|/tool_call|>" == said


@pytest.mark.parametrize(
    ("demand", "called"),
    [
        ("You must call one of the tools now.", "get_weather"),
        ("You must use the tool roll_dice.", "roll_dice"),
    ],
)
def test_a_demanded_call_is_made_whatever_the_question(demand: str, called: str) -> None:
    """The tool that is named, else the first."""
    said = answer(turns("Hello!", system=offering(WEATHER, NO_ARGUMENTS, demand=demand)))
    assert called == json.loads(said)["name"]


def test_a_demanded_call_is_of_the_tool_that_suits() -> None:
    """Where the question speaks of one."""
    demand = "You must call a tool."
    said = answer(turns("Roll dice!", system=offering(WEATHER, NO_ARGUMENTS, demand=demand)))
    assert {"name": "roll_dice", "arguments": {}} == json.loads(said)


def test_a_demanded_call_is_made_again_after_its_result() -> None:
    """A demand stands as long as the prompt makes it."""
    messages = turns(
        "Hello!",
        PLAIN,
        "Result of the tool roll_dice:\n6",
        system=offering(NO_ARGUMENTS, demand="You must call a tool."),
    )
    assert "roll_dice" == json.loads(answer(messages))["name"]


def test_what_must_be_used_need_not_be_a_tool() -> None:
    """Only tools can be called."""
    said = answer(turns("Hello!", system=offering(WEATHER, demand="You must use metric units.")))
    assert said.startswith("I am a scripted stand-in")


def test_the_result_of_a_tool_is_told_in_words() -> None:
    """The loop of an agent ends."""
    messages = turns(
        "The weather in Rome?",
        PLAIN,
        "Result of the tool get_weather:\nIt's sunny.",
        system=offering(WEATHER),
    )
    assert "The tool get_weather says: It's sunny." == answer(messages)


def test_failures_and_silence_of_tools_are_told() -> None:
    """Several results stand in one turn."""
    results = "The tool get_weather failed:\nno net\nResult of the tool add, without any text."
    messages = turns("The weather in Rome? Then add 1 and 2.", PLAIN, results)
    said = answer([{"role": "system", "content": offering(WEATHER, ADD)}, *messages])
    assert "The tool get_weather failed: no net\nThe tool add says: (nothing)" == said


def test_steps_are_taken_one_after_another() -> None:
    """A later step works with the result of the one before."""
    said = ["First multiply 3 by 4, then add 5."]
    steps = []
    for name, result in (("multiply", "12"), ("add", "17")):
        call = answer(turns(*said, system=offering(ADD, MULTIPLY)))
        steps.append(json.loads(call))
        said += [call, f"Result of the tool {name}:\n{result}"]
    assert [
        {"name": "multiply", "arguments": {"a": 3, "b": 4}},
        {"name": "add", "arguments": {"a": 5, "b": 12}},
    ] == steps
    assert answer(turns(*said, system=offering(ADD, MULTIPLY))).endswith("add says: 17")


def test_earlier_examples_do_not_answer_the_last_question() -> None:
    """Few-shot examples come before it."""
    messages = turns(
        *("What is 1 + 2", PLAIN, "Result of the tool add:\n3", "3", "What is 3 + 4"),
        system=offering(ADD),
    )
    assert {"a": 3, "b": 4} == json.loads(answer(messages))["arguments"]


@pytest.mark.parametrize("shown", ["", '\n{"name": "get_weather", "arguments": {}}'])
def test_a_correction_is_followed(shown: str) -> None:
    """The call is written again from the question, demanded now."""
    correction = (
        f"That cannot be used. You wrote:\nx\nNo JSON.\nWrite the corrected call only:{shown}"
    )
    messages = turns("Is it nice in Rome?", "x", correction, system=offering(WEATHER))
    assert {"name": "get_weather", "arguments": {"location": "Rome"}} == json.loads(
        answer(messages)
    )


def test_a_correction_in_the_turn_of_the_question_is_followed() -> None:
    """Some clients join turns of the same role."""
    joined = "The weather in Rome?\nThat cannot be used.\nWrite the corrected call only."
    said = answer(turns(joined, system=offering(WEATHER)))
    assert {"location": "Rome"} == json.loads(said)["arguments"]


def test_an_empty_conversation_of_instructions_is_no_question() -> None:
    """A turn that only instructs is taken as it is."""
    said = answer(turns("Return JSON only.\n{}"))
    assert ["answer"] == list(json.loads(said))


def test_letters_of_all_scripts_are_kept() -> None:
    """Not written as escapes."""
    tool = {"name": "create_customer", "parameters": object_of(customer_name=TEXT)}
    question = "Create a customer named '你好啊集团' (Hello Group), please."
    assert '"customer_name": "你好啊集团"' in answer(turns(question, system=offering(tool)))


def test_a_joke_is_made_up_for_a_schema() -> None:
    """What the conversation does not say is made up from the schema's words."""
    schema = object_of(
        setup={"type": "string", "description": "question to set up a joke"}, punchline=TEXT
    )
    assert {
        "setup": "Question to set up a joke about cats",
        "punchline": "Punchline about cats",
    } == filled(schema, "Tell me a joke about cats.")


@pytest.mark.parametrize(
    ("question", "keys"),
    [
        ("Give me the setup to a joke about cats, no punchline.", ["setup"]),
        ("Give me a joke about cats, include the punchline.", ["setup", "punchline"]),
    ],
)
def test_what_is_optional_is_given_where_it_is_asked_for(question: str, keys: list[str]) -> None:
    """And left out where the question says "no"."""
    schema = {**object_of(setup=TEXT, punchline=TEXT), "required": ["setup"]}
    assert keys == list(filled(schema, question))


def test_keys_named_in_words_are_given() -> None:
    """Where no schema says them."""
    question = "A joke about cats. Return a JSON with 'setup' and 'punchline' keys. Only JSON."
    assert ["setup", "punchline"] == list(json.loads(answer(turns(question))))


def test_a_question_about_json_is_answered_in_words() -> None:
    """Speaking of JSON is not asking for it."""
    assert answer(turns("What does JSON stand for?")).startswith("I am a scripted stand-in")


@pytest.mark.parametrize(
    ("schema", "question", "expected"),
    [
        (WHOLE, "How old? 27.", 27),
        ({"type": "number"}, "It weighs 3.5 kg", 3.5),
        ({"type": "integer"}, "1,250 of them", 1250),
        ({"type": "integer", "minimum": 10}, "3 of 12", 12),
        ({"type": "integer", "minimum": 10}, "none", 10),
        ({"type": "number", "exclusiveMaximum": 0}, "none", -0.001),
        ({"type": "integer", "multipleOf": 5}, "none", 5),
        ({"type": "integer", "multipleOf": 5, "maximum": 4}, "none", 0),
        ({"type": "boolean"}, "the value is yes", True),
        ({"type": "boolean"}, "without value", False),
        ({"type": "boolean"}, "nothing", False),
        ({"type": "null"}, "nothing", None),
        ({"const": 7}, "nothing", 7),
        ({"enum": ["low", "very_high"]}, "the risk is very high", "very_high"),
        ({"enum": ["low", "high"]}, "nothing", "low"),
        ({"enum": ["low", "high"], "default": "high"}, "nothing", "high"),
        ({"type": "string", "default": "x"}, "nothing", "x"),
        ({"type": "string"}, "the value is fine weather, yes", "fine weather"),
        ({"type": "string"}, "the “quoted” one", "quoted"),
        ({"type": "string"}, "it's the 'dog's' toy", "dog's"),
        ({"type": "string"}, "value: \"it's 'me'\"", "it's 'me'"),
        ({"type": "string", "format": "email"}, "write to a.b@example.org.", "a.b@example.org"),
        ({"type": "string", "format": "email"}, "nobody", "someone@example.com"),
        ({"type": "string", "format": "date"}, "on March 5th, 2024", "2024-03-05"),
        ({"type": "string", "format": "date"}, "on 5 March 2024", "2024-03-05"),
        ({"type": "string", "format": "date"}, "on 2024-03-05", "2024-03-05"),
        ({"type": "string", "format": "date"}, "some day", "2024-01-01"),
        ({"type": "string", "format": "uri"}, "see https://a.org/b.", "https://a.org/b"),
        ({"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$"}, "ticket ABC-12 is open", "ABC-12"),
        ({"type": "string", "maxLength": 5}, "nothing", "Value"),
        ({"type": "string", "minLength": 12}, "nothing", "Value and so on"),
        ({"type": ["null", "integer"]}, "nothing", None),
        ({"type": ["null", "integer"]}, "it is 3", 3),
        ({"anyOf": [WHOLE, {"type": "null"}]}, "nothing", None),
        ({"anyOf": [WHOLE, {"type": "null"}], "default": 4}, "nothing", 4),
        ({"anyOf": [WHOLE, TEXT]}, "nothing", 1),
        ({"oneOf": [{"type": "boolean"}, WHOLE]}, "it is 3", 3),
        ({"type": "array", "items": WHOLE}, "3, 1 and 2", [3, 1, 2]),
        ({"type": "array", "items": {"type": "number"}}, "none", [1]),
        ({"type": "array", "items": WHOLE, "minItems": 2}, "just 3", [3, 3]),
        ({"type": "array", "items": WHOLE, "maxItems": 1}, "3 and 4", [3]),
        ({"type": "array", "items": TEXT}, "values: tea, milk and jam", ["tea", "milk", "jam"]),
        ({"type": "array", "items": TEXT}, "buy tea, milk and jam", ["tea", "milk", "jam"]),
        ({"type": "array", "items": TEXT}, "buy tea or jam", ["tea", "jam"]),
        ({"type": "array", "items": TEXT}, "the 'tea' and the 'jam'", ["tea", "jam"]),
        ({"type": "array", "items": {"enum": ["a1", "b2"]}}, "b2 before a1", ["b2", "a1"]),
        ({"type": "array", "prefixItems": [WHOLE, {"type": "boolean"}]}, "3", [3, False]),
        ({"allOf": [object_of(n=WHOLE), object_of(m=WHOLE)]}, "m 3, n 4", {"n": 4, "m": 3}),
        ({"$ref": "#/nowhere"}, "nothing", "Value"),
    ],
)
def test_a_value_is_taken_from_the_conversation(schema: Json, question: str, expected: Any) -> None:
    """Or made to fit where it says nothing."""
    assert {"value": expected} == filled_unchecked(object_of(value=schema), question)


def filled_unchecked(schema: Json, question: str) -> Any:
    """Like `filled`, for schemas that no value fits."""
    asks = f"Answer in JSON. It must fit this schema: {json.dumps(schema)}"
    return json.loads(answer(turns(question, system=asks)))


@pytest.mark.parametrize(
    ("name", "question", "expected"),
    [
        ("city", "How is it in Rome today?", "Rome"),
        ("city", "weather in paris now", "paris"),
        ("origin", "A train from Rome to Oslo", "Rome"),
        ("destination", "A train from Rome to Oslo", "Oslo"),
        ("name", "Alan Turing wrote this", "Alan Turing"),
        ("customer_name", "a shop called Bits", "Bits"),
        ("query", "search for red shoes, please", "red shoes"),
        ("query", "red shoes", "red shoes"),
        ("expression", "What is (3 + 4) * 5?", "(3 + 4) * 5"),
        ("link", "at https://a.org", "https://a.org"),
        ("style", "Generate a Pirate greeting.", "Pirate"),
        ("---", "nothing", "Answer"),
    ],
)
def test_a_name_says_what_a_value_means(name: str, question: str, expected: str) -> None:
    """Places, people, questions and expressions are known by their names."""
    assert {name: expected} == filled(object_of(**{name: TEXT}), question)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("days 3, age: 27", {"age": 27, "days": 3}),
        ("aged 27 for 3 days", {"age": 27, "days": 3}),
        ("27 and 3", {"age": 27, "days": 3}),
    ],
)
def test_numbers_beside_a_name_are_its_own(question: str, expected: Json) -> None:
    """Before those that merely come first."""
    assert expected == filled(object_of(age=WHOLE, days=WHOLE), question)


def test_people_are_told_apart() -> None:
    """Each item of a list of objects comes from its own clause."""
    person = object_of(name=TEXT, age=WHOLE, email={"anyOf": [TEXT, {"type": "null"}]})
    schema = {**object_of(people={"type": "array", "items": {"$ref": "#/$defs/Person"}})}
    schema["$defs"] = {"Person": person}
    people = filled(schema, "Anna is 30 and Bob is 25, bob@x.org.")["people"]
    assert [
        {"name": "Anna", "age": 30, "email": None},
        {"name": "Bob", "age": 25, "email": "bob@x.org"},
    ] == people


def test_an_optional_object_is_given_only_where_it_was_told() -> None:
    """Half of an object takes no facts away from the others."""
    schema = {**object_of(n=WHOLE), "required": []}
    schema["properties"] = {"pair": object_of(a=WHOLE, b=WHOLE), "n": WHOLE}
    assert {"n": 3} == filled(schema, "3")
    assert {"pair": {"a": 3, "b": 4}} == filled(schema, "3 and 4")


def test_an_optional_choice_is_given_only_where_it_was_made() -> None:
    """The first option is for those who must choose."""
    schema = {**object_of(size={"enum": ["small", "large"]}), "required": []}
    assert {} == filled(schema, "a shirt")
    assert {"size": "large"} == filled(schema, "a large shirt")


def test_a_long_list_is_read_whole() -> None:
    """Each number once, in order."""
    schema = object_of(numbers={"type": "array", "items": WHOLE})
    numbers = list(range(300))
    assert {"numbers": numbers} == filled(schema, " ".join(map(str, numbers)))


def test_a_schema_that_refers_to_itself_ends() -> None:
    """Trees are finite."""
    tree = object_of(v=WHOLE, kids={"type": "array", "items": {"$ref": "#/$defs/Tree"}})
    schema = {**object_of(tree={"$ref": "#/$defs/Tree"}), "$defs": {"Tree": tree}}
    assert {"tree": {"v": 3, "kids": []}} == filled(schema, "3")


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"$ref": "#"}]},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#"},
        object_of(me={"$ref": "#"}),
        {"enum": []},
        {"type": "object", "properties": [], "required": 3},
        {"type": "string", "pattern": "("},
        {"type": {"no": "type"}, "anyOf": []},
        {"type": "array", "items": {"type": "array", "items": {"type": "array", "minItems": 1}}},
    ],
)
def test_an_impossible_schema_is_answered_with_some_json(schema: Json) -> None:
    """A prompt may hold anything."""
    json.dumps(filled_unchecked(object_of(value=schema), "Value of 3"))
    assert "" != answer(turns("x", system=f"Fit this schema: {json.dumps(schema)}"))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["string", "object", "#"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "required", "enum", "anyOf", "$ref", "minimum"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(_JSON)
def test_any_json_after_the_word_schema_is_survived(value: Any) -> None:
    """Prompts hold what users write."""
    wrapped = {"type": "object", "properties": {"value": value}, "required": ["value"]}
    assert "value" in filled_unchecked(wrapped, "Anna, 3, is at 'home'.")


def test_broken_and_deeply_nested_json_is_survived() -> None:
    """As text of a question."""
    for text in ('{"a": ', '{"a":' * 5000, "{" * 50, "}{"):
        assert answer(turns(f"What is {text}"), model="Phi-4-mini-instruct") != ""


def test_the_same_prompt_gets_the_same_answer() -> None:
    """Nothing is left to chance."""
    messages = turns("A story about Rome, in JSON with 'title' and 'text' keys")
    assert answer(messages) == answer(messages)


def test_the_known_answers_are_still_known() -> None:
    """Azure's own example."""
    assert "7,000" in answer(turns("How many languages are in the world?"))
