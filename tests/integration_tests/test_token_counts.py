"""Token counts through the public API: counted offline, and kept within the model's context."""

import json
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages import trim_messages as trim
from PIL import Image

from langchain_azure_phi3 import (
    ChatAzurePhi3,
    ContextLengthError,
    InvalidInputError,
    PhiModel,
    image_block,
    models,
    register_model,
)
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model

MINI = "Phi-3-mini-4k-instruct"
QUESTION = [
    SystemMessage("You are a helpful assistant."),
    HumanMessage("How many languages are in the world?"),
]
WORDS = "The quick brown fox jumps over the lazy dog and runs away from it. "
IMAGE = image_block(Image.new("RGB", (640, 480)))


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"18 degrees in {city}"


@pytest.fixture
def model(phi: Emulator) -> ChatAzurePhi3:
    """A model whose name is known."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model=MINI)


class CharacterTokenizer:
    """A tokenizer that makes each character a token, and starts each text with another token."""

    def encode(self, text: str) -> Sequence[int]:
        """A start token, and the characters."""
        return [0, *map(ord, text)]


class OrdinaryTokenizer(CharacterTokenizer):
    """Refuses control tokens in texts, and offers `encode_ordinary` for them, as tiktoken does."""

    def encode(self, text: str) -> Sequence[int]:
        """Refuse."""
        raise ValueError("a special token")

    def encode_ordinary(self, text: str) -> Sequence[int]:
        """The characters."""
        return list(map(ord, text))


def deployment(requests: list[httpx.Request]) -> ChatAzurePhi3:
    """A model on a server that accepts prompts of any length."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}}
    body = {"choices": [{**choice, "finish_reason": "stop"}]}

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=body)

    return ChatAzurePhi3(
        endpoint="https://phi.eastus2.models.ai.azure.com",
        credential="key",
        model=MINI,
        http_client=httpx.Client(transport=httpx.MockTransport(respond)),
    )


# -- counting ----------------------------------------------------------------------------------


def test_texts_and_conversations_are_counted_offline(phi: Emulator, model: ChatAzurePhi3) -> None:
    """6 and 8 of text, 5 of control: the 19 tokens of Azure's how-to of 2024-07-23."""
    assert [6, 8] == [model.get_num_tokens(message.text) for message in QUESTION]
    assert 19 == model.get_num_tokens_from_messages(QUESTION)
    assert 19 == model.get_num_tokens_from_messages([("system", QUESTION[0].text), QUESTION[1]])
    assert [] == phi.requests


def test_nothing_costs_nothing(model: ChatAzurePhi3) -> None:
    """LangChain's trimming counts empty slices."""
    assert [0, 0] == [model.get_num_tokens(""), model.get_num_tokens_from_messages([])]


def test_tools_are_counted_as_they_are_sent(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As instructions in the prompt, or as JSON; with messages, and alone, as middleware asks."""
    for tool_calling in ("prompted", "native"):
        counter = model.model_copy(update={"tool_calling": tool_calling})
        alone = counter.get_num_tokens_from_messages(QUESTION)
        counted = counter.get_num_tokens_from_messages(QUESTION, tools=[get_weather])

        assert 40 < counted - alone < 400
        assert 30 < counter.get_num_tokens_from_messages([], tools=[get_weather]) < 400
    assert [] == phi.requests


def test_counted_instructions_are_the_sent_ones(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The count of the texts on the wire, with prompted tools."""
    model.bind_tools([get_weather]).invoke(QUESTION)
    sent = phi.requests[-1].json["messages"]

    exact = model.model_copy(update={"tokenizer": CharacterTokenizer()})
    counted = exact.get_num_tokens_from_messages(QUESTION, tools=[get_weather])

    assert sum(len(turn["content"]) for turn in sent) + 5 == counted


def test_images_are_counted_by_the_formula(phi: Emulator) -> None:
    """640 x 480 is 1,921 tokens on Phi-3-vision; an older image is neither sent nor counted."""
    vision = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model="Phi-3-vision-128k-instruct"
    )
    message = HumanMessage([IMAGE])

    assert 1921 + 5 + 3 == vision.get_num_tokens_from_messages([message])
    assert 1921 + 5 + 5 == vision.get_num_tokens_from_messages([message, message])


def test_content_that_cannot_be_sent_is_refused(model: ChatAzurePhi3) -> None:
    """A text model accepts no image, so no number would be right."""
    with pytest.raises(InvalidInputError, match="does not accept image input"):
        model.get_num_tokens_from_messages([HumanMessage([IMAGE])])


# -- a tokenizer -------------------------------------------------------------------------------


def test_a_given_tokenizer_counts_exactly(model: ChatAzurePhi3) -> None:
    """Without the tokens that it adds to each text."""
    for tokenizer in (CharacterTokenizer(), OrdinaryTokenizer()):
        exact = model.model_copy(update={"tokenizer": tokenizer})

        assert 11 == exact.get_num_tokens("eleven char")
        assert len(WORDS) + 3 == exact.get_num_tokens_from_messages([HumanMessage(WORDS)])


@pytest.fixture
def tokenizer_file(tmp_path: Path) -> Path:
    """A real `tokenizer.json` of words, each one token."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_a_path_to_a_tokenizer_is_accepted(phi: Emulator, tokenizer_file: Path) -> None:
    """The file is read at the first count, and its path is serialized."""
    for path in (str(tokenizer_file), tokenizer_file):
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, tokenizer=path)

        assert 4 == model.get_num_tokens("unbelievable words are here")
        assert str(tokenizer_file) == json.loads(dumps(model))["kwargs"]["tokenizer"]
        assert str(tokenizer_file) == model.model_dump()["tokenizer"]


def test_the_tokenizers_package_is_accepted(phi: Emulator, tokenizer_file: Path) -> None:
    """Its `encode` returns an object whose length is the number."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, tokenizer=tokenizer)

    assert 4 == model.get_num_tokens("unbelievable words are here")


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_a_tokenizer_object_is_not_serialized(phi: Emulator) -> None:
    """The model can be loaded again without it."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model=MINI, tokenizer=CharacterTokenizer()
    )

    written = dumps(model)
    again = loads(
        written,
        valid_namespaces=["langchain_azure_phi3"],
        allowed_objects=[ChatAzurePhi3],
        secrets_map={"AZURE_INFERENCE_CREDENTIAL": phi.key},
    )

    assert "tokenizer" not in json.loads(written)["kwargs"]
    assert again.tokenizer is None
    assert model.model_dump()["tokenizer"] is None


def test_other_objects_are_refused_as_tokenizers(phi: Emulator) -> None:
    """At construction, by the name of the parameter."""
    with pytest.raises(InvalidInputError, match="tokenizer"):
        ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, tokenizer=5)


# -- what fits ---------------------------------------------------------------------------------


async def test_prompts_that_cannot_fit_are_refused(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Before sending, with both numbers in the message and on the error."""
    for mode in CALL_MODES:
        with pytest.raises(
            ContextLengthError, match=r"about [\d,]+ tokens.* context of 4,096"
        ) as error:
            await call_model(model, mode, WORDS * 700)

        assert (4096, True) == (error.value.context, (error.value.prompt_tokens or 0) > 9000)
        assert not error.value.is_retryable
    assert [] == phi.requests


def test_prompts_that_may_fit_are_sent(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Above the context by the estimate, but not for sure; the server raises the same error."""
    for text in ("unforeseeable " * 2400, "PERMISSION IS HEREBY GRANTED " * 900):
        assert model.get_num_tokens(text) > 4096
        with pytest.raises(ContextLengthError, match="maximum context length is 4096") as error:
            model.invoke(text)
        assert 4096 == error.value.context

    assert 2 == len(phi.requests)


def test_a_tokenizer_makes_the_limit_exact() -> None:
    """4,093 characters and 3 control tokens fit; one character more does not."""
    model = deployment([]).model_copy(update={"tokenizer": CharacterTokenizer()})

    model.invoke("x" * 4093)
    with pytest.raises(ContextLengthError, match="The prompt is 4,097 tokens, and"):
        model.invoke("x" * 4094)


def test_no_context_is_assumed_for_unknown_models(phi: Emulator) -> None:
    """The server reports its own."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model="house-model")

    with pytest.raises(ContextLengthError):
        model.invoke(WORDS * 700)

    assert 1 == len(phi.requests)


def test_a_registered_models_context_is_known(
    phi: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt that exceeds it is not sent."""
    monkeypatch.setattr(models, "_catalog", models._catalog)
    register_model(PhiModel(name="house-model", context=100, tokenizer="o200k", source="ours"))
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model="house-model")

    with pytest.raises(ContextLengthError, match="house-model has a context of 100"):
        model.invoke(WORDS * 50)


def test_images_alone_can_be_too_many(phi: Emulator) -> None:
    """300 of them, even if the server cuts each into the fewest crops."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model="Phi-3.5-vision-instruct"
    )

    with pytest.raises(ContextLengthError, match=r"context of 131,072"):
        model.invoke([HumanMessage([IMAGE] * 300)])
    assert [] == phi.requests


# -- room for the answer -----------------------------------------------------------------------


def test_max_tokens_is_not_changed_by_default(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The server refuses what does not fit, as the same error."""
    with pytest.raises(ContextLengthError, match="4115 tokens") as error:
        model.invoke(QUESTION, max_tokens=4096)

    assert 4096 == phi.requests[-1].json["max_tokens"]
    assert (19, 4096) == (error.value.prompt_tokens, error.value.context)


async def test_fit_max_tokens_lowers_max_tokens(phi: Emulator) -> None:
    """By the estimate's upper bound, so that the server accepts it."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint,
        credential=phi.key,
        model=MINI,
        max_tokens=4096,
        fit_max_tokens=True,
    )

    for mode in CALL_MODES:
        await call_model(model, mode, QUESTION)
        assert 4000 < phi.requests[-1].json["max_tokens"] <= 4096 - 19

        await call_model(model, mode, [HumanMessage(WORDS * 150)])
        assert 500 < phi.requests[-1].json["max_tokens"] < 2500


def test_fit_max_tokens_keeps_values_that_fit(phi: Emulator, model: ChatAzurePhi3) -> None:
    """And adds none."""
    fitting = model.model_copy(update={"fit_max_tokens": True})

    fitting.invoke(QUESTION, max_tokens=100)
    assert 100 == phi.requests[-1].json["max_tokens"]
    fitting.invoke(QUESTION)
    assert "max_tokens" not in phi.requests[-1].json


def test_fit_max_tokens_tries_the_likely_room() -> None:
    """Where the upper bound leaves nothing, the likeliest number counts."""
    requests: list[httpx.Request] = []
    model = deployment(requests).model_copy(update={"fit_max_tokens": True})
    counted = model.get_num_tokens_from_messages([HumanMessage(WORDS * 220)])

    model.invoke(WORDS * 220, max_tokens=4096)

    assert 4096 - counted == json.loads(requests[0].content)["max_tokens"]


# -- LangChain's own tools ---------------------------------------------------------------------

HISTORY: list[BaseMessage] = [
    SystemMessage("Be brief."),
    *(
        message
        for turn in range(20)
        for message in (HumanMessage(f"{turn}: {WORDS * 10}"), AIMessage(f"Yes, {turn}."))
    ),
    HumanMessage("And now?"),
]


def test_trim_messages_accepts_the_model_as_counter(model: ChatAzurePhi3) -> None:
    """`trim_messages(token_counter=model)`: as many as fit, and not one more."""
    for strategy in ("last", "first"):
        trimmed = trim(HISTORY, max_tokens=1000, token_counter=model, strategy=strategy)

        assert 0 < len(trimmed) < len(HISTORY)
        assert 700 < model.get_num_tokens_from_messages(trimmed) <= 1000


def test_trimmed_conversations_are_sent(phi: Emulator, model: ChatAzurePhi3) -> None:
    """As a chain does it, from the last human turn on."""
    trimmer = trim(
        max_tokens=900,
        token_counter=model,
        strategy="last",
        include_system=True,
        start_on="human",
        allow_partial=False,
    )

    (trimmer | model).invoke(HISTORY)

    sent = phi.requests[-1].json["messages"]
    assert ("system", "And now?") == (sent[0]["role"], sent[-1]["content"])
    assert len(sent) < 15


def test_a_tool_result_alone_can_be_counted(model: ChatAzurePhi3) -> None:
    """Trimming counts slices that begin anywhere."""
    assert 5 < model.get_num_tokens_from_messages([ToolMessage("18 degrees", tool_call_id="1")])


def test_summarization_middleware_uses_the_models_context(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """By the profile's limit; with the model's own counter, and with LangChain's."""
    for counter in ({"token_counter": model.get_num_tokens_from_messages}, {}):
        middleware = SummarizationMiddleware(
            model=model,
            trigger=("fraction", 0.5),
            keep=("messages", 2),
            trim_tokens_to_summarize=1000,
            **counter,
        )
        agent = create_agent(model, tools=[], middleware=[middleware])
        phi.requests.clear()
        phi.script("All was said about foxes.", "Well.")

        state = agent.invoke({"messages": HISTORY[1:]})

        assert 2 == len(phi.requests)
        assert "All was said about foxes." in state["messages"][0].text
        assert "Well." == state["messages"][-1].text
        assert len(phi.requests[1].json["messages"]) < 5


def test_short_conversations_are_not_summarized(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The trigger is a fraction of 4,096 tokens."""
    middleware = SummarizationMiddleware(model=model, trigger=("fraction", 0.5))
    agent = create_agent(model, tools=[], middleware=[middleware])

    agent.invoke({"messages": HISTORY[-3:]})

    assert 1 == len(phi.requests)
