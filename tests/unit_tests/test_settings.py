"""How a model is made: arguments, environment, and what is refused."""

import pickle
import subprocess
import sys
from copy import deepcopy

import pytest
from pydantic import SecretStr

from langchain_azure_phi3 import ChatAzurePhi3, InvalidInputError

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


@pytest.mark.parametrize("pair", [VARIABLES[:2], VARIABLES[2:]])
def test_endpoint_and_key_come_from_the_environment(
    pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both pairs of names that Azure's pages use."""
    monkeypatch.setenv(pair[0], HOST)
    monkeypatch.setenv(pair[1], "from-the-environment")

    model = ChatAzurePhi3()

    assert HOST == model.endpoint
    assert SecretStr("from-the-environment") == model.credential


def test_the_later_pair_of_variables_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure's pages moved from AZUREAI_* to AZURE_INFERENCE_*."""
    monkeypatch.setenv("AZUREAI_ENDPOINT_URL", "https://older.example")
    monkeypatch.setenv("AZURE_INFERENCE_ENDPOINT", HOST)

    assert HOST == ChatAzurePhi3(credential="key").endpoint


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written in the program is meant."""
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "from-the-environment")

    assert SecretStr("given") == ChatAzurePhi3(endpoint=HOST, credential="given").credential


def test_api_key_is_another_name_of_the_credential() -> None:
    """LangChain's own name for it."""
    assert SecretStr("given") == ChatAzurePhi3(endpoint=HOST, api_key="given").credential


def test_white_space_around_the_key_is_removed() -> None:
    """A line feed from a file would make a header that cannot be sent."""
    assert SecretStr("given") == ChatAzurePhi3(endpoint=HOST, credential=" given\n").credential


def test_a_missing_endpoint_names_both_ways_to_give_it() -> None:
    """The argument and the variables."""
    with pytest.raises(InvalidInputError, match=r"endpoint=.*AZURE_INFERENCE_ENDPOINT"):
        ChatAzurePhi3(credential="key")


@pytest.mark.parametrize("credential", [None, "", " \n"])
def test_a_missing_credential_names_both_ways_to_give_it(credential: str | None) -> None:
    """The argument and the variables; an empty key is none."""
    with pytest.raises(InvalidInputError, match=r"credential=.*AZURE_INFERENCE_CREDENTIAL"):
        ChatAzurePhi3(endpoint=HOST, credential=credential)


def test_a_server_on_this_machine_needs_no_credential() -> None:
    """Ollama, llama.cpp and Foundry Local ask for none."""
    assert ChatAzurePhi3(endpoint="http://localhost:11434/v1").credential is None


def test_plain_http_with_a_credential_is_refused() -> None:
    """It would cross the network readable by all."""
    with pytest.raises(InvalidInputError, match="plain http"):
        ChatAzurePhi3(endpoint="http://phi.example", credential="key")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "a.localhost"])
def test_plain_http_is_accepted_on_this_machine(host: str) -> None:
    """Loopback traffic leaves the machine nowhere."""
    assert ChatAzurePhi3(endpoint=f"http://{host}:8000", credential="key")


def test_an_unknown_parameter_is_refused_with_the_nearest_name() -> None:
    """A typing mistake must not silently lose a setting."""
    with pytest.raises(InvalidInputError, match="did you mean max_tokens"):
        ChatAzurePhi3(endpoint=HOST, credential="key", max_token=9)


def test_a_far_off_parameter_is_refused_with_the_place_for_it() -> None:
    """Parameters of the model travel in `model_extras`."""
    with pytest.raises(InvalidInputError, match="model_extras"):
        ChatAzurePhi3(endpoint=HOST, credential="key", best_of=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": "hot"},
        {"temperature": float("nan")},
        {"max_retries": -1},
        *({"timeout": seconds} for seconds in (0, -1, float("nan"), float("inf"), (1, 0))),
        {"n": 0},
        {"stop": [""]},
        {"extra_parameters": "allow"},
        {"system_message_mode": "fold"},
    ],
)
def test_a_wrong_value_is_refused_without_being_shown(wrong: dict[str, object]) -> None:
    """The error names the parameter; no argument's value, which may be a key, is in it."""
    with pytest.raises(InvalidInputError, match=next(iter(wrong))) as caught:
        ChatAzurePhi3(endpoint=HOST, credential="canary", **wrong)

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("spelling", ["pass-through", "passthrough", "pass_through"])
def test_the_known_misspellings_of_pass_through_are_mended(spelling: str) -> None:
    """Azure's own samples spell it in three ways; servers accept one."""
    model = ChatAzurePhi3(endpoint=HOST, credential="key", extra_parameters=spelling)

    assert model.extra_parameters == "pass-through"


def test_one_stop_may_be_a_plain_string() -> None:
    """As in OpenAI's API."""
    assert ChatAzurePhi3(endpoint=HOST, credential="key", stop="END").stop == ["END"]


def test_a_model_is_copied_and_pickled_before_and_after_use() -> None:
    """Ray, Spark and test harnesses send models to other processes."""
    model = ChatAzurePhi3(endpoint=HOST, credential="key", temperature=0)
    assert model._endpoints.sync is not None

    for twin in (deepcopy(model), pickle.loads(pickle.dumps(model)), model.model_copy()):
        assert model.asdict() == twin.asdict()
        assert model.credential == twin.credential


def test_a_changed_setting_takes_effect(phi: "object") -> None:
    """Connections belong to settings, not to the object that happened to be made first."""
    model = ChatAzurePhi3(endpoint=HOST, credential="key")
    first = model._endpoints.sync

    moved = model.model_copy(update={"endpoint": "https://other.eastus2.models.ai.azure.com"})

    assert moved._endpoints.sync is not first
    assert "other" in moved._endpoints.sync._connection.route.chat_url


def test_importing_the_package_is_light() -> None:
    """azure-identity and the emulator's server load only where they are used."""
    code = (
        "import sys, langchain_azure_phi3; "
        "heavy = {'azure.identity', 'uvicorn'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_a_profile_with_keys_that_langchain_does_not_know_is_warned_of() -> None:
    """As LangChain does it for every model."""
    with pytest.warns(UserWarning, match="max_tokens_of_input"):
        ChatAzurePhi3(endpoint=HOST, credential="key", profile={"max_tokens_of_input": 1})
