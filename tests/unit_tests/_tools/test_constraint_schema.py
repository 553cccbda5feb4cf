"""Schemas for constrained decoding, compiled by the compilers that servers use."""

import dataclasses
import datetime
import json
import time
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from langchain_azure_phi3._tools.answer_parser import AnswerParser
from langchain_azure_phi3._tools.constraint_schema import constraint_schema, tool_calls_schema
from langchain_azure_phi3._tools.tools import Tool
from langchain_azure_phi3._tools.type_conversion import to_json_schema, to_wire_tool
from langchain_azure_phi3._types import Json
from tests.grammar_compilers import accepts_with_llguidance, accepts_with_xgrammar
from tests.third_party.cases import ENDLESS, EXPRESSIBLE, INEXPRESSIBLE, TOOLS
from tests.unit_tests._tools.constraint_cases import CASES, Case

_COMPILERS = (accepts_with_llguidance, accepts_with_xgrammar)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _assert_accepted(schema: Json | None, value: Any) -> None:
    assert schema is not None
    for accepts in _COMPILERS:
        assert accepts(schema, _text(value)), (accepts.__name__, schema, value)


def _assert_rejected(schema: Json | None, value: Any) -> None:
    assert schema is not None
    for accepts in _COMPILERS:
        assert not accepts(schema, _text(value)), (accepts.__name__, schema, value)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_compilers_accept_and_reject(case: Case) -> None:
    """Each compiler accepts the values that fit, and rejects those that do not."""
    rewritten = constraint_schema(case.schema)
    for value in case.accepted:
        _assert_accepted(rewritten, value)
    for value in case.rejected:
        _assert_rejected(rewritten, value)


def test_schemas_of_the_engine_tests_compile() -> None:
    """Those of `tests/third_party/cases.py`, with and without calls; none allows everything."""
    tools = [to_wire_tool(tool) for tool in TOOLS]
    schemas = [
        constraint_schema(to_json_schema(case.schema))
        for case in (*EXPRESSIBLE, INEXPRESSIBLE, ENDLESS)
        if not dataclasses.is_dataclass(case.schema)
    ]
    schemas += [tool_calls_schema(tools, parallel=parallel) for parallel in (True, False)]
    for schema in schemas:
        _assert_rejected(schema, {"unknown": 1})


def test_accepted_values_are_valid() -> None:
    """What the cases call accepted is valid under the original schema, if that is one."""
    for name, case in CASES.items():
        if not jsonschema_rs.meta.is_valid(case.schema):
            continue
        validator = jsonschema_rs.validator_for(case.schema, validate_formats=False)
        assert all(validator.is_valid(value) for value in case.accepted), name


_TYPES_OF_FORMATS: dict[str, Any] = {
    "date": datetime.date,
    "time": datetime.time,
    "date-time": datetime.datetime,
    "duration": datetime.timedelta,
}


@given(st.sampled_from(sorted(_TYPES_OF_FORMATS)), st.data())
def test_texts_of_formats_are_values(name: str, data: st.DataObject) -> None:
    """Pydantic reads each text that a format's grammar allows, and compilers accept it."""
    schema = constraint_schema({"properties": {"value": {"type": "string", "format": name}}})
    assert schema is not None
    pattern = schema["properties"]["value"]["pattern"]
    text = data.draw(st.from_regex(pattern.removesuffix("$") + r"\Z", fullmatch=True))

    TypeAdapter(_TYPES_OF_FORMATS[name]).validate_python(text)
    _assert_accepted(schema, {"value": text})


@given(st.dates(), st.datetimes(), st.timedeltas(datetime.timedelta(), datetime.timedelta(10**6)))
def test_values_of_formats_are_accepted(
    day: datetime.date, moment: datetime.datetime, duration: datetime.timedelta
) -> None:
    """As pydantic writes them: every day, leap days too, and durations of a million days."""
    for name, value in [
        *[("date", day), ("time", moment.time()), ("date-time", moment)],
        *[("duration", duration), ("date", datetime.date(2000, 2, 29))],
    ]:
        text = TypeAdapter(_TYPES_OF_FORMATS[name]).dump_python(value, mode="json")
        schema = constraint_schema({"properties": {"value": {"type": "string", "format": name}}})
        _assert_accepted(schema, {"value": text})


def test_impossible_dates_and_durations_are_rejected() -> None:
    """Which have the right characters."""
    for name, texts in {
        "date": ("0000-01-01", "2026-02-29", "1900-02-29", "2026-04-31", "2026-13-01"),
        "duration": ("P", "PT", "P,", "P1H", "P1DT", "PT1M1H"),
    }.items():
        schema = constraint_schema({"properties": {"value": {"type": "string", "format": name}}})
        for text in texts:
            _assert_rejected(schema, {"value": text})


# Characters that need no escape in JSON.
_CHARACTERS = st.characters(exclude_characters='"\\\x7f', exclude_categories=("C",))
_NAMES = st.text(_CHARACTERS, min_size=1, max_size=5)
Generated = tuple[Json, "st.SearchStrategy[Any]"]


def _integers(low: int, size: int) -> Generated:
    return {"type": "integer", "minimum": low, "maximum": low + size}, st.integers(low, low + size)


def _strings(shortest: int, more: int) -> Generated:
    sizes = {"min_size": shortest, "max_size": shortest + more}
    schema = {"type": "string", "minLength": shortest, "maxLength": shortest + more}
    return schema, st.text(_CHARACTERS, **sizes)


def _enums(values: list[Any]) -> Generated:
    return {"enum": values}, st.sampled_from(values)


_LEAVES = st.one_of(
    st.builds(_integers, st.integers(-2000, 2000), st.integers(0, 3000)),
    st.builds(_strings, st.integers(0, 5), st.integers(0, 5)),
    st.builds(_enums, st.lists(st.none() | st.integers() | st.booleans() | _NAMES, min_size=1)),
    st.just(({"type": "string"}, st.text(_CHARACTERS))),
    st.just(({"type": "number"}, st.floats(-1e15, 1e15))),
    st.just(({"type": ["boolean", "null"]}, st.sampled_from([True, False, None]))),
)


def _objects(children: "st.SearchStrategy[Generated]") -> "st.SearchStrategy[Generated]":
    def build(members: dict[str, tuple[Generated, bool]]) -> Generated:
        optional = [name for name, (_, is_optional) in members.items() if is_optional]
        values = {name: child[1] for name, (child, _) in members.items()}
        schema = {
            "type": "object",
            "properties": {name: child[0] for name, (child, _) in members.items()},
            "required": [name for name in members if name not in optional],
        }
        order = list(members)
        return schema, st.fixed_dictionaries(
            {name: values[name] for name in values if name not in optional},
            optional={name: values[name] for name in optional},
        ).map(lambda value: {name: value[name] for name in order if name in value})

    members = st.dictionaries(_NAMES, st.tuples(children, st.booleans()), max_size=4)
    return members.map(build)


def _arrays(children: "st.SearchStrategy[Generated]") -> "st.SearchStrategy[Generated]":
    def build(child: Generated, fewest: int, more: int) -> Generated:
        schema = {"items": child[0], "minItems": fewest, "maxItems": fewest + more}
        return schema, st.lists(child[1], min_size=fewest, max_size=fewest + more)

    return st.builds(build, children, st.integers(0, 2), st.integers(0, 2))


def _unions(children: "st.SearchStrategy[Generated]") -> "st.SearchStrategy[Generated]":
    def build(members: list[Generated]) -> Generated:
        return {"anyOf": [child[0] for child in members]}, st.one_of(c[1] for c in members)

    return st.lists(children, min_size=1, max_size=3).map(build)


def _combined(children: "st.SearchStrategy[Generated]") -> "st.SearchStrategy[Generated]":
    def build(child: Generated, keyword: str) -> Generated:
        forms = {"allOf": {"allOf": [child[0], {}]}, "not": {**child[0], "not": False}}
        return forms[keyword], child[1]

    return st.builds(build, children, st.sampled_from(["allOf", "not"]))


_GENERATED = st.recursive(
    _LEAVES,
    lambda children: (
        _objects(children) | _arrays(children) | _unions(children) | _combined(children)
    ),
    max_leaves=8,
)


@given(_GENERATED, st.data())
def test_valid_values_are_accepted(generated: Generated, data: st.DataObject) -> None:
    """What is valid under the original, in the declared order, can be written."""
    schema, values = generated
    value = data.draw(values)
    assert jsonschema_rs.is_valid(schema, value)
    rewritten = constraint_schema(schema)
    if rewritten is not None:
        _assert_accepted(rewritten, value)


_JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["object", "#", "a"]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("type", "properties", "items", "anyOf", "allOf", "oneOf", "$ref", "enum"),
                    *("const", "required", "minItems", "additionalProperties", "maxLength", "$id"),
                    *("pattern", "minimum", "prefixItems", "exclusiveMinimum", "format", "$defs"),
                ]
            ),
            children | st.sampled_from(["string", "#/$defs/a", "integer", "(", "date"]),
            max_size=5,
        )
    ),
)


@given(
    st.dictionaries(st.sampled_from(["type", "anyOf", "properties", "$ref", "enum"]), _JSON_LIKE)
)
def test_malformed_schemas_still_compile(schema: Json) -> None:
    """Whatever a server sends as a schema, the result compiles."""
    rewritten = constraint_schema(schema)
    if rewritten is not None:
        for accepts in _COMPILERS:
            accepts(rewritten, "{}")


def test_schemas_without_restrictions_are_none() -> None:
    """There is nothing to send where anything is allowed."""
    impossible: Any = False
    for schema in [
        {},
        {"description": "x"},
        {"not": {"type": "string"}},
        {"$ref": "#"},
        impossible,
    ]:
        assert constraint_schema(schema) is None
    for reference in ["https://example.com/schema.json", "#/$defs/absent", "#anchor"]:
        assert constraint_schema({"$ref": reference}) is None


def test_prompt_keywords_are_dropped() -> None:
    """Descriptions, titles, defaults and examples are in the prompt; they cost only bytes here."""
    schema = {"title": "T", "type": "string", "default": "a", "examples": ["b"], "description": "d"}
    assert constraint_schema(schema) == {"type": "string"}


def test_property_order_is_kept() -> None:
    """Compilers write properties in the order of the schema."""
    names = ["zebra", "apple", "Mango", "_1"]
    schema = {"type": "object", "properties": {name: {"type": "null"} for name in names}}
    assert list((constraint_schema(schema) or {})["properties"]) == names


def test_huge_repetitions_are_dropped() -> None:
    """Compilers write repetitions out, so a schema could exhaust a server's memory."""
    huge = 10**9
    for schema, expected in [
        ({"type": "string", "minLength": huge, "maxLength": huge}, {"type": "string"}),
        ({"type": "string", "pattern": "^(a{500}){500}$"}, {"type": "string"}),
        ({"type": "integer", "minimum": 10**30}, {"type": "integer"}),
        (
            {"type": "array", "items": {"type": "null"}, "minItems": huge},
            {"type": "array", "items": {"type": "null"}},
        ),
    ]:
        assert constraint_schema(schema) == expected


def test_hostile_schemas_take_bounded_time() -> None:
    """Deep, doubling and circular schemas are rewritten or refused, and never exhaust the stack."""
    deep: Json = {"type": "string"}
    combined: Json = {"type": "string"}
    for _ in range(20_000):
        deep = {"type": "object", "properties": {"a": deep}}
        combined = {"allOf": [combined, {"minLength": 1}]}
    doubling = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(60)}
    expanding = {
        f"a{i}": {
            "properties": {
                name: {"$ref": f"#/$defs/a{i + 1}", "required": ["q"]} for name in ("x", "y")
            }
        }
        for i in range(60)
    }
    start = time.thread_time()
    for schema in [
        deep,
        combined,
        {"$ref": "#/$defs/a0", "$defs": doubling},
        {"$ref": "#/$defs/a0", "$defs": expanding},
        {"enum": [str(number) for number in range(100_000)]},
        {"properties": {"a": {"const": deep}}},
    ]:
        rewritten = constraint_schema(schema)
        if rewritten is not None:
            accepts_with_xgrammar(rewritten, "{}")
    assert time.thread_time() - start < 10


def test_left_recursion_is_cut() -> None:
    """A definition that contains itself directly, which llama.cpp rejects, accepts anything."""
    union = {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "string"}]}
    schema = {"type": "object", "properties": {"x": union}, "$defs": {"a": union}}
    rewritten = constraint_schema(schema)
    for value in ["text", 1, [None]]:
        _assert_accepted(rewritten, {"x": value})


def _tool(name: str, **parameters: Any) -> Json:
    function = {"name": name, "description": "d", **parameters}
    return {"type": "function", "function": function}


_ORDER = {
    "type": "object",
    "properties": {"item": {"$ref": "#/$defs/Item"}},
    "required": ["item"],
    "$defs": {"Item": {"type": "object", "properties": {"id": {"type": "integer"}}}},
}
_LOGIN = {
    "type": "object",
    "properties": {"item": {"$ref": "#/$defs/Item"}},
    "required": ["item"],
    "$defs": {"Item": {"enum": ["key", "password"]}},
}
_TOOLS = [
    _tool("order", parameters=_ORDER),
    _tool("log-in", parameters=_LOGIN),
    _tool("stop"),
    _tool("free", parameters={"type": "object"}),
]


def test_tool_calls_are_of_one_tool() -> None:
    """A call names one of the tools, and has arguments of this tool; definitions do not mix."""
    schema = tool_calls_schema(_TOOLS, parallel=False)
    for name, arguments in [
        ("order", {"item": {"id": 1}}),
        ("log-in", {"item": "key"}),
        ("stop", {}),
        ("free", {"any": [1]}),
    ]:
        _assert_accepted(schema, {"name": name, "arguments": arguments})
    for call in [
        {"name": "order", "arguments": {"item": "key"}},
        {"name": "log-in", "arguments": {"item": {"id": 1}}},
        {"name": "stop", "arguments": {"a": 1}},
        {"name": "other", "arguments": {}},
        {"name": "stop"},
        [{"name": "stop", "arguments": {}}],
    ]:
        _assert_rejected(schema, call)


def test_parallel_tool_calls_are_an_array() -> None:
    """Several calls are an array of at least one."""
    schema = tool_calls_schema(_TOOLS, parallel=True)
    stop = {"name": "stop", "arguments": {}}
    _assert_accepted(schema, [stop, {"name": "log-in", "arguments": {"item": "password"}}])
    for calls in [[], stop, [stop] * 17]:
        _assert_rejected(schema, calls)


def test_parser_reads_what_is_constrained() -> None:
    """What the schemas allow is what the parser reads as a required call."""
    call = {"name": "order", "arguments": {"item": {"id": 1}}}
    tools = [Tool.from_wire(tool) for tool in _TOOLS]
    for parallel, answer in [(False, call), (True, [call, call])]:
        _assert_accepted(tool_calls_schema(_TOOLS, parallel=parallel), answer)
        parser = AnswerParser(tools, required=True)
        results = [parser.feed(_text(answer)), parser.finish()]
        calls = [call for result in results for call in result.calls]
        assert [(c.name, c.arguments, c.error) for c in calls] == [
            ("order", {"item": {"id": 1}}, None)
        ] * (2 if parallel else 1)


def test_arguments_are_always_objects() -> None:
    """Parameters without a type, or behind a reference, describe an object."""
    reference = {"$ref": "#/$defs/P", "$defs": {"P": {"properties": {"x": {"type": "null"}}}}}
    schema = tool_calls_schema([_tool("f", parameters=reference)], parallel=False)
    _assert_accepted(schema, {"name": "f", "arguments": {"x": None}})
    _assert_rejected(schema, {"name": "f", "arguments": 1})


def test_no_tools_have_no_schema() -> None:
    """Without tools there is nothing to call."""
    assert tool_calls_schema([], parallel=True) is None
