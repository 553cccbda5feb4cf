"""Tools and answer formats as fields of a request, checked the way OpenAI's servers do it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_azure_phi3.emulator.error_bodies import Refused
from langchain_azure_phi3.emulator.wire import Json

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_LONGEST_NAME = 64
_CHOICES = ("none", "auto", "required")


def check(fields: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what OpenAI's servers would refuse.

    Args:
        fields: `tools`, `tool_choice`, `parallel_tool_calls` and `response_format`, or `None`.
        messages: The conversation as sent.

    Raises:
        Refused: With a 400 in OpenAI's shape.
    """
    tools = fields.get("tools")
    if tools is not None:
        _check_tools(tools)
    for name in ("tool_choice", "parallel_tool_calls"):
        if tools is None and fields.get(name) not in (None, "none"):
            raise _invalid(
                f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.",
                name,
            )
    if tools is not None:
        _check_choice(fields.get("tool_choice"), [tool["function"]["name"] for tool in tools])
    _check_format(fields.get("response_format"), messages)
    _check_history(messages)


def _check_tools(tools: Any) -> None:
    if not isinstance(tools, list):
        raise _mistyped("tools", "an array of objects", tools)
    if len(tools) == 0:
        raise _invalid(
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an "
            "empty array instead.",
            "tools",
            "empty_array",
        )
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        function = _member(tool, "function", where)
        if _member(tool, "type", where, str) != "function":
            raise _unsupported(f"{where}.type", tool["type"], ["function"])
        _check_name(_member(function, "name", f"{where}.function", str), f"{where}.function.name")
        _check_parameters(function, f"{where}.function")


def _check_name(name: str, where: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise _invalid(
            f"Invalid '{where}': string does not match pattern. Expected a string that matches "
            f"the pattern '^{_NAME.pattern}$'.",
            where,
        )
    if len(name) > _LONGEST_NAME:
        raise _invalid(
            f"Invalid '{where}': string too long. Expected a string with maximum length "
            f"{_LONGEST_NAME}, but got a string with length {len(name)} instead.",
            where,
            "string_above_max_length",
        )


def _check_parameters(function: Json, where: str) -> None:
    parameters = function.get("parameters")
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        raise _mistyped(f"{where}.parameters", "an object", parameters)
    problem = _schema_problem(parameters, strict=function.get("strict") is True)
    if problem is not None:
        raise _invalid(
            f"Invalid schema for function '{function['name']}': {problem}",
            f"{where}.parameters",
            "invalid_function_parameters",
        )


def _schema_problem(schema: Json, *, strict: bool) -> str | None:
    if schema.get("type") != "object":
        kind = schema.get("type", "None")
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
    return next(_strict_problems(schema, ()), None) if strict else None


def _strict_problems(schema: Any, trail: tuple[str, ...]) -> Iterator[str]:
    """What "strict" does not allow: objects that are open, or that leave keys optional."""
    if not isinstance(schema, dict):
        return
    properties = _named_schemas(schema, "properties")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield (
            f"In context={trail}, 'additionalProperties' is required to be supplied and to be "
            "false."
        )
    optional = [key for key in properties if key not in schema.get("required", ())]
    if len(optional) > 0:
        yield (
            f"In context={trail}, 'required' is required to be supplied and to be an array "
            f"including every key in properties. Missing '{optional[0]}'."
        )
    for key in ("properties", "$defs"):
        for name, own in _named_schemas(schema, key).items():
            yield from _strict_problems(own, (*trail, key, name))
    yield from _strict_problems(schema.get("items"), (*trail, "items"))


def _named_schemas(schema: Json, key: str) -> Json:
    named = schema.get(key)
    return named if isinstance(named, dict) else {}


def _check_choice(choice: Any, names: Sequence[str]) -> None:
    if choice is None or (isinstance(choice, str) and choice in _CHOICES):
        return
    if isinstance(choice, str):
        raise _unsupported("tool_choice", choice, list(_CHOICES))
    function = _member(choice, "function", "tool_choice")
    name = _member(function, "name", "tool_choice.function", str)
    if name not in names:
        raise _invalid(f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")


def _check_format(wanted: Any, messages: Sequence[Mapping[str, Any]]) -> None:
    kind = None if wanted is None else wanted["type"]
    if kind == "json_object" and not any("json" in str(m["content"]).lower() for m in messages):
        raise _invalid(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of "
            "type 'json_object'.",
            "messages",
        )
    if kind != "json_schema":
        return
    named = _member(wanted, "json_schema", "response_format")
    _check_name(
        _member(named, "name", "response_format.json_schema", str),
        "response_format.json_schema.name",
    )
    schema = _member(named, "schema", "response_format.json_schema")
    problem = _schema_problem(schema, strict=named.get("strict") is True)
    if problem is not None:
        raise _invalid(
            f"Invalid schema for response_format '{named['name']}': {problem}", "response_format"
        )


def _check_history(messages: Sequence[Mapping[str, Any]]) -> None:
    """Every call has its result right behind it, and every result its call."""
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] != "tool":
            _check_answered(open_calls, index)
            open_calls = [
                _check_call(call, f"messages[{index}].tool_calls[{number}]")
                for number, call in enumerate(_calls_in(message, f"messages[{index}].tool_calls"))
            ]
        elif message.get("tool_call_id") in open_calls:
            open_calls.remove(message["tool_call_id"])
        else:
            raise _invalid(
                "Invalid parameter: messages with role 'tool' must be a response to a preceding "
                "message with 'tool_calls'.",
                f"messages.[{index}].role",
            )
    _check_answered(open_calls, len(messages))


def _calls_in(message: Mapping[str, Any], where: str) -> list[Any]:
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise _mistyped(where, "an array of objects", calls)
    return calls or []


def _check_answered(open_calls: Sequence[str], index: int) -> None:
    if len(open_calls) > 0:
        raise _invalid(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(open_calls),
            f"messages.[{index}].role",
        )


def _check_call(call: Any, where: str) -> str:
    function = _member(call, "function", where)
    for key in ("name", "arguments"):
        _member(function, key, f"{where}.function", str)
    identity: str = _member(call, "id", where, str)
    return identity


def _member(holder: Any, key: str, where: str, kind: type = dict) -> Any:
    if not isinstance(holder, dict):
        raise _mistyped(where, "an object", holder)
    value = holder.get(key)
    if value is None:
        raise _invalid(
            f"Missing required parameter: '{where}.{key}'.",
            f"{where}.{key}",
            "missing_required_parameter",
        )
    if not isinstance(value, kind):
        raise _mistyped(f"{where}.{key}", "a string" if kind is str else "an object", value)
    return value


_NAMES_OF_TYPES = {str: "a string", list: "an array", dict: "an object", bool: "a boolean"}


def _mistyped(where: str, expected: str, value: Any) -> Refused:
    got = _NAMES_OF_TYPES.get(type(value), "a number")
    return _invalid(
        f"Invalid type for '{where}': expected {expected}, but got {got} instead.",
        where,
        "invalid_type",
    )


def _unsupported(where: str, value: str, supported: Sequence[str]) -> Refused:
    listed = ", ".join(f"'{one}'" for one in supported)
    return _invalid(f"Invalid value: '{value}'. Supported values are: {listed}.", where)


def _invalid(message: str, where: str, code: str = "invalid_value") -> Refused:
    error = {"message": message, "type": "invalid_request_error", "param": where, "code": code}
    return Refused(400, {"error": error})
