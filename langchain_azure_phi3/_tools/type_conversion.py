"""Python types and functions as JSON schemas and as tools of the API.

LangChain's conversion puts definitions in place of references to them. Where a model refers to
itself, `{}` stays, which allows anything. Here recursive models keep their definitions.
"""

from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel

from langchain_azure_phi3._tools.schema_compaction import is_recursive
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError


def to_json_schema(schema: Json | type) -> Json:
    """The JSON schema of a pydantic model or TypedDict; a JSON schema stays as it is.

    Raises:
        ValueError: It is none of these, or has no title.
    """
    return _recursive_schema(schema) or convert_to_json_schema(schema)


def to_wire_tool(tool: Any, strict: bool | None = None) -> Json:
    """The tool in OpenAI's form, `{"type": "function", "function": {...}}`.

    Raises:
        InvalidInputError: It cannot be used as a tool.
    """
    try:
        converted = convert_to_openai_tool(tool, strict=strict)
        arguments = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
        parameters = None if strict else _recursive_schema(arguments)
    # Pydantic's own errors are RuntimeErrors; LangChain looks into the tool before it checks it.
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
    """The schema of a pydantic model with references; `None` of all that is not recursive."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    schema = model.model_json_schema()
    if not is_recursive(schema):
        return None
    reference = schema.pop("$ref", None)
    if reference is None:
        return schema
    return {**schema["$defs"][reference.rpartition("/")[2]], **schema}
