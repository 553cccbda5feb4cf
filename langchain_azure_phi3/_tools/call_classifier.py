"""Classifies a JSON object as a tool call or as data by its top-level keys, as they arrive."""

from dataclasses import dataclass
from typing import Literal, Self

from langchain_azure_phi3._tools.tool_call_formats import (
    ARGUMENT_KEYS,
    CALL_TYPES,
    NAME_KEYS,
    OTHER_KEYS,
    STRICT_ARGUMENT_KEYS,
    WRAPPER_KEYS,
)
from langchain_azure_phi3._tools.tools import Tool, Toolbox, properties_of

Classification = Literal["open", "call", "data"]

_CALL_KEYS = frozenset((*NAME_KEYS, *ARGUMENT_KEYS, *WRAPPER_KEYS, *OTHER_KEYS))


@dataclass(frozen=True, slots=True)
class CallKeys:
    """The keys that identify an object as a call of one of these tools.

    Attributes:
        tools: The available tools.
        arguments: Keys of the one tool whose arguments may appear alone, without its name.
        names: Names of tools, for `{"get_weather": {...}}`.
        known: All keys that a call can have at its top level.
    """

    tools: Toolbox
    arguments: frozenset[str]
    names: frozenset[str]
    known: frozenset[str]

    @classmethod
    def of(cls, tools: Toolbox, only_tool: Tool | None) -> Self:
        """Return the keys for these tools; the arguments of `only_tool` may appear alone."""
        arguments = frozenset(() if only_tool is None else properties_of(only_tool.parameters))
        names = frozenset(tool.name for tool in tools.tools) - _CALL_KEYS
        return cls(tools, arguments, names, _CALL_KEYS | names | arguments)


class CallClassifier:
    """Classifies an object by its top-level keys, as they arrive: a call, data, or undecided."""

    def __init__(self, keys: CallKeys, *, any_name: bool) -> None:
        """`any_name`: unknown names are calls too."""
        self.classification: Classification = "open"
        self.name = ""
        self.has_quotes = False
        self._keys = keys
        self._any_name = any_name
        self._in_key = True
        self._key = ""
        self._value: list[str] = []
        self._quotes = 0

    def feed_char(self, char: str, *, quoted: bool) -> None:
        """Read one character of the object's top level; `quoted`: it is inside a string."""
        if self._in_key:
            self._feed_key(char, quoted=quoted)
        elif char == "," and not quoted:
            self._end_value()
            self._in_key, self._key = True, ""
        else:
            self._feed_value(char, quoted=quoted)

    def _feed_key(self, char: str, *, quoted: bool) -> None:
        if not quoted and char in "\"'":
            self.has_quotes = True
        elif not quoted and char == ":":
            self._end_key()
        elif quoted or not (char.isspace() or char in ",}"):
            self._key += char
            known = STRICT_ARGUMENT_KEYS if self._has_unknown_name else self._keys.known
            if not any(key.startswith(self._key) for key in known):
                self.classification = "data"

    @property
    def _has_unknown_name(self) -> bool:
        """Whether no tool has this name, so that only arguments may follow."""
        return self.name != "" and self.classification == "open"

    def _end_key(self) -> None:
        if self._has_unknown_name and self._key not in STRICT_ARGUMENT_KEYS:
            self.classification = "data"
        elif self._key in self._keys.arguments:
            self.classification = "call"
        elif self._key not in self._keys.known:
            self.classification = "data"
        self._in_key, self._value, self._quotes = False, [], 0

    def _feed_value(self, char: str, *, quoted: bool) -> None:
        if not quoted and char in "{[":
            self._enter_value(char)
        elif self._has_unknown_name and self._key in STRICT_ARGUMENT_KEYS:
            self.classification = "open" if char.isspace() and not quoted else "data"
        elif self._key in self._keys.names:
            self.classification = "open" if char.isspace() else "data"
        elif self._key in NAME_KEYS or self._key == "type":
            if not quoted and char in "\"'":
                self._quotes += 1
            elif quoted or not (char.isspace() or char == "}"):
                self._value.append(char)
            self._judge_value(ended=self._quotes == 2 or (char == "}" and not quoted))

    def _enter_value(self, char: str) -> None:
        if self._has_unknown_name:
            self.classification = "call" if char == "{" else "data"
        elif self._key in WRAPPER_KEYS or self._key in self._keys.names:
            self.classification = "call"
        elif self._key in NAME_KEYS or self._key == "type":
            self.classification = "data"

    def _end_value(self) -> None:
        if self._key in NAME_KEYS or self._key == "type":
            self._judge_value(ended=True)

    def _judge_value(self, *, ended: bool) -> None:
        if not ended and (self._key == "name" or (self._key != "type" and self._any_name)):
            return  # any name counts, however long it is
        value = "".join(self._value)
        if self._key == "type":
            fits = value in CALL_TYPES if ended else _begins(CALL_TYPES, value)
            self.classification = "open" if fits else "data"
        elif ended:
            self.name = value
            if self._any_name or self._keys.tools.find(value) is not None:
                self.classification = "call"
            elif self._key != "name" or value == "":
                self.classification = "data"
        elif not self._keys.tools.may_become(value):
            self.classification = "data"


def _begins(words: tuple[str, ...], beginning: str) -> bool:
    return any(word.startswith(beginning) for word in words)
