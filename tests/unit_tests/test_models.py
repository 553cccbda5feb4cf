"""The catalog's entries against facts that are repeated here, and lookups by name."""

from threading import Thread
from typing import get_type_hints

import pytest
from langchain_core.language_models.model_profile import ModelProfile

from langchain_azure_phi3 import models
from langchain_azure_phi3.models import (
    PhiModel,
    Price,
    find_model,
    list_models,
    model_profile,
    register_model,
    usage_cost,
)

# name, context, longest answer, modalities, images per message and conversation, tokenizer,
# system messages, reasoning
FACTS = """
Phi-3-mini-4k-instruct      4096    4096   text              -  -  llama-32k  supported no
Phi-3-mini-128k-instruct    131072  4096   text              -  -  llama-32k  supported no
Phi-3-small-8k-instruct     8192    4096   text              -  -  cl100k     verbatim  no
Phi-3-small-128k-instruct   131072  4096   text              -  -  cl100k     verbatim  no
Phi-3-medium-4k-instruct    4096    4096   text              -  -  llama-32k  dropped   no
Phi-3-medium-128k-instruct  131072  4096   text              -  -  llama-32k  dropped   no
Phi-3-vision-128k-instruct  131072  4096   text+image        1  1  llama-32k  verbatim  no
Phi-3.5-mini-instruct       131072  4096   text              -  -  llama-32k  supported no
Phi-3.5-MoE-instruct        131072  4096   text              -  -  llama-32k  supported no
Phi-3.5-vision-instruct     131072  4096   text+image        -  -  llama-32k  supported no
Phi-4                       16384   16384  text              -  -  cl100k     supported no
Phi-4-mini-instruct         131072  4096   text              -  -  o200k      supported no
Phi-4-multimodal-instruct   131072  4096   text+image+audio  -  -  o200k      supported no
Phi-4-mini-reasoning        131072  128000 text              -  -  o200k      supported yes
Phi-4-reasoning             32768   32768  text              -  -  cl100k     dropped   yes
Phi-4-reasoning-plus        32768   -      text              -  -  cl100k     dropped   yes
Phi-4-mini-flash-reasoning  65536   -      text              -  -  o200k      supported yes
Phi-4-reasoning-vision-15B  32768   -      text+image        -  -  cl100k     dropped   yes
Phi-mini-MoE-instruct       4096    -      text              -  -  llama-32k  supported no
Phi-tiny-MoE-instruct       4096    -      text              -  -  llama-32k  supported no
"""
ROWS = [line.split() for line in FACTS.strip().splitlines()]

ALIASES = {
    "Phi-3-mini-4k-Instruct": "Phi-3-mini-4k-instruct",
    "PHI-3-MINI-4K": "Phi-3-mini-4k-instruct",
    "microsoft/Phi-3-mini-4k-instruct": "Phi-3-mini-4k-instruct",
    "phi3-mini": "Phi-3-mini-4k-instruct",
    "phi3": "Phi-3-mini-4k-instruct",
    "phi3:mini": "Phi-3-mini-4k-instruct",
    "phi3:latest": "Phi-3-mini-4k-instruct",
    "phi3:3.8b-mini-4k-instruct-q4_0": "Phi-3-mini-4k-instruct",
    "/var/azureml-models/Phi-3-mini-4k-instruct/1/model": "Phi-3-mini-4k-instruct",
    "azureml://registries/azureml/models/Phi-3-mini-128k-instruct/versions/11": (
        "Phi-3-mini-128k-instruct"
    ),
    "phi3:medium": "Phi-3-medium-4k-instruct",
    "phi3:medium-128k": "Phi-3-medium-128k-instruct",
    "phi3-mini-vision": "Phi-3-vision-128k-instruct",
    "Phi-3-vision-128k-Instruct": "Phi-3-vision-128k-instruct",
    "phi3.5": "Phi-3.5-mini-instruct",
    "Phi-3.5-mini-128k-instruct": "Phi-3.5-mini-instruct",
    "phi_3_5 mini instruct": "Phi-3.5-mini-instruct",
    "Phi-3.5-mini-instruct-generic-cpu:1": "Phi-3.5-mini-instruct",
    "Phi-3.5-MoE-128k-Instruct": "Phi-3.5-MoE-instruct",
    "Phi-3.5-vision-128k-instruct": "Phi-3.5-vision-instruct",
    "phi4": "Phi-4",
    "microsoft/phi-4": "Phi-4",
    "phi4:14b-q4_K_M": "Phi-4",
    "phi4-mini": "Phi-4-mini-instruct",
    "Phi-4-mini-instruct-cuda-gpu": "Phi-4-mini-instruct",
    "Phi-4-mini-instruct-Q4_K_M.gguf": "Phi-4-mini-instruct",
    "Phi-4-mini-instruct-generic-cpu:5": "Phi-4-mini-instruct",
    "phi-4-mini-instruct-openvino-npu:2": "Phi-4-mini-instruct",
    "Phi-4-mini-instruct-dq44-cuda-gpu:1": "Phi-4-mini-instruct",
    "mlx-community/Phi-4-mini-instruct-4bit": "Phi-4-mini-instruct",
    "phi-4-mini": "Phi-4-mini-instruct",
    "phi-3-mini-4k": "Phi-3-mini-4k-instruct",
    "phi-3.5-mini": "Phi-3.5-mini-instruct",
    "Phi-3.5-mini-instruct-trtrtx-gpu": "Phi-3.5-mini-instruct",
    "Phi-4-mini-reasoning-qnn-npu:3": "Phi-4-mini-reasoning",
    "microsoft/Phi-4-mini-flash-reasoning": "Phi-4-mini-flash-reasoning",
    "Phi-4-reasoning-vision": "Phi-4-reasoning-vision-15B",
    "microsoft/Phi-tiny-MoE-instruct": "Phi-tiny-MoE-instruct",
    "phi4-mini-reasoning": "Phi-4-mini-reasoning",
    "phi4-reasoning:plus": "Phi-4-reasoning-plus",
}


@pytest.fixture
def restored_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registrations end with the test."""
    monkeypatch.setattr(models, "_catalog", models._catalog)


def optional_int(text: str) -> int | None:
    """A number of the table, or `-`."""
    return None if text == "-" else int(text)


def test_entries_match_the_published_facts() -> None:
    """Context, answer length, modalities and the rest, model by model."""
    assert [row.name for row in list_models()] == [facts[0] for facts in ROWS]
    for name, context, max_output, modalities, message, conversation, *rest in ROWS:
        tokenizer, system, reasoning = rest
        row = find_model(name)

        assert row is not None
        assert row == PhiModel(
            name=name,
            context=int(context),
            max_output=optional_int(max_output),
            modalities=tuple(modalities.split("+")),  # type: ignore[arg-type]
            images_per_message=optional_int(message),
            images_per_conversation=optional_int(conversation),
            tokenizer=tokenizer,  # type: ignore[arg-type]
            system_message_support=system,  # type: ignore[arg-type]
            reasoning=reasoning == "yes",
            reasoning_tokens=("<think>", "<nothink>") if "vision-15B" in name else None,
            native_tools=False,
            response_formats=("text",),
            tool_prompt="phi-4-mini" if name == "Phi-4-mini-instruct" else "plain",
            license="MIT",
            open_weights=True,
            # Checked by other tests, or prose.
            aliases=row.aliases,
            native_tools_on=row.native_tools_on,
            image_tokens=row.image_tokens,
            price=row.price,
            retires=row.retires,
            retires_source=row.retires_source,
            image_crops=row.image_crops,
            released=row.released,
            retired=row.retired,
            replacement=row.replacement,
            source=row.source,
        )


def test_retired_models_name_a_current_replacement() -> None:
    """Serverless Phi-3 ended on 2025-08-30; nobody is sent to another retired model."""
    for row in list_models():
        assert row.retired == ("2025-08-30" if row.name.startswith("Phi-3") else None)
    replacements = {row.replacement for row in list_models() if row.retired is not None}

    assert replacements == {"Phi-4", "Phi-4-mini-instruct", "Phi-4-multimodal-instruct"}


def test_an_uncertain_retirement_names_its_source() -> None:
    """Azure's schedule has no date for Phi-4; LiteLLM's list has one for five of its models."""
    dated = [row for row in list_models() if row.retires is not None]

    assert {row.retires for row in dated} == {"2027-01-17"}
    assert all("one source" in (row.retires_source or "") for row in dated)
    assert [row.name for row in dated] == [
        "Phi-4",
        "Phi-4-mini-instruct",
        "Phi-4-multimodal-instruct",
        "Phi-4-mini-reasoning",
        "Phi-4-reasoning",
    ]


USAGE = {"input_tokens": 2_000_000, "output_tokens": 1_000_000, "total_tokens": 3_000_000}


def test_usage_costs_what_azure_bills() -> None:
    """In dollars; audio at its own price."""
    with_audio = USAGE | {"input_token_details": {"audio": 500_000}}
    costs = {
        "Phi-4": 0.75,
        "microsoft/Phi-4-reasoning": 0.75,
        "phi-4-mini": 0.45,
        "Phi-4-mini-reasoning": 0.45,
        "Phi-4-multimodal-instruct": 0.48,
    }

    assert {name: usage_cost(USAGE, name) for name in costs} == pytest.approx(costs)
    assert usage_cost(with_audio, "phi4mm") == pytest.approx(1.5 * 0.08 + 0.5 * 4 + 0.32)
    assert all(row.price is None or (row.price.source and row.price.date) for row in list_models())


def test_unknown_prices_are_not_guessed() -> None:
    """Of models without a price, unknown models, and audio where it has none."""
    for model in ("Phi-3-mini-4k-instruct", "Phi-4-reasoning-plus", "our-model", None):
        assert usage_cost(USAGE, model) is None
    assert usage_cost(USAGE | {"input_token_details": {"audio": 1}}, "Phi-4") is None
    price = Price(input=1, output=2, source="our contract", date="2026-11-28")
    own = PhiModel(name="own", context=1, tokenizer="o200k", source="me", price=price)
    assert usage_cost(USAGE, own) == 4.0


def test_unknown_names_are_not_guessed() -> None:
    """Not even for names that are similar to known ones."""
    unknown = ("", "gpt-4o", "phi-2", "phi-3.7", "phi-4-mini-flash", "phi-4-gpu-edition")

    assert [find_model(name) for name in (None, *unknown)] == [None] * 7


def test_models_are_found_by_their_aliases() -> None:
    """Names of `/info`, Ollama, Hugging Face and Foundry Local; typing variants."""
    for alias, name in ALIASES.items():
        row = find_model(alias)
        assert (alias, name) == (alias, row and row.name)


def test_no_two_models_share_a_name() -> None:
    """The later one would silently win."""
    claimed = [models._key(name) for row in list_models() for name in {row.name, *row.aliases}]

    assert sorted(claimed) == sorted(set(claimed))


def test_registered_models_are_found(restored_catalog: None) -> None:
    """By name and alias; a known name replaces its entry."""
    custom = PhiModel(
        name="My-Phi", aliases=("house-model",), context=1, tokenizer="o200k", source="me"
    )
    shorter = PhiModel(name="phi-4", context=8_192, tokenizer="cl100k", source="our deployment")
    assert find_model("house-model") is None

    register_model(shorter)
    register_model(custom)

    assert [find_model(name) for name in ("my phi", "House-Model")] == [custom, custom]
    assert find_model("microsoft/Phi-4") == shorter
    assert list_models()[-1] == custom
    assert len(list_models()) == len(ROWS) + 1


def test_registrations_from_many_threads_are_kept(restored_catalog: None) -> None:
    """None overwrites another at the same time."""
    rows = [
        PhiModel(name=f"mine-{n}-x", context=n, tokenizer="o200k", source="me") for n in range(40)
    ]
    threads = [Thread(target=register_model, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [find_model(row.name) for row in rows] == rows


def test_profiles_use_langchains_keys() -> None:
    """LangChain warns about others. Unknown values are left out, and each profile is a new dict."""
    for row in list_models():
        profile = model_profile(row)
        assert profile.keys() <= get_type_hints(ModelProfile).keys()
        assert ("max_output_tokens" in profile) == (row.max_output is not None)
        assert ("status" in profile) == (row.retired is not None)
        profile["max_input_tokens"] = 1
        assert model_profile(row)["max_input_tokens"] == row.context


def test_a_profile_contains_the_models_facts() -> None:
    """Under LangChain's names."""
    row = find_model("Phi-3-vision-128k-instruct")
    assert row is not None

    assert model_profile(row) == {
        "name": "Phi-3-vision-128k-instruct",
        "release_date": "2024-05-21",
        "open_weights": True,
        "status": "deprecated",
        "max_input_tokens": 131_072,
        "max_output_tokens": 4_096,
        "text_inputs": True,
        "image_inputs": True,
        "image_tool_message": True,
        "image_url_inputs": True,
        "audio_inputs": False,
        "pdf_inputs": False,
        "video_inputs": False,
        "text_outputs": True,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
        "reasoning_output": False,
        "temperature": True,
    }


def test_models_that_accept_images_are_listed() -> None:
    """For error messages that recommend one."""
    assert models.models_accepting("image") == (
        "Phi-3-vision-128k-instruct",
        "Phi-3.5-vision-instruct",
        "Phi-4-multimodal-instruct",
        "Phi-4-reasoning-vision-15B",
    )
