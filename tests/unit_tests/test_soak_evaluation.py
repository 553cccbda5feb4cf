"""The evaluation of the soak finds every kind of failure: a run that cannot fail proves nothing."""

import gc
import logging
import socket
import threading
from collections import Counter

from langchain_azure_phi3 import (
    InterruptedStreamError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from tests.soak.diagnostics import captured_diagnostics
from tests.soak.evaluation import (
    ANSWERED,
    Level,
    Outcome,
    Sample,
    check_answer,
    check_error,
    compute_levels,
    evaluate_calls,
    find_leaks,
    find_problem,
    find_wrong_rates,
)
from tests.soak.faults import FAULTS, NO_FAULT
from tests.soak.questions import make_question, parse_number

STREAMED, COMPLETE = make_question(1, seed=1), make_question(2, seed=1)
NONE, LIMIT, CUT = NO_FAULT.name, "429 without", "cut in the middle"


def test_questions_are_unique_and_repeatable() -> None:
    """They depend on their number and the seed."""
    questions = [make_question(number, seed) for number in range(500) for seed in (1, 2)]

    assert 1000 == len({question.answer for question in questions})
    assert STREAMED == make_question(1, seed=1)
    assert all(question.number == parse_number(question.text) for question in questions)
    assert 500 == sum(question.is_streamed for question in questions)


def test_only_the_complete_own_answer_is_right() -> None:
    """Neither another answer nor a part of it."""
    for text in (STREAMED.answer, COMPLETE.answer[:-1], COMPLETE.answer + " ", ""):
        assert check_answer(COMPLETE, text).problem is not None, text
    assert ANSWERED == check_answer(COMPLETE, COMPLETE.answer)


def test_errors_must_follow_the_own_answer() -> None:
    """Both the yielded text and the text on the error begin the answer."""
    begun = STREAMED.answer[:30]
    other = make_question(6, seed=1).answer

    for received, partial in ((other, other), (begun, other), (begun, begun[:-1]), ("", begun)):
        error = InterruptedStreamError("", partial=partial)
        assert check_error(STREAMED, received, error).problem is not None, partial
    error = InterruptedStreamError("", partial=begun)
    assert check_error(STREAMED, begun, error).problem is None
    assert check_error(COMPLETE, "", InterruptedStreamError("")).problem is None
    assert check_error(STREAMED, "", ValueError("x")) == Outcome(ValueError)


WRONG: list[tuple[Outcome | None, list[str], str]] = [
    (None, [NONE], "never ended"),
    (ANSWERED, [], "ended without a request"),
    (Outcome(problem="returned 'x'"), [NONE], "returned 'x'"),
    (ANSWERED, [CUT], "ended in an answer after cut in the middle"),
    (Outcome(ServerError), [LIMIT] * 3, "ended in ServerError after 429 without, 429 without"),
    (Outcome(InterruptedStreamError), [NONE], "ended in InterruptedStreamError after no fault"),
    (Outcome(ValueError), ["503"] * 3, "ended in ValueError"),
    (ANSWERED, [CUT, NONE], "was retried after cut in the middle, no fault"),
    (ANSWERED, [NONE, NONE], "was retried after no fault, no fault"),
    (ANSWERED, ["503", "503", "503", NONE], "sent 4 requests"),
    (Outcome(RateLimitError), [LIMIT, LIMIT], "was not retried after"),
]


def test_wrong_outcomes_are_found() -> None:
    """Calls that hang, wrong errors, wrong retries, too many or too few of them."""
    for outcome, faults, expected in WRONG:
        problem = find_problem(outcome, faults, attempts=3, streamed=True)

        assert problem is not None, expected
        assert problem.startswith(expected)


RIGHT: list[tuple[type[Exception] | None, list[str]]] = [
    (None, [NONE]),
    (None, [LIMIT, "503", NONE]),
    (RateLimitError, ["503", LIMIT, LIMIT]),
    (InterruptedStreamError, [CUT]),
    (InterruptedStreamError, ["503", "reset in the middle"]),
    (RequestTimeoutError, ["no answer"]),
]


def test_right_outcomes_follow_from_the_faults() -> None:
    """An answer without a fault; otherwise the error of the last fault, after every retry."""
    for error, faults in RIGHT:
        assert find_problem(Outcome(error), faults, attempts=3, streamed=True) is None, faults


def test_complete_responses_that_break_off_are_retried() -> None:
    """Streams are not: somebody may have seen their text."""
    for outcome, faults in [
        (ANSWERED, [CUT, NONE]),
        (Outcome(InterruptedStreamError), [CUT, "503", "reset in the middle"]),
    ]:
        assert find_problem(outcome, faults, attempts=3, streamed=False) is None
        assert find_problem(outcome, faults, attempts=3, streamed=True) is not None
    problem = find_problem(Outcome(InterruptedStreamError), [CUT], attempts=3, streamed=False)
    assert problem == "was not retried after cut in the middle"


def test_calls_are_counted_by_fault() -> None:
    """Wrong outcomes are listed with their question."""
    found = evaluate_calls(
        [ANSWERED, Outcome(InterruptedStreamError), None], [["503", NONE], [CUT], []], attempts=3
    )

    assert {"503": 1, NONE: 1, CUT: 1} == found.requests
    assert {NONE: 1, CUT: 1} == found.ends
    assert ["question 2 never ended"] == found.wrong


def test_missing_faults_are_reported() -> None:
    """A run without faults proves little."""
    expected = Counter({fault.name: round(fault.rate * 1000) for fault in FAULTS} | {NONE: 800})

    assert [] == find_wrong_rates(expected)
    assert [fault.name for fault in FAULTS] == [
        line.partition(":")[0] for line in find_wrong_rates(Counter({NONE: 10_000}))
    ]


def samples_with(*connections: int) -> list[Sample]:
    """One sample per second, with these numbers of connections."""
    return [Sample(n, count, 10 + count, 3, 1000 * count) for n, count in enumerate(connections)]


def test_halves_of_a_run_are_compared() -> None:
    """By their peaks, memory by its median; the rest with the state before."""
    before, *samples, after = samples_with(1, 20, 90, 40, 30, 80, 60, 3)
    found = {level.name: level for level in compute_levels(before, samples, after)}

    assert Level("connections", 90, 80, 2) == found["connections"]
    assert Level("files", 100, 90, 2) == found["files"]
    assert Level("threads", 3, 3, 0) == found["threads"]
    assert Level("memory", 40_000, 60_000, 3000) == found["memory"]


LEAKS = [
    Level("connections", 200, 230, 0),
    Level("connections", 200, 200, 1),
    Level("files", 200, 230, 0),
    Level("files", 200, 200, 1),
    Level("threads", 130, 133, 0),
    Level("threads", 130, 130, 1),
    Level("memory", 100 * 2**20, 118 * 2**20, 0),
    Level("objects", 100_000, 100_201, 0),
    Level("objects", None, None, 1001),
]


def test_growth_and_leaks_are_reported() -> None:
    """One line for each."""
    for level in LEAKS:
        assert 1 == len(find_leaks([level])), level
        assert [] == find_leaks([level._replace(second=level.first, left=0)])


class FailingDestructor:
    """Fails where no caller can catch the error."""

    def __del__(self) -> None:
        raise ValueError("in a destructor")


def test_background_failures_are_captured() -> None:
    """Unclosed sockets, failed tasks, errors in destructors and threads."""
    with captured_diagnostics() as reports:
        socket.socket().__str__()
        gc.collect()
        logging.getLogger("asyncio").error("Task exception was never retrieved")
        FailingDestructor().__str__()
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()

    expected = ["unclosed <socket", "never retrieved", "in a destructor", "ZeroDivisionError"]
    assert [True] * 4 == [part in line for part, line in zip(expected, reports, strict=True)]
