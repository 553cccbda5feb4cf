"""`PhiDecisions` with llama.cpp's server and a weak base model."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelChoice, ModelRouterMiddleware
from langchain_core.decisions import Choice, ClassifierResponse, Noul, Score

from langchain_azure_phi3 import ChatAzurePhi3, PhiDecisions
from tests.third_party.llama_server import LlamaServer

ANIMAL = Choice(
    instructions="Which animal is it?",
    criteria={"cat": "It meows.", "dog": "It barks.", "fish": None},
)
QUESTIONS = {
    "noul": Noul(instructions="Which answer does the state give?"),
    "choice": ANIMAL,
    "score": Score(instructions="How loud is it?", criteria=["silent", "quiet", "loud"]),
}
HINT = "The answer is {0}. The answer is {0}. The answer is {0}."
MOST_TOKENS = 8  # white space, and the label
# A prompt in the cache was computed in other batches, with other rounding.
NO_CACHE = {"cache_prompt": False}


def model_of(llama: LlamaServer, **settings: Any) -> ChatAzurePhi3:
    """The server's model. The server closes connections that are idle, so requests are retried."""
    return ChatAzurePhi3(**llama.settings(max_retries=2, **settings))


def decisions_of(llama: LlamaServer, **settings: Any) -> PhiDecisions:
    """Decisions by the server's model."""
    return PhiDecisions(chat_model=model_of(llama, model_extras=NO_CACHE, **settings))


def distributions_of(response: ClassifierResponse) -> dict[str, list[float]]:
    """The probabilities of each question's options."""
    choice, score = response.choices["choice"], response.scores["score"]
    return {
        "noul": [1 - response.nouls["noul"].noul, response.nouls["noul"].noul],
        "choice": list(choice.probabilities.values()),
        "score": list(score.probabilities.values()),
    }


async def test_a_base_model_decides(llama: LlamaServer) -> None:
    """With a distribution for each question, the same sync and async, in a few tokens."""
    decisions = decisions_of(llama)
    request: Any = {"state": "The dog barks.", "questions": QUESTIONS}
    response = decisions.invoke(request)

    assert response.choices["choice"].choice == "dog"
    for name, shares in distributions_of(response).items():
        assert sum(shares) == pytest.approx(1), name
        assert all(0 < share < 1 for share in shares), name
    assert response.model == "gemma-3-270m"
    assert response.usage is not None
    assert response.usage["output_tokens"] <= MOST_TOKENS * len(QUESTIONS)
    again = distributions_of(await decisions.ainvoke(request))
    for name, shares in distributions_of(response).items():
        assert shares == pytest.approx(again[name], rel=0.05), name


def test_hints_raise_the_probability_of_their_option(llama: LlamaServer) -> None:
    """The state repeats one label: that option is more likely than with any other state."""
    decisions = decisions_of(llama)
    found = []
    for label in range(3):
        request: Any = {"state": HINT.format(label), "questions": {"choice": ANIMAL}}
        answer = decisions.invoke(request).choices["choice"]
        found.append(list(answer.probabilities.values()))

    for label in range(3):
        shares = [probabilities[label] for probabilities in found]
        assert shares.index(max(shares)) == label, found


def test_constraint_does_not_change_the_probabilities(llama: LlamaServer) -> None:
    """They are the engine's own, before it removes what the grammar forbids."""
    request: Any = {"state": HINT.format(1), "questions": {"choice": ANIMAL}}
    constrained = decisions_of(llama).invoke(request).choices["choice"]
    free = decisions_of(llama, constrained_decoding="off").invoke(request).choices["choice"]

    assert constrained.probabilities == pytest.approx(free.probabilities, rel=0.05)


def test_more_than_ten_options_are_letters(llama: LlamaServer) -> None:
    """The server constrains the response to one of them, in quotes."""
    criteria: dict[str, Any] = {f"city {n}": None for n in range(12)}
    choice = Choice(instructions="Which city?", criteria=criteria)
    request: Any = {"state": "It is city 3.", "questions": {"choice": choice}}
    answer = decisions_of(llama).invoke(request).choices["choice"]

    assert list(answer.probabilities) == list(criteria)
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.probabilities[answer.choice] == answer.confidence > 0


@pytest.mark.filterwarnings("ignore:The middleware `ModelRouterMiddleware` is in beta")
async def test_model_router_runs_on_the_engine(llama: LlamaServer) -> None:
    """The selected model answers; the probabilities are in the agent's state."""
    models = {n: model_of(llama, max_tokens=n) for n in (2, 3)}
    router = ModelRouterMiddleware(
        choices={
            "dogs": ModelChoice(models[2], "The message is about dogs."),
            "others": ModelChoice(models[3], "All other messages."),
        },
        instructions="Choose by the subject of the message.",
        classifier=decisions_of(llama),
    )
    agent = create_agent(models[2], middleware=[router])
    prompt: Any = {"messages": [("user", "The dog barks.")]}
    for state in (agent.invoke(prompt), await agent.ainvoke(prompt)):
        route = state["model_route"]
        assert sum(route.probabilities.values()) == pytest.approx(1)
        tokens = state["messages"][-1].usage_metadata["output_tokens"]
        assert tokens == (2 if route.choice == "dogs" else 3)
