"""The same conversations on every server type, in all four calling modes.

The emulator answers for the host names of the real services, in this process, so the routes,
headers and parameters are the real ones.
"""

from collections.abc import Awaitable, Callable, Iterable
from itertools import product
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
from tests.integration_tests.call_modes import CALL_MODES as MODES
from tests.integration_tests.call_modes import call_model
from tests.scripted_model import scripted_values
from tests.unit_tests.images import data_url, png_of

ML = "https://phi.eastus2.inference.ml.azure.com"
QUESTION = [
    SystemMessage("You are a helpful assistant."),
    HumanMessage("How many languages are in the world?"),
]
ANSWER = "As of now, it's estimated that there are about 7,000 languages"


class Server(NamedTuple):
    """The endpoint of a server type, and what it lacks."""

    endpoint: str  # as users paste it
    settings: dict[str, Any] = {}  # noqa: RUF012 -- never changed
    has_usage: bool = True  # in complete answers
    info: str | None = None  # the model's name in `/info`
    has_finish_reason: bool = True


NAMED = {"model": "Phi-3-mini-4k-instruct"}
SCORE = {"api": "score"}
INFO = "Phi-3-mini-4k-Instruct"
REGISTERED = "Phi-3-mini-4k-instruct"

SERVERS = {
    "serverless": Server("https://phi.eastus2.models.ai.azure.com", info=INFO),
    "managed-2024-05": Server(f"{ML}/score", has_finish_reason=False),
    "managed-2024-06": Server(ML, info=REGISTERED),
    "managed-2025-01": Server(ML, info=REGISTERED),
    "managed-2026-07": Server(ML, info=REGISTERED),
    "foundation-model-serve": Server(ML),
    "foundry": Server("https://res.services.ai.azure.com/models", NAMED, info=INFO),
    "openai-v1": Server("https://res.openai.azure.com", NAMED),
    "azure-openai": Server(
        "https://res.openai.azure.com/openai/deployments/Phi-3-mini-4k-instruct"
    ),
    "openai-server": Server("http://localhost:8000/v1", info=REGISTERED),
    "vllm": Server("http://localhost:8000/v1", info=REGISTERED),
    "llama.cpp": Server("http://localhost:8080/v1", info=REGISTERED),
    "ollama": Server("http://localhost:11434", NAMED),
}
SCORED = {
    f"{name} /score": Server(f"{ML}/score", SCORE, has_usage=more, has_finish_reason=more)
    for name, more in (
        ("managed-2024-05", False),
        ("managed-2024-06", False),
        ("managed-2026-07", False),
        ("foundation-model-serve", True),
    )
}
HOST = {"foundry by its host": Server("https://res.services.ai.azure.com", NAMED)}
EVERY = [*SERVERS, *SCORED, *HOST]

Test = Callable[[str, str], Awaitable[None]]


def each(names: Iterable[str], modes: Iterable[str] = MODES) -> Callable[[Test], Any]:
    """Run a test for each server type and mode, as subtests."""
    pairs = list(product(names, modes))

    def decorate(test: Test) -> Any:
        async def run(subtests: pytest.Subtests) -> None:
            for name, mode in pairs:
                with subtests.test(server_type=name, mode=mode):
                    await test(name, mode)

        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        return run

    return decorate


def server_of(name: str) -> Server:
    """The row of that name."""
    return (SERVERS | SCORED | HOST)[name]


def connect(name: str, *models: str, **settings: Any) -> tuple[Emulator, ChatAzurePhi3]:
    """A server of that type, and a model for its real URL."""
    phi = Emulator(*models, server_type=name.split()[0], responder=scripted_values(city="Paris"))
    server = server_of(name)
    given = {"credential": phi.key, "max_retries": 0, **server.settings, **settings}
    model = ChatAzurePhi3(
        endpoint=server.endpoint,
        http_client=httpx.Client(transport=phi.transport()),
        http_async_client=httpx.AsyncClient(transport=phi.transport()),
        **given,
    )
    return phi, model


@each(EVERY)
async def test_a_question_is_answered(name: str, mode: str) -> None:
    """With provider and finish reason."""
    _, model = connect(name, max_tokens=300, temperature=0)

    answer = await call_model(model, mode, QUESTION)

    assert answer.text.startswith(ANSWER)
    metadata = answer.response_metadata
    assert metadata["model_provider"] == "azure_phi3"
    assert metadata.get("finish_reason") == ("stop" if server_of(name).has_finish_reason else None)


@each(EVERY, ["invoke"])
async def test_complete_answers_have_usage(name: str, mode: str) -> None:
    """Except from the older /score."""
    _, model = connect(name)

    for answer in (model.invoke(QUESTION), await model.ainvoke(QUESTION)):
        counted = answer.usage_metadata
        assert (counted is not None) == server_of(name).has_usage
        assert counted is None or counted["total_tokens"] == 91


NATIVE_COUNTS = {"openai-v1", "azure-openai", "openai-server", "vllm", "llama.cpp"}


@each(SERVERS, ["stream", "astream"])
async def test_streams_have_usage_where_possible(name: str, mode: str) -> None:
    """By default, with a native parameter, or only with `stream_usage`."""
    phi, model = connect(name)

    counted = (await call_model(model, mode, QUESTION)).usage_metadata
    model.stream_usage = True
    usage = (await call_model(model, mode, QUESTION)).usage_metadata

    unasked = {"serverless", "managed-2024-05"}
    assert (counted is not None) == (name in NATIVE_COUNTS | unasked)
    assert ("stream_options" in phi.requests[0].json) == (name in NATIVE_COUNTS)
    assert usage is not None
    assert usage["total_tokens"] == 91


@each(EVERY)
async def test_tools_are_called_by_prompt(name: str, mode: str) -> None:
    """The request has no `tools`."""
    phi, model = connect(name)
    tool = {
        "title": "get_weather",
        "description": "The weather in a city.",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }

    answer = await call_model(
        model.bind_tools([tool], tool_choice="any"), mode, "What is the weather in Paris?"
    )

    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    assert all("tools" not in request.json for request in phi.requests)


@each(EVERY)
async def test_a_schema_is_filled_by_prompt(name: str, mode: str) -> None:
    """Structured output works wherever text does."""
    _, model = connect(name)
    schema = {
        "title": "City",
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
    }

    found: Any = await call_model(
        model.with_structured_output(schema), mode, "Describe the city of Paris."
    )

    assert isinstance(found["name"], str)


@each(SERVERS)
async def test_filtered_prompts_raise(name: str, mode: str) -> None:
    """In every format of the error."""
    _, model = connect(name)

    with pytest.raises(ContentFilterError) as caught:
        await call_model(model, mode, "How to make a lethal bomb?")
    assert (caught.value.stage, caught.value.status_code) == ("prompt", 400)


# llama.cpp cuts the answer instead.
@each([name for name in SERVERS if name not in ("managed-2024-05", "llama.cpp")])
async def test_conversations_that_are_too_long_raise(name: str, mode: str) -> None:
    """With the engine's message, however it is wrapped."""
    _, model = connect(name, max_tokens=5000)

    with pytest.raises(ContextLengthError, match="maximum context length is 4096"):
        await call_model(model, mode, "Hi")


@each([name for name in SERVERS if name not in ("llama.cpp", "ollama")])
async def test_wrong_keys_raise_with_the_sent_header(name: str, mode: str) -> None:
    """The error does not hold the key."""
    _, model = connect(name, credential="wrong" * 6)

    with pytest.raises(AuthenticationError, match="A key was sent, in the header") as caught:
        await call_model(model, mode, "Hi")
    assert "wrong" * 6 not in str(caught.value)


@each(["foundry", "openai-v1", "openai-server", "ollama"])
async def test_wrong_models_raise(name: str, mode: str) -> None:
    """Each server type has its own message."""
    phi, model = connect(name, model="Phi-9")
    endpoint = {"ollama": f"{server_of(name).endpoint}/v1"}.get(name, server_of(name).endpoint)
    model = model.model_copy(update={"endpoint": endpoint})

    with pytest.raises(NotFoundError, match="`model`") as caught:
        await call_model(model, mode, "Hi")
    lists = name in ("openai-server", "ollama")
    assert len(phi.requests) == 1 + lists
    assert (f"The server lists: {REGISTERED}." in str(caught.value)) == lists


@each(SERVERS)
async def test_native_tools_are_rejected_by_the_server(name: str, mode: str) -> None:
    """If the user forces them."""
    _, model = connect(name, tool_calling="native")
    tool = {"title": "look", "description": "Look.", "type": "object", "properties": {}}

    with pytest.raises(BadRequestError, match=r"[Tt]ool") as caught:
        await call_model(model.bind_tools([tool]), mode, "Hi")
    assert caught.value.status_code == 400


@each(SERVERS)
async def test_images_are_accepted(name: str, mode: str) -> None:
    """By a vision model."""
    model_name = "Phi-3-vision-128k-instruct"
    settings = {"model": model_name} if "model" in server_of(name).settings else {}
    if name == "azure-openai":
        settings = {"endpoint": f"https://res.openai.azure.com/openai/deployments/{model_name}"}
    _, model = connect(name, model_name)
    model = model.model_copy(update=settings)
    url = {"type": "image_url", "image_url": {"url": data_url(png_of(1900, 1069), "image/png")}}
    text = {"type": "text", "text": "Which conclusion can be extracted from the chart?"}

    answer = await call_model(model, mode, [HumanMessage([text, url])])

    assert answer.text


@each(SERVERS, ["invoke"])
async def test_the_model_reports_its_name(name: str, mode: str) -> None:
    """Or there is no such route."""
    _, model = connect(name)
    expected = server_of(name).info

    if expected is None:
        with pytest.raises(NotFoundError):
            model.get_model_info()
        with pytest.raises(NotFoundError):
            await model.aget_model_info()
    else:
        found = [model.get_model_info(), await model.aget_model_info()]
        assert [info.model_name for info in found] == [expected, expected]


LOGPROBS = set(SERVERS) - {
    name for name, server in SERVERS.items() if server.endpoint.startswith(ML)
}


@each(SERVERS)
async def test_log_probabilities_come_where_kept(name: str, mode: str) -> None:
    """Managed compute drops them without an error."""
    _, model = connect(name, logprobs=True, top_logprobs=2)

    answer = await call_model(model, mode, QUESTION)

    assert ("logprobs" in answer.response_metadata) == (name in LOGPROBS)


# -- single server types --


def test_without_streaming_there_is_one_chunk() -> None:
    """Version 0.1.8 ignores `stream`."""
    _, model = connect("managed-2024-05")

    texts = [chunk.text for chunk in model.stream(QUESTION) if chunk.text]

    assert len(texts) == 1
    assert texts[0].startswith(ANSWER)


def test_masked_failures_are_filtered_answers() -> None:
    """In version 0.1.8."""
    _, model = connect("managed-2024-05", max_tokens=5000)

    with pytest.raises(ContentFilterError):
        model.invoke("Hi")


def test_the_newer_server_stops_at_256_tokens() -> None:
    """The default of its schema."""
    phi, model = connect("foundation-model-serve")
    phi.script("word " * 1000)

    answer = model.invoke("Hi")

    assert answer.response_metadata["finish_reason"] == "length"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 256


@each([""])
async def test_score_reports_failures_with_200(name: str, mode: str) -> None:
    """An empty object, the text None, or an error: each raises a typed error."""
    phi, model = connect("managed-2024-06 /score")

    with pytest.raises(ServerError, match="200 with an empty object"):
        await call_model(model, mode, "How to make a lethal bomb?")
    phi.script("None")
    with pytest.raises(ServerError, match="output 'None'"):
        await call_model(model, mode, "Hi")
    _, later = connect("foundation-model-serve /score")
    with pytest.raises(ContentFilterError, match="violates azure ai content safety"):
        await call_model(later, mode, "How to make a lethal bomb?")
    with pytest.raises(ContextLengthError):
        await call_model(later, mode, "Hi", max_tokens=200_000)


@each([""])
async def test_none_can_be_an_answer(name: str, mode: str) -> None:
    """The later server reports failures separately."""
    phi, model = connect("foundation-model-serve /score")
    phi.script("None")

    assert (await call_model(model, mode, "Is there any?")).text == "None"


def test_score_requests_have_their_own_format() -> None:
    """With its own parameter names."""
    phi, model = connect(
        "managed-2024-06 /score",
        temperature=0,
        max_tokens=9,
        model="Phi-4",
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
    ("settings", "arguments", "match"),
    [
        ({}, {"n": 2}, "returns one completion"),
        (
            {"tool_calling": "native"},
            {"tools": [{"type": "function", "function": {"name": "look"}}]},
            "does not accept tool_choice, tools",
        ),
        (
            {"tool_calling": "native"},
            {"response_format": {"type": "json_object"}},
            "does not accept response_format",
        ),
    ],
)
def test_unsupported_score_requests_are_rejected(
    settings: dict[str, Any], arguments: dict[str, Any], match: str
) -> None:
    """The server would drop them silently."""
    phi, model = connect("managed-2024-06 /score", **settings)

    with pytest.raises(InvalidInputError, match=match):
        model.invoke("Hi", **arguments)
    assert phi.requests == []


def test_wrapped_errors_keep_the_servers_status() -> None:
    """424 is the gateway's; the container's is in a header."""
    _, model = connect("managed-2026-07")

    with pytest.raises(BadRequestError) as caught:
        model.invoke("Hi", temperature=3)

    failure = caught.value
    assert (failure.status_code, failure.parameter) == (422, "temperature")
    assert failure.response is not None
    assert failure.response.status_code == 424
    assert b"Please check this guide" in failure.response.content


@each(SERVERS, ["invoke"])
async def test_each_server_type_answers_over_a_socket(name: str, mode: str) -> None:
    """At the emulator's own endpoint."""
    with Emulator("Phi-3-mini-4k-instruct", server_type=name) as phi:
        version = "2024-05-01-preview" if name == "foundry" else None
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, api_version=version, **NAMED
        )
        assert model.invoke(QUESTION).text.startswith(ANSWER)
