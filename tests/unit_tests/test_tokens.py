"""Token estimates against true counts, and image costs against the processors' arithmetic."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from langchain_azure_phi3 import tokens
from langchain_azure_phi3._image_tokens import _size_of_url, prompt_image_tokens
from langchain_azure_phi3.errors import ContextLengthError
from langchain_azure_phi3.models import PhiModel, find_model
from langchain_azure_phi3.tokens import (
    MAX_ERROR,
    TokenCounter,
    Tokenizer,
    estimate_tokens,
    image_tokens,
    load_tokenizer,
    multimodal_image_tokens,
)
from tests.calibration.fit import FAMILIES, errors, fit_weights, samples
from tests.unit_tests.images import data_url

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
QUESTION = {"role": "user", "content": "How many languages are in the world?"}
MINI = "Phi-3-mini-4k-instruct"


def model_named(name: str) -> PhiModel:
    """A model of the catalog."""
    model = find_model(name)
    assert model is not None
    return model


def prompt_tokens(
    messages: Sequence[Any], model: PhiModel | None, tokenizer: Tokenizer | None = None
) -> int:
    """Tokens of wire messages."""
    return TokenCounter(model, tokenizer).count_prompt({"messages": messages})


def image_url(size: tuple[int, int], image_format: str = "PNG", **options: Any) -> str:
    """A data URL of a real image."""
    file = BytesIO()
    Image.new("RGB", size).save(file, image_format, **options)
    return data_url(file.getvalue())


def image_message(url: str, text: str = "") -> dict[str, Any]:
    """A user message with a text and an image."""
    image = {"type": "image_url", "image_url": {"url": url}}
    return {"role": "user", "content": [{"type": "text", "text": text}, image]}


# -- texts ---------------------------------------------------------------------------------------


def test_errors_stay_within_the_stated_ones() -> None:
    """10 to 11 % on average and 35 % at most on held-out texts; half on the texts of the fit."""
    for family in FAMILIES:
        held_out = [abs(e) for found in errors("check", family).values() for e in found]
        by_length = [abs(len(s["text"]) / 3.6 / s["counts"][family] - 1) for s in samples("check")]

        assert max(held_out) <= MAX_ERROR
        assert sum(held_out) / len(held_out) < 0.115
        assert sum(held_out) < sum(by_length) / 2
        assert max(abs(e) for found in errors("fit", family).values() for e in found) < 0.48


def test_committed_weights_are_those_of_the_fit() -> None:
    """After a change of samples or classes, the fit has to run again."""
    for column, family in enumerate(FAMILIES):
        committed = [weights[column] for _, weights in tokens._TOKENS_PER_CHARACTER]

        assert committed == fit_weights(family)


def test_lower_bound_is_below_every_true_count() -> None:
    """On all samples, and for runs that a vocabulary holds as one token."""
    for sample in samples("fit") + samples("check"):
        for count in sample["counts"].values():
            assert tokens._min_tokens(sample["text"]) <= count

    assert [tokens._min_tokens(run) for run in ("x" * 9000, "=" * 9000, " " * 9000)] == [1, 1, 0]


def test_empty_text_costs_nothing() -> None:
    """Any other text costs at least one token."""
    for family in FAMILIES:
        costs = [estimate_tokens(text, family) for text in ("", " ", "a", "?")]
        assert costs == [0, 1, 1, 1]


@given(text=st.text(), family=st.sampled_from(FAMILIES))
def test_estimate_is_bounded_by_bytes(text: str, family: Any) -> None:
    """A tokenizer falls back to bytes at worst."""
    size = len(text.encode("utf-8", "surrogatepass"))

    assert 0 <= estimate_tokens(text, family) <= 3 * size
    assert tokens._min_tokens(text) <= size


# -- prompts -------------------------------------------------------------------------------------


def test_azures_samples_cost_what_azure_documents() -> None:
    """19 tokens by the how-to of 2024-07-23, and 2,380 with an image by that of 2024-07-02."""
    chart = (
        "Which peculiar conclusion about LLMs and SLMs can be extracted from the following chart?"
    )
    vision = model_named("Phi-3-vision-128k-instruct")

    assert prompt_tokens([SYSTEM, QUESTION], model_named(MINI)) == 19
    assert prompt_tokens([image_message(image_url((1900, 1069)), chart)], vision) == 2380


def test_control_tokens_follow_the_models_template() -> None:
    """Two empty messages and the start of the answer."""
    messages = [{"role": "user", "content": ""}, {"role": "assistant", "content": None}]
    expected = {MINI: 5, "Phi-3-small-8k-instruct": 11, "Phi-4": 11, "Phi-4-mini-instruct": 5}

    for name, control in expected.items():
        assert prompt_tokens(messages, model_named(name)) == control


def test_unknown_model_uses_the_costliest_vocabulary() -> None:
    """Rather too many tokens than too few; and it has no limit to check."""
    messages = [{"role": "user", "content": "안녕하세요, 만나서 반갑습니다."}]
    payload = {"messages": [{"role": "user", "content": "word " * 1_000_000}]}

    assert prompt_tokens(messages, None) > prompt_tokens(messages, model_named("Phi-4-mini"))
    assert TokenCounter(None).fit_max_tokens(payload, lower=True) is payload


def test_tool_calls_and_tools_are_counted_as_json() -> None:
    """They are part of the prompt."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"city": 1}'}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    counter = TokenCounter(model_named("phi-4"))
    alone = counter.count_prompt({"messages": [{**message, "tool_calls": []}]})

    assert counter.count_prompt({"messages": [message]}) - alone == estimate_tokens(
        json.dumps([call]), "cl100k"
    )
    assert counter.count_prompt({"messages": [], "tools": [call]}) == 3 + estimate_tokens(
        json.dumps([call]), "cl100k"
    )


def test_short_prompts_are_not_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number of characters says that they fit."""
    monkeypatch.delattr(tokens, "estimate_tokens")
    payload = {"messages": [SYSTEM, QUESTION], "max_tokens": 100}
    counter = TokenCounter(model_named(MINI))

    assert counter.fit_max_tokens(payload, lower=True) is payload
    assert counter.fit_max_tokens(payload, lower=False) is payload


def test_only_certain_excess_is_refused() -> None:
    """By words, or by Chinese characters; never by an estimate, which may be too high."""
    counter = TokenCounter(model_named(MINI))

    def fit(text: str) -> object:
        return counter.fit_max_tokens(
            {"messages": [{"role": "user", "content": text}]}, lower=False
        )

    for fitting in ("word " * 4093, "x" * 100_000, "=" * 100_000, "\n" * 100_000, "界" * 16_000):
        assert fit(fitting)
    for excess in ("word " * 4094, "界" * 16_400):
        with pytest.raises(
            ContextLengthError, match=r"about [\d,]+ tokens, at least 4,\d\d\d, and"
        ):
            fit(excess)


# -- images --------------------------------------------------------------------------------------


def test_phi_3_image_tokens_follow_its_processor() -> None:
    """Small images cost as much as large ones, and portrait as much as landscape."""
    expected = {
        (640, 480): 1921,
        (1920, 1080): 2353,
        (1080, 1920): 2353,
        (1900, 1069): 2353,
        (3000, 100): 2473,
        (100, 100): 2509,
        (1, 1): 2509,
        (20_000, 1): 2473,
    }

    assert {size: image_tokens(*size) for size in expected} == expected


@given(width=st.integers(1, 20_000), height=st.integers(1, 20_000))
def test_image_tokens_stay_within_the_processors_range(width: int, height: int) -> None:
    """1,321 to 2,509 tokens for 16 crops, at most 757 for 4."""
    assert 1321 <= image_tokens(width, height) <= 2509
    assert image_tokens(width, height, crops=4) <= 757


def test_phi_4_image_tokens_follow_its_processor() -> None:
    """One square; one square half covered; 2 x 1 squares; the entire grid of 6 x 6."""
    expected = {(448, 448): 545, (448, 224): 409, (896, 448): 801, (4000, 4000): 9585}

    assert {size: multimodal_image_tokens(*size) for size in expected} == expected


def test_the_size_comes_from_the_header() -> None:
    """Of each format that Phi's servers decode; other formats and broken files have no size."""
    for image_format in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"):
        assert _size_of_url(image_url((64, 43), image_format)) == (64, 43)
    written = BytesIO()
    Image.new("RGB", (64, 43)).save(written, "JPEG")
    metadata = (b"\xff\xe1" + (60_002).to_bytes(2, "big") + bytes(60_000)) * 2
    late = written.getvalue()[:2] + metadata + written.getvalue()[2:]
    assert _size_of_url(data_url(late)) == (64, 43)
    noise = BytesIO()
    Image.effect_noise((640, 427), 90).save(noise, "TIFF")  # its directory is at the end
    assert _size_of_url(data_url(noise.getvalue())) == (640, 427)
    assert _size_of_url(image_url((64, 43), "PPM")) is None


@given(
    head=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"]),
    cut=st.integers(0, 120),
    rest=st.binary(max_size=200),
)
def test_no_bytes_break_the_size(head: str, cut: int, rest: bytes) -> None:
    """Images come from users."""
    file = BytesIO()
    Image.new("RGB", (9, 9)).save(file, head)
    size = _size_of_url(data_url(file.getvalue()[:cut] + rest))

    assert size is None or min(size) > 0


def test_images_of_unknown_size_cost_the_maximum() -> None:
    """2,509 tokens, two parts of the prompt, and the seam between them."""
    vision = model_named("Phi-3-vision-128k-instruct")
    unknown = (
        *("https://example.com/chart.png", "data:image/png;base64,AAAA", "data:nothing"),
        "data:image/png;base64,ÄÖÜ!",
    )

    for url in unknown:
        assert prompt_tokens([image_message(url)], vision) == 3 + 2509 + 5


def test_without_pillow_images_cost_the_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their size is not known then; a lower bound counts nothing for them."""
    url = image_url((640, 480))
    monkeypatch.setitem(sys.modules, "PIL", None)

    cost = prompt_tokens([image_message(url)], model_named("Phi-3-vision-128k-instruct"))

    assert cost == 3 + 2509 + 5


def test_images_may_cost_between_known_bounds() -> None:
    """On Phi-4-reasoning-vision, whatever their size."""
    vision = find_model("Phi-4-reasoning-vision-15B")
    urls = ["https://example.com/a.png"] * 2

    assert prompt_image_tokens(urls, vision) == 7_200
    assert prompt_image_tokens(urls, vision, at_least=True) == 512


def test_image_costs_depend_on_the_model() -> None:
    """Phi-4-multimodal crops differently; a registered model may have fewer crops."""
    fewer = replace(model_named("Phi-3.5-vision-instruct"), image_crops=4)
    messages = [image_message(image_url((448, 448))), image_message("https://example.com/a")]

    assert prompt_tokens(messages, model_named("Phi-4-multimodal")) == 5 + 545 + 9585
    assert prompt_tokens([image_message(image_url((640, 480)))], fewer) == (
        3 + image_tokens(640, 480, crops=4) + 5
    )


# -- tokenizers ----------------------------------------------------------------------------------


class CharacterTokenizer:
    """A tokenizer that makes each character a token."""

    def encode(self, text: str) -> Sequence[int]:
        """The characters' numbers."""
        return [ord(character) for character in text]


def test_a_tokenizer_replaces_the_estimate() -> None:
    """Control tokens are added all the same."""
    tokens_of_question = prompt_tokens([QUESTION], model_named(MINI), CharacterTokenizer())

    assert tokens_of_question == len(QUESTION["content"]) + 3


@pytest.fixture
def tokenizer_file(tmp_path: Path) -> Path:
    """A real `tokenizer.json` of three words, with a start token that it adds by itself."""
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
    """By the file or its folder, without the control tokens that it would add."""
    for path in (tokenizer_file, str(tokenizer_file.parent)):
        assert load_tokenizer(path).encode("one two one three") == [1, 2, 1, 3]


def test_loading_errors_name_what_is_missing(
    tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, or the extra to install."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        load_tokenizer(tokenizer_file.parent / "nothing.json")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"langchain-azure-phi3\[tokenizers\]"):
        load_tokenizer(tokenizer_file)
