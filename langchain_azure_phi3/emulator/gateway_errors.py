"""What becomes of a model server's errors on their way out: rewritten, hidden, wrapped."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus

from langchain_azure_phi3.emulator.server_types import Dialect, ErrorShape
from langchain_azure_phi3.emulator.error_bodies import Refused
from langchain_azure_phi3.emulator.wire import Json, Reply, dumped, json_reply, whole_reply

# Appended by Azure Machine Learning's front ends (gpt4free#81, and captures of DeepSeek on Azure).
GUIDE = (
    b"\nPlease check this guide to understand why this error code might have been returned \n"
    b"https://docs.microsoft.com/en-us/azure/machine-learning/"
    b"how-to-troubleshoot-online-endpoints#http-status-codes\n"
)


def answered(refused: Refused, dialect: Dialect) -> Reply:
    """The refusal as it leaves the building."""
    if dialect.hides and _is_engines(refused.body):
        return json_reply(200, _HIDDEN)
    body = dumped(_SHAPES[dialect.errors](refused.body, refused.status))
    kind = "application/json"
    if dialect.errors == "ollama" and refused.body == {"detail": "Not Found"}:
        body, kind = b"404 page not found", "text/plain"
    headers = dict(refused.headers)
    status = refused.status
    if dialect.wraps:
        headers["ms-azureml-model-error-statuscode"] = str(status)
        headers["ms-azureml-model-error-reason"] = HTTPStatus(status).phrase
        status = 424
    return whole_reply(status, body + GUIDE if dialect.guide else body, kind, headers)


# Version 0.1.8 answers any failure inside it so.
_HIDDEN: Json = {
    "id": "",
    "object": "chat.completion",
    "created": 0,
    "model": "",
    "choices": [{"index": 0, "message": None, "finish_reason": "content_filter"}],
}


def _is_engines(body: Json) -> bool:
    return body.get("object") == "error"


def _plain(body: Json, _: int) -> Json:
    return body


def _wrapped(body: Json, status: int) -> Json:
    """From version 0.2.16 on: the engine's error as text inside another, wrong fields as a list."""
    if _is_engines(body):
        code = HTTPStatus(status).phrase
        return {"error": {"code": code, "message": json.dumps(body), "status": status}}
    if isinstance(body.get("detail"), list):
        error = {"code": "Invalid input", "status": status, "message": "invalid input error"}
        return {"error": error | {"details": body["detail"]}}
    return body


def _openai(body: Json, status: int) -> Json:
    """OpenAI's shape, whatever the server behind wrote."""
    detail = body.get("detail")
    if detail == "Not Found":
        return {"error": {"code": "404", "message": "Resource not found"}}
    if isinstance(body.get("error"), dict):
        return body
    if isinstance(detail, list):
        where = ".".join(map(str, detail[0]["loc"][1:]))
        return {"error": _invalid(detail[0]["msg"], where)}
    said = detail if isinstance(detail, str) else body.get("message")
    return {"error": _invalid(str(said), None) | {"code": body.get("code")}}


def _invalid(message: str, parameter: str | None) -> Json:
    kind = "invalid_request_error"
    return {"message": message, "type": kind, "param": parameter, "code": None}


_SHAPES: Mapping[ErrorShape, Callable[[Json, int], Json]] = {
    "plain": _plain,
    "wrapped": _wrapped,
    "openai": _openai,
    "ollama": _openai,
}
