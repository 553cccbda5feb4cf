"""What a call sets, over what the model sets: the payload's fields and its headers."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

# The request's schema in the Azure AI Model Inference API. Everything else is an "extra
# parameter": refused with 400 unless the header extra-parameters says what to do with it.
SCHEMA = frozenset(
    {"messages", "model", "stream", "stop", "temperature", "top_p", "max_tokens", "seed"}
    | {"presence_penalty", "frequency_penalty", "response_format", "tools", "tool_choice"}
)
# What the package itself writes.
_RESERVED = frozenset({"messages", "stream"})

# What a call sets besides the payload's fields, or in a form that is worked on first.
_ELSEWHERE = frozenset(
    {"model", "model_extras", "extra_parameters", "stop", "stream", "max_corrections"}
    | {"tools", "tool_choice", "parallel_tool_calls", "response_format"}
)

_HEADER_SPELLINGS = {"passthrough": "pass-through", "pass_through": "pass-through"}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _spelled(value: Any) -> Any:
    # Servers know exactly three spellings; documents show others.
    return _HEADER_SPELLINGS.get(value.lower(), value.lower()) if isinstance(value, str) else value


Number = Annotated[float, Field(allow_inf_nan=False)]
Stop = Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_listed)]
ExtraParameters = Annotated[Literal["error", "drop", "pass-through"], BeforeValidator(_spelled)]
LogitBias = dict[str, Number]


class Parameters(TypedDict, total=False):
    """What shapes an answer; set on the model, in a call, or both. `None` means not set."""

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
    max_corrections: Annotated[int, Field(ge=0)] | None
    model_extras: Json | None
    extra_parameters: ExtraParameters | None


_adapter = TypeAdapter(Parameters)


def checked(given: Mapping[str, Any]) -> Json:
    """A call's own parameters, with the types that the wire has.

    Raises:
        InvalidInputError: One has the wrong type.
    """
    try:
        return dict(_adapter.validate_python(dict(given)))
    except ValidationError as problem:
        raise InvalidInputError(f"The call's parameters are wrong: {explained(problem)}") from None


def explained(problem: ValidationError) -> str:
    """What pydantic found, in one line and without the values: one may be a key."""
    found = problem.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'input'}: {item['msg']}" for item in found
    )


def fields(defaults: Mapping[str, Any], call: Mapping[str, Any]) -> Json:
    """The payload's fields besides messages: the call's before the model's, no nulls.

    Raises:
        InvalidInputError: Two of them contradict each other.
    """
    merged = {**defaults, **{key: value for key, value in call.items() if value is not None}}
    extras = {**(defaults.get("model_extras") or {}), **(call.get("model_extras") or {})}
    if clash := _RESERVED & extras.keys():
        raise InvalidInputError(f"{sorted(clash)} cannot be set through model_extras.")
    payload = {
        key: value for key, value in merged.items() if value is not None and key not in _ELSEWHERE
    }
    if payload.get("top_logprobs") is not None and not payload.get("logprobs"):
        raise InvalidInputError("top_logprobs needs logprobs=True.")
    # The user's own extras are sent as they are, nulls included: asked for is asked for.
    return payload | extras


def stops(*given: Sequence[str] | None) -> list[str]:
    """The stop sequences of the model and of the call together, each once.

    An empty list given in the call switches the model's off.
    """
    if given and given[-1] is not None and not given[-1]:
        return []
    return list(dict.fromkeys(text for texts in given if texts for text in texts))


def headers(
    payload: Json, native: frozenset[str], asked: str | None, deployment: str | None
) -> dict[str, str]:
    """The headers that follow from a payload.

    Args:
        payload: The request's JSON.
        native: Parameters that the endpoint knows beyond the schema.
        asked: The user's own value of `extra-parameters`.
        deployment: The deployment behind an online endpoint that has several.
    """
    found = {}
    if asked is not None:
        found["extra-parameters"] = asked
    elif payload.keys() - SCHEMA - native:
        found["extra-parameters"] = "pass-through"
    if deployment is not None:
        found["azureml-model-deployment"] = deployment
    return found
