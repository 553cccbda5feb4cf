"""The tools and the format that one call requests."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_azure_phi3._tools.tools import Tool
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

NONE, AUTO, ANY = "none", "auto", "any"

# "any" is LangChain's word for "some tool": https://docs.langchain.com, "Forcing tool calls".
_CHOICES: Mapping[Any, str] = {
    None: AUTO,
    "auto": AUTO,
    "any": ANY,
    "required": ANY,
    True: ANY,
    "none": NONE,
    False: NONE,
}


# Wider than OpenAI's names, which have neither "." nor "/", because names of MCP servers do.
_NAME = re.compile(r"[\w./:-]{1,128}")


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The tools and the format that one call requests.

    Attributes:
        tools: In the form of the API.
        choice: `"auto"`, `"any"`, or the name of the tool that must be called.
        response_format: In the form of the API.
        parallel: Whether one response may contain several calls; `None` for the default.
    """

    tools: tuple[Json, ...] = ()
    choice: str = AUTO
    response_format: Json | None = None
    parallel: bool | None = None

    @property
    def allowed_tools(self) -> tuple[Tool, ...]:
        """The tools that may be called: all, or the one that must be called."""
        tools = tuple(Tool.from_wire(tool) for tool in self.tools)
        return tuple(t for t in tools if t.name == self.choice) or tools

    @property
    def requires_tool_call(self) -> bool:
        """Whether a response without a tool call is rejected."""
        return bool(self.tools) and self.choice != AUTO

    @property
    def requires_json(self) -> bool:
        """Whether the response must be JSON."""
        return self.response_format is not None and self.response_format.get("type") != "text"

    @property
    def schema(self) -> Json | None:
        """The JSON schema of the response; `{}` for any object, `None` for text."""
        if not self.requires_json or self.response_format is None:
            return None
        definition = self.response_format.get("json_schema")
        schema = definition.get("schema") if isinstance(definition, dict) else None
        return schema if isinstance(schema, dict) else {}

    @property
    def native_fields(self) -> Json:
        """The payload's fields for a deployment that has native tools and formats."""
        fields: Json = {}
        if self.tools:
            fields["tools"] = list(self.tools)
            fields["tool_choice"] = tool_choice_field(self.choice)
            if self.parallel is not None:
                fields["parallel_tool_calls"] = self.parallel
        if self.response_format is not None:
            fields["response_format"] = self.response_format
        return fields

    @property
    def prompted_fields(self) -> Json:
        """The payload's fields if the prompt describes tools and formats: only a text format."""
        if self.response_format is None or self.requires_json:
            return {}
        return {"response_format": self.response_format}


_WIRE_CHOICES: Mapping[str, str] = {NONE: "none", AUTO: "auto", ANY: "required"}


def tool_choice_field(choice: str) -> str | Json:
    """Return the payload's `tool_choice` for a result of `parse_tool_choice`."""
    return _WIRE_CHOICES.get(choice) or function_choice(choice)


def function_choice(name: str) -> Json:
    """Return the `tool_choice` that requires one tool."""
    return {"type": "function", "function": {"name": name}}


def parse_output_spec(
    tools: Sequence[Json] | None,
    tool_choice: Any = None,
    response_format: Json | None = None,
    parallel: bool | None = None,
) -> OutputSpec:
    """Parse the tools and the format from a call's keyword arguments.

    Raises:
        InvalidInputError: `tool_choice` names an unknown tool, or requires a call without tools.
    """
    bound_tools = tuple(tools or ())
    choice = parse_tool_choice(tool_choice, check_tools(bound_tools))
    return OutputSpec(
        tools=() if choice == NONE else bound_tools,
        choice=AUTO if choice == NONE else choice,
        response_format=response_format,
        parallel=parallel,
    )


def _function_name(tool: Json) -> str:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if isinstance(function, dict) and name is None:
        raise InvalidInputError("A tool has no name: its function needs one.")
    if not isinstance(name, str) or not isinstance(function, dict):
        raise InvalidInputError(
            f"Unsupported tool type {tool.get('type')!r}. Bind functions, pydantic models, "
            "BaseTools or JSON schemas."
        )
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"A tool cannot be named {name!r}. Use letters, digits, '_', '-', '.' and '/'; to name "
            "a function, decorate it: @tool('get_weather')."
        )
    for key, type_ in (("description", str), ("parameters", dict)):
        if not isinstance(function.get(key), type_ | None):
            raise InvalidInputError(f"The {key} of the tool {name!r} must be a {type_.__name__}.")
    parameters = function.get("parameters")
    if isinstance(parameters, dict) and parameters.get("type", "object") != "object":
        raise InvalidInputError(
            f"The parameters of the tool {name!r} must be an object, not {parameters['type']!r}."
        )
    return name


def check_tools(tools: Sequence[Json]) -> list[str]:
    """Return the names of tools in the form of the API.

    Raises:
        InvalidInputError: One is not a tool that Phi models can call.
    """
    return [_function_name(tool) for tool in tools]


def parse_tool_choice(tool_choice: Any, names: Sequence[str]) -> str:
    """Convert a `tool_choice` to `"none"`, `"auto"`, `"any"` or the name of a tool.

    Args:
        tool_choice: As LangChain and OpenAI write it: a word, a name, an object or a bool.
        names: The names of the bound tools.

    Raises:
        InvalidInputError: It has another form, or names a tool that is not bound.
    """
    choice = tool_choice
    if isinstance(choice, dict):
        function = choice.get("function")
        choice = function.get("name") if isinstance(function, dict) else choice.get("name")
        if choice is None:
            choice = tool_choice.get("type", "")
    if isinstance(choice, str) and choice in names:
        return choice
    if isinstance(choice, str | bool | None) and choice in _CHOICES:
        found = _CHOICES[choice]
        if found == ANY and not names:
            raise InvalidInputError(
                "tool_choice requires a tool call, but no tool is bound. Bind one."
            )
        return found
    raise InvalidInputError(
        f"tool_choice={tool_choice!r} does not name a bound tool. Bound tools: "
        f"{', '.join(names) or 'none'}. 'auto', 'any' and 'none' are also allowed."
    )
