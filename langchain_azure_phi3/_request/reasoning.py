"""Switches reasoning on or off if the model or the server has a switch. Pure."""

from collections.abc import Sequence
from typing import Literal

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.errors import InvalidInputError
from langchain_azure_phi3.models import PhiModel

Reasoning = Literal["auto", "on", "off"]


def will_reason(setting: Reasoning, model: PhiModel | None) -> bool:
    """Whether the response is expected to begin with reasoning."""
    return setting == "on" or (setting == "auto" and model is not None and model.reasoning)


def reasoning_fields(
    setting: Reasoning, model: PhiModel | None, *, endpoint: str, has_switch: bool
) -> Json:
    """Return the payload's fields that switch reasoning on or off.

    Args:
        setting: The constructor's `reasoning`.
        model: The Phi that is deployed, if it is known.
        endpoint: The name of the endpoint type in error messages.
        has_switch: Whether its servers pass `chat_template_kwargs` to the chat template, as vLLM
            and llama.cpp do.

    Raises:
        InvalidInputError: Neither the model nor the server has a switch.
    """
    if setting == "auto" or (model is not None and model.reasoning_tokens is not None):
        return {}
    if model is not None and not model.reasoning:
        if setting == "off":
            return {}
        raise InvalidInputError(f"{model.name} cannot reason. Remove reasoning='on'.")
    if not has_switch:
        name = "The model" if model is None else model.name
        raise InvalidInputError(
            f"{name} has no switch for its reasoning, and neither does this type of endpoint "
            f"({endpoint}). Remove reasoning={setting!r}. vLLM and llama.cpp have one, at URLs "
            "that end in /v1."
        )
    return {"chat_template_kwargs": {"enable_thinking": setting == "on"}}


def append_reasoning_token(
    messages: Sequence[Json], setting: Reasoning, model: PhiModel | None
) -> list[Json]:
    """Append the token that switches reasoning, for models that have one."""
    if setting == "auto" or model is None or model.reasoning_tokens is None:
        return list(messages)
    token = model.reasoning_tokens[setting == "off"]
    last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=None)
    if last is None:
        return list(messages)
    content = messages[last]["content"]
    is_text = isinstance(content, str)
    added = f"{content}\n{token}" if is_text else [*content, {"type": "text", "text": token}]
    return [*messages[:last], {**messages[last], "content": added}, *messages[last + 1 :]]
