"""Schemas as users' tools and models have them, with values that fit and values that do not."""

import datetime
import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar
from uuid import UUID

from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter
from typing_extensions import TypedDict

from langchain_azure_phi3._types import Json

T = TypeVar("T")


class Case(NamedTuple):
    """A schema, what its rewritten form accepts, and what it rejects."""

    schema: Json
    accepted: list[Any]
    rejected: list[Any]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Person(BaseModel):
    """A person."""

    name: str = Field(description="The full name", examples=["Ada"])
    age: int = Field(ge=0, le=150)
    email: str | None = None


class Node(BaseModel):
    value: int
    children: list["Node"] = []


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None


class Cat(BaseModel):
    species: Literal["cat"]
    lives: int


class Dog(BaseModel):
    species: Literal["dog"]
    tricks: list[str]


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="species")]


class Husband(BaseModel):
    wife: "Wife | None" = None


class Wife(BaseModel):
    husband: Husband | None = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Base(BaseModel):
    person: Person = Field(description="Who", default=None)


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@dataclass
class Point:
    x: float
    y: float = 0.0


@tool
def search(query: str, limit: int = 10, tags: list[str] | None = None) -> str:
    """Search the web."""
    return query


def _field(annotation: Any, *accepted: Any, rejected: tuple[Any, ...]) -> Case:
    """A pydantic schema of one type, as the field of an object."""
    schema = TypeAdapter(TypedDict("Fields", {"field": annotation})).json_schema()
    return _property(schema, accepted, rejected)


def _property(schema: Json, accepted: tuple[Any, ...], rejected: tuple[Any, ...]) -> Case:
    return Case(schema, [{"field": v} for v in accepted], [{"field": v} for v in rejected])


def _raw(field: Any, *accepted: Any, rejected: tuple[Any, ...], draft: int | None = None) -> Case:
    """A hand-written schema, as the required property of an object."""
    schema = {"type": "object", "properties": {"field": field}, "required": ["field"]}
    if draft is not None:
        schema["$schema"] = f"http://json-schema.org/draft-0{draft}/schema#"
    return _property(schema, accepted, rejected)


_ADA = {"name": "Ada", "age": 36}
_UUID = "123e4567-e89b-42d3-a456-426614174000"

CASES: dict[str, Case] = {
    # Pydantic.
    "model": Case(
        Person.model_json_schema(),
        [_ADA, {**_ADA, "email": None}, {**_ADA, "email": 'a "b" \n@c'}],
        [{"name": "Ada"}, {"name": "Ada", "age": 151}, {"name": 1, "age": 3}, {**_ADA, "x": 1}, []],
    ),
    "recursive model": Case(
        Node.model_json_schema(),
        [{"value": 1}, {"value": 1, "children": [{"value": 2, "children": []}]}],
        [{"value": 1, "children": [{"children": []}]}, {"children": []}],
    ),
    "mutually recursive models": Case(
        Husband.model_json_schema(),
        [{}, {"wife": {"husband": {"wife": None}}}],
        [{"wife": {"husband": {"wife": 1}}}],
    ),
    "generic model": Case(
        Page[Person].model_json_schema(),
        [{"items": [_ADA], "next": None}],
        [{"items": [{"name": "Ada"}], "next": None}, {"items": []}],
    ),
    "nested generic model": Case(
        Page[Page[int]].model_json_schema(),
        [{"items": [{"items": [1], "next": "a"}], "next": None}],
        [{"items": [1], "next": None}],
    ),
    "discriminated union": Case(
        Owner.model_json_schema(),
        [{"pet": {"species": "cat", "lives": 9}}, {"pet": {"species": "dog", "tricks": ["sit"]}}],
        [{"pet": {"species": "cat", "tricks": []}}, {"pet": {"species": "cow"}}],
    ),
    "model with extra fields": Case(
        Open.model_json_schema(),
        [{"name": "a"}, {"name": "a", "other": [1, {"b": None}]}],
        [{"other": 1}, {"name": 1}],
    ),
    "definition next to annotations": Case(
        Base.model_json_schema(), [{}, {"person": _ADA}], [{"person": {}}, {"person": 1}]
    ),
    "date": _field(datetime.date, "2026-11-28", rejected=("28.11.2026", "2026-13-01")),
    "datetime": _field(
        datetime.datetime,
        *("2026-11-28T10:00:00Z", "2026-11-28T10:00:00.123456+02:00", "2026-11-28T10:00:00"),
        rejected=("2026-11-28", "tomorrow"),
    ),
    "time": _field(datetime.time, "10:00:00", "10:00", rejected=("25:00:00", "ten")),
    "timedelta": _field(datetime.timedelta, "P1DT2H", rejected=("two hours",)),
    "uuid": _field(UUID, _UUID, rejected=("123", _UUID + "0")),
    "url": _field(AnyUrl, "https://example.com/a?b=c#d", rejected=("example.com", "https://a b")),
    "decimal": _field(Decimal, 1.5, "1.5", -2, rejected=(None, [])),
    "enum": _field(Color, "red", "blue", rejected=("green", 1)),
    "integer enum": _field(enum.IntEnum("Level", ["LOW", "HIGH"]), 1, 2, rejected=(3, "1")),
    "literal of mixed types": _field(
        Literal["auto", 1, 2, None], "auto", 1, None, rejected=("1", 3, True)
    ),
    "literal of one value": _field(Literal["only"], "only", rejected=("other",)),
    "boolean literal": _field(Literal[True], True, rejected=(False, 1)),
    "bounded integer": _field(
        Annotated[int, Field(gt=0, lt=100)], 1, 99, rejected=(0, 100, -5, 1.5, "1")
    ),
    "negative integer": _field(Annotated[int, Field(lt=0)], -1, -500, rejected=(0, 3)),
    "large bound": _field(Annotated[int, Field(ge=1000)], 1000, 54321, rejected=("1000", 0)),
    "integer of several steps": _field(Annotated[int, Field(multiple_of=5)], 10, rejected=("10",)),
    "bounded float": _field(
        Annotated[float, Field(ge=0, le=1)], 0.5, 0.123456789, 1, rejected=("1", None)
    ),
    "short string": _field(
        Annotated[str, Field(min_length=2, max_length=4)], "ab", "über", rejected=("a", "abcde")
    ),
    "non-empty string": _field(
        Annotated[str, Field(min_length=1)], "a", 'line\nbreak "quoted"', rejected=(1, None)
    ),
    "long string": _field(Annotated[str, Field(max_length=5000)], "", "a\tb\\", rejected=(1,)),
    "pattern": _field(
        Annotated[str, Field(pattern=r"^[A-Z]{2}\d{3}$")], "AB123", rejected=("ab123", "AB1234")
    ),
    "list of bounded length": _field(
        Annotated[list[int], Field(min_length=1, max_length=3)],
        *([1], [1, 2, 3]),
        rejected=([], [1, 2, 3, 4], ["a"]),
    ),
    "set": _field(set[str], ["a", "b"], rejected=([1], {})),
    "fixed tuple": _field(tuple[int, str], [1, "a"], rejected=([1], ["a", 1], [1, "a", 2])),
    "tuple of any length": _field(tuple[int, ...], [], [1, 2], rejected=(["a"],)),
    "named tuple": _field(
        NamedTuple("Pair", [("left", int), ("right", bool)]), [1, True], rejected=([1], [1, 2])
    ),
    "dictionary": _field(dict[str, int], {}, {"a": 1, "b c": 2}, rejected=({"a": "b"}, [])),
    "dictionary of enum keys": _field(
        dict[Literal["a", "b"], int], {"a": 1}, rejected=({"a": "b"},)
    ),
    "dictionary of patterned keys": _field(
        dict[Annotated[str, Field(pattern="^x")], int], {"x1": 1}, rejected=({"x1": "b"},)
    ),
    "any": _field(Any, None, 1, "a", [1, {"b": []}], {"c": True}, rejected=()),
    "JSON value": _field(JsonValue, None, [1, {"b": ["c"]}], rejected=()),
    "union": _field(int | str | list[int], 1, "a", [1], rejected=(["a"], None, {})),
    "optional": _field(int | None, 1, None, rejected=("a",)),
    "untyped list": _field(list, [], [1, "a", [None]], rejected=({}, 1)),
    "untyped dictionary": _field(dict, {}, {"a": [1]}, rejected=([], 1)),
    "null": _field(None, None, rejected=(0, "")),
    # Other Python types.
    "typed dictionary": Case(
        TypeAdapter(Movie).json_schema(),
        [{"title": "Alien"}, {"title": "Alien", "year": 1979}],
        [{"year": 1979}, {"title": "Alien", "year": "1979"}],
    ),
    "dataclass": Case(
        TypeAdapter(Point).json_schema(), [{"x": 1}, {"x": 1.5, "y": -2e3}], [{"y": 1}, {"x": "1"}]
    ),
    "LangChain tool": Case(
        search.tool_call_schema.model_json_schema(),
        [{"query": "a"}, {"query": "a", "limit": 3, "tags": ["b"]}, {"query": "a", "tags": None}],
        [{"limit": 3}, {"query": "a", "tags": [1]}],
    ),
    "OpenAI function": Case(
        convert_to_openai_function(Person, strict=True)["parameters"],
        [{**_ADA, "email": "a@b"}],
        [{"name": "Ada"}, {**_ADA, "email": 1}],
    ),
    "tool without parameters": Case({"type": "object", "properties": {}}, [{}], [{"a": 1}, []]),
    # MCP servers and JavaScript.
    "zod object": Case(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "path": {"type": "string", "minLength": 1},
                "head": {"type": "number", "exclusiveMinimum": 0},
                "edits": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "oldText": {"type": "string"},
                            "newText": {"type": "string"},
                        },
                        "required": ["oldText", "newText"],
                        "additionalProperties": False,
                    },
                },
                "dryRun": {"type": "boolean", "default": False},
            },
            "required": ["path", "edits"],
            "additionalProperties": False,
        },
        [{"path": "/a", "edits": [{"oldText": "a\n", "newText": 'b"'}], "dryRun": True}],
        [{"path": "/a"}, {"path": "/a", "edits": [{"oldText": "a"}]}],
    ),
    "zod reference into properties": Case(
        {
            "type": "object",
            "properties": {
                "from": {"type": "object", "properties": {"x": {"type": "number"}}},
                "to": {"$ref": "#/properties/from"},
            },
        },
        [{"from": {"x": 1}, "to": {"x": 2}}],
        [{"to": {"x": "a"}}, {"to": 1}],
    ),
    "zod recursion": Case(
        {
            "$ref": "#/definitions/Category",
            "definitions": {
                "Category": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "sub": {"type": "array", "items": {"$ref": "#/definitions/Category"}},
                    },
                    "required": ["name"],
                    "additionalProperties": False,
                }
            },
        },
        [{"name": "a", "sub": [{"name": "b"}]}],
        [{"name": "a", "sub": [{}]}],
    ),
    "zod tuple": _raw(
        {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": [{"type": "string"}, {"type": "number"}],
        },
        ["a", 1],
        rejected=(["a"], [1, "a"]),
        draft=7,
    ),
    "zod intersection": _raw(
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]},
            ],
            "unevaluatedProperties": False,
        },
        {"a": "x", "b": 1},
        rejected=({"a": "x"}, {"b": 1}),
    ),
    "zod union of objects": _raw(
        {
            "oneOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]},
            ]
        },
        *({"a": "x"}, {"b": "x"}),
        rejected=({}, {"a": "x", "b": "x"}),
    ),
    "zod email": _raw(
        {
            "type": "string",
            "format": "email",
            "pattern": r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([a-z]+\.)+[a-z]+$",
        },
        "ada@example.com",
        rejected=("ada",),
    ),
    "required properties of which one is enough": Case(
        {
            "type": "object",
            "properties": {"id": {"type": "integer"}, "name": {"type": "string"}},
            "anyOf": [{"required": ["id"]}, {"required": ["name"]}],
        },
        [{"id": 1}, {"name": "a"}, {"id": 1, "name": "a"}],
        [{}, {"id": "a"}],
    ),
    "list of types": _raw(
        {"type": ["string", "integer", "null"], "maxLength": 3},
        "abc",
        1,
        None,
        rejected=("abcd", []),
    ),
    "number or integer": _raw({"type": ["integer", "number"]}, 1, 1.5, rejected=("1",)),
    "const object": _raw({"const": {"a": [1, None]}}, {"a": [1, None]}, rejected=({"a": [1]}, 1)),
    "const with type": _raw({"type": "string", "const": "ü/\\"}, "ü/\\", rejected=("u",)),
    "enum filtered by type": _raw({"type": "string", "enum": ["a", 1]}, "a", rejected=(1, "b")),
    "enum of two schemas": _raw(
        {"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, "b", rejected=("a", "c")
    ),
    "bounds of two schemas": _raw(
        {"type": "integer", "minimum": 1, "allOf": [{"minimum": 5}, {"maximum": 9}]},
        *(5, 9),
        rejected=(4, 10),
    ),
    "exclusive bound of draft 4": _raw(
        {"type": "integer", "minimum": 1, "exclusiveMinimum": True, "maximum": 3.5},
        *(2, 3),
        rejected=(1, 4),
        draft=4,
    ),
    "open tuple": _raw(
        {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
        *([], ["a"], ["a", 1]),
        rejected=([None], {}),
    ),
    "tuple that may be shorter": _raw(
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
        *([], ["a"], ["a", 1]),
        rejected=(["a", 1, 2], [None]),
    ),
    "array without items": _raw({"type": "array", "items": False}, [], rejected=([1],)),
    "any items": _raw({"type": "array", "items": True, "minItems": 1}, [1, {}], rejected=([],)),
    "boolean schemas": Case(
        {"type": "object", "properties": {"a": True, "b": False}, "required": ["a"]},
        [{"a": 1}, {"a": [None]}],
        [{"b": 1}, {"a": 1, "b": 2}, {}],
    ),
    "required but not declared": Case(
        {"type": "object", "required": ["a"]}, [{"a": 1}, {"a": 1, "b": [2]}], [{}, {"b": 1}]
    ),
    "no type but properties": Case(
        {"properties": {"a": {"minLength": 1, "maxLength": 2}}}, [{}, {"a": "b"}], [{"a": 1}, 1]
    ),
    "patterned properties": Case(
        {"type": "object", "patternProperties": {"^x": {"type": "integer"}}},
        [{"x": 1}],
        [{"x": "a"}],
    ),
    "unusual property names": Case(
        {
            "type": "object",
            "properties": {name: {"type": "integer"} for name in ("", 'a"\\', "ü ", "$ref", "a-b")},
            "required": ["", 'a"\\', "ü ", "$ref", "a-b"],
        },
        [{"": 1, 'a"\\': 2, "ü ": 3, "$ref": 4, "a-b": 5}],
        [{"": 1}],
    ),
    "properties named like grammar rules": Case(
        {
            "type": "object",
            "properties": {
                name: {"enum": ["a"]}
                for name in ("root", "string", "char", "space", "value", "Any")
            },
        },
        [{"root": "a", "string": "a", "char": "a", "space": "a", "value": "a", "Any": "a"}],
        [{"root": "b"}],
    ),
    "escaped pointers": Case(
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/x~1y%20z~0"}, "b": {"$ref": "#/$defs/x-y-z"}},
            "$defs": {"x/y z~": {"type": "integer"}, "x-y-z": {"type": "string"}},
        },
        [{"a": 1, "b": "c"}],
        [{"a": "c"}, {"b": 1}],
    ),
    "reference by identifier": Case(
        {
            "$id": "https://example.com/order.json",
            "type": "object",
            "properties": {"a": {"$ref": "https://example.com/order.json#/$defs/a"}},
            "$defs": {"a": {"type": "integer"}},
        },
        [{"a": 1}],
        [{"a": "b"}],
    ),
    "reference to the root": Case(
        {"type": "object", "properties": {"next": {"$ref": "#"}, "value": {"type": "integer"}}},
        [{"next": {"next": {"value": 1}}, "value": 2}],
        [{"next": {"value": "a"}}],
    ),
    "keywords next to a reference": Case(
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a", "required": ["y"]}},
            "$defs": {
                "a": {
                    "type": "object",
                    "properties": {"x": {"type": "integer"}, "y": {"$ref": "#/$defs/a"}},
                }
            },
        },
        [{"a": {"y": {}}}, {"a": {"x": 1, "y": {"x": 2}}}],
        [{"a": {}}, {"a": {"x": "1", "y": {}}}],
    ),
    "recursion through combined schemas": Case(
        {
            "$defs": {
                "base": {"type": "object", "properties": {"id": {"type": "integer"}}},
                "node": {
                    "allOf": [
                        {"$ref": "#/$defs/base"},
                        {"properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["id"]},
                    ]
                },
            },
            "$ref": "#/$defs/node",
        },
        [{"id": 1, "next": {"id": 2}}],
        [{"next": {"id": 2}}, {"id": 1, "next": {}}],
    ),
    "conditions": Case(
        {
            "type": "object",
            "properties": {"a": {"type": "integer", "not": {"const": 3}}, "b": {"type": "string"}},
            "if": {"properties": {"a": {"const": 1}}},
            "then": {"required": ["b"]},
            "dependentRequired": {"b": ["a"]},
            "minProperties": 1,
        },
        [{"a": 1, "b": "c"}, {"a": 2}],
        [{"a": "1"}],
    ),
    "array checked afterwards": _raw(
        {
            "type": "array",
            "items": {"type": "integer"},
            "contains": {"const": 1},
            "uniqueItems": True,
        },
        [1, 2],
        rejected=(["a"],),
    ),
    "keywords with wrong values": _raw(
        {"type": "string", "minLength": "a", "maxLength": -1, "pattern": 3, "format": ["x"]},
        "text",
        rejected=(1,),
    ),
    "unknown format": _raw({"type": "string", "format": "file-path"}, "/a", rejected=(1,)),
    "date of a list": _raw(
        {"type": "array", "items": {"type": "string", "format": "date"}},
        ["2026-11-28"],
        rejected=(["today"],),
    ),
    "array at the root": Case({"type": "array", "items": {"type": "integer"}}, [[1]], [["a"], {}]),
    "string at the root": Case({"enum": ["yes", "no"]}, ["yes"], ["maybe"]),
    "any object": Case({"type": "object"}, [{}, {"a": [1]}], [[], 1, "a"]),
}
