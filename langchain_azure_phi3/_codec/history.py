"""A conversation in words alone: calls and their results told as text turns.

For deployments that refuse tools, or whose chat template drops the turns of tools without a word
(Phi-3-mini's of July 2024). Ids stay on LangChain's side.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_azure_phi3._codec.messages import joined, wire_calls
from langchain_azure_phi3._codec.tool_forms import decoded
from langchain_azure_phi3._codec.tool_prompt import call_text, result_text


def in_words(messages: Sequence[BaseMessage], family: str) -> list[BaseMessage]:
    """The conversation without calls and tool turns.

    Args:
        messages: The conversation.
        family: The way of writing calls that the model knows.
    """
    names = {
        call["id"]: call["function"]["name"]
        for message in messages
        if isinstance(message, AIMessage)
        for call in wire_calls(message)
    }
    told: list[BaseMessage] = []
    for is_result, group in groupby(messages, key=_is_result):
        if is_result:
            told.append(_results(list(group), names))
        else:
            told.extend(_told(message, family) for message in group)
    return told


def instructed(messages: Sequence[BaseMessage], text: str) -> list[BaseMessage]:
    """The conversation with instructions at the end of its first system turn, or as one."""
    first = messages[0] if messages else None
    if isinstance(first, SystemMessage):
        said = joined(first, "\n")
        return [SystemMessage(f"{said}\n\n{text}" if said else text), *messages[1:]]
    return [SystemMessage(text), *messages]


def _is_result(message: BaseMessage) -> bool:
    return isinstance(message, ToolMessage | FunctionMessage)


def _told(message: BaseMessage, family: str) -> BaseMessage:
    calls = wire_calls(message) if isinstance(message, AIMessage) else []
    if not calls:
        return message
    made = call_text([(c["function"]["name"], _arguments(c)) for c in calls], family)
    said = joined(message, "")
    return AIMessage(f"{said}\n{made}" if said.strip() else made, name=message.name)


def _arguments(call: dict[str, Any]) -> dict[str, Any]:
    arguments = decoded(call["function"]["arguments"])
    return arguments if isinstance(arguments, dict) else {"": call["function"]["arguments"]}


def _results(messages: list[BaseMessage], names: dict[str, str]) -> HumanMessage:
    """One user turn for the results that stand together."""
    texts = [_result(message, names) for message in messages]
    others = [block for message in messages for block in _media(message)]
    said = "\n\n".join(texts)
    return HumanMessage([{"type": "text", "text": said}, *others] if others else said)


def _result(message: BaseMessage, names: dict[str, str]) -> str:
    identity = getattr(message, "tool_call_id", "")
    name = names.get(identity) or message.name or "that was called"
    said = joined(message.model_copy(update={"content": _texts(message)}), "\n")
    return result_text(name, said, is_error=getattr(message, "status", None) == "error")


def _texts(message: BaseMessage) -> str | list[Any]:
    if isinstance(message.content, str):
        return message.content
    return [block for block in message.content if not _is_media(block)]


def _media(message: BaseMessage) -> Iterator[dict[Any, Any]]:
    """Pictures and sounds in a result: they go into the user's turn."""
    if not isinstance(message.content, str):
        for block in message.content:
            if isinstance(block, dict) and _is_media(block):
                yield block


def _is_media(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in (
        "image",
        "image_url",
        "audio",
        "input_audio",
        "audio_url",
    )
