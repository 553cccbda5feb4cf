"""Defines and validates the parameters of a call."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from langchain_azure_phi3._argument_hints import call_argument_hint
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

_HEADER_SPELLINGS = {"passthrough": "pass-through", "pass_through": "pass-through"}


def to_list(value: Any) -> Any:
    """A list with a single text in it; any other value as it is."""
    return [value] if isinstance(value, str) else value


def _normalize_spelling(value: Any) -> Any:
    # Servers accept exactly three spellings; documentation shows others.
    return _HEADER_SPELLINGS.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _reject_bool(value: Any) -> Any:
    # Pydantic would convert it to 0 or 1.
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


Number = Annotated[float, BeforeValidator(_reject_bool), Field(allow_inf_nan=False)]
Integer = Annotated[int, BeforeValidator(_reject_bool)]
Stop = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(to_list)]
ExtraParameters = Annotated[
    Literal["error", "drop", "pass-through"], BeforeValidator(_normalize_spelling)
]
LogitBias = dict[str, Number]


class CallParameters(TypedDict, total=False):
    """Parameters of a response, set on the model, in a call, or both. `None` means not set."""

    __pydantic_config__ = ConfigDict(extra="allow", hide_input_in_errors=True)  # type: ignore[misc]

    model: str | None
    temperature: Number | None
    top_p: Number | None
    max_tokens: Integer | None
    presence_penalty: Number | None
    frequency_penalty: Number | None
    seed: Integer | None
    response_format: Json | None
    logprobs: bool | None
    top_logprobs: Integer | None
    logit_bias: LogitBias | None
    n: Annotated[Integer, Field(ge=1)] | None
    stop: Stop | None
    tools: list[Json] | None
    parallel_tool_calls: bool | None
    constrained_schema: Json | None
    max_corrections: Annotated[Integer, Field(ge=0)] | None
    model_extras: Json | None
    extra_parameters: ExtraParameters | None


# LangChain reads `stream`, and `tool_choice` has many forms.
_KNOWN = frozenset(CallParameters.__annotations__) | {"stream", "tool_choice"}
_adapter = TypeAdapter(CallParameters)


def validate_call(call: Mapping[str, Any]) -> Json:
    """Validate the arguments of a call, and convert them to the wire's types.

    `model_kwargs`, LangChain's name for `model_extras`, is accepted as well.

    Raises:
        InvalidInputError: An argument has the wrong type, a misspelled name, or the name of an
            argument of the constructor or of another package.
    """
    given = dict(call)
    if "model_kwargs" in given:
        extras = given.pop("model_kwargs")
        given.setdefault("model_extras", extras)
    for name in given.keys() - _KNOWN:
        if (hint := _hint(name)) is not None:
            raise InvalidInputError(
                f"Invalid arguments of the call: there is no argument {name}; {hint}"
                f"{'' if hint.endswith('?') else '.'} If the server has a parameter of this name, "
                "pass it in model_extras."
            )
    try:
        return dict(_adapter.validate_python(given))
    except ValidationError as error:
        raise InvalidInputError(
            f"Invalid arguments of the call: {format_validation_error(error)}."
        ) from None


@lru_cache(maxsize=256)  # bound parameters come with each call
def _hint(name: str) -> str | None:
    return call_argument_hint(name, _KNOWN | {"include_raw"})


# Arguments whose values are or contain keys.
_UNSHOWN = frozenset(
    {"endpoint", "credential", "api_key", "default_headers", "model_extras", "model_kwargs"}
)
_LISTED = 5  # findings, and numbers of a list
_MOST_BITS = 64  # of a number that is shown
_SHORTEST_KEY = 16  # characters; longer texts are not shown, whatever they were passed as

# Parts of pydantic's messages, and how they read after the name of an argument.
_REWORDED = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^Value error, ", ""),
        (r"^\w+ should ", "must "),
        (r"greater than or equal to", "at least"),
        (r"less than or equal to", "at most"),
        (r", (?:unable to parse|got a number) .*$", ""),
    )
)


def format_validation_error(
    error: ValidationError, describe_unknown: Callable[[str], str] | None = None
) -> str:
    """Format pydantic's errors in one line, with the values that cannot be keys.

    Args:
        error: Pydantic's error.
        describe_unknown: Describes an unknown argument, given its name.
    """
    found = error.errors(include_url=False, include_context=False)
    texts = [
        describe_unknown(str(item["loc"][-1]))
        if describe_unknown is not None and item["type"] == "extra_forbidden"
        else _format_finding(item["loc"], item["msg"], item["input"])
        for item in found[:_LISTED]
    ]
    more = len(found) - len(texts)
    return "; ".join([*texts, f"and {more:,} more"] if more else texts)


def _format_finding(location: tuple[int | str, ...], message: str, value: Any) -> str:
    for pattern, replacement in _REWORDED:
        message = pattern.sub(replacement, message)
    if not location:  # of all arguments together, the key included
        return message
    name, *path = location
    where = f"{name}{''.join(f'[{step!r}]' for step in path)}"
    if not message.startswith("must "):
        return f"{where}: {message}"
    shown = type(value).__name__ if name in _UNSHOWN else _describe_value(value)
    return f"{where} {message}, not {shown}"


def _describe_value(value: Any) -> str:
    """A number or a short text as it is; of anything else, which may be or hold a key, its type."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"a number of {value.bit_length():,} bits"
    if value is None or isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        is_short = len(value) < _SHORTEST_KEY
        return repr(value) if is_short else f"a text of {len(value):,} characters"
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    if len(numbers) <= _LISTED and all(isinstance(item, int | float) for item in numbers):
        return f"({', '.join(map(_describe_value, numbers))})"
    return type(value).__name__
