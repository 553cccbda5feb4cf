"""Errors are errors of LangChain, have attributes, and can be pickled."""

import copy
import pickle

from langchain_core import exceptions as langchain

import langchain_azure_phi3 as package
from langchain_azure_phi3 import (
    AzurePhi3Error,
    BadRequestError,
    ContentFilterError,
    FailedResponse,
    FilterResult,
    RateLimitError,
)

# Since langchain-core 1.7.5.
ModelRefusalError = getattr(langchain, "ModelRefusalError", langchain.ModelError)

MEANINGS = {
    "InvalidInputError": (langchain.ModelInvalidRequestError, False),
    "BadRequestError": (langchain.ModelInvalidRequestError, False),
    "ContentFilterError": (langchain.ModelInvalidRequestError, False),
    "RefusalError": (ModelRefusalError, False),
    "FilteredCompletionError": (ModelRefusalError, False),
    "ContextLengthError": (langchain.ContextOverflowError, False),
    "AuthenticationError": (langchain.ModelAuthenticationError, False),
    "PermissionDeniedError": (langchain.ModelPermissionDeniedError, False),
    "NotFoundError": (langchain.ModelNotFoundError, False),
    "RateLimitError": (langchain.ModelRateLimitError, True),
    "ServerError": (langchain.ModelAPIError, True),
    "RequestTimeoutError": (langchain.ModelTimeoutError, True),
    "ConnectionFailedError": (langchain.ModelConnectionError, True),
    "InterruptedStreamError": (langchain.ModelConnectionError, True),
    "InvalidResponseError": (langchain.ModelAPIError, True),
}


def test_each_error_is_an_error_of_langchain() -> None:
    """`is_retryable` is what `with_retry` and middleware read."""
    public = {name for name in package.__all__ if name.endswith("Error")} - {"AzurePhi3Error"}
    assert public == set(MEANINGS)

    for name, (base, is_retryable) in MEANINGS.items():
        error = getattr(package, name)
        assert issubclass(error, AzurePhi3Error)
        assert issubclass(error, base)
        assert error.is_retryable is is_retryable
    assert issubclass(package.InvalidInputError, ValueError)


def test_errors_keep_their_attributes_in_copies() -> None:
    """A worker of multiprocessing pickles its errors."""
    error = ContentFilterError(
        "filtered",
        status_code=400,
        code="content_filter",
        request_id="r",
        response=FailedResponse(400, {"a": "b"}, b"{}"),
        body={"error": {}},
        retry_after=1.5,
        partial="so far",
        usage_metadata={"input_tokens": 1},
    )
    error.stage = "completion"
    error.filters = (FilterResult("violence", True, "high"),)

    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(error) is type(twin)
        assert str(error) == str(twin)
        assert vars(error) == vars(twin)


def test_attributes_belong_to_one_error() -> None:
    """Defaults are of the class, values of the instance."""
    first, second = BadRequestError("a"), BadRequestError("b")
    first.parameter = "temperature"

    assert second.parameter is None


def test_langchains_tracers_read_the_response() -> None:
    """Core reads `response.status_code`, `.headers` and `.json()` into the trace."""
    error = RateLimitError(
        "slow down", request_id="r", response=FailedResponse(429, {"a": "b"}, b'{"c": 1}')
    )

    assert error.response is not None
    assert error.response.json() == {"c": 1}
    assert error.response.text == '{"c": 1}'


def test_filter_results_are_parsed() -> None:
    """Azure's object of categories; entries of another form, and failed filters, are skipped."""
    results = {
        "violence": {"filtered": True, "severity": "high"},
        "jailbreak": {"filtered": False, "detected": True},
        "custom": {"error": {"code": "timeout"}},
        "other": "text",
        "custom_blocklists": [{"id": "a", "filtered": False}, {"id": "b", "filtered": True}],
        "content_filter_error": {"code": "content_filter_error", "message": "Not filtered"},
        "error": {"code": "content_filter_error", "message": "Not filtered"},
    }

    assert FilterResult.read(results) == (
        FilterResult("violence", True, "high"),
        FilterResult("jailbreak", False, detected=True),
        FilterResult("custom_blocklists", True),
    )
    assert FilterResult.read(None) == ()
