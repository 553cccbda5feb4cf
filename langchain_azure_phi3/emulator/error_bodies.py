"""The error bodies of the real servers, word for word where a capture or a document shows them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_azure_phi3.emulator.wire import Json, Reply, json_reply


class Refused(Exception):  # noqa: N818  (an outcome of reading a request, not an error of ours)
    """The request gets this error for an answer."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {json.dumps(body)}")
        self.status = status
        self.body = body
        self.headers = {} if headers is None else dict(headers)

    @property
    def reply(self) -> Reply:
        """The error, told as it is."""
        return json_reply(self.status, self.body, self.headers)


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


def wrong_audience() -> Refused:
    """Foundry's words, flat (LibreChat#4767)."""
    message = (
        "Unauthorized. Access token is missing, invalid, audience is incorrect "
        "(https://cognitiveservices.azure.com), or have expired."
    )
    return Refused(401, {"statusCode": 401, "message": message})


def bad_credentials() -> Refused:
    """GitHub's words."""
    error = {"code": "unauthorized", "message": "Bad credentials", "details": "Bad credentials"}
    return Refused(401, {"error": error})


def unauthorized() -> Refused:
    """The word of vLLM."""
    return Refused(401, {"error": "Unauthorized"})


def no_api_version() -> Refused:
    """A query without `api-version`, where it is required."""
    return Refused(404, {"error": {"code": "404", "message": "Resource not found"}})


def no_model_name() -> Refused:
    """Foundry's `no_model_name`; it names the header that could have said it."""
    message = (
        "No model specified in request. Please provide a model name in the request body or as a "
        "x-ms-model-mesh-model-name header."
    )
    return Refused(
        400, {"error": {"code": "no_model_name", "message": message, "details": message}}
    )


def no_such_deployment() -> Refused:
    """A name that no deployment has."""
    message = (
        "The API deployment for this resource does not exist. If you created the deployment "
        "within the last 5 minutes, please wait a moment and try again."
    )
    return Refused(404, {"error": {"code": "DeploymentNotFound", "message": message}})


def unknown_model(name: str) -> Refused:
    """GitHub's answer to a name that it does not have."""
    message = f"Unknown model: {name}"
    return Refused(404, {"error": {"code": "unknown_model", "message": message}})


def no_such_model(name: str) -> Refused:
    """The same from vLLM."""
    body = {"object": "error", "message": f"The model `{name}` does not exist."}
    return Refused(404, body | {"type": "NotFoundError", "param": None, "code": 404})


def not_pulled(name: str) -> Refused:
    """The same from Ollama."""
    error = {"message": f'model "{name}" not found, try pulling it first', "type": "api_error"}
    return Refused(404, {"error": error | {"param": None, "code": None}})


def no_model_called(name: str, door: str) -> Refused:
    """What each kind of server says to a name that it does not have."""
    by_door = {"foundry": lambda _: no_such_deployment(), "github": unknown_model}
    return by_door.get(door, not_pulled if door == "open" else no_such_model)(name)


def detail(text: str) -> Refused:
    """A 400 of the model server itself."""
    return Refused(400, {"detail": text})


def no_tools(*, engine_alone: bool) -> Refused:
    """Tools where there are none: the server's words, or the engine's (PhiCookBook#289)."""
    if engine_alone:
        return engine(
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        )
    return detail("Tools and tool_choice are not supported.")


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


_UNAVAILABLE = {
    500: "InternalServerError",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}


def unavailable(status: int, message: str) -> Refused:
    """The model behind the service is not there, or not well."""
    return Refused(status, {"error": {"code": _UNAVAILABLE[status], "message": message}})


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
