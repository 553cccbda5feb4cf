"""A conversation as wire turns."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic_core import PydanticSerializationError, to_json

from langchain_azure_phi3._request.media_parts import is_medium, medium_part
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError

SystemMessages = Literal["auto", "system", "user"]

# Names of roles that LangChain users write, where the API's own name differs. Managed
# compute answers 422 to `developer`.
_ROLES = {"human": "user", "ai": "assistant", "developer": "system"}

# What a model said besides its text. Thoughts are not sent back, and calls have a field.
_NOT_SPOKEN = frozenset(
    {"reasoning", "thinking", "redacted_thinking", "reasoning_content", "refusal"}
    | {"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "function_call"}
    | {"server_tool_call", "server_tool_call_chunk", "server_tool_result", "non_standard"}
)


def turns(messages: Sequence[BaseMessage], system_messages: SystemMessages = "auto") -> list[Json]:
    """The wire's `messages` for a conversation.

    Args:
        messages: In order; consecutive messages of one role stay apart. Pictures and sounds of
            tools follow their results in user turns, because tool turns hold only text.
        system_messages: `"user"` puts the text of system messages before the user turn that
            follows, for models whose template drops them; else they are sent as they are.

    Raises:
        InvalidInputError: There are none, or one holds what has no place on the wire.
    """
    if not messages:
        raise InvalidInputError("There is no message to send: pass at least one.")
    wire = _wired(messages)
    return list(_folded(wire) if system_messages == "user" else wire)


def with_wire_media(message: BaseMessage) -> BaseMessage:
    """The message with its pictures and sounds as the wire's parts; itself where it has none.

    Raises:
        InvalidInputError: One of them cannot be sent, or a block's type is none.
    """
    if isinstance(message.content, str):
        return message
    for block in message.content:
        # LangChain looks both up in sets, where a list is a TypeError.
        kinds = (block.get("type"), block.get("source_type")) if isinstance(block, dict) else ()
        if not all(isinstance(kind, str | None) for kind in kinds):
            raise _unsendable(block)
    if not media(message):
        return message
    content = [(medium_part(b) if isinstance(b, dict) else None) or b for b in message.content]
    return message.model_copy(update={"content": content})


def is_result(message: BaseMessage) -> bool:
    """Whether a message is what a tool returned."""
    return isinstance(message, ToolMessage | FunctionMessage)


def media(message: BaseMessage) -> list[dict[Any, Any]]:
    """The blocks of a message that are pictures or sounds."""
    if isinstance(message.content, str):
        return []
    return [block for block in message.content if isinstance(block, dict) and is_medium(block)]


def without_media(message: BaseMessage) -> BaseMessage:
    """The message with its other blocks only; itself where these are all."""
    if isinstance(message.content, str):
        return message
    rest = [block for block in message.content if not is_medium(block)]
    return message.model_copy(update={"content": rest})


def _wired(messages: Sequence[BaseMessage]) -> Iterator[Json]:
    """Each message as a turn, what tools have to show behind the last of their results."""
    shown: list[Json] = []
    for message in messages:
        if not is_result(message):
            yield from shown
            shown = []
        yield _turn(message)
        if is_result(message) and (blocks := media(message)):
            said = {"type": "text", "text": f"What {message.name or 'the tool'} returned:"}
            parts = [part for block in blocks for part in _part(block)]
            shown.append({"role": "user", "content": [said, *parts]})
    yield from shown


def _turn(message: BaseMessage) -> Json:
    writer = _WRITERS.get(type(message)) or next(
        (write for kind, write in _WRITERS.items() if isinstance(message, kind)), None
    )
    if writer is None:
        raise InvalidInputError(
            f"A {type(message).__name__} cannot be sent to a model: it has no role."
        )
    turn = writer(message)
    if message.name:
        turn["name"] = message.name
    return turn


def _system(message: BaseMessage) -> Json:
    return {"role": "system", "content": joined(message, "\n")}


def _user(message: BaseMessage) -> Json:
    return {"role": "user", "content": _parts(message)}


def _assistant(message: BaseMessage) -> Json:
    # "" rather than null: some images answer 400 to a call without content.
    turn: Json = {"role": "assistant", "content": joined(message, "")}
    if calls := wire_calls(message):
        turn["tool_calls"] = calls
    return turn


def _tool(message: BaseMessage) -> Json:
    identity = getattr(message, "tool_call_id", None) or f"call_{message.name}"
    said = joined(without_media(message), "\n")
    return {"role": "tool", "tool_call_id": identity, "content": said}


def _any_role(message: BaseMessage) -> Json:
    role = getattr(message, "role", "")
    role = _ROLES.get(role, role)
    content = _parts(message) if role == "user" else joined(message, "\n")
    return {"role": role, "content": content}


_WRITERS: dict[type[BaseMessage], Callable[[BaseMessage], Json]] = {
    HumanMessage: _user,
    AIMessage: _assistant,
    SystemMessage: _system,
    ToolMessage: _tool,
    FunctionMessage: _tool,
    ChatMessage: _any_role,
}


def wire_calls(message: BaseMessage) -> list[Json]:
    """The calls of an assistant turn, the well-formed and the others."""
    if not isinstance(message, AIMessage):
        return []
    calls = [
        _call(call["id"], call["name"], _written(call["name"], call["args"]))
        for call in message.tool_calls
    ]
    calls += [
        _call(call["id"], call["name"] or "", call["args"] or "{}")
        for call in message.invalid_tool_calls
    ]
    legacy = message.additional_kwargs.get("function_call")
    if not calls and isinstance(legacy, dict):
        name = str(legacy.get("name", ""))
        calls.append(_call(None, name, str(legacy.get("arguments") or "{}")))
    return calls


def _written(name: str, arguments: Json) -> str:
    try:
        return to_json(arguments).decode()
    except (PydanticSerializationError, ValueError, RecursionError) as problem:
        raise InvalidInputError(
            f"The arguments of the call of {name!r} cannot be written as JSON: {problem}"
        ) from None


def _call(identity: str | None, name: str, arguments: str) -> Json:
    function = {"name": name, "arguments": arguments}
    return {"id": identity or f"call_{name}", "type": "function", "function": function}


def _parts(message: BaseMessage) -> str | list[Json]:
    """A user turn's content: a string where it is one text, else a list of parts."""
    if isinstance(message.content, str):
        return message.content
    parts = [part for block in message.content for part in _part(block)]
    if not parts:
        return ""
    return str(parts[0]["text"]) if len(parts) == 1 and "text" in parts[0] else parts


def _part(block: str | dict[Any, Any]) -> Iterator[Json]:
    text = _text(block)
    if text:  # An empty text part is a 422 on managed compute.
        yield {"type": "text", "text": text}
    elif text is None:
        part = medium_part(block) if isinstance(block, dict) else None
        if part is None:
            raise _unsendable(block)
        yield part


def joined(message: BaseMessage, separator: str) -> str:
    """The text of a turn whose content can only be a string."""
    if isinstance(message.content, str):
        return message.content
    texts = []
    for block in message.content:
        text = _text(block)
        if text is None and not _is_unspoken(message, block):
            raise _unsendable(block)
        texts.append(text)
    return separator.join(text for text in texts if text)


def _text(block: str | dict[Any, Any]) -> str | None:
    """The text of a block, or `None` where it is no text.

    LangChain's v0 and v1 text blocks, OpenAI's, v1's `text-plain` and v0's text files.
    """
    if isinstance(block, str):
        return block
    text = block.get("text")
    if isinstance(text, str) and block.get("type", "text") in _TEXT_TYPES:
        return text
    return None


_TEXT_TYPES = ("text", "text-plain", "input_text", "output_text")


def _is_unspoken(message: BaseMessage, block: str | dict[Any, Any]) -> bool:
    return (
        isinstance(message, AIMessage)
        and isinstance(block, dict)
        and str(block.get("type")) in _NOT_SPOKEN
    )


def _unsendable(block: str | dict[Any, Any]) -> InvalidInputError:
    kind = block.get("type") if isinstance(block, dict) else type(block).__name__
    if is_medium(block):
        return InvalidInputError(
            f"A content block of type {kind!r} has no place in this message: Phi models are shown "
            "pictures and sounds by the user. Put it into a HumanMessage, or into a ToolMessage."
        )
    return InvalidInputError(
        f"A content block of type {kind!r} has no place in this message. "
        "Send its text as a block of type 'text', or leave it out."
    )


def _folded(wire: Iterable[Json]) -> Iterator[Json]:
    """The turns with system texts put before the user turn that follows each."""
    waiting: list[str] = []
    for turn in wire:
        if turn["role"] == "system":
            waiting.append(turn["content"])
        elif turn["role"] == "user" and waiting:
            yield {**turn, "content": _prefixed("\n\n".join(waiting), turn["content"])}
            waiting = []
        else:
            yield turn
    if waiting:
        yield {"role": "user", "content": "\n\n".join(waiting)}


def _prefixed(text: str, content: str | list[Json]) -> str | list[Json]:
    if isinstance(content, str):
        return f"{text}\n\n{content}"
    return [{"type": "text", "text": text}, *content]
