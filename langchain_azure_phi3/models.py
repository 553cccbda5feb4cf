"""What each Phi can do.

One row a model, every row with its source. Names are matched loosely, because the same model
answers under many: the catalogue's name, the `/info` name of a server, the name of an Ollama
tag, of a Hugging Face repository or of a local build. An unknown name is no error: nothing is
assumed about such a model, and nothing that it might be able to do is kept from it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any, Literal

Modality = Literal["text", "image", "audio"]
TokenizerFamily = Literal["llama-32k", "cl100k", "o200k"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhiModel:
    """One model and what is known of it.

    Attributes:
        name: As the model catalogue spells it.
        context: Tokens that prompt and answer share.
        tokenizer: The family of its vocabulary.
        source: Where the row's facts come from.
        aliases: Other names under which it answers.
        max_output: Tokens that one answer may have; `None` where nobody says.
        modalities: What a prompt may hold.
        images_a_turn: How many pictures one turn may hold; `None` for no limit known.
        images_a_conversation: How many the whole conversation may hold; `None` likewise.
        image_crops: Squares into which a picture may be cut, from which its price in tokens
            follows; `None` for a model without pictures.
        native_tools: Whether the Azure service takes `tools`. It does for no Phi.
        tool_prompt: The way of describing tools that the model was trained on, if any.
        response_formats: What `response_format.type` may be.
        system_messages: What the chat template makes of a system message: `"honoured"`,
            `"dropped"` without a word, or `"verbatim"`, like a turn of any role.
        extra_parameters: Parameters outside the service's schema that the model has.
        reasoning: Whether it thinks aloud before it answers.
        licence: Of the weights.
        open_weights: Whether the weights can be had.
        released: The day of publication (ISO 8601).
        retired: The day on which serverless deployments ended (ISO 8601).
        replacement: The catalogue's name of the model to move to.
    """

    name: str
    context: int
    tokenizer: TokenizerFamily
    source: str
    aliases: tuple[str, ...] = ()
    max_output: int | None = None
    modalities: tuple[Modality, ...] = ("text",)
    images_a_turn: int | None = None
    images_a_conversation: int | None = None
    image_crops: int | None = None
    native_tools: bool = False
    tool_prompt: Literal["phi-4-mini", "plain"] = "plain"
    response_formats: tuple[str, ...] = ("text",)
    system_messages: Literal["honoured", "dropped", "verbatim"] = "honoured"
    extra_parameters: tuple[str, ...] = ("logit_bias", "logprobs", "top_logprobs", "n")
    reasoning: bool = False
    licence: str = "MIT"
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
        # The registry says 131,072, which is the other small one's figure.
        context=_K8,
        max_output=4_096,
        tokenizer="cl100k",
        system_messages="verbatim",
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
        system_messages="verbatim",
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
        system_messages="dropped",
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
        system_messages="dropped",
        released="2024-05-21",
        replacement="Phi-4",
        source=f"{_REGISTRY}; the Hugging Face template; Ollama's page of phi3",
        retired=_RETIRED,
    ),
    PhiModel(
        name="Phi-3-vision-128k-instruct",
        aliases=("phi-3-vision", "phi3-mini-vision", "phi3v"),
        context=_K128,
        # The registry is silent; every other Phi-3 has this limit.
        max_output=4_096,
        tokenizer="llama-32k",
        modalities=("text", "image"),
        images_a_turn=1,
        images_a_conversation=1,
        image_crops=16,
        system_messages="verbatim",
        released="2024-05-21",
        replacement="Phi-4-multimodal-instruct",
        source=f"{_REGISTRY} and description; Azure's how-to of 2024-07-02 for the one picture",
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
        source=f"{_REGISTRY}, whose sample sends two pictures, against Azure's how-to (one)",
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
        source="Azure's list of models for the context; the model card for the thoughts",
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

# What builds append to a model's name: the hardware, the runtime, the quantisation.
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


def _readings(name: str) -> Iterator[str]:
    """The keys under which a name may be listed, the likeliest first.

    Publishers and paths stand before the name (`microsoft/Phi-4`), registry versions behind it
    (`.../models/Phi-4/versions/7`): so every part of a path is tried, from the right.
    """
    for part in reversed(name.strip().lower().split("/")):
        yield _key(part)
        build = _BUILD_START.search(part)
        if build is not None:
            words = re.split(r"[-_.: ]+", part[build.start() + 1 :])
            if all(_BUILD_WORD.fullmatch(word) for word in words if word):
                yield _key(part[: build.start()])


class _Catalogue:
    """Rows and their index; replaced as a whole, so that readers need no lock."""

    def __init__(self, rows: Iterable[PhiModel]) -> None:
        self.rows = tuple(rows)
        self._index: dict[str, PhiModel] = {}
        for row in self.rows:
            self._index.update((_key(alias), row) for alias in row.aliases)
        # A row's own name is nobody else's alias.
        self._index.update((_key(row.name), row) for row in self.rows)
        self.find = lru_cache(maxsize=512)(self._find)

    def _find(self, name: str) -> PhiModel | None:
        for reading in _readings(name):
            model = self._index.get(reading)
            if model is not None:
                return model
        return None


_catalog = _Catalogue(_ROWS)
_registering = Lock()


def find_model(name: str | None) -> PhiModel | None:
    """The row of a model, by any name that it is known under; `None` for an unknown one.

    Case, dashes, dots, spaces and the word "instruct" do not matter, nor does a publisher before
    the name or the name of a build behind it (`Phi-4-mini-instruct-cuda-gpu`).
    """
    return None if name is None else _catalog.find(name)


def register_model(model: PhiModel) -> None:
    """Add a model for this process, or replace the one of the same name.

    Its aliases win over those of the rows before it.
    """
    global _catalog
    with _registering:
        others = (row for row in _catalog.rows if _key(row.name) != _key(model.name))
        _catalog = _Catalogue((*others, model))


def list_models() -> tuple[PhiModel, ...]:
    """Every row, the registered ones last."""
    return _catalog.rows


def models_accepting(modality: Modality) -> tuple[str, ...]:
    """The names of the models whose prompts may hold this modality."""
    return tuple(row.name for row in list_models() if modality in row.modalities)


def model_profile(model: PhiModel) -> dict[str, Any]:
    """LangChain's `ModelProfile` of a model, a new dict each time.

    What is not known is left out, and so is what the chat model decides: tool calling and
    structured output, which are done by prompt.
    """
    known: dict[str, Any] = {
        "name": model.name,
        "release_date": model.released,
        "open_weights": model.open_weights,
        "status": None if model.retired is None else "deprecated",
        "max_input_tokens": model.context,
        "max_output_tokens": model.max_output,
        "text_inputs": "text" in model.modalities,
        "image_inputs": "image" in model.modalities,
        "image_url_inputs": "image" in model.modalities,
        "audio_inputs": "audio" in model.modalities,
        "pdf_inputs": False,
        "video_inputs": False,
        "text_outputs": True,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
        "reasoning_output": model.reasoning,
        "temperature": True,
    }
    return {key: value for key, value in known.items() if value is not None}
