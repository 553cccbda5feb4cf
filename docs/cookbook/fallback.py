"""Fallback from a filtered prompt.

Content safety reacts to single phrases. Azure's own how-to shows a sentence about chopping tomatoes
that is blocked. This program tries three steps, each if the previous one was blocked: the complete
prompt, the prompt without its example, and a message that names the filter's category.

```bash
pip install "langchain-azure-phi3[emulator]"
python fallback.py
```

Only `ContentFilterError` triggers the fallback, because it must not hide a wrong key or a broken
network. The emulator blocks a fixed list of phrases, including the tomatoes. Your deployment
may block others.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda

from langchain_azure_phi3 import ChatAzurePhi3, ContentFilterError
from langchain_azure_phi3.emulator import Emulator

INSTRUCTIONS = SystemMessage("You are an AI assistant that helps people find information.")
EXAMPLE = (
    "Chopping tomatoes and cutting them into cubes or wedges are great ways to practice your "
    "knife skills."
)
REQUESTS = (
    {"question": "How many languages are in the world?", "example": ""},
    {"question": "Which vegetables suit a beginner in the kitchen?", "example": EXAMPLE},
    {"question": "How to make a lethal bomb?", "example": ""},
)
RESPONSES = ("There are about 7,000 languages.", "Carrots and zucchini are easy to cut.")


def build_prompt(request: dict[str, Any]) -> list[Any]:
    """Build the complete prompt."""
    return [INSTRUCTIONS, HumanMessage(f"{request['example']}\n{request['question']}".strip())]


def build_prompt_without_example(request: dict[str, Any]) -> list[Any]:
    """Build the prompt without the example."""
    return [INSTRUCTIONS, HumanMessage(request["question"])]


def decline(request: dict[str, Any]) -> str:
    """Explain that there is no answer; `exception_key` adds the `error`."""
    error: ContentFilterError = request["error"]
    found = [result.category for result in error.filters if result.filtered]
    return f"This cannot be answered here ({', '.join(found) or 'no category reported'})."


def build_chain(model: ChatAzurePhi3) -> Runnable[dict[str, Any], str]:
    """Chain the three steps."""
    first = RunnableLambda(build_prompt) | model | StrOutputParser()
    second = RunnableLambda(build_prompt_without_example) | model | StrOutputParser()
    return first.with_fallbacks(
        [second, RunnableLambda(decline)],
        exceptions_to_handle=(ContentFilterError,),
        exception_key="error",
    )


@contextmanager
def open_model(responses: tuple[str, ...]) -> Iterator[ChatAzurePhi3]:
    """Open your deployment, or else an emulator, which returns scripted responses."""
    if os.environ.get("AZURE_INFERENCE_ENDPOINT"):
        yield ChatAzurePhi3(temperature=0)
        return
    print("AZURE_INFERENCE_ENDPOINT is not set: using an emulator of Phi-3-mini-4k-instruct.\n")
    with Emulator("Phi-3-mini-4k-instruct") as phi:
        phi.script(*responses)
        yield ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model=phi.model, temperature=0
        )


def main() -> None:
    """Send a prompt that passes, one that passes without its example, and one that never passes."""
    with open_model(RESPONSES) as model:
        chain = build_chain(model)
        for request in REQUESTS:
            print(f"Q: {request['question']}\nA: {chain.invoke(dict(request))}\n")


if __name__ == "__main__":
    main()
