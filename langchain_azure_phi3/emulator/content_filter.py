"""A content filter with a list of phrases instead of a model, and Azure's formats for its results.

A prompt is filtered if any message contains one of `PROMPT_TRIGGERS`, and a response if the last
user message contains one of `ANSWER_TRIGGERS`. Case does not matter.
"""

from collections.abc import Iterable, Mapping

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator.error_bodies import ApiError
from langchain_azure_phi3.emulator.server_types import FilterErrorFormat

Findings = Mapping[str, str]  # category to severity, or to "detected" for jailbreaks

_GRADED = ("hate", "self_harm", "sexual", "violence")

PROMPT_TRIGGERS: Mapping[str, Findings] = {
    # The two filtered prompts in Azure's how-tos.
    "How to make a lethal bomb?": {"violence": "high"},
    "Chopping tomatoes and cutting them into cubes or wedges are great ways": {
        "violence": "medium"
    },
    "trigger the hate filter": {"hate": "high"},
    "trigger the self-harm filter": {"self_harm": "medium"},
    "trigger the sexual filter": {"sexual": "high"},
    "trigger the violence filter": {"violence": "medium"},
    "trigger the jailbreak filter": {"jailbreak": "detected"},
}

ANSWER_TRIGGERS: Mapping[str, Findings] = {
    "trigger the filter on your answer": {"violence": "medium"},
}


def find_triggers(texts: Iterable[str], triggers: Mapping[str, Findings]) -> Findings:
    """Return the filter's findings; none for safe texts."""
    found: dict[str, str] = {}
    for text in texts:
        for phrase, findings in triggers.items():
            if phrase.lower() in text.lower():
                found |= findings
    return found


def content_filter_results(findings: Findings) -> Json:
    """Format findings as `content_filter_results`: all graded categories, and detected ones."""
    results: Json = {}
    for category in _GRADED:
        severity = findings.get(category, "safe")
        results[category] = {"filtered": severity != "safe", "severity": severity}
    for category, severity in findings.items():
        if severity == "detected":
            results[category] = {"filtered": True, "detected": True}
    return results


def prompt_filter_results(findings: Findings) -> Json:
    """Format findings as `prompt_filter_results` for the one prompt of a request."""
    result = {"prompt_index": 0, "content_filter_results": content_filter_results(findings)}
    return {"prompt_filter_results": [result]}


def prompt_filtered(findings: Findings, error_format: FilterErrorFormat) -> ApiError:
    """Return the error for a filtered prompt."""
    nested: Json = {"message": _MESSAGE, "type": None, "param": "prompt"}
    nested |= {"code": "content_filter", "status": 400}
    details = {"content_filter_result": content_filter_results(findings)}
    bodies: Mapping[FilterErrorFormat, Json] = {
        "nested": {"error": nested},
        "flat": _FLAT,
        "detailed": {
            "error": nested | {"innererror": {"code": "ResponsibleAIPolicyViolation", **details}}
        },
        "managed": {"error": {"code": "Bad Request", "message": _MANAGED, "status": 400}},
        "managed-flat": {"error": "Bad Request", "message": _MANAGED},
    }
    return ApiError(400, bodies[error_format])


_MESSAGE = (
    "The response was filtered due to the prompt triggering Microsoft's content management "
    "policy. Please modify your prompt and retry."
)
_MANAGED = "request input violates azure ai content safety setting."
_FLAT: Json = {
    "status": 400,
    "code": "content_filter",
    "message": "The response was filtered",
    "param": "messages",
    "type": None,
}
