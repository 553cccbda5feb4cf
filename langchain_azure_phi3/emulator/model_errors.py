"""Mistakes of small models in tool calls and JSON, as a table."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.conversation import Generation, Prompt
from langchain_azure_phi3.emulator.prompt_parser import find_json_objects, parse_instructions
from langchain_azure_phi3.emulator.wire import to_json

ModelErrorName = Literal[
    "bad values",
    "cut off",
    "empty",
    "fence",
    "invented arguments",
    "no call",
    "prose",
    "python literals",
    "schema echo",
    "single quotes",
    "trailing comma",
    "two calls",
    "unclosed fence",
    "unknown tool",
    "wrong types",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelError:
    """One mistake, as changes to a response that consists of calls or of one JSON object."""

    change_value: Callable[[Any, Json], Any] = lambda value, _: value  # of arguments, by schema
    rename_tool: Callable[[str], str] = str
    repeat: int = 1  # how often the response contains its calls or object
    write: Callable[[Any], str] = to_json
    wrap: Callable[[str], str] = str  # around the text, or the arguments of native calls
    answer: str | None = None  # a text instead, which may contain the called tool's `{name}`
    lead: str = ""  # text before native calls


def _swap_types(value: Any, _: Json) -> Any:
    """Swap numbers and strings of digits, and replace a list of one item by its item."""
    if isinstance(value, dict):
        return {key: _swap_types(item, {}) for key, item in value.items()}
    if isinstance(value, list):
        items = [_swap_types(item, {}) for item in value]
        return items[0] if len(items) == 1 else items
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _drop_required(value: Any, schema: Json) -> Any:
    """Omit a required key, or else nest the values, which fits no simple schema."""
    if not isinstance(value, dict) or len(value) == 0:
        return ["nothing of the kind"]
    required = [key for key in schema.get("required", value) if key in value]
    if len(required) == 0:
        return {key: {"unexpected": [item]} for key, item in value.items()}
    return {key: item for key, item in value.items() if key != required[0]}


def _add_arguments(value: Any, _: Json) -> Any:
    extra = {"verbose": True, "reason": "as you asked"}
    return {**value, **extra} if isinstance(value, dict) else value


def _write_single_quotes(value: Any) -> str:
    text = to_json(value).replace("'", "\\'").replace('\\"', "\0").replace('"', "'")
    return text.replace("\0", '"')


def _write_trailing_comma(value: Any) -> str:
    """Add a comma before the closing brackets, unless they close something empty."""
    text = to_json(value)
    body = text.rstrip("}]")
    return text if body[-1:] in ("{", "[", "") else f"{body},{text[len(body) :]}"


_LEAD = "Sure! Here is what you asked for:"
_ERRORS: Mapping[str, _ModelError] = {
    "bad values": _ModelError(change_value=_drop_required),
    "empty": _ModelError(answer=""),
    "fence": _ModelError(wrap="```json\n{}\n```".format),
    "invented arguments": _ModelError(change_value=_add_arguments),
    "no call": _ModelError(answer="I would use {name} to find that out."),
    "prose": _ModelError(
        wrap=f"{_LEAD}\n\n{{}}\n\nLet me know if you need anything else.".format, lead=_LEAD
    ),
    "python literals": _ModelError(write=repr),
    "schema echo": _ModelError(change_value=lambda _, schema: schema),
    "single quotes": _ModelError(write=_write_single_quotes),
    "trailing comma": _ModelError(write=_write_trailing_comma),
    "two calls": _ModelError(repeat=2),
    "unclosed fence": _ModelError(wrap="```json\n{}".format),
    "unknown tool": _ModelError(rename_tool=lambda _: "look_it_up"),
    "wrong types": _ModelError(change_value=_swap_types),
}
MODEL_ERRORS = get_args(ModelErrorName)


def check_model_error(name: str) -> str:
    """Return the name of a model error, or raise a `ValueError` that lists all."""
    if name not in MODEL_ERRORS:
        raise ValueError(f"Model error {name!r} is unknown. Use one of {list(MODEL_ERRORS)}.")
    return name


def apply_model_error(name: str, generation: Generation, prompt: Prompt) -> Generation:
    """Return the generation with a mistake.

    Plain text can only be cut off or empty. Other errors leave it unchanged.
    """
    calls, text = generation.tool_calls, generation.text
    generation = replace(generation, tokens=None)
    if name == "cut off":
        calls = tuple((tool, _cut(arguments)) for tool, arguments in calls)
        return replace(generation, text=_cut(text), tool_calls=calls, truncated=True)
    values = [{"name": tool, "arguments": json.loads(arguments)} for tool, arguments in calls]
    if text.lstrip().startswith(("{", "<|tool_call|>")):
        values += [value for _, value in find_json_objects(text)]
    error = _ERRORS[name]
    if error.answer is not None and (len(values) > 0 or name == "empty"):
        tool = values[0].get("name", "a tool") if len(values) > 0 else ""
        return replace(generation, text=error.answer.format(name=tool), tool_calls=())
    values = [_change(error, value, prompt) for value in values] * error.repeat
    if len(values) == 0:
        return generation
    if len(calls) > 0:
        wrap = error.wrap if error.lead == "" else str
        calls = tuple((value["name"], wrap(error.write(value["arguments"]))) for value in values)
        return replace(generation, text=error.lead, tool_calls=calls)
    texts = [error.write(value) for value in values]
    is_tagged = "<|tool_call|>" in text
    text = f"<|tool_call|>[{', '.join(texts)}]<|/tool_call|>" if is_tagged else "\n".join(texts)
    return replace(generation, text=error.wrap(text))


def _cut(text: str) -> str:
    return text[: len(text) * 2 // 3]


def _change(error: _ModelError, value: Json, prompt: Prompt) -> Json:
    instructions = parse_instructions(prompt)
    if value.keys() != {"name", "arguments"}:
        changed: Json = error.change_value(value, instructions.schema or {})
        return changed
    schema = instructions.tools.get(value["name"], {})
    arguments = error.change_value(value["arguments"], schema)
    return {"name": error.rename_tool(value["name"]), "arguments": arguments}
