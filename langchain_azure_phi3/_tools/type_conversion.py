"""Converts Python types and functions to JSON schemas and to the API's tools.

LangChain's conversion replaces references by their definitions. If a model refers to itself, it
leaves `{}`, which allows anything; here, recursive models keep their definitions. It also ignores
which keys of a TypedDict may be absent; here, they get a default, which it supports.
"""

from types import UnionType
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel
from typing_extensions import TypedDict, get_type_hints, is_typeddict

from langchain_azure_phi3._tools.schema_compaction import is_recursive
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError


def to_json_schema(schema: Json | type) -> Json:
    """Return the JSON schema of a pydantic model or TypedDict; leave a JSON schema unchanged.

    Raises:
        ValueError: It is not one of these, or has no title.
    """
    return _recursive_schema(schema) or convert_to_json_schema(_with_defaults(schema))


def to_wire_tool(tool: Any, strict: bool | None = None) -> Json:
    """Return the tool in OpenAI's form, `{"type": "function", "function": {...}}`.

    Raises:
        InvalidInputError: It cannot be used as a tool.
    """
    try:
        converted = convert_to_openai_tool(_with_defaults(tool), strict=strict)
        arguments = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
        parameters = None if strict else _recursive_schema(arguments)
    # Pydantic's own errors are RuntimeErrors; LangChain reads the tool before it checks it.
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        name = getattr(tool, "__name__", None) or repr(tool)
        raise InvalidInputError(
            f"{name} cannot be used as a tool: {' '.join(str(error).split())}"
        ) from error
    if parameters is None:
        return converted
    for key in ("title", "description"):  # of the function
        parameters.pop(key, None)
    return {**converted, "function": {**converted["function"], "parameters": parameters}}


def _recursive_schema(model: Any) -> Json | None:
    """Return the schema of a recursive pydantic model with references; else `None`."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    schema = model.model_json_schema()
    if not is_recursive(schema):
        return None
    reference = schema.pop("$ref", None)
    if reference is None:
        return schema
    return {**schema["$defs"][reference.rpartition("/")[2]], **schema}


def _with_defaults(hint: Any, converted: dict[Any, Any] | None = None) -> Any:
    """Give the keys of TypedDicts that may be absent a default.

    LangChain's conversion requires all keys of `total=False`, and raises errors for `NotRequired`
    and `Required`.

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
    if origin in (NotRequired, Required):
        return arguments[0]
    if arguments == get_args(hint):
        return hint
    return Union[arguments] if origin is UnionType else origin[arguments]  # noqa: UP007


def _convert_typed_dict(typed_dict: Any, converted: dict[Any, Any]) -> Any:
    hints = get_type_hints(typed_dict, include_extras=True)
    keys = {name: _with_defaults(hint, converted) for name, hint in hints.items()}
    for name, hint in hints.items():
        mark: Any = get_origin(hint)
        # Before 3.14, Python does not see `NotRequired` in annotations that are strings.
        if mark is NotRequired or (mark is not Required and name in typed_dict.__optional_keys__):
            keys[name] = _with_default(keys[name])
    if keys == hints:
        return typed_dict
    converted_dict: Any = TypedDict(typed_dict.__name__, keys)  # type: ignore[misc]
    converted_dict.__doc__ = typed_dict.__doc__
    return converted_dict


def _with_default(hint: Any) -> Any:
    """Return the type with a default and its description, as `Annotated[int, None, "in years"]`."""
    type_, *metadata = get_args(hint) if get_origin(hint) is Annotated else [hint]
    texts = [getattr(item, "description", item) for item in metadata]
    return Annotated[(type_, None, *[text for text in texts if isinstance(text, str)][-1:])]
