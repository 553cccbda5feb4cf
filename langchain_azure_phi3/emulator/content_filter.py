"""A content filter that knows a list of phrases instead of a model, and Azure's ways to say so.

Prompts are filtered when any turn contains one of `PROMPT_TRIGGERS`, answers when the last user
turn contains one of `ANSWER_TRIGGERS`; case does not matter.
"""

from collections.abc import Iterable, Mapping

from langchain_azure_phi3.emulator.server_types import SafetyShape
from langchain_azure_phi3.emulator.error_bodies import Refused
from langchain_azure_phi3.emulator.wire import Json

Findings = Mapping[str, str]  # category -> severity, or "detected" where the filter only detects

_GRADED = ("hate", "self_harm", "sexual", "violence")

PROMPT_TRIGGERS: Mapping[str, Findings] = {
    # The two prompts with which Azure's how-tos show a filtered prompt.
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


def found_in(texts: Iterable[str], triggers: Mapping[str, Findings]) -> Findings:
    """What the filter finds; nothing for what is safe."""
    found: dict[str, str] = {}
    for text in texts:
        for phrase, findings in triggers.items():
            if phrase.lower() in text.lower():
                found |= findings
    return found


def content_filter_results(findings: Findings) -> Json:
    """The findings as the API lists them: every graded category, and what was detected."""
    results: Json = {}
    for category in _GRADED:
        severity = findings.get(category, "safe")
        results[category] = {"filtered": severity != "safe", "severity": severity}
    for category, severity in findings.items():
        if severity == "detected":
            results[category] = {"filtered": True, "detected": True}
    return results


def prompt_filter_results(findings: Findings) -> list[Json]:
    """The findings for the one prompt of a request."""
    return [{"prompt_index": 0, "content_filter_results": content_filter_results(findings)}]


_MESSAGE = (
    "The response was filtered due to the prompt triggering Microsoft's content management "
    "policy. Please modify your prompt and retry."
)


def _nested(_: Findings) -> Json:
    error = {"message": _MESSAGE, "type": None, "param": "prompt"}
    return {"error": error | {"code": "content_filter", "status": 400}}


def _flat(_: Findings) -> Json:
    body = {"status": 400, "code": "content_filter", "message": "The response was filtered"}
    return body | {"param": "messages", "type": None}


def _detailed(findings: Findings) -> Json:
    body = _nested(findings)
    body["error"]["innererror"] = {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": content_filter_results(findings),
    }
    return body


def _managed(_: Findings) -> Json:
    message = "request input violates azure ai content safety setting."
    return {"error": {"code": "Bad Request", "message": message, "status": 400}}


def _managed_flat(_: Findings) -> Json:
    return {"error": "Bad Request", "message": _managed({})["error"]["message"]}


_SHAPES = {
    "nested": _nested,
    "flat": _flat,
    "detailed": _detailed,
    "managed": _managed,
    "managed-flat": _managed_flat,
}


def prompt_filtered(findings: Findings, shape: SafetyShape) -> Refused:
    """The error for a filtered prompt."""
    return Refused(400, _SHAPES[shape](findings))
