"""Defines and validates the parameters of a call."""

import difflib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

_HEADER_SPELLINGS = {"passthrough": "pass-through", "pass_through": "pass-through"}


def _to_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _normalize_spelling(value: Any) -> Any:
    # Servers accept exactly three spellings; documentation shows others.
    return _HEADER_SPELLINGS.get(value.lower(), value.lower()) if isinstance(value, str) else value


Number = Annotated[float, Field(allow_inf_nan=False)]
Stop = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_to_list)]
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
    max_tokens: int | None
    presence_penalty: Number | None
    frequency_penalty: Number | None
    seed: int | None
    response_format: Json | None
    logprobs: bool | None
    top_logprobs: int | None
    logit_bias: LogitBias | None
    n: Annotated[int, Field(ge=1)] | None
    stop: Stop | None
    tools: list[Json] | None
    parallel_tool_calls: bool | None
    constrained_schema: Json | None
    max_corrections: Annotated[int, Field(ge=0)] | None
    model_extras: Json | None
    extra_parameters: ExtraParameters | None


_KNOWN = frozenset(CallParameters.__annotations__) | {"tool_choice"}
_adapter = TypeAdapter(CallParameters)


def validate_call(call: Mapping[str, Any]) -> Json:
    """Validate the arguments of a call, and convert them to the wire's types.

    `model_kwargs`, LangChain's name for `model_extras`, is accepted as well.

    Raises:
        InvalidInputError: An argument has the wrong type, or a misspelled name.
    """
    given = dict(call)
    if "model_kwargs" in given:
        extras = given.pop("model_kwargs")
        given.setdefault("model_extras", extras)
    for name in given.keys() - _KNOWN:
        if (meant := _misspelled_parameter(name)) is not None:
            raise InvalidInputError(
                f"Invalid arguments of the call: there is no {name}; did you mean {meant}? If "
                "the server has this parameter, pass it in model_extras."
            )
    try:
        return dict(_adapter.validate_python(given))
    except ValidationError as error:
        raise InvalidInputError(
            f"Invalid arguments of the call: {format_validation_error(error)}"
        ) from None


@lru_cache(maxsize=256)  # bound parameters are validated in each call
def _misspelled_parameter(name: str) -> str | None:
    """Return the parameter that a name misspells.

    The server may have any parameter, but probably not one that differs by one letter.
    """
    return next(iter(difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.92)), None)


def format_validation_error(
    error: ValidationError, describe_unknown: Callable[[str], str] | None = None
) -> str:
    """Format pydantic's errors in one line, without the values, because one may be a key.

    Args:
        error: Pydantic's error.
        describe_unknown: Describes an unknown argument, given its name.
    """
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        describe_unknown(str(item["loc"][-1]))
        if describe_unknown is not None and item["type"] == "extra_forbidden"
        else f"{'.'.join(map(str, item['loc'])) or 'input'}: {item['msg']}"
        for item in found
    )
