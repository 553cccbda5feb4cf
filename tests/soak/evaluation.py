"""Whether each call had the right outcome, and whether resource usage levels off."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from langchain_azure_phi3 import AzurePhi3Error
from tests.soak.faults import BY_NAME, FAULTS
from tests.soak.questions import Question, is_streamed

_SHOWN = 120


class Outcome(NamedTuple):
    """How a call ended. It is small, because a run keeps thousands of them.

    Attributes:
        error: The type of its error. `None`: it returned an answer.
        problem: What is wrong with the text received, if anything.
    """

    error: type[Exception] | None = None
    problem: str | None = None


ANSWERED = Outcome()


def check_answer(question: Question, text: str) -> Outcome:
    """The outcome of a call that returned `text`, which may answer another question."""
    if text == question.answer:
        return ANSWERED
    return Outcome(problem=f"returned {text[:_SHOWN]!r}")


def check_error(question: Question, received: str, error: Exception) -> Outcome:
    """The outcome of a call that raised an error after a part of the answer."""
    partial = error.partial if isinstance(error, AzurePhi3Error) else None
    if not question.answer.startswith(received) or not question.answer.startswith(partial or ""):
        return Outcome(type(error), f"received {received[:_SHOWN]!r} and {partial!r:.120}")
    if question.is_streamed and partial is not None and partial != received:
        return Outcome(type(error), f"yielded {received!r:.120}, but has {partial!r:.120}")
    return Outcome(type(error))


def find_problem(
    outcome: Outcome | None, faults: Sequence[str], attempts: int, *, streamed: bool
) -> str | None:
    """What is wrong with the outcome of a call; `None` if it is the only right one.

    Args:
        outcome: How the call ended, if it did.
        faults: The names of the faults of its requests, in order.
        attempts: How many requests one call may send.
        streamed: Whether the call was streamed.
    """
    if outcome is None:
        return "never ended"
    if outcome.problem is not None:
        return outcome.problem
    if len(faults) == 0:
        return "ended without a request"
    *earlier, last = (BY_NAME[name] for name in faults)
    after = f"after {', '.join(faults)}"
    if not all(fault.retries(streamed=streamed) for fault in earlier):
        return f"was retried {after}"
    if len(faults) > attempts:
        return f"sent {len(faults)} requests {after}"
    if outcome.error is not last.error:
        result = "an answer" if outcome.error is None else outcome.error.__name__
        return f"ended in {result} {after}"
    if last.retries(streamed=streamed) and len(faults) < attempts:
        return f"was not retried {after}"
    return None


@dataclass(frozen=True, slots=True)
class Endings:
    """How the calls of a run ended.

    Attributes:
        requests: The number of requests with each fault.
        ends: The number of calls whose last request had each fault.
        wrong: One line for each call with a wrong outcome.
    """

    requests: Counter[str]
    ends: Counter[str]
    wrong: list[str]


def evaluate_calls(
    outcomes: Sequence[Outcome | None], faults: Sequence[Sequence[str]], attempts: int
) -> Endings:
    """Compare every outcome with the faults of the call's own requests."""
    problems = [
        find_problem(outcome, names, attempts, streamed=is_streamed(number))
        for number, (outcome, names) in enumerate(zip(outcomes, faults, strict=True))
    ]
    return Endings(
        Counter(name for names in faults for name in names),
        Counter(names[-1] for names in faults if len(names) > 0),
        [f"question {n} {problem}" for n, problem in enumerate(problems) if problem is not None],
    )


def find_wrong_rates(requests: Counter[str]) -> list[str]:
    """The faults that did not occur at their rate, so that the run proves little."""
    total = requests.total()
    return [
        f"{fault.name}: {requests[fault.name]} of {total} requests, expected {fault.rate:.0%}"
        for fault in FAULTS
        # Six standard deviations, and one for small runs.
        if abs(requests[fault.name] - fault.rate * total) > 6 * (fault.rate * total) ** 0.5 + 1
    ]


class Sample(NamedTuple):
    """The resources in use at one moment.

    Attributes:
        seconds: Since the start of the run.
        connections: Open at the server.
        files: Open in this process, including sockets.
        threads: Of this process.
        memory: Resident in this process, in bytes.
    """

    seconds: float
    connections: int
    files: int
    threads: int
    memory: int


class Level(NamedTuple):
    """One resource in the two halves of a run, and the rest afterwards.

    For memory, which Python returns late, it is the median of a half, else the peak.
    """

    name: str
    first: int | None
    second: int | None
    left: int


# By how much the second half may exceed the first, as a factor and as an addend; and how much may
# be left afterwards compared with the state before, `None` for any amount.
_MIB = 2**20
_ALLOWED = {
    "connections": (1.1, 4, 0),
    "files": (1.1, 4, 0),
    "threads": (1.0, 2, 0),
    # Bounded caches fill, and allocators return memory late; leaked objects show below.
    "memory": (1.15, 2 * _MIB, None),
    "objects": (1.0, 200, 1000),
}
_AGGREGATES = {"memory": statistics.median}


def compute_levels(before: Sample, samples: Sequence[Sample], after: Sample) -> list[Level]:
    """The resources in the halves of a run, and the rest afterwards."""
    middle = (samples[0].seconds + samples[-1].seconds) / 2
    first = [sample for sample in samples if sample.seconds <= middle]
    second = [sample for sample in samples if sample.seconds > middle]
    return [
        Level(
            name,
            int(_AGGREGATES.get(name, max)(getattr(sample, name) for sample in first)),
            int(_AGGREGATES.get(name, max)(getattr(sample, name) for sample in second)),
            getattr(after, name) - (0 if name == "memory" else getattr(before, name)),
        )
        for name in Sample._fields[1:]
    ]


def find_leaks(levels: Iterable[Level]) -> list[str]:
    """The resources that grow, or that are left open."""
    wrong = []
    for level in levels:
        factor, addend, left = _ALLOWED[level.name]
        halves = level.first, level.second
        if None not in halves and level.second > level.first * factor + addend:
            wrong.append(f"{level.name} grew from {level.first:,} to {level.second:,}")
        if left is not None and level.left > left:
            wrong.append(f"{level.name} left open: {level.left:,}")
    return wrong
