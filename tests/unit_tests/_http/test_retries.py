"""When the same request is sent again, and after how long."""

from datetime import UTC, datetime
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from langchain_azure_phi3 import (
    ConnectionFailedError,
    InterruptedStreamError,
    InvalidInputError,
    InvalidResponseError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
)
from langchain_azure_phi3._http.error_mapping import map_error_response
from langchain_azure_phi3._http.retries import RetryPolicy, parse_retry_after
from langchain_azure_phi3._http.retry_state import (
    RetryState,
    cooldown_remaining,
    start_cooldown,
)
from langchain_azure_phi3._types import ResponseInfo

NOW = 1_718_726_686.0
FULL = RetryPolicy(max_retries=10, jitter=lambda: 1.0)


def date(seconds: float) -> str:
    """That many seconds from now, as an HTTP date."""
    return format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)


# -- what the server asks --


def test_retry_after_is_read_from_headers() -> None:
    """Milliseconds before seconds, both before the quota's reset."""
    for headers, seconds in [
        ({}, None),
        ({"retry-after": "50"}, 50),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": date(90)}, 90),
        ({"retry-after": date(-90)}, 0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-ms-retry-after-ms": "20"}, 0.02),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2),
        ({"x-ratelimit-reset-requests": "9"}, 9),
        ({"x-rate-limit-reset-tokens": "12"}, 12),
        ({"x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-reset-tokens": "250ms"}, 0.25),
        ({"x-ratelimit-reset-tokens": "x"}, None),
        ({"x-ratelimit-reset-tokens": "9" * 400 + "s"}, None),
        ({"x-ratelimit-reset-requests": "9", "x-ratelimit-reset-tokens": "1m"}, 60),
        ({"x-ratelimit-reset-requests": "9", "retry-after": "1"}, 1),
        ({"x-ratelimit-reset-requests": "9", "retry-after": "soon"}, 9),
    ]:
        assert parse_retry_after(429, headers, "", NOW) == seconds


def test_retry_after_is_read_from_the_message() -> None:
    """Azure sometimes says it only there (openai-python#937)."""
    for message, seconds in [
        ("Rate limit is exceeded. Try again in 50 seconds.", 50),
        ("Please retry after 1 second.", 1),
        ("Please RETRY AFTER 7 Seconds", 7),
        ("try again in 2.5s", 2.5),
        ("try again in 20ms", 0.02),
        ("try again in 300 milliseconds", 0.3),
        ("try again in 2 minutes", 120),
        ("try again in 1 m", 60),
        ("in the year 2024", None),
        ("in 5 steps", None),
        ("try again later", None),
        (f"try again in {'9' * 400} seconds", None),
    ]:
        assert parse_retry_after(429, {}, message, NOW) == seconds
        assert parse_retry_after(429, {"retry-after": "3"}, message, NOW) == 3


def test_other_statuses_ignore_quota_and_message() -> None:
    """Words and quotas of other failures ask for nothing; their `retry-after` does."""
    quota = {"x-ratelimit-reset-requests": "60"}
    assert parse_retry_after(504, {}, "The request timed out after 60 seconds.", NOW) is None
    assert parse_retry_after(500, quota, "", NOW) is None
    assert parse_retry_after(503, {"retry-after": "4"}, "", NOW) == 4


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_breaks_it(header: str, message: str) -> None:
    """It is a finite number that is not negative, or nothing."""
    for name in ("retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"):
        found = parse_retry_after(429, {name: header}, message, NOW)
        assert found is None or 0 <= found < float("inf")


# -- what is decided --


def test_transient_statuses_are_retried() -> None:
    """Whatever the body said."""
    for status in [408, 429, 500, 502, 503, 504]:
        assert (
            FULL.pause_after(1, map_error_response(ResponseInfo(status, None, {}), b"", advice={}))
            == 0.5
        )


def test_permanent_statuses_are_not_retried() -> None:
    """A 424 without the container's status says nothing of later."""
    for status in [302, 400, 401, 403, 404, 405, 409, 413, 415, 422, 424, 501]:
        assert (
            FULL.pause_after(1, map_error_response(ResponseInfo(status, None, {}), b"", advice={}))
            is None
        )


def test_a_wrapped_status_decides() -> None:
    """Managed compute's front end puts 424 over whatever its container said."""
    for wrapped, pause in [("503", 0.5), ("429", 0.5), ("400", None)]:
        headers = {"ms-azureml-model-error-statuscode": wrapped}
        assert (
            FULL.pause_after(
                1, map_error_response(ResponseInfo(424, None, headers), b"", advice={})
            )
            == pause
        )


def test_only_failed_connections_are_retried_without_a_status() -> None:
    """After a read timeout the model may still be at work on the first request."""
    for failure, tried in [
        (ConnectionFailedError("x"), True),
        (RequestTimeoutError("x", code="connect_timeout"), True),
        (RequestTimeoutError("x", code="read_timeout"), False),
        (InterruptedStreamError("x"), False),
        (InvalidResponseError("x", status_code=200), False),
        (InvalidInputError("x"), False),
    ]:
        assert (FULL.pause_after(1, failure) is not None) is tried


def test_it_gives_up_after_the_last_retry() -> None:
    """Two retries are three requests."""
    policy = RetryPolicy(max_retries=2, jitter=lambda: 0.0)
    failure = ServerError("x", status_code=500)
    assert [policy.pause_after(attempt, failure) for attempt in (1, 2, 3, 4)] == [0, 0, None, None]
    assert RetryPolicy(max_retries=0).pause_after(1, failure) is None


def test_pauses_double_up_to_a_ceiling() -> None:
    """0.5 to 8 seconds, or less where `max_wait` is less."""
    failure = ServerError("x", status_code=500)
    pauses = [FULL.pause_after(attempt, failure) for attempt in range(1, 8)]
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8]
    short = RetryPolicy(max_retries=10, max_wait=3, jitter=lambda: 1.0)
    assert short.pause_after(5, failure) == 3


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 10))
def test_jitter_is_full(jitter: float, attempt: int) -> None:
    """Any pause from nothing to the ceiling, so that clients that failed together spread."""
    policy = RetryPolicy(max_retries=10, jitter=lambda: jitter)
    pause = policy.pause_after(attempt, ServerError("x", status_code=500))
    assert pause == jitter * min(8, 0.5 * 2 ** (attempt - 1))


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 60))
def test_retry_after_is_honored_with_jitter(jitter: float, retry_after: float) -> None:
    """Never less; at most a quarter or a second more."""
    policy = RetryPolicy(jitter=lambda: jitter)
    pause = policy.pause_after(1, RateLimitError("x", status_code=429, retry_after=retry_after))
    assert pause is not None
    assert retry_after <= pause <= retry_after + min(1, retry_after / 4)


def test_overlong_waits_are_not_begun() -> None:
    """A daily quota fails at once instead of after a minute in vain."""
    failure = RateLimitError("x", status_code=429, retry_after=60.1)
    assert RetryPolicy().pause_after(1, failure) is None
    assert RetryPolicy(max_wait=61).pause_after(1, failure) is not None


# -- quotas --

QUOTA = ("https://phi.example/chat/completions", "blue", "phi-4", "key-1")
LIMITED = RateLimitError("x", status_code=429, retry_after=7)


def test_a_cool_down_belongs_to_one_quota() -> None:
    """To a URL, a deployment, a model and a credential; not to models without retries."""
    policy = RetryPolicy(max_retries=2, jitter=lambda: 0.0)
    assert RetryState(QUOTA, None, policy).record_failure(LIMITED) is False

    assert 6 < (RetryState(QUOTA, None, policy).delay() or 0) <= 7
    assert RetryState(QUOTA, None, RetryPolicy(max_retries=0)).delay() is None
    for place in range(4):
        other = tuple("other" if n == place else part for n, part in enumerate(QUOTA))
        assert RetryState(other, None, policy).delay() is None  # type: ignore[arg-type]


def test_cool_downs_end_and_are_forgotten() -> None:
    """The longer of two counts; a thousand are remembered."""
    start_cooldown(QUOTA, 5, now=100)
    start_cooldown(QUOTA, 3, now=101)
    assert [5, 2, 0] == [cooldown_remaining(QUOTA, now) for now in (100, 103, 106)]
    for number in range(1100):
        start_cooldown((str(number), "", "", ""), 9, now=200)
    assert 0 == cooldown_remaining(QUOTA, now=200)
    assert 9 == cooldown_remaining(("999", "", "", ""), now=200)
    assert 0 == cooldown_remaining(("1001", "", "", ""), now=200)


def test_the_working_url_of_a_deployment_is_remembered() -> None:
    """The alternate is tried once, for a route that does not exist."""
    info = ResponseInfo(404, None, {})
    missing = map_error_response(info, b"not found", advice={})
    other_model = map_error_response(info, b"no such model", advice={})
    policy = RetryPolicy(max_retries=0)
    state = RetryState(QUOTA, "https://phi.example/v1", policy)
    assert state.url == QUOTA[0]
    assert state.record_failure(missing) is False
    assert (state.url, state.delay()) == ("https://phi.example/v1", 0)
    assert state.record_failure(missing) is True
    state.record_success()
    again = RetryState(QUOTA, "https://phi.example/v1", policy)
    assert again.url == "https://phi.example/v1"
    assert again.record_failure(other_model) is True
    assert again.record_failure(missing) is False
    again.record_success()
    assert RetryState(QUOTA, "https://phi.example/v1", policy).url == QUOTA[0]
