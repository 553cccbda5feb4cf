"""Interprets the doctor's results, and writes the report as text and as JSON.

The `check_*` functions convert a server's responses to findings. They send nothing.
"""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from langchain_azure_phi3._model_listing import positive_int
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import (
    AuthenticationError,
    AzurePhi3Error,
    BadRequestError,
    ConnectionFailedError,
    ContentFilterError,
    InvalidInputError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from langchain_azure_phi3.models import PhiModel, find_model

Outcome = Literal["ok", "no", "failed", "skipped"]

_MARKS: Mapping[Outcome, str] = {"ok": "ok", "no": "no", "failed": "FAIL", "skipped": "-"}
_GENERIC_TYPE = "endpoint"  # the endpoint type of an unknown host
_MIN_COLUMNS, _MAX_COLUMNS = 40, 100


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one step of the diagnosis.

    Attributes:
        step: The step, such as `"TLS"`.
        outcome: `"ok"`; `"no"`: not available, and the package works around it; `"failed"`; or
            `"skipped"`: not checked, for the reason in `detail`.
        detail: The server's response, or why the step was skipped.
        advice: What to do, or how the package handles it.
    """

    step: str
    outcome: Outcome
    detail: str
    advice: str = ""

    def as_text(self, columns: int) -> str:
        """Format the finding in lines of 40 to 100 columns, without breaking URLs."""
        return "\n".join(_lines(self, _clamp(columns)))


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """The result of a diagnosis.

    Attributes:
        endpoint: The URL of the endpoint, without its query.
        endpoint_type: The type of endpoint, as inferred from the URL.
        findings: One for each step, in order.
        constructor: Arguments for `ChatAzurePhi3` that fit the endpoint, as Python expressions.
        notes: The sources of the other arguments.
    """

    endpoint: str
    endpoint_type: str
    findings: Sequence[Finding]
    constructor: Mapping[str, str]
    notes: Sequence[str] = ()

    @property
    def usable(self) -> bool:
        """Whether the deployment returned a completion."""
        return any(f.step == "completion" and f.outcome == "ok" for f in self.findings)

    @property
    def call(self) -> str:
        """The constructor call, as Python."""
        arguments = [f"    {name}={value}," for name, value in self.constructor.items()]
        return "\n".join(["model = ChatAzurePhi3(", *arguments, ")"])

    def as_json(self) -> str:
        """Return the attributes, `usable` and `call`, as a JSON object."""
        call = self.call if self.usable else None
        fields = asdict(self) | {"usable": self.usable, "call": call}
        return json.dumps(fields, ensure_ascii=False, indent=2)

    def as_text(self, columns: int) -> str:
        """Format the complete report in lines of 40 to 100 columns, without breaking URLs."""
        findings = [finding.as_text(columns) for finding in self.findings]
        return "\n".join([*findings, "", self.summary(columns)])

    def summary(self, columns: int) -> str:
        """Format whether the endpoint is usable, and the constructor call to use."""
        return "\n".join(self._summary_lines(_clamp(columns)))

    def _summary_lines(self, columns: int) -> list[str]:
        if not self.usable:
            failed = next((f.step for f in self.findings if f.outcome == "failed"), "completion")
            is_generic = self.endpoint_type == _GENERIC_TYPE
            endpoint = self.endpoint if is_generic else f"{self.endpoint} ({self.endpoint_type})"
            return [f"Not usable: {endpoint}. See {failed} above."]
        notes = [line for note in self.notes for line in textwrap.wrap(f"# {note}", columns - 4)]
        code = "\n".join(["from langchain_azure_phi3 import ChatAzurePhi3", "", *notes, self.call])
        return [
            f"Usable: {self.endpoint} ({self.endpoint_type}).",
            "",
            *textwrap.indent(code, "    ").splitlines(),
        ]


def _clamp(columns: int) -> int:
    return max(_MIN_COLUMNS, min(columns, _MAX_COLUMNS))


def _lines(finding: Finding, columns: int) -> Iterable[str]:
    head = f"  {_MARKS[finding.outcome]:<5} {finding.step:<17} "
    margin = " " * len(head)
    yield from textwrap.wrap(
        finding.detail,
        columns,
        initial_indent=head,
        subsequent_indent=margin,
        break_on_hyphens=False,
        break_long_words=False,  # URLs are copied
    )
    yield from textwrap.wrap(
        finding.advice, columns, initial_indent=margin, subsequent_indent=margin
    )


def skipped(step: str, reason: str) -> Finding:
    """Return the finding for a step that was not checked."""
    return Finding(step, "skipped", reason)


def inconclusive(step: str, error: AzurePhi3Error) -> Finding:
    """Return the finding for a step without a result, because of another error."""
    return Finding(step, "failed", one_line(error), advice(error))


def one_line(error: AzurePhi3Error) -> str:
    """Return an error's message on one line."""
    return " ".join(str(error).split())


def is_refusal(error: AzurePhi3Error) -> bool:
    """Whether the server rejected the request, rather than being slow, busy or faulty."""
    return isinstance(error, BadRequestError | NotFoundError | ContentFilterError)


# -- failed requests -----------------------------------------------------------------------------

# The step that an error belongs to; all other errors belong to "completion".
_FAILED_STEPS: Mapping[type[AzurePhi3Error], str] = {
    AuthenticationError: "sign-in",
    PermissionDeniedError: "sign-in",
    NotFoundError: "route",
    InvalidResponseError: "route",
    ConnectionFailedError: "route",
}

_NO_MODEL_CODE = "no_model_name"  # from Foundry
NO_CREDENTIAL = (
    "The endpoint requires a credential, and none was given. Set AZURE_INFERENCE_CREDENTIAL to its "
    "key, or sign in with --entra."
)
RETIRED = (
    "Serverless deployments of Phi-3 and Phi-3.5 were retired on 2025-08-30. Deploy Phi-4, or the "
    "same model on managed compute or on your own server."
)

MODELS_ROUTE = (
    "Azure announced the end of the /models route for 2026-08-26; its successor is /openai/v1."
)

_ADVICE: Mapping[type[AzurePhi3Error], str] = {
    AuthenticationError: "The endpoint exists, but does not accept this credential.",
    PermissionDeniedError: "The credential is valid, but has no permission for this deployment.",
    NotFoundError: "The host responds, but has no such deployment or path.",
    InvalidResponseError: "The URL does not respond like a model: it may be a web page, a sign-in "
    "page or a proxy.",
    ConnectionFailedError: "The host is reachable, but closes the connection without a response.",
    RateLimitError: "The deployment works, but has reached its rate limit. The package waits as "
    "long as the server requests, up to max_retry_wait, and retries.",
    RequestTimeoutError: "The deployment exists, but did not respond in time: try again with a "
    "larger --timeout.",
    ServerError: "The deployment exists, but reports an internal error: check its logs. The "
    "package retries max_retries times.",
    ContentFilterError: "The deployment works, but its content filter blocked a harmless "
    "question: check the filter's settings.",
    InvalidInputError: "Nothing was sent. The constructor's arguments model=, deployment= and "
    "api= are --model, --deployment and --api on the command line.",
}


def failed_step(error: AzurePhi3Error) -> str:
    """Return the step in which a request failed: route, sign-in or completion."""
    if _is_missing_credential(error):
        return "sign-in"
    return _find(_FAILED_STEPS, error, "completion")


def advice(error: AzurePhi3Error) -> str:
    """Explain a failed request, and what to do."""
    if _is_missing_credential(error):
        return _ADVICE[AuthenticationError]
    if error.code == _NO_MODEL_CODE:
        return "This endpoint serves several models. Choose one with --model."
    return _find(_ADVICE, error, "The deployment exists, but rejects a plain question.")


def _find(table: Mapping[type[AzurePhi3Error], str], error: AzurePhi3Error, default: str) -> str:
    """Return the text for the class of an error, or for its base class."""
    return next((table[each] for each in type(error).__mro__ if each in table), default)


def _is_missing_credential(error: AzurePhi3Error) -> bool:
    # Serverless endpoints return 400 for a missing header (big-AGI#608, semantic-kernel#8624).
    return isinstance(error, BadRequestError) and "authorization" in str(error).lower()


# -- capabilities --------------------------------------------------------------------------------


def check_model(phi: PhiModel | None, context: int | None, *, retires: bool) -> Finding:
    """Report which Phi the deployment is, and when it retires.

    Args:
        phi: The model, if it is known.
        context: Its context, if the server reports it.
        retires: Whether Azure serves it, so that it can be retired.
    """
    reported = "" if context is None else f", a context of {context:,} tokens on this server"
    if phi is None:
        detail = f"the name is not in the catalog{reported}"
        return Finding("model", "no", detail, "Pass base_model=, so that its limits are known.")
    known = reported or f", a context of {phi.context:,} tokens"
    return Finding("model", "ok", f"{phi.name}{known}", _retirement(phi) if retires else "")


def _retirement(phi: PhiModel) -> str:
    if phi.retired is not None:
        return f"Azure retired its deployments on {phi.retired}: use {phi.replacement}."
    if phi.retires is not None:
        return f"Azure retires it on {phi.retires}, according to {phi.retires_source}."
    return ""


def props_context(body: Json) -> int | None:
    """Return the context in llama.cpp's `/props`."""
    settings = body.get("default_generation_settings")
    return positive_int(settings.get("n_ctx")) if isinstance(settings, dict) else None


def check_usage(by_default: bool, on_request: bool | None, *, in_responses: bool) -> Finding:
    """Report whether streams contain token counts.

    Args:
        by_default: Whether they do with the package's default settings.
        on_request: Whether they do with `stream_usage=True`; `None` if the server rejects it.
        in_responses: Whether complete responses do.
    """
    if by_default:
        return Finding("usage in streams", "ok", "streams report token counts")
    if on_request:
        return Finding(
            "usage in streams",
            "ok",
            "streams report token counts on request",
            "Pass stream_usage=True; the call below has it.",
        )
    reason = "rejected" if on_request is None else "not reported, although requested"
    return Finding(
        "usage in streams",
        "no",
        f"token counts: {reason}",
        "usage_metadata of streamed messages is None."
        + (" invoke() has it." if in_responses else ""),
    )


def check_extra_parameters(logprobs: bool | AzurePhi3Error) -> Finding:
    """Report whether the server accepts a parameter outside the API's schema."""
    if isinstance(logprobs, AzurePhi3Error):
        if not is_refusal(logprobs):
            return inconclusive("extra parameters", logprobs)
        return Finding(
            "extra parameters",
            "no",
            one_line(logprobs),
            "logprobs, top_logprobs, logit_bias, n and model_extras raise BadRequestError here.",
        )
    if logprobs:
        return Finding("extra parameters", "ok", "accepted; log probabilities are returned")
    return Finding(
        "extra parameters",
        "ok",
        "accepted; log probabilities are not returned",
        "Managed compute removes them from each response. Other extra parameters work.",
    )


def check_tools(prompted: bool | AzurePhi3Error, native: bool | AzurePhi3Error) -> Finding:
    """Report whether the model calls tools in the prompt, and tools in the request.

    Each argument is whether the model called the tool, or the error.
    """
    if isinstance(native, AzurePhi3Error):
        detail = f"in the request: {one_line(native)}"
    elif native:
        detail = "accepted in the request, and the model called one"
    else:
        detail = "accepted in the request, but the model called none"
    if native is True:
        text = (
            "Pass tool_calling='native'; the call below has it. Without it, the prompt describes "
            "the tools."
        )
    elif isinstance(prompted, AzurePhi3Error):
        text = f"In the prompt, where bind_tools() puts them, they failed too: {one_line(prompted)}"
    else:
        result = "the model called one" if prompted else "the model called none this time"
        text = f"bind_tools() describes them in the prompt and parses the calls: {result}."
    return Finding("tools", "ok" if native is True else "no", detail, text)


_STRUCTURED_OUTPUT = (
    "with_structured_output() describes the schema in the prompt and validates the response."
)


def check_json_mode(answer: str | AzurePhi3Error, finish_reason: str | None) -> Finding:
    """Report whether `response_format` makes the model write a JSON object."""
    if isinstance(answer, RequestTimeoutError):
        return Finding(
            "JSON mode", "no", "no response in time: the request hangs", _STRUCTURED_OUTPUT
        )
    if isinstance(answer, AzurePhi3Error):
        if not is_refusal(answer):
            return inconclusive("JSON mode", answer)
        return Finding("JSON mode", "no", one_line(answer), _STRUCTURED_OUTPUT)
    if answer.strip() == "":
        detail = f"the response is only white space (finish_reason {finish_reason})"
        return Finding("JSON mode", "no", detail, _STRUCTURED_OUTPUT)
    if _is_object(answer):
        return Finding("JSON mode", "ok", "the response is a JSON object", _STRUCTURED_OUTPUT)
    detail = "accepted, but the response is not a JSON object"
    return Finding("JSON mode", "no", detail, _STRUCTURED_OUTPUT)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def check_image(answer: int | AzurePhi3Error | None, model: str | None) -> Finding:
    """Report whether the model accepts an image.

    Args:
        answer: Tokens of the prompt with the image, if reported; or the error.
        model: The model's name.
    """
    if isinstance(answer, InvalidInputError):
        return Finding(
            "image",
            "no",
            f"{model} accepts text only",
            "The package raises InvalidInputError before it sends an image.",
        )
    if isinstance(answer, AzurePhi3Error):
        if not is_refusal(answer):
            return inconclusive("image", answer)
        text = "A text-only model. Pass model=, and the package rejects images before sending."
        # The advice on paths and names in the message of a 404 would be misleading here.
        detail = "rejected (404)" if isinstance(answer, NotFoundError) else one_line(answer)
        return Finding("image", "no", detail, text)
    cost = "" if answer is None else f"; the prompt has {answer:,} tokens"
    return Finding("image", "ok", f"accepted{cost}")


def check_score_image(error: AzurePhi3Error | None) -> Finding:
    """Report whether `/score` accepts an image; the route does not say why a request fails."""
    if error is None:
        return Finding("image", "ok", "accepted")
    if not isinstance(error, InvalidResponseError | ServerError):
        return check_image(error, None)
    text = (
        "Text-only models behave like this. Pass model=, and the package rejects images before "
        "sending."
    )
    return Finding("image", "no", "/score fails for a prompt with an image", text)


def check_model_name(given: str | None, reported: str | None, known: str | None) -> str:
    """Advise on the name of the model.

    Args:
        given: The user's name for it.
        reported: The name that the deployment reports.
        known: The catalog's name of the reported model, if the catalog contains it.
    """
    if known is None:
        return f"{reported} is not in the catalog: its limits are not checked before sending."
    if given is None:
        return f"Pass model={known!r}, so that the package knows its limits."
    if find_model(given) is None:
        return f"Pass base_model={known!r} too, so that the package knows its limits."
    if given.lower() not in (known.lower(), str(reported).lower()):
        return f"This is not {given}. Check which of the two you want."
    return ""


def describe_certificate(certificate: Mapping[str, Any]) -> str:
    """Describe the issuer and the last day of a certificate from `SSLSocket.getpeercert`."""
    issuer = dict(pair for group in certificate.get("issuer", ()) for pair in group)
    name = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed authority"
    return f"certificate of {name}, valid until {certificate.get('notAfter', 'an unknown date')}"
