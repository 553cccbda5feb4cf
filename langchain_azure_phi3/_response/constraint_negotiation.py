"""Finds out, request by request, which form of a constraint a deployment accepts."""

import json
import logging
import re
from typing import Literal

from langchain_azure_phi3._request.constraints import (
    Constraint,
    Forms,
    constraint_fields,
    constraint_headers,
)
from langchain_azure_phi3._types import DeploymentFacts, Json
from langchain_azure_phi3.errors import (
    AzurePhi3Error,
    BadRequestError,
    ContentFilterError,
    ServerError,
)

logger = logging.getLogger(__name__)

_READ = 10_000  # of the body of an error

# vLLM before 0.6.4, and managed compute without the header. Both may quote the schema.
_REJECTED_PARAMETER = re.compile(r"extra_forbidden|extra inputs|extra parameter", re.I)
# llama.cpp: "failed to parse grammar", "JSON schema conversion failed", "JSON schema error at #";
# vLLM: "features not supported by xgrammar"; OpenAI: "Invalid schema for response_format".
_REJECTED_SCHEMA = re.compile(
    r"grammar|outlines|schema conversion|schema error|(?:invalid|unsupported) (?:json )?schema|"
    r"json schema contains|schema feature",
    re.I,
)
_NAMES = {
    "response_format": re.compile(r"response_format|json_schema|json_object"),
    "guided_json": re.compile(r"guided_json|guided_decoding"),
    "structured_outputs": re.compile(r"structured_outputs"),
}

Rejection = Literal["schema", "unclear"] | Forms
"""The schema, these forms, or something that the server does not name."""


class ConstraintNegotiation:
    """Decides in which form the next request of a call sends its constraint.

    A form or schema that a server rejects is not sent to its deployment again in this process. If
    an error does not name what it rejects, the rejection is remembered only once the same request
    succeeds without the constraint.

    Attributes:
        forms: The forms in the next request; empty for no constraint.
    """

    def __init__(self, constraint: Constraint, facts: DeploymentFacts) -> None:
        self._constraint = constraint
        self._rejected = facts.rejected_constraints
        self._suspected: list[Forms] = []
        self.forms = self._next_forms()

    @property
    def fields(self) -> Json:
        """The fields to add to the payload."""
        return constraint_fields(self.forms, self._constraint.schema)

    @property
    def headers(self) -> dict[str, str]:
        """The headers to send with them."""
        return constraint_headers(self.forms)

    def drop(self, error: AzurePhi3Error) -> bool:
        """Whether the request failed because of its constraint; then, set the next `forms`."""
        rejection = find_rejection(error, self.forms)
        if rejection is None:
            return False
        if rejection == "unclear":
            self._suspected.append(self.forms)
        elif rejection == "schema":
            self._remember([self.forms], self.forms, json.dumps(self._constraint.schema))
        else:
            attempts = self._constraint.attempts
            self._remember([f for f in attempts if not set(f).isdisjoint(rejection)], rejection)
        self.forms = self._next_forms()
        return True

    def confirm(self) -> None:
        """Record that the last request succeeded."""
        for forms in self._suspected:
            self._remember([forms], forms)
        self._suspected.clear()

    def constrained_by(self, text: str, *, truncated: bool) -> str | None:
        """Return the forms that constrained a response; `None` if its text shows that none did.

        Servers that ignore a parameter do not report this.
        """
        return ",".join(self.forms) if self.forms and _is_json(text, truncated=truncated) else None

    def _next_forms(self) -> Forms:
        return next(filter(self._is_open, self._constraint.attempts), ())

    def _is_open(self, forms: Forms) -> bool:
        if forms in self._suspected:
            return False
        rejected = self._rejected
        if not rejected:
            return True
        schema = json.dumps(self._constraint.schema)
        return (forms, None) not in rejected and (forms, schema) not in rejected

    def _remember(self, combinations: list[Forms], named: Forms, schema: str | None = None) -> None:
        new = {(forms, schema) for forms in combinations} - self._rejected
        if not new:
            return
        self._rejected.update(new)
        which = "" if schema is None else " with this schema"
        logger.warning(
            "The server rejects %s%s: later requests to this deployment are sent without it.",
            " and ".join(named),
            which,
        )


def find_rejection(error: AzurePhi3Error, forms: Forms) -> Rejection | None:
    """Find the part of a constraint that a server rejected; `None` if the error has another reason.

    llama-cpp-python responds to an unknown `response_format` with 500. Managed compute's server
    0.1.8 responds to every error of its engine with an empty, filtered choice.
    """
    if isinstance(error, ContentFilterError) and error.stage == "completion":
        return "unclear" if forms and not error.partial and not error.filters else None
    is_rejection = isinstance(error, BadRequestError) and error.status_code in (400, 422)
    is_failure = isinstance(error, ServerError) and error.status_code == 500
    if not forms or not (is_rejection or is_failure):
        return None
    text = str(error)
    if error.response is not None:
        text = error.response.content[:_READ].decode("utf-8", "replace")
    named = tuple(form for form in forms if _NAMES[form].search(text))
    if named and _REJECTED_PARAMETER.search(text):
        return named
    if _REJECTED_SCHEMA.search(text):
        return "schema"
    if named:
        return named
    # An error that names another parameter has nothing to do with the constraint.
    is_unclear = isinstance(error, BadRequestError) and error.parameter is None
    return "unclear" if is_unclear else None


def _is_json(text: str, *, truncated: bool) -> bool:
    if truncated:
        return text.lstrip()[:1] in ("", "{", "[")
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
