"""Normalizes tool calls from all JSON formats that models write."""

from collections.abc import Iterator
from typing import Any

from langchain_azure_phi3._tools.argument_coercion import ArgumentCoercer
from langchain_azure_phi3._tools.lenient_json import parse_lenient_json, to_plain
from langchain_azure_phi3._tools.schema_cost import Budgets
from langchain_azure_phi3._tools.tools import Call, Tool, Toolbox, properties_of
from langchain_azure_phi3._types import Json

# Keys for a tool's name and for its arguments, most reliable first. "action" and "action_input" are
# those of LangChain's JSON agents, which models have seen in training.
NAME_KEYS = (
    *("name", "tool_name", "function_name", "func_name", "tool", "action", "recipient_name"),
    "function",
)
ARGUMENT_KEYS = (
    "arguments",
    "parameters",
    "args",
    "params",
    "input",
    "tool_input",
    "action_input",
    "kwargs",
)
# A bare object of exactly a name and one of these is a call, even if no tool has that name.
STRICT_ARGUMENT_KEYS = ("arguments", "parameters")
WRAPPER_KEYS = ("tool_calls", "tool_call", "function_call", "function")
OTHER_KEYS = ("type", "id", "index")
CALL_TYPES = ("function", "function_call", "tool_call", "tool_use")

# Keys of a tool's description that do not occur in calls.
_SCHEMA_KEYS = frozenset({"properties", "$defs", "$schema"})
_PROPERTY_KEYS = frozenset({"type", "description", "anyOf", "oneOf", "allOf", "$ref", "enum"})
_JSON_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null", "dict")
_MAX_WRAPPERS = 4
_MAX_ENCODINGS = 3  # models encode arguments twice, rarely more often


class CallNormalizer:
    """Reads calls of the available tools from JSON."""

    def __init__(self, tools: Toolbox, *, only_tool: Tool | None = None) -> None:
        """`only_tool`: the tool whose arguments may appear alone, without its name."""
        self._tools = tools
        self._only_tool = only_tool
        self._coercers: dict[str, ArgumentCoercer] = {}
        self._budgets = Budgets()

    def calls(self, raw: str, *, marked: bool, in_array: bool = False) -> tuple[Call, ...]:
        """Return the calls in a JSON object; none if it is data.

        Args:
            raw: The object's text, which may be almost-valid JSON.
            marked: Whether it is marked as a call, so that a mistake in it is an error.
            in_array: Whether it is in an array, where arguments never appear alone.
        """
        value = parse_lenient_json(raw, keep_number_text=True)
        if not isinstance(value, dict):
            return (Call("", None, raw, "This is not a JSON object."),) if marked else ()
        found = tuple(
            self.build_call(name, arguments, raw)
            for name, arguments in self._pairs(value, marked=marked, depth=0)
        )
        if found:
            return found
        tools = self._tools.tools
        is_sole = marked and len(tools) == 1 and not in_array
        only_tool = tools[0] if is_sole else self._only_tool
        call = None if only_tool is None else self._arguments_only(value, raw, only_tool)
        if call is not None:
            return (call,)
        return (self._missing_name(raw),) if marked else ()

    def _arguments_only(self, value: Json, raw: str, only_tool: Tool) -> Call | None:
        """Return the call whose arguments are this object, if they fit the only possible tool."""
        if _is_description(value):
            return None
        call = self.build_call(only_tool.name, value, raw)
        properties = properties_of(only_tool.parameters)
        is_meant = call.error is None and (bool(call.arguments) or not value)
        return call if is_meant or (properties and value.keys() <= properties.keys()) else None

    def _pairs(self, value: Any, *, marked: bool, depth: int) -> Iterator[tuple[str, Any]]:
        """Yield every (name, arguments) pair in a value, also inside wrappers."""
        if depth > _MAX_WRAPPERS:
            return
        if isinstance(value, list):
            for item in value:
                yield from self._pairs(item, marked=marked, depth=depth + 1)
        if not isinstance(value, dict):
            return
        pair = self._name_and_arguments(value, marked=marked)
        if pair is not None:
            yield pair
            return
        for key in WRAPPER_KEYS:
            if isinstance(value.get(key), dict | list):
                yield from self._pairs(value[key], marked=marked, depth=depth + 1)
                return
        yield from self._name_as_key(value)

    def _name_and_arguments(self, value: Json, *, marked: bool) -> tuple[str, Any] | None:
        for key in NAME_KEYS:
            name = value.get(key)
            if not isinstance(name, str):
                continue
            tool = self._tools.find(name)
            arguments = self._arguments(value, key, tool)
            is_meant = marked and arguments is not _NO_ARGUMENTS
            if tool is None and not is_meant and not _is_name_and_arguments(value):
                continue
            if arguments is _NOT_A_CALL and not marked:
                continue
            return name, arguments
        return None

    def _arguments(self, value: Json, name_key: str, tool: Tool | None) -> Any:
        for key in ARGUMENT_KEYS:
            if key in value:
                echo = key == "parameters" and "description" in value
                return _echoed_arguments(value[key]) if echo else value[key]
        rest = {
            key: given for key, given in value.items() if key != name_key and key not in OTHER_KEYS
        }
        if not rest:
            return {} if tool is not None else _NO_ARGUMENTS
        # {"name": "get_weather", "city": "Paris"}: the arguments next to the name.
        properties = {} if tool is None else properties_of(tool.parameters)
        return rest if rest.keys() & properties.keys() else _NOT_A_CALL

    def _name_as_key(self, value: Json) -> Iterator[tuple[str, Any]]:
        """Read `{"get_weather": {"city": "Paris"}}`, from Phi-4-mini (onnxruntime-genai#1334)."""
        only_tool = self._only_tool
        if only_tool is not None and value.keys() <= properties_of(only_tool.parameters).keys():
            return  # arguments, one of which has the name of the tool
        if value and all(
            self._tools.find(name) is not None and isinstance(given, dict)
            for name, given in value.items()
        ):
            yield from value.items()

    def build_call(self, name: str, arguments: Any, raw: str) -> Call:
        """Build a call from a name and arguments in any form; `raw`: the text of the call."""
        tool = self._tools.find(name)
        if tool is None:
            names = ", ".join(tool.name for tool in self._tools.tools)
            return Call(
                name, to_object(arguments), raw, f"There is no tool {name!r}, only: {names}."
            )
        if arguments is _NOT_A_CALL:
            return Call(tool.name, None, raw, "This describes the tool instead of calling it.")
        given = _to_written_object(arguments)
        if given is None:
            return Call(tool.name, None, raw, "The arguments are not a JSON object.")
        coercer = self._coercers.get(tool.name)
        if coercer is None:
            coercer = self._coercers[tool.name] = ArgumentCoercer(tool.parameters, self._budgets)
        coerced = coercer.coerce(given)
        if coercer.is_emptied(given, coerced):
            return Call(tool.name, to_plain(given), raw, coercer.unknown_names(given))
        problem = coercer.validate(coerced)
        # A wrong call keeps all its arguments, also those that the tool does not have.
        arguments = coerced if problem is None else coercer.coerce(given, keep_unknown=True)
        return Call(tool.name, arguments, raw, problem)

    def _missing_name(self, raw: str) -> Call:
        names = ", ".join(tool.name for tool in self._tools.tools)
        return Call("", None, raw, f"The call names no tool. There are: {names}.")


class _Absent:
    """A reason for missing arguments."""


_NO_ARGUMENTS = _Absent()
_NOT_A_CALL = _Absent()


def _is_name_and_arguments(value: Json) -> bool:
    """Whether an object is exactly a name and arguments."""
    keys = value.keys()
    given = (value[key] for key in STRICT_ARGUMENT_KEYS if keys == {"name", key})
    return bool(value.get("name")) and isinstance(next(given, None), dict)


def _echoed_arguments(parameters: Any) -> Any:
    """Return the arguments in a repeated description, which may be in its `properties`."""
    if not _is_description(parameters):
        return parameters
    inner = parameters.get("properties")
    is_filled_in = isinstance(inner, dict) and not is_schema_of_properties(inner)
    return inner if is_filled_in else _NOT_A_CALL


def _is_description(value: Any) -> bool:
    """Whether an object is a schema: the tool's description repeated rather than a call."""
    return isinstance(value, dict) and (
        bool(value.keys() & _SCHEMA_KEYS) and value.get("type") in ("object", "dict", None)
    )


def is_schema_of_properties(properties: Json) -> bool:
    """Whether the `properties` of a repeated schema are still schemas, rather than values."""
    return all(
        value in _JSON_TYPES
        if isinstance(value, str)
        else isinstance(value, dict) and bool(value.keys() & _PROPERTY_KEYS)
        for value in properties.values()
    )


def to_object(arguments: Any) -> Json | None:
    """Convert arguments to an object, also from a JSON string, null, and a list of one object."""
    written = _to_written_object(arguments)
    return None if written is None else to_plain(written)


def _to_written_object(arguments: Any) -> Json | None:
    if arguments is None:
        return {}
    for _ in range(_MAX_ENCODINGS):
        if not isinstance(arguments, str):
            break
        text = arguments.strip()
        is_absent = text in ("", "null", "None")
        arguments = {} if is_absent else parse_lenient_json(text, keep_number_text=True)
    if isinstance(arguments, list) and len(arguments) <= 1:
        arguments = arguments[0] if arguments else {}
    return arguments if isinstance(arguments, dict) else None
