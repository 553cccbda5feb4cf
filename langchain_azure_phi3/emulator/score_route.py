"""Azure Machine Learning's `/score`: its questions as chat requests, completions as answers.

Its forms: azureml-examples (foundation-models/phi-3) and the server's source.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_azure_phi3.emulator.completion import Completion
from langchain_azure_phi3.emulator.server_types import ChatPath
from langchain_azure_phi3.emulator.error_bodies import Refused
from langchain_azure_phi3.emulator.wire import Json, Request, dumped

# Parameters that the route does not know are dropped.
PATH = ChatPath("drop", lenient=True, logprobs=False)

_RENAMED = {"max_new_tokens": "max_tokens", "max_gen_len": "max_tokens"}
_KNOWN = frozenset(
    {"temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty"}
)


def as_chat(request: Request) -> Request:
    """The question as the chat route's; what is no question is an empty conversation."""
    body = request.json
    data = body.get("input_data") if isinstance(body, Mapping) else None
    given = data if isinstance(data, Mapping) else {}
    parameters: Any = given.get("parameters")
    fields = _fields(parameters if isinstance(parameters, Mapping) else {})
    content = dumped({"messages": given.get("input_string"), **fields})
    return replace(request, body=content)


def _fields(parameters: Mapping[str, Any]) -> Json:
    named = {_RENAMED.get(name, name): value for name, value in parameters.items()}
    fields = {name: value for name, value in named.items() if name in _KNOWN}
    return fields | {"temperature": 0} if parameters.get("do_sample") is False else fields


def answer(completion: Completion, form: str) -> Json:
    """The answer: its text, and in the later form what the chat route says as well."""
    body = completion.whole()
    choice = body["choices"][0]
    said = {"output": choice["message"]["content"]}
    if form == "text":
        return said
    beside = {name: body[name] for name in ("usage", "model", "id")}
    message = choice["message"]
    return said | {"message": message, "finish_reason": choice["finish_reason"], **beside}


def failure(refused: Refused, form: str) -> Json:
    """A failure, which has status 200 here."""
    if form == "text":
        return {}
    return {"output": None, "error": {"status_code": refused.status, "body": refused.body}}
