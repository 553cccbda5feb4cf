"""The soak's judge sees whatever could go wrong; a run that cannot fail would prove nothing."""

import gc
import logging
import socket
import threading
from collections import Counter

import pytest

from langchain_azure_phi3 import (
    InterruptedStreamError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from tests.soak.asks import ask, number_of
from tests.soak.complaints import overheard
from tests.soak.judging import (
    ANSWERED,
    Ended,
    Level,
    Sample,
    answered,
    endings,
    failed,
    growing,
    levels,
    misordered,
    wrong_with,
)
from tests.soak.ordered import FAULTS

STREAMED, WHOLE = ask(1, seed=1), ask(2, seed=1)
PEACE, LIMIT, CUT = "nothing", "429 without", "cut in the middle"


def test_a_question_is_unlike_any_other_and_the_same_again() -> None:
    """By its number and its seed."""
    asks = [ask(number, seed) for number in range(500) for seed in (1, 2)]

    assert 1000 == len({asked.answer for asked in asks})
    assert STREAMED == ask(1, seed=1)
    assert all(asked.number == number_of(asked.question) for asked in asks)
    assert 500 == sum(asked.is_streamed for asked in asks)


def test_an_answer_must_be_ones_own_to_the_last_character() -> None:
    """Another's is none, nor is half of it."""
    assert ANSWERED == answered(WHOLE, WHOLE.answer)
    for text in (STREAMED.answer, WHOLE.answer[:-1], WHOLE.answer + " ", ""):
        assert answered(WHOLE, text).wrong is not None


def test_what_came_before_an_error_must_be_the_beginning_of_ones_own_answer() -> None:
    """Both what was yielded and what the error holds."""
    begun = STREAMED.answer[:30]
    other = ask(6, seed=1).answer

    assert failed(STREAMED, begun, InterruptedStreamError("", partial=begun)).wrong is None
    assert failed(WHOLE, "", InterruptedStreamError("")).wrong is None
    assert failed(STREAMED, "", ValueError("what is not ours")) == Ended(ValueError)
    for received, partial in ((other, other), (begun, other), (begun, begun[:-1]), ("", begun)):
        error = InterruptedStreamError("", partial=partial)
        assert failed(STREAMED, received, error).wrong is not None


@pytest.mark.parametrize(
    ("error", "met"),
    [
        (None, [PEACE]),
        (None, [LIMIT, "503", PEACE]),
        (RateLimitError, ["503", LIMIT, LIMIT]),
        (InterruptedStreamError, [CUT]),
        (InterruptedStreamError, ["503", "reset in the middle"]),
        (RequestTimeoutError, ["silence"]),
    ],
)
def test_an_end_is_right_where_it_follows_from_what_was_met(
    error: type[Exception] | None, met: list[str]
) -> None:
    """An answer from peace, the error of the last fault, as often as may be tried again."""
    assert wrong_with(Ended(error), met, tries=3) is None


@pytest.mark.parametrize(
    ("ended", "met", "said"),
    [
        (None, [PEACE], "never ended"),
        (ANSWERED, [], "ended, but was never asked"),
        (Ended(wrong="was answered 'x'"), [PEACE], "was answered 'x'"),
        (ANSWERED, [CUT], "ended in an answer after cut in the middle"),
        (Ended(ServerError), [LIMIT] * 3, "ended in ServerError after 429 without, 429 without"),
        (Ended(InterruptedStreamError), [PEACE], "ended in InterruptedStreamError after nothing"),
        (Ended(ValueError), ["503"] * 3, "ended in ValueError"),
        (ANSWERED, [CUT, PEACE], "was asked again after cut in the middle, nothing"),
        (ANSWERED, [PEACE, PEACE], "was asked again after nothing, nothing"),
        (ANSWERED, ["503", "503", "503", PEACE], "was asked 4 times"),
        (Ended(RateLimitError), [LIMIT, LIMIT], "was given up after"),
    ],
)
def test_any_other_end_is_wrong(ended: Ended | None, met: list[str], said: str) -> None:
    """Silence, the wrong error, retries of what may be at work, too many or too few of them."""
    wrong = wrong_with(ended, met, tries=3)

    assert wrong is not None
    assert wrong.startswith(said)


def test_a_run_counts_what_was_met_and_where_questions_ended() -> None:
    """And names the questions that ended wrongly."""
    found = endings(
        [ANSWERED, Ended(InterruptedStreamError), None], [["503", PEACE], [CUT], []], tries=3
    )

    assert {"503": 1, PEACE: 1, CUT: 1} == found.requests
    assert {PEACE: 1, CUT: 1} == found.ends
    assert ["question 2 never ended"] == found.wrong


def test_faults_that_were_ordered_and_not_met_are_told() -> None:
    """A run in peace would prove little."""
    ordered = Counter({fate.name: round(fate.share * 1000) for fate in FAULTS} | {PEACE: 800})

    assert [] == misordered(ordered)
    assert [fate.name for fate in FAULTS] == [
        line.partition(":")[0] for line in misordered(Counter({PEACE: 10_000}))
    ]


def sampled(*connections: int) -> list[Sample]:
    """One sample a second, with so many connections."""
    return [Sample(n, held, 10 + held, 3, 1000 * held) for n, held in enumerate(connections)]


def test_halves_of_a_run_are_compared() -> None:
    """By their peaks, memory by its median; and what is left with what there was before."""
    before, *samples, after = sampled(1, 20, 90, 40, 30, 80, 60, 3)
    found = {level.name: level for level in levels(before, samples, after)}

    assert Level("connections", 90, 80, 2) == found["connections"]
    assert Level("files", 100, 90, 2) == found["files"]
    assert Level("threads", 3, 3, 0) == found["threads"]
    assert Level("memory", 40_000, 60_000, 3000) == found["memory"]


@pytest.mark.parametrize(
    "level",
    [
        Level("connections", 200, 230, 0),
        Level("connections", 200, 200, 1),
        Level("files", 200, 230, 0),
        Level("files", 200, 200, 1),
        Level("threads", 130, 133, 0),
        Level("threads", 130, 130, 1),
        Level("memory", 100 * 2**20, 118 * 2**20, 0),
        Level("objects", 100_000, 100_201, 0),
        Level("objects", None, None, 1001),
    ],
)
def test_growth_and_what_stays_behind_are_told(level: Level) -> None:
    """One line for each."""
    assert 1 == len(growing([level]))
    assert [] == growing([level._replace(second=level.first, left=0)])


class Stubborn:
    """Fails where nobody can catch it."""

    def __del__(self) -> None:
        raise ValueError("in a destructor")


def test_what_python_complains_of_is_heard() -> None:
    """Sockets left open, tasks that nobody asked, failures in destructors and threads."""
    with overheard() as told:
        socket.socket().__str__()
        gc.collect()
        logging.getLogger("asyncio").error("Task exception was never retrieved")
        Stubborn().__str__()
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()

    expected = ["unclosed <socket", "never retrieved", "in a destructor", "ZeroDivisionError"]
    assert [True] * 4 == [part in line for part, line in zip(expected, told, strict=True)]
