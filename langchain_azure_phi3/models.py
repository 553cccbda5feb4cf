"""The model catalog: limits, capabilities and retirement dates of each Phi model.

Each entry names the source of its facts. Lookups by name are lenient, because the same model has
many names: in Azure's catalog, in the `/info` route of a server, as an Ollama tag, as a Hugging
Face repository, or as a local build. An unknown name is not an error: deployments have names
of their own. Such a model is treated as a Phi of which no limit is known.
"""

import difflib
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, Literal

from langchain_azure_phi3._deprecated import accept_old_fields
from langchain_azure_phi3.errors import UnknownModelWarning

Modality = Literal["text", "image", "audio"]
TokenizerFamily = Literal["llama-32k", "cl100k", "o200k"]


@accept_old_fields(
    {
        "images_a_turn": "images_per_message",
        "images_a_conversation": "images_per_conversation",
        "licence": "license",
        "system_messages": "system_message_support",
    },
    {"system_message_support": {"honoured": "supported"}},
)
@dataclass(frozen=True, slots=True, kw_only=True)
class PhiModel:
    """A Phi model and its properties.

    Attributes:
        name: The name in Azure's model catalog.
        context: Tokens that prompt and answer share.
        tokenizer: The family of its vocabulary.
        source: Where the facts of this entry come from.
        aliases: Other names of the model.
        max_output: The most tokens of one answer; `None` if not published.
        modalities: Types of content that a prompt may contain.
        images_per_message: The most images in one message; `None` if no limit is known.
        images_per_conversation: The most images in a conversation; `None` likewise.
        image_crops: The most squares into which the model's processor cuts an image, from which
            the image's tokens follow; `None` for a model without image input.
        native_tools: Whether every service accepts `tools`. None is known to for a Phi model.
        tool_prompt: The format of tool descriptions that the model was trained on, if any.
        response_formats: Accepted values of `response_format.type`.
        system_message_support: What the chat template does with a system message:
            `"supported"`, `"dropped"` (silently), or `"verbatim"`, like a message of any role.
        extra_parameters: Parameters outside the service's schema that the model accepts.
        reasoning: Whether the model writes its reasoning before the answer.
        license: License of the weights.
        open_weights: Whether the weights can be downloaded.
        released: Date of publication (ISO 8601).
        retired: Date on which serverless deployments were retired (ISO 8601).
        replacement: Catalog name of the recommended replacement.
    """

    name: str
    context: int
    tokenizer: TokenizerFamily
    source: str
    aliases: tuple[str, ...] = ()
    max_output: int | None = None
    modalities: tuple[Modality, ...] = ("text",)
    images_per_message: int | None = None
    images_per_conversation: int | None = None
    image_crops: int | None = None
    native_tools: bool = False
    tool_prompt: Literal["phi-4-mini", "plain"] = "plain"
    response_formats: tuple[str, ...] = ("text",)
    system_message_support: Literal["supported", "dropped", "verbatim"] = "supported"
    extra_parameters: tuple[str, ...] = ("logit_bias", "logprobs", "top_logprobs", "n")
    reasoning: bool = False
    license: str = "MIT"
    open_weights: bool = True
    released: str | None = None
    retired: str | None = None
    replacement: str | None = None


_K4, _K8, _K16, _K32, _K128 = 4_096, 8_192, 16_384, 32_768, 131_072
_REGISTRY = "the Azure model registry's specification"
_RETIRED = "2025-08-30"

_ROWS = (
    PhiModel(
        name="Phi-3-mini-4k-instruct",
        aliases=("phi-3", "phi-3-mini", "phi3:3.8b", "phi3:3.8b-mini-4k-instruct"),
        context=_K4,
        max_output=4_096,
        tokenizer="llama-32k",
        released="2024-04-23",
        replacement="Phi-4-mini-instruct",
        source=f"{_REGISTRY}; the template of July 2024; Ollama's page of phi3 for the bare name",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-3-mini-128k-instruct",
        aliases=("phi3:3.8b-mini-128k-instruct",),
        context=_K128,
        max_output=4_096,
        tokenizer="llama-32k",
        released="2024-04-23",
        replacement="Phi-4-mini-instruct",
        source=f"{_REGISTRY}; the template of July 2024",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-3-small-8k-instruct",
        aliases=("phi-3-small",),
        # The registry says 131,072, which is the context of Phi-3-small-128k-instruct.
        context=_K8,
        max_output=4_096,
        tokenizer="cl100k",
        system_message_support="verbatim",
        released="2024-05-21",
        replacement="Phi-4-mini-instruct",
        source=f"the Hugging Face configuration for the context; {_REGISTRY} for the rest",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-3-small-128k-instruct",
        context=_K128,
        max_output=4_096,
        tokenizer="cl100k",
        system_message_support="verbatim",
        released="2024-05-21",
        replacement="Phi-4-mini-instruct",
        source=f"{_REGISTRY}; the Hugging Face template",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-3-medium-4k-instruct",
        aliases=("phi-3-medium", "phi3:14b", "phi3:14b-medium-4k-instruct"),
        context=_K4,
        max_output=4_096,
        tokenizer="llama-32k",
        system_message_support="dropped",
        released="2024-05-21",
        replacement="Phi-4",
        source=f"{_REGISTRY}; the Hugging Face template; Ollama's page of phi3",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-3-medium-128k-instruct",
        aliases=("phi3:14b-medium-128k-instruct",),
        context=_K128,
        max_output=4_096,
        tokenizer="llama-32k",
        system_message_support="dropped",
        released="2024-05-21",
        replacement="Phi-4",
        source=f"{_REGISTRY}; the Hugging Face template; Ollama's page of phi3",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-3-vision-128k-instruct",
        aliases=("phi-3-vision", "phi3-mini-vision", "phi3v"),
        context=_K128,
        # Not in the registry; every other Phi-3 has this limit.
        max_output=4_096,
        tokenizer="llama-32k",
        modalities=("text", "image"),
        images_per_message=1,
        images_per_conversation=1,
        image_crops=16,
        system_message_support="verbatim",
        released="2024-05-21",
        replacement="Phi-4-multimodal-instruct",
        source=f"{_REGISTRY} and description; Azure's how-to of 2024-07-02 for one image",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-3.5-mini-instruct",
        aliases=("phi-3.5", "phi-3.5-mini-128k-instruct", "phi3.5:3.8b"),
        context=_K128,
        max_output=4_096,
        tokenizer="llama-32k",
        released="2024-08-20",
        replacement="Phi-4-mini-instruct",
        source=f"{_REGISTRY}; the Hugging Face template",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-3.5-MoE-instruct",
        aliases=("phi-3.5-moe-128k-instruct",),
        context=_K128,
        max_output=4_096,
        tokenizer="llama-32k",
        released="2024-08-20",
        replacement="Phi-4-mini-instruct",
        source=f"{_REGISTRY}; the Hugging Face template",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-3.5-vision-instruct",
        aliases=("phi-3.5-vision-128k-instruct",),
        context=_K128,
        max_output=4_096,
        tokenizer="llama-32k",
        modalities=("text", "image"),
        image_crops=16,
        released="2024-08-20",
        replacement="Phi-4-multimodal-instruct",
        source=f"{_REGISTRY}, whose sample sends two images; Azure's how-to says one",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-4",
        aliases=("phi4:14b",),
        context=_K16,
        max_output=16_384,
        tokenizer="cl100k",
        released="2024-12-12",
        source=f"{_REGISTRY}; the Hugging Face tokenizer",
    ),
    PhiModel(
        name="Phi-4-mini-instruct",
        aliases=("phi4-mini:3.8b",),
        context=_K128,
        max_output=4_096,
        tokenizer="o200k",
        tool_prompt="phi-4-mini",
        released="2025-02-26",
        source=f"{_REGISTRY}; the model card for the training on tools",
    ),
    PhiModel(
        name="Phi-4-multimodal-instruct",
        aliases=("phi4mm",),
        context=_K128,
        max_output=4_096,
        tokenizer="o200k",
        modalities=("text", "image", "audio"),
        image_crops=36,
        released="2025-02-26",
        source=f"{_REGISTRY}; the model's image processor for the crops",
    ),
    PhiModel(
        name="Phi-4-mini-reasoning",
        aliases=("phi4-mini-reasoning:3.8b",),
        context=_K128,
        tokenizer="o200k",
        reasoning=True,
        released="2025-04-30",
        source="Azure's list of models for the context; the model card for its reasoning",
    ),
    PhiModel(
        name="Phi-4-reasoning",
        aliases=("phi4-reasoning:14b",),
        context=_K32,
        tokenizer="cl100k",
        reasoning=True,
        released="2025-04-30",
        source="Azure's list of models; the model card",
    ),
    PhiModel(
        name="Phi-4-reasoning-plus",
        aliases=("phi4-reasoning:14b-plus",),
        context=_K32,
        tokenizer="cl100k",
        reasoning=True,
        released="2025-04-30",
        source="Azure's list of models; the model card",
    ),
)

# What builds append to a model's name: the hardware, the runtime, the quantization.
_BUILD_WORD = re.compile(
    r"cuda|generic|openvino|qnn|trtrtx|vitis|vitisai|webgpu|cpu|gpu|npu|onnx|gguf|web|unsloth|"
    r"latest|awq|gptq|bnb|4bit|8bit|[km]|[sml]|[iq]\w?\d|\d|v\d+|bf16|fp\d+|f16|int\d"
)
_BUILD_START = re.compile(
    r"[-_.: ](?:cuda|generic|openvino|qnn|trtrtx|vitis|vitisai|webgpu|cpu|gpu|npu|onnx|gguf|"
    r"unsloth|latest|awq|gptq|bnb|q\d|bf16|fp\d|f16|int\d|v\d)"
)
_NOT_NAME = re.compile(r"[^a-z0-9]+|instruct")


def _key(name: str) -> str:
    return _NOT_NAME.sub("", name.lower())


def _candidate_keys(name: str) -> Iterator[str]:
    """Keys under which the catalog may have a name, the most likely first.

    Publishers and paths precede the name (`microsoft/Phi-4`), registry versions follow it
    (`.../models/Phi-4/versions/7`), so each part of a path is a candidate, from the right.
    """
    for part in reversed(name.strip().lower().split("/")):
        yield _key(part)
        build = _BUILD_START.search(part)
        if build is not None:
            words = re.split(r"[-_.: ]+", part[build.start() + 1 :])
            if all(_BUILD_WORD.fullmatch(word) for word in words if word):
                yield _key(part[: build.start()])


class _Catalog:
    """Entries and their index. It is replaced, not changed, so that readers need no lock."""

    def __init__(self, rows: Iterable[PhiModel]) -> None:
        self.rows = tuple(rows)
        self._index: dict[str, PhiModel] = {}
        for row in self.rows:
            self._index.update((_key(alias), row) for alias in row.aliases)
        # A model's own name wins over the aliases of others.
        self._index.update((_key(row.name), row) for row in self.rows)
        self.find = lru_cache(maxsize=512)(self._find)

    def _find(self, name: str) -> PhiModel | None:
        for key in _candidate_keys(name):
            model = self._index.get(key)
            if model is not None:
                return model
        return None


_catalog = _Catalog(_ROWS)
_registering = Lock()
_warned: set[str] = set()  # unknown names


def find_model(name: str | None) -> PhiModel | None:
    """Look up a model by any of its names; `None` for an unknown name.

    Case, dashes, dots, spaces and the word "instruct" do not matter, nor does a publisher before
    the name or the name of a build after it (`Phi-4-mini-instruct-cuda-gpu`).
    """
    return None if name is None else _catalog.find(name)


def register_model(model: PhiModel) -> None:
    """Add a model to the catalog of this process, or replace the model of the same name.

    Its aliases take precedence over those of models registered before.
    """
    global _catalog
    with _registering:
        others = (row for row in _catalog.rows if _key(row.name) != _key(model.name))
        _catalog = _Catalog((*others, model))


def warn_of_unknown_name(name: str) -> None:
    """Warn, once per process, of a name that is nearly one of the catalog's.

    It may be a typo, or the name of a deployment: either way the model's limits are not known.
    """
    if name in _warned or find_model(name) is not None:
        return
    _warned.add(name)
    names = {row.name.lower(): row.name for row in list_models()}
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.85)
    if close:
        warnings.warn(
            f"The model {name!r} is not in the catalog; the closest name there is "
            f"{names[close[0]]!r}. If it is a typo, correct it. If a deployment has this name, "
            f"pass base_model={names[close[0]]!r}, so that the limits of the model are known.",
            UnknownModelWarning,
            stacklevel=4,
        )


def list_models() -> tuple[PhiModel, ...]:
    """All models of the catalog; registered ones come last."""
    return _catalog.rows


def models_accepting(modality: Modality) -> tuple[str, ...]:
    """Names of the models whose prompts may contain this modality."""
    return tuple(row.name for row in list_models() if modality in row.modalities)


_EVERY_PHI = {
    "text_inputs": True,
    "pdf_inputs": False,
    "video_inputs": False,
    "text_outputs": True,
    "image_outputs": False,
    "audio_outputs": False,
    "video_outputs": False,
    "temperature": True,
}


def model_profile(model: PhiModel | None) -> dict[str, Any]:
    """LangChain's `ModelProfile` of a model, as a new dict; `None` is an unknown Phi.

    Unknown values are left out, and so are capabilities that the chat model adds to each Phi: tool
    calling and structured output.
    """
    if model is None:
        return dict(_EVERY_PHI)
    known: dict[str, Any] = _EVERY_PHI | {
        "name": model.name,
        "release_date": model.released,
        "open_weights": model.open_weights,
        "status": None if model.retired is None else "deprecated",
        "max_input_tokens": model.context,
        "max_output_tokens": model.max_output,
        "image_inputs": "image" in model.modalities,
        "image_url_inputs": "image" in model.modalities,
        "audio_inputs": "audio" in model.modalities,
        "reasoning_output": model.reasoning,
    }
    return {key: value for key, value in known.items() if value is not None}
