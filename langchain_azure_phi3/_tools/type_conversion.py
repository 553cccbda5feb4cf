"""Converts Python types and functions to JSON schemas and to the API's tools.

LangChain's conversion replaces references by their definitions. If a model refers to itself, it
leaves `{}`, which allows anything; here, recursive models keep their definitions. It also ignores
which keys of a TypedDict may be absent, and which values may be `None`; here, it does not.
Pydantic's schema of a decimal number allows any text; here, that text has a format.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import DecimalSchema
from typing_extensions import ReadOnly, TypedDict, get_type_hints, is_typeddict

from langchain_azure_phi3._tools.constraint_types import DECIMAL
from langchain_azure_phi3._tools.schema_compaction import is_recursive
from langchain_azure_phi3._tools.schema_validation import schema_problem
from langchain_azure_phi3._types import Json, json_levels
from langchain_azure_phi3.errors import InvalidInputError


class JsonSchemaGenerator(GenerateJsonSchema):
    """Pydantic's JSON schemas, in which the text of a decimal number has a format."""

    def decimal_schema(self, schema: DecimalSchema) -> JsonSchemaValue:
        """The schema of a number, or of its text."""
        found = super().decimal_schema(schema)
        branches = [branch for branch in found["anyOf"] if branch["type"] != "string"]
        return {"anyOf": [*branches, {"type": "string", "format": DECIMAL}]}


def to_json_schema(schema: Json | type) -> Json:
    """Return the JSON schema of a pydantic model or TypedDict; leave a JSON schema unchanged.

    Raises:
        ValueError: It is not one of these, or has no title.
    """
    return _schema_of_model(schema) or convert_to_json_schema(_with_defaults(schema))


def to_wire_tools(tools: Iterable[Any], strict: bool | None = None) -> list[Json]:
    """The tools in OpenAI's form, `{"type": "function", "function": {...}}`.

    Raises:
        InvalidInputError: One of them cannot be used as a tool, or `tools` is a single tool.
    """
    # A pydantic model, and therefore a BaseTool, can be iterated over.
    if isinstance(tools, str | Mapping | type | BaseModel) or not isinstance(tools, Iterable):
        raise InvalidInputError(
            f"Tools must be a list, not {_name(tools)}. For a single tool, write [tool]."
        )
    return [to_wire_tool(tool, strict) for tool in tools]


def to_wire_tool(tool: Any, strict: bool | None = None) -> Json:
    """Return the tool in OpenAI's form, `{"type": "function", "function": {...}}`.

    Raises:
        InvalidInputError: It cannot be used as a tool.
    """
    try:
        converted = convert_to_openai_tool(_with_defaults(tool), strict=strict)
        arguments = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
        parameters = None if strict else _schema_of_model(arguments)
    # Pydantic's own errors are RuntimeErrors; LangChain reads the tool before it checks it.
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        problem = conversion_problem(error)
        if problem is None:
            problem = "it is neither a function nor a type nor a JSON schema with a title"
        raise InvalidInputError(
            f"{_name(tool)} cannot be used as a tool: {problem}. Bind functions, "
            "pydantic models, TypedDicts, BaseTools or JSON schemas."
        ) from error
    if isinstance(tool, dict):
        _check_types(converted.get("function"))
    if parameters is None:
        return converted
    for key in ("title", "description"):  # of the function
        parameters.pop(key, None)
    return {**converted, "function": {**converted["function"], "parameters": parameters}}


def conversion_problem(error: Exception) -> str | None:
    """Return why LangChain could not convert something, without the full stop.

    `None` if LangChain does not support what was passed: its own text names its internals.
    """
    reason = " ".join(str(error).split()).rstrip(".")
    return None if reason.startswith("Unsupported function") else reason


def _name(tool: object) -> str:
    return getattr(tool, "__name__", None) or repr(tool)


def _check_types(function: Any) -> None:
    """Reject misspelled types in the schema of a tool.

    Other mistakes pass: the tools of other packages may follow older drafts of JSON Schema.
    """
    parameters = function.get("parameters") if isinstance(function, dict) else None
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        return
    problem = schema_problem(parameters)
    if problem is not None and "['type']: " in problem:
        raise InvalidInputError(
            f"The parameters of the tool {function.get('name')!r} are not a valid JSON schema: "
            f"{problem.rstrip('.')}."
        )


def _schema_of_model(model: Any) -> Json | None:
    """Return the schema of a pydantic model with references; `None` if LangChain's is as good."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    schema = model.model_json_schema(schema_generator=JsonSchemaGenerator)
    if not is_recursive(schema) and not _has_decimals(schema):
        return None
    reference = schema.pop("$ref", None)
    if reference is None:
        return schema
    return {**schema["$defs"][reference.rpartition("/")[2]], **schema}


def _has_decimals(schema: Json) -> bool:
    parts = chain.from_iterable(json_levels(schema))
    return any(isinstance(part, dict) and part.get("format") == DECIMAL for part in parts)


def _with_defaults(hint: Any, converted: dict[Any, Any] | None = None) -> Any:
    """Give the keys of TypedDicts that may be absent a default.

    LangChain's conversion requires all keys of `total=False`, raises errors for `NotRequired`,
    `Required` and `ReadOnly`, and ignores that a value may be `None`.

    Args:
        hint: The type; other values are returned unchanged.
        converted: The TypedDicts that were already converted.
    """
    converted = {} if converted is None else converted
    if is_typeddict(hint):
        if hint not in converted:
            converted[hint] = hint  # for references to itself
            converted[hint] = _convert_typed_dict(hint, converted)
        return converted[hint]
    arguments = tuple(_with_defaults(argument, converted) for argument in get_args(hint))
    origin: Any = get_origin(hint)
    if origin in (NotRequired, Required, ReadOnly):
        return arguments[0]
    if origin is Literal and None in arguments:
        return Literal[tuple(value for value in arguments if value is not None)] | _Null
    if origin in (Union, UnionType):
        arguments = tuple(_Null if argument is NoneType else argument for argument in arguments)
    if arguments == get_args(hint):
        return hint
    return Union[arguments] if origin is UnionType else origin[arguments]  # noqa: UP007


class _Null:
    """`None`, which the schemas of pydantic v1, and so LangChain's of TypedDicts, do not show."""

    @classmethod
    def __get_validators__(cls) -> Iterator[Callable[[Any], Any]]:
        return iter(())

    @classmethod
    def __modify_schema__(cls, schema: Json) -> None:
        schema["type"] = "null"


def _convert_typed_dict(typed_dict: Any, converted: dict[Any, Any]) -> Any:
    hints = get_type_hints(typed_dict, include_extras=True)
    keys = {name: _with_defaults(hint, converted) for name, hint in hints.items()}
    for name, hint in hints.items():
        mark: Any = get_origin(hint)
        # Before 3.14, Python does not see `NotRequired` in annotations that are strings.
        if mark is NotRequired or (mark is not Required and name in typed_dict.__optional_keys__):
            keys[name] = _with_default(keys[name])
    converted_dict: Any = TypedDict(typed_dict.__name__, keys)  # type: ignore[misc]
    # LangChain describes one without a docstring with that of `dict`.
    converted_dict.__doc__ = typed_dict.__doc__ or ""
    return converted_dict


def _with_default(hint: Any) -> Any:
    """Return the type with a default and its description, as `Annotated[int, None, "in years"]`."""
    type_, *metadata = get_args(hint) if get_origin(hint) is Annotated else [hint]
    texts = [getattr(item, "description", item) for item in metadata]
    return Annotated[(type_, None, *[text for text in texts if isinstance(text, str)][-1:])]
