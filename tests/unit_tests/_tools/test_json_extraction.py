"""A JSON object, found in what small models write around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3._tools.json_extraction import ObjectExtractor, correction, instructions
from tests.growth import grows_linearly

SCHEMA = {
    "title": "Joke",
    "type": "object",
    "properties": {
        "setup": {"type": "string"},
        "rating": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["setup", "rating"],
}
JOKE = {"setup": "Why?", "rating": 3}
PLAIN = '{"setup": "Why?", "rating": 3}'


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"\n {PLAIN}\n",
        f"```json\n{PLAIN}\n```",
        f"```\n{PLAIN}\n```",
        f"```json\n{PLAIN}",
        f"Sure! Here is the joke:\n{PLAIN}\nI hope you like it.",
        f"Sure! Here is the joke:\n```json\n{PLAIN}\n```\nI hope you like it.",
        f"The schema {{as given}} is met: {PLAIN}",
        "{'setup': 'Why?', 'rating': 3}",
        '{"setup": "Why?", "rating": 3,}',
        '{"setup": "Why?", "rating": "3"}',
        '{"setup": "Why?", "rating": 3, "mood": "good"}',
        '{setup: "Why?", rating: 3}',
        '{"setup": "Why?", "rating": 3',
        '{"properties": {"setup": "Why?", "rating": 3}}',
        '{"title": "Joke", "type": "object", "properties": {"setup": "Why?", "rating": 3}}',
        f'{{"wrong": 1}} or rather {PLAIN}',
    ],
)
def test_the_object_is_found(text: str) -> None:
    """In prose, in fences, almost JSON, with wrong types of one meaning, in an echo's place."""
    assert (JOKE, "") == ObjectExtractor(SCHEMA).read(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("I know no joke.", "no JSON object"),
        ("", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"setup": "Why?"}', '"rating" is a required property'),
        ('{"setup": "Why?", "rating": "high"}', '"high" is not of type "integer"'),
        (str(SCHEMA).replace("'", '"'), "the schema itself"),
        ('{"type": "object", "properties": {"setup": {"type": "string"}}}', "the schema itself"),
    ],
)
def test_what_is_wrong_is_said(text: str, problem: str) -> None:
    """In words that the model can act on."""
    found, said = ObjectExtractor(SCHEMA).read(text)

    assert found is None
    assert problem in said


def test_a_schema_with_properties_of_its_own_is_no_echo() -> None:
    """An object may well have a field of that name."""
    schema = {"properties": {"properties": {"type": "object"}}}

    assert ({"properties": {"a": 1}}, "") == ObjectExtractor(schema).read(
        '{"properties": {"a": 1}}'
    )


@pytest.mark.parametrize("properties", [None, 5, ["a"]])
def test_a_schema_without_proper_properties_is_survived(properties: object) -> None:
    """It is the user's mistake; nothing is held against the model for it."""
    answer = '{"properties": {"a": 1}}'
    found, _ = ObjectExtractor({"properties": properties}).read(answer)

    assert found is not None


def test_any_object_fits_the_empty_schema() -> None:
    """As in plain JSON mode."""
    assert ({"a": [1]}, "") == ObjectExtractor({}).read('Well: {"a": [1]}')


def test_the_instructions_hold_the_schema_without_ballast() -> None:
    """Titles cost tokens and say nothing."""
    text = instructions(SCHEMA)

    assert "Joke" not in text
    assert '"rating":{"type":"integer"}' in text
    assert "{" not in instructions({})


def test_a_correction_quotes_what_was_wrong() -> None:
    """Shortened where it is long."""
    assert "You wrote:\nno\n" in correction("The answer holds no JSON object.", " no ")
    assert len(correction("x", "y" * 5000)) < 800
    assert "You wrote" not in correction("x", "")


@given(st.text())
def test_no_text_upsets_the_reader(text: str) -> None:
    """Whatever a model writes, there is an object or a reason."""
    found, problem = ObjectExtractor(SCHEMA).read(text)

    assert (found is None) == bool(problem)


@pytest.mark.parametrize("filler", ["{", '{"a":', "```{", '{"a": 1} ', '{"a": "x'])
def test_work_grows_with_the_length_of_the_answer(filler: str) -> None:
    """A model that loops must not stop the program."""
    reader = ObjectExtractor(SCHEMA)

    assert grows_linearly(lambda size: reader.read(filler * (size // len(filler))), 4_000)
