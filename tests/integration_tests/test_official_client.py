"""Azure's own client against the emulator: the witness that it speaks the protocol.

Everything that Azure's how-tos on Phi-3 do with `azure-ai-inference`, sync and async.
"""

import base64
import json
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from azure.ai.inference import ChatCompletionsClient
from azure.ai.inference.aio import ChatCompletionsClient as AsyncChatCompletionsClient
from azure.ai.inference.models import (
    ChatRequestMessage,
    ImageContentItem,
    ImageUrl,
    JsonSchemaFormat,
    SystemMessage,
    TextContentItem,
    UserMessage,
)
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import AsyncioRequestsTransport

from langchain_azure_phi3.emulator import Emulator

Client = Any  # its generated types make every field optional

QUESTION: list[ChatRequestMessage] = [
    SystemMessage(content="You are a helpful assistant."),
    UserMessage(content="How many languages are in the world?"),
]
ANSWER = "As of now, it's estimated that there are about 7,000 languages spoken around the world."
# All that the how-tos send beyond the messages; their penalties are written as text.
PARAMETERS: dict[str, Any] = {
    "presence_penalty": "0.1",
    "frequency_penalty": "0.8",
    "max_tokens": 2048,
    "stop": ["<|endoftext|>"],
    "temperature": 0,
    "top_p": 1,
    "response_format": "text",
}


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A text model."""
    with Emulator("Phi-3-mini-4k-instruct") as emulator:
        yield emulator


@pytest.fixture
def model(phi: Emulator) -> Iterator[ChatCompletionsClient]:
    """The sync client."""
    with ChatCompletionsClient(phi.endpoint, AzureKeyCredential(phi.key)) as client:
        yield client


@pytest.fixture
async def async_model(phi: Emulator) -> AsyncIterator[AsyncChatCompletionsClient]:
    """The async client, over the transport that needs no further package."""
    async with AsyncChatCompletionsClient(
        phi.endpoint, AzureKeyCredential(phi.key), transport=AsyncioRequestsTransport()
    ) as client:
        yield client


def test_model_info(model: Client, phi: Emulator) -> None:
    """The three fields that the how-to shows; the client sends both kinds of key."""
    info = model.get_model_info()

    assert info.model_name == "Phi-3-mini-4k-Instruct"
    assert info.model_type == "chat-completions"
    assert info.model_provider_name == "Microsoft"
    assert phi.requests[0].query == {"api-version": "2024-05-01-preview"}
    assert phi.requests[0].headers["api-key"] == phi.key


def test_a_completion_with_its_usage(model: Client) -> None:
    """Text, model and usage, as the how-to prints them."""
    response = model.complete(messages=QUESTION)

    assert response.choices[0].message.content.startswith(ANSWER)
    assert response.choices[0].finish_reason == "stop"
    assert response.model == "Phi-3-mini-4k-Instruct"
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (19, 72)
    assert response.usage.total_tokens == 91


def test_a_stream_with_its_usage(model: Client) -> None:
    """Every update has a choice, as the how-to's loop expects; the last one has the usage."""
    updates: list[Any] = list(model.complete(messages=QUESTION, stream=True, temperature=0))

    text = "".join(update.choices[0].delta.content for update in updates)
    assert text.startswith(ANSWER)
    assert updates[-1].choices[0].finish_reason == "stop"
    assert updates[-1].usage.total_tokens == 91


def test_all_the_parameters(model: Client, phi: Emulator) -> None:
    """Numbers written as text are coerced, as the service does."""
    response = model.complete(messages=QUESTION, **PARAMETERS)

    assert response.choices[0].message.content.startswith(ANSWER)
    assert phi.requests[0].json["presence_penalty"] == "0.1"


def test_extra_parameters_come_with_their_header(model: Client, phi: Emulator) -> None:
    """The client sets it by itself, and the answer has what was asked."""
    response = model.complete(messages=QUESTION, model_extras={"logprobs": True})

    assert phi.requests[0].headers["extra-parameters"] == "pass-through"
    logprobs = response.choices[0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in logprobs).startswith(ANSWER)


@pytest.mark.parametrize(
    "prompt",
    [
        "Chopping tomatoes and cutting them into cubes or wedges are great ways to practice your "
        "knife skills.",
        "How to make a lethal bomb?",
    ],
)
def test_a_filtered_prompt_is_read_as_the_how_to_reads_it(model: Client, prompt: str) -> None:
    """By the status and the `error` of the body."""
    with pytest.raises(HttpResponseError) as raised:
        model.complete(messages=[UserMessage(content=prompt)])

    failure: Any = raised.value
    assert failure.status_code == 400
    body = json.loads(failure.response._content.decode("utf-8"))
    assert body["error"]["code"] == "content_filter"
    assert body["error"]["message"].startswith("The response was filtered")


def test_json_mode_is_refused_as_the_reference_says(model: Client) -> None:
    """With 422 and the parameter's place."""
    with pytest.raises(HttpResponseError) as raised:
        model.complete(messages=QUESTION, response_format="json_object")

    failure: Any = raised.value
    assert failure.status_code == 422
    assert failure.response.json()["detail"]["loc"] == ["body", "response_format"]


def test_managed_compute_takes_guided_json_only() -> None:
    """As an extra parameter; the schema in `response_format` is refused."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    with (
        Emulator(server_type="managed-2024-06") as phi,
        ChatCompletionsClient(phi.endpoint, AzureKeyCredential(phi.key)) as client,
    ):
        model: Client = client
        phi.script("Paris.")
        answer = model.complete(messages=QUESTION, model_extras={"guided_json": schema})
        assert json.loads(answer.choices[0].message.content) == {"city": "city"}
        assert phi.requests[-1].headers["extra-parameters"] == "pass-through"

        json_schema = JsonSchemaFormat(name="place", schema=schema)
        with pytest.raises(HttpResponseError) as raised:
            model.complete(messages=QUESTION, response_format=json_schema)
        failure: Any = raised.value
        assert failure.status_code == 424
        assert "must be either 'text' or 'json_object'" in failure.response.text()


def test_a_picture_on_the_vision_model() -> None:
    """As a data URL, with the tokens that the how-to shows."""
    question = (
        "Which peculiar conclusion about LLMs and SLMs can be extracted from the following chart?"
    )
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 1900, 1069)
    url = f"data:image/jpeg;base64,{base64.b64encode(header).decode()}"
    content = [TextContentItem(text=question), ImageContentItem(image_url=ImageUrl(url=url))]
    with (
        Emulator("Phi-3-vision-128k-instruct") as phi,
        ChatCompletionsClient(phi.endpoint, AzureKeyCredential(phi.key)) as model,
    ):
        messages: list[ChatRequestMessage] = [UserMessage(content=content)]
        response: Any = model.complete(messages=messages, temperature=0, top_p=1, max_tokens=2048)

    assert response.choices[0].message.content.startswith("The chart illustrates that larger")
    assert response.model == "Phi-3-vision-128k-Instruct"
    assert (response.usage.prompt_tokens, response.usage.total_tokens) == (2380, 2506)


async def test_async_model_info(async_model: Client) -> None:
    """The same, async."""
    assert (await async_model.get_model_info()).model_name == "Phi-3-mini-4k-Instruct"


async def test_an_async_completion(async_model: Client) -> None:
    """The same, async, with every parameter."""
    response = await async_model.complete(
        messages=QUESTION, model_extras={"logprobs": True, "n": 2}, **PARAMETERS
    )

    assert [choice.index for choice in response.choices] == [0, 1]
    assert response.choices[0].message.content.startswith(ANSWER)
    assert response.usage.prompt_tokens == 19


async def test_an_async_stream(async_model: Client) -> None:
    """The same, async."""
    updates = await async_model.complete(messages=QUESTION, stream=True)
    text = ""
    async for update in updates:
        text += update.choices[0].delta.content

    assert text.startswith(ANSWER)
    assert update.usage.total_tokens == 91


async def test_an_async_filtered_prompt(async_model: Client) -> None:
    """The same, async."""
    with pytest.raises(HttpResponseError) as raised:
        await async_model.complete(messages=[UserMessage(content="How to make a lethal bomb?")])

    assert raised.value.status_code == 400
    assert raised.value.error is not None
    assert raised.value.error.code == "content_filter"
