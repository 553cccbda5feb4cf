"""What people do wrong, and what the error tells them to do."""

from collections.abc import Callable
from typing import Any

import pytest
from azure.core.credentials import AzureKeyCredential
from azure.identity import DefaultAzureCredential
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3._request.parameters import CallParameters
from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.errors import AzurePhi3Error, InvalidInputError

ENDPOINT = "https://phi.eastus2.models.ai.azure.com"

# Arguments of other classes and mistyped ones, and what to write instead.
ARGUMENTS = {
    "azure_endpoint": "called endpoint",
    "base_url": "called endpoint",
    "openai_api_base": "called endpoint",
    "url": "called endpoint",
    "openai_api_key": "called credential",
    "key": "called credential",
    "token": "called credential",
    "azure_ad_token_provider": "called credential",
    "azure_deployment": "called model",
    "deployment_name": "called model",
    "max_completion_tokens": "called max_tokens",
    "max_new_tokens": "called max_tokens",
    "num_predict": "called max_tokens",
    "request_timeout": "called timeout",
    "stop_sequences": "called stop",
    "extra_body": "called model_extras",
    "extra_headers": "called default_headers",
    "top_k": "model_extras",
    "client_kwargs": "http_client",
    "proxies": "http_client",
    "allow_http": "called allow_insecure_http",
    "tools": "bind_tools",
    "tool_choice": "bind_tools",
    "format": "with_structured_output",
    "system_prompt": "SystemMessage",
    "temprature": r"did you mean temperature\?",
    "max_token": r"did you mean max_tokens\?",
    "Temperature": r"did you mean temperature\?",
    "wibble": "model_extras",
    "repeat_penalty": "model_extras",
    "huggingfacehub_api_token": "called credential",
    "safe_mode": "leave it out",
    "content_formatter": "leave it out",
    "json_mode": "with_structured_output",
    "n_ctx": "where the server is started",
    "default_query": "into the endpoint",
    "functions": "bind_tools",
}

# Arguments of a call: those above that no server has as a parameter, and the model's own settings.
CALL_ARGUMENTS = {
    "api_key": "called credential, and can only be set on the model",
    "openai_api_key": "called credential, and can only be set on the model",
    "extra_headers": "called default_headers, and can only be set on the model",
    "request_timeout": "called timeout, and can only be set on the model",
    "max_new_tokens": "called max_tokens",
    "Temperature": "called temperature",
    "extra_body": "called model_extras",
    "system": "SystemMessage",
    "functions": "bind_tools",
    "json_mode": "with_structured_output",
    "includeraw": r"did you mean include_raw\?",
    "temprature": r"did you mean temperature\?",
}

ENDPOINTS = {
    "https://<name>.<region>.models.ai.azure.com": "endpoint is a placeholder",
    "YOUR_ENDPOINT": "endpoint is a placeholder",
    "${AZURE_ENDPOINT}": "endpoint is a placeholder",
    "my-endpoint": "a name, not a URL",
    "https://ai.azure.com/resource/deployments/phi": "a website",
    "https://ml.azure.com/endpoints/realtime/phi/detail": "a website",
    "ftp://phi.example.com": "http or https",
    "https://user:key@phi.example.com": "as `credential`",
    "": "endpoint is missing",
}

KEYS = ("<key>", "YOUR_API_KEY", "your-key", "api-key", "xxxx", "...", "changeme", "${KEY}")

TOOL = {"type": "function", "function": {"name": "a", "parameters": {"type": "object"}}}

CALLS: dict[str, tuple[Callable[[ChatAzurePhi3], Any], str]] = {
    "a misspelled parameter": (
        lambda model: model.invoke("Hi", temprature=0),
        r"did you mean temperature\?",
    ),
    "a setting of the model": (
        lambda model: model.invoke("Hi", timeout=5),
        r"timeout can only be set on the model: use model.model_copy\(update={'timeout': \.\.\.}",
    ),
    "a setting for structured output": (
        lambda model: model.with_structured_output(
            {"title": "A", "properties": {"a": {}}}, constrained_decoding="off"
        ).invoke("Hi"),
        "constrained_decoding can only be set on the model",
    ),
    "tools for structured output": (
        lambda model: model.with_structured_output(
            {"title": "A", "properties": {"a": {}}}, tools=[TOOL]
        ),
        r"use create_agent\(model, tools, response_format",
    ),
    "OpenAI's name for extra parameters": (
        lambda model: model.invoke("Hi", extra_body={"top_k": 5}),
        "here it is called model_extras",
    ),
    "no messages": (lambda model: model.invoke([]), "no message to send"),
    "a lambda as a tool": (
        lambda model: model.bind_tools([lambda a: a]),
        r"cannot be named '<lambda>'",
    ),
    "a name with spaces": (
        lambda model: model.bind_tools([{"title": "a b!", "type": "object", "properties": {}}]),
        "cannot be named 'a b!'",
    ),
    "no tools": (lambda model: model.bind_tools(None), "must be a list, not None"),
    "one tool": (lambda model: model.bind_tools(TOOL), r"write \[tool\]"),
    "one class": (lambda model: model.bind_tools(DefaultAzureCredential), r"write \[tool\]"),
    "a name of a tool": (lambda model: model.bind_tools("a"), r"write \[tool\]"),
    "a tool without a name": (
        lambda model: model.bind_tools([{"type": "function", "function": {}}]),
        "has no name",
    ),
    "a number as a tool": (
        lambda model: model.bind_tools([5]),
        "5 cannot be used as a tool: it is",
    ),
    "nothing as a tool": (lambda model: model.bind_tools([None]), "None cannot be used as a tool"),
    "a class that is not a tool": (
        lambda model: model.bind_tools([DefaultAzureCredential]),
        "DefaultAzureCredential cannot be used as a tool",
    ),
    "parameters that are not an object": (
        lambda model: model.bind_tools(
            [{"type": "function", "function": {"name": "a", "parameters": {"type": "record"}}}]
        ),
        "must be an object, not 'record'",
    ),
    "a misspelled type in a tool": (
        lambda model: model.bind_tools(
            [{"title": "a", "type": "object", "properties": {"x": {"type": "objekt"}}}]
        ),
        r"the tool 'a' are not a valid JSON schema: .*\['x'\]\['type'\]: \"objekt\"",
    ),
    "an unknown tool_choice": (
        lambda model: model.bind_tools([TOOL], tool_choice="b"),
        "Bound tools: a",
    ),
    "a required call without tools": (
        lambda model: model.bind_tools([], tool_choice="any"),
        "no tool is bound",
    ),
    "a schema that is not one": (
        lambda model: model.with_structured_output({"name": "str"}),
        "neither properties",
    ),
    "a misspelled type in a schema": (
        lambda model: model.with_structured_output(
            {"title": "A", "type": "object", "properties": {"a": {"type": "strng"}}}
        ),
        r'not a valid JSON schema: \[.*"strng" is not valid',
    ),
    "a schema of an array": (
        lambda model: model.with_structured_output({"title": "A", "type": "array", "items": {}}),
        "its type is 'array', not 'object'",
    ),
    "a list as a schema": (lambda model: model.with_structured_output([1]), "JSON schema"),
    "no schema": (lambda model: model.with_structured_output(None), "None is not a schema"),
    "a text as a schema": (lambda model: model.with_structured_output("Person"), "JSON schema"),
    "an unknown method": (
        lambda model: model.with_structured_output({"title": "A", "type": "object"}, method="json"),
        "Use 'json_schema', 'function_calling' or 'json_mode'",
    ),
    "a text block without text": (
        lambda model: model.invoke([HumanMessage([{"type": "text"}])]),
        "has no text",
    ),
    "a PDF": (
        lambda model: model.invoke(
            [HumanMessage([{"type": "file", "mime_type": "application/pdf", "base64": "aGk="}])]
        ),
        "do not read PDF files",
    ),
    "a file that is not an image": (
        lambda model: model.invoke(
            [HumanMessage([{"type": "image", "mime_type": "image/png", "base64": "aGk="}])]
        ),
        "JPEG, PNG",
    ),
    "a content block of no known type": (
        lambda model: model.invoke([HumanMessage([{"type": "hologram"}])]),
        "'hologram'",
    ),
}


def test_unknown_arguments_name_the_right_one() -> None:
    """Names of other libraries first, then those that differ by a few letters."""
    for name, expected in ARGUMENTS.items():
        with pytest.raises(InvalidInputError, match=expected) as caught:
            ChatAzurePhi3(endpoint=ENDPOINT, credential="k", **{name: "secret"})
        assert name in str(caught.value)
        assert "secret" not in str(caught.value)


def test_wrong_endpoints_say_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent."""
    monkeypatch.delenv("AZURE_INFERENCE_ENDPOINT", raising=False)
    for endpoint, expected in ENDPOINTS.items():
        with pytest.raises(InvalidInputError, match=expected):
            ChatAzurePhi3(endpoint=endpoint, credential="k")


def test_placeholders_are_not_keys() -> None:
    """They were copied from an example."""
    for key in KEYS:
        with pytest.raises(InvalidInputError, match="credential is a placeholder") as caught:
            ChatAzurePhi3(endpoint=ENDPOINT, credential=key)
        assert key == "..." or key not in str(caught.value)


def test_wrong_credentials_are_named() -> None:
    """A class, and a type that is not a credential."""
    with pytest.raises(InvalidInputError, match=r"credential=DefaultAzureCredential\("):
        ChatAzurePhi3(endpoint=ENDPOINT, credential=DefaultAzureCredential)
    with pytest.raises(InvalidInputError, match="credential type int"):
        ChatAzurePhi3(endpoint=ENDPOINT, credential=5)


def test_copied_keys_and_endpoints_are_cleaned(phi: Emulator) -> None:
    """Of quotes, white space and `Bearer`; an `AzureKeyCredential` holds a key as well."""
    for key in (
        f" {phi.key}\n",
        f"'{phi.key}'",
        f'"{phi.key}"',
        f"\u201c{phi.key}\u201d",
        f"Bearer {phi.key}",
        f"'Bearer {phi.key}' ",
        AzureKeyCredential(phi.key),
    ):
        model = ChatAzurePhi3(endpoint=f'"{phi.endpoint}" ', credential=key)
        assert model.invoke("Hi").text != ""


def test_wrong_calls_say_what_to_do(phi: Emulator) -> None:
    """Nothing is sent."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
    for name, (call, expected) in CALLS.items():
        with pytest.raises(InvalidInputError, match=expected):
            call(model)
        assert phi.requests == [], name


def test_wrong_arguments_of_calls_name_the_right_one(phi: Emulator) -> None:
    """They are not sent as parameters of the server: one may be a key."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
    for name, expected in CALL_ARGUMENTS.items():
        with pytest.raises(InvalidInputError, match=expected) as caught:
            model.invoke("Hi", **{name: "secret"})
        assert "secret" not in str(caught.value)
        assert phi.requests == [], name


def test_calls_reject_settings_of_the_model() -> None:
    """All those that a call has no parameter for."""
    model = ChatAzurePhi3(endpoint=ENDPOINT, credential="k")
    of_langchain = BaseChatModel.model_fields.keys() - {"rate_limiter"}
    parameters = CallParameters.__annotations__.keys()
    for name in ChatAzurePhi3.model_fields.keys() - of_langchain - parameters:
        with pytest.raises(InvalidInputError, match=f"{name} can only be set on the model"):
            model.invoke("Hi", **{name: None})


def test_calls_accept_parameters_of_the_server(phi: Emulator) -> None:
    """Whatever their names resemble."""
    given = {"top_k": 5, "min_tokens": 2, "repetition_penalty": 1.1, "user": "me"}
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)

    model.invoke("Hi", **given)

    assert given.items() <= phi.requests[0].json.items()


def test_missing_key_is_named(phi: Emulator) -> None:
    """Where the server only says that a header is missing."""
    with pytest.raises(
        AzurePhi3Error, match=r"Authorization\. No credential was sent; pass one as"
    ):
        ChatAzurePhi3(endpoint=phi.endpoint).invoke("Hi")


def test_own_servers_need_no_key() -> None:
    """So a rejected request does not advise one, whatever API the server is said to have."""
    with Emulator(server_type="openai-server") as phi:
        for api in ("openai-server", "foundry-local"):
            phi.fail(status=400, body={"error": "no"})
            with pytest.raises(AzurePhi3Error) as caught:
                ChatAzurePhi3(endpoint=phi.endpoint, api=api, credential="").invoke("Hi")
            assert "400: no" in str(caught.value)
            assert "credential" not in str(caught.value)


def test_https_to_a_plain_server_is_named(phi: Emulator) -> None:
    """OpenSSL says only "wrong version number"."""
    endpoint = phi.endpoint.replace("http:", "https:")
    with pytest.raises(AzurePhi3Error, match="does not use TLS") as caught:
        ChatAzurePhi3(endpoint=endpoint, credential="k", max_retries=0).invoke("Hi")
    assert endpoint in str(caught.value)


def test_errors_count_the_attempts(phi: Emulator) -> None:
    """Of requests that were sent again; a single one is not worth a word."""
    model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_retry_wait=0.01)
    phi.fail(status=500, times=3)
    with pytest.raises(AzurePhi3Error, match=r"\. 3 attempts failed\.$"):
        model.invoke("Hi")
    phi.fail(status=503, times=3, body={"error": "busy"})
    with pytest.raises(AzurePhi3Error, match=r"busy\. 3 attempts failed\.$"):
        model.invoke("Hi")
    phi.fail(status=500)
    with pytest.raises(AzurePhi3Error) as caught:
        ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_retries=0).invoke("Hi")
    assert "attempt" not in str(caught.value)


def test_messages_are_sentences(phi: Emulator) -> None:
    """The server's words and the advice do not run into each other."""
    phi.fail(status=404, times=2, body={"detail": "Not Found"})
    with pytest.raises(AzurePhi3Error, match=r"^404: Not Found\. "):
        ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_retries=0).invoke("Hi")
