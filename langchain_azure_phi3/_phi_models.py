"""The data of the catalog: the Phi models and their properties, with the source of each entry."""

from dataclasses import dataclass
from typing import Any, Literal

from langchain_azure_phi3._deprecated import accept_old_fields

Modality = Literal["text", "image", "audio"]
TokenizerFamily = Literal["llama-32k", "cl100k", "o200k"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of tokens, in US dollars per million.

    Attributes:
        input: Tokens of the prompt, except audio.
        output: Tokens of the response.
        audio_input: Tokens of audio in the prompt; `None` if there is no such price.
        source: The source of the price.
        date: When it was looked up (ISO 8601).
    """

    input: float
    output: float
    audio_input: float | None = None
    source: str
    date: str


@accept_old_fields(
    {
        "images_a_turn": "images_per_message",
        "images_a_conversation": "images_per_conversation",
        "licence": "license",  # codespell:ignore licence
        "system_messages": "system_message_support",
    },
    {"system_message_support": {"honoured": "supported"}},  # codespell:ignore honoured
)
@dataclass(frozen=True, slots=True, kw_only=True)
class PhiModel:
    """A Phi model and its properties.

    Attributes:
        name: The name in Azure's model catalog.
        context: The tokens that prompt and response share.
        tokenizer: The family of its vocabulary.
        source: The source of the facts.
        aliases: Other names of the model.
        max_output: The maximum number of tokens of one response; `None` if not published.
        modalities: Types of content that a prompt may contain.
        images_per_message: The maximum number in one message; `None` if no limit is known.
        images_per_conversation: The maximum number in a conversation; `None` if no limit is known.
        image_tokens: The fewest and the most tokens of an image of unknown size.
        image_crops: The maximum number of squares into which the model's processor cuts an image,
            which determines the image's tokens; `None` for a model without image input.
        native_tools: Whether every service accepts `tools`; not known for any Phi model.
        native_tools_on: Names of the endpoint types that accept `tools` for this model, if not
            every one does.
        tool_prompt: The format of tool descriptions that the model was trained on, if any.
        response_formats: Accepted values of `response_format.type`.
        system_message_support: What the chat template does with a system message:
            `"supported"`, `"dropped"` (silently), or `"verbatim"`, like a message of any role.
        extra_parameters: Parameters outside the service's schema that the model accepts.
        reasoning: Whether the model writes its reasoning before the response.
        reasoning_tokens: Tokens to append to the prompt so that the model reasons, or does not;
            `None` if its chat template has the switch, or if there is none.
        license: License of the weights.
        open_weights: Whether the weights can be downloaded.
        released: Date of publication (ISO 8601).
        retired: Date on which serverless deployments were retired (ISO 8601).
        retires: Date on which Azure will retire it, according to `retires_source` (ISO 8601).
        retires_source: The source of that date, and how certain it is.
        replacement: Catalog name of the recommended replacement.
        price: Azure's price of its tokens; `None` if not known.
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
    image_tokens: tuple[int, int] | None = None
    image_crops: int | None = None
    native_tools: bool = False
    native_tools_on: tuple[str, ...] = ()
    tool_prompt: Literal["phi-4-mini", "plain"] = "plain"
    response_formats: tuple[str, ...] = ("text",)
    system_message_support: Literal["supported", "dropped", "verbatim"] = "supported"
    extra_parameters: tuple[str, ...] = ("logit_bias", "logprobs", "top_logprobs", "n")
    reasoning: bool = False
    reasoning_tokens: tuple[str, str] | None = None
    license: str = "MIT"
    open_weights: bool = True
    released: str | None = None
    retired: str | None = None
    retires: str | None = None
    retires_source: str | None = None
    replacement: str | None = None
    price: Price | None = None


_K4, _K8, _K16, _K32, _K128 = 4_096, 8_192, 16_384, 32_768, 131_072
_REGISTRY = "the Azure model registry's specification"
_RETIRED = "2025-08-30"
_RETIRES: dict[str, Any] = {
    "retires": "2027-01-17",
    "retires_source": "one source, LiteLLM 1.110.2; Azure's schedule of 2026-07-07 names no date",
}


def _price(prompt: float, answer: float, audio_input: float | None = None) -> Price:
    return Price(
        input=prompt,
        output=answer,
        audio_input=audio_input,
        source="Azure's retail prices for eastus, as LiteLLM 1.110.2 quotes them",
        date="2026-11-28",
    )


ROWS = (
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
        price=_price(0.125, 0.50),
        **_RETIRES,
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
        native_tools_on=("Foundry Local",),
        price=_price(0.075, 0.30),
        **_RETIRES,
        released="2025-02-26",
        source=f"{_REGISTRY}; the model card for the training on tools; Foundry "
        "Local's catalog (supportsToolCalling)",
    ),
    PhiModel(
        name="Phi-4-multimodal-instruct",
        aliases=("phi4mm",),
        context=_K128,
        max_output=4_096,
        tokenizer="o200k",
        modalities=("text", "image", "audio"),
        image_crops=36,
        price=_price(0.08, 0.32, audio_input=4.00),
        **_RETIRES,
        released="2025-02-26",
        source=f"{_REGISTRY}; the model's image processor for the crops",
    ),
    PhiModel(
        name="Phi-4-mini-reasoning",
        aliases=("phi4-mini-reasoning:3.8b",),
        context=_K128,
        max_output=128_000,
        tokenizer="o200k",
        reasoning=True,
        native_tools_on=("Foundry Local",),
        price=_price(0.075, 0.30),
        **_RETIRES,
        released="2025-04-30",
        source="Foundry's table of models of April 2026; the model card for its reasoning; Foundry "
        "Local's catalog (supportsToolCalling)",
    ),
    PhiModel(
        name="Phi-4-reasoning",
        aliases=("phi4-reasoning:14b",),
        context=_K32,
        max_output=32_768,
        tokenizer="cl100k",
        # The template has its own system message, and only prints user and assistant messages.
        system_message_support="dropped",
        reasoning=True,
        price=_price(0.125, 0.50),
        **_RETIRES,
        released="2025-04-30",
        source="Foundry's table of models of April 2026; the model card; the Hugging Face template",
    ),
    PhiModel(
        name="Phi-4-reasoning-plus",
        aliases=("phi4-reasoning:14b-plus",),
        context=_K32,
        tokenizer="cl100k",
        # The template has its own system message, and only prints user and assistant messages.
        system_message_support="dropped",
        reasoning=True,
        released="2025-04-30",
        source="Azure's list of models; the model card; the Hugging Face template",
    ),
    PhiModel(
        name="Phi-4-mini-flash-reasoning",
        context=65_536,
        tokenizer="o200k",
        reasoning=True,
        released="2025-07-09",
        source="Azure's announcement of 2025-07-09 and the model card",
    ),
    PhiModel(
        name="Phi-4-reasoning-vision-15B",
        aliases=("phi-4-reasoning-vision",),
        context=_K32,
        tokenizer="cl100k",
        modalities=("text", "image"),
        image_tokens=(256, 3_600),
        # Its own system message, as in Phi-4-reasoning.
        system_message_support="dropped",
        reasoning=True,
        reasoning_tokens=("<think>", "<nothink>"),
        released="2026-03-04",
        source="the model card and the Hugging Face template; mlx-vlm#796 for the image tokens",
    ),
    PhiModel(
        name="Phi-mini-MoE-instruct",
        context=_K4,
        tokenizer="llama-32k",
        released="2025-06-23",
        source="the model card; its template is Phi-3.5's",
    ),
    PhiModel(
        name="Phi-tiny-MoE-instruct",
        context=_K4,
        tokenizer="llama-32k",
        released="2025-06-23",
        source="the model card; its template is Phi-3.5's",
    ),
)
