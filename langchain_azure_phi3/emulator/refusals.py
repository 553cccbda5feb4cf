"""The error bodies of the real servers, word for word where a capture or a document shows them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_azure_phi3.emulator.wire import Json, Reply, json_reply


class Refused(Exception):  # noqa: N818  (an outcome of reading a request, not an error of ours)
    """The request gets this error for an answer."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {json.dumps(body)}")
        self.reply: Reply = json_reply(status, body, headers)


def not_found() -> Refused:
    """No such route."""
    return Refused(404, {"detail": "Not Found"})


def method_not_allowed(allowed: str) -> Refused:
    """The route exists, for another method."""
    return Refused(405, {"detail": "Method Not Allowed"}, {"allow": allowed})


def no_authorization() -> Refused:
    """No credential at all (seen on serverless endpoints in July 2024)."""
    return Refused(400, {"status": "Auth token must be passed as a header called Authorization"})


def only_an_api_key() -> Refused:
    """An `api-key` header is no `Authorization` (semantic-kernel#8624)."""
    return Refused(400, {"error": {"code": "400", "message": "Missing Authorization header"}})


def wrong_key() -> Refused:
    """The credential is not this deployment's."""
    message = (
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to "
        "provide a valid key for an active subscription and use a correct regional API endpoint "
        "for your resource."
    )
    return Refused(401, {"error": {"code": "401", "message": message}})


def detail(text: str) -> Refused:
    """A 400 of the model server itself."""
    return Refused(400, {"detail": text})


def engine(message: str) -> Refused:
    """A 400 of the engine behind the model server (vLLM 0.5)."""
    body = {"object": "error", "message": message, "type": "BadRequestError"}
    return Refused(400, body | {"param": None, "code": 400})


def invalid(problems: Sequence[Json]) -> Refused:
    """A body that does not fit the schema, in FastAPI's shape.

    Args:
        problems: Each with `type`, `loc`, `msg`, `input` and perhaps `ctx`.
    """
    return Refused(422, {"detail": list(problems)})


def not_json(error: json.JSONDecodeError) -> Refused:
    """A body that is no JSON, in FastAPI's words."""
    return invalid(
        [
            {
                "type": "json_invalid",
                "loc": ["body", error.pos],
                "msg": "JSON decode error",
                "input": {},
                "ctx": {"error": error.msg},
            }
        ]
    )


def json_mode_not_supported() -> Refused:
    """The 422 that Azure's API reference documents for a parameter the model cannot honour."""
    return Refused(
        422,
        {
            "status": 422,
            "code": "parameter_not_supported",
            "detail": {"loc": ["body", "response_format"], "input": "json_object"},
            "message": "One of the parameters contain invalid values.",
        },
        {"x-ms-error-code": "parameter_not_supported"},
    )


def modality_not_supported(model: str, modality: str) -> Refused:
    """A picture or recording for a model without eyes or ears: 404, says the API reference."""
    message = f"Modality not supported by the model: {model} takes no {modality}."
    return Refused(404, {"error": "Not Found", "message": message, "status": 404})


def context_exceeded(context: int, prompt: int, answer: int | None) -> Refused:
    """Prompt and answer do not fit, in the engine's words (vLLM 0.5)."""
    opening = f"This model's maximum context length is {context} tokens. However, you requested "
    if answer is None:
        return engine(
            f"{opening}{prompt} tokens in the messages, Please reduce the length of the messages."
        )
    return engine(
        f"{opening}{prompt + answer} tokens ({prompt} in the messages, {answer} in the "
        "completion). Please reduce the length of the messages or completion."
    )
