"""Every body that a failure was seen or documented to have, and what becomes of it."""

import json
from contextlib import suppress
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_azure_phi3 import (
    AuthenticationError,
    AzurePhi3Error,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    FilterResult,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from langchain_azure_phi3._http.error_mapping import (
    map_error_body,
    map_error_response,
    parse_completion,
)
from langchain_azure_phi3._http.transfer import response_info
from langchain_azure_phi3._types import ResponseInfo
from tests.growth import grows_linearly


def answer(status: int = 200, **headers: str) -> ResponseInfo:
    """The facts about a response."""
    return ResponseInfo(status, None, headers)


GUIDE = (
    "\nPlease check this guide to understand why this error code might have been returned \n"
    "https://docs.microsoft.com/en-us/azure/machine-learning/how-to-troubleshoot-online-endpoints"
)
POLICY = (
    "The response was filtered due to the prompt triggering Microsoft's content management "
    "policy. Please modify your prompt and retry."
)
MANAGED_SAFETY = "request input violates azure ai content safety setting."
TOO_LONG = (
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens in "
    "the messages, Please reduce the length of the messages."
)
EXTRA = (
    "Extra parameters ['n'] are not allowed when extra-parameters is not set or set to be "
    "'error'. Set extra-parameters to 'pass-through' to pass to the model."
)
RESULTS = {
    "hate": {"filtered": False, "severity": "safe"},
    "violence": {"filtered": True, "severity": "medium"},
    "jailbreak": {"filtered": True, "detected": True},
    "custom_blocklists": {"filtered": False, "details": []},
    "protected_material_code": {"error": {"code": "content_filter_error", "message": "x"}},
    "sexual": "broken",
}
FILTERS = (
    FilterResult("hate", False, "safe"),
    FilterResult("violence", True, "medium"),
    FilterResult("jailbreak", True, None, True),
    FilterResult("custom_blocklists", False),
)
WRAPPED = "ms-azureml-model-error-statuscode"


def nested(code: Any, message: str, **more: Any) -> dict[str, Any]:
    """The shape of Azure OpenAI and of Azure's how-tos."""
    return {"error": {"code": code, "message": message, **more}}


def vllm(message: str, error_type: str = "BadRequestError", code: int = 400) -> dict[str, Any]:
    """The shape of the engine behind the model server."""
    return {"object": "error", "message": message, "type": error_type, "param": None, "code": code}


def wrong_fields(field: str, message: str, given: Any) -> list[Any]:
    """Pydantic's list."""
    return [{"type": "x", "loc": ["body", field], "msg": message, "input": given}]


class Row(NamedTuple):
    """A failed response, and everything that is to be known of it."""

    status: int
    body: Any
    error_type: type[AzurePhi3Error]
    says: str
    code: str | None = None
    headers: dict[str, str] = {}  # noqa: RUF012 -- never written to
    unwrapped: int | None = None
    parameter: str | None = None
    value: Any = None
    filters: tuple[FilterResult, ...] = ()
    retry_after: float | None = None
    request_id: str | None = None


ROWS = [
    # 400, filtered
    Row(
        400,
        nested("content_filter", POLICY, type=None, param="prompt", status=400),
        ContentFilterError,
        "policy. Please modify your prompt",
        "content_filter",
    ),
    Row(
        400,
        {
            "status": 400,
            "code": "content_filter",
            "message": "The response was filtered",
            "param": "messages",
            "type": None,
        },
        ContentFilterError,
        "The response was filtered",
        "content_filter",
    ),
    Row(
        400,
        nested(
            "content_filter",
            POLICY,
            innererror={
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": RESULTS,
            },
        ),
        ContentFilterError,
        "policy",
        "content_filter",
        filters=FILTERS,
    ),
    Row(
        400,
        nested(
            "BadRequest",
            POLICY,
            innerError={"code": "ResponsibleAIPolicyViolation", "content_filter_results": RESULTS},
        ),
        ContentFilterError,
        "policy",
        "ResponsibleAIPolicyViolation",
        filters=FILTERS,
    ),
    Row(
        400,
        nested("content_filter", POLICY, innererror={"code": "x", "content_filter_result": None}),
        ContentFilterError,
        "policy",
        "content_filter",
    ),
    Row(
        400,
        nested("content_filter", POLICY, innererror={"code": {"filtered": True}}),
        ContentFilterError,
        "policy",
        "content_filter",
    ),
    Row(
        400,
        nested("BadRequest", "no", innererror={"code": ["ResponsibleAIPolicyViolation"]}),
        BadRequestError,
        "no",
        "BadRequest",
    ),
    Row(400, {"error": "Bad Request", "message": MANAGED_SAFETY}, ContentFilterError, "violates"),
    Row(
        400,
        nested("Bad Request", MANAGED_SAFETY, status=400),
        ContentFilterError,
        "violates",
        "Bad Request",
    ),
    Row(
        400,
        json.dumps(nested("content_filter", POLICY)) + GUIDE,
        ContentFilterError,
        "policy",
        "content_filter",
    ),
    Row(
        424,
        nested("Bad Request", MANAGED_SAFETY, status=400),
        ContentFilterError,
        "violates",
        "Bad Request",
        headers={WRAPPED: "400"},
        unwrapped=400,
    ),
    # 400, too long
    Row(400, vllm(TOO_LONG), ContextLengthError, "4096 tokens", "400"),
    Row(400, {"message": "{broken"}, BadRequestError, "400: {broken"),
    Row(
        400,
        nested("Bad Request", json.dumps(vllm(TOO_LONG)), status=400),
        ContextLengthError,
        "4096 tokens",
        "400",
    ),
    Row(
        400,
        nested("context_length_exceeded", "too long", type="invalid_request_error"),
        ContextLengthError,
        "too long",
        "context_length_exceeded",
    ),
    Row(
        413,
        nested("tokens_limit_reached", "Request body too large for phi-4 model. Max size: 8000"),
        ContextLengthError,
        "8000",
        "tokens_limit_reached",
    ),
    Row(
        400,
        vllm("The prompt (total length 9000) is longer than the maximum model length of 4096."),
        ContextLengthError,
        "9000",
        "400",
    ),
    Row(
        424,
        vllm(TOO_LONG),
        ContextLengthError,
        "4096",
        "400",
        headers={WRAPPED: "400"},
        unwrapped=400,
    ),
    # 400, others
    Row(400, {"detail": EXTRA}, BadRequestError, "'pass-through' to pass to the model"),
    Row(
        400,
        {"detail": "Tools and tool_choice are not supported."},
        BadRequestError,
        "Tools and tool_choice",
    ),
    Row(
        400,
        vllm("Multiple 'image_url' input is currently not supported."),
        BadRequestError,
        "Multiple",
        "400",
    ),
    Row(
        400,
        vllm("At most 1 image(s) may be provided in one request."),
        BadRequestError,
        "At most 1 image",
        "400",
    ),
    Row(
        400,
        nested("Bad Request", json.dumps(vllm("stop cannot contain")), status=400),
        BadRequestError,
        "400: stop cannot contain",
        "400",
    ),
    Row(
        400,
        nested("no_model_name", "No model specified in request."),
        BadRequestError,
        "No model",
        "no_model_name",
    ),
    Row(
        400,
        nested("invalid_value", "Bad value.", param="temperature", type="invalid_request_error"),
        BadRequestError,
        "Bad value",
        "invalid_value",
        parameter="temperature",
    ),
    Row(
        400,
        nested("400", "Missing Authorization header"),
        BadRequestError,
        "Missing Authorization",
        "400",
    ),
    Row(
        400,
        {"status": "Auth token must be passed as a header called Authorization"},
        BadRequestError,
        "Auth token must",
    ),
    Row(
        400,
        {"title": "Bad", "type": "about:blank"},
        BadRequestError,
        "400 about:blank: Bad",
        "about:blank",
    ),
    Row(400, {}, BadRequestError, "{}"),
    Row(400, {"error": {"code": "x"}}, BadRequestError, '"code": "x"', "x"),
    Row(400, {"error": {"message": {"text": "odd"}}}, BadRequestError, "odd"),
    Row(400, [nested("x", "in a list")], BadRequestError, "in a list", "x"),
    Row(400, ["a", 1], BadRequestError, '["a", 1]'),
    Row(400, json.dumps("a JSON string"), BadRequestError, "a JSON string"),
    Row(400, "null", BadRequestError, "null"),
    Row(400, "", BadRequestError, "gave no reason"),
    Row(
        400,
        "",
        BadRequestError,
        "400 BadArgument: The server gave no reason",
        "BadArgument",
        headers={"x-ms-error-code": "BadArgument"},
    ),
    # 401, 403
    Row(
        401,
        nested("401", "Access denied due to invalid subscription key"),
        AuthenticationError,
        "subscription key",
        "401",
    ),
    Row(
        401,
        {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid"},
        AuthenticationError,
        "Access token",
    ),
    Row(
        401,
        nested("PermissionDenied", "Principal does not have access to API/Operation."),
        AuthenticationError,
        "Principal",
        "PermissionDenied",
    ),
    Row(401, "Unauthorized", AuthenticationError, "401: Unauthorized"),
    Row(
        403,
        nested("AuthenticationTypeDisabled", "Key based authentication is disabled"),
        PermissionDeniedError,
        "disabled",
        "AuthenticationTypeDisabled",
    ),
    Row(
        424,
        {"error": "Unauthorized"},
        AuthenticationError,
        "Unauthorized",
        headers={WRAPPED: "401"},
        unwrapped=401,
    ),
    # 404, 405
    Row(
        404,
        nested("DeploymentNotFound", "The API deployment does not exist."),
        NotFoundError,
        "deployment",
        "DeploymentNotFound",
    ),
    Row(404, nested("404", "Resource not found"), NotFoundError, "Resource not found", "404"),
    Row(404, {"detail": "Not Found"}, NotFoundError, "404: Not Found"),
    Row(404, "NOT FOUND", NotFoundError, "404: NOT FOUND"),
    Row(
        404,
        vllm("The model `x` does not exist.", "NotFoundError", 404),
        NotFoundError,
        "`x`",
        "404",
    ),
    Row(
        404,
        {"error": "Not Found", "message": "Modality not supported by the model", "status": 404},
        BadRequestError,
        "Modality not supported by the model. Use a model that accepts it",
    ),
    Row(404, nested("unknown_model", "Unknown model: x"), NotFoundError, "x", "unknown_model"),
    Row(424, {"detail": "Not Found"}, NotFoundError, "Not Found", unwrapped=404),
    Row(405, {"detail": "Method Not Allowed"}, BadRequestError, "Method Not Allowed"),
    # 422
    Row(
        422,
        {
            "status": 422,
            "code": "parameter_not_supported",
            "detail": {"loc": ["body", "response_format"], "input": "json_object"},
            "message": "One of the parameters contain invalid values.",
        },
        BadRequestError,
        "One of the parameters",
        "parameter_not_supported",
        headers={"x-ms-error-code": "parameter_not_supported"},
        parameter="response_format",
        value="json_object",
    ),
    Row(
        422,
        {"message": "Wrong.", "detail": [{"loc": ["body", "seed"], "value": 0}]},
        BadRequestError,
        "Wrong.",
        parameter="seed",
        value=0,
    ),
    Row(
        422,
        {"detail": wrong_fields("user", "Extra inputs are not permitted", "me")},
        BadRequestError,
        "body.user: Extra inputs are not permitted",
        parameter="user",
        value="me",
    ),
    Row(
        422,
        nested(
            "Invalid input",
            "invalid input error",
            status=422,
            details=wrong_fields("temperature", "less than or equal to 1", 1.5),
        ),
        BadRequestError,
        "invalid input error (temperature: less than or equal to 1)",
        "Invalid input",
        parameter="temperature",
        value=1.5,
    ),
    Row(
        422,
        {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "m", "input": "developer"}]},
        BadRequestError,
        "messages.0.role: m",
        parameter="messages.0.role",
        value="developer",
    ),
    # The model server writes the `repr` of pydantic's list for extra parameters.
    Row(
        400,
        {"detail": "[{'type': 'extra_forbidden', 'loc': ('body', 'top_k'), 'msg': 'No'}]"},
        BadRequestError,
        "400: body.top_k: No",
        parameter="top_k",
    ),
    Row(400, {"message": "[{'type': broken"}, BadRequestError, "400: [{'type': broken"),
    Row(
        400,
        {"message": r"[{'loc': 'a', 'msg': 'Not \d'}]"},
        BadRequestError,
        r"400: a: Not \d",
        parameter="a",
    ),
    Row(422, {"detail": [{"loc": None, "msg": 1}]}, BadRequestError, "422: 1"),
    Row(422, {"detail": [{"loc": 5, "msg": "m"}]}, BadRequestError, "5: m", parameter="5"),
    Row(422, {"detail": []}, BadRequestError, "detail"),
    Row(422, {"detail": [{}]}, BadRequestError, "422: invalid"),
    Row(
        424,
        {"detail": wrong_fields("top_p", "too much", 2)},
        BadRequestError,
        "too much",
        headers={WRAPPED: "422"},
        unwrapped=422,
        parameter="top_p",
        value=2,
    ),
    # 408, 413, 415, 424
    Row(408, nested("RequestTimeout", "timed out"), RequestTimeoutError, "out", "RequestTimeout"),
    Row(413, "Payload Too Large", BadRequestError, "Payload"),
    Row(415, {"detail": "Unsupported Media Type"}, BadRequestError, "Media"),
    Row(424, "", ServerError, "424: The server gave no reason"),
    Row(424, "cold" + GUIDE, ServerError, "cold"),
    Row(424, "", ServerError, "503", headers={WRAPPED: "503"}, unwrapped=503),
    Row(424, nested("x", "m", status=502), ServerError, "502 x: m", "x", unwrapped=502),
    Row(424, vllm("m"), BadRequestError, "400: m", "400", unwrapped=400),
    Row(424, "m", ServerError, "m", headers={WRAPPED: "\u00b2"}),
    Row(424, "m", ServerError, "m", headers={WRAPPED: "9" * 5000}),
    Row(
        424,
        "busy",
        RateLimitError,
        "busy",
        headers={WRAPPED: "429", "retry-after": "3"},
        unwrapped=429,
        retry_after=3,
    ),
    # 429
    Row(
        429,
        nested("429", "Rate limit is exceeded. Try again in 50 seconds."),
        RateLimitError,
        "50 seconds",
        "429",
        retry_after=50,
    ),
    Row(
        429,
        {"error": "TooManyRequests", "message": "Please retry after 7 seconds.", "status": 429},
        RateLimitError,
        "retry",
        retry_after=7,
    ),
    Row(
        429,
        "too many pending requests" + GUIDE,
        RateLimitError,
        "pending",
        headers={"retry-after": "0"},
        retry_after=0,
    ),
    Row(429, GUIDE.strip(), RateLimitError, "guide"),
    Row(
        429,
        "",
        RateLimitError,
        "gave no reason",
        headers={"x-ratelimit-reset-requests": "9", "x-rate-limit-reset-tokens": "12"},
        retry_after=12,
    ),
    # 5xx
    Row(
        500,
        nested("InternalServerError", "Backend returned unexpected response."),
        ServerError,
        "Backend",
        "InternalServerError",
    ),
    Row(
        500,
        nested("Internal Server Error", "An error occurred", status=500),
        ServerError,
        "occurred",
        "Internal Server Error",
    ),
    Row(502, {"error": "Downstream unavailable"}, ServerError, "502: Downstream unavailable"),
    Row(
        502,
        "<html><head><title>502 Bad\n Gateway</title></head></html>",
        ServerError,
        "an HTML page titled '502 Bad Gateway'",
    ),
    Row(503, "no healthy upstream", ServerError, "no healthy upstream"),
    Row(504, "upstream request timeout", ServerError, "504: upstream request timeout"),
    Row(504, "the request timed out after 180 seconds", ServerError, "180"),
    Row(500, "", ServerError, "500", headers={"x-ratelimit-reset-requests": "60"}),
    Row(503, "busy", ServerError, "busy", headers={"retry-after": "2"}, retry_after=2),
    # what is neither
    Row(302, "", InvalidResponseError, "302", headers={"location": "https://x.invalid"}),
    # request ids
    Row(
        500,
        "",
        ServerError,
        "500",
        headers={"x-ms-client-request-id": "mine", "apim-request-id": "a", "x-request-id": "r"},
        request_id="a",
    ),
    Row(500, "", ServerError, "500", headers={"azureml-model-session": "s"}, request_id="s"),
]


def made(row: Row, advice: dict[int, str] | None = None) -> AzurePhi3Error:
    """The error of a row."""
    body = row.body if isinstance(row.body, str) else json.dumps(row.body)
    response = httpx.Response(
        row.status, headers=[(k.encode(), v.encode("latin-1")) for k, v in row.headers.items()]
    )
    return map_error_response(response_info(response), body.encode(), advice=advice or {})


def test_known_failures_have_their_class_and_details() -> None:
    """Class, text and all facts."""
    for row in ROWS:
        error = made(row)
        assert type(error) is row.error_type
        assert row.says in str(error)
        facts = (error.code, error.status_code, error.retry_after, error.request_id)
        status = row.status if row.unwrapped is None else row.unwrapped
        assert facts == (row.code, status, row.retry_after, row.request_id)
        found = (getattr(error, "parameter", None), getattr(error, "value", None))
        assert found == (row.parameter, row.value)
        assert getattr(error, "filters", ()) == row.filters


def test_errors_keep_the_response() -> None:
    """LangChain's tracers read `response`."""
    for row in ROWS:
        error = made(row)
        body = row.body if isinstance(row.body, str) else json.dumps(row.body)
        assert error.response is not None
        assert error.response.status_code == row.status
        assert error.response.text == body
        assert error.response.headers == row.headers


def test_is_retryable_follows_the_status() -> None:
    """`is_retryable` is what `with_retry` and agents look at."""
    for status, retryable in [
        *((status, False) for status in (400, 401, 403, 404, 405, 413, 422)),
        *((status, True) for status in (408, 429, 500, 502, 503, 504)),
    ]:
        assert map_error_response(answer(status), b"", advice={}).is_retryable is retryable


def test_advice_follows_the_servers_message() -> None:
    """By the unwrapped status."""
    row = Row(424, "no", NotFoundError, "no", headers={WRAPPED: "404"})
    assert str(made(row, {404: "Check the name.", 424: "Wrong."})) == "404: no. Check the name."


def test_overlong_prompts_are_recognized_by_their_message() -> None:
    """Of vLLM since 0.4, of Azure OpenAI, SGLang and llama.cpp; with the numbers they give."""
    for message, prompt, context in [
        (TOO_LONG, 5000, 4096),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 "
            "tokens (4900 in the messages, 100 in the completion).",
            4900,
            4096,
        ),
        (
            "This model's maximum context length is 2048 tokens. However, your request has 8 "
            "input tokens plus 2045 'max_tokens'.",
            8,
            2048,
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum "
            "context length is 4096 tokens and your request has 19 input tokens (4096 > 4096 - "
            "19).",
            19,
            4096,
        ),
        (
            "You passed 5000 input tokens and requested 10 output tokens. However, the model's "
            "context length is only 4096 tokens.",
            5000,
            4096,
        ),
        (
            "The decoder prompt (length 8357) is longer than the maximum model length of 8192.",
            8357,
            8192,
        ),
        (
            "This model's maximum context length is 4096 tokens. However, your messages resulted "
            "in 5000 tokens.",
            5000,
            4096,
        ),
        (
            "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
            5000,
            4096,
        ),
        ("request (5000 tokens) exceeds the available context size (4096 tokens)", 5000, 4096),
        ("max_tokens must be at least 1, got -904.", None, None),
    ]:
        error = map_error_response(answer(400), json.dumps(vllm(message)).encode(), advice={})

        assert isinstance(error, ContextLengthError)
        assert (prompt, context) == (error.prompt_tokens, error.context)


def test_overflows_are_recognized_in_other_servers_words() -> None:
    """LM Studio, TGI, vLLM, LiteLLM, Ollama, llama.cpp, SGLang and services behind gateways."""
    for status, message, prompt, context in [
        (400, "Trying to keep the first 7001 tokens when context the overflows. However, the model "
         "is loaded with context length of only 2048 tokens, which is not enough.", 7001, 2048),
        (400, "Cannot truncate prompt with n_keep (9000) >= n_ctx (8192)", 9000, 8192),
        (400, "The number of tokens to keep from the initial prompt is greater than the context "
         "length.", None, None),
        (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8192. Given: "
         "8000 `inputs` tokens and 300 `max_new_tokens`", 8000, 8192),
        (422, "Input validation error: `inputs` must have less than 1023 tokens. Given: 2000",
         2000, 1023),
        (400, "The prompt (total length 9100) is too long to fit into the model (context length "
         "8192). Make sure that `max_model_len` is no smaller.", 9100, 8192),
        (400, "This model's maximum context length is 131,072 tokens. However, your prompt "
         "contains at least 140,001 input tokens.", 140_001, 131_072),
        (400, "You passed 90000 input characters and requested 10 output tokens. However, the "
         "model's context length is only 4096 tokens.", None, 4096),
        (400, "litellm.ContextWindowExceededError: AzureException - too many", None, None),
        (400, "the input length exceeds the context length", None, None),
        (500, "Context size has been exceeded.", None, None),
        (400, "prompt too long; exceeded max context length by 12 tokens", None, None),
        (400, "Requested token count exceeds the model's maximum context length of 4096 tokens. "
         "You requested a total of 5100 tokens: 5000 tokens from the input messages and 100 tokens "
         "for the completion.", 5000, 4096),
        (400, "Input length (6000 tokens) exceeds the maximum allowed length (4090 tokens).",
         6000, 4090),
        (400, "Multimodal prompt is too long after expanding multimodal tokens. After expanding "
         "len(input)=5000 => 8000 >= 4096.", 8000, 4096),
        (500, "Requested tokens (5200) exceed context window of 4096", 5200, 4096),
        (400, "prompt is too long: 208310 tokens > 200000 maximum", 208_310, 200_000),
    ]:  # fmt: skip
        shapes = [{"error": message}, {"error": {"message": message, "type": None}}, vllm(message)]
        for body in shapes:
            content = json.dumps(body).encode()
            error = map_error_response(answer(status), content, advice={})
            assert type(error) is ContextLengthError, message
            assert (prompt, context) == (error.prompt_tokens, error.context), message
        event = json.dumps({"error": {"message": message}}).encode()
        error = map_error_body(event, answer(), what="The stream reported an error")
        assert type(error) is ContextLengthError
        assert (prompt, context) == (error.prompt_tokens, error.context)


def test_llama_cpps_numbers_are_read_from_its_fields() -> None:
    """Its message does not always name them."""
    error = {"message": "too long", "type": "exceed_context_size_error", "code": 400}
    body = {"error": {**error, "n_prompt_tokens": 6001, "n_ctx": 4096}}
    found = map_error_response(answer(400), json.dumps(body).encode(), advice={})
    assert isinstance(found, ContextLengthError)
    assert (6001, 4096) == (found.prompt_tokens, found.context)


def test_other_limits_are_no_overflow() -> None:
    """Too large is not always too long."""
    for status, message in [
        (500, "input is too large to process. increase the physical batch size"),
        (422, "String should have at most 10 characters"),
        (400, "The image is too large"),
        (400, "temperature must be <= 2"),
        (429, "Rate limit of 4096 tokens per minute exceeded"),
        (413, "Request Entity Too Large"),
    ]:
        error = map_error_response(answer(status), json.dumps(vllm(message)).encode(), advice={})
        assert not isinstance(error, ContextLengthError)


def test_errors_are_read_from_json_in_strings() -> None:
    """As JSON, as Python's `repr`, and after some words."""
    results = {"violence": {"filtered": True, "severity": "high"}}
    inner = {
        "error": {
            "code": "content_filter",
            "message": "The prompt was filtered",
            "innererror": {"content_filter_result": results},
        }
    }
    text = json.dumps(inner)
    for body in [
        {"error": text},
        {"error": {"message": text}},
        {"message": f"AzureException - {text}"},
        {"error": {"message": f"Error code: 400 - {inner!r}", "code": "400"}},
        text,
        {"detail": json.dumps({"error": text})},
    ]:
        error = map_error_response(answer(400), json.dumps(body).encode(), advice={})
        assert isinstance(error, ContentFilterError), body
        assert error.filters == (FilterResult("violence", True, "high"),)
        assert "The prompt was filtered" in str(error)
        assert "{" not in str(error)


def test_braces_in_messages_are_only_text() -> None:
    """Where they hold no error."""
    for message in [
        'Invalid value: {"a": 1}',
        "Use {name}",
        "{",
        "x {'b': 2} y",
        "{'\\d': 1",
        "x {'a\\d': 1}",
    ]:
        error = map_error_response(answer(400), json.dumps(vllm(message)).encode(), advice={})
        assert message in str(error)


def test_an_endless_number_is_no_token_count() -> None:
    """Python refuses to read integers of thousands of digits."""
    message = f"This model's maximum context length is {'9' * 5000} tokens."
    error = map_error_response(answer(400), json.dumps(vllm(message)).encode(), advice={})

    assert isinstance(error, ContextLengthError)
    assert error.context is None


def test_long_bodies_are_truncated_in_the_message_only() -> None:
    """500 characters are enough to recognize it."""
    error = map_error_response(answer(500), b"x" * 10_000, advice={})
    assert len(str(error)) < 600
    assert error.body == "x" * 10_000


def test_work_is_linear_in_the_body() -> None:
    """A server that is broken may send megabytes of anything."""
    for filler in [
        *(b"9", b"<title>", b"<title", b"in 1.", b"has ", b"{", b"{'a': ", b"9,999", b"input ("),
        *(b"exceed the the ", b"=> 1 >= ", b"context length "),
    ]:

        def work(size: int, filler: bytes = filler) -> object:
            content = b"maximum context length is " + filler * (size // len(filler))
            return map_error_response(answer(400), content, advice={})

        assert grows_linearly(work, 200_000)


def test_deeply_nested_bodies_are_still_failures() -> None:
    """Python's recursion limit is not the user's problem, on whichever side of it."""
    for opening, closing in [(b"[", b"]"), (b'{"a":[', b"]}")]:
        for depth in range(300, 1100, 2):
            content = opening * depth + closing * depth
            assert isinstance(map_error_response(answer(500), content, advice={}), ServerError)
            with pytest.raises(AzurePhi3Error):
                parse_completion(b'{"error":' + content + b"}", answer())


def test_endless_numbers_are_still_failures() -> None:
    """Python refuses to write integers of more than 4,300 digits."""
    for digits in [4000, 5000]:
        for key in ["code", "status", "param", "message", "x"]:
            number = b"9" * digits
            for content in (b'{"%s": %s}', b'{"error": {"%s": %s}}', b'[{"%s": %s}]'):
                body = content % (key.encode(), number)
                assert isinstance(map_error_response(answer(400), body, advice={}), BadRequestError)
            detail = b'{"detail": [{"loc": [%s], "msg": %s, "input": 1}]}' % (number, number)
            assert isinstance(map_error_response(answer(422), detail, advice={}), BadRequestError)


KEYS = st.sampled_from(
    [
        *("error", "message", "code", "status", "type", "detail", "details", "loc", "msg", "input"),
        *("innererror", "param", "object", "title", "content_filter_result", "statusCode", "value"),
        *("filtered", "severity", "violence"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
CONTENT = st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode())
NAMES = st.sampled_from([WRAPPED, "retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"])
VALUES = st.text(st.characters(max_codepoint=255), max_size=12) | st.integers().map(str)


@given(st.integers(100, 999), st.dictionaries(NAMES, VALUES, max_size=2), CONTENT)
@example(400, {}, b'{"error": {"code": "context_length_exceeded"}}')
@example(400, {}, json.dumps({"message": json.dumps({"message": "{}"})}).encode())
def test_any_failed_response_is_our_error(
    status: int, headers: dict[str, str], content: bytes
) -> None:
    """Whatever bytes came, under whatever status."""
    info = ResponseInfo(status, None, headers)
    error = map_error_response(info, content, advice={})
    assert isinstance(error, AzurePhi3Error)
    assert str(error) != ""
    assert isinstance(map_error_body(content, info, what="It failed"), AzurePhi3Error)


@given(CONTENT)
def test_any_success_is_an_object_or_our_error(content: bytes) -> None:
    """Never another exception."""
    with suppress(AzurePhi3Error):
        assert isinstance(parse_completion(content, answer()), dict)


def test_no_request_id_is_none() -> None:
    """An empty header is none either."""
    response = httpx.Response(200, headers={"apim-request-id": ""})
    assert response_info(response).request_id is None


def test_messages_name_the_status_once() -> None:
    """Also if the server's code or message repeats it."""
    for body in [
        b'{"code": "429", "message": "m"}',
        b'{"code": 429, "message": "429: m"}',
        b'{"error": "429 - m"}',
        b"429 m",
    ]:
        assert str(map_error_response(answer(429), body, advice={})) == "429: m"
    error = map_error_response(answer(429), b"4290 tokens", advice={})
    assert str(error) == "429: 4290 tokens"


def test_successes_keep_their_status() -> None:
    """202 and 204 are not completions."""
    for status in (200, 202, 204):
        for body in (b"", b"[]", b'{"error": "m"}'):
            with pytest.raises(AzurePhi3Error) as caught:
                parse_completion(body, answer(status))
            assert caught.value.response is not None
            assert status == caught.value.response.status_code
            assert "error" in body.decode() or f"returned {status} with" in str(caught.value)
