"""What is asked of an answer, in words: tools, a format, or both."""

from langchain_azure_phi3._tools import json_extraction, tool_prompt
from langchain_azure_phi3._tools.tool_choice import OutputSpec


def instructions(asked: OutputSpec, tool_format: str) -> str:
    """The text for the system turn; empty where nothing is asked for."""
    texts = []
    if asked.tools:
        texts.append(
            tool_prompt.instructions(
                asked.allowed_tools, choice=asked.choice, tool_format=tool_format
            )
        )
    if asked.schema is not None and not asked.requires_tool_call:
        final = json_extraction.instructions(asked.schema)
        texts.append(f"When you call no tool: {final}" if asked.tools else final)
    return "\n\n".join(texts)
