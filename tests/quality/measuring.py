"""Objects and required calls from each chat model: whether they are right, and what they cost."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema
from langchain_core.messages import AIMessage
from pydantic import TypeAdapter, ValidationError

from tests.quality.contenders import Contender
from tests.third_party.cases import CALLS, ENDLESS, EXPRESSIBLE, INEXPRESSIBLE, TOOLS, Case

CASES = (*EXPRESSIBLE, INEXPRESSIBLE, ENDLESS)


@dataclass(frozen=True)
class Outcome:
    """The result of one call.

    Attributes:
        name: The schema, or the tool and the `tool_choice`.
        problem: Why the result is wrong; empty if it is right.
        requests: How many were sent.
        seconds: How long it took.
    """

    name: str
    problem: str
    requests: int
    seconds: float


def measure_objects(contender: Contender) -> Iterator[Outcome]:
    """One object of each schema."""
    for case in CASES:

        def extract(case: Case = case) -> str:
            schema = contender.model.with_structured_output(case.schema, **contender.arguments)
            return find_problem(case.schema, schema.invoke(case.request))

        yield _measure(case.name, extract, contender)


def measure_calls(contender: Contender) -> Iterator[Outcome]:
    """A call of each tool: required by its name, and required as any of the tools."""
    for expected in CALLS:
        for choice in (expected, "any"):

            def call(expected: str = expected, choice: str = choice) -> str:
                bound = contender.model.bind_tools(TOOLS, tool_choice=choice)
                message = bound.invoke(CALLS[expected])
                return find_call_problem(message, None if choice == "any" else expected)

            yield _measure(f"{expected}, {choice}", call, contender)


def _measure(name: str, run: Callable[[], str], contender: Contender) -> Outcome:
    sent, start = contender.count.value, time.perf_counter()
    try:
        problem = run()
    except Exception as error:  # whatever a chat model raises is its result
        problem = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    return Outcome(name, problem, contender.count.value - sent, seconds)


def find_problem(schema: Any, value: Any) -> str:
    """Why a value is not valid; empty if it is. Instances of the schema were validated."""
    try:
        if isinstance(schema, dict):
            jsonschema.validate(value, schema)
        else:
            TypeAdapter(schema).validate_python(value)
    except (jsonschema.ValidationError, ValidationError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def find_call_problem(message: AIMessage, name: str | None) -> str:
    """Why a response is not a valid call of the tool, or of any tool; empty if it is."""
    tools = {tool.name: tool for tool in TOOLS if name in (None, tool.name)}
    if not message.tool_calls or message.invalid_tool_calls:
        return "There is no valid call."
    for call in message.tool_calls:
        if call["name"] not in tools:
            return f"It calls {call['name']}."
        schema: Any = tools[call["name"]].tool_call_schema
        try:
            schema.model_validate(call["args"])
        except ValidationError as error:
            return f"ValidationError: {error}"
    return ""


@dataclass(frozen=True)
class Summary:
    """The result of many calls.

    Attributes:
        right: How many of them were right.
        count: How many there were.
        requests: How many were sent per call, on average.
        seconds: How long a call took, on average.
    """

    right: int
    count: int
    requests: float
    seconds: float


def summarize(outcomes: list[Outcome]) -> Summary:
    """The result of many calls."""
    count = len(outcomes)
    return Summary(
        right=sum(not outcome.problem for outcome in outcomes),
        count=count,
        requests=sum(outcome.requests for outcome in outcomes) / count,
        seconds=sum(outcome.seconds for outcome in outcomes) / count,
    )


Results = Mapping[str, list[Outcome]]
"""The outcomes by the name of the chat model."""
