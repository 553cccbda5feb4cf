"""Builds a request's JSON from settings, messages and a call's arguments. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_core.messages import BaseMessage

from langchain_azure_phi3._request.constraints import (
    ConstrainedDecoding,
    Constraint,
    Forms,
    find_attempts,
    find_constraint,
)
from langchain_azure_phi3._request.conversation import ConversationOptions, to_wire_messages
from langchain_azure_phi3._request.parameters import validate_call
from langchain_azure_phi3._request.reasoning import (
    Reasoning,
    append_reasoning_token,
    reasoning_fields,
    will_reason,
)
from langchain_azure_phi3._request.score_route import to_score_request
from langchain_azure_phi3._request.text_escaping import escape_placeholders, may_take_media
from langchain_azure_phi3._tools.control_tokens import (
    ControlTokens,
    escape_answer,
    escape_control_tokens,
    escape_strings,
)
from langchain_azure_phi3._tools.tool_choice import OutputSpec, parse_output_spec
from langchain_azure_phi3._tools.tool_prompt import output_instructions
from langchain_azure_phi3._types import DeploymentFacts, Json, ShowHeaders
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.models import PhiModel, find_model
from langchain_azure_phi3.tokens import TokenCounter

OnContentFilter = Literal["raise", "return"]
SystemMessageMode = Literal["auto", "system", "user"]
ToolCalling = Literal["auto", "native", "prompted"]

_NO_OUTPUT_SPEC = OutputSpec()

# The request's schema in the Azure AI Model Inference API. Everything else is an "extra
# parameter", rejected with 400 unless the header extra-parameters allows it.
_SCHEMA = frozenset(
    {"messages", "model", "stream", "stop", "temperature", "top_p", "max_tokens", "seed"}
    | {"presence_penalty", "frequency_penalty", "response_format", "tools", "tool_choice"}
)
# Fields that only the package itself sets.
_RESERVED = frozenset({"messages", "stream"})

# Arguments of a call that are not fields of the payload.
_NOT_FIELDS = frozenset(
    {"model", "model_extras", "extra_parameters", "stop", "stream", "max_corrections"}
    | {"tools", "tool_choice", "parallel_tool_calls", "response_format", "constrained_schema"}
)


@dataclass(frozen=True, slots=True)
class EndpointFeatures:
    """The properties of an endpoint that affect a request.

    Attributes:
        name: The name of this endpoint type in error messages.
        model_field: Whether `model` is sent: several servers return 404 for an unexpected one.
        native_parameters: Parameters beyond the API's schema that need no extra header.
        has_tools: Whether it accepts `tools` for any model.
        converts_system_messages: Whether it turns system messages into user messages itself.
        is_score_route: Whether it is Azure Machine Learning's own `/score` route.
        constraints: Parameters that constrain a response to a schema; each server accepts one.
        has_reasoning_switch: Whether it passes `chat_template_kwargs` to the chat template.
    """

    name: str = "endpoint"
    model_field: Literal["omitted", "optional", "required"] = "optional"
    native_parameters: frozenset[str] = frozenset()
    has_tools: bool = True
    converts_system_messages: bool = False
    is_score_route: bool = False
    constraints: Forms = ()
    has_reasoning_switch: bool = False


def _no_facts(_model: str | None) -> DeploymentFacts:
    return DeploymentFacts()


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """The settings of a model that affect its requests; the fields are the constructor's.

    Attributes:
        endpoint: The properties of the endpoint.
        find_facts: Returns the facts that the server reported about a deployment, by `model`.
        parameters: The model's own sampling parameters that are set.
        resize_image: Applied to each image part, if given.
        show_headers: Returns a response's headers without secrets; `None` to leave them out.
    """

    endpoint: EndpointFeatures = field(default_factory=EndpointFeatures)
    find_facts: Callable[[str | None], DeploymentFacts] = _no_facts
    model: str | None = None
    base_model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stop: Sequence[str] | None = None
    response_format: Json | None = None
    extra_parameters: str | None = None
    deployment: str | None = None
    stream_usage: bool | None = None
    tool_calling: ToolCalling = "auto"
    constrained_decoding: ConstrainedDecoding = "auto"
    reasoning: Reasoning = "auto"
    system_message_mode: SystemMessageMode = "auto"
    control_tokens: ControlTokens = "escape"
    max_corrections: int = 1
    fit_max_tokens: bool = False
    tokenizer: Any = None
    on_content_filter: OnContentFilter = "raise"
    resize_image: Callable[[Json], Json] | None = None
    show_headers: ShowHeaders | None = None

    def find_phi(self, name: str | None) -> PhiModel | None:
        """Return the Phi behind a name; `None` if it is unknown."""
        known = self.base_model if self.base_model is not None and name == self.model else name
        return find_model(known) or find_model(self.find_facts(name).model)

    def uses_native_tools(self, model: PhiModel | None) -> bool:
        """Whether tools and formats are native; auto: only if a Phi is known to support them.

        An unknown name counts as a deployment of some Phi.
        """
        if self.tool_calling != "auto":
            return self.tool_calling == "native"
        if model is None or not self.endpoint.has_tools:
            return False
        return model.native_tools or self.endpoint.name in model.native_tools_on

    def uses_native_schemas(self, model: PhiModel | None) -> bool:
        """Whether `with_structured_output` sends the schema natively instead of in the prompt.

        Not if only tools are known to be native, because a small model needs to see the schema.
        """
        takes_all = self.tool_calling == "native" or (model is not None and model.native_tools)
        return takes_all and self.uses_native_tools(model)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request, and the settings to read its response.

    Attributes:
        payload: The chat completion's JSON, before it is converted for a route.
        headers: The headers that the payload requires.
        model: The name of the model or deployment, if there is one.
        phi: The Phi; `None` if it is unknown.
        facts: The facts that the server reported about the deployment; filled in from responses.
        max_prompt_tokens: An upper bound of the lowest estimate of the prompt's tokens; `None` if
            they must be counted.
        output: The tools and the format to parse from the response's text: those in the prompt, and
            native tools; `None` without any.
        has_native_output: Whether they are native; then, nothing is corrected.
        constraint: The schema of the response's text and how to request it; `None` if any text is
            acceptable, or if the server cannot constrain it.
        max_corrections: How often a missing call or object is requested again.
        on_content_filter: Whether a filtered completion raises or is returned.
        is_score_route: Whether request and response have the form of the `/score` route.
        control_tokens: Whether control tokens are escaped in the request.
        show_headers: Returns a response's headers without secrets; `None` to leave them out.
    """

    payload: Json
    headers: Mapping[str, str]
    model: str | None = None
    phi: PhiModel | None = None
    facts: DeploymentFacts = field(default_factory=DeploymentFacts)
    max_prompt_tokens: int | None = None
    output: OutputSpec | None = None
    has_native_output: bool = False
    constraint: Constraint | None = None
    max_corrections: int = 0
    on_content_filter: OnContentFilter = "raise"
    is_score_route: bool = False
    control_tokens: ControlTokens = "escape"
    show_headers: ShowHeaders | None = None

    @property
    def tool_format(self) -> str:
        """The format in which the model writes tool calls."""
        return "plain" if self.phi is None else self.phi.tool_prompt

    @property
    def parses_reasoning(self) -> bool:
        """Whether the text may contain reasoning."""
        return self.phi is None or self.phi.reasoning

    def escape_answer(self, text: str) -> str:
        """Escape the model's own text before it is sent back: it may repeat a document."""
        if self.control_tokens == "escape":
            text = escape_answer(text)
        return escape_placeholders(text) if may_take_media(self.phi) else text

    def wire_payload(self, payload: Json) -> Json:
        """Convert a payload to the form that the route expects."""
        return to_score_request(payload) if self.is_score_route else payload


def build_request(
    settings: RequestSettings,
    messages: Sequence[BaseMessage],
    call: Mapping[str, Any],
    *,
    stream: bool = False,
) -> ChatRequest:
    """Build the request for a conversation.

    Args:
        settings: The model's settings.
        messages: The conversation.
        call: The call's arguments, which override the model's.
        stream: Whether to request a stream.

    Raises:
        InvalidInputError: The deployment does not support a part of the request.
        ContextLengthError: The conversation cannot fit into the model's context.
    """
    arguments = validate_call(call) if call else {}
    name = arguments.get("model") or settings.model
    model = settings.find_phi(name)
    is_native = settings.uses_native_tools(model)
    has_output = bool(arguments) or settings.response_format is not None
    attempts = _constraint_attempts(settings, arguments, model) if has_output else ()
    is_json_available = is_native or bool(attempts)
    output = _output_spec(settings, arguments, name, is_json_available=is_json_available)
    conversation = to_wire_messages(
        messages, _conversation_options(settings, model, output, is_native=is_native)
    )
    payload: Json = {
        "messages": conversation.messages,
        **payload_fields(settings.parameters, arguments),
        **_model_field(settings.endpoint, name),
    }
    if settings.reasoning != "auto":
        payload = _switch_reasoning(payload, settings, model)
    if output is not _NO_OUTPUT_SPEC:
        payload |= _native_fields(settings, model, output) if is_native else output.prompted_fields
    constraint = None
    if attempts and (not is_native or "constrained_schema" in arguments):
        constraint = _find_constraint(settings, arguments, output, payload, model, attempts)
    stop = arguments.get("stop")
    if (settings.stop or stop) and (stops := merge_stops(settings.stop, stop)):
        payload["stop"] = stops
    if stream:
        payload |= _stream_fields(settings, payload)
    corrections = arguments.get("max_corrections")
    return ChatRequest(
        payload=payload,
        headers=request_headers(
            payload,
            settings.endpoint.native_parameters,
            arguments.get("extra_parameters") or settings.extra_parameters,
            settings.deployment,
        ),
        model=name,
        phi=model,
        facts=settings.find_facts(name),
        max_prompt_tokens=None if "tools" in payload else conversation.max_tokens,
        output=None if output is _NO_OUTPUT_SPEC else _parsed_output(output, is_native=is_native),
        max_corrections=settings.max_corrections if corrections is None else corrections,
        has_native_output=is_native,
        constraint=constraint,
        on_content_filter=settings.on_content_filter,
        show_headers=settings.show_headers,
        is_score_route=settings.endpoint.is_score_route,
        control_tokens=settings.control_tokens,
    )


def fit_to_context(request: ChatRequest, settings: RequestSettings) -> ChatRequest:
    """Check that the prompt fits, and lower `max_tokens` to the rest if `fit_max_tokens` is on.

    Raises:
        ContextLengthError: The prompt cannot fit into the model's context.
    """
    context, tokens = request.facts.context, request.max_prompt_tokens
    if context is None and request.phi is not None:
        context = request.phi.context
    if context is None:
        return request
    if tokens is not None and tokens < context and not settings.fit_max_tokens:
        return request
    counter = TokenCounter(request.phi, settings.tokenizer, context)
    payload = counter.fit_max_tokens(request.payload, lower=settings.fit_max_tokens)
    return replace(request, payload=payload)


def _output_spec(
    settings: RequestSettings,
    arguments: Mapping[str, Any],
    name: str | None,
    *,
    is_json_available: bool,
) -> OutputSpec:
    tools = arguments.get("tools")
    response_format = arguments.get("response_format") or settings.response_format
    if not tools and response_format is None and arguments.get("tool_choice") is None:
        return _NO_OUTPUT_SPEC
    output = parse_output_spec(
        tools,
        arguments.get("tool_choice"),
        response_format,
        arguments.get("parallel_tool_calls"),
    )
    if output.requires_json and tools is None and not is_json_available:
        raise InvalidInputError(
            f"{name or 'A Phi deployment'} has no JSON mode: it would write empty lines until "
            "max_tokens, or hang. Use with_structured_output(...), or force it with "
            "model_extras={'response_format': ...}."
        )
    return output


def _constraint_attempts(
    settings: RequestSettings, arguments: Mapping[str, Any], model: PhiModel | None
) -> tuple[Forms, ...]:
    header = arguments.get("extra_parameters") or settings.extra_parameters
    if settings.endpoint.is_score_route:  # it does not pass on these parameters
        return ()
    attempts = find_attempts(
        settings.constrained_decoding,
        settings.endpoint.constraints,
        is_reasoning=will_reason(settings.reasoning, model),
    )
    if header in (None, "pass-through"):
        return attempts
    return tuple(forms for forms in attempts if forms == ("response_format",))


def _find_constraint(
    settings: RequestSettings,
    arguments: Mapping[str, Any],
    output: OutputSpec,
    payload: Json,
    model: PhiModel | None,
    attempts: tuple[Forms, ...],
) -> Constraint | None:
    found = find_constraint(
        attempts,
        output,
        arguments.get("constrained_schema"),
        payload,
        tool_format="plain" if model is None else model.tool_prompt,
        takes_json_object="response_format" in settings.endpoint.constraints,
    )
    if found is None or settings.control_tokens == "keep":
        return found
    return replace(found, schema=escape_strings(found.schema))  # as in the prompt


def _switch_reasoning(payload: Json, settings: RequestSettings, model: PhiModel | None) -> Json:
    endpoint = settings.endpoint
    fields = reasoning_fields(
        settings.reasoning,
        model,
        endpoint=endpoint.name,
        has_switch=endpoint.has_reasoning_switch and not endpoint.is_score_route,
    )
    messages = append_reasoning_token(payload["messages"], settings.reasoning, model)
    return {**fields, **payload, "messages": messages}


def _parsed_output(output: OutputSpec, *, is_native: bool) -> OutputSpec | None:
    """Return the tools and the format to look for in the response's text.

    Servers with native tools leave some calls in the text: Foundry Local in streams and with
    `tool_choice="auto"` (foundry-local#874), vLLM if its parser misses them.
    """
    if not is_native:
        return output
    return replace(output, response_format=None) if output.tools else None


def _native_fields(settings: RequestSettings, model: PhiModel | None, output: OutputSpec) -> Json:
    fields = dict(output.native_fields)
    if "tools" in fields and settings.control_tokens == "escape":
        fields["tools"] = escape_strings(fields["tools"])
    if "tools" in fields and may_take_media(model):
        fields["tools"] = escape_strings(fields["tools"], escape_placeholders)
    return fields


def _conversation_options(
    settings: RequestSettings, model: PhiModel | None, output: OutputSpec, *, is_native: bool
) -> ConversationOptions:
    tool_format = "plain" if model is None else model.tool_prompt
    is_prompted = not is_native and output is not _NO_OUTPUT_SPEC
    escape = escape_control_tokens if settings.control_tokens == "escape" else str
    return ConversationOptions(
        model=model,
        tool_format=None if is_native else tool_format,
        instructions=output_instructions(output, tool_format, escape) if is_prompted else "",
        folds_system_messages=folds_system_messages(
            settings.system_message_mode, model, converts=settings.endpoint.converts_system_messages
        ),
        control_tokens=settings.control_tokens,
        resize_image=settings.resize_image,
    )


def folds_system_messages(
    mode: SystemMessageMode, model: PhiModel | None, *, converts: bool
) -> bool:
    """Whether system messages are merged into the next user message.

    Auto: if the chat template drops them, unless the service converts them itself.
    """
    if mode != "auto":
        return mode == "user"
    return not converts and model is not None and model.system_message_support == "dropped"


def _model_field(endpoint: EndpointFeatures, name: str | None) -> Json:
    if endpoint.model_field == "required" and name is None:
        raise InvalidInputError(
            f"The {endpoint.name} needs model=, the name of the deployment to call."
        )
    return {} if endpoint.model_field == "omitted" or name is None else {"model": name}


def _stream_fields(settings: RequestSettings, payload: Json) -> Json:
    if payload.get("n", 1) != 1:
        raise InvalidInputError(
            "A stream has one completion. Use generate() for n > 1, or leave n out."
        )
    if "stream_options" in payload:
        return {"stream": True}
    is_native = "stream_options" in settings.endpoint.native_parameters
    wants_usage = is_native if settings.stream_usage is None else settings.stream_usage
    return {"stream": True, **({"stream_options": {"include_usage": True}} if wants_usage else {})}


def payload_fields(defaults: Mapping[str, Any], call: Mapping[str, Any]) -> Json:
    """Return the payload's fields except messages; the call's override the model's; no nulls.

    Raises:
        InvalidInputError: Two of them contradict each other, or `model_extras` sets a reserved one.
    """
    fields: Json = {}
    extras: Json = {}
    for parameters in (defaults, call):
        for key, value in parameters.items():
            if key == "model_extras":
                extras |= value or {}
            elif value is not None and key not in _NOT_FIELDS:
                fields[key] = value
    if reserved := _RESERVED & extras.keys():
        raise InvalidInputError(f"model_extras cannot set {', '.join(sorted(reserved))}.")
    if fields.get("top_logprobs") is not None and not fields.get("logprobs"):
        raise InvalidInputError("top_logprobs needs logprobs=True.")
    # The user's own extras are sent unchanged, nulls included.
    return fields | extras


def merge_stops(of_model: Sequence[str] | None, of_call: Sequence[str] | None) -> list[str]:
    """Combine the stop sequences of the model and of the call, without duplicates.

    An empty list in the call disables the model's.
    """
    if of_call is not None and not of_call:
        return []
    return list(dict.fromkeys([*(of_model or ()), *(of_call or ())]))


def request_headers(
    payload: Json, native: frozenset[str], extra_parameters: str | None, deployment: str | None
) -> dict[str, str]:
    """Return the headers that a payload requires.

    Args:
        payload: The request's JSON.
        native: Parameters that the endpoint accepts beyond the schema.
        extra_parameters: The user's own value of the header `extra-parameters`.
        deployment: The deployment to use on an online endpoint that has several.
    """
    headers = {}
    if extra_parameters is not None:
        headers["extra-parameters"] = extra_parameters
    elif not _SCHEMA.union(native).issuperset(payload):
        headers["extra-parameters"] = "pass-through"
    if deployment is not None:
        headers["azureml-model-deployment"] = deployment
    return headers
