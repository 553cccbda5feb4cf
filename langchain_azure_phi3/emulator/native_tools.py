"""Validates tools and response formats as OpenAI's servers do."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.error_bodies import ApiError

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_MAX_NAME_LENGTH = 64
_TOOL_CHOICES = ("none", "auto", "required")
# Required members and their types.
_TOOL: Json = {"type": str, "function": {"name": str}}
_TOOL_CHOICE: Json = {"function": {"name": str}}
_CALL: Json = {"id": str, "function": {"name": str, "arguments": str}}
_FORMAT: Json = {"json_schema": {"name": str, "schema": dict}}
_NO_CALL = (
    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
    "'tool_calls'."
)
_NO_RESULT = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. The following tool_call_ids did not have response messages: "
)
_TYPE_NAMES = {str: "a string", list: "an array", dict: "an object", bool: "a boolean"}


def check(fields: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> None:
    """Raise an `ApiError` if OpenAI's servers would return a 400.

    Args:
        fields: `tools`, `tool_choice`, `parallel_tool_calls` and `response_format`, or `None`.
        messages: The messages as sent.
    """
    tools = fields.get("tools")
    if tools is not None:
        _check_tools(tools)
        _check_choice(fields.get("tool_choice"), [tool["function"]["name"] for tool in tools])
    for name in ("tool_choice", "parallel_tool_calls"):
        if tools is None and fields.get(name) not in (None, "none"):
            reason = f"'{name}' is only allowed when 'tools' are specified."
            raise _invalid(f"Invalid value for '{name}': {reason}", name)
    _check_format(fields.get("response_format"), messages)
    _check_history(messages)


def _check_tools(tools: Any) -> None:
    _check_type(tools, list, "tools", "an array of objects")
    if len(tools) == 0:
        message = "empty array. Expected an array with minimum length 1, but got an empty array"
        raise _invalid(f"Invalid 'tools': {message} instead.", "tools", "empty_array")
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        _check_members(tool, _TOOL, where)
        if tool["type"] != "function":
            raise _unsupported(f"{where}.type", tool["type"], ["function"])
        function = tool["function"]
        _check_name(function["name"], f"{where}.function.name")
        parameters = function.get("parameters")
        if parameters is not None:
            where = f"{where}.function.parameters"
            _check_type(parameters, dict, where)
            subject = f"function '{function['name']}'"
            code = "invalid_function_parameters"
            _check_schema(parameters, function.get("strict"), subject, where, code)


def _check_name(name: str, where: str) -> None:
    if _NAME.fullmatch(name) is None:
        expected = f"a string that matches the pattern '^{_NAME.pattern}$'."
        message = f"Invalid '{where}': string does not match pattern. Expected {expected}"
        raise _invalid(message, where)
    if len(name) > _MAX_NAME_LENGTH:
        expected = f"a string with maximum length {_MAX_NAME_LENGTH}, but got a string with length"
        message = f"Invalid '{where}': string too long. Expected {expected} {len(name)} instead."
        raise _invalid(message, where, "string_above_max_length")


def _check_schema(
    schema: Json, strict: Any, subject: str, where: str, code: str = "invalid_value"
) -> None:
    problem = None
    if schema.get("type") != "object":
        actual = schema.get("type", "None")
        problem = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{actual}\"'."
    elif strict is True:
        problem = next(_strict_problems(schema, ()), None)
    if problem is not None:
        raise _invalid(f"Invalid schema for {subject}: {problem}", where, code)


def _strict_problems(schema: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Yield errors for schemas that `strict` does not allow: open objects and optional keys."""
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        requirement = "is required to be supplied and to be false."
        yield f"In context={path}, 'additionalProperties' {requirement}"
    required = schema.get("required")
    required = set(map(str, required)) if isinstance(required, list) else set()
    for key in [k for k in schema.get("properties", ()) if k not in required]:
        requirement = "is required to be supplied and to be an array including every key in"
        yield f"In context={path}, 'required' {requirement} properties. Missing '{key}'."
    for keyword in ("properties", "$defs"):
        subschemas = schema.get(keyword)
        for name, subschema in subschemas.items() if isinstance(subschemas, dict) else ():
            yield from _strict_problems(subschema, (*path, keyword, name))
    yield from _strict_problems(schema.get("items"), (*path, "items"))


def _check_choice(choice: Any, names: Sequence[str]) -> None:
    if choice is None or choice in _TOOL_CHOICES:
        return
    if isinstance(choice, str):
        raise _unsupported("tool_choice", choice, _TOOL_CHOICES)
    _check_members(choice, _TOOL_CHOICE, "tool_choice")
    name = choice["function"]["name"]
    if name not in names:
        raise _invalid(f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")


def _check_format(response_format: Any, messages: Sequence[Mapping[str, Any]]) -> None:
    format_type = None if response_format is None else response_format["type"]
    if format_type == "json_object" and "json" not in str([m["content"] for m in messages]).lower():
        condition = "to use 'response_format' of type 'json_object'."
        message = f"'messages' must contain the word 'json' in some form, {condition}"
        raise _invalid(message, "messages")
    if format_type == "json_schema":
        _check_members(response_format, _FORMAT, "response_format")
        json_schema = response_format["json_schema"]
        _check_name(json_schema["name"], "response_format.json_schema.name")
        subject = f"response_format '{json_schema['name']}'"
        _check_schema(json_schema["schema"], json_schema.get("strict"), subject, "response_format")


def _check_history(messages: Sequence[Mapping[str, Any]]) -> None:
    """Check that results directly follow their calls, and that each call has a result."""
    pending: dict[str, None] = {}
    for index, message in enumerate([*messages, {"role": "end"}]):
        where = f"messages.[{index}].role"
        if message["role"] != "tool":
            if len(pending) > 0:
                raise _invalid(_NO_RESULT + ", ".join(pending), where)
            pending = _call_ids(message, f"messages[{index}].tool_calls")
        elif (call_id := str(message.get("tool_call_id"))) in pending:
            del pending[call_id]
        else:
            raise _invalid(_NO_CALL, where)


def _call_ids(message: Mapping[str, Any], where: str) -> dict[str, None]:
    calls = message.get("tool_calls")
    if calls is None:
        return {}
    _check_type(calls, list, where, "an array of objects")
    for index, call in enumerate(calls):
        _check_members(call, _CALL, f"{where}[{index}]")
    return dict.fromkeys(call["id"] for call in calls)


def _check_members(value: Any, members: Json, where: str) -> None:
    """Check that a value is an object with these members, recursively."""
    _check_type(value, dict, where)
    for key, expected in members.items():
        if value.get(key) is None:
            message = f"Missing required parameter: '{where}.{key}'."
            raise _invalid(message, f"{where}.{key}", "missing_required_parameter")
        if isinstance(expected, dict):
            _check_members(value[key], expected, f"{where}.{key}")
        else:
            _check_type(value[key], expected, f"{where}.{key}")


def _check_type(value: Any, expected: type, where: str, name: str | None = None) -> None:
    if not isinstance(value, expected):
        name = name or _TYPE_NAMES[expected]
        actual = _TYPE_NAMES.get(type(value), "a number")
        message = f"expected {name}, but got {actual} instead."
        raise _invalid(f"Invalid type for '{where}': {message}", where, "invalid_type")


def _unsupported(where: str, value: str, supported: Sequence[str]) -> ApiError:
    options = ", ".join(f"'{option}'" for option in supported)
    return _invalid(f"Invalid value: '{value}'. Supported values are: {options}.", where)


def _invalid(message: str, where: str, code: str = "invalid_value") -> ApiError:
    error = {"message": message, "type": "invalid_request_error", "param": where, "code": code}
    return ApiError(400, {"error": error})
