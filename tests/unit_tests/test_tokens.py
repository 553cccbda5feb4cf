"""Estimates of tokens against true counts, and pictures against the processors' arithmetic."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3._tokens.shape import NAMES
from langchain_azure_phi3._tokens.texts import Remembered
from langchain_azure_phi3._tokens.weights import WEIGHTS
from langchain_azure_phi3.models import PhiModel, TokenizerFamily, find_model
from langchain_azure_phi3.tokens import (
    ERROR,
    Learned,
    Meter,
    Tokenizer,
    estimate,
    image_tokens,
    load_tokenizer,
    multimodal_image_tokens,
)
from tests.calibration.fit import fitted, samples
from tests.unit_tests.pictures import bmp_of, data_url

FAMILIES: tuple[TokenizerFamily, ...] = ("llama-32k", "cl100k", "o200k")
CHECKS = samples("check")
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
QUESTION = {"role": "user", "content": "How many languages are in the world?"}


def _model(name: str) -> PhiModel:
    model = find_model(name)
    assert model is not None
    return model


def conversation_tokens(
    turns: Sequence[Any], model: PhiModel | None, *, tokenizer: Tokenizer | None = None
) -> int:
    """Tokens of wire turns on a deployment from which nothing was learned."""
    return Meter(model, "unheard-of", tokenizer).prompt({"messages": turns})


def _picture_turn(url: str, text: str = "") -> dict[str, Any]:
    return {
        "role": "user",
        "content": [
            {"type": "text", "text": text},
            {"type": "image_url", "image_url": {"url": url}},
        ],
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sample", CHECKS, ids=[f"{s['kind']}-{n}" for n, s in enumerate(CHECKS)])
def test_an_estimate_stays_within_the_stated_error(
    sample: dict[str, Any], family: TokenizerFamily
) -> None:
    """On texts that took no part in the fit."""
    true = sample["counts"][family]

    assert estimate(sample["text"], family) == pytest.approx(true, rel=ERROR[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_mean_error_is_below_a_tenth(family: TokenizerFamily) -> None:
    """A third to a fifth of what counting characters gives."""
    off = [abs(estimate(s["text"], family) / s["counts"][family] - 1) for s in CHECKS]
    by_characters = [abs(len(s["text"]) / 3.6 / s["counts"][family] - 1) for s in CHECKS]

    assert sum(off) / len(off) < 0.1
    assert sum(off) < sum(by_characters) / 3


def test_the_committed_weights_are_those_of_the_fit() -> None:
    """Whoever changes a sample, or what is counted, runs the fit again."""
    assert list(WEIGHTS) == list(NAMES)
    assert [weights[0] for weights in WEIGHTS.values()] == fitted("llama-32k", samples("fit"))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_text_costs_nothing_and_any_text_something(family: TokenizerFamily) -> None:
    """One space is a token too."""
    assert [estimate(text, family) for text in ("", " ", "a", "?")] == [0, 1, 1, 1]


@given(text=st.text(), family=st.sampled_from(FAMILIES))
def test_no_text_is_estimated_beyond_its_bytes(text: str, family: TokenizerFamily) -> None:
    """A tokenizer falls back to bytes at worst; an estimate may err by that much again."""
    assert 0 <= estimate(text, family) <= 2 * len(text.encode("utf-8", "surrogatepass")) + 1


def test_azures_sample_conversation_costs_what_azure_says() -> None:
    """19 prompt tokens, by the how-to of 2024-07-23: 6 + 8 of text, 5 of control."""
    assert conversation_tokens([SYSTEM, QUESTION], _model("Phi-3-mini-4k-instruct")) == 19


def test_azures_sample_with_a_picture_costs_what_azure_says() -> None:
    """2,380 prompt tokens with a picture of 1900 x 1069, by the how-to of 2024-07-02."""
    text = (
        "Which peculiar conclusion about LLMs and SLMs can be extracted from the following chart?"
    )
    turn = _picture_turn(data_url(bmp_of(1900, 1069)), text)

    assert conversation_tokens([turn], _model("Phi-3-vision-128k-instruct")) == 2380


@pytest.mark.parametrize(
    ("name", "control"),
    [
        ("Phi-3-mini-4k-instruct", 5),
        ("Phi-3-small-8k-instruct", 11),
        ("Phi-4", 11),
        ("Phi-4-mini-instruct", 5),
    ],
)
def test_control_tokens_follow_the_models_template(name: str, control: int) -> None:
    """Two empty turns and the opening of the answer."""
    turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": None}]

    assert conversation_tokens(turns, _model(name)) == control


def test_an_unknown_model_is_counted_with_the_dearest_vocabulary() -> None:
    """Rather too many than too few."""
    turns = [{"role": "user", "content": "안녕하세요, 만나서 반갑습니다."}]

    assert conversation_tokens(turns, None) > conversation_tokens(turns, _model("Phi-4-mini"))


def test_tool_calls_in_the_history_are_counted() -> None:
    """They are part of the prompt, as JSON."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"city": 1}'}}
    said = {"role": "assistant", "content": "", "tool_calls": [call]}

    with_call = conversation_tokens([said], _model("phi-4"))

    assert with_call == conversation_tokens([{**said, "tool_calls": []}], _model("phi-4")) + (
        estimate(json.dumps([call]), "cl100k")
    )


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        ((640, 480), 1921),
        ((1920, 1080), 2353),
        ((1080, 1920), 2353),
        ((1900, 1069), 2353),
        ((3000, 100), 2473),
        ((100, 100), 2509),
        ((1, 1), 2509),
        ((20_000, 1), 2473),
    ],
)
def test_a_picture_costs_what_phi_3s_processor_makes_of_it(
    size: tuple[int, int], tokens: int
) -> None:
    """Small ones as much as large ones, upright ones as much as flat ones."""
    assert image_tokens(*size) == tokens


@given(width=st.integers(1, 20_000), height=st.integers(1, 20_000))
def test_every_picture_stays_within_the_processors_range(width: int, height: int) -> None:
    """1,321 to 2,509 tokens of 16 crops, at most 757 of 4."""
    assert 1321 <= image_tokens(width, height) <= 2509
    assert image_tokens(width, height, crops=4) <= 757


@pytest.mark.parametrize(
    ("size", "tokens"),
    # One square; one square half covered; 2 x 1 squares; the whole grid of 6 x 6.
    [((448, 448), 545), ((448, 224), 409), ((896, 448), 801), ((4000, 4000), 9585)],
)
def test_a_picture_costs_what_phi_4s_processor_makes_of_it(
    size: tuple[int, int], tokens: int
) -> None:
    """273 for the copy, then 16 x 16 patches a square and one for every row of patches."""
    assert multimodal_image_tokens(*size) == tokens


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/chart.png",
        "data:image/png;base64,AAAA",
        "data:nothing",
        "data:image/png;base64,ÄÖÜ!",
    ],
)
def test_a_picture_of_unknown_size_costs_the_most(url: str) -> None:
    """2,509 tokens, two pieces of prompt, and the seam between."""
    empty = _picture_turn(url)

    assert conversation_tokens([empty], _model("Phi-3-vision-128k-instruct")) == 3 + 2509 + 5


def test_pictures_are_priced_by_the_model_that_sees_them() -> None:
    """Phi-4-multimodal cuts them differently."""
    turns = [_picture_turn(data_url(bmp_of(448, 448))), _picture_turn("https://example.com/a")]

    assert conversation_tokens(turns, _model("Phi-4-multimodal-instruct")) == 5 + 545 + 9585


class _Letters:
    """A tokenizer of which every letter is a token."""

    def encode(self, text: str) -> Sequence[int]:
        return [ord(letter) for letter in text]


def test_a_tokenizer_given_counts_in_place_of_the_estimate() -> None:
    """Control tokens are added all the same."""
    model = _model("Phi-3-mini-4k-instruct")

    assert conversation_tokens([QUESTION], model, tokenizer=_Letters()) == (
        len(QUESTION["content"]) + 3
    )


@pytest.fixture
def tokenizer_file(tmp_path: Path) -> Path:
    """A real `tokenizer.json` of three words, with a start token that it would add by itself."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    tokenizer = Tokenizer(WordLevel({"<s>": 0, "one": 1, "two": 2, "?": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_a_local_tokenizer_counts_exactly(tokenizer_file: Path) -> None:
    """By the file or by its folder, without the control tokens that it would add."""
    for path in (tokenizer_file, str(tokenizer_file.parent)):
        assert load_tokenizer(path).encode("one two one three") == [1, 2, 1, 3]


def test_a_missing_tokenizer_file_is_named(tmp_path: Path) -> None:
    """The error is the file system's."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        load_tokenizer(tmp_path / "nothing.json")


def test_without_the_package_the_extra_is_named(
    tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users are told what to install."""
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)

    with pytest.raises(ImportError, match=r"langchain-azure-phi3\[tokenizers\]"):
        load_tokenizer(tokenizer_file)


def test_nothing_learned_changes_nothing() -> None:
    """Nor do figures that say nothing."""
    learned = Learned()
    learned.add("a", estimated=100, actual=0)
    learned.add("a", estimated=0, actual=100)

    assert learned.ratio("a") == 1.0


def test_what_is_learned_approaches_what_the_server_says() -> None:
    """A little at first, most of it soon, and for that deployment only."""
    learned = Learned()
    ratios = []
    for _ in range(20):
        learned.add("a", estimated=1000, actual=1200)
        ratios.append(learned.ratio("a"))

    assert ratios == sorted(ratios)
    assert ratios[0] == pytest.approx(1.1667, abs=0.0001)
    assert ratios[-1] == pytest.approx(1.2, abs=0.01)
    assert learned.ratio("b") == 1.0


def test_a_wild_figure_is_bounded() -> None:
    """One absurd answer must not make every prompt look too long."""
    learned = Learned()
    learned.add("high", estimated=10, actual=10_000_000)
    learned.add("low", estimated=10_000_000, actual=10)

    assert (learned.ratio("high"), learned.ratio("low")) == (2.0, 0.5)


def test_old_observations_fade() -> None:
    """A deployment that changed its model is followed."""
    learned = Learned()
    for actual in [1500] * 30 + [1000] * 60:
        learned.add("a", estimated=1000, actual=actual)

    assert learned.ratio("a") == pytest.approx(1.0, abs=0.01)


def test_the_deployments_remembered_are_bounded() -> None:
    """The one that was silent longest is forgotten."""
    learned = Learned()
    for key in range(300):
        learned.add(str(key), estimated=1000, actual=2000)

    assert (learned.ratio("0"), learned.ratio("299") > 1.5) == (1.0, True)


def test_the_first_observations_are_due_and_then_one_in_eight() -> None:
    """An estimate costs time that a settled figure is not worth; each deployment has its own."""
    learned = Learned()
    due = [learned.is_due("a") for _ in range(48)]

    assert due == [True] * 16 + ([True] + [False] * 7) * 4
    assert learned.is_due("b")


def test_a_model_with_fewer_crops_prices_pictures_lower() -> None:
    """A row of the user's own, for a server that is set so."""
    model = replace(_model("Phi-3.5-vision-instruct"), image_crops=4)
    turn = _picture_turn(data_url(bmp_of(640, 480)))

    assert conversation_tokens([turn], model) == 3 + image_tokens(640, 480, crops=4) + 5


def test_texts_seen_before_are_counted_the_same_and_not_kept() -> None:
    """A conversation repeats its texts with every turn; the memory is bounded."""
    remembered = Remembered()
    text = "".join(sample["text"] for sample in CHECKS)
    first = remembered.estimate(text, "llama-32k")
    again = remembered.estimate(text, "llama-32k")
    for number in range(Remembered._MOST + 10):
        remembered.estimate(str(number), "o200k")

    assert first == again == estimate(text, "llama-32k")
    assert len(remembered._known) <= Remembered._MOST


def test_learning_from_many_threads_loses_nothing() -> None:
    """Bounded sums of the same pair come to the same ratio, whatever the order."""
    learned, alone = Learned(), Learned()
    pair = {"estimated": 100, "actual": 130}
    threads = [
        Thread(target=lambda: [learned.add("a", **pair) for _ in range(50)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(400):
        alone.add("a", **pair)

    assert learned.ratio("a") == pytest.approx(alone.ratio("a"))
