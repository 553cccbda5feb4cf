"""Azure Machine Learning's `/score` route, translated to and from chat completions.

Its formats come from azureml-examples (foundation-models/phi-3) and the server's source.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.completion import Completion
from langchain_azure_phi3.emulator.error_bodies import ApiError
from langchain_azure_phi3.emulator.server_types import ChatPath
from langchain_azure_phi3.emulator.wire import Request, to_json_bytes

# The route ignores unknown parameters.
CHAT_PATH = ChatPath("drop", ignores_invalid_header=True, returns_logprobs=False)

_RENAMED = {"max_new_tokens": "max_tokens", "max_gen_len": "max_tokens"}
_KNOWN = frozenset(
    {"temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty"}
)


def to_chat_request(request: Request) -> Request:
    """Translate to a chat request. A malformed body becomes one without messages."""
    data = _mapping(_mapping(request.json).get("input_data"))
    body = {"messages": data.get("input_string"), **_chat_fields(_mapping(data.get("parameters")))}
    return replace(request, body=to_json_bytes(body))


def format_completion(completion: Completion, score_format: str) -> Json:
    """Format a completion: its text, and with `"full"` also the fields of the chat route."""
    body = completion.to_json()
    choice = body["choices"][0]
    output = {"output": choice["message"]["content"]}
    if score_format == "text":
        return output
    fields = {name: body[name] for name in ("usage", "model", "id")}
    message = choice["message"]
    return output | {"message": message, "finish_reason": choice["finish_reason"], **fields}


def format_error(error: ApiError, score_format: str) -> Json:
    """Format an error, which this route sends with status 200."""
    if score_format == "text":
        return {}
    return {"output": None, "error": {"status_code": error.status, "body": error.body}}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _chat_fields(parameters: Mapping[str, Any]) -> Json:
    renamed = {_RENAMED.get(name, name): value for name, value in parameters.items()}
    fields = {name: value for name, value in renamed.items() if name in _KNOWN}
    return fields | {"temperature": 0} if parameters.get("do_sample") is False else fields
