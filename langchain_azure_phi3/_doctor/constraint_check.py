"""Checks which parameter makes the server restrict decoding to a JSON schema, if any does."""

import json
import secrets
from collections.abc import Callable, Mapping

from langchain_core.messages import AIMessage

from langchain_azure_phi3._doctor.report import Finding, inconclusive, is_refusal, one_line
from langchain_azure_phi3._request.constraints import constraint_fields
from langchain_azure_phi3._types import ConstraintForm, Json
from langchain_azure_phi3.errors import AzurePhi3Error, RequestTimeoutError

STEP = "constraints"

_FORMS: tuple[ConstraintForm, ...] = ("response_format", "structured_outputs", "guided_json")
_PROMPTED = "with_structured_output() describes schemas in the prompt and validates the response."


def find_form(
    invoke: Callable[[Json], AIMessage | AzurePhi3Error],
) -> tuple[ConstraintForm | None, Finding]:
    """Return the form that the server enforces, if any, and the finding.

    The test uses a word that a model would never write without a constraint.

    Args:
        invoke: Sends a question to the model, with these fields in the payload.
    """
    word = f"q{secrets.token_hex(4)}"
    properties: Json = {"word": {"type": "string", "enum": [word]}}
    schema: Json = {
        "type": "object",
        "properties": properties,
        "required": ["word"],
        "additionalProperties": False,
    }
    found: dict[ConstraintForm, str] = {}
    for form in _FORMS:
        answer = invoke(constraint_fields((form,), schema))
        if isinstance(answer, RequestTimeoutError):
            found[form] = "no response in time"
            break
        if isinstance(answer, AzurePhi3Error):
            if not is_refusal(answer):
                return None, inconclusive(STEP, answer)
            found[form] = f"rejected ({one_line(answer)})"
        elif _holds(answer.text, word):
            return form, Finding(STEP, "ok", f"{form} restricts responses to a JSON schema")
        else:
            found[form] = "ignored"
    return None, Finding(STEP, "no", _describe(found), _PROMPTED)


def _holds(text: str, word: str) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("word") == word


def _describe(found: Mapping[ConstraintForm, str]) -> str:
    return "; ".join(f"{form}: {outcome}" for form, outcome in found.items())
