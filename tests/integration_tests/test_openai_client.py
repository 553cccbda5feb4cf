"""OpenAI's own client against the emulator: the witness that its OpenAI routes are OpenAI's."""

from collections.abc import Iterator
from typing import Annotated, Any

import openai
import pytest
from pydantic import BaseModel, Field

from langchain_azure_phi3.emulator import Emulator

MODEL = "Phi-3-mini-4k-instruct"
QUESTION: list[Any] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "How many languages are in the world?"},
]
ANSWER = "As of now, it's estimated that there are about 7,000 languages"


@pytest.fixture(params=["openai-v1", "openai-server", "ollama"])
def phi(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """Each server that OpenAI's client is pointed at in the wild."""
    with Emulator(MODEL, server_type=request.param) as emulator:
        yield emulator


@pytest.fixture
def client(phi: Emulator) -> Iterator[openai.OpenAI]:
    """The sync client."""
    with openai.OpenAI(base_url=phi.endpoint, api_key=phi.key, max_retries=0) as found:
        yield found


def test_a_completion_with_its_usage(client: openai.OpenAI) -> None:
    """Read by the client's own types."""
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, logprobs=True)

    choice = answer.choices[0]
    assert choice.message.content is not None
    assert choice.message.content.startswith(ANSWER)
    assert choice.finish_reason == "stop"
    assert choice.logprobs is not None
    assert answer.usage is not None
    assert answer.usage.total_tokens == 91


def test_a_stream_with_its_usage(client: openai.OpenAI) -> None:
    """Usage comes on a chunk of its own, if asked for."""
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )

    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text.startswith(ANSWER)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 91


async def test_an_async_stream_without_usage(phi: Emulator) -> None:
    """Async; usage was not requested, so nothing is counted."""
    async with openai.AsyncOpenAI(base_url=phi.endpoint, api_key=phi.key) as client:
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model=MODEL, messages=QUESTION, stream=True
            )
        ]

    assert "".join(c.choices[0].delta.content or "" for c in chunks).startswith(ANSWER)
    assert all(chunk.usage is None for chunk in chunks)


class City(BaseModel):
    """A city."""

    name: str
    people: Annotated[int, Field(ge=1000)]


@pytest.mark.parametrize("server_type", ["vllm", "llama.cpp", "ollama", "openai-server"])
def test_constrained_answers_are_parsed(server_type: Any) -> None:
    """By the client's own helper, though the model would write something else."""
    with (
        Emulator(MODEL, server_type=server_type) as phi,
        openai.OpenAI(base_url=phi.endpoint, api_key=phi.key, max_retries=0) as client,
    ):
        phi.script("I do not know any city.")
        answer = client.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=City)

        assert answer.choices[0].message.parsed == City(name="name", people=1000)


def test_quotas_are_rate_limits() -> None:
    """With the remaining requests and the wait in the headers."""
    with (
        Emulator(MODEL, server_type="openai-v1", requests_per_minute=1) as phi,
        openai.OpenAI(base_url=phi.endpoint, api_key=phi.key, max_retries=0) as client,
    ):
        completions = client.chat.completions.with_raw_response
        accepted = completions.create(model=MODEL, messages=QUESTION)
        assert accepted.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=MODEL, messages=QUESTION)
        assert 0 < int(caught.value.response.headers["retry-after"]) <= 60


def test_errors_are_the_clients_own(client: openai.OpenAI, phi: Emulator) -> None:
    """Filtered, too long, unknown: each has the status that the client maps."""
    ask = client.chat.completions.create
    with pytest.raises(openai.BadRequestError) as caught:
        ask(model=MODEL, messages=[{"role": "user", "content": "How to make a lethal bomb?"}])
    assert caught.value.code == "content_filter"
    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        ask(model=MODEL, messages=QUESTION, max_tokens=5000)
    with pytest.raises(openai.NotFoundError):
        ask(model="Phi-9", messages=QUESTION)
    phi.fail(status=429)
    with pytest.raises(openai.RateLimitError):
        ask(model=MODEL, messages=QUESTION)


@pytest.mark.parametrize("server_type", ["openai-v1", "openai-server"])
def test_a_wrong_key_is_an_authentication_error(server_type: str) -> None:
    """All but Ollama ask for one."""
    with (
        Emulator(MODEL, server_type=server_type) as phi,
        openai.OpenAI(base_url=phi.endpoint, api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(model=MODEL, messages=QUESTION)


@pytest.mark.parametrize("server_type", ["openai-v1", "openai-server", "ollama"])
def test_models_are_listed(server_type: str) -> None:
    """Where there is a list."""
    with (
        Emulator(MODEL, "Phi-4", server_type=server_type) as phi,
        openai.OpenAI(base_url=phi.endpoint, api_key=phi.key) as client,
    ):
        assert [model.id for model in client.models.list()] == [MODEL, "Phi-4"]


def test_azures_client_asks_by_deployment() -> None:
    """`AzureOpenAI` sends the key as `api-key`, and the version that it is given."""
    with (
        Emulator(MODEL, server_type="azure-openai") as phi,
        openai.AzureOpenAI(
            azure_endpoint=phi.endpoint.partition("/openai")[0],
            api_key=phi.key,
            api_version="2024-06-01",
        ) as client,
    ):
        answer = client.chat.completions.create(model=MODEL, messages=QUESTION)
        assert answer.choices[0].message.content
        with pytest.raises(
            openai.NotFoundError, match="deployment for this resource does not exist"
        ):
            client.chat.completions.create(model="Phi-9", messages=QUESTION)
