"""The parameters of a call: their types, and how they become fields and headers of the request."""

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

# Arguments of a call that are not fields of the payload as they are.
_NOT_FIELDS = frozenset(
    {"model", "model_extras", "extra_parameters", "stop", "stream", "max_corrections"}
    | {"tools", "tool_choice", "parallel_tool_calls", "response_format"}
)

_HEADER_SPELLINGS = {"passthrough": "pass-through", "pass_through": "pass-through"}


def _to_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _normalize_spelling(value: Any) -> Any:
    # Servers accept exactly three spellings; documents show others.
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
    max_corrections: Annotated[int, Field(ge=0)] | None
    model_extras: Json | None
    extra_parameters: ExtraParameters | None


_adapter = TypeAdapter(CallParameters)


def validate_call(call: Mapping[str, Any]) -> Json:
    """The arguments of a call, converted to the types that the wire has.

    `model_kwargs`, LangChain's name for `model_extras`, is accepted as well.

    Raises:
        InvalidInputError: An argument has the wrong type.
    """
    given = dict(call)
    if "model_kwargs" in given:
        extras = given.pop("model_kwargs")
        given.setdefault("model_extras", extras)
    try:
        return dict(_adapter.validate_python(given))
    except ValidationError as error:
        raise InvalidInputError(
            f"Invalid arguments of the call: {format_validation_error(error)}"
        ) from None


def format_validation_error(error: ValidationError) -> str:
    """Pydantic's findings in one line, without the values: one may be a key."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'input'}: {item['msg']}" for item in found
    )


def payload_fields(defaults: Mapping[str, Any], call: Mapping[str, Any]) -> Json:
    """The payload's fields besides messages: the call's before the model's, without nulls.

    Raises:
        InvalidInputError: Two of them contradict each other, or `model_extras` sets a reserved one.
    """
    merged = {**defaults, **{key: value for key, value in call.items() if value is not None}}
    extras = {**(defaults.get("model_extras") or {}), **(call.get("model_extras") or {})}
    if reserved := _RESERVED & extras.keys():
        raise InvalidInputError(f"model_extras cannot set {', '.join(sorted(reserved))}.")
    payload = {
        key: value for key, value in merged.items() if value is not None and key not in _NOT_FIELDS
    }
    if payload.get("top_logprobs") is not None and not payload.get("logprobs"):
        raise InvalidInputError("top_logprobs needs logprobs=True.")
    # The user's own extras are sent as they are, nulls included.
    return payload | extras


def merge_stops(of_model: Sequence[str] | None, of_call: Sequence[str] | None) -> list[str]:
    """The stop sequences of the model and of the call together, each once.

    An empty list in the call switches the model's off.
    """
    if of_call is not None and not of_call:
        return []
    return list(dict.fromkeys([*(of_model or ()), *(of_call or ())]))


def request_headers(
    payload: Json, native: frozenset[str], extra_parameters: str | None, deployment: str | None
) -> dict[str, str]:
    """The headers that follow from a payload.

    Args:
        payload: The request's JSON.
        native: Parameters that the endpoint accepts beyond the schema.
        extra_parameters: The user's own value of the header `extra-parameters`.
        deployment: The deployment behind an online endpoint that has several.
    """
    headers = {}
    if extra_parameters is not None:
        headers["extra-parameters"] = extra_parameters
    elif not SCHEMA.union(native).issuperset(payload):
        headers["extra-parameters"] = "pass-through"
    if deployment is not None:
        headers["azureml-model-deployment"] = deployment
    return headers
