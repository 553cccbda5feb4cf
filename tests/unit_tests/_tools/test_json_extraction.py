"""JSON objects: how they are requested, and how they are found in what small models write."""

import pytest
from hypothesis import example, given
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


def test_the_object_is_found() -> None:
    """In prose and fences, nearly JSON, with unambiguous wrong types, in a repeated schema."""
    for text in (
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
    ):
        assert (JOKE, "") == ObjectExtractor(SCHEMA).read(text), text


def test_the_problem_is_named() -> None:
    """In a sentence that the model can act on."""
    for text, expected in (
        ("I know no joke.", "no JSON object"),
        ("", "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ('{"setup": "Why?"}', '"rating" is a required property'),
        ('{"setup": "Why?", "rating": "high"}', '"high" is not of type "integer"'),
        (str(SCHEMA).replace("'", '"'), "the schema itself"),
        ('{"type": "object", "properties": {"setup": {"type": "string"}}}', "the schema itself"),
    ):
        found, problem = ObjectExtractor(SCHEMA).read(text)

        assert found is None, text
        assert expected in problem, text


def test_a_property_called_properties_is_no_repeated_schema() -> None:
    """An object may well have a field of that name."""
    schema = {"properties": {"properties": {"type": "object"}}}

    assert ({"properties": {"a": 1}}, "") == ObjectExtractor(schema).read(
        '{"properties": {"a": 1}}'
    )


def test_a_schema_with_broken_properties_is_tolerated() -> None:
    """It is the user's mistake; nothing is held against the model for it."""
    for properties in (None, 5, ["a"]):
        found, _ = ObjectExtractor({"properties": properties}).read('{"properties": {"a": 1}}')

        assert found is not None


def test_any_object_fits_the_empty_schema() -> None:
    """As in plain JSON mode."""
    assert ({"a": [1]}, "") == ObjectExtractor({}).read('Well: {"a": [1]}')


def test_instructions_hold_the_compact_schema() -> None:
    """Titles cost tokens and do not help."""
    text = instructions(SCHEMA)

    assert "Joke" not in text
    assert '"rating":{"type":"integer"}' in text
    assert "{" not in instructions({})


def test_a_correction_quotes_the_rejected_answer() -> None:
    """Shortened where it is long."""
    assert "You wrote:\nno\n" in correction("The response contains no JSON object.", " no ")
    assert len(correction("x", "y" * 5000)) < 800
    assert "You wrote" not in correction("x", "")


@example('{"```json\n{"a": 1}\n```')
@given(st.text())
def test_any_text_gives_an_object_or_a_problem(text: str) -> None:
    """Never both, never an exception; the example is what the fuzzer found."""
    found, problem = ObjectExtractor(SCHEMA).read(text)

    assert (found is None) == bool(problem)


@pytest.mark.parametrize("filler", ["{", '{"a":', "```{", '{"a": 1} ', '{"a": "x'])
def test_work_grows_linearly_with_the_answer(filler: str) -> None:
    """A model that repeats itself must not stop the program."""
    extractor = ObjectExtractor(SCHEMA)

    assert grows_linearly(lambda size: extractor.read(filler * (size // len(filler))), 4_000)
