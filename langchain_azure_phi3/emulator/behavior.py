"""Where Phi and Azure differ from the textbook, as data.

Models: Azure's model registry and its "Models" pages of 2024 and 2025. The kinds of server are in
`dialects`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from langchain_azure_phi3.emulator.server_types import DIALECTS, Dialect, SafetyShape, UsagePlace

# The chat templates print only the roles that they know; other turns are dropped in silence.
# (microsoft/Phi-3-mini-4k-instruct and its siblings on Hugging Face, tokenizer_config.json.)
MINI_ROLES = frozenset({"system", "user", "assistant"})
MEDIUM_ROLES = frozenset({"user", "assistant"})
ANY_ROLE = frozenset({"system", "user", "assistant", "tool"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model of Azure's catalogue.

    Attributes:
        name: As the catalogue spells it.
        info_name: As `/info` and the answers spell it.
        context: Tokens that prompt and answer share.
        max_output: Tokens that one answer may have.
        takes: What a message may hold besides text: `"image"`, `"audio"`.
        max_images: Images in one conversation; `None` for no limit.
        roles: Roles that the chat template prints.
        reasons: Whether its answers begin with thoughts.
    """

    name: str
    info_name: str
    context: int
    max_output: int = 4096
    takes: frozenset[str] = frozenset()
    max_images: int | None = None
    roles: frozenset[str] = MINI_ROLES
    reasons: bool = False


def _phi3(size: str, context: int, roles: frozenset[str] = MINI_ROLES) -> Model:
    # Azure's how-to of 2024-07-23 shows `/info` with a capital "Instruct".
    return Model(
        name=f"Phi-3-{size}-instruct",
        info_name=f"Phi-3-{size}-Instruct",
        context=context,
        roles=roles,
    )


def _later(name: str, context: int = 131_072, max_output: int = 4096) -> Model:
    return Model(name=name, info_name=name, context=context, max_output=max_output)


def _reasoning(name: str, context: int = 131_072) -> Model:
    return Model(
        name=name, info_name=name, context=context, max_output=min(context, 32_768), reasons=True
    )


_IMAGE = frozenset({"image"})

MODELS = (
    _phi3("mini-4k", 4096),
    _phi3("mini-128k", 131_072),
    _phi3("small-8k", 8192, ANY_ROLE),
    _phi3("small-128k", 131_072, ANY_ROLE),
    _phi3("medium-4k", 4096, MEDIUM_ROLES),
    _phi3("medium-128k", 131_072, MEDIUM_ROLES),
    Model(
        name="Phi-3-vision-128k-instruct",
        info_name="Phi-3-vision-128k-Instruct",
        context=131_072,
        takes=_IMAGE,
        max_images=1,
        roles=ANY_ROLE,
    ),
    _later("Phi-3.5-mini-instruct"),
    _later("Phi-3.5-MoE-instruct"),
    Model(
        name="Phi-3.5-vision-instruct",
        info_name="Phi-3.5-vision-instruct",
        context=131_072,
        takes=_IMAGE,
    ),
    _later("Phi-4", 16_384, 16_384),
    _later("Phi-4-mini-instruct"),
    Model(
        name="Phi-4-multimodal-instruct",
        info_name="Phi-4-multimodal-instruct",
        context=131_072,
        takes=frozenset({"image", "audio"}),
    ),
    _reasoning("Phi-4-mini-reasoning"),
    _reasoning("Phi-4-reasoning", 32_768),
    _reasoning("Phi-4-reasoning-plus", 32_768),
)

_BY_NAME: Mapping[str, Model] = {model.name.lower(): model for model in MODELS}


def model_named(name: str) -> Model:
    """The model of that name, whatever its case.

    Raises:
        ValueError: There is none; the message lists those that there are.
    """
    model = _BY_NAME.get(name.lower())
    if model is None:
        known = ", ".join(model.name for model in MODELS)
        raise ValueError(f"The emulator knows no model {name!r}. Use one of: {known}")
    return model


# What the model registry calls them (`base_model_name`), where it is not the catalogue's name.
_REGISTRY_NAMES = {
    "Phi-3-vision-128k-instruct": "phi3-mini-vision",
    "Phi-3.5-mini-instruct": "Phi-3.5-mini-128k-instruct",
    "Phi-3.5-vision-instruct": "Phi-3.5-vision-128k-instruct",
    "Phi-3.5-MoE-instruct": "Phi-3.5-MoE-128k-Instruct",
}


def name_in(dialect: Dialect, model: Model) -> str:
    """How a kind of server calls a model."""
    if dialect.names == "info":
        return model.info_name
    name = _REGISTRY_NAMES.get(model.name, model.name)
    # Version 0.1.8 gives the place where the front end mounted the files.
    return f"/var/azureml-app/azureml-models/{name}/1" if dialect.names == "path" else name


EXTRA_MODES = ("error", "drop", "pass-through")

# What the engine behind the API (vLLM 0.5) knows beyond the API's own fields.
ENGINE_PARAMETERS = frozenset(
    {
        "best_of",
        "echo",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "ignore_eos",
        "length_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "min_p",
        "min_tokens",
        "n",
        "parallel_tool_calls",
        "repetition_penalty",
        "skip_special_tokens",
        "stream_options",
        "top_k",
        "top_logprobs",
        "use_beam_search",
        "user",
    }
)

JsonMode = Literal["refuse", "flood"]
ToolMode = Literal["refuse", "native"]
ThoughtPlace = Literal["text", "field"]

FRAMINGS = frozenset(
    {"bom", "bytewise", "comments", "crlf", "no-done", "no-final-blank-line", "no-space"}
)

_OPTIONS: Mapping[str, frozenset[str]] = {
    "dialect": frozenset(DIALECTS),
    "safety": frozenset(get_args(SafetyShape)),
    "json_mode": frozenset(get_args(JsonMode)),
    "usage_in_streams": frozenset(get_args(UsagePlace)),
    "tools": frozenset(get_args(ToolMode)),
    "reasoning": frozenset(get_args(ThoughtPlace)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Which of the ways seen in the wild a deployment answers in.

    Attributes:
        dialect: The kind of server.
        safety: The shape of the error for a filtered prompt: `"nested"` is what Azure's how-tos
            show, `"flat"` its API reference, `"detailed"` names categories and severities,
            `"managed"` is what a model server on managed compute writes itself, `"managed-flat"`
            what it wrote before its version 0.2.16. Default: the dialect's.
        annotations: Whether answers carry the content filter's findings.
        json_mode: What `response_format: json_object` does: `"refuse"` is documented, `"flood"`
            (line feeds until `max_tokens`) was seen (PhiCookBook#73).
        usage_in_streams: On the `"finish"` chunk, on a `"separate"` last one, on `"every"` one
            (running totals), or on `"none"` unless `stream_options` asks. Default: the dialect's.
        framing: Names out of `FRAMINGS`: legal, or merely usual, ways to write events.
        tools: Whether `tools` are refused, as Azure refuses them for every Phi model, or taken,
            with `response_format`, as servers with a tool parser take them.
        reasoning: Where reasoning models put their thoughts: into the `"text"`, in `<think>` tags,
            or into the `"field"` `reasoning_content` (Azure's api-version 2025-04-01).
    """

    dialect: str = "serverless"
    safety: SafetyShape | None = None
    annotations: bool = False
    json_mode: JsonMode = "refuse"
    usage_in_streams: UsagePlace | None = None
    framing: frozenset[str] = frozenset()
    tools: ToolMode = "refuse"
    reasoning: ThoughtPlace = "text"

    def __post_init__(self) -> None:
        for name, allowed in _OPTIONS.items():
            if getattr(self, name) not in {None, *allowed}:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is unknown; use one of {sorted(allowed)}"
                )
        unknown = self.framing - FRAMINGS
        if len(unknown) > 0:
            raise ValueError(f"framing {sorted(unknown)} is unknown; use {sorted(FRAMINGS)}")
