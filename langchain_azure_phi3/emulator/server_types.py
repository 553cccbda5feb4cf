"""The server types that the emulator can imitate, with their differences as data.

Sources: the source of Azure's model server (azureml-assets, `foundation-model-inference` 0.1.8 to
0.2.58 and `foundation-model-serve`), Azure's how-tos and API references, and captures in public
issues, which are named where they are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

ServerTypeName = Literal[
    "serverless",
    "managed-2024-05",
    "managed-2024-06",
    "managed-2025-01",
    "managed-2026-07",
    "foundation-model-serve",
    "foundry",
    "openai-v1",
    "azure-openai",
    "openai-server",
    "vllm",
    "llama.cpp",
    "ollama",
]
FilterErrorFormat = Literal["nested", "flat", "detailed", "managed", "managed-flat"]
StreamUsage = Literal["finish", "separate", "every", "none"]
ErrorFormat = Literal["plain", "wrapped", "openai", "llama.cpp", "ollama"]
Engine = Literal["vllm", "llama.cpp", "ollama"]
AuthMode = Literal["serverless", "managed", "foundry", "server", "open"]
ConstraintMode = Literal["enforce", "ignore", "reject"]


class ConstraintModes(NamedTuple):
    """How a server treats two types of `response_format`, and vLLM's parameters."""

    json_object: ConstraintMode
    json_schema: ConstraintMode
    guided: ConstraintMode
    structured_outputs: ConstraintMode


# Azure's model server rejects `json_schema` itself. vLLM dropped `guided_*` in version 0.12, and up
# to 0.6.1 it rejects unknown parameters such as `structured_outputs`.
_UNSUPPORTED = ConstraintModes("reject", "reject", "ignore", "reject")
_OLD_ENGINE = ConstraintModes("enforce", "reject", "enforce", "reject")
_NEW_ENGINE = ConstraintModes("enforce", "reject", "ignore", "enforce")
_VLLM = ConstraintModes("enforce", "enforce", "ignore", "enforce")
_OPENAI_SERVER = ConstraintModes("enforce", "enforce", "ignore", "ignore")


@dataclass(frozen=True, slots=True)
class ChatPath:
    """The rules of one path for chat completions."""

    extra_parameters: str  # unless the header says otherwise: "error", "drop" or "pass-through"
    ignores_invalid_header: bool = False
    returns_logprobs: bool = True  # as the engine does
    ignores_unknown: bool = False  # parameters, which other engines reject
    constraints: ConstraintModes = _UNSUPPORTED


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerType:
    """How one type of server behaves."""

    name: str  # as users write it
    base_path: str = ""  # `{model}` is the name of the first model
    chat_paths: Mapping[str, ChatPath]  # `{model}` is the name of any model
    auth: AuthMode
    info_path: str | None = None  # the route that returns the model's name
    info_model_type: str = "chat-completion"
    info_provider: str = "microsoft"
    info_requires_deployment: bool = False  # in the query, as `model_deployment`
    # The model's name in responses: as in Azure's how-tos, the registry, its path, or requests.
    model_naming: Literal["info", "registry", "path", "request"] = "info"
    engine: Engine | None = None  # which adds its own fields to responses
    model_field: Literal["ignored", "checked", "required"] = "ignored"
    requires_api_version: bool = False
    error_format: ErrorFormat = "plain"
    wraps_424: bool = False  # a gateway turns each error of the container into a 424
    appends_help_link: bool = False  # a gateway appends a link to each error
    score_format: Literal["none", "text", "full"] = "none"  # "none": no such route
    models_path: str | None = None  # the route that lists the models
    supports_streaming: bool = True  # otherwise it ignores `stream`
    sends_finish_reason: bool = True  # in complete responses
    masks_engine_errors: bool = False  # as filtered responses
    stream_usage: StreamUsage = "none"
    filter_error_format: FilterErrorFormat = "nested"
    default_max_tokens: int | None = None  # `None`: the model's limit
    converts_system_messages: bool = False  # to user messages, if the template drops them


def _managed(name: str, chat_paths: Mapping[str, ChatPath], **differences: object) -> ServerType:
    common: dict[str, object] = {
        "auth": "managed",
        "model_naming": "registry",
        "wraps_424": True,
        "appends_help_link": True,
        "score_format": "text",
        "filter_error_format": "managed-flat",
    }
    return ServerType(name=name, chat_paths=chat_paths, **(common | differences))  # type: ignore[arg-type]


_OPENAI_PATH = ChatPath("pass-through", ignores_invalid_header=True)


def _openai(
    name: str,
    base_path: str,
    auth: AuthMode,
    path: ChatPath = _OPENAI_PATH,
    **differences: object,
) -> ServerType:
    common: dict[str, object] = {
        "base_path": base_path,
        "chat_paths": {f"{base_path}/chat/completions": path},
        "model_field": "required",
        "error_format": "openai",
        "filter_error_format": "detailed",
    }
    return ServerType(name=name, auth=auth, **(common | differences))  # type: ignore[arg-type]


def _own(
    name: str, constraints: ConstraintModes = _OPENAI_SERVER, **differences: object
) -> ServerType:
    path = replace(_OPENAI_PATH, ignores_unknown=True, constraints=constraints)
    common = {"auth": "open", "models_path": "/v1/models", "model_naming": "request"}
    return _openai(name, "/v1", path=path, **(common | differences))  # type: ignore[arg-type]


# The server's response model has no log-probabilities, so it drops the engine's.
_STRICT = ChatPath("error", returns_logprobs=False, constraints=_OLD_ENGINE)
_LENIENT = replace(_STRICT, extra_parameters="drop", ignores_invalid_header=True)
_WRAPPED: Any = {"error_format": "wrapped", "filter_error_format": "managed"}
_NEW: Any = {"ignores_unknown": True, "constraints": _NEW_ENGINE}

_ROWS = (
    ServerType(
        name="serverless",
        # The model server's source: only the route without /v1 rejects extra parameters.
        chat_paths={
            "/chat/completions": ChatPath("error"),
            "/v1/chat/completions": ChatPath("drop", ignores_invalid_header=True),
        },
        auth="serverless",
        info_path="/info",
        info_model_type="chat-completions",
        info_provider="Microsoft",
        stream_usage="finish",  # as Azure's how-to of 2024-07-23 shows it
        # "System messages are translated to user messages" (the same how-to).
        converts_system_messages=True,
    ),
    # Version 0.1.8: no /info, no /chat/completions, and it ignores `stream`.
    _managed(
        "managed-2024-05",
        {"/v1/chat/completions": _LENIENT},
        model_naming="path",
        supports_streaming=False,
        sends_finish_reason=False,
        masks_engine_errors=True,
    ),
    # Versions 0.2.1 to 0.2.6, which Azure's registry names for Phi-3.
    _managed("managed-2024-06", {"/chat/completions": _STRICT}, info_path="/info"),
    # Version 0.2.16.
    _managed(
        "managed-2025-01",
        {"/chat/completions": _STRICT},
        info_path="/info",
        **_WRAPPED,
    ),
    # Version 0.2.58.
    _managed(
        "managed-2026-07",
        {
            "/chat/completions": replace(_STRICT, **_NEW),
            "/v1/chat/completions": replace(_LENIENT, **_NEW),
        },
        info_path="/info",
        **_WRAPPED,
    ),
    # It passes other paths on to the engine, and does not have /info.
    _managed(
        "foundation-model-serve",
        {
            "/chat/completions": replace(_STRICT, extra_parameters="pass-through", **_NEW),
            "/v1/chat/completions": replace(_OPENAI_PATH, ignores_unknown=True, constraints=_VLLM),
        },
        model_field="checked",
        **_WRAPPED,
        score_format="full",
        models_path="/v1/models",
        engine="vllm",
        default_max_tokens=256,  # the default in its schema
    ),
    ServerType(
        name="foundry",
        base_path="/models",
        chat_paths={"/models/chat/completions": ChatPath("error")},
        auth="foundry",
        info_path="/models/info",
        info_requires_deployment=True,
        model_field="required",
        requires_api_version=True,
        error_format="openai",
        filter_error_format="detailed",
        converts_system_messages=True,
    ),
    _openai("openai-v1", "/openai/v1", "foundry", models_path="/openai/v1/models"),
    _openai(
        "azure-openai",
        "/openai/deployments/{model}",
        "foundry",
        model_field="ignored",
        requires_api_version=True,
    ),
    _own("openai-server", auth="server", model_field="checked", error_format="plain"),
    # Version 0.12 or later.
    _own("vllm", _VLLM, auth="server", model_field="checked", error_format="plain", engine="vllm"),
    _own("llama.cpp", model_field="ignored", error_format="llama.cpp", engine="llama.cpp"),
    _own("ollama", error_format="ollama", engine="ollama"),
)

SERVER_TYPES: Mapping[str, ServerType] = {row.name: row for row in _ROWS}
