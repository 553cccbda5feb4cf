"""What the catalogue says of each Phi, against the facts written out here once more."""

from threading import Thread
from typing import get_type_hints

import pytest
from langchain_core.language_models.model_profile import ModelProfile

from langchain_azure_phi3 import models
from langchain_azure_phi3.models import (
    PhiModel,
    find_model,
    list_models,
    model_profile,
    register_model,
)

# name, context, longest answer, modalities, pictures a turn and a conversation, tokenizer,
# system messages, thinks
FACTS = """
Phi-3-mini-4k-instruct      4096    4096   text              -  -  llama-32k  honoured  no
Phi-3-mini-128k-instruct    131072  4096   text              -  -  llama-32k  honoured  no
Phi-3-small-8k-instruct     8192    4096   text              -  -  cl100k     verbatim  no
Phi-3-small-128k-instruct   131072  4096   text              -  -  cl100k     verbatim  no
Phi-3-medium-4k-instruct    4096    4096   text              -  -  llama-32k  dropped   no
Phi-3-medium-128k-instruct  131072  4096   text              -  -  llama-32k  dropped   no
Phi-3-vision-128k-instruct  131072  4096   text+image        1  1  llama-32k  verbatim  no
Phi-3.5-mini-instruct       131072  4096   text              -  -  llama-32k  honoured  no
Phi-3.5-MoE-instruct        131072  4096   text              -  -  llama-32k  honoured  no
Phi-3.5-vision-instruct     131072  4096   text+image        -  -  llama-32k  honoured  no
Phi-4                       16384   16384  text              -  -  cl100k     honoured  no
Phi-4-mini-instruct         131072  4096   text              -  -  o200k      honoured  no
Phi-4-multimodal-instruct   131072  4096   text+image+audio  -  -  o200k      honoured  no
Phi-4-mini-reasoning        131072  -      text              -  -  o200k      honoured  yes
Phi-4-reasoning             32768   -      text              -  -  cl100k     honoured  yes
Phi-4-reasoning-plus        32768   -      text              -  -  cl100k     honoured  yes
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
    "phi4-mini-reasoning": "Phi-4-mini-reasoning",
    "phi4-reasoning:plus": "Phi-4-reasoning-plus",
}


@pytest.fixture
def untouched_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registrations of one test are gone in the next."""
    monkeypatch.setattr(models, "_catalog", models._catalog)


def _optional(text: str) -> int | None:
    return None if text == "-" else int(text)


@pytest.mark.parametrize("facts", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_says_what_azure_says(facts: list[str]) -> None:
    """Context, answer length, modalities and the rest, model by model."""
    name, context, max_output, modalities, turn, conversation, tokenizer, system, thinks = facts

    row = find_model(name)

    assert row is not None
    assert row == PhiModel(
        name=name,
        context=int(context),
        max_output=_optional(max_output),
        modalities=tuple(modalities.split("+")),  # type: ignore[arg-type]
        images_a_turn=_optional(turn),
        images_a_conversation=_optional(conversation),
        tokenizer=tokenizer,  # type: ignore[arg-type]
        system_messages=system,  # type: ignore[arg-type]
        reasoning=thinks == "yes",
        native_tools=False,
        response_formats=("text",),
        tool_prompt="phi-4-mini" if name == "Phi-4-mini-instruct" else "plain",
        licence="MIT",
        open_weights=True,
        # Not in the table above: checked in tests of their own, or prose.
        aliases=row.aliases,
        image_crops=row.image_crops,
        released=row.released,
        retired=row.retired,
        replacement=row.replacement,
        source=row.source,
    )


def test_the_catalog_holds_these_models_and_no_other() -> None:
    """A row that nobody checked would be a claim without a test."""
    assert [row.name for row in list_models()] == [facts[0] for facts in ROWS]


def test_serverless_phi_3_is_retired_and_phi_4_is_not() -> None:
    """The day is the same for all of them: 2025-08-30."""
    retired = {row.name: row.retired for row in list_models()}

    assert retired == {name: "2025-08-30" if name.startswith("Phi-3") else None for name in retired}


def test_every_replacement_is_a_living_model() -> None:
    """Nobody is sent from one retired model to another."""
    replacements = {row.replacement for row in list_models() if row.retired is not None}

    assert replacements == {"Phi-4", "Phi-4-mini-instruct", "Phi-4-multimodal-instruct"}


@pytest.mark.parametrize(
    "name", [None, "", "gpt-4o", "phi-2", "phi-3.7", "phi-4-mini-flash", "phi-4-gpu-edition"]
)
def test_nothing_is_assumed_about_an_unknown_name(name: str | None) -> None:
    """Not even that the nearest relative is meant."""
    assert find_model(name) is None


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_a_model_is_found_under_every_name_it_answers_to(alias: str, name: str) -> None:
    """The names of `/info`, Ollama, Hugging Face, GitHub Models, Foundry Local, and typing."""
    row = find_model(alias)

    assert row is not None
    assert row.name == name


def test_no_two_rows_share_a_name() -> None:
    """An alias that two rows claim would go to the later one, silently."""
    claimed = [models._key(name) for row in list_models() for name in {row.name, *row.aliases}]

    assert sorted(claimed) == sorted(set(claimed))


def test_a_registered_model_is_found_by_name_and_alias(untouched_catalog: None) -> None:
    """Users bring models that this package has never heard of."""
    mine = PhiModel(
        name="My-Phi", aliases=("house-model",), context=1, tokenizer="o200k", source="me"
    )
    assert find_model("house-model") is None

    register_model(mine)

    assert find_model("my phi") == mine
    assert find_model("House-Model") == mine
    assert list_models()[-1] == mine


def test_registering_a_known_name_replaces_its_row(untouched_catalog: None) -> None:
    """A deployment with a shorter context is still a Phi-4."""
    shorter = PhiModel(name="phi-4", context=8_192, tokenizer="cl100k", source="our deployment")

    register_model(shorter)

    assert find_model("microsoft/Phi-4") == shorter
    assert len(list_models()) == len(ROWS)


def test_registrations_from_many_threads_are_all_kept(untouched_catalog: None) -> None:
    """None overwrites another that happened at the same time."""
    rows = [
        PhiModel(name=f"mine-{n}-x", context=n, tokenizer="o200k", source="me") for n in range(40)
    ]
    threads = [Thread(target=register_model, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [find_model(row.name) for row in rows] == rows


@pytest.mark.parametrize("row", list_models(), ids=[row.name for row in list_models()])
def test_a_profile_has_only_keys_that_langchain_knows(row: PhiModel) -> None:
    """LangChain warns about others."""
    assert model_profile(row).keys() <= get_type_hints(ModelProfile).keys()


def test_a_profile_says_what_the_row_says() -> None:
    """In LangChain's words."""
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


def test_a_profile_leaves_out_what_is_not_known() -> None:
    """No answer length is published for the reasoning models, and they are not retired."""
    row = find_model("Phi-4-reasoning")
    assert row is not None

    assert {"max_output_tokens", "status"}.isdisjoint(model_profile(row))


def test_a_profile_is_the_callers_own() -> None:
    """Changing one changes no other."""
    row = list_models()[0]
    model_profile(row)["max_input_tokens"] = 1

    assert model_profile(row)["max_input_tokens"] == 4_096


def test_the_models_that_take_pictures_are_named() -> None:
    """For messages that say where to go."""
    assert models.models_accepting("image") == (
        "Phi-3-vision-128k-instruct",
        "Phi-3.5-vision-instruct",
        "Phi-4-multimodal-instruct",
    )
