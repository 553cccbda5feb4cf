"""The constructor: arguments, environment variables, and errors."""

import pickle
import subprocess
import sys
from copy import deepcopy
from typing import Any

import pytest
from pydantic import SecretStr

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, call_model

HOST = "https://phi.eastus2.models.ai.azure.com"
VARIABLES = (
    "AZURE_INFERENCE_ENDPOINT",
    "AZURE_INFERENCE_CREDENTIAL",
    "AZUREAI_ENDPOINT_URL",
    "AZUREAI_ENDPOINT_KEY",
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


# -- errors --------------------------------------------------------------------------------------


def test_missing_endpoint_names_argument_and_variables() -> None:
    """Both ways to set it."""
    for given in ({}, {"endpoint": None}, {"endpoint": ""}):
        with pytest.raises(InvalidInputError, match=r"endpoint=.*AZURE_INFERENCE_ENDPOINT"):
            ChatAzurePhi3(credential="key", **given)


def test_refused_assignments_and_copies_change_nothing() -> None:
    """They are validated as in the constructor; good ones are converted as there."""
    model = ChatAzurePhi3(endpoint=HOST, credential="key", temperature=0.5)

    for name, value in {"temperature": "hot", "timeout": 0, "stop": [""], "api": "rest"}.items():
        before = getattr(model, name)
        with pytest.raises(InvalidInputError, match=name):
            setattr(model, name, value)
        with pytest.raises(InvalidInputError, match=name):
            model.model_copy(update={name: value})
        assert before == getattr(model, name)
    with pytest.raises(InvalidInputError, match="did you mean temperature"):
        model.model_copy(update={"temprature": 0})
    model.stop = "END"
    assert ["END"] == model.stop


def test_missing_credential_names_argument_and_variables() -> None:
    """An empty key is a missing key."""
    for credential in (None, "", " \n"):
        with pytest.raises(InvalidInputError, match=r"credential=.*AZURE_INFERENCE_CREDENTIAL"):
            ChatAzurePhi3(endpoint=HOST, credential=credential)


def test_plain_http_with_a_credential_is_refused() -> None:
    """The credential would be sent unencrypted, also one in a header or in the URL."""
    refused: list[dict[str, Any]] = [
        {"endpoint": "http://phi.example", "credential": "key"},
        {"endpoint": "HTTP://192.168.1.5:8000/v1", "credential": lambda: "token"},
        {"endpoint": "http://phi.example/v1", "default_headers": {"X-Api-Key": "a long key"}},
        {"endpoint": "http://phi.example/v1?code=alongkey"},
    ]
    for given in refused:
        with pytest.raises(InvalidInputError, match=r"plain http.*allow_insecure_http=True"):
            ChatAzurePhi3(**given)
        assert ChatAzurePhi3(**given, allow_insecure_http=True)


def test_plain_http_is_checked_in_copies() -> None:
    """And when a setting is assigned; the first model stays as it was."""
    model = ChatAzurePhi3(endpoint=HOST, credential="key")
    for endpoint in ("http://phi.example", "  HTTP://phi.example", "ht\ttp://phi.example"):
        with pytest.raises(InvalidInputError):
            model.model_copy(update={"endpoint": endpoint})
        with pytest.raises(InvalidInputError):
            model.endpoint = endpoint
    assert model.endpoint == HOST
    trusting = model.model_copy(
        update={"endpoint": "http://phi.example", "allow_insecure_http": True}
    )
    with pytest.raises(InvalidInputError, match="plain http"):
        trusting.allow_insecure_http = False


def test_secrets_are_not_added_to_plain_http() -> None:
    """Neither a key nor a header that contains one, by assignment or in a copy."""
    model = ChatAzurePhi3(endpoint="http://phi.example/v1")
    secrets: dict[str, Any] = {
        "credential": SecretStr("key"),
        "default_headers": {"X-Api-Key": "a long key"},
        "endpoint": "http://phi.example/v1?code=alongkey",
    }
    for name, value in secrets.items():
        with pytest.raises(InvalidInputError, match="plain http"):
            setattr(model, name, value)
        with pytest.raises(InvalidInputError, match="plain http"):
            model.model_copy(update={name: value})
    assert (model.credential, model.default_headers) == (None, None)


@pytest.mark.parametrize("mode", CALL_MODES)
async def test_plain_http_is_checked_when_sending(mode: str) -> None:
    """Also where pydantic's own methods or a change of the headers bypass the validation."""
    headers: dict[str, str] = {}
    changed = ChatAzurePhi3(endpoint="http://127.0.0.1:9/v1", default_headers=headers)
    changed.__dict__["endpoint"] = "http://phi.example/v1"
    changed.__dict__["default_headers"] = {"X-Api-Key": "a long key"}
    constructed = ChatAzurePhi3.model_construct(
        **{**vars(changed), "credential": SecretStr("key"), "default_headers": None}
    )
    for model in (changed, constructed):
        with pytest.raises(InvalidInputError, match="plain http"):
            await call_model(model, mode, "Hi")


def test_plain_http_needs_no_credential() -> None:
    """Servers of the local network have none; this machine may get one."""
    for endpoint in (
        "http://gpu-box:8000/v1",
        "http://192.168.1.5:11434/v1",
        "http://[fe80::1]/v1",
    ):
        assert ChatAzurePhi3(endpoint=endpoint).credential is None
    for endpoint in ("http://0.0.0.0:8000/v1", "http://[::]:8000/v1", "http://127.0.0.1:8000/v1"):
        for credential in (None, "key"):
            assert ChatAzurePhi3(endpoint=endpoint, credential=credential)


def test_empty_credential_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of another deployment must not go to a server over http."""
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "key")
    with pytest.raises(InvalidInputError, match="credential=''"):
        ChatAzurePhi3(endpoint="http://gpu-box:8000/v1")
    assert ChatAzurePhi3(endpoint="http://gpu-box:8000/v1", credential="").credential is None


def test_unknown_parameter_suggests_the_nearest_name() -> None:
    """A typo must not silently drop a setting."""
    with pytest.raises(InvalidInputError, match="did you mean max_tokens"):
        ChatAzurePhi3(endpoint=HOST, credential="key", max_token=9)


def test_unknown_parameter_suggests_model_extras() -> None:
    """Other parameters of the model belong there."""
    with pytest.raises(InvalidInputError, match="model_extras"):
        ChatAzurePhi3(endpoint=HOST, credential="key", best_of=3)


WRONG_VALUES: list[dict[str, object]] = [
    {"temperature": "hot"},
    {"temperature": float("nan")},
    {"max_retries": -1},
    *({"timeout": seconds} for seconds in (0, -1, float("nan"), float("inf"), (1, 0))),
    {"n": 0},
    {"stop": [""]},
    {"extra_parameters": "allow"},
    {"system_message_mode": "fold"},
]


def test_wrong_values_are_refused_without_other_arguments() -> None:
    """The error names the parameter and quotes no other argument, which may be a key."""
    for wrong in WRONG_VALUES:
        with pytest.raises(InvalidInputError, match=next(iter(wrong))) as caught:
            ChatAzurePhi3(endpoint=HOST, credential="canary", **wrong)

        assert "canary" not in str(caught.value), wrong


def test_unknown_profile_keys_raise_a_warning() -> None:
    """As LangChain does for every model."""
    with pytest.warns(UserWarning, match="max_tokens_of_input"):
        ChatAzurePhi3(endpoint=HOST, credential="key", profile={"max_tokens_of_input": 1})


# -- endpoint and credential ---------------------------------------------------------------------


def test_endpoint_and_key_come_from_the_environment() -> None:
    """Azure's pages use two pairs of names."""
    for endpoint, credential in (VARIABLES[:2], VARIABLES[2:]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(endpoint, HOST)
            patch.setenv(credential, "from-the-environment")
            model = ChatAzurePhi3()

        assert HOST == model.endpoint
        assert SecretStr("from-the-environment") == model.credential


def test_newer_environment_variables_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure's pages moved from AZUREAI_* to AZURE_INFERENCE_*."""
    monkeypatch.setenv("AZUREAI_ENDPOINT_URL", "https://older.example")
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", HOST)

    assert HOST == ChatAzurePhi3(credential="key").endpoint


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program decides."""
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "from-the-environment")

    assert SecretStr("given") == ChatAzurePhi3(endpoint=HOST, credential="given").credential


def test_api_key_is_an_alias_of_credential() -> None:
    """The name in LangChain's other models."""
    assert SecretStr("given") == ChatAzurePhi3(endpoint=HOST, api_key="given").credential


def test_white_space_around_the_key_is_removed() -> None:
    """A header cannot contain the line feed of a key file."""
    assert SecretStr("given") == ChatAzurePhi3(endpoint=HOST, credential=" given\n").credential


def test_local_servers_need_no_credential() -> None:
    """Ollama, llama.cpp and Foundry Local require none."""
    assert ChatAzurePhi3(endpoint="http://localhost:11434/v1").credential is None


def test_plain_http_is_accepted_on_this_machine() -> None:
    """Loopback traffic does not leave the machine."""
    for host in ("localhost", "127.0.0.1", "127.8.8.8", "[::1]", "a.localhost"):
        assert ChatAzurePhi3(endpoint=f"http://{host}:8000", credential="key"), host


# -- other settings ------------------------------------------------------------------------------


def test_misspellings_of_pass_through_are_fixed() -> None:
    """Azure's own samples have three spellings; servers accept one."""
    for spelling in ("pass-through", "passthrough", "pass_through"):
        model = ChatAzurePhi3(endpoint=HOST, credential="key", extra_parameters=spelling)

        assert model.extra_parameters == "pass-through"


def test_stop_may_be_a_string() -> None:
    """As in OpenAI's API."""
    assert ChatAzurePhi3(endpoint=HOST, credential="key", stop="END").stop == ["END"]


# -- copies and imports --------------------------------------------------------------------------


def test_models_are_copied_and_pickled_after_use(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Ray, Spark and test harnesses send models to other processes."""
    phi.script(*["Hello."] * 4)
    assert "Hello." == model.invoke("Hi").text

    for copy in (deepcopy(model), pickle.loads(pickle.dumps(model)), model.model_copy()):
        assert model.asdict() == copy.asdict()
        assert model.credential == copy.credential
        assert "Hello." == copy.invoke("Hi").text


def test_copies_use_their_changed_settings(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Connections belong to the settings, not to the first model that had them."""
    model.invoke("Hi")
    with Emulator() as other:
        update = {"endpoint": other.endpoint, "credential": SecretStr(other.key)}
        model.model_copy(update=update).invoke("Hi")

        assert (1, 1) == (len(phi.requests), len(other.requests))


def test_importing_the_package_is_light() -> None:
    """azure-identity and the emulator's server are imported where they are used."""
    code = (
        "import sys, langchain_azure_phi3; "
        "heavy = {'azure.identity', 'uvicorn'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
