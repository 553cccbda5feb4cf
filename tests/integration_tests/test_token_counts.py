"""Tokens through the public door: counted offline, learned from answers, kept within a context."""

import json
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages import trim_messages as trim

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
from tests.integration_tests.colours import COLOURS, ask
from tests.unit_tests.pictures import png_of

MINI = "Phi-3-mini-4k-instruct"
QUESTION = [
    SystemMessage("You are a helpful assistant."),
    HumanMessage("How many languages are in the world?"),
]
WORDS = "The quick brown fox jumps over the lazy dog and runs away from it. "


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"18 degrees in {city}"


@pytest.fixture
def model(phi: Emulator) -> ChatAzurePhi3:
    """A model whose name is known."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model=MINI)


# -- counting ----------------------------------------------------------------------------------


def test_a_text_and_a_conversation_are_counted_offline(phi: Emulator, model: ChatAzurePhi3) -> None:
    """6 and 8 of text, 5 of control: the 19 tokens of Azure's how-to of 2024-07-23."""
    assert [6, 8] == [model.get_num_tokens(message.text) for message in QUESTION]
    assert 19 == model.get_num_tokens_from_messages(QUESTION)
    assert 19 == model.get_num_tokens_from_messages([("system", QUESTION[0].text), QUESTION[1]])
    assert [] == phi.requests


def test_nothing_costs_nothing(model: ChatAzurePhi3) -> None:
    """LangChain's trimming asks about empty slices."""
    assert [0, 0] == [model.get_num_tokens(""), model.get_num_tokens_from_messages([])]


@pytest.mark.parametrize("tool_calling", ["prompted", "native"])
def test_tools_without_messages_cost_what_they_add(model: ChatAzurePhi3, tool_calling: str) -> None:
    """Middleware asks for the share of the tools."""
    model = model.model_copy(update={"tool_calling": tool_calling})

    assert 30 < model.get_num_tokens_from_messages([], tools=[get_weather]) < 400


@pytest.mark.parametrize("tool_calling", ["prompted", "native"])
def test_tools_are_counted_as_they_are_sent(
    phi: Emulator, model: ChatAzurePhi3, tool_calling: str
) -> None:
    """As instructions in words, or as JSON on the wire."""
    model = model.model_copy(update={"tool_calling": tool_calling})

    alone = model.get_num_tokens_from_messages(QUESTION)
    counted = model.get_num_tokens_from_messages(QUESTION, tools=[get_weather])

    assert 40 < counted - alone < 400
    assert [] == phi.requests


def test_the_instructions_counted_are_those_that_are_sent(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """The count of the wire's own texts, with tools in words."""
    model.bind_tools([get_weather]).invoke(QUESTION)
    sent = phi.requests[-1].json["messages"]

    counted = model.model_copy(update={"tokenizer": Letters()}).get_num_tokens_from_messages(
        QUESTION, tools=[get_weather]
    )

    assert sum(len(turn["content"]) for turn in sent) + 5 == counted


def test_a_picture_is_counted_by_the_formula(phi: Emulator) -> None:
    """640 x 480 is 1,921 tokens on Phi-3-vision; an older picture is not sent, nor counted."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model="Phi-3-vision-128k-instruct"
    )
    message = HumanMessage([image_block(png_of(640, 480))])

    assert 1921 + 5 + 3 == model.get_num_tokens_from_messages([message])
    assert 1921 + 5 + 5 == model.get_num_tokens_from_messages([message, message])


def test_what_cannot_be_sent_is_not_counted(model: ChatAzurePhi3) -> None:
    """A text model sees no picture, so no number would be true."""
    with pytest.raises(InvalidInputError, match="takes no image"):
        model.get_num_tokens_from_messages([HumanMessage([image_block(png_of(1, 1))])])


# -- a tokenizer -------------------------------------------------------------------------------


class Letters:
    """A tokenizer of which every letter is a token, and that begins each text with another."""

    def encode(self, text: str) -> Sequence[int]:
        """A start token, and the letters."""
        return [0, *map(ord, text)]


class Ordinary(Letters):
    """One that refuses control tokens in texts, and offers a way that does not: tiktoken's."""

    def encode(self, text: str) -> Sequence[int]:
        """Refuse."""
        raise ValueError("a special token")

    def encode_ordinary(self, text: str) -> Sequence[int]:
        """The letters."""
        return list(map(ord, text))


@pytest.mark.parametrize("tokenizer", [Letters(), Ordinary()], ids=["own", "tiktoken's kind"])
def test_a_tokenizer_given_counts_exactly(phi: Emulator, tokenizer: object) -> None:
    """Without the tokens that it puts around every text; nothing is learned over it."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model=MINI, tokenizer=tokenizer
    )

    assert 11 == model.get_num_tokens("eleven char")
    for _ in range(20):
        model.invoke([HumanMessage(WORDS * 20)])
    assert len(WORDS) + 3 == model.get_num_tokens_from_messages([HumanMessage(WORDS)])


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


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_to_a_tokenizer_is_a_tokenizer(
    phi: Emulator, tokenizer_file: Path, kind: type
) -> None:
    """Read at the first count, and kept in what is serialised."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model=MINI, tokenizer=kind(tokenizer_file)
    )

    assert 4 == model.get_num_tokens("unbelievable words are here")
    assert str(tokenizer_file) == json.loads(dumps(model))["kwargs"]["tokenizer"]
    assert str(tokenizer_file) == model.model_dump()["tokenizer"]


def test_a_tokenizer_of_the_packages_own_class_counts(phi: Emulator, tokenizer_file: Path) -> None:
    """Its `encode` gives an object whose length is the number."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, tokenizer=tokenizer)

    assert 4 == model.get_num_tokens("unbelievable words are here")


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_a_tokenizer_that_is_an_object_is_not_serialised(phi: Emulator) -> None:
    """The model can be made again without it."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model=MINI, tokenizer=Letters()
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


def test_what_is_no_tokenizer_is_refused(phi: Emulator) -> None:
    """At construction, by the name of the parameter."""
    with pytest.raises(InvalidInputError, match=r"tokenizer.*neither a path nor an object"):
        ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, tokenizer=5)


# -- learning ----------------------------------------------------------------------------------


def reporting(prompt_tokens: int) -> bytes:
    """A whole answer with that usage."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 1}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}}
    return json.dumps({"choices": [{**choice, "finish_reason": "stop"}], "usage": usage}).encode()


def streaming(prompt_tokens: int) -> bytes:
    """The same as a stream."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 1}
    choice = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "usage": usage})
    return f"data: {body}\n\ndata: [DONE]\n\n".encode()


def deployment(host: str, prompt_tokens: int) -> ChatAzurePhi3:
    """A model on a server that says that every prompt cost so much."""

    def answer(request: httpx.Request) -> httpx.Response:
        whole = b'"stream":true' not in request.content
        return httpx.Response(200, content=(reporting if whole else streaming)(prompt_tokens))

    transport = httpx.MockTransport(answer)
    return ChatAzurePhi3(
        endpoint=f"https://{host}.eastus2.models.ai.azure.com",
        credential="key",
        model=MINI,
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
    )


@pytest.mark.parametrize("colour", COLOURS)
async def test_counts_approach_what_the_deployment_reports(colour: str) -> None:
    """Text that costs half as much again; control tokens are known, and not scaled."""
    model = deployment(f"learns-{colour}", 300 * 3 // 2 + 3)
    question = [HumanMessage(WORDS * 20)]
    texts = model.get_num_tokens_from_messages(question) - 3

    for _ in range(12):
        await ask(model, colour, question)

    learned = model.get_num_tokens_from_messages(question)
    assert learned == pytest.approx(453, rel=0.06)
    assert abs(learned - 453) < abs(texts + 3 - 453) / 4


def test_what_one_deployment_teaches_holds_for_all_that_point_at_it() -> None:
    """For models made later as well, and for no other deployment."""
    before = deployment("shares", 600).get_num_tokens(WORDS * 20)
    for _ in range(10):
        deployment("shares", 600).invoke(WORDS * 20)

    assert deployment("shares", 1).get_num_tokens(WORDS * 20) > 1.4 * before
    assert deployment("another", 1).get_num_tokens(WORDS * 20) == before


@pytest.mark.parametrize("usage", [0, -5])
def test_a_figure_that_says_nothing_teaches_nothing(usage: int) -> None:
    """Some servers report 0 where they did not count."""
    model = deployment("silent", usage)
    before = model.get_num_tokens(WORDS)

    model.invoke(WORDS)

    assert before == model.get_num_tokens(WORDS)


def test_pictures_teach_nothing_about_texts() -> None:
    """Their price is a formula's, and servers differ in its settings."""
    model = deployment("pictured", 100_000).model_copy(
        update={"model": "Phi-3-vision-128k-instruct"}
    )
    before = model.get_num_tokens(WORDS)

    model.invoke([HumanMessage([WORDS, image_block(png_of(10, 10))])])

    assert before == model.get_num_tokens(WORDS)


def test_learning_from_many_threads_is_safe() -> None:
    """All of them through one model."""
    model = deployment("threads", 450)
    question = [HumanMessage(WORDS * 20)]
    threads = [Thread(target=lambda: [model.invoke(question) for _ in range(5)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert model.get_num_tokens_from_messages(question) == pytest.approx(450, rel=0.06)


# -- what fits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
async def test_what_cannot_fit_is_refused_before_it_is_sent(
    phi: Emulator, model: ChatAzurePhi3, colour: str
) -> None:
    """With both numbers, in the words and on the error."""
    with pytest.raises(
        ContextLengthError, match=r"about [\d,]+ tokens.* context of 4,096"
    ) as error:
        await ask(model, colour, WORDS * 700)

    assert [] == phi.requests
    assert (4096, True) == (error.value.context, (error.value.prompt_tokens or 0) > 9000)
    assert not error.value.is_retryable


@pytest.mark.parametrize("times", [300, 340, 380])
def test_what_may_fit_is_left_to_the_server(
    phi: Emulator, model: ChatAzurePhi3, times: int
) -> None:
    """Between the context and what is surely beyond it; the server's refusal is the same error."""
    with pytest.raises(ContextLengthError, match="maximum context length is 4096") as error:
        model.invoke(WORDS * times)

    assert 1 == len(phi.requests)
    assert 4096 == error.value.context


@pytest.mark.parametrize(
    "text",
    [
        "PERMISSION IS HEREBY GRANTED, FREE OF CHARGE, TO ANY PERSON OBTAINING A COPY. ",
        "0123456789 abcdef0123456789abcdef0123456789 ",
        "Ünïcödé wörds äre dear. ",
    ],
)
def test_what_was_learned_never_makes_a_refusal(text: str) -> None:
    """It is of other texts: this deployment's estimates were far too low, and this one fits."""
    model = deployment("scared", 4000)
    for _ in range(20):
        model.invoke(WORDS * 20)
    fitting = text
    while model.model_copy(update={"model": "phi-3-mini"}).get_num_tokens(fitting) < 4096:
        fitting += text

    assert "Yes." == model.invoke(fitting).text


def test_a_tokenizer_makes_the_limit_exact(phi: Emulator) -> None:
    """4,093 letters and 3 control tokens fit; one letter more does not."""
    model = deployment("exact", 5).model_copy(update={"tokenizer": Letters()})

    model.invoke("x" * 4093)
    with pytest.raises(ContextLengthError, match="The prompt is 4,097 tokens, and"):
        model.invoke("x" * 4094)


def test_an_unknown_models_context_is_not_assumed(phi: Emulator) -> None:
    """The server says it."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model="house-model")

    with pytest.raises(ContextLengthError):
        model.invoke(WORDS * 700)

    assert 1 == len(phi.requests)


def test_a_registered_model_is_known(phi: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own limit."""
    monkeypatch.setattr(models, "_catalogue", models._catalogue)
    register_model(PhiModel(name="house-model", context=100, tokenizer="o200k", source="ours"))
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model="house-model")

    with pytest.raises(ContextLengthError, match="house-model has a context of 100"):
        model.invoke(WORDS * 50)


def test_pictures_alone_can_be_too_many(phi: Emulator) -> None:
    """200 of them, even if the server cuts each into as few squares as anybody does."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model="Phi-3.5-vision-instruct"
    )
    pictures = [image_block(png_of(640, 480))]

    with pytest.raises(ContextLengthError, match=r"context of 131,072"):
        model.invoke([HumanMessage(pictures * 300)])
    assert [] == phi.requests


# -- room for the answer -----------------------------------------------------------------------


def test_max_tokens_is_sent_as_it_was_set(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The server refuses what does not fit, in its own words and as the same error."""
    with pytest.raises(ContextLengthError, match="4115 tokens") as error:
        model.invoke(QUESTION, max_tokens=4096)

    assert 4096 == phi.requests[-1].json["max_tokens"]
    assert (19, 4096) == (error.value.prompt_tokens, error.value.context)


@pytest.mark.parametrize("colour", COLOURS)
async def test_max_tokens_is_lowered_to_what_remains_where_the_user_asks(
    phi: Emulator, colour: str
) -> None:
    """By the estimate's upper end, so that the server agrees."""
    model = ChatAzurePhi3(
        endpoint=phi.endpoint,
        credential=phi.key,
        model=MINI,
        max_tokens=4096,
        fit_max_tokens=True,
    )

    await ask(model, colour, QUESTION)
    assert 4000 < phi.requests[-1].json["max_tokens"] <= 4096 - 19

    await ask(model, colour, [HumanMessage(WORDS * 150)])
    assert 500 < phi.requests[-1].json["max_tokens"] < 2500


def test_max_tokens_that_fits_is_left_alone(phi: Emulator, model: ChatAzurePhi3) -> None:
    """And none is set where none was."""
    fitting = model.model_copy(update={"fit_max_tokens": True})

    fitting.invoke(QUESTION, max_tokens=100)
    assert 100 == phi.requests[-1].json["max_tokens"]
    fitting.invoke(QUESTION)
    assert "max_tokens" not in phi.requests[-1].json


def test_a_room_that_only_may_be_there_is_tried(phi: Emulator) -> None:
    """Where the upper end leaves nothing, the likeliest figure counts."""
    model = deployment("narrow", 5).model_copy(update={"fit_max_tokens": True})
    counted = model.get_num_tokens_from_messages([HumanMessage(WORDS * 220)])
    sent: list[int] = []
    model = model.model_copy(
        update={
            "http_client": httpx.Client(
                transport=httpx.MockTransport(
                    lambda request: (
                        sent.append(json.loads(request.content)["max_tokens"])
                        or httpx.Response(200, content=reporting(5))
                    )
                )
            )
        }
    )

    model.invoke(WORDS * 220, max_tokens=4096)

    assert [4096 - counted] == sent


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


@pytest.mark.parametrize("strategy", ["last", "first"])
def test_trim_messages_trims_to_the_models_count(model: ChatAzurePhi3, strategy: str) -> None:
    """`trim_messages(token_counter=model)`: as many as fit, and not one more."""
    trimmed = trim(
        HISTORY, max_tokens=1000, token_counter=model, strategy=strategy, include_system=False
    )

    assert 0 < len(trimmed) < len(HISTORY)
    assert 700 < model.get_num_tokens_from_messages(trimmed) <= 1000


def test_trimmed_messages_with_tools_are_sent(phi: Emulator, model: ChatAzurePhi3) -> None:
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
    """Trimming asks about slices that begin anywhere."""
    assert 5 < model.get_num_tokens_from_messages([ToolMessage("18 degrees", tool_call_id="1")])


def test_summarization_middleware_works_with_a_fraction_of_the_context(
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


def test_a_short_conversation_is_not_summarised(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The trigger is a fraction of 4,096 tokens."""
    middleware = SummarizationMiddleware(model=model, trigger=("fraction", 0.5))
    agent = create_agent(model, tools=[], middleware=[middleware])

    agent.invoke({"messages": HISTORY[-3:]})

    assert 1 == len(phi.requests)
