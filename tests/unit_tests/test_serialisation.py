"""What LangChain writes of a model: enough to make it again, never its key."""

import json

import pytest
from langchain_core.load import dumps, loads

from langchain_azure_phi3 import ChatAzurePhi3

HOST = "https://phi.eastus2.models.ai.azure.com"
KEY = "canary-0123456789abcdef"


def made(**settings: object) -> ChatAzurePhi3:
    """A model with a key that can be searched for."""
    return ChatAzurePhi3(**{"endpoint": HOST, "credential": KEY, **settings})


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_a_model_survives_dumps_and_loads() -> None:
    """`loads` makes the same model again, with the key from the caller's map."""
    model = made(model="Phi-4", temperature=0, stop=["END"], model_extras={"top_k": 5}, timeout=9)

    again = loads(
        dumps(model),
        valid_namespaces=["langchain_azure_phi3"],
        allowed_objects=[ChatAzurePhi3],
        secrets_map={"AZURE_INFERENCE_CREDENTIAL": KEY},
    )

    assert model.model_dump() == again.model_dump()
    assert model.asdict() == again.asdict()


def test_the_key_is_in_nothing_that_is_written() -> None:
    """Not in `dumps`, `repr`, `str`, `model_dump`, tracing parameters or cache keys."""
    model = made(default_headers={"x-secret": KEY})

    written = [
        dumps(model),
        repr(model),
        str(model),
        str(model.model_dump()),
        str(model.asdict()),
        str(model._get_invocation_params()),
        str(model._get_ls_params()),
        model._get_llm_string(),
    ]

    assert [] == [text for text in written if KEY in text]


def test_cache_keys_differ_by_endpoint_model_and_parameters() -> None:
    """Two deployments must not share their answers."""
    models = [
        made(),
        made(endpoint="https://other.eastus2.models.ai.azure.com"),
        made(model="Phi-4"),
        made(temperature=0),
        made(temperature=0.0, seed=0),
    ]

    assert len(models) == len({model._get_llm_string() for model in models})


def test_an_endpoint_from_the_environment_is_in_the_cache_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A shared cache must not mix processes whose environments differ."""
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", HOST)

    assert HOST in ChatAzurePhi3(credential=KEY)._get_llm_string()


def test_a_call_without_a_key_in_the_map_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is a reference, by the name of its variable."""
    written = json.loads(dumps(made()))["kwargs"]["credential"]

    assert {"lc": 1, "type": "secret", "id": ["AZURE_INFERENCE_CREDENTIAL"]} == written


def test_tracing_parameters_follow_the_call() -> None:
    """A model, temperature or limit given in a call is the one that is traced."""
    model = made(model="Phi-4", temperature=0.5, max_tokens=9, stop=["a"])

    found = model._get_ls_params(stop=["b"], model="other", temperature=0, max_tokens=1)

    assert {
        "ls_provider": "azure_phi3",
        "ls_model_type": "chat",
        "ls_model_name": "other",
        "ls_temperature": 0,
        "ls_max_tokens": 1,
        "ls_stop": ["a", "b"],
    } == found


def test_identifying_parameters_hold_zeros_and_no_nulls() -> None:
    """They feed tracing; a temperature of 0 is a temperature."""
    assert {
        "model": "Phi-4",
        "endpoint": HOST,
        "temperature": 0,
        "seed": 0,
        "max_tokens": 0,
    } == made(model="Phi-4", temperature=0, seed=0, max_tokens=0)._identifying_params


def test_a_secret_in_the_endpoints_query_is_not_traced() -> None:
    """People paste URLs with a key in the query."""
    model = made(endpoint=f"{HOST}/chat/completions?code={KEY}")

    assert KEY not in str(model._get_invocation_params())


def test_the_version_of_the_package_is_in_the_traces_metadata() -> None:
    """LangChain records every package on the way."""
    assert "langchain-azure-phi3" in (made().metadata or {})["lc_versions"]
