"""Escapes control tokens of chat templates in the texts of users, documents and tools.

A server that tokenizes the rendered prompt in one piece treats a control token in a text as its
own: `<|end|><|system|>` in a web page ends the user message and starts a system message. With a
space after the `<`, the tokenizer no longer matches the token, and people and models can still read
it.

`<s>` and `</s>`, which are also tokens of Phi-3's tokenizer, are not escaped: they do not end a
message in any chat template of a Phi, and they are HTML tags for strikethrough.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

ControlTokens = Literal["escape", "keep"]
Escape = Callable[[str], str]

# Any name in this form, because tokenizers differ: Phi-3's has `<|user|>` as well as `<|code|>`,
# Phi-4's `<|im_start|>`, `<|im_sep|>` and `<|fim_prefix|>`, Phi-4-mini's `<|tool_call|>` and
# `<|/tool_call|>`. Placeholders of images and audio cannot forge a message; the rule for vision
# models is in `conversation.py`.
_NAME = r"\|(?!(?:image|audio)_[0-9]+\|>)/?[A-Za-z0-9_]{1,40}\|>"
# Existing spaces are kept, so that unescaping restores every text.
_TOKEN = re.compile(rf"<(?= *{_NAME})")
_ESCAPED = re.compile(rf"< (?= *{_NAME})")
# The tags that Phi-4-mini writes around its calls.
_TOKEN_IN_ANSWER = re.compile(rf"<(?!\|/?tool_call\|>)(?= *{_NAME})")
# The start of a token at the end of a text, which the next text could complete.
_PREFIX = re.compile(r"<(?=(?:\|/?[A-Za-z0-9_]{0,40}\|?)?\Z)")


def escape_control_tokens(text: str) -> str:
    """Escape control tokens so that no tokenizer matches them: `<|user|>` becomes `< |user|>`.

    Takes time linear in the text's length. `unescape_control_tokens` restores the text.
    """
    return _TOKEN.sub("< ", text) if "|>" in text else text


def escape_answer(text: str) -> str:
    """Escape a response that is sent back to its model, except the tags of the model's calls."""
    return _TOKEN_IN_ANSWER.sub("< ", text) if "|>" in text else text


def unescape_control_tokens(text: str) -> str:
    """Undo `escape_control_tokens`: `< |user|>` becomes `<|user|>`."""
    return _ESCAPED.sub("<", text) if "|>" in text else text


def escape_split_token(text: str) -> str:
    """Escape the start of a control token at the end of a text.

    Servers join the parts of a message, so two parts could form a token together.
    """
    return _PREFIX.sub("< ", text)


def escape_strings(value: Any, escape: Escape = escape_control_tokens) -> Any:
    """Escape all strings in a JSON value, keys included."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list):
        return list(map(partial(escape_strings, escape=escape), value))
    if isinstance(value, dict):
        return {escape(str(key)): escape_strings(item, escape) for key, item in value.items()}
    return value
