"""Errors are LangChain's as well, carry facts, and travel between processes."""

import copy
import pickle

import pytest
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

MEANINGS = {
    "InvalidInputError": (langchain.ModelInvalidRequestError, False),
    "BadRequestError": (langchain.ModelInvalidRequestError, False),
    "ContentFilterError": (langchain.ModelInvalidRequestError, False),
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


@pytest.mark.parametrize(("name", "meaning"), MEANINGS.items())
def test_an_error_is_langchains_error_of_that_meaning(
    name: str, meaning: tuple[type[Exception], bool]
) -> None:
    """`is_retryable` is what `with_retry` and middleware read."""
    error = getattr(package, name)

    assert issubclass(error, AzurePhi3Error)
    assert issubclass(error, meaning[0])
    assert error.is_retryable is meaning[1]


def test_every_error_is_in_the_table() -> None:
    """A new one must say what it means to LangChain."""
    public = {name for name in package.__all__ if name.endswith("Error")} - {"AzurePhi3Error"}

    assert public == set(MEANINGS)


def test_input_errors_are_value_errors() -> None:
    """What Python programs catch for bad arguments."""
    assert issubclass(package.InvalidInputError, ValueError)


@pytest.mark.parametrize(
    "travel", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_an_error_keeps_its_facts_when_it_travels(travel: "object") -> None:
    """A worker of multiprocessing pickles what it raises."""
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

    twin = travel(error)  # type: ignore[operator]

    assert type(error) is type(twin)
    assert str(error) == str(twin)
    assert vars(error) == vars(twin)


def test_defaults_are_of_the_class_and_values_of_the_instance() -> None:
    """One error's facts must not show on another."""
    first, second = BadRequestError("a"), BadRequestError("b")
    first.parameter = "temperature"

    assert second.parameter is None


def test_langchains_tracers_find_the_response() -> None:
    """Core reads `response.status_code`, `.headers` and `.json()` into the trace."""
    error = RateLimitError(
        "slow down", request_id="r", response=FailedResponse(429, {"a": "b"}, b'{"c": 1}')
    )

    assert error.response is not None
    assert error.response.json() == {"c": 1}
    assert error.response.text == '{"c": 1}'
