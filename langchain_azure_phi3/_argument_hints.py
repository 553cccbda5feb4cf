"""What to use instead of unknown arguments."""

import difflib
from collections.abc import Iterable, Mapping

# Arguments of langchain-openai, langchain-azure-ai, langchain-ollama and the SDKs under them.
_OTHER_NAMES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("base_url", "url", "api_base", "openai_api_base", "azure_endpoint", "endpoint_url"),
            *("project_endpoint", "service_endpoint", "host", "server_url"),
            "inference_server_url",
        ),
        "endpoint",
    ),
    **dict.fromkeys(
        (
            *("key", "token", "openai_api_key", "azure_api_key", "endpoint_api_key", "api_token"),
            *("azure_ad_token", "azure_ad_token_provider", "azure_ad_async_token_provider"),
            *("api_key", "hf_token", "huggingfacehub_api_token"),
        ),
        "credential",
    ),
    **dict.fromkeys(
        (
            *("model_name", "azure_deployment", "deployment_name", "deployment_id", "engine"),
            "model_id",
        ),
        "model",
    ),
    **dict.fromkeys(
        (
            *("max_completion_tokens", "max_new_tokens", "max_output_tokens", "num_predict"),
            *("max_length", "n_predict"),
        ),
        "max_tokens",
    ),
    "temp": "temperature",
    **dict.fromkeys(("stop_sequences", "stop_words"), "stop"),
    **dict.fromkeys(("request_timeout", "read_timeout", "connection_timeout"), "timeout"),
    **dict.fromkeys(("retries", "retry", "max_attempts", "retry_total"), "max_retries"),
    **dict.fromkeys(("openai_api_version", "version"), "api_version"),
    **dict.fromkeys(("headers", "extra_headers"), "default_headers"),
    **dict.fromkeys(("extra_body", "additional_kwargs", "options"), "model_extras"),
    **dict.fromkeys(("client", "session"), "http_client"),
    **dict.fromkeys(("allow_http", "insecure"), "allow_insecure_http"),
    "async_client": "http_async_client",
    "callback_manager": "callbacks",
    "scopes": "credential_scopes",
    **dict.fromkeys(("think", "thinking", "enable_thinking"), "reasoning"),
    "tiktoken_model_name": "tokenizer",
    "stream": "streaming",
    "include_usage": "stream_usage",
}

# Names of what is set in another way, and how.
_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(
        ("tools", "functions", "tool_choice", "function_call", "parallel_tool_calls"),
        "pass tools to bind_tools",
    ),
    **dict.fromkeys(
        (
            *("proxy", "proxies", "http_proxy", "https_proxy", "openai_proxy"),
            *("verify", "ssl_verify", "verify_ssl", "ssl_context"),
        ),
        "pass an httpx client that has it as http_client and http_async_client",
    ),
    **dict.fromkeys(
        (
            *("client_kwargs", "async_client_kwargs", "sync_client_kwargs", "client_options"),
            *("transport", "http_socket_options"),
        ),
        "pass your own httpx client as http_client and http_async_client",
    ),
    **dict.fromkeys(
        ("format", "json_mode", "json_schema", "response_schema", "output_schema"),
        "use with_structured_output",
    ),
    **dict.fromkeys(
        ("organization", "openai_organization", "openai_api_type", "safe_mode"),
        "Azure has no such setting; leave it out",
    ),
    **dict.fromkeys(
        ("endpoint_api_type", "content_formatter", "model_type", "task", "use_responses_api"),
        "the API is detected from the endpoint; leave it out, or set api",
    ),
    **dict.fromkeys(
        ("system", "system_prompt", "system_message", "instructions"), "send a SystemMessage"
    ),
    **dict.fromkeys(("messages", "prompt"), "pass the messages to invoke or stream"),
    **dict.fromkeys(
        ("num_ctx", "n_ctx", "max_model_len", "num_gpu", "n_gpu_layers", "gpu_layers", "device"),
        "set it where the server is started",
    ),
    "default_query": "put the query into the endpoint",
}

# Parameters of servers that differ little from one of Azure's.
_OF_SERVERS = frozenset({"top_k", "top_a", "min_tokens"})


def argument_hint(name: str, known: Iterable[str]) -> str:
    """What to use instead of an unknown argument, without the full stop."""
    lower = name.lower()
    if lower in _OTHER_NAMES:
        return f"here it is called {_OTHER_NAMES[lower]}"
    if lower in _ELSEWHERE:
        return _ELSEWHERE[lower]
    close = difflib.get_close_matches(lower, known, n=1, cutoff=0.8)
    if close and lower not in _OF_SERVERS:
        return f"did you mean {close[0]}?"
    return "if the server has this parameter, pass it in model_extras"


def call_argument_hint(name: str, parameters: Iterable[str]) -> str | None:
    """What to use instead of an unknown argument of a call, without the full stop.

    `None` for any other name: it may be a parameter of the server.
    """
    lower = name.lower()
    meant = _OTHER_NAMES.get(lower, lower)
    if meant in parameters:
        return f"here it is called {meant}"
    if lower in _OTHER_NAMES:
        return f"here it is called {meant}, and can only be set on the model"
    if lower in _ELSEWHERE:
        return _ELSEWHERE[lower]
    # The server hardly has a parameter that differs by one letter.
    close = difflib.get_close_matches(lower, parameters, n=1, cutoff=0.92)
    return f"did you mean {close[0]}?" if close else None
