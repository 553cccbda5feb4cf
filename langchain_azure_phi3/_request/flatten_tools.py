"""A conversation in words alone: calls and their results told as text turns.

For deployments that refuse tools, or whose chat template drops the turns of tools without a word
(Phi-3-mini's of July 2024). Ids stay on LangChain's side.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from langchain_azure_phi3._request.messages import (
    is_result,
    joined,
    media,
    wire_calls,
    without_media,
)
from langchain_azure_phi3._tools.tool_call_formats import parse_lenient_json
from langchain_azure_phi3._tools.tool_prompt import format_tool_calls, format_tool_result


def in_words(messages: Sequence[BaseMessage], tool_format: str) -> list[BaseMessage]:
    """The conversation without calls and tool turns.

    Args:
        messages: The conversation.
        tool_format: The way of writing calls that the model knows.
    """
    names = {
        call["id"]: call["function"]["name"]
        for message in messages
        if isinstance(message, AIMessage)
        for call in wire_calls(message)
    }
    told: list[BaseMessage] = []
    for are_results, group in groupby(messages, key=is_result):
        if are_results:
            told.extend(_results(group, names))
        else:
            told.extend(_told(message, tool_format) for message in group)
    return told


def instructed(messages: Sequence[BaseMessage], text: str) -> list[BaseMessage]:
    """The conversation with instructions at the end of its first system turn, or as one."""
    first = messages[0] if messages else None
    if isinstance(first, SystemMessage):
        said = joined(first, "\n")
        return [SystemMessage(f"{said}\n\n{text}" if said else text), *messages[1:]]
    return [SystemMessage(text), *messages]


def _told(message: BaseMessage, tool_format: str) -> BaseMessage:
    calls = wire_calls(message) if isinstance(message, AIMessage) else []
    if not calls:
        return message
    made = format_tool_calls([(c["function"]["name"], _arguments(c)) for c in calls], tool_format)
    said = joined(message, "")
    return AIMessage(f"{said}\n{made}" if said.strip() else made, name=message.name)


def _arguments(call: dict[str, Any]) -> dict[str, Any]:
    arguments = parse_lenient_json(call["function"]["arguments"])
    return arguments if isinstance(arguments, dict) else {"": call["function"]["arguments"]}


def _results(messages: Iterable[BaseMessage], names: Mapping[str, str]) -> Iterator[HumanMessage]:
    """User turns for the results that stand together: a turn ends where a tool shows something.

    So each turn holds the pictures of one tool at most, as many as it returned.
    """
    texts: list[str] = []
    for message in messages:
        texts.append(_result(message, names))
        if shown := media(message):
            yield HumanMessage([{"type": "text", "text": "\n\n".join(texts)}, *shown])
            texts = []
    if texts:
        yield HumanMessage("\n\n".join(texts))


def _result(message: BaseMessage, names: Mapping[str, str]) -> str:
    identity = getattr(message, "tool_call_id", "")
    name = names.get(identity) or message.name or "that was called"
    said = joined(without_media(message), "\n")
    return format_tool_result(name, said, is_error=getattr(message, "status", None) == "error")
