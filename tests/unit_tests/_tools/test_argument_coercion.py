"""Arguments that nearly fit are made to fit; what is wrong stays wrong."""

from typing import Any

import pytest

from langchain_azure_phi3._tools.argument_coercion import ArgumentCoercer


def _checker(**properties: Any) -> ArgumentCoercer:
    return ArgumentCoercer({"type": "object", "properties": properties})


_NESTED = {"type": "object", "properties": {"a": {"type": "integer"}}}

_UNMISTAKABLE = [
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


@pytest.mark.parametrize(("schema", "written", "meant"), _UNMISTAKABLE)
def test_what_can_only_mean_one_thing_is_taken_so(schema: Any, written: Any, meant: Any) -> None:
    """And is valid then."""
    properties = {"x": schema}
    checker = ArgumentCoercer({"properties": properties, "$defs": {"Count": {"type": "integer"}}})
    coerced = checker.coerce({"x": written})

    assert {"x": meant} == coerced
    assert type(meant) is type(coerced["x"])
    assert None is checker.validate(coerced)


_WRONG = [
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


@pytest.mark.parametrize(("schema", "written"), _WRONG)
def test_what_could_mean_something_else_is_left_and_named(schema: Any, written: Any) -> None:
    """The problem says where."""
    checker = _checker(x=schema)
    coerced = checker.coerce({"x": written})

    assert coerced == {"x": written}
    assert "['x']" in str(checker.validate(coerced))


def test_nothing_is_filled_in() -> None:
    """Not even a default: it is the tool's, which has it anyway."""
    checker = ArgumentCoercer({"properties": {"a": {"default": 1}}, "required": ["a"]})

    assert checker.coerce({}) == {}
    assert checker.validate({}) == '"a" is a required property'


def test_null_for_an_option_that_takes_none_is_left_out() -> None:
    """But not for what is required."""
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["b"]}

    assert ArgumentCoercer(schema).coerce({"a": None, "b": None}) == {"b": None}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {}}, "additionalProperties": True},
        {"additionalProperties": {"type": "integer"}},
        {"properties": {"a": {}}, "patternProperties": {"b": {}}},
        {"allOf": [{"properties": {"b": {}}}]},
    ],
)
def test_unknown_arguments_stay_where_the_schema_allows_them(schema: Any) -> None:
    """In so many words."""
    assert ArgumentCoercer(schema).coerce({"b": 1}) == {"b": 1}


def test_unknown_arguments_are_dropped_elsewhere() -> None:
    """Small models invent them."""
    assert ArgumentCoercer({}).coerce({"b": 1}) == {}
    assert _checker(a={}).coerce({"a": 1, "b": 1}) == {"a": 1}


def test_a_misspelt_argument_does_not_replace_the_well_spelt_one() -> None:
    """Both are there: the exact one holds."""
    assert _checker(city={}).coerce({"City": 1, "city": 2}) == {"city": 2}


def test_at_most_three_problems_are_told() -> None:
    """Each short: they go back to a model of 4,096 tokens."""
    checker = ArgumentCoercer({"properties": {n: {"type": "integer"} for n in "abcde"}})
    problem = str(checker.validate(dict.fromkeys("abcde", "x" * 500)))

    assert problem.count(";") == 2
    assert len(problem) < 700


def test_a_schema_whose_properties_have_no_names_is_survived() -> None:
    """JSON would make a text of the number."""
    assert ArgumentCoercer({"properties": {5: {}}}).coerce({"a": 1, "5": 2}) == {}


@pytest.mark.parametrize("reference", ["https://example.org/schema.json", "#/$defs/Missing"])
def test_a_schema_that_is_not_here_is_not_fetched_nor_held_against_the_model(
    reference: str,
) -> None:
    """The tool's author referred to it, not the model."""
    checker = _checker(a={"$ref": reference}, b={"type": "integer"})

    assert checker.validate(checker.coerce({"a": 1, "b": "2"})) is None


def test_a_schema_at_no_address_refers_to_nothing() -> None:
    """Its author's mistake, too."""
    checker = ArgumentCoercer({"$id": "http://[::1", "properties": {"a": {"$ref": "b"}}})

    assert checker.validate({"a": 1}) is None


def test_a_schema_that_contains_itself_is_followed_as_far_as_the_arguments_go() -> None:
    """A tree."""
    node = {"properties": {"n": {"type": "integer"}, "child": {"$ref": "#/$defs/Node"}}}
    checker = ArgumentCoercer({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    coerced = checker.coerce({"n": "1", "child": {"n": "2", "x": 0}})

    assert coerced == {"n": 1, "child": {"n": 2}}
    assert checker.validate(coerced) is None


def _expression(depth: int, **more: Any) -> Any:
    number = {"kind": "Num", "value": "1"}
    if depth == 0:
        return number
    return {"kind": "Div", "left": _expression(depth - 1), "right": number, **more}


@pytest.mark.parametrize("kind", ["anyOf", "oneOf"])
@pytest.mark.parametrize("said", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}])
def test_work_grows_with_the_depth_of_alternatives(kind: str, said: dict[str, str]) -> None:
    """A syntax tree of five kinds of nodes, each of which may hold any."""
    nodes = ("Add", "Sub", "Mul", "Div")
    sides = {side: {"$ref": "#/$defs/Any"} for side in ("left", "right")}
    definitions: dict[str, Any] = {
        node: {"properties": {**sides, "kind": {"const": node}}, "required": ["kind", *sides]}
        for node in nodes
    }
    number = {"kind": {"const": "Num"}, "value": {"type": "integer"}}
    definitions["Num"] = {"properties": number, "required": list(number)}
    definitions["Any"] = {kind: [{"$ref": f"#/$defs/{node}"} for node in definitions]}
    checker = ArgumentCoercer({**said, "properties": {"tree": sides["left"]}, "$defs": definitions})

    coerced = checker.coerce({"tree": _expression(12, mood="good")})

    assert coerced["tree"].keys() == {"kind", "left", "right"}
    assert coerced["tree"]["right"] == {"kind": "Num", "value": 1}
    assert checker.validate(coerced) is None
    assert checker.validate({"tree": _expression(12)}) is not None


def test_a_reference_to_itself_ends() -> None:
    """Nothing can be said of such an argument."""
    checker = ArgumentCoercer({"properties": {"a": {"$ref": "#/properties/a"}}})

    assert checker.coerce({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "str"}}, "required": ["b"]},
        {"properties": {"a": {}}, "required": True},
        {"properties": {"a": {"type": None}}},
        {"properties": {"a": {"pattern": "("}}},
        {"$schema": 5},
        {"$schema": []},
    ],
)
def test_a_schema_that_is_none_is_not_held_against_the_model(schema: Any) -> None:
    """Its arguments pass as they are."""
    checker = ArgumentCoercer(schema)

    assert checker.coerce({"a": "1", "x": 2}) == {"a": "1", "x": 2}
    assert checker.validate({"a": "1", "x": 2}) is None
