"""What a call asks of the answer: tools, which of them, and a format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_azure_phi3._tools.tools import Tool
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

NONE, AUTO, ANY = "none", "auto", "any"

# LangChain's words for "some tool, whichever": https://docs.langchain.com, "Forcing tool calls".
_CHOICES: Mapping[Any, str] = {
    None: AUTO,
    "auto": AUTO,
    "any": ANY,
    "required": ANY,
    True: ANY,
    "none": NONE,
    False: NONE,
}


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """The tools and the format that one call asks for.

    Attributes:
        tools: On offer, in the wire's form.
        choice: `"auto"`, `"any"`, or the name of the tool that must be called.
        response_format: The wire's `response_format`.
        parallel: Whether several calls may come at once; `None` where nobody said.
    """

    tools: tuple[Json, ...] = ()
    choice: str = AUTO
    response_format: Json | None = None
    parallel: bool | None = None

    @property
    def allowed_tools(self) -> tuple[Tool, ...]:
        """The tools that may be called: all, or the one that must be."""
        tools = tuple(Tool.from_wire(tool) for tool in self.tools)
        return tuple(t for t in tools if t.name == self.choice) or tools

    @property
    def requires_tool_call(self) -> bool:
        """Whether an answer without a call is none."""
        return bool(self.tools) and self.choice != AUTO

    @property
    def requires_json(self) -> bool:
        """Whether the format is another than text."""
        return self.response_format is not None and self.response_format.get("type") != "text"

    @property
    def schema(self) -> Json | None:
        """The JSON schema that the answer must fit; `{}` for any object, `None` for words."""
        if not self.requires_json or self.response_format is None:
            return None
        described = self.response_format.get("json_schema")
        schema = described.get("schema") if isinstance(described, dict) else None
        return schema if isinstance(schema, dict) else {}

    @property
    def native_fields(self) -> Json:
        """The payload's fields, for a deployment that knows them."""
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
        """The payload's fields where the rest is asked for in words: a format that is text."""
        if self.response_format is None or self.requires_json:
            return {}
        return {"response_format": self.response_format}


_WIRE_CHOICES: Mapping[str, str] = {NONE: "none", AUTO: "auto", ANY: "required"}


def tool_choice_field(choice: str) -> str | Json:
    """The wire's `tool_choice` for what `chosen` gives."""
    return _WIRE_CHOICES.get(choice) or function_choice(choice)


def function_choice(name: str) -> Json:
    """The wire's way to demand one tool."""
    return {"type": "function", "function": {"name": name}}


def parse_output_spec(
    tools: Sequence[Json] | None,
    tool_choice: Any = None,
    response_format: Json | None = None,
    parallel: bool | None = None,
) -> OutputSpec:
    """What a call's keyword arguments ask for.

    Raises:
        InvalidInputError: `tool_choice` names no tool on offer, or demands one where none is.
    """
    allowed_tools = tuple(tools or ())
    choice = parse_tool_choice(tool_choice, [_name(tool) for tool in allowed_tools])
    return OutputSpec(
        tools=() if choice == NONE else allowed_tools,
        choice=AUTO if choice == NONE else choice,
        response_format=response_format,
        parallel=parallel,
    )


def _name(tool: Json) -> str:
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not isinstance(function, dict):
        raise InvalidInputError(
            f"A tool of type {tool.get('type')!r} is none that a Phi can call. Bind functions, "
            "pydantic models, BaseTools or JSON schemas."
        )
    for key, kind in (("description", str), ("parameters", dict)):
        if not isinstance(function.get(key), kind | None):
            raise InvalidInputError(f"The {key} of the tool {name!r} must be a {kind.__name__}.")
    return name


def parse_tool_choice(tool_choice: Any, names: Sequence[str]) -> str:
    """One of `"none"`, `"auto"`, `"any"` and the names.

    Args:
        tool_choice: As LangChain and OpenAI write it: a word, a name, an object or a bool.
        names: The tools on offer.

    Raises:
        InvalidInputError: It is no such thing, or names no tool on offer.
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
            raise InvalidInputError("tool_choice demands a call, but no tool is bound.")
        return found
    raise InvalidInputError(
        f"tool_choice={tool_choice!r} names no tool that is bound. Bound are: "
        f"{', '.join(names) or 'none'}; 'auto', 'any' and 'none' are possible as well."
    )
