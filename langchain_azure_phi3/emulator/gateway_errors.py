"""Rewrite the model server's errors as each type of server and its gateway send them."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.error_bodies import ApiError
from langchain_azure_phi3.emulator.server_types import ErrorFormat, ServerType
from langchain_azure_phi3.emulator.wire import Reply, complete_reply, json_reply, to_json_bytes

# Appended by Azure Machine Learning's gateways (gpt4free#81, captures of DeepSeek on Azure).
HELP_LINK = (
    b"\nPlease check this guide to understand why this error code might have been returned \n"
    b"https://docs.microsoft.com/en-us/azure/machine-learning/"
    b"how-to-troubleshoot-online-endpoints#http-status-codes\n"
)


def render_error(error: ApiError, server: ServerType) -> Reply:
    """Return the reply that a client of this type of server receives for an error."""
    if server.masks_engine_errors and error.body.get("object") == "error":
        return json_reply(200, _MASKED)
    body = to_json_bytes(_FORMATS[server.error_format](error.body, error.status))
    content_type = "application/json"
    if server.error_format == "ollama" and error.body == {"detail": "Not Found"}:
        body, content_type = b"404 page not found", "text/plain"
    headers = dict(error.headers)
    status = error.status
    if server.wraps_424 and status not in (413, 429):  # from the gateway itself
        headers["ms-azureml-model-error-statuscode"] = str(status)
        headers["ms-azureml-model-error-reason"] = HTTPStatus(status).phrase
        status = 424
    help_link = HELP_LINK if server.appends_help_link else b""
    return complete_reply(status, body + help_link, content_type, headers)


# Version 0.1.8 reports any internal failure like this.
_MASKED: Json = {
    "id": "",
    "object": "chat.completion",
    "created": 0,
    "model": "",
    "choices": [{"index": 0, "message": None, "finish_reason": "content_filter"}],
}


def _wrapped(body: Json, status: int) -> Json:
    """Wrap errors as from version 0.2.16 on: engine errors as text, field errors as a list."""
    if body.get("object") == "error":
        code = HTTPStatus(status).phrase
        return {"error": {"code": code, "message": json.dumps(body), "status": status}}
    if isinstance(body.get("detail"), list):
        error = {"code": "Invalid input", "status": status, "message": "invalid input error"}
        return {"error": error | {"details": body["detail"]}}
    return body


def _openai(body: Json, _: int) -> Json:
    detail = body.get("detail")
    if detail == "Not Found":
        return {"error": {"code": "404", "message": "Resource not found"}}
    if isinstance(body.get("error"), dict):
        return body
    message, parameter = detail if isinstance(detail, str) else str(body.get("message")), None
    if isinstance(detail, list):
        message, parameter = detail[0]["msg"], ".".join(map(str, detail[0]["loc"][1:]))
    error = {"message": message, "type": "invalid_request_error", "param": parameter}
    return {"error": error | {"code": body.get("code")}}


def _llama_cpp(body: Json, status: int) -> Json:
    error = _openai(body, status)["error"] | {"code": status}
    if body == {"detail": "Not Found"}:
        error |= {"message": "File Not Found", "type": "not_found_error"}
    error.pop("param", None)
    return {"error": error}


_FORMATS: Mapping[ErrorFormat, Callable[[Json, int], Json]] = {
    "plain": lambda body, _: body,
    "wrapped": _wrapped,
    "openai": _openai,
    "llama.cpp": _llama_cpp,
    "ollama": _openai,
}
