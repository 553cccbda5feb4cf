"""What LangChain writes of a model: enough to create it again, and never its key."""

import json
from typing import Any, NamedTuple

import pytest
from langchain_core.caches import BaseCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration

from langchain_azure_phi3 import ChatAzurePhi3

HOST = "https://phi.eastus2.models.ai.azure.com"
KEY = "canary-0123456789abcdef"


def model_with(**settings: Any) -> ChatAzurePhi3:
    """A model with a key that can be searched for."""
    return ChatAzurePhi3(**{"endpoint": HOST, "credential": KEY, **settings})


class Trace(NamedTuple):
    """What callbacks and the cache receive of one call."""

    params: dict[str, Any]
    metadata: dict[str, Any]
    cache_key: str


class Recorder(BaseCallbackHandler, BaseCache):
    """Keeps the traces of calls, and answers from a cache that has every answer."""

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.cache_key = ""

    def on_chat_model_start(self, *_: Any, **kwargs: Any) -> None:
        """Called at the start of a run."""
        self.params, self.metadata = kwargs["invocation_params"], kwargs["metadata"]

    def lookup(self, prompt: str, llm_string: str) -> list[ChatGeneration]:
        """Called before the request."""
        self.cache_key = llm_string
        return [ChatGeneration(message=AIMessage("cached"))]

    def update(self, *_: Any) -> None:
        """Called after the request."""

    def clear(self, **_: Any) -> None:
        """Never called."""


def trace_of(settings: dict[str, Any], **call: Any) -> Trace:
    """The trace of one call to a model with these settings."""
    recorder = Recorder()
    model = model_with(**settings, cache=recorder)
    assert model.invoke("Hi", config={"callbacks": [recorder]}, **call).text == "cached"
    return Trace(recorder.params, recorder.metadata, recorder.cache_key)


# -- keys ----------------------------------------------------------------------------------------


def test_nothing_written_contains_the_key() -> None:
    """Neither `dumps`, `repr`, `str`, `model_dump`, `model_dump_json`, traces nor cache keys."""
    settings = {"default_headers": {"x-secret": KEY}}
    model = model_with(**settings)

    written = {
        "dumps": dumps(model),
        "repr": repr(model),
        "str": str(model),
        "model_dump": str(model.model_dump()),
        "model_dump_json": model.model_dump_json(),
        "asdict": str(model.asdict()),
        "trace": str(trace_of(settings)),
    }

    assert [] == [name for name, text in written.items() if KEY in text]


def test_key_in_the_endpoints_query_is_not_traced() -> None:
    """Users paste URLs with a key in the query."""
    trace = trace_of({"endpoint": f"{HOST}/chat/completions?code={KEY}"})

    assert KEY not in f"{trace.params} {trace.metadata}"


def test_serialized_credential_is_a_reference() -> None:
    """It names the environment variable of the key."""
    written = json.loads(dumps(model_with()))["kwargs"]["credential"]

    assert {"lc": 1, "type": "secret", "id": ["AZURE_INFERENCE_CREDENTIAL"]} == written


# -- the model -----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_model_survives_dumps_and_loads() -> None:
    """`loads` takes the key from the map of the caller."""
    model = model_with(
        model="Phi-4", temperature=0, stop=["END"], model_extras={"top_k": 5}, timeout=9
    )

    loaded = loads(
        dumps(model),
        valid_namespaces=["langchain_azure_phi3"],
        allowed_objects=[ChatAzurePhi3],
        secrets_map={"AZURE_INFERENCE_CREDENTIAL": KEY},
    )

    assert model.model_dump() == loaded.model_dump()
    assert model.asdict() == loaded.asdict()


# -- caches and traces ---------------------------------------------------------------------------


def test_cache_keys_differ_by_deployment_and_parameters() -> None:
    """Two deployments must not share their answers."""
    settings = [
        {},
        {"endpoint": "https://other.eastus2.models.ai.azure.com"},
        {"model": "Phi-4"},
        {"temperature": 0},
        {"temperature": 0.0, "seed": 0},
    ]

    assert len(settings) == len({trace_of(each).cache_key for each in settings})


def test_cache_key_contains_the_environments_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes with different environments may share a cache."""
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", HOST)

    assert HOST in trace_of({"endpoint": None}).cache_key


def test_traces_contain_zeros_and_no_nulls() -> None:
    """A temperature of 0 is a temperature."""
    params = trace_of({"model": "Phi-4", "temperature": 0, "seed": 0, "max_tokens": 0}).params

    expected = {"model": "Phi-4", "endpoint": HOST, "temperature": 0, "seed": 0, "max_tokens": 0}
    assert expected == {name: params[name] for name in expected}
    assert {"top_p", "presence_penalty"}.isdisjoint(params)


def test_traces_contain_the_calls_parameters() -> None:
    """Model, temperature and limits of a call replace those of the model."""
    metadata = trace_of(
        {"model": "Phi-4", "temperature": 0.5, "max_tokens": 9, "stop": ["a"]},
        stop=["b"],
        model="other",
        temperature=0,
        max_tokens=1,
    ).metadata

    expected = {
        "ls_provider": "azure.ai.inference",
        "ls_model_type": "chat",
        "ls_model_name": "other",
        "ls_temperature": 0,
        "ls_max_tokens": 1,
        "ls_stop": ["a", "b"],
    }
    assert expected == {name: metadata[name] for name in expected}


def test_traces_name_the_provider_by_host() -> None:
    """OpenTelemetry's name on hosts of Azure; LangChain's summarization compares the other one."""
    hosts = {
        HOST: "azure.ai.inference",
        "https://phi.services.ai.azure.com": "azure.ai.inference",
        "https://phi.eastus2.inference.ml.azure.us/score": "azure.ai.inference",
        "https://gateway.example.com/v1": "azure_phi3",
        "https://azure.com.example.com/v1": "azure_phi3",
        "http://localhost:11434/v1": "azure_phi3",
    }

    for endpoint, provider in hosts.items():
        assert provider == trace_of({"endpoint": endpoint}).metadata["ls_provider"]
        assert "azure_phi3" == model_with(endpoint=endpoint)._get_ls_params()["ls_provider"]


def test_traces_contain_the_server_without_query() -> None:
    """Tracers look for `base_url`; a key in the endpoint's query is in none of the values."""
    trace = trace_of({"endpoint": f"{HOST}/chat/completions?code={KEY}"})

    assert HOST == trace.params["base_url"] == trace.params["endpoint"]
    assert KEY not in f"{trace.params} {trace.metadata}"


def test_traces_contain_the_stop_sequences_that_are_sent() -> None:
    """Those of model and call together; an empty list switches the model's off."""
    for of_model, of_call, expected in (
        (["a"], {}, ["a"]),
        (["a"], {"stop": ["b"]}, ["a", "b"]),
        (None, {"stop": ["b"]}, ["b"]),
        (["a"], {"stop": []}, []),
        (None, {}, None),
    ):
        trace = trace_of({"stop": of_model}, **of_call)
        assert expected == trace.params["stop"]
        assert (expected or None) == trace.metadata.get("ls_stop")


def test_traces_contain_the_base_model_without_another_name() -> None:
    """Instrumentation for OpenTelemetry skips models without a name."""
    assert "Phi-4" == trace_of({"base_model": "Phi-4"}).metadata["ls_model_name"]
    assert "mine" == trace_of({"base_model": "Phi-4", "model": "mine"}).metadata["ls_model_name"]
    assert "ls_model_name" not in trace_of({}).metadata


def test_traces_follow_assigned_settings() -> None:
    """What was traced before an assignment is not traced after it."""
    model = model_with(temperature=0)
    assert 0 == model._get_invocation_params()["temperature"]

    model.temperature = 1

    assert 1 == model._get_invocation_params()["temperature"]


def test_traces_contain_the_package_version() -> None:
    """LangChain records the versions of its integrations."""
    assert "langchain-azure-phi3" in trace_of({}).metadata["lc_versions"]
