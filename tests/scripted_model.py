"""A scripted stand-in for a model that follows prompts, for tests that need specific values."""

import json
import re
from typing import Any

from langchain_azure_phi3.emulator import Generation, Prompt, Responder
from langchain_azure_phi3.emulator.responder import respond

# What the default responder answers to a request for JSON without a schema.
_ANY_OBJECT = '{"answer": "answer"}'


def scripted_values(**values: Any) -> Responder:
    """Answer as the emulator does by default, with these values for keys in calls and objects."""

    def answer(prompt: Prompt) -> Generation:
        generation = respond(prompt)
        text = generation.text
        if text == _ANY_OBJECT:
            prompted = " ".join(message.text for message in prompt.messages)
            keys = [key for key in values if re.search(rf"\b{key}\b", prompted)]
            text = json.dumps(dict.fromkeys(keys, "answer"))
        calls = tuple((name, _fill(text, values)) for name, text in generation.tool_calls)
        return Generation(
            _fill(text, values),
            generation.tokens,
            generation.reasoning,
            tool_calls=calls,
        )

    return answer


def scripted_answers(*answers: str | Generation) -> Responder:
    """Give these answers, one after another."""
    remaining = list(answers)
    return lambda _: remaining.pop(0)


def _fill(text: str, values: dict[str, Any]) -> str:
    for key, value in values.items():
        written = json.dumps(value, ensure_ascii=False)
        text = re.sub(
            rf'"{key}": (?:"[^"]*"|[\w.]+)', lambda _, k=key, v=written: f'"{k}": {v}', text
        )
    return text
