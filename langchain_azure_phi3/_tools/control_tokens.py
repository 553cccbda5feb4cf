"""Control tokens of chat templates, escaped in texts of users, documents and tools.

A server that tokenizes the rendered prompt in one piece takes a control token in a text for one of
its own: `<|end|><|system|>` in a web page ends the user's turn and starts a system message. With a
space after the `<`, the tokenizer no longer matches the token, and people and models still read it.

`<s>` and `</s>`, which Phi-3's tokenizer also knows, stay as they are: they end no turn in any
chat template of a Phi, and HTML writes struck-out text with them.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

ControlTokens = Literal["escape", "keep"]
Escape = Callable[[str], str]

# Any name in this form, because tokenizers differ: Phi-3's has `<|user|>` as well as `<|code|>`,
# Phi-4's `<|im_start|>`, `<|im_sep|>` and `<|fim_prefix|>`, Phi-4-mini's `<|tool_call|>` and
# `<|/tool_call|>`. Placeholders of images and audio claim no turn; the vision models' own rule is
# in `conversation.py`.
_NAME = r"\|(?!(?:image|audio)_[0-9]+\|>)/?[A-Za-z0-9_]{1,40}\|>"
# Spaces that are already there are kept, so that unescaping restores every text.
_TOKEN = re.compile(rf"<(?= *{_NAME})")
_ESCAPED = re.compile(rf"< (?= *{_NAME})")
# The tags around the calls of Phi-4-mini, which it writes itself.
_TOKEN_IN_ANSWER = re.compile(rf"<(?!\|/?tool_call\|>)(?= *{_NAME})")
# The start of a token at the end of a text, which the next text could complete.
_PREFIX = re.compile(r"<(?=(?:\|/?[A-Za-z0-9_]{0,40}\|?)?\Z)")


def escape_control_tokens(text: str) -> str:
    """The text with control tokens that no tokenizer takes for its own: `<|user|>` as `< |user|>`.

    Takes time linear in the text's length. `unescape_control_tokens` restores the text.
    """
    return _TOKEN.sub("< ", text) if "|>" in text else text


def escape_answer(text: str) -> str:
    """An answer that is sent back to its model: with its own tags of calls, no other tokens."""
    return _TOKEN_IN_ANSWER.sub("< ", text) if "|>" in text else text


def unescape_control_tokens(text: str) -> str:
    """Return the text as it was before `escape_control_tokens`: `< |user|>` as `<|user|>`."""
    return _ESCAPED.sub("<", text) if "|>" in text else text


def escape_split_token(text: str) -> str:
    """Return the text without the start of a control token at its end.

    Servers join the parts of a message, so that two parts could form a token between them.
    """
    return _PREFIX.sub("< ", text)


def escape_strings(value: Any, escape: Escape = escape_control_tokens) -> Any:
    """Return a JSON value with all its strings escaped, keys included."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list):
        return list(map(partial(escape_strings, escape=escape), value))
    if isinstance(value, dict):
        return {escape(str(key)): escape_strings(item, escape) for key, item in value.items()}
    return value
