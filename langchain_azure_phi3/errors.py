"""Everything that can go wrong, as exceptions that are LangChain's as well.

```
AzurePhi3Error                ModelError
├── InvalidInputError         ModelInvalidRequestError, ValueError   refused here, nothing sent
├── BadRequestError           ModelInvalidRequestError               400, 405, 413, 415, 422
├── ContentFilterError        ModelInvalidRequestError               prompt or answer filtered
├── ContextLengthError        ContextOverflowError                   the conversation is too long
├── AuthenticationError       ModelAuthenticationError               401
├── PermissionDeniedError     ModelPermissionDeniedError             403
├── NotFoundError             ModelNotFoundError                     404
├── RateLimitError            ModelRateLimitError                    429
├── ServerError               ModelAPIError                          5xx
├── RequestTimeoutError       ModelTimeoutError                      408, connect or read timeout
├── ConnectionFailedError     ModelConnectionError                   no connection
├── InterruptedStreamError    ModelConnectionError                   an answer that broke off
└── InvalidResponseError      ModelAPIError                          an answer that is none
```

`is_retryable` is LangChain's: true where the same request may succeed later.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core import exceptions as langchain


@dataclass(frozen=True, slots=True)
class FailedResponse:
    """What a server answered, without the request that asked: it holds no credential.

    LangChain's tracers read `status_code`, `headers` and `json()` from here.
    """

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def text(self) -> str:
        """The body as UTF-8; bytes that are none are shown as U+FFFD."""
        return self.content.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What one content filter found.

    Attributes:
        category: Azure's name for it, such as `"violence"` or `"jailbreak"`.
        filtered: Whether it caused the block.
        severity: `"safe"`, `"low"`, `"medium"` or `"high"`, where the filter grades.
        detected: Whether it matched, for the filters that only detect.
    """

    category: str
    filtered: bool
    severity: str | None = None
    detected: bool | None = None

    @classmethod
    def read(cls, results: Any) -> tuple["FilterResult", ...]:
        """The results in Azure's object of categories; what is not one of them is left out."""
        if not isinstance(results, Mapping):
            return ()
        return tuple(
            cls(
                category=str(category),
                filtered=found.get("filtered") is True,
                severity=found.get("severity"),
                detected=found.get("detected"),
            )
            for category, found in results.items()
            if isinstance(found, Mapping) and "error" not in found
        )


class AzurePhi3Error(langchain.ModelError):
    """Anything that this package raises on purpose.

    Attributes:
        status_code (int | None): The HTTP status that the model gave; unwrapped where a front end
            had replaced it with 424.
        code (str | None): The server's own name for the failure, such as `"content_filter"`.
        request_id (str | None): The server's id of the request, for a support ticket.
        response (FailedResponse | None): What was answered, or `None` when nothing was.
        body (Any): The answer's JSON, or its text where it was none.
        retry_after (float | None): Seconds after which the server asked to try again.
        partial (str | None): The text received before the failure.
        usage_metadata (Mapping[str, Any] | None): LangChain's token counts, where the server gave
            them before failing.
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
        # BaseException pickles by calling the class with `args`, which loses keyword arguments.
        return _restored, (type(self), self.args, self.__dict__.copy())


def _restored(
    cls: type[AzurePhi3Error], args: tuple[Any, ...], state: dict[str, Any]
) -> AzurePhi3Error:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidInputError(AzurePhi3Error, langchain.ModelInvalidRequestError, ValueError):
    """Refused here, before anything was sent."""


class BadRequestError(AzurePhi3Error, langchain.ModelInvalidRequestError):
    """The server refused the request (400, 405, 413, 415, 422).

    Attributes:
        parameter: The request's field that was refused, dotted, where the body names it.
        value: Its value, where the body repeats it.
    """

    parameter: str | None = None
    value: Any = None


class ContentFilterError(AzurePhi3Error, langchain.ModelInvalidRequestError):
    """Azure AI Content Safety blocked the prompt or the answer.

    Attributes:
        stage: `"prompt"` or `"completion"`.
        filters: What each filter found, where the body says so.
    """

    stage: Literal["prompt", "completion"] = "prompt"
    filters: tuple[FilterResult, ...] = ()


class ContextLengthError(AzurePhi3Error, langchain.ContextOverflowError):
    """The conversation and the answer asked for do not fit the model's context.

    Attributes:
        prompt_tokens: What the prompt costs: the server's figure, or the estimate where the
            error was raised before sending; `None` where nobody says.
        context: Tokens that prompt and answer share, likewise.
    """

    prompt_tokens: int | None = None
    context: int | None = None


class AuthenticationError(AzurePhi3Error, langchain.ModelAuthenticationError):
    """The credential was not accepted (401)."""


class PermissionDeniedError(AzurePhi3Error, langchain.ModelPermissionDeniedError):
    """The credential is known but may not do this (403)."""


class NotFoundError(AzurePhi3Error, langchain.ModelNotFoundError):
    """No such route, deployment or model (404)."""


class RateLimitError(AzurePhi3Error, langchain.ModelRateLimitError):
    """Too many requests or tokens (429); `retry_after` says how long, where the server did."""


class ServerError(AzurePhi3Error, langchain.ModelAPIError):
    """The server failed (5xx), or reported a failure in the middle of a stream."""


class RequestTimeoutError(AzurePhi3Error, langchain.ModelTimeoutError):
    """Connecting, the answer, or the next piece of a stream took too long."""


class ConnectionFailedError(AzurePhi3Error, langchain.ModelConnectionError):
    """No connection, or one that broke before an answer began."""


class InterruptedStreamError(AzurePhi3Error, langchain.ModelConnectionError):
    """An answer broke off: `partial` holds the text until then."""


class InvalidResponseError(AzurePhi3Error, langchain.ModelAPIError):
    """The server answered with success, but not with a chat completion."""
