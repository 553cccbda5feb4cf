"""The same conversations on every kind of server, in all four colours.

The emulator stands behind the host names of the real places, in this process: so the routes, the
headers and the parameters are those that are sent there.
"""

from typing import Any, NamedTuple

import httpx
import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from langchain_azure_phi3 import (
    AuthenticationError,
    BadRequestError,
    ChatAzurePhi3,
    ContentFilterError,
    ContextLengthError,
    InvalidInputError,
    NotFoundError,
    ServerError,
)
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.colours import COLOURS, ask
from tests.unit_tests.pictures import data_url, png_of

ML = "https://phi.eastus2.inference.ml.azure.com"
QUESTION = [
    SystemMessage("You are a helpful assistant."),
    HumanMessage("How many languages are in the world?"),
]
ANSWER = "As of now, it's estimated that there are about 7,000 languages"


class Kind(NamedTuple):
    """Where a dialect is spoken, and what it cannot do.

    Attributes:
        endpoint: As users paste it.
        settings: What users say besides.
        counts: Whether whole answers carry token counts.
        info: Whether the model tells its name, and how it spells it.
        finishes: Whether answers say why they ended.
    """

    endpoint: str
    settings: dict[str, Any] = {}  # noqa: RUF012 -- never changed
    counts: bool = True
    info: str | None = None
    finishes: bool = True


NAMED = {"model": "Phi-3-mini-4k-instruct"}
SCORE = {"api": "score"}
INFO = "Phi-3-mini-4k-Instruct"
REGISTERED = "Phi-3-mini-4k-instruct"

KINDS = {
    "serverless": Kind("https://phi.eastus2.models.ai.azure.com", info=INFO),
    "managed-2024-05": Kind(f"{ML}/score", finishes=False),
    "managed-2024-06": Kind(ML, info=REGISTERED),
    "managed-2026-07": Kind(ML, info=REGISTERED),
    "foundation-model-serve": Kind(ML),
    "foundry": Kind("https://res.services.ai.azure.com", NAMED, info=INFO),
    "openai-v1": Kind("https://res.openai.azure.com", NAMED),
    "azure-openai": Kind("https://res.openai.azure.com/openai/deployments/Phi-3-mini-4k-instruct"),
    "github": Kind("https://models.github.ai", {"model": "microsoft/Phi-3-mini-4k-instruct"}),
    "openai-server": Kind("http://localhost:8000/v1"),
    "ollama": Kind("http://localhost:11434", NAMED),
}
SCORED = {
    f"{dialect} /score": Kind(f"{ML}/score", SCORE, counts=more, finishes=more)
    for dialect, more in (
        ("managed-2024-05", False),
        ("managed-2024-06", False),
        ("managed-2026-07", False),
        ("foundation-model-serve", True),
    )
}
EVERY = pytest.mark.parametrize("name", [*KINDS, *SCORED])
CHATS = pytest.mark.parametrize("name", list(KINDS))
FOUR = pytest.mark.parametrize("colour", COLOURS)


def kind_of(name: str) -> Kind:
    """The row of that name."""
    return (KINDS | SCORED)[name]


def placed(name: str, *models: str, **settings: Any) -> tuple[Emulator, ChatAzurePhi3]:
    """A server of that kind, and a model that asks it at its real address."""
    phi = Emulator(*(models or ("Phi-3-mini-4k-instruct",)), dialect=name.split()[0])
    kind = kind_of(name)
    given = {"credential": phi.key, "max_retries": 0, **kind.settings, **settings}
    model = ChatAzurePhi3(
        endpoint=kind.endpoint,
        http_client=httpx.Client(transport=phi.transport()),
        http_async_client=httpx.AsyncClient(transport=phi.transport()),
        **given,
    )
    return phi, model


@EVERY
@FOUR
async def test_a_question_is_answered(name: str, colour: str) -> None:
    """The how-to's question, with what the answer says of itself."""
    _, model = placed(name, max_tokens=300, temperature=0)

    answer = await ask(model, colour, QUESTION)

    assert answer.text.startswith(ANSWER)
    metadata = answer.response_metadata
    assert metadata["model_provider"] == "azure_phi3"
    assert metadata.get("finish_reason") == ("stop" if kind_of(name).finishes else None)


@EVERY
async def test_whole_answers_are_counted_where_the_server_counts(name: str) -> None:
    """All but the older /score do."""
    _, model = placed(name)

    for answer in (model.invoke(QUESTION), await model.ainvoke(QUESTION)):
        counted = answer.usage_metadata
        assert (counted is not None) == kind_of(name).counts
        assert counted is None or counted["total_tokens"] == 91


NATIVE_COUNTS = {"openai-v1", "azure-openai", "openai-server"}


@CHATS
@pytest.mark.parametrize("colour", ["stream", "astream"])
async def test_streams_are_counted_where_nothing_forbids_it(name: str, colour: str) -> None:
    """Unasked, asked with a native parameter, or not at all unless `stream_usage` says so."""
    phi, model = placed(name)

    counted = (await ask(model, colour, QUESTION)).usage_metadata
    model.stream_usage = True
    demanded = (await ask(model, colour, QUESTION)).usage_metadata

    unasked = {"serverless", "managed-2024-05"}
    assert (counted is not None) == (name in NATIVE_COUNTS | unasked)
    assert ("stream_options" in phi.requests[0].json) == (name in NATIVE_COUNTS)
    assert demanded is not None
    assert demanded["total_tokens"] == 91


@EVERY
@FOUR
async def test_tools_are_called_by_prompt(name: str, colour: str) -> None:
    """Nothing of them is on the wire but words."""
    phi, model = placed(name)
    tool = {
        "title": "get_weather",
        "description": "The weather in a city.",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }

    answer = await ask(
        model.bind_tools([tool], tool_choice="any"), colour, "What is the weather in Paris?"
    )

    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    assert all("tools" not in request.json for request in phi.requests)


@EVERY
@FOUR
async def test_a_schema_is_filled_by_prompt(name: str, colour: str) -> None:
    """Structured output works wherever text does."""
    _, model = placed(name)
    schema = {
        "title": "City",
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
    }

    found: Any = await ask(
        model.with_structured_output(schema), colour, "Describe the city of Paris."
    )

    assert isinstance(found["name"], str)


@CHATS
@FOUR
async def test_a_filtered_prompt_is_told(name: str, colour: str) -> None:
    """In every shape, wrapped or not, with a sentence after the JSON or not."""
    _, model = placed(name)

    with pytest.raises(ContentFilterError) as caught:
        await ask(model, colour, "How to make a lethal bomb?")
    assert (caught.value.stage, caught.value.status_code) == ("prompt", 400)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "managed-2024-05"])
@FOUR
async def test_a_conversation_that_is_too_long_is_told(name: str, colour: str) -> None:
    """The engine's words, in whatever they are wrapped."""
    _, model = placed(name, max_tokens=5000)

    with pytest.raises(ContextLengthError, match="maximum context length is 4096"):
        await ask(model, colour, "Hi")


@pytest.mark.parametrize("name", [name for name in KINDS if name != "ollama"])
@FOUR
async def test_a_wrong_key_is_told_with_what_was_sent(name: str, colour: str) -> None:
    """Which header, and what to check; the front end is not wrapped."""
    _, model = placed(name, credential="wrong" * 6)

    with pytest.raises(AuthenticationError, match="A key was sent, in the header") as caught:
        await ask(model, colour, "Hi")
    assert "wrong" * 6 not in str(caught.value)


@pytest.mark.parametrize("name", ["foundry", "openai-v1", "github", "openai-server", "ollama"])
@FOUR
async def test_a_wrong_model_is_told(name: str, colour: str) -> None:
    """By name: each kind of server has its own words."""
    phi, model = placed(name, model="Phi-9")
    endpoint = {"ollama": f"{kind_of(name).endpoint}/v1"}.get(name, kind_of(name).endpoint)
    model = model.model_copy(update={"endpoint": endpoint})

    with pytest.raises(NotFoundError, match="`model`"):
        await ask(model, colour, "Hi")
    assert len(phi.requests) == 1


@CHATS
@FOUR
async def test_native_tools_are_refused_with_the_servers_reason(name: str, colour: str) -> None:
    """Where somebody forces them."""
    _, model = placed(name, tool_calling="native")
    tool = {"title": "look", "description": "Look.", "type": "object", "properties": {}}

    with pytest.raises(BadRequestError, match=r"[Tt]ool") as caught:
        await ask(model.bind_tools([tool]), colour, "Hi")
    assert caught.value.status_code == 400


@CHATS
@FOUR
async def test_a_picture_is_seen(name: str, colour: str) -> None:
    """By a model with eyes, where the server has one."""
    model_name = "Phi-3-vision-128k-instruct"
    settings = {"model": model_name} if "model" in kind_of(name).settings else {}
    if name == "azure-openai":
        settings = {"endpoint": f"https://res.openai.azure.com/openai/deployments/{model_name}"}
    _, model = placed(name, model_name)
    model = model.model_copy(update=settings)
    url = {"type": "image_url", "image_url": {"url": data_url(png_of(1900, 1069), "image/png")}}
    text = {"type": "text", "text": "Which conclusion can be extracted from the chart?"}

    answer = await ask(model, colour, [HumanMessage([text, url])])

    assert answer.text


@CHATS
async def test_the_models_name_is_told_where_there_is_a_route(name: str) -> None:
    """Elsewhere it is not found, and that harms nothing."""
    _, model = placed(name)
    expected = kind_of(name).info

    if expected is None:
        with pytest.raises(NotFoundError):
            model.get_model_info()
        with pytest.raises(NotFoundError):
            await model.aget_model_info()
    else:
        found = [model.get_model_info(), await model.aget_model_info()]
        assert [info.model_name for info in found] == [expected, expected]


LOGPROBS = set(KINDS) - {name for name, kind in KINDS.items() if kind.endpoint.startswith(ML)}


@CHATS
@FOUR
async def test_log_probabilities_come_where_the_server_keeps_them(name: str, colour: str) -> None:
    """Managed compute drops them; asking for them is no failure."""
    _, model = placed(name, logprobs=True, top_logprobs=2)

    answer = await ask(model, colour, QUESTION)

    assert ("logprobs" in answer.response_metadata) == (name in LOGPROBS)


# -- what only some have -----------------------------------------------------------------------


def test_a_server_that_cannot_stream_answers_in_one_piece() -> None:
    """Version 0.1.8 ignores `stream`."""
    _, model = placed("managed-2024-05")

    texts = [chunk.text for chunk in model.stream(QUESTION) if chunk.text]

    assert len(texts) == 1
    assert texts[0].startswith(ANSWER)


def test_a_server_that_hides_its_failures_gives_a_filtered_answer() -> None:
    """Version 0.1.8 answers any failure inside it so."""
    _, model = placed("managed-2024-05", max_tokens=5000)

    with pytest.raises(ContentFilterError):
        model.invoke("Hi")


def test_without_a_limit_the_newer_server_stops_at_256_tokens() -> None:
    """It fills in its schema's defaults."""
    phi, model = placed("foundation-model-serve")
    phi.script("word " * 1000)

    answer = model.invoke("Hi")

    assert answer.response_metadata["finish_reason"] == "length"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 256


@FOUR
async def test_score_says_its_failures_with_success(colour: str) -> None:
    """Nothing, the word None, or an error: each is a typed one."""
    phi, model = placed("managed-2024-06 /score")

    with pytest.raises(ServerError, match="200 with an empty object"):
        await ask(model, colour, "How to make a lethal bomb?")
    phi.script("None")
    with pytest.raises(ServerError, match="output 'None'"):
        await ask(model, colour, "Hi")
    _, later = placed("foundation-model-serve /score")
    with pytest.raises(ContentFilterError, match="violates azure ai content safety"):
        await ask(later, colour, "How to make a lethal bomb?")
    with pytest.raises(ContextLengthError):
        await ask(later, colour, "Hi", max_tokens=200_000)


@FOUR
async def test_the_word_none_is_an_answer_where_failures_have_another_form(colour: str) -> None:
    """The later server says what failed."""
    phi, model = placed("foundation-model-serve /score")
    phi.script("None")

    assert (await ask(model, colour, "Is there any?")).text == "None"


def test_score_gets_its_own_form() -> None:
    """The names of its parameters, and no header that it does not read."""
    phi, model = placed(
        "managed-2024-06 /score",
        temperature=0,
        max_tokens=9,
        model="x",
        stop=["END"],
        logprobs=True,
    )

    model.invoke("Hi", response_format={"type": "text"})
    list(model.stream("Hi", temperature=0.5))

    parameters = {"max_new_tokens": 9, "stop": ["END"], "logprobs": True}
    for request, own in zip(
        phi.requests,
        ({"temperature": 0, "do_sample": False}, {"temperature": 0.5, "do_sample": True}),
        strict=True,
    ):
        assert (request.path, request.query) == ("/score", {})
        assert request.json == {
            "input_data": {
                "input_string": [{"role": "user", "content": "Hi"}],
                "parameters": parameters | own,
            }
        }


@pytest.mark.parametrize(
    ("settings", "asked", "match"),
    [
        ({}, {"n": 2}, "gives one answer"),
        (
            {"tool_calling": "native"},
            {"tools": [{"type": "function", "function": {"name": "look"}}]},
            "takes no tool_choice, tools",
        ),
        (
            {"tool_calling": "native"},
            {"response_format": {"type": "json_object"}},
            "takes no response_format",
        ),
    ],
)
def test_what_score_cannot_give_is_refused_here(
    settings: dict[str, Any], asked: dict[str, Any], match: str
) -> None:
    """It would be dropped in silence."""
    phi, model = placed("managed-2024-06 /score", **settings)

    with pytest.raises(InvalidInputError, match=match):
        model.invoke("Hi", **asked)
    assert phi.requests == []


def test_wrapped_errors_keep_the_servers_own_status_and_the_raw_answer() -> None:
    """424 is the front end's; the container's is in a header."""
    _, model = placed("managed-2026-07")

    with pytest.raises(BadRequestError) as caught:
        model.invoke("Hi", temperature=3)

    failure = caught.value
    assert (failure.status_code, failure.parameter) == (422, "temperature")
    assert failure.response is not None
    assert failure.response.status_code == 424
    assert b"Please check this guide" in failure.response.content


@pytest.mark.parametrize("dialect", list(KINDS))
def test_each_dialect_is_spoken_over_a_socket(dialect: str) -> None:
    """At the emulator's own endpoint, which is found like any other."""
    with Emulator("Phi-3-mini-4k-instruct", dialect=dialect) as phi:
        version = "2024-05-01-preview" if dialect == "foundry" else None
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, api_version=version, **NAMED
        )
        assert model.invoke(QUESTION).text.startswith(ANSWER)
