"""The model catalog: limits, capabilities and retirement dates of each Phi model.

Each entry names the source of its facts. Lookups by name are lenient, because the same model has
many names: in Azure's catalog, in the `/info` route of a server, as an Ollama tag, as a Hugging
Face repository, or as a local build. An unknown name is not an error: deployments can have any
name. Such a model is treated as a Phi without known limits.
"""

import difflib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any

from langchain_azure_phi3._phi_models import ROWS, Modality, PhiModel, Price, TokenizerFamily
from langchain_azure_phi3._types import DeploymentFacts
from langchain_azure_phi3.errors import RetiredModelWarning, UnknownModelWarning

__all__ = [
    "Modality",
    "PhiModel",
    "Price",
    "TokenizerFamily",
    "find_model",
    "list_models",
    "model_profile",
    "models_accepting",
    "register_model",
    "usage_cost",
    "warn_of_retirement",
    "warn_of_unknown_name",
]


# Suffixes that builds append to a model's name: the hardware, the runtime, the quantization.
_BUILD_WORD = re.compile(
    r"cuda|generic|openvino|qnn|trtrtx|vitis|vitisai|webgpu|cpu|gpu|npu|onnx|gguf|web|unsloth|"
    r"latest|awq|gptq|bnb|mlx|directml|mobile|rtn|block|acc|level|\d+bit|[km]|[sml]|[iq]\w?\d|"
    r"\d+|v\d+|bf16|fp\d+|f16|int\d|dq\d+"
)
_BUILD_START = re.compile(
    r"[-_.: ](?:cuda|generic|openvino|qnn|trtrtx|vitis|vitisai|webgpu|cpu|gpu|npu|onnx|gguf|"
    r"unsloth|latest|awq|gptq|bnb|mlx|directml|\d+bit|q\d|bf16|fp\d|f16|int\d|v\d|dq\d)"
)
_NOT_NAME = re.compile(r"[^a-z0-9]+|instruct")


def _key(name: str) -> str:
    return _NOT_NAME.sub("", name.lower())


def _candidate_keys(name: str) -> Iterator[str]:
    """Yield the keys that a name may have in the catalog, most likely first.

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
    """Entries and their index. It is replaced, not modified, so that readers need no lock."""

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


_catalog = _Catalog(ROWS)
_registering = Lock()
_warned: set[str] = set()  # names


def find_model(name: str | None) -> PhiModel | None:
    """Look up a model by any of its names; `None` for an unknown name.

    Case, dashes, dots, spaces and the word "instruct" are ignored, and so are a publisher before
    the name and the name of a build after it (`Phi-4-mini-instruct-cuda-gpu`).
    """
    return None if name is None else _catalog.find(name)


def learn_model(facts: DeploymentFacts, name: Any, *, replaces: bool = False) -> None:
    """Remember which Phi a deployment is, if the catalog contains the name that a server reports.

    Args:
        facts: The facts about the deployment.
        name: The name that the server reports, of any type.
        replaces: Whether this report takes precedence over earlier ones.
    """
    if (replaces or facts.model is None) and isinstance(name, str) and find_model(name) is not None:
        facts.model = name


def register_model(model: PhiModel) -> None:
    """Add a model to the catalog of this process, or replace the model of the same name.

    Its aliases take precedence over those of models registered before.
    """
    global _catalog
    with _registering:
        others = (row for row in _catalog.rows if _key(row.name) != _key(model.name))
        _catalog = _Catalog((*others, model))


def warn_of_unknown_name(name: str, *, argument: str, is_sent: bool) -> None:
    """Warn, once per process, about a name that resembles one in the catalog.

    It may be a typo, or the name of a deployment: either way the model's limits are unknown. An
    unknown name always causes a warning if it is not sent to the server either.

    Args:
        name: The name.
        argument: The constructor's argument with this name.
        is_sent: Whether requests contain the name.
    """
    if name in _warned or find_model(name) is not None:
        return
    _warned.add(name)
    names = {row.name.lower(): row.name for row in list_models()}
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.85)
    if not is_sent and not close:
        warnings.warn(
            f"{argument}={name!r} is not in the catalog and is not sent, so it has no effect. "
            "Register it with register_model(), or leave it out.",
            UnknownModelWarning,
            stacklevel=4,
        )
    if close:
        warnings.warn(
            f"The model {name!r} is not in the catalog; the closest name there is "
            f"{names[close[0]]!r}. If it is a typo, correct it. If a deployment has this name, "
            f"pass base_model={names[close[0]]!r}, so that the limits of the model are known.",
            UnknownModelWarning,
            stacklevel=4,
        )


def warn_of_retirement(model: PhiModel) -> None:
    """Warn, once per process, about a model that Azure no longer serves."""
    if model.retired is None or model.name in _warned:
        return
    _warned.add(model.name)
    warnings.warn(
        f"Azure retired its deployments of {model.name} on {model.retired}. Its replacement is "
        f"{model.replacement}; managed compute and your own servers still run it.",
        RetiredModelWarning,
        stacklevel=4,
    )


def list_models() -> tuple[PhiModel, ...]:
    """Return all models of the catalog, registered ones last."""
    return _catalog.rows


def models_accepting(modality: Modality) -> tuple[str, ...]:
    """Return the names of the models that accept this modality in prompts."""
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
    """Return LangChain's `ModelProfile` of a model as a new dict; `None` is an unknown Phi.

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
        "image_tool_message": "image" in model.modalities,
        "audio_inputs": "audio" in model.modalities,
        "reasoning_output": model.reasoning,
        # Reasoning is on or off: no Phi has levels.
        "reasoning_effort_levels": [] if model.reasoning else None,
    }
    return {key: value for key, value in known.items() if value is not None}


def usage_cost(usage: Mapping[str, Any], model: PhiModel | str | None) -> float | None:
    """Return the price of the tokens in a message's `usage_metadata` on Azure, in US dollars.

    Audio in the prompt has a separate price, if the server counted it. Batch discounts and your own
    servers are not considered.

    Args:
        usage: LangChain's token counts.
        model: The model, or any of its names.

    Returns:
        `None` if a price is unknown: prices are never guessed.
    """
    found = model if isinstance(model, PhiModel) else find_model(model)
    price = None if found is None else found.price
    if price is None:
        return None
    audio = (usage.get("input_token_details") or {}).get("audio", 0)
    if audio and price.audio_input is None:
        return None
    prompt = (usage["input_tokens"] - audio) * price.input + audio * (price.audio_input or 0)
    return float(prompt + usage["output_tokens"] * price.output) / 1_000_000
