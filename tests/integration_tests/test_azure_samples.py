"""Every Python and REST sample of Azure's three how-tos, done through `ChatAzurePhi3`.

The documents are "How to use Phi-3 family chat models" of 2024-07-02 (Phi-3-vision), "How to
use Phi-3 chat models with Azure AI studio" of 2024-07-23 (Phi-3-mini) and "How to use Phi-3
chat model with vision" of 2024-08-19 (Phi-3-vision). Their REST tab shows the JSON of each
request and answer, which is written out here; their Python tab shows how it is asked for.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.identity import DefaultAzureCredential
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage

from langchain_azure_phi3 import ChatAzurePhi3, ContentFilterError, InvalidInputError, ModelInfo
from langchain_azure_phi3.emulator import Emulator

MESSAGES = [
    SystemMessage("You are a helpful assistant."),
    HumanMessage("How many languages are in the world?"),
]
WIRE_MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "How many languages are in the world?"},
]
ANSWER = (
    "As of now, it's estimated that there are about 7,000 languages spoken around the world. "
    "However, this number can vary as some languages become extinct and new ones develop. It's "
    "also important to note that the number of speakers can greatly vary between languages, with "
    "some having millions of speakers and others only a few hundred."
)
USAGE = {"input_tokens": 19, "output_tokens": 72, "total_tokens": 91}

# Document, its model, and the environment variables that its samples read.
DOCUMENTS = [
    pytest.param(
        "Phi-3-vision-128k-Instruct",
        ("AZUREAI_ENDPOINT_URL", "AZUREAI_ENDPOINT_KEY"),
        id="2024-07-02",
    ),
    pytest.param(
        "Phi-3-mini-4k-Instruct",
        ("AZURE_INFERENCE_ENDPOINT", "AZURE_INFERENCE_CREDENTIAL"),
        id="2024-07-23",
    ),
    pytest.param(
        "Phi-3-vision-128k-Instruct",
        ("AZURE_INFERENCE_ENDPOINT", "AZURE_INFERENCE_CREDENTIAL"),
        id="2024-08-19",
    ),
]
in_every_document = pytest.mark.parametrize(("name", "variables"), DOCUMENTS)


@pytest.fixture
def name() -> str:
    """The model of a document; tests that are in one document only take its default."""
    return "Phi-3-mini-4k-Instruct"


@pytest.fixture
def variables() -> tuple[str, str]:
    """The environment variables of a document."""
    return ("AZURE_INFERENCE_ENDPOINT", "AZURE_INFERENCE_CREDENTIAL")


@pytest.fixture
def phi(name: str) -> Iterator[Emulator]:
    """The document's deployment."""
    with Emulator(name) as emulator:
        yield emulator


@pytest.fixture
def model(
    phi: Emulator, variables: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> ChatAzurePhi3:
    """The document's client, made from the variables that it names."""
    for variable in ("AZURE_INFERENCE_ENDPOINT", "AZURE_INFERENCE_CREDENTIAL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(variables[0], phi.endpoint)
    monkeypatch.setenv(variables[1], phi.key)
    return ChatAzurePhi3()


@in_every_document
def test_the_client_is_made_from_the_documents_variables(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """`ChatCompletionsClient(endpoint=os.environ[...], credential=...)`: both headers go out."""
    model.invoke(MESSAGES)
    assert model.endpoint == phi.endpoint
    assert phi.requests[-1].headers["authorization"] == f"Bearer {phi.key}"
    assert phi.requests[-1].headers["content-type"] == "application/json"


@in_every_document
def test_the_models_capabilities(phi: Emulator, model: ChatAzurePhi3, name: str) -> None:
    """`model.get_model_info()`, `GET /info`."""
    assert model.get_model_info() == ModelInfo(name, "chat-completions", "Microsoft")
    assert (phi.requests[-1].method, phi.requests[-1].path) == ("GET", "/info")
    assert phi.requests[-1].headers["authorization"] == f"Bearer {phi.key}"


@in_every_document
async def test_the_models_capabilities_without_blocking(model: ChatAzurePhi3, name: str) -> None:
    """The same, awaited."""
    info = await model.aget_model_info()
    assert f"Model name: {info.model_name}" == f"Model name: {name}"


@in_every_document
def test_a_chat_completion(phi: Emulator, model: ChatAzurePhi3, name: str) -> None:
    """The request's JSON exactly, and the answer's text, model, usage and finish reason."""
    answer = model.invoke(MESSAGES)
    assert (phi.requests[-1].method, phi.requests[-1].path) == ("POST", "/chat/completions")
    assert phi.requests[-1].json == {"messages": WIRE_MESSAGES}
    assert "extra-parameters" not in phi.requests[-1].headers
    assert answer.content == ANSWER
    assert answer.response_metadata["model_name"] == name
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata == USAGE
    assert answer.tool_calls == []


@in_every_document
async def test_a_chat_completion_without_blocking(
    phi: Emulator, model: ChatAzurePhi3, name: str
) -> None:
    """The same, awaited."""
    answer = await model.ainvoke(MESSAGES)
    assert phi.requests[-1].json == {"messages": WIRE_MESSAGES}
    assert (answer.content, answer.usage_metadata) == (ANSWER, USAGE)
    assert answer.response_metadata["model_name"] == name


STREAMED = {
    "messages": WIRE_MESSAGES,
    "stream": True,
    "temperature": 0,
    "top_p": 1,
    "max_tokens": 2048,
}


def whole(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """The chunks of a stream added up, as LangChain does it."""
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total


@in_every_document
def test_streamed_content(phi: Emulator, model: ChatAzurePhi3, name: str) -> None:
    """`stream=True`, which two documents forget in their Python tab; zeros are sent."""
    chunks = list(model.bind(temperature=0, top_p=1, max_tokens=2048).stream(MESSAGES))
    assert phi.requests[-1].json == STREAMED
    total = whole(chunks)
    assert total.content == ANSWER
    assert total.usage_metadata == USAGE
    assert total.response_metadata["finish_reason"] == "stop"
    assert total.response_metadata["model_name"] == name
    assert len([chunk for chunk in chunks if chunk.content]) > 10


@in_every_document
async def test_streamed_content_without_blocking(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The same, as an async iterator."""
    bound = model.bind(temperature=0, top_p=1, max_tokens=2048)
    total = whole([chunk async for chunk in bound.astream(MESSAGES)])
    assert phi.requests[-1].json == STREAMED
    assert (total.content, total.usage_metadata) == (ANSWER, USAGE)


@in_every_document
def test_the_framing_of_the_documents_streams(
    phi: Emulator, model: ChatAzurePhi3, name: str
) -> None:
    """What the chat model reads is what the documents show: role first, usage on the last."""
    answer = httpx.post(
        f"{model.endpoint}/chat/completions",
        json=STREAMED,
        headers={"authorization": f"Bearer {phi.key}"},
    )
    events = [line.removeprefix("data: ") for line in answer.text.split("\n") if line]
    assert events[-1] == "[DONE]"
    first, *_, last = (json.loads(event) for event in events[:-1])
    for chunk in (first, last):
        assert (chunk.pop("object"), chunk.pop("model")) == ("chat.completion.chunk", name)
        assert isinstance(chunk.pop("created"), int)
        assert len(chunk.pop("id")) == 32
    choice = {"index": 0, "finish_reason": None, "logprobs": None}
    assert first == {"choices": [choice | {"delta": {"role": "assistant", "content": ""}}]}
    assert last == {
        "choices": [choice | {"delta": {"content": ""}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 19, "total_tokens": 91, "completion_tokens": 72},
    }


PARAMETERS = {
    "presence_penalty": 0.1,
    "frequency_penalty": 0.8,
    "max_tokens": 2048,
    "stop": ["<|endoftext|>"],
    "temperature": 0,
    "top_p": 1,
    "response_format": {"type": "text"},
}


@in_every_document
@pytest.mark.parametrize("where", ["constructor", "call"])
def test_more_parameters(phi: Emulator, model: ChatAzurePhi3, name: str, where: str) -> None:
    """Each under its name on the wire, set once for all or for one call."""
    asked = ChatAzurePhi3(**PARAMETERS) if where == "constructor" else model.bind(**PARAMETERS)
    answer = asked.invoke(MESSAGES)
    assert phi.requests[-1].json == {"messages": WIRE_MESSAGES, **PARAMETERS}
    assert "extra-parameters" not in phi.requests[-1].headers
    assert (answer.content, answer.usage_metadata) == (ANSWER, USAGE)
    assert answer.response_metadata["model_name"] == name


def test_penalties_written_as_text_are_numbers_on_the_wire(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """The how-to of 2024-07-02 writes "0.1" and "0.8"."""
    model.invoke(MESSAGES, presence_penalty="0.1", frequency_penalty="0.8")
    assert phi.requests[-1].json == {
        "messages": WIRE_MESSAGES,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.8,
    }


@in_every_document
@pytest.mark.parametrize("given", [{"model_extras": {"logprobs": True}}, {"logprobs": True}])
def test_extra_parameters(phi: Emulator, model: ChatAzurePhi3, given: dict[str, Any]) -> None:
    """With the header of 2024-08-19; the other documents' samples would be refused with 400."""
    answer = model.invoke(MESSAGES, **given)
    assert phi.requests[-1].json == {"messages": WIRE_MESSAGES, "logprobs": True}
    assert phi.requests[-1].headers["extra-parameters"] == "pass-through"
    assert answer.content == ANSWER
    tokens = [entry["token"] for entry in answer.response_metadata["logprobs"]["content"]]
    assert "".join(tokens) == ANSWER


FILTERED = [
    SystemMessage("You are an AI assistant that helps people find information."),
    HumanMessage(
        "Chopping tomatoes and cutting them into cubes or wedges are great ways to practice your "
        "knife skills."
    ),
]


@in_every_document
def test_content_safety(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The sample reads status, code and message from the error; here they are attributes too."""
    with pytest.raises(ContentFilterError) as caught:
        model.invoke(FILTERED)
    error = caught.value
    assert (error.status_code, error.code, error.stage) == (400, "content_filter", "prompt")
    assert error.response is not None
    assert error.response.json() == {
        "error": {
            "message": "The response was filtered due to the prompt triggering Microsoft's "
            "content management policy. Please modify your prompt and retry.",
            "type": None,
            "param": "prompt",
            "code": "content_filter",
            "status": 400,
        }
    }
    assert str(error) == (
        "400 content_filter: The response was filtered due to the prompt triggering Microsoft's "
        "content management policy. Please modify your prompt and retry."
    )
    assert phi.requests[-1].json == {
        "messages": [
            {
                "role": "system",
                "content": "You are an AI assistant that helps people find information.",
            },
            {
                "role": "user",
                "content": "Chopping tomatoes and cutting them into cubes or wedges are great "
                "ways to practice your knife skills.",
            },
        ]
    }


# -- Microsoft Entra ID --


class Signed:
    """A credential that has signed in."""

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """The token for the scopes that were asked for."""
        return AccessToken(f"token-for-{'-'.join(scopes)}", int(time.time()) + 3600)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://phi.eastus2.inference.ml.azure.com",
        "https://phi.eastus2.inference.ml.azure.com/score",
    ],
)
def test_a_client_with_entra_id_is_made_without_the_network(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`credential=DefaultAzureCredential()`: nothing is asked for until something is asked."""

    def refuse(*args: object) -> None:
        raise AssertionError(f"the network was touched: {args}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    model = ChatAzurePhi3(endpoint=endpoint, credential=DefaultAzureCredential())
    assert "phi.eastus2" in repr(model)


async def test_an_entra_id_token_arrives_as_a_bearer_token() -> None:
    """For the scope that was named, and without the header of keys."""
    with Emulator(key="token-for-scope") as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=Signed(), credential_scopes=["scope"]
        )
        answers = [model.invoke(MESSAGES), await model.ainvoke(MESSAGES)]
        assert [answer.content for answer in answers] == [ANSWER, ANSWER]
        for request in phi.requests:
            assert request.headers["authorization"] == "Bearer token-for-scope"
            assert "api-key" not in request.headers


def test_a_serverless_api_takes_no_entra_id() -> None:
    """The how-to of 2024-07-23: they do not support Microsoft Entra ID."""
    with pytest.raises(InvalidInputError, match="takes a key, not Entra ID tokens"):
        ChatAzurePhi3(endpoint="https://phi.eastus2.inference.ai.azure.com", credential=Signed())
