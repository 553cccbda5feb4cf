"""Prompts that describe tools and formats, for deployments that accept neither in the request.

They are written for a model of four billion parameters with 4,096 tokens of context, so they
contain only sentences that such a model needs.
"""

import json
from collections.abc import Iterable, Sequence

from langchain_azure_phi3._tools import json_extraction
from langchain_azure_phi3._tools.control_tokens import Escape, escape_control_tokens
from langchain_azure_phi3._tools.quoting import quote_headings, quote_rejected
from langchain_azure_phi3._tools.schema_compaction import compact_schema, to_compact_json
from langchain_azure_phi3._tools.tool_choice import ANY, AUTO, OutputSpec
from langchain_azure_phi3._tools.tools import Tool
from langchain_azure_phi3._types import Json

# Trained on tools: the list is between <|tool|> tags at the end of the system message, calls are an
# array between <|tool_call|> tags (model card and chat template of Phi-4-mini-instruct;
# llama.cpp#12288). The others were not trained on tools (ollama#9647), but can write JSON.
_TRAINED = ("phi-4-mini", "phi-4-multimodal")

_MAX_QUOTED = 300
_AUTO = (
    "If you need a tool to answer, write only the call, with no other words:\n{form}\n"
    "{several} {arguments}\n"
    "The result comes in the next message; answer from it.\n"
    "If you need no tool, answer in ordinary words, without JSON."
)
_REQUIRED = (
    "You must call {which} now. Write only the call, with no other words:\n{form}\n{arguments}"
)
_ARGUMENTS = "Use only the arguments listed; give all that are required."


def instructions(
    tools: Sequence[Tool],
    *,
    choice: str,
    tool_format: str,
    escape: Escape = escape_control_tokens,
) -> str:
    """Return the end of the system prompt: the tools, and how to call one.

    Args:
        tools: The tools that may be called.
        choice: `"auto"`, `"any"`, or the name of the tool that must be called.
        tool_format: The model's family or name in the catalog, such as `"phi-4-mini"`.
        escape: Applied to the tools' names, descriptions and schemas, not to the tags around them.
    """
    required = [tool for tool in tools if tool.name == choice]
    descriptions = _describe_tools(required or tools, tool_format, escape)
    text = _describe_calls(choice, tool_format)
    if is_trained(tool_format):
        return f"{text}\n{descriptions}"
    return f"You have these tools:\n{descriptions}\n\n{text}"


def output_instructions(
    spec: OutputSpec, tool_format: str, escape: Escape = escape_control_tokens
) -> str:
    """Return the end of the system prompt for a call's tools and format; empty without either."""
    texts = []
    if spec.tools:
        tools, choice = spec.allowed_tools, spec.choice
        texts.append(instructions(tools, choice=choice, tool_format=tool_format, escape=escape))
    if spec.schema is not None and not spec.requires_tool_call:
        text = escape(json_extraction.instructions(spec.schema))
        texts.append(f"When you call no tool: {text}" if spec.tools else text)
    return "\n\n".join(texts)


def format_tool_calls(
    calls: Iterable[tuple[str, Json]], tool_format: str, escape: Escape = escape_control_tokens
) -> str:
    """Return the assistant message with these calls, each `(name, arguments)`, in prompted form."""
    texts = [
        escape(json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False))
        for name, arguments in calls
    ]
    if is_trained(tool_format):
        return f"<|tool_call|>[{', '.join(texts)}]<|/tool_call|>"
    return "\n".join(texts)


def format_tool_result(name: str, content: str, *, is_error: bool = False) -> str:
    """Return a tool's result for a user message, which can contain several.

    Lines of the content that look like the heading of a result are quoted with `> `, so that no
    tool can write the result of another one.
    """
    name = " ".join(name.split())
    heading = f"The tool {name} failed" if is_error else f"Result of the tool {name}"
    if not content.strip():
        return f"{heading}, without any text."
    return f"{heading}:\n{quote_headings(content)}"


def correction(problem: str, *, wrote: str = "", choice: str, tool_format: str) -> str:
    """Return the user message that asks for a corrected call.

    Args:
        problem: A sentence about the error.
        wrote: The rejected text to quote; shortened if it is long.
        choice: As for `instructions`.
        tool_format: As for `instructions`.
    """
    request = (
        f"Write the corrected call only, with no other words:\n{_call_form(choice, tool_format)}"
    )
    return f"{quote_rejected(wrote, _MAX_QUOTED)}\n{problem}\n{request}"


def is_trained(tool_format: str) -> bool:
    """Whether the models of a family were trained on their own tool format."""
    return tool_format.casefold().startswith(_TRAINED)


def _describe_calls(choice: str, tool_format: str) -> str:
    form = _call_form(choice, tool_format)
    if choice == AUTO:
        several = (
            "Several calls go into the one list."
            if is_trained(tool_format)
            else "Several calls: one on each line."
        )
        return _AUTO.format(form=form, several=several, arguments=_ARGUMENTS)
    which = "one of the tools" if choice == ANY else f"the tool {choice}"
    return _REQUIRED.format(which=which, form=form, arguments=_ARGUMENTS)


def _call_form(choice: str, tool_format: str) -> str:
    """Return the form of a call, without real values, which small models would copy."""
    name = "TOOL" if choice in (AUTO, ANY) else choice
    return format_tool_calls([(name, {"ARGUMENT": "VALUE"})], tool_format)


def _describe_tools(tools: Sequence[Tool], tool_format: str, escape: Escape) -> str:
    descriptions = [escape(to_compact_json(_describe_tool(tool))) for tool in tools]
    if is_trained(tool_format):
        return f"<|tool|>[{','.join(descriptions)}]<|/tool|>"
    return "\n".join(descriptions)


def _describe_tool(tool: Tool) -> Json:
    description = " ".join(tool.description.split())
    # Pydantic repeats a model's docstring in its schema.
    parameters = {
        key: value
        for key, value in compact_schema(tool.parameters).items()
        if (key, value) != ("description", description)
    }
    optional = {"description": description} if description else {}
    return {"name": tool.name, **optional, "parameters": parameters}
