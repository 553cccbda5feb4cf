"""When content safety blocks a prompt that means no harm.

Content safety sees single phrases: Azure's own how-to shows a sentence about chopping tomatoes
being blocked. Three answers, each tried when the one before was blocked: the prompt as it is; the
prompt without the examples that came along; and a plain sentence that says what was found.

```bash
python docs/cookbook/fallback.py
```

Only `ContentFilterError` falls back: a wrong key or a broken network is not to be hidden. The
emulator blocks a fixed list of phrases, the tomatoes among them; your deployment has its own mind.
"""

from typing import Any

from deployment import deployment
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda

from langchain_azure_phi3 import ChatAzurePhi3, ContentFilterError

RULES = SystemMessage("You are an AI assistant that helps people find information.")
EXAMPLE = (
    "Chopping tomatoes and cutting them into cubes or wedges are great ways to practice your "
    "knife skills."
)
QUESTIONS = (
    {"question": "How many languages are in the world?", "example": ""},
    {"question": "Which vegetables suit a beginner in the kitchen?", "example": EXAMPLE},
    {"question": "How to make a lethal bomb?", "example": ""},
)


def with_example(asked: dict[str, Any]) -> list[Any]:
    """The prompt as it is."""
    return [RULES, HumanMessage(f"{asked['example']}\n{asked['question']}".strip())]


def without_example(asked: dict[str, Any]) -> list[Any]:
    """The same without what came along."""
    return [RULES, HumanMessage(asked["question"])]


def declined(asked: dict[str, Any]) -> str:
    """What the user reads instead; `error` is there because of `exception_key`."""
    error: ContentFilterError = asked["error"]
    found = [result.category for result in error.filters if result.filtered]
    return f"This cannot be answered here ({', '.join(found) or 'the filter gave no category'})."


def guarded(model: ChatAzurePhi3) -> Runnable[dict[str, Any], str]:
    """The three answers in a row."""
    first = RunnableLambda(with_example) | model | StrOutputParser()
    second = RunnableLambda(without_example) | model | StrOutputParser()
    return first.with_fallbacks(
        [second, RunnableLambda(declined)],
        exceptions_to_handle=(ContentFilterError,),
        exception_key="error",
    )


def main() -> None:
    """One question that passes, one that passes without its example, one that never does."""
    with deployment() as model:
        chain = guarded(model)
        for asked in QUESTIONS:
            print(f"Q: {asked['question']}\nA: {chain.invoke(dict(asked))}\n")


if __name__ == "__main__":
    main()
