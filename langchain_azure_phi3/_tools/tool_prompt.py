"""Tools described in words, for models that take none on the wire.

Written for a model of four billion parameters with 4,096 tokens of context: every sentence is one
that such a model needs.
"""

import json
from collections.abc import Iterable, Sequence

from langchain_azure_phi3._tools.schema_compaction import compact_schema, to_compact_json
from langchain_azure_phi3._tools.tools import Tool
from langchain_azure_phi3._types import Json

# Trained on tools: the list between <|tool|> tags at the end of the system turn, calls as an array
# between <|tool_call|> tags (model card and chat template of Phi-4-mini-instruct; llama.cpp#12288).
# The others were not trained on tools (ollama#9647), and know JSON.
_TRAINED = ("phi-4-mini", "phi-4-multimodal")

_MAX_QUOTED = 300
_AUTO = (
    "If you need a tool to answer, write only the call, with no other words:\n{form}\n"
    "{several} {arguments}\n"
    "The result comes in the next message; answer from it.\n"
    "If you need no tool, answer in ordinary words, without JSON."
)
_DEMANDED = (
    "You must call {which} now. Write only the call, with no other words:\n{form}\n{arguments}"
)
_ARGUMENTS = "Use only the arguments listed; give all that are required."


def instructions(tools: Sequence[Tool], *, choice: str, tool_format: str) -> str:
    """The text, for the system turn's end, that tells a model its tools and how to call one.

    Args:
        tools: Those on offer.
        choice: `"auto"`, `"any"`, or the name of the tool that must be called.
        tool_format: The model's family or name in the catalogue, such as `"phi-4-mini"`.
    """
    named = [tool for tool in tools if tool.name == choice]
    listed = _listed(named or tools, tool_format)
    text = _how(choice, tool_format)
    if is_trained(tool_format):
        return f"{text}\n{listed}"
    return f"You have these tools:\n{listed}\n\n{text}"


def format_tool_calls(calls: Iterable[tuple[str, Json]], tool_format: str) -> str:
    """An assistant's turn that made these calls, each `(name, arguments)`, as it had to."""
    written = [
        json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
        for name, arguments in calls
    ]
    if is_trained(tool_format):
        return f"<|tool_call|>[{', '.join(written)}]<|/tool_call|>"
    return "\n".join(written)


def format_tool_result(name: str, content: str, *, is_error: bool = False) -> str:
    """A tool's result as a user says it; several can stand in one turn, a line apart."""
    said = f"The tool {name} failed" if is_error else f"Result of the tool {name}"
    return f"{said}:\n{content}" if content.strip() else f"{said}, without any text."


def correction(problem: str, *, wrote: str = "", choice: str, tool_format: str) -> str:
    """The user's turn that asks again.

    Args:
        problem: What was wrong, a sentence.
        wrote: The text to quote as wrong; long ones are shortened.
        choice: As for `instructions`.
        tool_format: As for `instructions`.
    """
    asked = f"Write the corrected call only, with no other words:\n{_form(choice, tool_format)}"
    return f"{quote_rejected(wrote, _MAX_QUOTED)}\n{problem}\n{asked}"


def quote_rejected(wrote: str, longest: int) -> str:
    """The beginning of a correction; quotes so many characters at most."""
    quoted = wrote.strip()
    if quoted == "":
        return "That cannot be used."
    shown = quoted if len(quoted) <= longest else f"{quoted[:longest]}..."
    return f"That cannot be used. You wrote:\n{shown}"


def is_trained(tool_format: str) -> bool:
    """Whether the models of a family were trained on tools of their own format."""
    return tool_format.casefold().startswith(_TRAINED)


def _how(choice: str, tool_format: str) -> str:
    form = _form(choice, tool_format)
    if choice == "auto":
        several = (
            "Several calls go into the one list."
            if is_trained(tool_format)
            else "Several calls: one on each line."
        )
        return _AUTO.format(form=form, several=several, arguments=_ARGUMENTS)
    which = "one of the tools" if choice == "any" else f"the tool {choice}"
    return _DEMANDED.format(which=which, form=form, arguments=_ARGUMENTS)


def _form(choice: str, tool_format: str) -> str:
    """How to write a call. Without real values: small models copy those of an example."""
    name = "TOOL" if choice in ("auto", "any") else choice
    return format_tool_calls([(name, {"ARGUMENT": "VALUE"})], tool_format)


def _listed(tools: Sequence[Tool], tool_format: str) -> str:
    described = [to_compact_json(_description(tool)) for tool in tools]
    if is_trained(tool_format):
        return f"<|tool|>[{','.join(described)}]<|/tool|>"
    return "\n".join(described)


def _description(tool: Tool) -> Json:
    description = " ".join(tool.description.split())
    # Pydantic repeats a model's docstring in its schema.
    parameters = {
        key: value
        for key, value in compact_schema(tool.parameters).items()
        if (key, value) != ("description", description)
    }
    told = {"description": description} if description else {}
    return {"name": tool.name, **told, "parameters": parameters}
