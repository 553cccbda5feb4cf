"""Every Python and REST sample of Azure's three how-to documents, with `ChatAzurePhi3`.

The documents are "How to use Phi-3 family chat models" of 2024-07-02 (Phi-3-vision), "How to
use Phi-3 chat models with Azure AI studio" of 2024-07-23 (Phi-3-mini) and "How to use Phi-3
chat model with vision" of 2024-08-19 (Phi-3-vision). Their REST tab shows the JSON of each
request and response, which is repeated here; their Python tab shows the code of the SDK.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.identity import DefaultAzureCredential
from langchain_core.messages import HumanMessage, SystemMessage

from langchain_azure_phi3 import ChatAzurePhi3, ContentFilterError, InvalidInputError, ModelInfo
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import merge_chunks

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


class Document(NamedTuple):
    """A document: its date, its model, and the environment variables that its samples read."""

    date: str
    model: str
    endpoint: str
    credential: str


OLDER_VARIABLES = ("AZUREAI_ENDPOINT_URL", "AZUREAI_ENDPOINT_KEY")
VARIABLES = ("AZURE_INFERENCE_ENDPOINT", "AZURE_INFERENCE_CREDENTIAL")
DOCUMENTS = (
    Document("2024-07-02", "Phi-3-vision-128k-Instruct", *OLDER_VARIABLES),
    Document("2024-07-23", "Phi-3-mini-4k-Instruct", *VARIABLES),
    Document("2024-08-19", "Phi-3-vision-128k-Instruct", *VARIABLES),
)


@contextmanager
def deployment_of(document: Document) -> Iterator[tuple[Emulator, ChatAzurePhi3]]:
    """The document's deployment and its client, created from the variables that it names."""
    with Emulator(document.model) as phi, pytest.MonkeyPatch.context() as patch:
        for variable in OLDER_VARIABLES + VARIABLES:
            patch.delenv(variable, raising=False)
        patch.setenv(document.endpoint, phi.endpoint)
        patch.setenv(document.credential, phi.key)
        yield phi, ChatAzurePhi3()


# -- content safety ------------------------------------------------------------------------------

FILTERED_WIRE_MESSAGES = [
    {
        "role": "system",
        "content": "You are an AI assistant that helps people find information.",
    },
    {
        "role": "user",
        "content": "Chopping tomatoes and cutting them into cubes or wedges are great ways to "
        "practice your knife skills.",
    },
]
FILTER_ERROR = {
    "message": "The response was filtered due to the prompt triggering Microsoft's content "
    "management policy. Please modify your prompt and retry.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
}


def test_content_safety() -> None:
    """The samples read status, code and message from the error's JSON; here they are attributes."""
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            with pytest.raises(ContentFilterError) as caught:
                model.invoke(FILTERED_WIRE_MESSAGES)

            error = caught.value
            assert (error.status_code, error.code, error.stage) == (400, "content_filter", "prompt")
            assert error.response is not None
            assert error.response.json() == {"error": FILTER_ERROR}
            assert str(FILTER_ERROR["message"]) in str(error)
            assert phi.requests[-1].json == {"messages": FILTERED_WIRE_MESSAGES}


# -- chat completions ----------------------------------------------------------------------------


def test_client_from_environment_variables() -> None:
    """`ChatCompletionsClient(endpoint=os.environ[...], credential=...)`."""
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            model.invoke(MESSAGES)

            assert model.endpoint == phi.endpoint, document
            assert phi.requests[-1].headers["authorization"] == f"Bearer {phi.key}"
            assert phi.requests[-1].headers["content-type"] == "application/json"


async def test_model_capabilities() -> None:
    """`model.get_model_info()` and `GET /info`, sync and async."""
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            info = ModelInfo(document.model, "chat-completions", "Microsoft")

            assert model.get_model_info() == info
            assert (phi.requests[-1].method, phi.requests[-1].path) == ("GET", "/info")
            assert phi.requests[-1].headers["authorization"] == f"Bearer {phi.key}"
            assert await model.aget_model_info() == info


async def test_chat_completion() -> None:
    """The JSON of the request, and text, model, usage and finish reason; sync and async."""
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            for answer in (model.invoke(MESSAGES), await model.ainvoke(MESSAGES)):
                request = phi.requests[-1]
                assert (request.method, request.path) == ("POST", "/chat/completions")
                assert request.json == {"messages": WIRE_MESSAGES}
                assert "extra-parameters" not in request.headers
                assert (answer.content, answer.usage_metadata) == (ANSWER, USAGE), document
                assert answer.response_metadata["model_name"] == document.model
                assert answer.response_metadata["finish_reason"] == "stop"
                assert answer.tool_calls == []


STREAM_REQUEST = {
    "messages": WIRE_MESSAGES,
    "stream": True,
    "temperature": 0,
    "top_p": 1,
    "max_tokens": 2048,
}


async def test_streamed_content() -> None:
    """`stream=True`, which two documents omit in their Python tab; sync and async."""
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            bound = model.bind(temperature=0, top_p=1, max_tokens=2048)
            streams: list[Any] = [
                list(bound.stream(MESSAGES)),
                [chunk async for chunk in bound.astream(MESSAGES)],
            ]
            assert [request.json for request in phi.requests] == [STREAM_REQUEST] * 2

        for chunks in streams:
            answer = merge_chunks(chunks)
            assert (answer.content, answer.usage_metadata) == (ANSWER, USAGE), document
            assert answer.response_metadata["finish_reason"] == "stop"
            assert answer.response_metadata["model_name"] == document.model
            assert len([chunk for chunk in chunks if chunk.content]) > 10


def test_stream_framing_matches_the_documents() -> None:
    """The role comes first, the usage in the last chunk."""
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            response = httpx.post(
                f"{model.endpoint}/chat/completions",
                json=STREAM_REQUEST,
                headers={"authorization": f"Bearer {phi.key}"},
            )
        events = [line.removeprefix("data: ") for line in response.text.split("\n") if line]
        assert events[-1] == "[DONE]"
        first, *_, last = (json.loads(event) for event in events[:-1])
        for chunk in (first, last):
            assert chunk.pop("object") == "chat.completion.chunk"
            assert chunk.pop("model") == document.model
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


def test_more_parameters() -> None:
    """Each is sent under its own name, set in the constructor or in a call."""
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            for bound in (ChatAzurePhi3(**PARAMETERS), model.bind(**PARAMETERS)):
                answer = bound.invoke(MESSAGES)

                assert phi.requests[-1].json == {"messages": WIRE_MESSAGES, **PARAMETERS}
                assert "extra-parameters" not in phi.requests[-1].headers
                assert (answer.content, answer.usage_metadata) == (ANSWER, USAGE), document


def test_penalties_written_as_text_become_numbers() -> None:
    """The document of 2024-07-02 writes "0.1" and "0.8"."""
    with deployment_of(DOCUMENTS[0]) as (phi, model):
        model.invoke(MESSAGES, presence_penalty="0.1", frequency_penalty="0.8")

        assert phi.requests[-1].json == {
            "messages": WIRE_MESSAGES,
            "presence_penalty": 0.1,
            "frequency_penalty": 0.8,
        }


def test_extra_parameters() -> None:
    """The header of 2024-08-19 is sent; servers reject the samples of the others with a 400."""
    given: list[dict[str, Any]] = [{"model_extras": {"logprobs": True}}, {"logprobs": True}]
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            for parameters in given:
                answer = model.invoke(MESSAGES, **parameters)

                assert phi.requests[-1].json == {"messages": WIRE_MESSAGES, "logprobs": True}
                assert phi.requests[-1].headers["extra-parameters"] == "pass-through"
                tokens = [each["token"] for each in answer.response_metadata["logprobs"]["content"]]
                assert "".join(tokens) == answer.content == ANSWER, document


# -- Microsoft Entra ID --------------------------------------------------------------------------


class SignedInCredential:
    """A credential that has a token for every scope."""

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """Return the token for the scopes."""
        return AccessToken(f"token-for-{'-'.join(scopes)}", int(time.time()) + 3600)


def test_serverless_api_refuses_entra_id() -> None:
    """The document of 2024-07-23: serverless APIs do not support Microsoft Entra ID."""
    with pytest.raises(InvalidInputError, match="accepts a key, not Entra ID tokens"):
        ChatAzurePhi3(
            endpoint="https://phi.eastus2.inference.ai.azure.com", credential=SignedInCredential()
        )


def test_entra_id_client_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """`credential=DefaultAzureCredential()` requests a token in the first call only."""

    def refuse(*args: object) -> None:
        raise AssertionError(f"the network was used: {args}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    for path in ("", "/score"):
        endpoint = f"https://phi.eastus2.inference.ml.azure.com{path}"
        model = ChatAzurePhi3(endpoint=endpoint, credential=DefaultAzureCredential())
        assert "phi.eastus2" in repr(model)


async def test_entra_id_token_is_a_bearer_token() -> None:
    """For the given scope, and without the header for keys."""
    with Emulator(key="token-for-scope") as phi:
        model = ChatAzurePhi3(
            endpoint=phi.endpoint, credential=SignedInCredential(), credential_scopes=["scope"]
        )
        answers = [model.invoke(MESSAGES), await model.ainvoke(MESSAGES)]
        assert [answer.content for answer in answers] == [ANSWER, ANSWER]
        for request in phi.requests:
            assert request.headers["authorization"] == "Bearer token-for-scope"
            assert "api-key" not in request.headers
