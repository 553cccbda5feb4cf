"""Whether each question ended as it should, and whether what a run holds levels off."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from langchain_azure_phi3 import AzurePhi3Error
from tests.soak.asks import Ask
from tests.soak.ordered import BY_NAME, FAULTS

_SHOWN = 120


class Ended(NamedTuple):
    """How a question ended; small, because a run holds thousands of them.

    Attributes:
        error: The type of its error; `None`: it was answered.
        wrong: What is wrong with what was received, if anything.
    """

    error: type[Exception] | None = None
    wrong: str | None = None


ANSWERED = Ended()


def answered(ask: Ask, text: str) -> Ended:
    """A question that got an answer, which may be another's."""
    if text == ask.answer:
        return ANSWERED
    return Ended(wrong=f"was answered {text[:_SHOWN]!r}")


def failed(ask: Ask, received: str, error: Exception) -> Ended:
    """A question that ended in an error, after a part of the answer."""
    partial = error.partial if isinstance(error, AzurePhi3Error) else None
    if not ask.answer.startswith(received) or not ask.answer.startswith(partial or ""):
        return Ended(type(error), f"received {received[:_SHOWN]!r} and {partial!r:.120}")
    if ask.is_streamed and partial is not None and partial != received:
        return Ended(type(error), f"yielded {received!r:.120}, but has {partial!r:.120}")
    return Ended(type(error))


def wrong_with(ended: Ended | None, met: Sequence[str], tries: int) -> str | None:
    """What is wrong with the end of a question; `None` where it is the only right one.

    Args:
        ended: How it ended, if it did.
        met: The names of what its requests met at the server, in order.
        tries: How many requests one question may send.
    """
    if ended is None:
        return "never ended"
    if ended.wrong is not None:
        return ended.wrong
    if len(met) == 0:
        return "ended, but was never asked"
    *earlier, last = (BY_NAME[name] for name in met)
    told = f"after {', '.join(met)}"
    if not all(fate.is_tried_again for fate in earlier):
        return f"was asked again {told}"
    if len(met) > tries:
        return f"was asked {len(met)} times {told}"
    if ended.error is not last.error:
        said = "an answer" if ended.error is None else ended.error.__name__
        return f"ended in {said} {told}"
    if last.is_tried_again and len(met) < tries:
        return f"was given up {told}"
    return None


@dataclass(frozen=True, slots=True)
class Endings:
    """How the questions of a run ended.

    Attributes:
        requests: How many requests met what.
        ends: How many questions ended so, by the name of what their last request met.
        wrong: What is wrong, a line for each question of which anything is.
    """

    requests: Counter[str]
    ends: Counter[str]
    wrong: list[str]


def endings(ended: Sequence[Ended | None], met: Sequence[Sequence[str]], tries: int) -> Endings:
    """Judge every question by what its own requests met."""
    verdicts = [wrong_with(end, its, tries) for end, its in zip(ended, met, strict=True)]
    return Endings(
        Counter(name for its in met for name in its),
        Counter(its[-1] for its in met if len(its) > 0),
        [f"question {n} {wrong}" for n, wrong in enumerate(verdicts) if wrong is not None],
    )


def misordered(requests: Counter[str]) -> list[str]:
    """The faults that were not met as often as they were ordered, so that little was proven."""
    total = requests.total()
    return [
        f"{fate.name}: met {requests[fate.name]} times of {total}, ordered {fate.share:.0%}"
        for fate in FAULTS
        # Six standard deviations, and one for small runs.
        if abs(requests[fate.name] - fate.share * total) > 6 * (fate.share * total) ** 0.5 + 1
    ]


class Sample(NamedTuple):
    """What is held at one moment.

    Attributes:
        seconds: Since the run began.
        connections: Open at the server.
        files: Open in this process, sockets among them.
        threads: Of this process.
        memory: Resident in this process, in bytes.
    """

    seconds: float
    connections: int
    files: int
    threads: int
    memory: int


class Level(NamedTuple):
    """One quantity in the two halves of a run, and what is left of it afterwards.

    Of memory, which Python gives back when it likes, it is the median of a half, else the peak.
    """

    name: str
    first: int | None
    second: int | None
    left: int


# How much higher than the first half the second may reach, as a factor and beside it; and how
# much may be left afterwards above what was there before, `None` for any.
_MIB = 2**20
_ALLOWED = {
    "connections": (1.1, 4, 0),
    "files": (1.1, 4, 0),
    "threads": (1.0, 2, 0),
    # Bounded caches fill, and allocators are slow to give back; leaked objects show below.
    "memory": (1.15, 2 * _MIB, None),
    "objects": (1.0, 200, 1000),
}
_OF_A_HALF = {"memory": statistics.median}


def levels(before: Sample, samples: Sequence[Sample], after: Sample) -> list[Level]:
    """What was held in the halves of a run, and what is left of it."""
    middle = (samples[0].seconds + samples[-1].seconds) / 2
    first = [sample for sample in samples if sample.seconds <= middle]
    second = [sample for sample in samples if sample.seconds > middle]
    return [
        Level(
            name,
            int(_OF_A_HALF.get(name, max)(getattr(sample, name) for sample in first)),
            int(_OF_A_HALF.get(name, max)(getattr(sample, name) for sample in second)),
            getattr(after, name) - (0 if name == "memory" else getattr(before, name)),
        )
        for name in Sample._fields[1:]
    ]


def growing(found: Iterable[Level]) -> list[str]:
    """What does not level off, or stays behind."""
    wrong = []
    for level in found:
        factor, beside, left = _ALLOWED[level.name]
        halves = level.first, level.second
        if None not in halves and level.second > level.first * factor + beside:
            wrong.append(f"{level.name} grew from {level.first:,} to {level.second:,}")
        if left is not None and level.left > left:
            wrong.append(f"{level.name} stay behind: {level.left:,}")
    return wrong
