"""The shapes in which models write a call as JSON, read as one thing."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from langchain_azure_phi3._tools.argument_coercion import ArgumentCoercer
from langchain_azure_phi3._tools.tools import Call, Tool, Toolbox, properties_of
from langchain_azure_phi3._types import Json

# Keys that hold a tool's name, and those that hold its arguments, in order of trust. "action" and
# "action_input" are LangChain's own JSON agents', which models have read; "args" and "tool" too.
NAME_KEYS = ("name", "tool_name", "function_name", "tool", "action", "recipient_name", "function")
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
WRAPPER_KEYS = ("tool_calls", "tool_call", "function_call", "function")
OTHER_KEYS = ("type", "id", "index")
CALL_TYPES = ("function", "function_call", "tool_call", "tool_use")

# What stands in a tool's description and not in a call of it.
_SCHEMA_KEYS = frozenset({"properties", "$defs", "$schema"})
_TRIPLE_QUOTED = re.compile(r'"""(.*?)"""', re.DOTALL)
_MAX_WRAPPERS = 4


class CallNormalizer:
    """Reads calls of the tools on offer out of JSON."""

    def __init__(self, tools: Toolbox, *, only_tool: Tool | None = None) -> None:
        """`sole`: the one tool whose arguments may stand alone, without its name."""
        self._tools = tools
        self._sole = only_tool
        self._checkers: dict[str, ArgumentCoercer] = {}

    def calls(self, raw: str, *, marked: bool) -> tuple[Call, ...]:
        """The calls that a JSON object is; none when it is only data.

        Args:
            raw: The object's text; need not be quite JSON.
            marked: Whether it was marked as a call, so that what is wrong with it is an error.
        """
        value = parse_lenient_json(raw)
        if not isinstance(value, dict):
            return (Call("", None, raw, "This is not a JSON object."),) if marked else ()
        found = tuple(
            self._checked(name, arguments, raw)
            for name, arguments in self._pairs(value, marked=marked, depth=0)
        )
        if found:
            return found
        bare = self._bare(value, raw)
        if bare is not None:
            return (bare,)
        return (self._unnamed(raw),) if marked else ()

    def _bare(self, value: Json, raw: str) -> Call | None:
        """The object as the arguments of the only tool that may be called."""
        if self._sole is None or _is_description(value):
            return None
        call = self._checked(self._sole.name, value, raw)
        properties = properties_of(self._sole.parameters)
        is_meant = call.error is None and (bool(call.arguments) or not value)
        return call if is_meant or (properties and value.keys() <= properties.keys()) else None

    def _pairs(self, value: Any, *, marked: bool, depth: int) -> Iterator[tuple[str, Any]]:
        """Every (name, arguments) that stands in a value, through its wrappers."""
        if depth > _MAX_WRAPPERS:
            return
        if isinstance(value, list):
            for item in value:
                yield from self._pairs(item, marked=marked, depth=depth + 1)
        if not isinstance(value, dict):
            return
        named = self._named(value, marked=marked)
        if named is not None:
            yield named
            return
        for key in WRAPPER_KEYS:
            if isinstance(value.get(key), dict | list):
                yield from self._pairs(value[key], marked=marked, depth=depth + 1)
                return
        yield from self._keyed(value)

    def _named(self, value: Json, *, marked: bool) -> tuple[str, Any] | None:
        for key in NAME_KEYS:
            name = value.get(key)
            if not isinstance(name, str):
                continue
            tool = self._tools.find(name)
            arguments = self._arguments(value, key, tool)
            if tool is None and not (marked and arguments is not _NONE_GIVEN):
                continue
            if arguments is _NO_CALL and not marked:
                continue
            return name, arguments
        return None

    def _arguments(self, value: Json, name_key: str, tool: Tool | None) -> Any:
        for key in ARGUMENT_KEYS:
            if key in value:
                echo = key == "parameters" and "description" in value
                return _NO_CALL if echo and _is_description(value[key]) else value[key]
        rest = {
            key: given for key, given in value.items() if key != name_key and key not in OTHER_KEYS
        }
        if not rest:
            return {} if tool is not None else _NONE_GIVEN
        # {"name": "get_weather", "city": "Paris"}: the arguments beside the name.
        properties = {} if tool is None else properties_of(tool.parameters)
        return rest if rest.keys() & properties.keys() else _NO_CALL

    def _keyed(self, value: Json) -> Iterator[tuple[str, Any]]:
        """{"get_weather": {"city": "Paris"}}: Phi-4-mini's, in onnxruntime-genai#1334."""
        if value and all(
            self._tools.find(name) is not None and isinstance(given, dict)
            for name, given in value.items()
        ):
            yield from value.items()

    def _checked(self, name: str, arguments: Any, raw: str) -> Call:
        tool = self._tools.find(name)
        if tool is None:
            known = ", ".join(tool.name for tool in self._tools.tools)
            return Call(name, _object(arguments), raw, f"There is no tool {name!r}, only: {known}.")
        given = _object(arguments)
        if given is None:
            return Call(tool.name, None, raw, "The arguments are not a JSON object.")
        checker = self._checkers.get(tool.name)
        if checker is None:
            checker = self._checkers[tool.name] = ArgumentCoercer(tool.parameters)
        coerced = checker.coerce(given)
        return Call(tool.name, coerced, raw, checker.validate(coerced))

    def _unnamed(self, raw: str) -> Call:
        known = ", ".join(tool.name for tool in self._tools.tools)
        return Call("", None, raw, f"The call names no tool. There are: {known}.")


class _Absent:
    """Why there are no arguments."""


_NONE_GIVEN = _Absent()
_NO_CALL = _Absent()


def _is_description(value: Any) -> bool:
    """Whether an object is a schema: the tool described again rather than called."""
    return isinstance(value, dict) and (
        bool(value.keys() & _SCHEMA_KEYS) and value.get("type") in ("object", None)
    )


def _object(arguments: Any) -> Json | None:
    """Arguments as an object, also from a JSON string, from null and from a list of one."""
    if isinstance(arguments, str):
        text = arguments.strip()
        arguments = {} if text in ("", "null", "None") else parse_lenient_json(text)
    elif arguments is None:
        return {}
    if isinstance(arguments, list) and len(arguments) <= 1:
        arguments = arguments[0] if arguments else {}
    return arguments if isinstance(arguments, dict) else None


def parse_lenient_json(text: str) -> Any:
    """The JSON value that a text is or nearly is; `None` where it is neither."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return _repaired(_TRIPLE_QUOTED.sub(lambda quoted: json.dumps(quoted[1]), text))


def _repaired(text: str) -> Any:
    try:
        return _repair()(text, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None


@cache
def _repair() -> Any:
    """The library for almost-JSON, imported when the first call needs it."""
    from json_repair import repair_json

    return repair_json
