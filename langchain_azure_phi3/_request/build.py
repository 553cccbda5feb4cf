"""Builds the request: settings, messages and a call's arguments in, the wire's JSON out. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import BaseMessage

from langchain_azure_phi3._request.conversation import ConversationOptions, to_wire_messages
from langchain_azure_phi3._request.parameters import (
    merge_stops,
    payload_fields,
    request_headers,
    validate_call,
)
from langchain_azure_phi3._request.score_route import to_score_request
from langchain_azure_phi3._tools.prompted import instructions as output_instructions
from langchain_azure_phi3._tools.tool_choice import OutputSpec, parse_output_spec
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.models import PhiModel, find_model
from langchain_azure_phi3.tokens import TokenCounter

OnContentFilter = Literal["raise", "return"]
SystemMessageMode = Literal["auto", "system", "user"]
ToolCalling = Literal["auto", "native", "prompted"]

_TEXT = OutputSpec()


@dataclass(frozen=True, slots=True)
class EndpointFeatures:
    """What the endpoint accepts, as far as it shapes a request.

    Attributes:
        name: What error messages call this type of endpoint.
        model_field: Whether `model` is sent: several servers answer 404 to an unexpected one.
        native_parameters: Parameters beyond the API's schema that need no extra header.
        has_tools: Whether it accepts `tools` for any model at all.
        converts_system_messages: Whether it turns system messages into user messages itself.
        is_score_route: Whether it is Azure Machine Learning's own `/score` route.
    """

    name: str = "endpoint"
    model_field: Literal["omitted", "optional", "required"] = "optional"
    native_parameters: frozenset[str] = frozenset()
    has_tools: bool = True
    converts_system_messages: bool = False
    is_score_route: bool = False


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """The settings of a model that shape its requests; the fields are the constructor's.

    Attributes:
        endpoint: What the endpoint accepts.
        parameters: The model's own sampling parameters, those that are set.
        resize_image: Applied to each image part, if given.
    """

    endpoint: EndpointFeatures = field(default_factory=EndpointFeatures)
    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stop: Sequence[str] | None = None
    response_format: Json | None = None
    extra_parameters: str | None = None
    deployment: str | None = None
    stream_usage: bool | None = None
    tool_calling: ToolCalling = "auto"
    system_message_mode: SystemMessageMode = "auto"
    max_corrections: int = 1
    fit_max_tokens: bool = False
    tokenizer: Any = None
    on_content_filter: OnContentFilter = "raise"
    resize_image: Callable[[Json], Json] | None = None

    def uses_native_tools(self, name: str | None, model: PhiModel | None) -> bool:
        """Whether tools and formats go on the wire; auto: for no Phi, since none is known to."""
        if self.tool_calling != "auto":
            return self.tool_calling == "native"
        if not self.endpoint.has_tools:
            return False
        return name is not None if model is None else model.native_tools


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request, and how to read its response.

    Attributes:
        payload: The chat completion's JSON, before a route's own form.
        headers: The headers that follow from the payload.
        model: The model's name where the response does not give one.
        output: The tools and the format that are requested by prompt; `None` where they go on the
            wire, or where there are none.
        tool_format: How the model writes tool calls.
        parses_reasoning: Whether the text may hold reasoning.
        max_corrections: How often a missing call or object is requested again.
        on_content_filter: Whether a filtered completion raises or is returned.
        is_score_route: Whether request and response have the form of the `/score` route.
    """

    payload: Json
    headers: Mapping[str, str]
    model: str | None = None
    output: OutputSpec | None = None
    tool_format: str = "plain"
    parses_reasoning: bool = False
    max_corrections: int = 0
    on_content_filter: OnContentFilter = "raise"
    is_score_route: bool = False

    def wire_payload(self, payload: Json) -> Json:
        """A payload in the form that the route expects."""
        return to_score_request(payload) if self.is_score_route else payload


def build_request(
    settings: RequestSettings,
    messages: Sequence[BaseMessage],
    call: Mapping[str, Any],
    *,
    stream: bool = False,
) -> ChatRequest:
    """The request for a conversation.

    Args:
        settings: The model's settings.
        messages: The conversation.
        call: The call's own arguments, which win over the model's.
        stream: Whether to request a stream.

    Raises:
        InvalidInputError: Something cannot be sent to this deployment.
        ContextLengthError: The conversation cannot fit into the model's context.
    """
    arguments = validate_call(call) if call else {}
    name = arguments.get("model") or settings.model
    model = find_model(name)
    is_native = settings.uses_native_tools(name, model)
    output = _output_spec(settings, arguments, name, is_native=is_native)
    tool_format = "plain" if model is None else model.tool_prompt
    payload: Json = {
        "messages": to_wire_messages(
            messages, _conversation_options(settings, model, output, is_native=is_native)
        ),
        **payload_fields(settings.parameters, arguments),
        **(output.native_fields if is_native else output.prompted_fields),
        **_model_field(settings.endpoint, name),
    }
    if stops := merge_stops(settings.stop, arguments.get("stop")):
        payload["stop"] = stops
    if stream:
        payload |= _stream_fields(settings, payload)
    counter = TokenCounter(model, settings.tokenizer)
    corrections = arguments.get("max_corrections")
    return ChatRequest(
        payload=counter.fit_max_tokens(payload, lower=settings.fit_max_tokens),
        headers=request_headers(
            payload,
            settings.endpoint.native_parameters,
            arguments.get("extra_parameters") or settings.extra_parameters,
            settings.deployment,
        ),
        model=name,
        output=None if is_native or output is _TEXT else output,
        tool_format=tool_format,
        parses_reasoning=model is None or model.reasoning,
        max_corrections=settings.max_corrections if corrections is None else corrections,
        on_content_filter=settings.on_content_filter,
        is_score_route=settings.endpoint.is_score_route,
    )


def count_prompt_tokens(
    settings: RequestSettings, messages: Sequence[BaseMessage], tools: Sequence[Json]
) -> int:
    """Tokens of a prompt as it would be sent, with the tools as they go to this deployment.

    Raises:
        InvalidInputError: The messages hold what the deployment does not accept.
    """
    model = find_model(settings.model)
    is_native = settings.uses_native_tools(settings.model, model)
    output = _output_spec(settings, {"tools": list(tools)}, settings.model, is_native=is_native)
    payload = {"messages": [], **(output.native_fields if is_native else {})}
    if messages or (tools and not is_native):
        options = _conversation_options(settings, model, output, is_native=is_native)
        payload["messages"] = to_wire_messages(messages, options)
    return TokenCounter(model, settings.tokenizer).count_prompt(payload)


def _output_spec(
    settings: RequestSettings, arguments: Mapping[str, Any], name: str | None, *, is_native: bool
) -> OutputSpec:
    tools = arguments.get("tools")
    response_format = arguments.get("response_format") or settings.response_format
    if not tools and response_format is None and arguments.get("tool_choice") is None:
        return _TEXT
    output = parse_output_spec(
        tools,
        arguments.get("tool_choice"),
        response_format,
        arguments.get("parallel_tool_calls"),
    )
    if output.requires_json and tools is None and not is_native:
        raise InvalidInputError(
            f"{name or 'A Phi deployment'} has no JSON mode: it would write empty lines until "
            "max_tokens, or hang. Use with_structured_output(...), or force it with "
            "model_extras={'response_format': ...}."
        )
    return output


def _conversation_options(
    settings: RequestSettings, model: PhiModel | None, output: OutputSpec, *, is_native: bool
) -> ConversationOptions:
    mode = settings.system_message_mode
    drops_system = model is not None and model.system_messages == "dropped"
    folds = drops_system and not settings.endpoint.converts_system_messages
    tool_format = "plain" if model is None else model.tool_prompt
    return ConversationOptions(
        model=model,
        tool_format=None if is_native else tool_format,
        instructions="" if is_native else output_instructions(output, tool_format),
        folds_system_messages=folds if mode == "auto" else mode == "user",
        resize_image=settings.resize_image,
    )


def _model_field(endpoint: EndpointFeatures, name: str | None) -> Json:
    if endpoint.model_field == "required" and name is None:
        raise InvalidInputError(
            f"A {endpoint.name} needs model=, the name of the deployment to call."
        )
    return {} if endpoint.model_field == "omitted" or name is None else {"model": name}


def _stream_fields(settings: RequestSettings, payload: Json) -> Json:
    if payload.get("n", 1) != 1:
        raise InvalidInputError(
            "A stream carries one completion: use generate() for n > 1, or leave n out."
        )
    if "stream_options" in payload:
        return {"stream": True}
    is_native = "stream_options" in settings.endpoint.native_parameters
    wants_usage = is_native if settings.stream_usage is None else settings.stream_usage
    return {"stream": True, **({"stream_options": {"include_usage": True}} if wants_usage else {})}
