"""The Phi models that the emulator can serve.

Sources: Azure's model registry and its "Models" pages of 2024 and 2025.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_azure_phi3.emulator._deprecation import renamed_attributes
from langchain_azure_phi3.emulator.server_types import ServerType

# The chat templates only show the roles that they support and silently drop other messages
# (microsoft/Phi-3-mini-4k-instruct and its siblings on Hugging Face, tokenizer_config.json).
_MINI_ROLES = frozenset({"system", "user", "assistant"})
_MEDIUM_ROLES = frozenset({"user", "assistant"})
_ALL_ROLES = frozenset({"system", "user", "assistant", "tool"})
_IMAGE = frozenset({"image"})


@renamed_attributes(takes="modalities", reasons="has_reasoning")
@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One Phi model.

    Attributes:
        name: The name in Azure's catalog.
        info_name: The name in `/info` and in responses.
        registry_name: The name in the model registry (`base_model_name`).
        context: The limit on the tokens of prompt and response together.
        max_output: The maximum number of tokens of one response.
        modalities: The content that messages may contain besides text: `"image"`, `"audio"`.
        max_images: The maximum number of images in one conversation. `None`: no limit.
        roles: Roles that the chat template shows.
        has_reasoning: Whether responses begin with reasoning.
    """

    name: str
    info_name: str
    registry_name: str = ""
    context: int = 131_072
    max_output: int = 4096
    modalities: frozenset[str] = frozenset()
    max_images: int | None = None
    roles: frozenset[str] = _MINI_ROLES
    has_reasoning: bool = False


# Names in the model registry that differ from the catalog's.
_REGISTRY_NAMES = {
    "Phi-3-vision-128k-instruct": "phi3-mini-vision",
    "Phi-3.5-mini-instruct": "Phi-3.5-mini-128k-instruct",
    "Phi-3.5-vision-instruct": "Phi-3.5-vision-128k-instruct",
    "Phi-3.5-MoE-instruct": "Phi-3.5-MoE-128k-Instruct",
}


def _model(name: str, **fields: Any) -> Model:
    # Azure's how-to of 2024-07-23 shows `/info` with a capital "Instruct".
    info_name = name.replace("instruct", "Instruct") if name.startswith("Phi-3-") else name
    registry_name = _REGISTRY_NAMES.get(name, name)
    return Model(name=name, info_name=info_name, registry_name=registry_name, **fields)


_SMALL: Any = {"roles": _ALL_ROLES}
_MEDIUM: Any = {"roles": _MEDIUM_ROLES}
_REASONING: Any = {"max_output": 32_768, "has_reasoning": True}

MODELS = (
    _model("Phi-3-mini-4k-instruct", context=4096),
    _model("Phi-3-mini-128k-instruct"),
    _model("Phi-3-small-8k-instruct", context=8192, **_SMALL),
    _model("Phi-3-small-128k-instruct", **_SMALL),
    _model("Phi-3-medium-4k-instruct", context=4096, **_MEDIUM),
    _model("Phi-3-medium-128k-instruct", **_MEDIUM),
    _model("Phi-3-vision-128k-instruct", modalities=_IMAGE, max_images=1, roles=_ALL_ROLES),
    _model("Phi-3.5-mini-instruct"),
    _model("Phi-3.5-MoE-instruct"),
    _model("Phi-3.5-vision-instruct", modalities=_IMAGE),
    _model("Phi-4", context=16_384, max_output=16_384),
    _model("Phi-4-mini-instruct"),
    _model("Phi-4-multimodal-instruct", modalities=frozenset({"image", "audio"})),
    _model("Phi-4-mini-reasoning", **_REASONING),
    _model("Phi-4-reasoning", context=32_768, **_REASONING),
    _model("Phi-4-reasoning-plus", context=32_768, **_REASONING),
)

_BY_NAME: Mapping[str, Model] = {model.name.lower(): model for model in MODELS}


def find_model(name: str) -> Model:
    """Return the model of that name, in any case, or raise a `ValueError` that lists all."""
    model = _BY_NAME.get(name.lower())
    if model is None:
        known = ", ".join(model.name for model in MODELS)
        raise ValueError(f"The emulator has no model {name!r}. Use one of: {known}.")
    return model


def reported_name(server: ServerType, model: Model) -> str:
    """Return the name that a server of this type reports for a model."""
    return {
        "info": model.info_name,
        "registry": model.registry_name,
        # Version 0.1.8 reports the directory where the model's files are mounted.
        "path": f"/var/azureml-app/azureml-models/{model.registry_name}/1",
        "request": model.name,
    }[server.model_naming]
