"""Validates requests: coerces, checks and rejects values as the model server does.

The server's own schema is written in pydantic, and so is this one. Therefore `"0.1"` is a valid
number, and the text of a 422 is pydantic's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import to_jsonable_python

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator import error_bodies, native_tools
from langchain_azure_phi3.emulator.conversation import Image, Message
from langchain_azure_phi3.emulator.images import data_url_size
from langchain_azure_phi3.emulator.models import Model
from langchain_azure_phi3.emulator.server_types import ChatPath, ConstraintMode, ServerType
from langchain_azure_phi3.emulator.wire import Request, parse_json

_NO_TOOL_PARSER = (
    '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
)
_EXTRA_PARAMETER_MODES = ("error", "drop", "pass-through")

# Fields that the engine (vLLM 0.5) accepts besides the API's own.
_ENGINE_PARAMETERS = frozenset(
    {
        *("best_of", "echo", "ignore_eos", "length_penalty", "logit_bias", "logprobs"),
        *("max_completion_tokens", "min_p", "min_tokens", "n", "parallel_tool_calls"),
        *("repetition_penalty", "skip_special_tokens", "stream_options", "top_k", "top_logprobs"),
        *("use_beam_search", "user"),
    }
)


class _TextPart(BaseModel):
    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]


class _ImageUrl(BaseModel):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class _ImagePart(BaseModel):
    type: Literal["image_url"]
    image_url: _ImageUrl


class _InputAudioPart(BaseModel):
    type: Literal["input_audio"]
    input_audio: dict[str, Any]


class _AudioUrlPart(BaseModel):
    type: Literal["audio_url"]
    audio_url: dict[str, Any]


_Part = Annotated[
    _TextPart | _ImagePart | _InputAudioPart | _AudioUrlPart, Field(discriminator="type")
]


class ChatMessage(BaseModel):
    """One message. Other keys, such as `name`, are kept and ignored."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "user", "assistant", "tool"]
    content: str | Annotated[list[_Part], Field(fail_fast=True)] | None = None


def _check_format_type(value: str, info: ValidationInfo) -> str:
    if value == "json_schema" and info.context != "reject":
        return value
    if value not in ("text", "json_object"):
        raise ValueError("type must be either 'text' or 'json_object'")
    return value


class ResponseFormat(BaseModel):
    """The format of the response."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, AfterValidator(_check_format_type)]
    json_schema: Any = None


class ChatRequest(BaseModel):
    """The API's own fields. All other fields are extra parameters."""

    model_config = ConfigDict(extra="allow")

    messages: Annotated[list[ChatMessage], Field(min_length=1, fail_fast=True)]
    model: str | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] = 0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] = 0
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.7
    top_p: Annotated[float, Field(ge=0, le=1)] = 1
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    stream: bool = False
    response_format: ResponseFormat | None = None
    tools: Any = None
    tool_choice: Any = None

    @property
    def stops(self) -> list[str]:
        """The strings that end the response."""
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop


class EngineParameters(BaseModel):
    """The extra parameters that reach the engine. The declared ones change the response."""

    model_config = ConfigDict(extra="allow")

    n: Annotated[int, Field(ge=1, le=128)] = 1
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] = {}
    stream_options: dict[str, Any] = {}


def parse_chat_request(
    request: Request, path: ChatPath, *, native: bool = False
) -> tuple[ChatRequest, EngineParameters]:
    """Parse a request into its fields and the extra parameters that reach the engine.

    An invalid one raises an `ApiError`. `native`: whether the server accepts tools and schemas.
    """
    mode = _extra_parameter_mode(request, path)
    chat = _parse_body(request, path.constraints.json_schema)
    extras = dict(chat.model_extra or {})
    if native:
        fields = {"parallel_tool_calls": extras.pop("parallel_tool_calls", None)}
        fields |= chat.model_dump(include={"tools", "tool_choice", "response_format"})
        native_tools.check(fields, [message.model_dump() for message in chat.messages])
    elif chat.tools is not None or chat.tool_choice is not None:
        if path.extra_parameters == "pass-through":  # PhiCookBook#289
            raise error_bodies.engine_error(_NO_TOOL_PARSER)
        raise error_bodies.fixed_error("tools_not_supported")
    if "" in chat.stops:
        raise error_bodies.engine_error("stop cannot contain an empty string.")
    return chat, _parse_extras(extras, mode, path)


def _extra_parameter_mode(request: Request, path: ChatPath) -> str:
    default = path.extra_parameters
    header = request.headers.get("extra-parameters")
    if header is None:
        return default
    if header in _EXTRA_PARAMETER_MODES:
        return header
    if path.ignores_invalid_header:
        return default
    raise error_bodies.bad_request(
        f"Unexpected EXTRA_PARAMETERS option {header}, expected options are "
        f"{list(_EXTRA_PARAMETER_MODES)}"
    )


def _parse_body(request: Request, json_schema: ConstraintMode) -> ChatRequest:
    # FastAPI passes a body on as text unless its content type is JSON.
    is_json = "json" in request.headers.get("content-type", "")
    try:
        body = parse_json(request.body) if is_json else request.body.decode("utf-8", "replace")
    except json.JSONDecodeError as error:
        raise error_bodies.invalid_json(error) from error
    except (ValueError, RecursionError) as error:
        raise error_bodies.bad_request("There was an error parsing the body") from error
    try:
        return ChatRequest.model_validate(body, context=json_schema)
    except ValidationError as error:
        raise error_bodies.validation_failed(_format_problems(error)) from error


def _format_problems(error: ValidationError) -> list[Json]:
    # The context of a problem may contain the exception itself.
    problems = to_jsonable_python(error.errors(include_url=False), fallback=str)
    return [{**problem, "loc": ["body", *problem["loc"]]} for problem in problems]


def _parse_extras(extras: Mapping[str, Any], mode: str, path: ChatPath) -> EngineParameters:
    if mode == "error" and len(extras) > 0:
        raise error_bodies.bad_request(
            f"Extra parameters {list(extras)} are not allowed when extra-parameters is not set or "
            "set to be 'error'. Set extra-parameters to 'pass-through' to pass to the model."
        )
    if mode != "pass-through":
        return EngineParameters()
    unknown = [
        {"type": "extra_forbidden", "loc": ("body", name), "msg": "Extra inputs are not permitted"}
        for name in extras
        if _is_forbidden(name, path)
    ]
    if len(unknown) > 0:
        raise error_bodies.engine_error(str(unknown))
    try:
        engine = EngineParameters.model_validate(
            {name: value for name, value in extras.items() if value is not None}
        )
    except ValidationError as error:
        raise error_bodies.engine_error(str(_format_problems(error))) from error
    if engine.top_logprobs > 0 and not engine.logprobs:
        raise error_bodies.engine_error(
            "when using `top_logprobs`, `logprobs` must be set to true."
        )
    return engine


def _is_forbidden(name: str, path: ChatPath) -> bool:
    if name.startswith("guided_"):
        return path.constraints.guided == "reject"
    if name == "structured_outputs":
        return path.constraints.structured_outputs == "reject"
    return name not in _ENGINE_PARAMETERS and not path.ignores_unknown


def read_messages(
    chat: ChatRequest, model: Model, server: ServerType, *, native: bool = False
) -> tuple[Message, ...]:
    """Return the messages that the model's template shows. A server that accepts tools shows all.

    A message that the model does not accept raises an `ApiError`.
    """
    messages = [_read_message(message, model) for message in chat.messages]
    image_count = sum(len(message.images) for message in messages)
    if model.max_images is not None and image_count > model.max_images:
        raise error_bodies.engine_error(
            f"At most {model.max_images} image(s) may be provided in one request."
        )
    if native:
        return _with_tools(messages)
    shown = model.roles | ({"system"} if server.converts_system_messages else set())
    return tuple(
        # A role that the template does not show becomes `user`.
        message
        if message.role in model.roles
        else replace(message, payload={**message.payload, "role": "user"})
        for message in messages
        if message.role in shown
    )


def _with_tools(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Add the tool calls of messages, and the tool names of results."""
    names: dict[str, str] = {}
    found = []
    for message in messages:
        calls = message.payload.get("tool_calls") or ()
        names |= {call["id"]: call["function"]["name"] for call in calls}
        # Validation has ensured that each result follows its call.
        name = names[message.payload["tool_call_id"]] if message.role == "tool" else None
        calls_json = json.dumps(calls) if len(calls) > 0 else ""
        found.append(replace(message, tool_name=name, tool_calls=calls_json))
    return tuple(found)


def _read_message(message: ChatMessage, model: Model) -> Message:
    payload = message.model_dump(exclude_unset=True)
    if message.content is None or isinstance(message.content, str):
        return Message(message.role, message.content or "", payload=payload)
    texts = [part.text for part in message.content if isinstance(part, _TextPart)]
    urls = [part.image_url.url for part in message.content if isinstance(part, _ImagePart)]
    audio_count = len(message.content) - len(texts) - len(urls)
    for modality, count in (("image", len(urls)), ("audio", audio_count)):
        if count > 0 and modality not in model.modalities:
            raise error_bodies.modality_not_supported(model.name, modality)
    images = tuple(_read_image(url) for url in urls)
    return Message(message.role, "\n".join(texts), images, audio_count, payload=payload)


def _read_image(url: str) -> Image:
    if url.startswith(("http://", "https://")):
        return Image(None)
    if not url.startswith("data:"):
        raise error_bodies.engine_error(
            "Invalid 'image_url': it must start with 'data:' or 'http'."
        )
    try:
        return Image(data_url_size(url))
    except ValueError as error:
        raise error_bodies.engine_error(f"Invalid image: {error}") from error
