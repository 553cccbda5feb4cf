"""Deployments have names of their own: which Phi one is, and what is done while that is unknown.

A transport in front of the emulator serves its model under the invented names, as Foundry serves
models under the names of their deployments.
"""

import json
import re
import warnings
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_azure_phi3 import ChatAzurePhi3, ContextLengthError, InvalidInputError
from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.errors import RetiredModelWarning, UnknownModelWarning
from tests.integration_tests.test_server_types import EVERY, server_of

REAL = "Phi-3-mini-4k-instruct"
INVENTED = (
    "my-deployment",
    "my-phi-4",
    "prod-phi",
    "phi3-mini-4k-finetuned",
    "Phi-3-mini-4k-instruct-abcde",
    "Phi-3-mini-4k-instuct",
    "gpt-4o",
    "chat",
    "team/assistant:v2",
    "Llama-3.3-70B",
)


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


class City(BaseModel):
    """A city."""

    city: str


class NamedDeployment(httpx.BaseTransport):
    """Serves the emulator's model under other names: in requests, and if wanted in responses."""

    def __init__(self, phi: Emulator, real: str, *, reports_real: bool = False) -> None:
        self._transport = phi.transport()
        self._real = real
        self._reports_real = reports_real

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Rename the model on both ways."""
        body = json.loads(request.content) if request.content else {}
        given = body.get("model")
        if given is not None:
            content = json.dumps({**body, "model": self._real}).encode()
            headers = {k: v for k, v in request.headers.items() if k != "content-length"}
            request = httpx.Request(request.method, request.url, headers=headers, content=content)
        response = self._transport.handle_request(request)
        content = response.read()
        if given is not None and not self._reports_real:
            content = re.sub(
                rb'"model": ?"[^"]*"', b'"model": ' + json.dumps(given).encode(), content
            )
        return httpx.Response(
            response.status_code,
            content=content,
            headers={k: v for k, v in response.headers.items() if k != "content-length"},
        )


def connect(
    server: str, phi: Emulator, *, reports_real: bool = False, **settings: Any
) -> ChatAzurePhi3:
    """A model for the real URL of a server type."""
    row = server_of(server)
    real = row.settings.get("model", REAL)
    given = {**row.settings, "credential": phi.key, "max_retries": 0, **settings}
    transport = NamedDeployment(phi, real, reports_real=reports_real)
    return ChatAzurePhi3(
        endpoint=row.endpoint, http_client=httpx.Client(transport=transport), **given
    )


@pytest.mark.filterwarnings("ignore::langchain_azure_phi3.errors.UnknownModelWarning")
def test_every_name_has_tools_and_structured_output() -> None:
    """On each type of endpoint: agents, tools, and objects by every method."""
    for server in EVERY:
        with Emulator(REAL, server_type=server.split()[0]) as phi:
            for name in (*INVENTED, REAL):
                if name == REAL and "model" in server_of(server).settings:
                    continue  # the name has a form of its own there
                model = connect(server, phi, model=name)
                call = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
                found = '{"city": "Paris"}'

                phi.script(call, "Sunny.", call, found, *[found] * 2)
                phi.script('{"name": "City", "arguments": {"city": "Paris"}}')
                agent = create_agent(model, [get_weather])
                state = agent.invoke({"messages": [("user", "Weather in Paris?")]})
                assert state["messages"][-1].text == "Sunny.", (server, name)
                bound = model.bind_tools([get_weather], tool_choice="any")
                assert bound.invoke("Weather?").tool_calls[0]["args"] == {"city": "Paris"}
                reporter = create_agent(model, [], response_format=City)
                state = reporter.invoke({"messages": [("user", "Which city?")]})
                assert state["structured_response"] == City(city="Paris"), (server, name)
                for method in ("json_schema", "json_mode", "function_calling"):
                    structured = model.with_structured_output(City, method=method)
                    assert structured.invoke("Which city? JSON with city.") == City(city="Paris")
            assert not any("tools" in request.json for request in phi.requests)


def test_base_model_names_the_phi() -> None:
    """Its profile, limits and tool format; the server gets the deployment's name."""
    with Emulator(REAL, server_type="openai-v1") as phi:
        model = connect("openai-v1", phi, model="chat", base_model=REAL)

        assert model.profile is not None
        assert model.profile["max_input_tokens"] == 4096
        with pytest.raises(ContextLengthError):
            model.invoke("word " * 5000)
        model.invoke("Hi")
        assert phi.requests[-1].json["model"] == REAL  # as renamed by the transport
        assert model.invoke("Hi").response_metadata["model_name"] == "chat"


def test_calls_for_another_model_ignore_base_model() -> None:
    """It describes the model's own deployment."""
    with Emulator(REAL, server_type="openai-v1") as phi:
        model = connect("openai-v1", phi, model="chat", base_model=REAL)

        answer = model.invoke("word " * 3900, model="phi-4", max_tokens=10)

        assert answer.text


def test_first_response_identifies_the_model() -> None:
    """Also for models that are made later; a streamed one does as well."""
    image = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    for mode in ("invoke", "stream"):
        with Emulator(REAL, server_type="openai-v1") as phi:
            model = connect("openai-v1", phi, model=f"chat-{mode}", reports_real=True)
            list(model.stream("Hi")) if mode == "stream" else model.invoke("Hi")

            with pytest.raises(InvalidInputError, match="image"):
                model.invoke([("user", [image])])
            later = connect("openai-v1", phi, model=f"chat-{mode}")
            assert later.profile is not None
            assert later.profile["max_input_tokens"] == 4096


def test_info_identifies_the_model() -> None:
    """The profile of the model itself changes as well, unless the user set it."""
    with Emulator(REAL) as phi:
        model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model="ours")
        own = model.model_copy(update={"profile": {"max_input_tokens": 7}})
        assert model.profile is not None
        assert "max_input_tokens" not in model.profile

        model.get_model_info()
        own.get_model_info()

        assert model.profile["max_input_tokens"] == 4096
        assert own.profile == {"max_input_tokens": 7}


def test_profile_follows_the_model() -> None:
    """In copies and on assignment; a profile of the user's own stays."""
    model = ChatAzurePhi3(endpoint="http://localhost:1/v1", model="Phi-4")
    copy = model.model_copy(update={"model": REAL})
    own = ChatAzurePhi3(endpoint="http://localhost:1/v1", model="Phi-4", profile={"name": "own"})
    model.model = "unknown"

    assert copy.profile is not None
    assert copy.profile["max_input_tokens"] == 4096
    assert copy.model_copy(update={"model": "Phi-4"}).profile == own_of("Phi-4")
    assert model.profile is not None
    assert "max_input_tokens" not in model.profile
    assert own.model_copy(update={"model": REAL}).profile == {"name": "own"}


def own_of(name: str) -> dict[str, Any]:
    """The profile of a model with that name."""
    return dict(ChatAzurePhi3(endpoint="http://localhost:1/v1", model=name).profile or {})


def test_environment_names_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments win over it, and an empty one overrides it."""
    monkeypatch.setenv("AZURE_INFERENCE_MODEL", "Phi-4")
    endpoint = "http://localhost:1/v1"

    assert ChatAzurePhi3(endpoint=endpoint).model == "Phi-4"
    assert ChatAzurePhi3(endpoint=endpoint, model=REAL).model == REAL
    assert ChatAzurePhi3(endpoint=endpoint, model_name=REAL).model == REAL
    assert ChatAzurePhi3(endpoint=endpoint, model="").model is None


def test_a_typo_is_warned_of_once() -> None:
    """With the closest name; names that are like none of the catalog's are fine."""
    endpoint = "http://localhost:1/v1"
    with pytest.warns(UnknownModelWarning, match="closest name there is 'Phi-3-mini-4k-instruct'"):
        ChatAzurePhi3(endpoint=endpoint, model="Phi-3-mini-4k-instuct")
    with pytest.warns(UnknownModelWarning, match="base_model='Phi-4-reasoning'"):
        ChatAzurePhi3(endpoint=endpoint, model="ours", base_model="Phi-4-reasonin")
    with pytest.warns(UnknownModelWarning, match="it has no effect") as caught:
        ChatAzurePhi3(endpoint=endpoint, model="ours", base_model="gpt-4o")
    assert caught[0].filename == __file__

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ChatAzurePhi3(endpoint=endpoint, model="Phi-3-mini-4k-instuct")
        for name in ("gpt-4o", "prod-phi", "my-deployment", "phi-4-mini"):
            ChatAzurePhi3(endpoint=endpoint, model=name)


def test_an_unknown_name_that_is_not_sent_causes_a_warning() -> None:
    """On endpoints of one model; others may have a deployment of any name."""
    one_model = "https://phi.eastus2.models.ai.azure.com"
    with pytest.warns(UnknownModelWarning, match="model='mistral-small' .* is not sent"):
        ChatAzurePhi3(endpoint=one_model, credential="key", model="mistral-small")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for endpoint in ("http://localhost:1/v1", "https://phi.services.ai.azure.com/models"):
            ChatAzurePhi3(endpoint=endpoint, credential="key", model="mistral-large")


def test_a_retired_model_is_warned_of_once() -> None:
    """Where Azure serves the models; managed compute and servers of one's own still run them."""
    for number, endpoint in enumerate(
        ("https://phi.eastus2.models.ai.azure.com", "https://res.services.ai.azure.com")
    ):
        name = ("Phi-3-mini-4k-instruct", "Phi-3.5-mini-instruct")[number]
        with pytest.warns(RetiredModelWarning, match="on 2025-08-30. .*is Phi-4-mini-instruct;"):
            ChatAzurePhi3(endpoint=endpoint, credential="key", model="ours", base_model=name)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ChatAzurePhi3(endpoint=endpoint, credential="key", model="Phi-3.5-mini-instruct")
        ChatAzurePhi3(endpoint=endpoint, credential="key", model="Phi-4-mini-instruct")
        for own in ("https://phi.eastus2.inference.ml.azure.com", "http://localhost:1/v1"):
            ChatAzurePhi3(endpoint=own, credential="key", model="Phi-3-medium-4k-instruct")
