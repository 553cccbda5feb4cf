"""All errors of this package. Each is also an error of LangChain.

```
AzurePhi3Error                ModelError
├── InvalidInputError         ModelInvalidRequestError, ValueError   rejected before sending
├── BadRequestError           ModelInvalidRequestError               400, 405, 413, 415, 422
├── ContentFilterError        ModelInvalidRequestError               prompt or response filtered
├── RefusalError              ModelRefusalError                      the model refuses to answer
│   └── FilteredCompletionError   (also a ContentFilterError)        response filtered
├── ContextLengthError        ContextOverflowError                   conversation too long
├── AuthenticationError       ModelAuthenticationError               401
├── PermissionDeniedError     ModelPermissionDeniedError             403
├── NotFoundError             ModelNotFoundError                     404
├── RateLimitError            ModelRateLimitError                    429
├── ServerError               ModelAPIError                          5xx
├── RequestTimeoutError       ModelTimeoutError                      408, connect or read timeout
├── ConnectionFailedError     ModelConnectionError                   no connection
├── InterruptedStreamError    ModelConnectionError                   incomplete response
└── InvalidResponseError      ModelAPIError                          not a chat completion
```

`is_retryable` is LangChain's: true if the same request may succeed later. Before langchain-core
1.7.5, which has no `ModelRefusalError`, a `RefusalError` is a `ModelError`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from langchain_core import exceptions as langchain

if TYPE_CHECKING:
    from langchain_core.exceptions import ModelRefusalError
    from langchain_core.messages import AIMessage
else:
    ModelRefusalError = getattr(langchain, "ModelRefusalError", langchain.ModelError)


@dataclass(frozen=True, slots=True)
class FailedResponse:
    """The response of a server. It contains no credential, because the request is left out.

    LangChain's tracers read `status_code`, `headers` and `json()`.

    Attributes:
        status_code: The HTTP status.
        headers: The response headers.
        content: The body.
    """

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def text(self) -> str:
        """The body as UTF-8; invalid bytes become U+FFFD."""
        return self.content.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """Return the body as JSON; lone surrogates, which text cannot contain, become U+FFFD.

        Raises:
            ValueError: The body is not JSON.
        """
        try:
            value = json.loads(self.content)
            text = json.dumps(value, ensure_ascii=False)
        except RecursionError:
            raise ValueError("The body is nested too deeply.") from None
        if text.isascii():
            return value
        return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


@dataclass(frozen=True, slots=True)
class FilterResult:
    """The result of one content filter.

    Attributes:
        category: Azure's name of the filter, such as `"violence"` or `"jailbreak"`.
        filtered: Whether the filter blocked the content.
        severity: `"safe"`, `"low"`, `"medium"` or `"high"`, for filters with severity levels.
        detected: Whether the filter matched, for filters that only detect.
    """

    category: str
    filtered: bool
    severity: str | None = None
    detected: bool | None = None

    @classmethod
    def read(cls, results: Any) -> tuple["FilterResult", ...]:
        """Parse Azure's object of results by category.

        Lists of blocklists become one result. Filters that did not run have none, and invalid
        entries are skipped.
        """
        if not isinstance(results, Mapping):
            return ()
        found = (cls._read_one(str(category), value) for category, value in results.items())
        return tuple(result for result in found if result is not None)

    @classmethod
    def _read_one(cls, category: str, found: Any) -> "FilterResult | None":
        if isinstance(found, list):
            found = {"filtered": any(isinstance(i, Mapping) and i.get("filtered") for i in found)}
        if category in _NOT_RUN or not isinstance(found, Mapping) or found.get("error"):
            return None
        return cls(
            category=category,
            filtered=found.get("filtered") is True,
            severity=found.get("severity"),
            detected=found.get("detected"),
        )


# The code that Azure reports instead of results if its filters could not run.
_NOT_RUN = frozenset({"error", "content_filter_error"})


class UnknownModelWarning(UserWarning):
    """The name of a model is not in the catalog, but resembles one that is."""


class RetiredModelWarning(UserWarning):
    """The request is for a model that Azure no longer serves."""


class AzurePhi3Error(langchain.ModelError):
    """Base class of all errors that this package raises.

    Attributes:
        status_code (int | None): The HTTP status of the model; if a gateway replaced it with 424,
            the original one.
        code (str | None): The server's code of the error, such as `"content_filter"`.
        request_id (str | None): The server's ID of the request, for support tickets.
        response (FailedResponse | None): The response; `None` if there was none.
        body (Any): The response's JSON, or its text if it is not JSON.
        retry_after (float | None): Seconds to wait before the next attempt, as the server requests.
        partial (str | None): The text received before the error.
        usage_metadata (Mapping[str, Any] | None): LangChain's token counts, if the server reported
            them before the error.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        response: FailedResponse | None = None,
        body: Any = None,
        retry_after: float | None = None,
        partial: str | None = None,
        usage_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code
        self.request_id = request_id
        self.response = response
        self.body = body
        self.retry_after = retry_after
        self.partial = partial
        self.usage_metadata = usage_metadata

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException only pickles `args`, which loses keyword arguments.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(
    cls: type[AzurePhi3Error], args: tuple[Any, ...], state: dict[str, Any]
) -> AzurePhi3Error:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidInputError(AzurePhi3Error, langchain.ModelInvalidRequestError, ValueError):
    """The arguments or messages are invalid; nothing was sent."""


class BadRequestError(AzurePhi3Error, langchain.ModelInvalidRequestError):
    """The server rejected the request (400, 405, 413, 415, 422).

    Attributes:
        parameter: The dotted name of the rejected field, if the response names it.
        value: Its value, if the response contains it.
    """

    parameter: str | None = None
    value: Any = None


class ContentFilterError(AzurePhi3Error, langchain.ModelInvalidRequestError):
    """Azure AI Content Safety blocked the prompt or the response.

    Attributes:
        stage: `"prompt"` or `"completion"`.
        filters: Results of the filters, if the response contains them.
    """

    stage: Literal["prompt", "completion"] = "prompt"
    filters: tuple[FilterResult, ...] = ()


class RefusalError(AzurePhi3Error, ModelRefusalError):
    """The model refuses to answer although an object is required.

    Attributes:
        raw_message: The response; its `content_blocks` contain the refusal.
    """

    def __init__(
        self,
        message: str = "The model refuses to answer.",
        *,
        raw_message: "AIMessage | None" = None,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.raw_message = raw_message


class FilteredCompletionError(ContentFilterError, RefusalError):
    """Azure AI Content Safety blocked the response.

    Attributes:
        raw_message: The response received so far; its `content_blocks` contain the refusal.
    """

    stage: Literal["prompt", "completion"] = "completion"


class ContextLengthError(AzurePhi3Error, langchain.ContextOverflowError):
    """The conversation and the requested response exceed the model's context.

    Attributes:
        prompt_tokens: Tokens of the prompt, as reported by the server, or estimated if the
            error was raised before sending; `None` if unknown.
        context: The limit on the tokens of prompt and response together; `None` if unknown.
    """

    prompt_tokens: int | None = None
    context: int | None = None


class AuthenticationError(AzurePhi3Error, langchain.ModelAuthenticationError):
    """The server did not accept the credential (401)."""


class PermissionDeniedError(AzurePhi3Error, langchain.ModelPermissionDeniedError):
    """The credential is valid, but lacks permission (403)."""


class NotFoundError(AzurePhi3Error, langchain.ModelNotFoundError):
    """The route, deployment or model does not exist (404)."""


class RateLimitError(AzurePhi3Error, langchain.ModelRateLimitError):
    """Too many requests or tokens (429); `retry_after` is how long to wait, if reported."""


class ServerError(AzurePhi3Error, langchain.ModelAPIError):
    """The server failed (5xx), or reported an error within a stream."""


class RequestTimeoutError(AzurePhi3Error, langchain.ModelTimeoutError):
    """Connecting, the response, or the next chunk of a stream took too long."""


class ConnectionFailedError(AzurePhi3Error, langchain.ModelConnectionError):
    """The connection could not be made, or failed before the response started."""


class InterruptedStreamError(AzurePhi3Error, langchain.ModelConnectionError):
    """The response ended early; `partial` is the text received until then."""


class InvalidResponseError(AzurePhi3Error, langchain.ModelAPIError):
    """The server reported success, but the response is not a chat completion."""
