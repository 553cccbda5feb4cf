"""The prompt that a responder receives and the generation that it returns."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_azure_phi3.emulator import token_counts
from langchain_azure_phi3.emulator._deprecation import renamed_attributes


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a message. `size` is in pixels, or `None` for an image at a URL."""

    size: tuple[int, int] | None

    @property
    def tokens(self) -> int:
        """Its tokens in the prompt."""
        width, height = token_counts.UNKNOWN_IMAGE_SIZE if self.size is None else self.size
        return token_counts.image_tokens(width, height) + token_counts.IMAGE_FRAME_TOKENS


@renamed_attributes(
    pictures="images", recordings="audio_count", answers="tool_name", calls="tool_calls"
)
@dataclass(frozen=True, slots=True)
class Message:
    """One message of the prompt.

    Attributes:
        role: The role in the model's template.
        text: The text parts, joined by line feeds.
        images: The images.
        audio_count: How many audio parts the message has.
        tool_name: The tool whose result this is, on servers that accept tools.
        tool_calls: The tool calls of the message as JSON, or an empty string.
        payload: The message as it was sent.
    """

    role: str
    text: str
    images: tuple[Image, ...] = ()
    audio_count: int = 0
    tool_name: str | None = None
    tool_calls: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def tokens(self) -> int:
        """Its tokens in the prompt."""
        return (
            token_counts.MESSAGE_TOKENS
            + token_counts.text_tokens(self.text)
            + token_counts.text_tokens(self.tool_calls)
            + sum(image.tokens for image in self.images)
            + self.audio_count * token_counts.AUDIO_TOKENS
        )


@renamed_attributes(turns="messages", reasons="has_reasoning")
@dataclass(frozen=True, slots=True)
class Prompt:
    """The argument of a responder.

    Attributes:
        model: The model name in responses.
        messages: The messages that the model's template shows.
        choice: The index of this choice, from 0 to `n - 1`.
        parameters: The other fields of the request that reach the model, as sent.
        has_reasoning: Whether the model writes reasoning before its response.
    """

    model: str
    messages: tuple[Message, ...]
    choice: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    has_reasoning: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of the messages and of the tools in the request."""
        tools = self.parameters.get("tools")
        tools_json = "" if tools is None else json.dumps(tools)
        messages = sum(message.tokens for message in self.messages)
        return token_counts.PROMPT_TOKENS + token_counts.text_tokens(tools_json) + messages

    @property
    def last_user_text(self) -> str:
        """The text of the last user message, or an empty string."""
        texts = [message.text for message in self.messages if message.role == "user"]
        return texts[-1] if len(texts) > 0 else ""


@renamed_attributes(thoughts="reasoning", calls="tool_calls", cut_off="truncated")
@dataclass(frozen=True, slots=True)
class Generation:
    """A response with details that plain text cannot express.

    Attributes:
        text: The content of the response.
        tokens: The minimum number of tokens that the response counts as. Default: counted.
        reasoning: The reasoning that precedes the text.
        tool_calls: Names and JSON arguments of tool calls, on servers that accept tools.
        truncated: Whether the response ended at a token limit.
        prompt_tokens: Tokens of the prompt. Default: counted.
        final: Whether `stop` and `max_tokens` are already applied and `tokens` is exact, as in
            the response of a real model.
        refusal: Why the model refuses, in the field `refusal` of OpenAI's API.
        usage_details: More fields of `usage`: `prompt_tokens_details` (`cached_tokens`,
            `audio_tokens`) and `completion_tokens_details` (`reasoning_tokens`).
    """

    text: str
    tokens: int | None = None
    reasoning: str = ""
    tool_calls: tuple[tuple[str, str], ...] = ()
    truncated: bool = False
    prompt_tokens: int | None = None
    final: bool = False
    refusal: str = ""
    usage_details: Mapping[str, Any] = field(default_factory=dict)


Responder = Callable[[Prompt], "str | Generation"]
"""A function from a `Prompt` to the response: its text, or a `Generation`."""
