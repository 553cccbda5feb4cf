"""Converts a conversation to the wire's messages, in one pass."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_azure_phi3._request.anthropic_blocks import from_anthropic_blocks
from langchain_azure_phi3._request.content import (
    assistant_text,
    message_tool_calls,
    split_media,
    text_content,
    user_content,
)
from langchain_azure_phi3._request.text_escaping import (
    escape_message_placeholders,
    escape_parts,
    may_take_media,
)
from langchain_azure_phi3._tools.control_tokens import (
    ControlTokens,
    escape_control_tokens,
    escape_split_token,
)
from langchain_azure_phi3._tools.lenient_json import parse_lenient_json
from langchain_azure_phi3._tools.tool_prompt import format_tool_calls, format_tool_result
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.models import Modality, PhiModel, models_accepting

# Roles of LangChain users with a different name in the API. Managed compute rejects `developer`
# with 422.
_ROLES = {"human": "user", "ai": "assistant", "developer": "system"}

# Functions that read the content of a `ChatMessage`, by role, if it may contain more than text.
_READERS: dict[str, Callable[[BaseMessage], str | list[Json]]] = {
    "user": user_content,
    "assistant": assistant_text,
}

_MODALITIES: dict[str, Modality] = {
    "image_url": "image",
    "input_audio": "audio",
    "audio_url": "audio",
}

# The most that chat templates add to a message, and to a conversation.
_MAX_MESSAGE_TOKENS = 4
_MAX_TEMPLATE_TOKENS = 3


@dataclass(frozen=True, slots=True)
class ConversationOptions:
    """The options for converting a conversation for one deployment.

    Attributes:
        model: The Phi that is deployed; `None` for an unknown one, without limits.
        tool_format: The format of tool calls and results in text; `None` if the deployment supports
            native tool messages.
        instructions: Text for the end of the first system message: prompted tools and formats.
        folds_system_messages: Whether the text of system messages is put in front of the next user
            message, for models whose chat template drops the system role.
        control_tokens: Whether control tokens of chat templates are escaped in all texts except
            `instructions`.
        resize_image: Applied to each image part, if given.
    """

    model: PhiModel | None = None
    tool_format: str | None = None
    instructions: str = ""
    folds_system_messages: bool = False
    control_tokens: ControlTokens = "escape"
    resize_image: Callable[[Json], Json] | None = None


class WireConversation(NamedTuple):
    """A conversation in the wire's form.

    Attributes:
        messages: The wire's `messages`.
        max_tokens: Their characters, plus the most that a chat template adds: an upper bound of the
            lowest estimate. `None` if they contain more than plain text.
    """

    messages: list[Json]
    max_tokens: int | None


def to_wire_messages(
    messages: Sequence[BaseMessage], options: ConversationOptions
) -> WireConversation:
    """Convert a conversation to the wire's `messages`.

    Consecutive messages of one role stay separate. Images and audio that tools return are put into
    user messages after the results, because tool messages contain only text.

    Raises:
        InvalidInputError: There is no message, or the deployment does not accept its content.
    """
    writer = _ConversationWriter(options)
    for message in messages:
        writer.add(message)
    return writer.finish()


class _ConversationWriter:
    """Converts LangChain messages one at a time and collects wire messages."""

    def __init__(self, options: ConversationOptions) -> None:
        self._options = options
        self._instructions = options.instructions
        self._wire: list[Json] = []
        self._system_texts: list[str] = []  # folded, for the next user message
        self._result_texts: list[str] = []  # prompted results, for one user message
        self._result_media: list[Json] = []  # user messages with media from native tools
        self._calls = _CallIds()
        self._images_at: list[int] = []  # indexes of wire messages with images
        self._max_tokens: int | None = _MAX_TEMPLATE_TOKENS

    def add(self, message: BaseMessage) -> None:
        """Write one message."""
        if isinstance(message.content, str):
            self._add(message)
        else:
            for each in from_anthropic_blocks(message):
                self._add(each)

    def finish(self) -> WireConversation:
        """Return the complete conversation."""
        if self._result_texts or self._result_media:
            self._flush_results()
        if self._system_texts:
            self._append({"role": "user", "content": ""})
        if not self._wire:
            raise InvalidInputError("There is no message to send: pass at least one.")
        if self._images_at:
            self._drop_older_images()
            self._resize_images()
        return WireConversation(self._wire, self._max_tokens)

    def _add(self, message: BaseMessage) -> None:
        if isinstance(message, ToolMessage | FunctionMessage):
            self._add_result(message)
            return
        if self._result_texts or self._result_media:
            self._flush_results()
        content = message.content
        if isinstance(message, HumanMessage):
            plain = content if isinstance(content, str) else user_content(message)
            wire: Json = {"role": "user", "content": self._escape_content(plain)}
        elif isinstance(message, AIMessage):
            wire = self._assistant(message)
        elif isinstance(message, SystemMessage):
            plain = content if isinstance(content, str) else text_content(message)
            wire = {"role": "system", "content": self._escape(plain)}
        elif isinstance(message, ChatMessage):
            role = _ROLES.get(message.role, message.role)
            plain = _READERS.get(role, text_content)(message)
            wire = {"role": role, "content": self._escape_content(plain)}
        else:
            raise InvalidInputError(
                f"A message of type {type(message).__name__} has no role, so it cannot be sent."
            )
        if message.name:
            wire["name"] = self._escape(message.name)
        self._append(wire)

    @property
    def _escapes(self) -> bool:
        return self._options.control_tokens == "escape"

    def _escape(self, text: str) -> str:
        return escape_control_tokens(text) if "<" in text and self._escapes else text

    def _escape_content(self, content: str | list[Json]) -> str | list[Json]:
        if isinstance(content, str):
            return self._escape(content)
        return escape_parts(content) if self._escapes else content

    def _assistant(self, message: AIMessage) -> Json:
        # "" rather than null: some images return 400 for a call without content.
        text = self._escape(assistant_text(message))
        calls = []
        for call_id, name, arguments in message_tool_calls(message):
            calls.append((self._calls.add(call_id, name), name, arguments))
        if not calls:
            return {"role": "assistant", "content": text}
        if (tool_format := self._options.tool_format) is not None:
            prompted = format_tool_calls(
                [(name, _arguments(arguments)) for _, name, arguments in calls],
                tool_format,
                self._escape,
            )
            return {
                "role": "assistant",
                "content": f"{text}\n{prompted}" if text.strip() else prompted,
            }
        functions = [self._function(*call) for call in calls]
        return {"role": "assistant", "content": text, "tool_calls": functions}

    def _function(self, call_id: str, name: str, arguments: str) -> Json:
        function = {"name": self._escape(name), "arguments": self._escape(arguments)}
        return {"id": self._escape(call_id), "type": "function", "function": function}

    def _add_result(self, message: ToolMessage | FunctionMessage) -> None:
        text, media = split_media(message, self._accepts)
        text = self._escape(text)
        call_id = getattr(message, "tool_call_id", None) or self._calls.match(message.name)
        if self._options.tool_format is not None:
            name = self._calls.names.get(call_id) or message.name or "that was called"
            is_error = getattr(message, "status", None) == "error"
            result = format_tool_result(self._escape(name), text, is_error=is_error)
            self._result_texts.append(result)
            # A user message ends after a result with media, so that each message has the images
            # of one tool at most: Phi-3-vision accepts one image in a message.
            if media:
                text = "\n\n".join(self._result_texts)
                self._result_texts = []
                for wire in self._media_messages(text, media):
                    self._append(wire)
            return
        wire = {"role": "tool", "tool_call_id": self._escape(call_id), "content": text}
        if message.name:
            wire["name"] = self._escape(message.name)
        self._append(wire)
        if media:
            caption = f"What {wire.get('name', 'the tool')} returned:"
            self._result_media += self._media_messages(caption, media)

    def _accepts(self, part: Json) -> bool:
        model = self._options.model
        return model is None or _MODALITIES[part["type"]] in model.modalities

    def _media_messages(self, text: str, media: list[Json]) -> Iterator[Json]:
        """Yield user messages with a text and media, each with as many as the model accepts."""
        model = self._options.model
        limit = (None if model is None else model.images_per_message) or len(media)
        yield {"role": "user", "content": [_text_part(text), *media[:limit]]}
        for start in range(limit, len(media), limit):
            yield {"role": "user", "content": media[start : start + limit]}

    def _flush_results(self) -> None:
        if self._result_texts:
            content = "\n\n".join(self._result_texts)
            self._result_texts = []
            self._append({"role": "user", "content": content})
        for wire in self._result_media:
            self._append(wire)
        self._result_media = []

    def _append(self, wire: Json) -> None:
        if self._instructions:
            wire = self._with_instructions(wire)
        role = wire["role"]
        if self._options.folds_system_messages:
            if role == "system":
                self._system_texts.append(wire["content"])
                return
            if role == "user" and self._system_texts:
                wire["content"] = _prepend(self._take_system_text(), wire["content"])
        is_plain = isinstance(wire["content"], str) and "tool_calls" not in wire
        if not is_plain or "name" in wire or "|>" in wire["content"]:
            wire = self._checked(wire)
        self._wire.append(wire)
        if self._max_tokens is not None:
            size = len(wire["content"]) + _MAX_MESSAGE_TOKENS
            self._max_tokens = self._max_tokens + size if is_plain else None

    def _checked(self, wire: Json) -> Json:
        """A message whose media the model accepts, and whose texts claim no others."""
        if isinstance(wire["content"], list):
            self._check_media(wire["content"])
        if may_take_media(self._options.model):
            wire = escape_message_placeholders(wire)
        return wire

    def _take_system_text(self) -> str:
        text = "\n\n".join(filter(None, self._system_texts))
        self._system_texts = []
        return escape_split_token(text) if self._escapes else text

    def _with_instructions(self, wire: Json) -> Json:
        """Put the instructions at the end of a system message before the first message."""
        text = self._take_instructions()
        if wire["role"] == "system":
            given = wire["content"]
            return {**wire, "content": f"{given}\n\n{text}" if given else text}
        self._append({"role": "system", "content": text})
        return wire

    def _take_instructions(self) -> str:
        text, self._instructions = self._instructions, ""
        return text

    def _check_media(self, parts: list[Json]) -> None:
        """Reject media that the model does not accept, and note the positions of images."""
        model = self._options.model
        images = 0
        for part in parts:
            modality = _MODALITIES.get(part["type"])
            if modality is None:
                continue
            if model is not None and modality not in model.modalities:
                raise InvalidInputError(
                    f"{model.name} does not accept {modality} input. Use one of "
                    f"{', '.join(models_accepting(modality))}."
                )
            images += modality == "image"
        limit = None if model is None else model.images_per_message
        if model is not None and limit is not None and images > limit:
            raise InvalidInputError(
                f"{model.name} accepts {limit} image(s) in a message, and this one has {images}. "
                "Join them into one image, or send each in a separate message."
            )
        if images:
            self._images_at.append(len(self._wire))

    def _drop_older_images(self) -> None:
        """Keep the newest images of a conversation that has more than the model accepts.

        Azure's how-to promises for Phi-3-vision that "only the last image is retained in context";
        the servers reject a conversation with two instead. A message that contained only an older
        image is kept without content, so that the roles still alternate.
        """
        model = self._options.model
        limit = None if model is None else model.images_per_conversation
        if limit is None:
            return
        for index in reversed(self._images_at):
            parts = self._wire[index]["content"]
            images = [at for at, part in enumerate(parts) if part["type"] == "image_url"]
            dropped = set(images[: max(0, len(images) - limit)])
            limit -= len(images) - len(dropped)
            if dropped:
                kept = [part for at, part in enumerate(parts) if at not in dropped]
                self._wire[index]["content"] = kept or ""

    def _resize_images(self) -> None:
        resize = self._options.resize_image
        if resize is None:
            return
        for index in self._images_at:
            wire = self._wire[index]
            wire["content"] = [
                resize(part) if part["type"] == "image_url" else part
                for part in wire["content"] or ()
            ] or ""


class _CallIds:
    """Ids of the conversation's tool calls, generated for calls without one.

    Attributes:
        names: The tool of each call, by the call's id.
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._generated: list[str] = []  # ids of calls without a result so far

    def add(self, call_id: str | None, name: str) -> str:
        """Return the id of a call: its own, or a generated one, unique in the conversation."""
        if call_id:
            self.names[call_id] = name
            return call_id
        number = len(self.names)
        while (generated := f"call_{name}_{number}") in self.names:
            number += 1
        self._generated.append(generated)
        self.names[generated] = name
        return generated

    def match(self, name: str | None) -> str:
        """Return the generated id of the oldest call of a tool without a result."""
        for call_id in self._generated:
            if self.names[call_id] == name:
                self._generated.remove(call_id)
                return call_id
        return f"call_{name}"


def _arguments(arguments: str) -> Json:
    found = parse_lenient_json(arguments)
    return found if isinstance(found, dict) else {"": arguments}


def _text_part(text: str) -> Json:
    return {"type": "text", "text": text}


def _prepend(text: str, content: str | list[Json]) -> str | list[Json]:
    if not text or not content:
        return text or content
    if isinstance(content, str):
        return f"{text}\n\n{content}"
    return [_text_part(text), *content]
