"""The image samples of Azure's how-to documents of 2024-07-02 and 2024-08-19, in LangChain.

Both send Phi-3-vision a question about a chart of 1900 x 1069 pixels, in Python with a system
message, in their REST tab without one, and show the answer with its usage. A JPEG of the same
size costs the same tokens.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from PIL import Image

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError, image_block
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model

SYSTEM = "You are a helpful assistant that can generate responses based on images."
PYTHON_QUESTION = "Which conclusion can be extracted from the following chart?"
REST_QUESTION = (
    "Which peculiar conclusion about LLMs and SLMs can be extracted from the following chart?"
)
ANSWER = (
    "The chart illustrates that larger models tend to perform better in quality, as indicated by "
    "their size in billions of parameters. However, there are exceptions to this trend, such as "
    "Phi-3-medium and Phi-3-small, which outperform smaller models in quality. This suggests that "
    "while larger models generally have an advantage, there may be other factors at play that "
    "influence a model's performance."
)
DOCUMENTS = {
    "2024-07-02": ("AZUREAI_ENDPOINT_URL", "AZUREAI_ENDPOINT_KEY"),
    "2024-08-19": ("AZURE_INFERENCE_ENDPOINT", "AZURE_INFERENCE_CREDENTIAL"),
}


def _jpeg() -> bytes:
    file = BytesIO()
    Image.new("RGB", (1900, 1069), "white").save(file, "JPEG")
    return file.getvalue()


CHART = _jpeg()
CHART_URL = f"data:image/jpeg;base64,{base64.b64encode(CHART).decode()}"


@contextmanager
def deployment_of(document: str) -> Iterator[tuple[Emulator, ChatAzurePhi3]]:
    """A document's deployment and its client, created from the variables that it names."""
    endpoint, credential = DOCUMENTS[document]
    name = "Phi-3-vision-128k-instruct"
    with Emulator(name) as phi, pytest.MonkeyPatch.context() as patch:
        for variable in (variable for pair in DOCUMENTS.values() for variable in pair):
            patch.delenv(variable, raising=False)
        patch.setenv(endpoint, phi.endpoint)
        patch.setenv(credential, phi.key)
        yield phi, ChatAzurePhi3(model=name, temperature=0, top_p=1, max_tokens=2048)


def wire_request(question: str, *before: dict[str, Any]) -> dict[str, Any]:
    """The JSON of the request, as the REST tab shows it."""
    chart = {"type": "image_url", "image_url": {"url": CHART_URL}}
    content = [{"type": "text", "text": question}, chart]
    return {
        "messages": [*before, {"role": "user", "content": content}],
        "temperature": 0,
        "top_p": 1,
        "max_tokens": 2048,
    }


def sent_request(phi: Emulator) -> dict[str, Any]:
    """The last request, without `model`, which servers on localhost get, and without `stream`."""
    body = phi.requests[-1].json
    return {key: value for key, value in body.items() if key not in ("model", "stream")}


def test_several_images_are_an_error() -> None:
    """The limit of "only one image for each turn" is checked before the request."""
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            with pytest.raises(InvalidInputError, match="this one has 2"):
                model.invoke([HumanMessage([image_block(CHART), image_block(CHART)])])

            assert [] == phi.requests, document


def test_only_the_last_image_is_sent() -> None:
    """The server would refuse the second message otherwise."""
    first = HumanMessage([{"type": "text", "text": "What is this?"}, image_block(CHART)])
    second = HumanMessage([{"type": "text", "text": PYTHON_QUESTION}, image_block(CHART)])
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            answer = model.invoke([first, AIMessage("A chart."), second])

            assert ANSWER == answer.content, document
            first_sent, _, second_sent = phi.requests[-1].json["messages"]
            assert [{"type": "text", "text": "What is this?"}] == first_sent["content"]
            assert CHART_URL == second_sent["content"][1]["image_url"]["url"]


async def test_python_sample() -> None:
    """`ImageContentItem(image=ImageUrl(url=data_url))` after a system message."""
    question = [
        {"type": "text", "text": PYTHON_QUESTION},
        {"type": "image_url", "image_url": {"url": CHART_URL}},
    ]
    expected = wire_request(PYTHON_QUESTION, {"role": "system", "content": SYSTEM})
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            for mode in CALL_MODES:
                messages = [SystemMessage(SYSTEM), HumanMessage(question)]
                answer = await call_model(model, mode, messages)

                assert expected == sent_request(phi), mode
                assert ANSWER == answer.content, mode
                assert "stop" == answer.response_metadata["finish_reason"]
                assert "Phi-3-vision-128k-Instruct" == answer.response_metadata["model_name"]


IMAGE_BLOCKS: dict[str, dict[str, Any]] = {
    "REST tab": {"type": "image_url", "image_url": {"url": CHART_URL.replace("jpeg", "jpg", 1)}},
    "short": {"type": "image_url", "image_url": CHART_URL},
    "LangChain": {
        "type": "image",
        "base64": CHART_URL.partition(",")[2],
        "mime_type": "image/jpg",
    },
    "image_block": image_block(CHART),
}


def test_rest_sample() -> None:
    """Its body, with the right type instead of `image/jpg`, and the usage to the token."""
    for document in DOCUMENTS:
        with deployment_of(document) as (phi, model):
            for name, block in IMAGE_BLOCKS.items():
                question = {"type": "text", "text": REST_QUESTION}
                answer = model.invoke([HumanMessage([question, block])])

                assert wire_request(REST_QUESTION) == sent_request(phi), name
                assert ANSWER == answer.content, name
                usage = {"input_tokens": 2380, "output_tokens": 126, "total_tokens": 2506}
                assert usage == answer.usage_metadata, name


def test_tokens_of_the_rest_sample_are_estimated() -> None:
    """2,380 tokens, without a request."""
    question = HumanMessage([{"type": "text", "text": REST_QUESTION}, image_block(CHART)])
    with deployment_of("2024-08-19") as (phi, model):
        assert 2380 == model.get_num_tokens_from_messages([question])
        assert [] == phi.requests
