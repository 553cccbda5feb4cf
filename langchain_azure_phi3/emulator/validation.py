"""A request body read the way the model server reads it: coerced, checked, refused.

The server's own schema is written in pydantic, and so is this one: that is why `"0.1"` is a
number, `null` is none, and the words of a 422 are pydantic's.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

from langchain_azure_phi3.emulator import native_tools, refusals
from langchain_azure_phi3.emulator.conversation import Picture, Turn
from langchain_azure_phi3.emulator.server_types import ChatPath, Dialect
from langchain_azure_phi3.emulator.images import size_in_data_url
from langchain_azure_phi3.emulator.models import ENGINE_PARAMETERS, EXTRA_MODES, Model
from langchain_azure_phi3.emulator.wire import Json, Request

_NATIVE = "native"  # the context in which the server takes tools and schemas


class _Text(BaseModel):
    type: Literal["text"]
    text: Annotated[str, Field(min_length=1)]


class _ImageUrl(BaseModel):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class _Image(BaseModel):
    type: Literal["image_url"]
    image_url: _ImageUrl


class _InputAudio(BaseModel):
    type: Literal["input_audio"]
    input_audio: dict[str, Any]


class _AudioUrl(BaseModel):
    type: Literal["audio_url"]
    audio_url: dict[str, Any]


_Part = Annotated[_Text | _Image | _InputAudio | _AudioUrl, Field(discriminator="type")]


class Message(BaseModel):
    """One message; other keys, such as `name`, are kept and mean nothing."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None


def _text_or_json(value: str, info: ValidationInfo) -> str:
    if info.context == _NATIVE and value == "json_schema":
        return value
    if value not in ("text", "json_object"):
        raise ValueError("type must be either 'text' or 'json_object'")
    return value


class ResponseFormat(BaseModel):
    """What the answer should be."""

    type: Annotated[str, AfterValidator(_text_or_json)]
    json_schema: Any = None


class ChatRequest(BaseModel):
    """The API's own fields; whatever else a body holds is an extra parameter."""

    model_config = ConfigDict(extra="allow")

    messages: Annotated[list[Message], Field(min_length=1)]
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
        """The strings that end the answer."""
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop


class Engine(BaseModel):
    """The extra parameters that reach the engine; the named ones change what it answers."""

    model_config = ConfigDict(extra="allow")

    n: Annotated[int, Field(ge=1, le=128)] = 1
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] = {}
    stream_options: dict[str, Any] = {}


def read(request: Request, path: ChatPath, *, native: bool = False) -> tuple[ChatRequest, Engine]:
    """The request's fields, and what of its extra parameters reaches the engine.

    Args:
        request: As it arrived.
        path: Where it arrived.
        native: Whether the server takes tools and schemas.

    Raises:
        Refused: With the answer that the server gives.
    """
    mode = _extra_mode(request, path)
    chat = _parsed(request, native=native)
    extras = dict(chat.model_extra or {})
    if native:
        fields = {"parallel_tool_calls": extras.pop("parallel_tool_calls", None)}
        fields |= chat.model_dump(include={"tools", "tool_choice", "response_format"})
        native_tools.check(fields, [message.model_dump() for message in chat.messages])
    elif chat.tools is not None or chat.tool_choice is not None:
        raise refusals.no_tools(engine_alone=path.extras == "pass-through")
    if "" in chat.stops:
        raise refusals.engine("stop cannot contain an empty string.")
    return chat, _engine(extras, mode)


def _extra_mode(request: Request, path: ChatPath) -> str:
    default = path.extras
    given = request.headers.get("extra-parameters")
    if given is None:
        return default
    if given in EXTRA_MODES:
        return given
    if path.lenient:
        return default
    raise refusals.detail(
        f"Unexpected EXTRA_PARAMETERS option {given}, expected options are {list(EXTRA_MODES)}"
    )


def _parsed(request: Request, *, native: bool) -> ChatRequest:
    body: Any = request.body.decode("utf-8", errors="replace")
    # FastAPI hands over as text what does not say that it is JSON.
    if "json" in request.headers.get("content-type", ""):
        try:
            body = json.loads(body)
        except json.JSONDecodeError as error:
            raise refusals.not_json(error) from error
    try:
        return ChatRequest.model_validate(body, context=_NATIVE if native else None)
    except ValidationError as error:
        raise refusals.invalid(_problems(error)) from error


def _problems(error: ValidationError) -> list[Json]:
    problems = []
    for problem in error.errors(include_url=False):
        fixed: Json = {**problem, "loc": ["body", *problem["loc"]]}
        if "ctx" in problem:
            # The context may hold the exception itself.
            fixed["ctx"] = {
                key: str(value) if isinstance(value, Exception) else value
                for key, value in problem["ctx"].items()
            }
        problems.append(fixed)
    return problems


def _engine(extras: Mapping[str, Any], mode: str) -> Engine:
    if mode == "error" and len(extras) > 0:
        raise refusals.detail(
            f"Extra parameters {list(extras)} are not allowed when extra-parameters is not set or "
            "set to be 'error'. Set extra-parameters to 'pass-through' to pass to the model."
        )
    if mode != "pass-through":
        return Engine()
    unknown = [
        {"type": "extra_forbidden", "loc": ("body", name), "msg": "Extra inputs are not permitted"}
        for name in extras
        if name not in ENGINE_PARAMETERS
    ]
    if len(unknown) > 0:
        raise refusals.engine(str(unknown))
    try:
        engine = Engine.model_validate({k: v for k, v in extras.items() if v is not None})
    except ValidationError as error:
        raise refusals.engine(str(_problems(error))) from error
    if engine.top_logprobs > 0 and not engine.logprobs:
        raise refusals.engine("when using `top_logprobs`, `logprobs` must be set to true.")
    return engine


def turns_of(
    chat: ChatRequest, model: Model, dialect: Dialect, *, native: bool = False
) -> tuple[Turn, ...]:
    """The turns that the model's template shows it; a server that takes tools shows them all.

    Raises:
        Refused: Something in them is not for this model.
    """
    turns = [_turn(message, model) for message in chat.messages]
    pictures = sum(len(turn.pictures) for turn in turns)
    if model.max_images is not None and pictures > model.max_images:
        raise refusals.engine(
            f"At most {model.max_images} image(s) may be provided in one request."
        )
    if native:
        return tuple(map(_with_tools, turns, _names_answered(chat), chat.messages))
    shown = model.roles | ({"system"} if dialect.system_as_user else set())
    return tuple(_translated(turn, model) for turn in turns if turn.role in shown)


def _translated(turn: Turn, model: Model) -> Turn:
    """With the role under which the model's template can show it."""
    if turn.role in model.roles:
        return turn
    return replace(turn, sent={**turn.sent, "role": "user"})


def _names_answered(chat: ChatRequest) -> list[str | None]:
    """For each message, the tool whose result it is."""
    names: dict[str, str] = {}
    found: list[str | None] = []
    for message in chat.messages:
        extra = message.model_extra or {}
        names |= {call["id"]: call["function"]["name"] for call in extra.get("tool_calls") or ()}
        # Of a result, the id was found among the calls before it.
        found.append(names[extra["tool_call_id"]] if message.role == "tool" else None)
    return found


def _with_tools(turn: Turn, answers: str | None, message: Message) -> Turn:
    calls = (message.model_extra or {}).get("tool_calls")
    return replace(turn, answers=answers, calls="" if not calls else json.dumps(calls))


def _turn(message: Message, model: Model) -> Turn:
    if message.content is None or isinstance(message.content, str):
        return Turn(
            message.role, message.content or "", sent=message.model_dump(exclude_unset=True)
        )
    texts = [part.text for part in message.content if isinstance(part, _Text)]
    images = [part.image_url.url for part in message.content if isinstance(part, _Image)]
    recordings = len(message.content) - len(texts) - len(images)
    for modality, count in (("image", len(images)), ("audio", recordings)):
        if count > 0 and modality not in model.takes:
            raise refusals.modality_not_supported(model.name, modality)
    pictures = tuple(_picture(url) for url in images)
    sent = message.model_dump(exclude_unset=True)
    return Turn(message.role, "\n".join(texts), pictures, recordings, sent=sent)


def _picture(url: str) -> Picture:
    if url.startswith(("http://", "https://")):
        return Picture(None)
    if not url.startswith("data:"):
        raise refusals.engine("Invalid 'image_url': it must start with 'data:' or 'http'.")
    try:
        return Picture(size_in_data_url(url))
    except ValueError as error:
        raise refusals.engine(f"Invalid image: {error}") from error
