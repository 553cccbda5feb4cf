"""What a model is asked: the turns that it sees, and how the answer was asked for."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_azure_phi3.emulator import counting


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a turn; its size in pixels is `None` when it lies behind an address."""

    size: tuple[int, int] | None

    @property
    def tokens(self) -> int:
        """What it costs in the prompt."""
        width, height = counting.UNSEEN_SIZE if self.size is None else self.size
        return counting.image_tokens(width, height) + counting.IMAGE_FRAME_TOKENS


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: who, its text parts joined by line feeds, its pictures and recordings.

    Attributes:
        answers: The tool whose result it is, where the server takes tools.
        calls: What it costs besides its text: the tool calls that it made, as JSON.
        sent: The message as it arrived, for a persona that hands it on.
    """

    role: str
    text: str
    pictures: tuple[Picture, ...] = ()
    recordings: int = 0
    answers: str | None = None
    calls: str = ""
    sent: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def tokens(self) -> int:
        """What it costs in the prompt."""
        return (
            counting.TURN_TOKENS
            + counting.text_tokens(self.text)
            + counting.text_tokens(self.calls)
            + sum(picture.tokens for picture in self.pictures)
            + self.recordings * counting.AUDIO_TOKENS
        )


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a persona is given.

    Attributes:
        model: The name that answers carry.
        turns: The conversation as far as the model's template shows it.
        choice: Which of `n` answers is wanted, from 0.
        parameters: The request's other fields that reach the model, as they were sent.
        reasons: Whether the model thinks before it answers.
    """

    model: str
    turns: tuple[Turn, ...]
    choice: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reasons: bool = False

    @property
    def tokens(self) -> int:
        """What the conversation costs, with the tools that came beside it."""
        tools = self.parameters.get("tools")
        offered = 0 if tools is None else counting.text_tokens(json.dumps(tools))
        return counting.PROMPT_TOKENS + offered + sum(turn.tokens for turn in self.turns)

    @property
    def last_user_text(self) -> str:
        """The text of the last user turn, or nothing."""
        texts = [turn.text for turn in self.turns if turn.role == "user"]
        return texts[-1] if len(texts) > 0 else ""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a persona says, where the text alone does not say it all.

    Attributes:
        text: Word for word.
        tokens: How many tokens it counts as, at least; `None`: as many as its pieces.
        thoughts: What a reasoning model thinks first.
        calls: The tools that it calls, where the server takes tools: names, and arguments as text.
        cut_off: Whether it ends in the middle, as at a limit of tokens.
        prompt_tokens: How many tokens the prompt counted as; `None`: as the emulator counts.
        final: Whether the text ends where the request's own `stop` and `max_tokens` end it, and
            `tokens` is the exact count: the emulator cuts nothing more.
    """

    text: str
    tokens: int | None = None
    thoughts: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    cut_off: bool = False
    prompt_tokens: int | None = None
    final: bool = False


Persona = Callable[[Prompt], "str | Spoken"]
"""A function that answers: given the prompt, it returns the text, or a `Spoken`."""
