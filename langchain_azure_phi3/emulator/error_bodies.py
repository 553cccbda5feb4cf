"""Error bodies of the real servers, verbatim if a capture or a document shows them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.server_types import AuthMode
from langchain_azure_phi3.emulator.wire import Reply, json_reply


class ApiError(Exception):
    """An error response of the server."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {json.dumps(body)}")
        self.status = status
        self.body = body
        self.headers = {} if headers is None else dict(headers)

    @property
    def reply(self) -> Reply:
        """The error as a reply, not rewritten by a gateway."""
        return json_reply(self.status, self.body, self.headers)


def _error(code: str, message: str, **others: Any) -> Json:
    return {"error": {"code": code, "message": message, **others}}


_NO_MODEL = (
    "No model specified in request. Please provide a model name in the request body or as a "
    "x-ms-model-mesh-model-name header."
)
_FIXED: Mapping[str, tuple[int, Json] | tuple[int, Json, dict[str, str]]] = {
    "not_found": (404, {"detail": "Not Found"}),
    # Seen on serverless endpoints in July 2024.
    "missing_authorization": (
        400,
        {"status": "Auth token must be passed as a header called Authorization"},
    ),
    # semantic-kernel#8624
    "only_api_key": (400, _error("400", "Missing Authorization header")),
    "wrong_key": (
        401,
        _error(
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to "
            "provide a valid key for an active subscription and use a correct regional API "
            "endpoint for your resource.",
        ),
    ),
    # Foundry (LibreChat#4767)
    "wrong_audience": (
        401,
        {
            "statusCode": 401,
            "message": "Unauthorized. Access token is missing, invalid, audience is incorrect "
            "(https://cognitiveservices.azure.com), or have expired.",
        },
    ),
    # vLLM
    "unauthorized": (401, {"error": "Unauthorized"}),
    "missing_api_version": (404, _error("404", "Resource not found")),
    # Foundry
    "no_model": (400, _error("no_model_name", _NO_MODEL, details=_NO_MODEL)),
    "unknown_deployment": (
        404,
        _error(
            "DeploymentNotFound",
            "The API deployment for this resource does not exist. If you created the deployment "
            "within the last 5 minutes, please wait a moment and try again.",
        ),
    ),
    "tools_not_supported": (400, {"detail": "Tools and tool_choice are not supported."}),
    # Azure's API reference
    "json_mode_not_supported": (
        422,
        {
            "status": 422,
            "code": "parameter_not_supported",
            "detail": {"loc": ["body", "response_format"], "input": "json_object"},
            "message": "One of the parameters contain invalid values.",
        },
        {"x-ms-error-code": "parameter_not_supported"},
    ),
}


def fixed_error(name: str) -> ApiError:
    """Return an error whose body is always the same."""
    return ApiError(*_FIXED[name])


def method_not_allowed(allowed: str) -> ApiError:
    """Report that the route requires another method."""
    return ApiError(405, {"detail": "Method Not Allowed"}, {"allow": allowed})


def missing_model(auth: AuthMode) -> ApiError:
    """Report that the request names no model, as Foundry and Ollama do."""
    return _ollama_error(400, "model is required") if auth == "open" else fixed_error("no_model")


def _ollama_error(status: int, message: str) -> ApiError:
    error = {"message": message, "type": "api_error", "param": None, "code": None}
    return ApiError(status, {"error": error})


def unknown_model(name: str, auth: AuthMode) -> ApiError:
    """Report an unknown model, as Foundry, Ollama and vLLM do."""
    if auth == "foundry":
        return fixed_error("unknown_deployment")
    if auth == "open":
        return _ollama_error(404, f'model "{name}" not found, try pulling it first')
    return engine_error(f"The model `{name}` does not exist.", 404, "NotFoundError")


def bad_request(detail: str) -> ApiError:
    """Reject the request, as the model server does."""
    return ApiError(400, {"detail": detail})


def body_too_large(limit: int) -> ApiError:
    """Reject a body that is too large; it is not read, so the connection cannot be reused."""
    detail = f"Request body too large. Max size: {limit} bytes."
    return ApiError(413, {"detail": detail}, {"connection": "close"})


def engine_error(message: str, status: int = 400, error_type: str = "BadRequestError") -> ApiError:
    """Reject the request, as the engine behind the model server does (vLLM 0.5)."""
    body = {"object": "error", "message": message, "type": error_type}
    return ApiError(status, body | {"param": None, "code": status})


def validation_failed(problems: Sequence[Json]) -> ApiError:
    """Report fields that do not fit the schema: `type`, `loc`, `msg` and `input`, as in FastAPI."""
    return ApiError(422, {"detail": list(problems)})


def invalid_json(error: json.JSONDecodeError) -> ApiError:
    """Report a body that is not JSON, in FastAPI's format."""
    problem = {"type": "json_invalid", "loc": ["body", error.pos], "msg": "JSON decode error"}
    return validation_failed([{**problem, "input": {}, "ctx": {"error": error.msg}}])


def rate_limited(seconds: int, headers: Mapping[str, str]) -> ApiError:
    """Report that the quota is used up for this many seconds."""
    message = f"Rate limit is exceeded. Try again in {seconds} seconds."
    return ApiError(429, _error("429", message), headers)


def modality_not_supported(model: str, modality: str) -> ApiError:
    """Report that the model does not accept images or audio; the API reference has this 404."""
    message = f"Modality not supported by the model: {model} takes no {modality}."
    return ApiError(404, {"error": "Not Found", "message": message, "status": 404})


def unavailable(status: int, message: str) -> ApiError:
    """Report that the model behind the service failed or cannot be reached."""
    codes = {500: "InternalServerError", 503: "ServiceUnavailable", 504: "GatewayTimeout"}
    return ApiError(status, _error(codes[status], message))


def context_exceeded(context: int, prompt: int, answer: int | None) -> ApiError:
    """Report that prompt and response exceed the context, as vLLM 0.5 does."""
    counts = f"{prompt} tokens in the messages, Please reduce the length of the messages."
    if answer is not None:
        counts = (
            f"{prompt + answer} tokens ({prompt} in the messages, {answer} in the completion). "
            "Please reduce the length of the messages or completion."
        )
    limit = f"This model's maximum context length is {context} tokens."
    return engine_error(f"{limit} However, you requested {counts}")


def prompt_exceeds_context(context: int, prompt: int) -> ApiError:
    """Report that the prompt exceeds the context, as llama.cpp does; it truncates responses."""
    message = (
        f"request ({prompt} tokens) exceeds the available context size ({context} tokens), try "
        "increasing it"
    )
    error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    return ApiError(400, {"error": error | {"n_prompt_tokens": prompt, "n_ctx": context}})
