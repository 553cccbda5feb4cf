"""The kinds of server that speak the API, one row each: where they differ, as data.

Sources: the source of Azure's model server (azureml-assets, `foundation-model-inference` 0.1.8 to
0.2.58 and `foundation-model-serve`), Azure's how-tos and API references, and captures in public
issues, named where they are used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SafetyShape = Literal["nested", "flat", "detailed", "managed", "managed-flat"]
UsagePlace = Literal["finish", "separate", "every", "none"]
ErrorShape = Literal["plain", "wrapped", "openai", "ollama"]
Door = Literal["serverless", "managed", "foundry", "github", "server", "open"]


@dataclass(frozen=True, slots=True)
class ChatPath:
    """One path that conversations are posted to.

    Attributes:
        extras: What becomes of extra parameters when no header says it: `"error"`, `"drop"` or
            `"pass-through"`.
        lenient: Whether a bad `extra-parameters` header is ignored.
        logprobs: Whether answers keep the log-probabilities that the engine gave.
    """

    extras: str
    lenient: bool = False
    logprobs: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one kind of server speaks.

    Attributes:
        name: What users call it.
        base: What follows the host in the endpoint; `{model}` is the first model's name.
        chat_paths: Where conversations are posted; `{model}` is any model's name.
        door: Who checks the credential, and says what to a wrong one.
        info_path: Where the model tells its name, if anywhere.
        info_type: `model_type` there.
        info_provider: `model_provider_name` there.
        info_named: Whether it must be told which deployment is meant (`model_deployment`).
        names: How answers call the model: as Azure's how-tos, as the model registry, or by the
            path of its files.
        model: Whether a request's `model` is ignored, must be right where it is given
            (`"checked"`), or must be given (`"required"`).
        api_version: Whether the query must have one.
        errors: The shape of errors.
        wraps: Whether a front end answers 424 for every error of the container behind it.
        guide: Whether a front end appends a sentence to every error.
        score: What answers of `/score` hold: text only, or more; or there is no such route.
        models_path: Where the models are listed, if anywhere.
        streams: Whether it can; if not, it ignores that it was asked to.
        finishes: Whether whole answers say why they ended.
        hides: Whether failures of the engine look like a filtered answer.
        usage: Where a stream says what it cost.
        safety: The shape of the error for a filtered prompt.
        max_tokens: The longest answer, where a request does not say; `None`: the model's.
        system_as_user: Whether the API itself makes a system turn visible to models whose
            template drops it.
    """

    name: str
    base: str = ""
    chat_paths: Mapping[str, ChatPath]
    door: Door
    info_path: str | None = None
    info_type: str = "chat-completion"
    info_provider: str = "microsoft"
    info_named: bool = False
    names: Literal["info", "registry", "path"] = "info"
    model: Literal["ignored", "checked", "required"] = "ignored"
    api_version: bool = False
    errors: ErrorShape = "plain"
    wraps: bool = False
    guide: bool = False
    score: Literal["none", "text", "more"] = "none"
    models_path: str | None = None
    streams: bool = True
    finishes: bool = True
    hides: bool = False
    usage: UsagePlace = "none"
    safety: SafetyShape = "nested"
    max_tokens: int | None = None
    system_as_user: bool = False


def _managed(name: str, chat_paths: Mapping[str, ChatPath], **differences: object) -> Dialect:
    common: dict[str, object] = {
        "door": "managed",
        "names": "registry",
        "wraps": True,
        "guide": True,
        "score": "text",
        "safety": "managed-flat",
    }
    return Dialect(name=name, chat_paths=chat_paths, **(common | differences))  # type: ignore[arg-type]


def _openai(name: str, base: str, door: Door, **differences: object) -> Dialect:
    path = f"{base}/chat/completions"
    common: dict[str, object] = {"model": "required", "errors": "openai", "safety": "detailed"}
    chat_paths = {path: ChatPath("pass-through", lenient=True)}
    return Dialect(name=name, base=base, door=door, chat_paths=chat_paths, **(common | differences))  # type: ignore[arg-type]


# The server's response model has no log-probabilities, so it drops the engine's.
_CHECKED = ChatPath("error", logprobs=False)
_UNCHECKED = ChatPath("drop", lenient=True, logprobs=False)

_ROWS = (
    Dialect(
        name="serverless",
        # The model server's source: only the route without /v1 checks for extra parameters.
        chat_paths={
            "/chat/completions": ChatPath("error"),
            "/v1/chat/completions": ChatPath("drop", lenient=True),
        },
        door="serverless",
        info_path="/info",
        info_type="chat-completions",
        info_provider="Microsoft",
        usage="finish",  # as Azure's how-to of 2024-07-23 shows it
        # "System messages are translated to user messages" (the same how-to).
        system_as_user=True,
    ),
    # Version 0.1.8: no /info, no /chat/completions, and `stream` means nothing to it.
    _managed(
        "managed-2024-05",
        {"/v1/chat/completions": _UNCHECKED},
        names="path",
        streams=False,
        finishes=False,
        hides=True,
    ),
    # Versions 0.2.1 to 0.2.16, which Azure's registry names for Phi-3 and Phi-3.5.
    _managed("managed-2024-06", {"/chat/completions": _CHECKED}, info_path="/info"),
    # Version 0.2.58.
    _managed(
        "managed-2026-07",
        {"/chat/completions": _CHECKED, "/v1/chat/completions": _UNCHECKED},
        info_path="/info",
        errors="wrapped",
        safety="managed",
    ),
    # Other paths are handed on to the engine as they are; /info is not there either.
    _managed(
        "foundation-model-serve",
        {
            "/chat/completions": ChatPath("pass-through", logprobs=False),
            "/v1/chat/completions": ChatPath("pass-through", lenient=True),
        },
        model="checked",
        errors="wrapped",
        safety="managed",
        score="more",
        models_path="/v1/models",
        max_tokens=256,  # it fills in its schema's defaults
    ),
    Dialect(
        name="foundry",
        base="/models",
        chat_paths={"/models/chat/completions": ChatPath("error")},
        door="foundry",
        info_path="/models/info",
        info_named=True,
        model="required",
        api_version=True,
        errors="openai",
        safety="detailed",
        system_as_user=True,
    ),
    _openai("openai-v1", "/openai/v1", "foundry", models_path="/openai/v1/models"),
    _openai(
        "azure-openai", "/openai/deployments/{model}", "foundry", model="ignored", api_version=True
    ),
    _openai("github", "/inference", "github"),
    _openai(
        "openai-server", "/v1", "server", model="checked", errors="plain", models_path="/v1/models"
    ),
    _openai("ollama", "/v1", "open", errors="ollama", models_path="/v1/models"),
)

DIALECTS: Mapping[str, Dialect] = {row.name: row for row in _ROWS}
