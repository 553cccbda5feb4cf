"""What the findings of an examination mean, and how they are told to people and to programs."""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

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

Outcome = Literal["ok", "no", "failed", "skipped"]

# `no` is what the deployment does not have, and the package gets along without.
_SIGNS: Mapping[Outcome, str] = {"ok": "ok", "no": "no", "failed": "FAIL", "skipped": "-"}
_ANY_KIND = "endpoint"
_NARROWEST, _WIDEST = 40, 100  # columns


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step of an examination found.

    Attributes:
        step: What was looked at, such as `"TLS"`.
        outcome: `"ok"`; `"no"`: the deployment does not have it, which the package allows for;
            `"failed"`; `"skipped"`: not looked at, and `found` says why.
        found: What was seen.
        means: What follows for the user, and what the package does about it.
    """

    step: str
    outcome: Outcome
    found: str
    means: str = ""

    def as_text(self, columns: int) -> str:
        """For people, in lines of 40 to 100 columns; what cannot be broken may be longer."""
        return "\n".join(_told(self, _wide(columns)))


@dataclass(frozen=True, slots=True)
class Report:
    """An examination's result.

    Attributes:
        endpoint: What was examined, without its query.
        kind: What kind of endpoint it was taken for.
        findings: In the order of the steps.
        constructor: The arguments for `ChatAzurePhi3` that fit, as Python expressions.
        notes: Where the rest of the arguments comes from.
    """

    endpoint: str
    kind: str
    findings: Sequence[Finding]
    constructor: Mapping[str, str]
    notes: Sequence[str] = ()

    @property
    def usable(self) -> bool:
        """Whether the deployment answered a question."""
        return any(f.step == "completion" and f.outcome == "ok" for f in self.findings)

    def as_json(self) -> str:
        """For programs: an object with what the attributes say, and `usable`."""
        told = asdict(self) | {"usable": self.usable, "call": self.call if self.usable else None}
        return json.dumps(told, ensure_ascii=False, indent=2)

    def as_text(self, columns: int) -> str:
        """For people, in lines of 40 to 100 columns; what cannot be broken may be longer."""
        found = [finding.as_text(columns) for finding in self.findings]
        return "\n".join([*found, "", self.verdict(columns)])

    def verdict(self, columns: int) -> str:
        """What follows from all findings together, for people."""
        return "\n".join(self._verdict(_wide(columns)))

    @property
    def call(self) -> str:
        """The constructor call, as Python."""
        arguments = [f"    {name}={value}," for name, value in self.constructor.items()]
        return "\n".join(["model = ChatAzurePhi3(", *arguments, ")"])

    @property
    def _named(self) -> str:
        # A host that looks like no kind is called just that.
        return self.endpoint if self.kind == _ANY_KIND else f"{self.endpoint} ({self.kind})"

    def _verdict(self, columns: int) -> list[str]:
        if not self.usable:
            failed = next((f.step for f in self.findings if f.outcome == "failed"), "completion")
            return [f"Not usable: {self._named}. See {failed} above."]
        notes = [line for note in self.notes for line in textwrap.wrap(f"# {note}", columns - 4)]
        code = "\n".join(["from langchain_azure_phi3 import ChatAzurePhi3", "", *notes, self.call])
        return [
            f"Usable: {self.endpoint} ({self.kind}).",
            "",
            *textwrap.indent(code, "    ").splitlines(),
        ]


def _wide(columns: int) -> int:
    return max(_NARROWEST, min(columns, _WIDEST))


def _told(finding: Finding, columns: int) -> Iterable[str]:
    head = f"  {_SIGNS[finding.outcome]:<5} {finding.step:<17} "
    yield from textwrap.wrap(
        finding.found,
        columns,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
        break_long_words=False,  # a URL is to be copied
    )
    if finding.means != "":
        margin = " " * len(head)
        yield from textwrap.wrap(
            finding.means, columns, initial_indent=margin, subsequent_indent=margin
        )


def skipped(step: str, why: str) -> Finding:
    """A step that was not taken."""
    return Finding(step, "skipped", why)


# Which step a failed question speaks of; what is not here came from behind the door.
_BLAMED: Mapping[type[AzurePhi3Error], str] = {
    AuthenticationError: "sign-in",
    PermissionDeniedError: "sign-in",
    NotFoundError: "route",
    InvalidResponseError: "route",
    ConnectionFailedError: "route",
}

_NO_MODEL = "no_model_name"  # Foundry's code
NO_CREDENTIAL = (
    "None was given, and the endpoint asks for one: set AZURE_INFERENCE_CREDENTIAL to its key, or "
    "sign in with --entra."
)
RETIRED = (
    "Phi-3 and Phi-3.5 on serverless APIs were retired on 2025-08-30: deploy Phi-4, or the same "
    "model on managed compute or a server of your own."
)

_MEANINGS: Mapping[type[AzurePhi3Error], str] = {
    AuthenticationError: "The endpoint is there, but does not know this credential.",
    PermissionDeniedError: "The credential is known, but may not ask this deployment.",
    NotFoundError: "The host answers, but has no such deployment or path.",
    InvalidResponseError: "Something else than a model answers at this address: a web page, a "
    "sign-in, a proxy.",
    ConnectionFailedError: "The host can be reached, but closes the connection without an answer.",
    RateLimitError: "The deployment is there and knows the credential; it has no room now. The "
    "package waits and tries again, as long as the server asks, up to max_retry_wait.",
    RequestTimeoutError: "The deployment is there, but was too slow for this examination: try "
    "again with a larger --timeout.",
    ServerError: "The deployment is there, but not well: look at its logs. The package tries "
    "again by itself, max_retries times.",
    ContentFilterError: "The deployment works, but its content filter blocked a harmless "
    "question: look at the filter's settings.",
    InvalidInputError: "Nothing was sent. What the constructor calls model=, deployment= and api= "
    "is --model, --deployment and --api here.",
}


def blamed(failure: AzurePhi3Error) -> str:
    """The step that a failed question speaks of: route, sign-in or completion."""
    if _asks_for_a_credential(failure):
        return "sign-in"
    return _BLAMED.get(type(failure), "completion")


def meaning(failure: AzurePhi3Error) -> str:
    """What a failed question means."""
    if _asks_for_a_credential(failure):
        return _MEANINGS[AuthenticationError]
    if failure.code == _NO_MODEL:
        return "One endpoint for several models: name one with --model."
    return _MEANINGS.get(type(failure), "The deployment is there, but refuses a plain question.")


def _asks_for_a_credential(failure: AzurePhi3Error) -> bool:
    # Serverless endpoints answered 400 to a missing header (big-AGI#608, semantic-kernel#8624).
    return isinstance(failure, BadRequestError) and "authorization" in str(failure).lower()


def is_refusal(failure: AzurePhi3Error) -> bool:
    """Whether the server understood and said no, rather than being slow, busy or broken."""
    return isinstance(failure, BadRequestError | NotFoundError | ContentFilterError)


def unclear(step: str, failure: AzurePhi3Error) -> Finding:
    """A step that came to no result, because something else went wrong."""
    return Finding(step, "failed", said(failure), meaning(failure))


def said(failure: AzurePhi3Error) -> str:
    """The failure in one line."""
    return " ".join(str(failure).split())


def of_usage(by_default: bool, when_asked: bool | None, *, whole: bool) -> Finding:
    """Whether streams say what they cost.

    Args:
        by_default: Whether they did, asked as the package asks.
        when_asked: Whether they did with `stream_usage=True`; `None`: refused.
        whole: Whether an answer that was not streamed did.
    """
    if by_default:
        return Finding("usage in streams", "ok", "token counts come with the stream")
    if when_asked:
        return Finding(
            "usage in streams",
            "ok",
            "token counts come when they are asked for",
            "Pass stream_usage=True; it is in the call below.",
        )
    why = "refused" if when_asked is None else "not given, though asked for"
    return Finding(
        "usage in streams",
        "no",
        f"token counts: {why}",
        "usage_metadata of streamed answers is None: nothing is made up."
        + (" invoke() has it." if whole else ""),
    )


def of_extras(logprobs: bool | AzurePhi3Error) -> Finding:
    """What became of a parameter outside the API's schema."""
    if isinstance(logprobs, AzurePhi3Error):
        if not is_refusal(logprobs):
            return unclear("extra parameters", logprobs)
        return Finding(
            "extra parameters",
            "no",
            said(logprobs),
            "logprobs, top_logprobs, logit_bias, n and model_extras raise BadRequestError here.",
        )
    if logprobs:
        return Finding("extra parameters", "ok", "accepted; log-probabilities come back")
    return Finding(
        "extra parameters",
        "ok",
        "accepted; but no log-probabilities come back",
        "Managed compute leaves them out of every answer. Other extras have their effect.",
    )


def of_tools(prompted: bool | AzurePhi3Error, native: bool | AzurePhi3Error) -> Finding:
    """What becomes of tools: described in the prompt, and on the wire."""
    if isinstance(native, AzurePhi3Error):
        found = f"on the wire: {said(native)}"
    elif native:
        found = "taken on the wire, and one was called"
    else:
        found = "taken on the wire, but none was called"
    if native is True:
        means = (
            "Pass tool_calling='native'; it is in the call below. Without it, tools go into the "
            "prompt."
        )
    elif isinstance(prompted, AzurePhi3Error):
        means = f"In the prompt, as bind_tools() does it, it failed too: {said(prompted)}"
    else:
        tried = "one was called" if prompted else "this time the model called none"
        means = f"bind_tools() describes them in the prompt and reads the calls: tried, {tried}."
    return Finding("tools", "ok" if native is True else "no", found, means)


_BY_PROMPT = "with_structured_output() puts the schema into the prompt and checks the answer."


def of_json_mode(answer: str | AzurePhi3Error, finish_reason: str | None) -> Finding:
    """What becomes of `response_format`."""
    if isinstance(answer, RequestTimeoutError):
        return Finding("JSON mode", "no", "no answer in time: it hangs", _BY_PROMPT)
    if isinstance(answer, AzurePhi3Error):
        if not is_refusal(answer):
            return unclear("JSON mode", answer)
        return Finding("JSON mode", "no", said(answer), _BY_PROMPT)
    if answer.strip() == "":
        found = f"only white space comes (finish_reason {finish_reason})"
        return Finding("JSON mode", "no", found, _BY_PROMPT)
    if _is_object(answer):
        return Finding("JSON mode", "ok", "answers with an object", _BY_PROMPT)
    return Finding("JSON mode", "no", "taken, but the answer is no object", _BY_PROMPT)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def of_image(answer: int | AzurePhi3Error | None, model: str | None) -> Finding:
    """What becomes of a picture; `answer` is what the prompt cost with it, in tokens."""
    if isinstance(answer, InvalidInputError):
        return Finding(
            "image",
            "no",
            f"{model} takes text only",
            "The package says so before anything is sent (InvalidInputError).",
        )
    if isinstance(answer, AzurePhi3Error):
        if not is_refusal(answer):
            return unclear("image", answer)
        means = "A text-only model. Pass model=, and the package refuses pictures before sending."
        # A 404's advice on paths and names would lead astray here.
        found = "refused (404)" if isinstance(answer, NotFoundError) else said(answer)
        return Finding("image", "no", found, means)
    cost = "" if answer is None else f"; the prompt counted as {answer:,} tokens"
    return Finding("image", "ok", f"accepted{cost}")


def of_scored_image(answer: AzurePhi3Error | None) -> Finding:
    """What becomes of a picture on `/score`, which does not say why it failed."""
    if answer is None:
        return Finding("image", "ok", "accepted")
    if not isinstance(answer, InvalidResponseError | ServerError):
        return of_image(answer, None)
    means = (
        "So does a text-only model. Pass model=, and the package refuses pictures before sending."
    )
    return Finding("image", "no", "/score gives no answer to a picture", means)


def of_name(given: str | None, told: str | None, known: str | None) -> str:
    """What the model's own name means for the one that was given.

    Args:
        given: The user's.
        told: The deployment's.
        known: What the catalogue calls the told one, if it knows it.
    """
    if known is None:
        return f"The catalogue does not know {told}: its limits are not known before sending."
    if given is None:
        return f"Pass model={known!r}: the package then knows its limits."
    if given.lower() not in (known.lower(), str(told).lower()):
        return f"That is not {given}: check which of the two is meant."
    return ""


def certificate_of(subject: Mapping[str, Any]) -> str:
    """Who issued a certificate, and until when it is valid (`SSLSocket.getpeercert`)."""
    issuer = dict(pair for group in subject.get("issuer", ()) for pair in group)
    name = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed authority"
    return f"certificate of {name}, valid until {subject.get('notAfter', 'an unknown day')}"
