"""Values that cannot be right, and what the error says about them."""

import base64
import errno
import random
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureKeyCredential
from langchain.chat_models import init_chat_model
from pydantic import SecretStr

from langchain_azure_phi3 import ChatAzurePhi3, register_provider
from langchain_azure_phi3.cli import main
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.images import image_block

ENDPOINT = "https://phi.eastus2.models.ai.azure.com"

# Arguments, values, and what the message says about both.
SETTINGS: tuple[tuple[str, Any, str], ...] = (
    ("timeout", "30 seconds", "timeout must be a number of seconds, .* not '30 seconds'"),
    ("timeout", -1, r"timeout must be .* above 0 .*, not -1"),
    ("timeout", (5, 0), r"timeout must be .*, not \(5, 0\)"),
    ("timeout", True, r"timeout must be .*, not True"),
    ("temperature", "warm", "temperature must be a valid number, not 'warm'"),
    ("temperature", False, "temperature must be a number, not False"),
    ("max_tokens", True, "max_tokens must be a number, not True"),
    ("max_tokens", 99.5, r"max_tokens must be a valid integer, not 99\.5"),
    ("n", 0, "n must be at least 1, not 0"),
    ("stop", ["###", ""], r"stop\[1\] must have at least 1 character, not ''"),
    ("logit_bias", {"50256": "low"}, r"logit_bias\['50256'\] must be a valid number, not 'low'"),
    ("reasoning", "high", "reasoning must be 'auto', 'on' or 'off', not 'high'"),
    ("tokenizer", 7, "tokenizer must be a path or an object with an encode method, not 7"),
    ("rate_limiter", 10, "rate_limiter must be an instance of BaseRateLimiter, not 10"),
    ("profile", "Phi-4", "profile must be a valid dictionary, not 'Phi-4'"),
)


def make_model(**settings: Any) -> ChatAzurePhi3:
    """A model of a serverless API."""
    return ChatAzurePhi3(**{"endpoint": ENDPOINT, "credential": "key", **settings})


def test_wrong_settings_are_shown_with_their_values() -> None:
    """In the constructor, in `model_copy`, and in an assignment, as one sentence."""
    for name, value, expected in SETTINGS:
        with pytest.raises(InvalidInputError, match=f"arguments: {expected}\\.$"):
            make_model(**{name: value})
        if name == "profile":  # one of LangChain's settings, which it validates itself
            continue
        with pytest.raises(InvalidInputError, match=expected):
            make_model().model_copy(update={name: value})
        with pytest.raises(InvalidInputError, match=expected):
            setattr(make_model(), name, value)


def test_wrong_parameters_of_calls_are_shown_with_their_values() -> None:
    """By the same rules."""
    for name, value, expected in SETTINGS:
        if name in ("temperature", "max_tokens", "n", "stop", "logit_bias"):
            with pytest.raises(InvalidInputError, match=f"{expected}\\.$"):
                make_model().invoke("Hi", **{name: value})


def test_settings_that_may_hold_keys_are_not_shown() -> None:
    """Only their types are."""
    for name, value, expected in (
        ("endpoint", ["canary-0123"], "endpoint must be a valid string, not list"),
        ("default_headers", "api-key: canary-0123", "must be a valid dictionary, not str"),
        ("default_headers", {"api-key": ["canary-0"]}, r"default_headers\['api-key'\] must be"),
        ("model_extras", ["canary-0123"], "model_extras must be a valid dictionary, not list"),
    ):
        with pytest.raises(InvalidInputError, match=expected) as caught:
            make_model(**{name: value})
        assert "canary" not in str(caught.value)


def test_long_values_are_shortened() -> None:
    """A message is to be read; Python writes no integer of more than 4,300 digits."""
    for name, value in (
        ("max_tokens", "many " * 1_000),
        ("temperature", 10**5_000),
        ("max_retries", -(10**5_000)),
        ("timeout", (1, 10**5_000)),
        ("stop", [1] * 1_000),
    ):
        assert len(refusal(**{name: value})) < 300


def test_one_scope_needs_no_list() -> None:
    """A text is a sequence of texts for type checkers."""
    assert make_model(credential_scopes="api://phi/.default").credential_scopes == [
        "api://phi/.default"
    ]


def test_positional_arguments_are_named() -> None:
    """After the class that was called, without the value."""

    class OwnPhi(ChatAzurePhi3):
        pass

    for model in (ChatAzurePhi3, OwnPhi):
        with pytest.raises(TypeError, match=rf"^{model.__name__} takes no .* model='") as caught:
            model("canary")  # type: ignore[misc, call-arg]
        assert "canary" not in str(caught.value)


# -- endpoints -----------------------------------------------------------------------------------

PLACEHOLDERS = (
    "https://your-endpoint.eastus2.models.ai.azure.com",
    "https://your-resource-name.services.ai.azure.com",
    "https://YOUR_RESOURCE.openai.azure.com/openai/v1",
    "https://yourresource.openai.azure.com",
    "https://my-resource-name.openai.azure.com",
    "https://openai-resource-name.openai.azure.com/",
    "https://my-deployment",
    "https://my-endpoint-name/",
    "https://api.your-company.com/v1",
    "https://example-resource.services.ai.azure.com",
    "https://{name}.{region}.models.ai.azure.com",
    "https://{{ endpoint }}/v1",
    "https://[resource].openai.azure.com",
    "https://%7Bname%7D.eastus2.models.ai.azure.com",
    "https://xxxx.services.ai.azure.com",
    "https://*.services.ai.azure.com",
    "https://...",
    "https://phi.services.ai.azure.com/api/projects/<project>",
    "https://phi.services.ai.azure.com/api/projects/your-project",
    "https://replace-me.models.ai.azure.com",
    "your.endpoint.com",
    "https://your.endpoint.com",
)

OTHER_ENDPOINTS = {
    "$PHI_ENDPOINT": "the name of an environment variable",
    "AZURE_INFERENCE_ENDPOINT": "the name of an environment variable",
    'os.environ["ENDPOINT"]': "the name of an environment variable",
    "https://$RESOURCE.openai.azure.com": "the name of an environment variable",
    "Endpoint=https://phi.eastus2.models.ai.azure.com": "with the name of its setting",
    "export PHI_URL='https://phi.eastus2.models.ai.azure.com'": "with the name of its setting",
    "https://huggingface.co/microsoft/Phi-4-mini-instruct": r"huggingface\.co is a website",
    "https://www.github.com/microsoft/PhiCookBook": r"www\.github\.com is a website",
    "https://learn.microsoft.com/azure/ai-foundry": r"learn\.microsoft\.com is a website",
    "htps://phi.eastus2.models.ai.azure.com": "begins with 'htps://'",
    "https://": "has no host name",
}

REAL_ENDPOINTS = (
    "http://my-phi:8000/v1",
    "https://my-phi/v1",
    "http://my-server:11434/v1",
    "http://model/v1",
    "http://vllm-service.default.svc.cluster.local/v1",
    "https://my-endpoint-4711.eastus2.inference.ml.azure.com/score",
    "https://my-phi.eastus2.models.ai.azure.com",
    "https://yours.eastus2.models.ai.azure.com",
    "https://xxl.services.ai.azure.com/api/projects/my-project",
    "https://example.com/v1",
    "https://router.huggingface.co/v1",
    "https://abc.eu-west-1.aws.endpoints.huggingface.cloud/v1",
    "https://gateway.example.com/your-team/phi",
    "https://gateway.example.com/phi?subscription-key=4f2a",
    "http://[::1]:8080/v1",
)


def refusal(**settings: Any) -> str:
    """The error of the constructor."""
    with pytest.raises(InvalidInputError) as caught:
        make_model(**settings)
    return str(caught.value)


def test_placeholders_are_not_endpoints() -> None:
    """In the notation of any documentation."""
    for endpoint in PLACEHOLDERS:
        assert "The endpoint is a placeholder copied" in refusal(endpoint=endpoint), endpoint


def test_other_texts_are_not_endpoints() -> None:
    """The message says what they are instead."""
    for endpoint, expected in OTHER_ENDPOINTS.items():
        with pytest.raises(InvalidInputError, match=expected):
            make_model(endpoint=endpoint)


def test_unusual_endpoints_are_accepted() -> None:
    """Of networks of containers, gateways, and resources that users named."""
    for endpoint in REAL_ENDPOINTS:
        model = make_model(endpoint=endpoint, allow_insecure_http=True)
        assert model.endpoint == endpoint


# -- keys ----------------------------------------------------------------------------------------

WRONG_KEYS = {
    "<your key>": "a placeholder",
    "{api_key}": "a placeholder",
    "[key]": "a placeholder",
    "yourAzureKey": "a placeholder",
    "paste your key here": "a placeholder",
    "replace-me": "a placeholder",
    "AZURE_INFERENCE_CREDENTIAL": "the name of an environment variable",
    "AZURE_KEY": "the name of an environment variable",
    "MISTRAL_API_KEY": "the name of an environment variable",
    "$AZURE_KEY": "the name of an environment variable",
    "$env:AZURE_KEY": "the name of an environment variable",
    "%AZURE_KEY%": "the name of an environment variable",
    'os.environ["KEY"]': "the name of an environment variable",
    "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/k)": "a reference to a secret",
    "https://phi.eastus2.models.ai.azure.com": "a URL",
    "phi.eastus2.models.ai.azure.com": "a URL",
    "Endpoint=https://phi.azconfig.io;Id=1;Secret=abc": "a URL",
    "api-key: 7d1f0a93c5e8b246": "the name of its header",
    "Authorization: Bearer 7d1f0a93c5e8b246": "the name of its header",
    "Ocp-Apim-Subscription-Key=7d1f0a93c5e8b246": "the name of its header",
    "AZURE_KEY=7d1f0a93c5e8b246": "the name of its header or variable",
    "export KEY=7d1f0a93c5e8b246": "the name of its header or variable",
    "Basic dXNlcjpwYXNz": "the name of its header",
    "********": "a masked key",
    "7d1f****b246": "a masked key",
    "sk-...b246": "a masked key",
    "\u2022\u2022\u2022\u2022\u2022": "a masked key",
    '{"key": "7d1f0a93c5e8b246"}': "JSON",
    "/run/secrets/phi-key": "the path of a file",
    "~/.azure/key": "the path of a file",
    "C:\\keys\\phi.txt": "the path of a file",
}

REAL_KEYS = (
    *("none", "None", "EMPTY", "not-needed", "no-key-required", "ollama", "lm-studio", "dummy"),
    *("sk-1234", "sk-no-key-required", "sk-xxx", "token-abc123", "TEST_KEY", "DUMMY_API_KEY"),
    *(
        "key",
        "secret",
        "my key",
        "local:key",
        "/abc+/def==",
        "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    ),
    "sk-proj-aB3_dE-6gH9_jK2",
    "eyJhbGciOiJub25lIn0.eyJhdWQiOiJhIn0.c2ln",
)


def test_other_texts_are_not_keys() -> None:
    """The message says what they are, and never shows them."""
    for key, expected in WRONG_KEYS.items():
        for credential in (key, SecretStr(key), AzureKeyCredential(key), f'"{key}"\n'):
            message = refusal(credential=credential)
            assert expected in message, key
            assert key not in message or key == "AZURE_INFERENCE_CREDENTIAL"
            assert not {"7d1f0a93c5e8b246", "dXNlcjpwYXNz"} & set(message.split())


def test_keys_of_any_form_are_accepted() -> None:
    """Local servers take any word for one; Azure's and others' are random."""
    made_up = random.Random(7)
    azure = [base64.b64encode(made_up.randbytes(size)).decode() for size in (24, 32, 63) * 200]
    urlsafe = [key.replace("+", "-").replace("/", "_") for key in azure]
    hexadecimal = [made_up.randbytes(16).hex() for _ in range(200)]
    for key in (*REAL_KEYS, *azure, *urlsafe, *hexadecimal):
        credential = make_model(credential=key).credential
        assert credential.get_secret_value() == key


def test_swapped_endpoint_and_key_are_noticed() -> None:
    """The key is not shown."""
    for key in ("7d1f0a93c5e8b2467d1f0a93c5e8b246", base64.b64encode(bytes(range(63))).decode()):
        message = refusal(endpoint=key, credential=ENDPOINT)
        assert "The endpoint is a name or a key, not a URL" in message
        assert key.lower() not in message.lower()


def test_wrong_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of an argument that was not passed would be a riddle."""
    monkeypatch.setenv("AZUREAI_ENDPOINT_URL", "'https://your-endpoint.models.ai.azure.com'")
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "Bearer <token>")
    with pytest.raises(
        InvalidInputError,
        match="endpoint in the environment variable AZUREAI_ENDPOINT_URL is a placeholder",
    ):
        ChatAzurePhi3()
    with pytest.raises(
        InvalidInputError,
        match="credential in the environment variable AZURE_INFERENCE_CREDENTIAL is a placeholder",
    ):
        ChatAzurePhi3(endpoint=ENDPOINT)


def test_wrong_values_are_noticed_wherever_they_are_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In copies, assignments, `init_chat_model`, and on the command line."""
    register_provider()
    model = make_model()
    for name, value, expected in (
        ("endpoint", "https://{resource}.openai.azure.com", "endpoint is a placeholder"),
        ("credential", "$PHI_KEY", "credential is the name of an environment variable"),
    ):
        with pytest.raises(InvalidInputError, match=expected):
            model.model_copy(update={name: value})
        with pytest.raises(InvalidInputError, match=expected):
            setattr(model, name, value)
        given = {"endpoint": ENDPOINT, "credential": "key", name: value}
        with pytest.raises(InvalidInputError, match=expected):
            init_chat_model("azure_phi3:Phi-4", **given)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "key")
    assert main(["ask", "--endpoint", "https://your-endpoint.azure.com", "Hi"]) == 1
    assert "The endpoint is a placeholder" in capsys.readouterr().err


def test_wrong_endpoints_are_shown_without_keys() -> None:
    """As far as they are URLs; keys may be in their queries."""
    message = refusal(endpoint="https://your-gateway.example.com/phi?code=canary-7d1f0a93")
    assert "'https://your-gateway.example.com/phi?code=***'" in message
    for endpoint in ("https://user:canary@<name>.example.com", "<name>/canary?canary"):
        assert "canary" not in refusal(endpoint=endpoint)
    assert "'phi 4.azure.com'" in refusal(endpoint="https://phi 4.azure.com")


# -- limits --------------------------------------------------------------------------------------

OUT_OF_RANGE = (
    ("temperature", 2.5, "Pass 0 to 2"),
    ("temperature", -0.5, "Pass 0 to 2"),
    ("top_p", 1.1, "Pass 0 to 1"),
    ("max_tokens", -1, "Pass 0 or more"),
    ("presence_penalty", -3, "Pass -2 to 2"),
    ("frequency_penalty", 2.1, "Pass -2 to 2"),
    ("top_logprobs", 21, "Pass 0 to 20"),
)

AZURE = (
    ENDPOINT,
    "https://phi.services.ai.azure.com",
    "https://phi.services.ai.azure.com/models",
    "https://phi.openai.azure.com/openai/deployments/phi",
)

OWN_SERVERS = (
    "http://localhost:11434/v1",
    "http://gpu-box:8000/v1",
    "https://gateway.example.com/phi",
    "https://phi.eastus2.inference.ml.azure.com",  # any container
)


def test_parameters_that_azure_rejects_are_refused() -> None:
    """By all its services alike; the message names the value and the bounds."""
    for endpoint in AZURE:
        for name, value, expected in OUT_OF_RANGE:
            with pytest.raises(InvalidInputError, match=expected) as caught:
                make_model(endpoint=endpoint, model="phi", **{name: value})
            assert f"{name}={value}" in str(caught.value)
    model = make_model()
    with pytest.raises(InvalidInputError, match="temperature=9"):
        model.temperature = 9
    with pytest.raises(InvalidInputError, match="temperature=9"):
        model.model_copy(update={"temperature": 9})
    for at_the_bound in ({"temperature": 2}, {"max_tokens": 0}, {"top_p": 0}, {"top_logprobs": 20}):
        make_model(**at_the_bound)


def test_other_servers_decide_on_parameters_themselves() -> None:
    """Some take any temperature, and -1 tokens for "no limit"."""
    for endpoint in OWN_SERVERS:
        for name, value, _ in OUT_OF_RANGE:
            model = make_model(endpoint=endpoint, allow_insecure_http=True, **{name: value})
            assert getattr(model, name) == value


# -- files ---------------------------------------------------------------------------------------


def test_missing_files_are_named_with_their_purpose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The type is Python's own, and so is the number."""
    monkeypatch.chdir(tmp_path)
    expected = "'chart.png' cannot be read: No such file or directory. Check the path, which starts"
    with pytest.raises(FileNotFoundError, match=f"The image {expected}") as image:
        image_block("chart.png")
    assert image.value.errno == errno.ENOENT
    assert str(tmp_path) in str(image.value)
    path = tmp_path / "vocabulary.json"
    with pytest.raises(FileNotFoundError, match=f"The tokenizer '{path}' cannot be read"):
        make_model(tokenizer=path)
    monkeypatch.setenv("AZURE_INFERENCE_CREDENTIAL", "key")
    assert main(["ask", "--endpoint", ENDPOINT, "--image", "chart.png", "Hi"]) == 1
    assert f"The image {expected}" in capsys.readouterr().err


def test_files_that_are_not_tokenizers_are_named(tmp_path: Path) -> None:
    """JSON of another form, and SentencePiece models."""
    for content in (b'{"model_type": "phi3"}', b"\x0a\x0e\xff\xfe"):
        path = tmp_path / "tokenizer.json"
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match=r"tokenizer\.json' is not a tokenizer\.json"):
            make_model(tokenizer=path)


def test_texts_that_are_not_paths_are_named() -> None:
    """And shown in the form that images of their sort have."""
    for source, expected in (
        ("", "an empty path. Pass the path"),
        ("ftp://example.com/chart.png", "Download the image"),
        ("s3://bucket/chart.png", "Download the image"),
        ("file:///home/me/chart.png", "without file://"),
        ("HTTPS://example.com/chart.png?sig=canary", '"url"'),
        (base64.b64encode(bytes(3_000)).decode(), '"base64"'),
    ):
        with pytest.raises(InvalidInputError, match=f"image_block reads files, .*{expected}") as e:
            image_block(source)
        assert "canary" not in str(e.value)
        assert len(str(e.value)) < 250
