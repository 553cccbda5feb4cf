"""A tool that a model may call, and a call that a model wrote."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from langchain_azure_phi3._types import Json

# Prefixes that models write before a tool's name: the namespace in which OpenAI lists tools.
_NAMESPACES = ("functions.", "function.", "tools.")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that is described to the model.

    Attributes:
        name: The name that a call uses.
        description: When and for what to use it; may be empty.
        parameters: The JSON schema of its arguments, which are an object.
    """

    name: str
    description: str = ""
    parameters: Json = field(default_factory=dict)

    @classmethod
    def from_wire(cls, openai_tool: Json) -> Self:
        """Create a tool from OpenAI's form, `{"type": "function", "function": {...}}`."""
        function = openai_tool["function"]
        return cls(
            name=function["name"],
            description=function.get("description") or "",
            parameters=function.get("parameters") or {},
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call found in a text.

    Attributes:
        name: The tool's own name if it is known, else the text that the model wrote; may be empty.
        arguments: The arguments; `None` if they could not be parsed.
        raw: The text of the call. Calls in one JSON object share it.
        error: Why the call is not valid, a sentence for the model; `None` if it is.
    """

    name: str
    arguments: Json | None
    raw: str
    error: str | None = None


class Toolbox:
    """The available tools, found by the names that models write."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools = tuple(tools)
        self._by_name = {tool.name: tool for tool in self.tools}
        self._by_normalized_name: dict[str, list[Tool]] = {}
        for tool in self.tools:
            self._by_normalized_name.setdefault(normalize_name(tool.name), []).append(tool)

    def find(self, name: str) -> Tool | None:
        """Return the tool of that name, or the only one with a similar name; else `None`."""
        exact = self._by_name.get(name)
        if exact is not None:
            return exact
        similar = self._by_normalized_name.get(normalize_name(name), [])
        return similar[0] if len(similar) == 1 else None

    def may_become(self, beginning: str) -> bool:
        """Whether a name with this beginning can still be that of a tool."""
        prefix = beginning.strip().casefold()
        if any(namespace.startswith(prefix) for namespace in _NAMESPACES):
            return True
        start = normalize_name(beginning)
        return any(name.startswith(start) for name in self._by_normalized_name)


def properties_of(schema: Json) -> Json:
    """Return the schemas of the properties by name; empty if `properties` is not an object."""
    found = schema.get("properties")
    properties = found if isinstance(found, dict) else {}
    return {name: schema for name, schema in properties.items() if isinstance(name, str)}


def normalize_name(name: str) -> str:
    """Normalize what models get wrong in a name: case, dashes and OpenAI's namespace."""
    plain = name.strip().casefold()
    for namespace in _NAMESPACES:
        plain = plain.removeprefix(namespace)
    return plain.replace("-", "_").replace(" ", "_")
