"""What to use instead of unknown constructor arguments and values."""

import difflib
import re
from collections.abc import Iterable, Mapping

# Arguments of langchain-openai, langchain-azure-ai, langchain-ollama and the SDKs under them.
_OTHER_NAMES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("base_url", "url", "api_base", "openai_api_base", "azure_endpoint", "endpoint_url"),
            *("project_endpoint", "host", "server_url", "inference_server_url"),
        ),
        "endpoint",
    ),
    **dict.fromkeys(
        (
            *("key", "token", "openai_api_key", "azure_api_key", "endpoint_api_key", "api_token"),
            *("azure_ad_token", "azure_ad_token_provider", "azure_ad_async_token_provider"),
        ),
        "credential",
    ),
    **dict.fromkeys(
        ("azure_deployment", "deployment_name", "deployment_id", "engine", "model_id"), "model"
    ),
    **dict.fromkeys(
        ("max_completion_tokens", "max_new_tokens", "max_output_tokens", "num_predict"),
        "max_tokens",
    ),
    **dict.fromkeys(("stop_sequences", "stop_words"), "stop"),
    **dict.fromkeys(("request_timeout", "read_timeout", "connection_timeout"), "timeout"),
    **dict.fromkeys(("retries", "max_attempts", "retry_total"), "max_retries"),
    **dict.fromkeys(("openai_api_version", "version"), "api_version"),
    **dict.fromkeys(("headers", "extra_headers"), "default_headers"),
    **dict.fromkeys(("extra_body", "additional_kwargs", "options"), "model_extras"),
    **dict.fromkeys(("client", "session"), "http_client"),
    **dict.fromkeys(("allow_http", "insecure"), "allow_insecure_http"),
    "async_client": "http_async_client",
    "scopes": "credential_scopes",
    "stream": "streaming",
    "include_usage": "stream_usage",
}

# Names that are not constructor arguments, and where to pass the values instead.
_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("tools", "tool_choice", "parallel_tool_calls"), "pass it to bind_tools"),
    **dict.fromkeys(
        ("proxy", "proxies", "http_proxy", "https_proxy", "openai_proxy", "verify", "ssl_context"),
        "pass an httpx client that has it as http_client and http_async_client",
    ),
    **dict.fromkeys(
        ("client_kwargs", "async_client_kwargs", "sync_client_kwargs", "transport"),
        "pass your own httpx client as http_client and http_async_client",
    ),
    "format": "use with_structured_output",
    "organization": "Azure has no such setting",
    "system": "send a SystemMessage",
    "system_prompt": "send a SystemMessage",
    **dict.fromkeys(
        ("top_k", "min_p", "repetition_penalty", "do_sample", "ignore_eos", "keep_alive"),
        "if the server has this parameter, pass it in model_extras",
    ),
}

_PLACEHOLDER = re.compile(
    r"<[^<>]*>|\$\{|^(my|your|the)?[-_ ]*(api[-_ ]?key|key[-_ ]?here|token[-_ ]?here)$|^your[-_ ]"
    r"|^x{3,}$|^\.{3,}$|^change[-_ ]?me$",
    re.IGNORECASE,
)

_QUOTES = "\"'`\u201c\u201d\u2018\u2019"


def argument_hint(name: str, known: Iterable[str]) -> str:
    """What to use instead of an unknown argument, without the full stop."""
    lower = name.lower()
    if lower in _OTHER_NAMES:
        return f"here it is called {_OTHER_NAMES[lower]}"
    if lower in _ELSEWHERE:
        return _ELSEWHERE[lower]
    close = difflib.get_close_matches(lower, known, n=1, cutoff=0.7)
    if close:
        return f"did you mean {close[0]}?"
    return "a parameter of the server goes into model_extras"


def is_placeholder(value: str) -> bool:
    """Whether a value was copied from an example, such as `<key>` or `YOUR_API_KEY`."""
    return _PLACEHOLDER.search(value) is not None


def unquote(value: str) -> str:
    """A value without the white space and quotes that were copied with it."""
    return value.strip().strip(_QUOTES).strip()


def clean_key(key: str) -> str:
    """A key without the quotes and the `Bearer` that were copied with it."""
    key = unquote(key)
    prefix, _, rest = key.partition(" ")
    return rest.strip() if prefix.lower() in ("bearer", "bearer:") else key
