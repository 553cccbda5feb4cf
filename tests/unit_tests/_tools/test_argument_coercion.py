"""Arguments that nearly fit their schema are coerced; what is wrong stays wrong."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from langchain_azure_phi3._tools.argument_coercion import ArgumentCoercer

_NESTED = {"type": "object", "properties": {"a": {"type": "integer"}}}


def _coercer(**properties: Any) -> ArgumentCoercer:
    return ArgumentCoercer({"type": "object", "properties": properties})


_UNAMBIGUOUS = [
    ({"type": "integer"}, "3", 3),
    ({"type": "integer"}, "3.0", 3),
    ({"type": "integer"}, 3.0, 3),
    ({"type": "number"}, "-2.5e1", -25.0),
    ({"type": "boolean"}, " True ", True),
    ({"type": "string"}, 3, "3"),
    ({"type": "string"}, 2.5, "2.5"),
    ({"type": ["integer", "null"]}, "none", None),
    ({"type": "array", "items": {"type": "integer"}}, "3", [3]),
    ({"type": "array", "items": {"type": "integer"}}, ["3", 4], [3, 4]),
    ({"type": "array", "items": {"type": "string"}}, '["a", "b"]', ["a", "b"]),
    ({"type": "array"}, 1, [1]),
    (_NESTED, '{"a": "1"}', {"a": 1}),
    (_NESTED, {"a": 1, "b": 2}, {"a": 1}),
    ({"type": "object"}, {"b": 2}, {"b": 2}),
    ({"enum": ["red-ish", "blue"]}, "RED_ISH", "red-ish"),
    ({"enum": [1, 2]}, "2", 2),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "3", 3),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, None),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "3", "3"),
    ({"oneOf": [_NESTED, {"type": "string"}]}, {"a": "1"}, {"a": 1}),
    ({"$ref": "#/$defs/Count"}, "3", 3),
]


def test_unambiguous_values_are_coerced() -> None:
    """And are valid then."""
    for schema, value, meant in _UNAMBIGUOUS:
        properties = {"x": schema}
        definitions = {"Count": {"type": "integer"}}
        coercer = ArgumentCoercer({"properties": properties, "$defs": definitions})
        coerced = coercer.coerce({"x": value})

        assert ({"x": meant}, type(meant)) == (coerced, type(coerced["x"])), (schema, value)
        assert None is coercer.validate(coerced), (schema, value)


_AMBIGUOUS = [
    ({"type": "integer"}, "three"),
    ({"type": "integer"}, "3.5"),
    ({"type": "integer"}, True),
    ({"type": "integer"}, "9" * 5000),
    ({"type": "boolean"}, 1),
    ({"type": "boolean"}, "yes"),
    ({"type": "string"}, True),
    ({"type": "string"}, {"a": 1}),
    ({"type": "object"}, "{not json"),
    ({"type": "object"}, "[1]"),
    ({"enum": ["A", "a"]}, "Å"),
    ({"enum": ["a"]}, True),
    ({"enum": ["b-c", "b_c"]}, "B C"),
    ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "x"),
]


def test_ambiguous_values_are_unchanged_and_reported() -> None:
    """The error says where."""
    for schema, value in _AMBIGUOUS:
        coercer = _coercer(x=schema)
        coerced = coercer.coerce({"x": value})

        assert {"x": value} == coerced, (schema, value)
        assert "['x']" in str(coercer.validate(coerced)), (schema, value)


def test_nothing_is_filled_in() -> None:
    """Not even a default: the tool has it anyway."""
    coercer = ArgumentCoercer({"properties": {"a": {"default": 1}}, "required": ["a"]})

    assert coercer.coerce({}) == {}
    assert coercer.validate({}) == '"a" is a required property'


def test_null_for_an_optional_argument_means_omitted() -> None:
    """Where null is not valid itself; required arguments stay."""
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["b"]}

    assert ArgumentCoercer(schema).coerce({"a": None, "b": None}) == {"b": None}


def test_unknown_arguments_stay_where_allowed() -> None:
    """Where the schema says so explicitly."""
    for schema in (
        {"properties": {"a": {}}, "additionalProperties": True},
        {"additionalProperties": {"type": "integer"}},
        {"properties": {"a": {}}, "patternProperties": {"b": {}}},
        {"allOf": [{"properties": {"b": {}}}]},
    ):
        assert ArgumentCoercer(schema).coerce({"b": 1}) == {"b": 1}, schema


def test_unknown_arguments_are_dropped_elsewhere() -> None:
    """Small models invent them; a property name that is not a text is no name."""
    assert ArgumentCoercer({}).coerce({"b": 1}) == {}
    assert _coercer(a={}).coerce({"a": 1, "b": 1}) == {"a": 1}
    assert ArgumentCoercer({"properties": {5: {}}}).coerce({"a": 1, "5": 2}) == {}


def test_a_misspelled_argument_never_replaces_an_exact_one() -> None:
    """Both are there: the exact one holds."""
    assert _coercer(city={}).coerce({"City": 1, "city": 2}) == {"city": 2}


def test_at_most_three_short_errors_are_reported() -> None:
    """They go back to a model of 4,096 tokens, with place and reason, not with long values."""
    coercer = ArgumentCoercer({"properties": {n: {"type": "integer"} for n in "abcde"}})
    error = str(coercer.validate(dict.fromkeys("abcde", "x" * 500)))

    assert error.count('is not of type "integer"') == 3
    assert error.startswith("['a']: ")
    assert len(error) < 700


def test_a_recursive_schema_is_followed_into_arguments() -> None:
    """A tree."""
    node = {"properties": {"n": {"type": "integer"}, "child": {"$ref": "#/$defs/Node"}}}
    coercer = ArgumentCoercer({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    coerced = coercer.coerce({"n": "1", "child": {"n": "2", "x": 0}})

    assert coerced == {"n": 1, "child": {"n": 2}}
    assert coercer.validate(coerced) is None


def _expression(depth: int, **more: Any) -> Any:
    number = {"node": "Num", "value": "1"}
    if depth == 0:
        return number
    return {"node": "Div", "left": _expression(depth - 1), "right": number, **more}


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
@pytest.mark.parametrize("draft", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}])
def test_work_grows_with_the_depth_of_unions(keyword: str, draft: dict[str, str]) -> None:
    """A syntax tree of five types of nodes, each of which may hold any."""
    sides = {side: {"$ref": "#/$defs/Any"} for side in ("left", "right")}
    definitions: dict[str, Any] = {
        node: {"properties": {**sides, "node": {"const": node}}, "required": ["node", *sides]}
        for node in ("Add", "Sub", "Mul", "Div")
    }
    number = {"node": {"const": "Num"}, "value": {"type": "integer"}}
    definitions["Num"] = {"properties": number, "required": list(number)}
    definitions["Any"] = {keyword: [{"$ref": f"#/$defs/{node}"} for node in definitions]}
    coercer = ArgumentCoercer(
        {**draft, "properties": {"tree": sides["left"]}, "$defs": definitions}
    )

    coerced = coercer.coerce({"tree": _expression(12, mood="good")})

    assert coerced["tree"].keys() == {"node", "left", "right"}
    assert coerced["tree"]["right"] == {"node": "Num", "value": 1}
    assert coercer.validate(coerced) is None
    assert "is not valid under any of" in str(coercer.validate({"tree": _expression(12)}))


def test_an_unusable_schema_changes_and_rejects_nothing() -> None:
    """Not valid, circular, or referring to what is not there: its author's mistake."""
    for schema in (
        {"properties": {"a": {"type": "str"}}, "required": ["b"]},
        {"properties": {"a": {}}, "required": True},
        {"properties": {"a": {"type": None}}},
        {"properties": {"a": {"pattern": "("}}},
        {"$schema": 5},
        {"$schema": []},
        {"$id": "http://[::1", "properties": {"a": {"$ref": "b"}}},
        {"properties": {"a": {"$ref": "https://example.org/schema.json"}}},
        {"properties": {"a": {"$ref": "#/$defs/Missing"}}},
        {"properties": {"a": {"$ref": "#/properties/a"}, "x": {}}},
    ):
        coercer = ArgumentCoercer(schema)

        assert coercer.coerce({"a": "1", "x": 2}) == {"a": "1", "x": 2}, schema
        assert coercer.validate({"a": "1", "x": 2}) is None, schema


def test_coercions_share_nothing_between_threads() -> None:
    """One tool's schema serves many answers at once."""
    either = {"anyOf": [_NESTED, {"type": "array", "items": {"type": "integer"}}]}
    coercer = _coercer(x=either)

    def coerce(number: int) -> Any:
        return coercer.coerce({"x": {"a": str(number)}})

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(coerce, range(400)))

    assert [{"x": {"a": number}} for number in range(400)] == found
