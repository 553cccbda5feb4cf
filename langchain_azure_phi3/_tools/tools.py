"""A tool that a model may call, and a call that it wrote."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from langchain_azure_phi3._types import Json

# What models put before a tool's name: OpenAI's namespace, in which its tools are listed.
_NAMESPACES = ("functions.", "function.", "tools.")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the model is told of it.

    Attributes:
        name: What a call names.
        description: When and for what to use it, in words; may be empty.
        parameters: The JSON schema of its arguments, an object's.
    """

    name: str
    description: str = ""
    parameters: Json = field(default_factory=dict)

    @classmethod
    def from_wire(cls, openai_tool: Json) -> Self:
        """The tool that `{"type": "function", "function": {...}}` describes."""
        function = openai_tool["function"]
        return cls(
            name=function["name"],
            description=function.get("description") or "",
            parameters=function.get("parameters") or {},
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool, found in what a model wrote.

    Attributes:
        name: The tool's own name where it is known, else what the model wrote (may be empty).
        arguments: What to call it with; `None` where no arguments could be read.
        raw: The model's text of the call. Calls that came in one JSON object share it.
        error: Why the call cannot be made, in words for the model; `None` when it can.
    """

    name: str
    arguments: Json | None
    raw: str
    error: str | None = None


class Toolbox:
    """The tools on offer, found by what a model calls them."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools = tuple(tools)
        self._exact = {tool.name: tool for tool in self.tools}
        self._loose: dict[str, list[Tool]] = {}
        for tool in self.tools:
            self._loose.setdefault(normalize_name(tool.name), []).append(tool)

    def find(self, name: str) -> Tool | None:
        """The tool so named, exactly or else unmistakably; `None` if there is none."""
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        similar = self._loose.get(normalize_name(name), [])
        return similar[0] if len(similar) == 1 else None

    def may_become(self, beginning: str) -> bool:
        """Whether a name that begins so can still be that of a tool."""
        written = beginning.strip().casefold()
        if any(namespace.startswith(written) for namespace in _NAMESPACES):
            return True
        start = normalize_name(beginning)
        return any(name.startswith(start) for name in self._loose)


def properties_of(schema: Json) -> Json:
    """The schemas of an object's properties, by name; none where its author wrote no such thing."""
    found = schema.get("properties")
    named = found if isinstance(found, dict) else {}
    return {name: own for name, own in named.items() if isinstance(name, str)}


def normalize_name(name: str) -> str:
    """A name without what models get wrong: case, dashes, OpenAI's namespace."""
    plain = name.strip().casefold()
    for namespace in _NAMESPACES:
        plain = plain.removeprefix(namespace)
    return plain.replace("-", "_").replace(" ", "_")
