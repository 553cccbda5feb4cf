"""Python types as JSON schemas and tools."""

from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import ReadOnly

from langchain_azure_phi3._tools.constraint_schema import constraint_schema, tool_calls_schema
from langchain_azure_phi3._tools.type_conversion import to_json_schema, to_wire_tool
from tests.grammar_compilers import accepts_with_llguidance


class Folder(BaseModel):
    """A folder."""

    name: str
    folders: "list[Folder]" = Field(default_factory=list)


class Disk(BaseModel):
    """A disk, which is not part of its folders."""

    root: Folder


class Label(BaseModel):
    """A label."""

    text: str


class Box(BaseModel):
    """A box."""

    label: Label


@tool
def create_folder(folder: Folder) -> str:
    """Create a folder."""
    return folder.name


def test_recursive_models_stay_recursive() -> None:
    """At the root and below it; LangChain would allow anything inside them."""
    right = '{"name": "a", "folders": [{"name": "b", "folders": []}]}'
    wrong = '{"name": "a", "folders": ["b"]}'
    for model, around in ((Folder, "%s"), (Disk, '{"root": %s}')):
        schema = constraint_schema(to_json_schema(model))
        assert schema is not None
        assert accepts_with_llguidance(schema, around % right), model
        assert not accepts_with_llguidance(schema, around % wrong), model


def test_recursive_arguments_stay_recursive() -> None:
    """Of a model as a tool, and of a function's argument."""
    right = '{"name": "b", "folders": []}'
    rows: tuple[tuple[Any, str], ...] = (
        (Disk, '{"name": "Disk", "arguments": {"root": {"name": "a", "folders": [%s]}}}'),
        (Folder, '{"name": "Folder", "arguments": {"name": "a", "folders": [%s]}}'),
        (
            create_folder,
            '{"name": "create_folder", "arguments": {"folder": {"name": "a", "folders": [%s]}}}',
        ),
    )
    for given, call in rows:
        wire_tool = to_wire_tool(given)
        assert wire_tool["function"]["description"]
        assert "title" not in wire_tool["function"]["parameters"]
        schema = tool_calls_schema([wire_tool], parallel=False)
        assert schema is not None
        assert accepts_with_llguidance(schema, call % right), given
        assert not accepts_with_llguidance(schema, call % '"b"'), given


def test_other_models_are_converted_as_langchain_does() -> None:
    """With definitions in place of references."""
    assert convert_to_json_schema(Box) == to_json_schema(Box)
    assert convert_to_openai_tool(Box) == to_wire_tool(Box)


class Part(TypedDict, total=False):
    """A part.

    Args:
        weight: in grams
    """

    name: Required[str]
    weight: float


class Machine(TypedDict):
    """A machine."""

    main: Part
    others: NotRequired[Annotated[list[Part] | None, ..., "in any order"]]
    age: NotRequired[Annotated[int, Field(description="in years")]]


class Plain(TypedDict):
    """A TypedDict that LangChain's conversion knows."""

    label: Annotated[str, ..., "short"]
    size: Annotated[int, 3, "in pixels"]


def test_typed_dicts_require_what_python_requires() -> None:
    """As a schema and as a tool, with names and descriptions; nested ones too."""
    tool_schema = to_wire_tool(Machine)["function"]
    assert ("Machine", "A machine.") == (tool_schema["name"], tool_schema["description"])
    for schema in (to_json_schema(Machine), tool_schema["parameters"]):
        properties = schema["properties"]
        assert ["main"] == schema["required"]
        assert ["name"] == properties["main"]["required"]
        assert "in grams" == properties["main"]["properties"]["weight"]["description"]
        assert ["name"] == properties["others"]["anyOf"][0]["items"]["required"]
        assert "in any order" == properties["others"]["description"]
        assert "in years" == properties["age"]["description"]


class Undocumented(TypedDict):
    age: int | None
    size: Required[ReadOnly[float | None]]
    level: Literal["low", "high", None]
    nothing: None


def test_typed_dicts_allow_none_where_python_does() -> None:
    """LangChain's conversion does not; as a description of this one, it uses that of `dict`."""
    schema = to_json_schema(Undocumented)
    properties = schema["properties"]
    null = {"type": "null"}

    assert "" == schema.get("description", "")
    assert [{"type": "integer"}, null] == properties["age"]["anyOf"]
    assert [{"type": "number"}, null] == properties["size"]["anyOf"]
    assert [{"enum": ["low", "high"], "type": "string"}, null] == properties["level"]["anyOf"]
    assert null == properties["nothing"]
    assert ["age", "size", "level", "nothing"] == schema["required"]


def test_other_typed_dicts_are_converted_as_langchain_does() -> None:
    """With its own form of defaults and descriptions."""
    assert convert_to_json_schema(Plain) == to_json_schema(Plain)


class Price(BaseModel):
    """A price."""

    amount: Decimal = Field(ge=0, decimal_places=2)
    earlier: list[Decimal] = []


@tool
def pay(amount: Decimal) -> str:
    """Pay an amount."""
    return str(amount)


def test_texts_of_decimal_numbers_are_numbers() -> None:
    """In models, tools and nested fields; pydantic's schema allows any text."""
    in_call = '{"name": "pay", "arguments": {"amount": %s}}'
    rows = (
        (constraint_schema(to_json_schema(Price)), '{"amount": %s, "earlier": []}'),
        (constraint_schema(to_json_schema(Price)), '{"amount": 1, "earlier": [%s]}'),
        (tool_calls_schema([to_wire_tool(pay)], parallel=False), in_call),
    )
    for schema, around in rows:
        assert schema is not None
        for text in ("12.5", "-3", '"12.50"', '"-3"', '"0.1"'):
            assert accepts_with_llguidance(schema, around % text), around
            assert isinstance(TypeAdapter(Decimal).validate_json(text), Decimal)
        for text in ('"twelve"', '""', '"."', '"1.2.3"', "null"):
            assert not accepts_with_llguidance(schema, around % text), around
