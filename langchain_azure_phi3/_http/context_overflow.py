"""Recognizes the errors of all servers for prompts that are too long, and reads their numbers."""

import re
from collections.abc import Mapping
from typing import Any

# Azure's codes, and llama.cpp's.
CODES = frozenset({"context_length_exceeded", "tokens_limit_reached", "exceed_context_size_error"})

# vLLM, SGLang, TGI, llama.cpp and llama-cpp-python, Ollama, LM Studio, LiteLLM, GPT4All, TabbyAPI,
# and the hosted services behind gateways.
_WORDS = re.compile(
    r"maximum context length"
    r"|longer than the (?:maximum model|model's context) length"
    r"|context length (?:is|of) only"
    r"|exceed(?:s|ed)?(?: (?:the|this|its|model's|available|configured|allowed|maximum|max)){0,4} "
    r"(?:context[ -](?:length|size|window|limit)|(?:input|sequence|allowed|model) length"
    r"|number of tokens|limit of [\d,]{1,11} tokens)"
    r"|context[ -](?:length|size|window|limit)(?: (?:has|was|been|is)){0,2} exceeded"
    r"|greater than the (?:maximum )?context length|reached context length"
    r"|ContextWindowExceeded"
    r"|(?:prompt|input) (?:is )?too (?:long|large|big)(?! to process)"
    r"|too long to fit into the model"
    r"|n_keep \(\d+\) >= n_ctx|greater than max_seq_len"
    r"|`inputs` must have less than|`inputs` tokens \+ `max_new_tokens` must be"
    r"|multimodal prompt is too long"
    r"|max_tokens must be at least 1, got -",
    re.I,
)
_COUNT = r"(?<![\d,])(\d{1,3}(?:,\d{3}){1,2}|\d{1,9})(?!,?\d)"
_CONTEXT = re.compile(
    r"(?:context (?:length|size|window|limit)(?: (?:is|of))?(?: only)?|model length of|max size:"
    r"|maximum (?:input|allowed|sequence) length|tokens allowed|must be <=|less than|limit of"
    rf"|max_seq_len|session_len|n_ctx|=> \d{{1,9}} >=|\d tokens >) ?\(?{_COUNT}"
    rf"|{_COUNT} (?:maximum context|token limit)",
    re.I,
)
_PROMPT = re.compile(
    rf"{_COUNT}(?: tokens)? (?:in the messages|of text input|from the input)"
    rf"|(?:has|passed|resulted in|contains(?: at least)?) {_COUNT}(?! (?:input )?characters)"
    r"|(?:prompt|input|request|input length|requested tokens|prompt length|token count|n_keep)"
    rf" \(\D{{0,20}}{_COUNT}"
    rf"|(?:keep the first|given:|prompt length(?: of)?|too long:|=>) {_COUNT}",
    re.I,
)


def is_overflow(code: str | None, message: str) -> bool:
    """Whether an error says that the conversation is too long for the model's context."""
    return code in CODES or _WORDS.search(message) is not None


def prompt_tokens(body: Any, message: str) -> int | None:
    """Return the tokens of the prompt, if the server reports them."""
    return _field(body, "n_prompt_tokens") or _number(_PROMPT, message)


def context_tokens(body: Any, message: str) -> int | None:
    """Return the tokens that fit, if the server reports them."""
    return _field(body, "n_ctx") or _number(_CONTEXT, message)


def _field(body: Any, name: str) -> int | None:
    """Return a number that llama.cpp reports in a field of the error."""
    error = body.get("error") if isinstance(body, Mapping) else None
    value = error.get(name) if isinstance(error, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _number(pattern: re.Pattern[str], message: str) -> int | None:
    found = pattern.search(message)
    return None if found is None else int(next(filter(None, found.groups())).replace(",", ""))
