"""The picture samples of Azure's how-tos of 2024-07-02 and 2024-08-19, done in LangChain.

Both ask Phi-3-vision about a chart of 1900 x 1069 pixels, in Python with a system message, in
their REST tab without one, and show the answer with its usage. The chart itself is not needed:
a JPEG of its size costs the same.
"""

import base64
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from PIL import Image

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError, image_block
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.colours import COLOURS, ask

PEOPLE = "You are a helpful assistant that can generate responses based on images."
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


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """The deployment of both documents."""
    with Emulator("Phi-3-vision-128k-instruct") as emulator:
        yield emulator


@pytest.fixture(params=DOCUMENTS.values(), ids=DOCUMENTS)
def model(
    phi: Emulator, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> ChatAzurePhi3:
    """A document's client, made from the variables that it names."""
    for variable in (name for names in DOCUMENTS.values() for name in names):
        monkeypatch.delenv(variable, raising=False)
    endpoint, credential = request.param
    monkeypatch.setenv(endpoint, phi.endpoint)
    monkeypatch.setenv(credential, phi.key)
    return ChatAzurePhi3(
        model="Phi-3-vision-128k-instruct", temperature=0, top_p=1, max_tokens=2048
    )


def wire(question: str, *before: dict[str, Any]) -> dict[str, Any]:
    """The request's JSON, as the documents' REST tab shows it."""
    chart = {"type": "image_url", "image_url": {"url": CHART_URL}}
    content = [{"type": "text", "text": question}, chart]
    return {
        "messages": [*before, {"role": "user", "content": content}],
        "temperature": 0,
        "top_p": 1,
        "max_tokens": 2048,
    }


def sent(phi: Emulator) -> dict[str, Any]:
    """The last request, without what servers on localhost get besides, and without `stream`."""
    body = phi.requests[-1].json
    return {key: value for key, value in body.items() if key not in ("model", "stream")}


@pytest.mark.parametrize("colour", COLOURS)
async def test_the_python_sample(phi: Emulator, model: ChatAzurePhi3, colour: str) -> None:
    """`ImageContentItem(image=ImageUrl(url=data_url))` behind a system message."""
    question = [
        {"type": "text", "text": PYTHON_QUESTION},
        {"type": "image_url", "image_url": {"url": CHART_URL}},
    ]

    answer = await ask(model, colour, [SystemMessage(PEOPLE), HumanMessage(question)])

    assert wire(PYTHON_QUESTION, {"role": "system", "content": PEOPLE}) == sent(phi)
    assert (ANSWER, "stop") == (answer.content, answer.response_metadata["finish_reason"])
    assert "Phi-3-vision-128k-Instruct" == answer.response_metadata["model_name"]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": CHART_URL.replace("jpeg", "jpg", 1)}},
        {"type": "image_url", "image_url": CHART_URL},
        {"type": "image", "base64": CHART_URL.partition(",")[2], "mime_type": "image/jpg"},
        image_block(CHART),
    ],
    ids=["as in the REST tab", "short", "langchain", "image_block"],
)
def test_the_rest_sample(phi: Emulator, model: ChatAzurePhi3, block: dict[str, Any]) -> None:
    """Its body, with the right type for its `image/jpg`, and its usage to the token."""
    answer = model.invoke([HumanMessage([{"type": "text", "text": REST_QUESTION}, block])])

    assert wire(REST_QUESTION) == sent(phi)
    assert ANSWER == answer.content
    assert {"input_tokens": 2380, "output_tokens": 126, "total_tokens": 2506} == (
        answer.usage_metadata
    )


def test_the_rest_samples_tokens_are_known_before(phi: Emulator, model: ChatAzurePhi3) -> None:
    """2,380 tokens, counted offline."""
    question = HumanMessage([{"type": "text", "text": REST_QUESTION}, image_block(CHART)])

    assert 2380 == model.get_num_tokens_from_messages([question])
    assert [] == phi.requests


def test_adding_multiple_images_results_in_an_error(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The documents' "only one image for each turn", said before anything is sent."""
    with pytest.raises(InvalidInputError, match="this one has 2"):
        model.invoke([HumanMessage([image_block(CHART), image_block(CHART)])])

    assert [] == phi.requests


def test_only_the_last_image_is_retained_in_context(phi: Emulator, model: ChatAzurePhi3) -> None:
    """The server would refuse the second turn otherwise."""
    first = HumanMessage([{"type": "text", "text": "What is this?"}, image_block(CHART)])
    second = HumanMessage([{"type": "text", "text": PYTHON_QUESTION}, image_block(CHART)])

    answer = model.invoke([first, AIMessage("A chart."), second])

    assert ANSWER == answer.content
    first_sent, _, second_sent = phi.requests[-1].json["messages"]
    assert [{"type": "text", "text": "What is this?"}] == first_sent["content"]
    assert CHART_URL == second_sent["content"][1]["image_url"]["url"]
