"""`TokenRateLimiter` in one process; `tests/scale_tests` has the store that processes share."""

import asyncio
import pickle
import time
from types import SimpleNamespace

import cloudpickle
import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from langchain_azure_phi3 import (
    ChatAzurePhi3,
    ConnectionFailedError,
    InvalidInputError,
    RateLimitError,
)
from langchain_azure_phi3._rate_limits import quota
from langchain_azure_phi3.emulator import Emulator
from langchain_azure_phi3.rate_limits import TokenRateLimiter

# One request for each window of a second. Two windows are open at any time.
ONE_PER_SECOND = 62


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stop the limiter's clock; only its own sleeping moves it. `slept` is for how long."""
    stopped = SimpleNamespace(now=1_800_000_000.0, slept=0.0)

    def sleep(seconds: float) -> None:
        stopped.now += seconds
        stopped.slept += seconds

    monkeypatch.setattr(quota, "time", SimpleNamespace(time=lambda: stopped.now, sleep=sleep))
    return stopped


@pytest.fixture
def limiter(request: pytest.FixtureRequest) -> TokenRateLimiter:
    """A limiter with a quota of its own: one request per second, and 1,000 tokens."""
    return TokenRateLimiter(ONE_PER_SECOND, 62_000, key=request.node.name)


def limited(phi: Emulator, limiter: TokenRateLimiter, **settings: object) -> ChatAzurePhi3:
    """A model with the limiter."""
    return ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, rate_limiter=limiter, **settings
    )


def test_each_call_takes_one_request(
    phi: Emulator, limiter: TokenRateLimiter, clock: SimpleNamespace
) -> None:
    """Not two, although LangChain acquires the limiter as well; streams too."""
    model = limited(phi, limiter)

    model.invoke("Hi")
    list(model.stream("Hi"))
    assert clock.slept == 0

    assert not limiter.acquire(blocking=False)
    model.invoke("Hi")
    assert clock.slept == pytest.approx(1)


async def test_async_calls_are_limited(phi: Emulator, limiter: TokenRateLimiter) -> None:
    """All at once, they leave one by one."""
    model = limited(phi, limiter)
    started = time.time()

    await asyncio.gather(*(model.ainvoke("Hi") for _ in range(4)))
    assert time.time() - started > 0.9

    started = time.time()
    async for _ in model.astream("Hi"):
        pass
    assert await limiter.aacquire()
    assert time.time() - started > 0.9


def test_retries_take_requests_too(
    phi: Emulator, limiter: TokenRateLimiter, clock: SimpleNamespace
) -> None:
    """The server counts them."""
    phi.fail(status=500, times=1)

    limited(phi, limiter, max_retries=1).invoke("Hi")

    assert not limiter.acquire(blocking=False)


def test_attempts_that_never_left_take_nothing(
    limiter: TokenRateLimiter, clock: SimpleNamespace
) -> None:
    """No server has seen a request whose connection failed."""
    model = ChatAzurePhi3(
        endpoint="http://127.0.0.1:9/v1", credential="", rate_limiter=limiter, max_retries=0
    )
    for _ in range(5):
        with pytest.raises(ConnectionFailedError):
            model.invoke("Hi")

    assert clock.slept == 0
    assert limiter.acquire(blocking=False)


def test_reported_usage_replaces_the_estimate(
    phi: Emulator, limiter: TokenRateLimiter, clock: SimpleNamespace
) -> None:
    """Of complete responses and streams: `max_tokens` is reserved, and the rest given back."""
    model = limited(phi, limiter, max_tokens=2_000, stream_usage=True)
    clock.now += 0.5
    model.invoke("Hi")  # takes both open windows of 1,000 tokens
    slept = clock.slept

    for _ in range(3):
        clock.now += 1  # for the request
        model.invoke("Hi")
        clock.now += 1
        list(model.stream("Hi"))

    assert clock.slept - slept < 0.5


def test_refused_attempts_give_their_tokens_back(
    phi: Emulator, limiter: TokenRateLimiter, clock: SimpleNamespace
) -> None:
    """A 4xx or 5xx is not billed."""
    model = limited(phi, limiter, max_tokens=3_000, max_retries=0)
    clock.now += 0.5
    for _ in range(3):
        phi.fail(status=400)
        with pytest.raises(Exception, match="400"):
            model.invoke("Hi")
        clock.now += 1

    assert clock.slept < 3


def test_rate_limit_makes_every_model_wait(
    phi: Emulator, limiter: TokenRateLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One model's 429 holds back another model with the same quota."""
    first, second = (limited(phi, limiter, max_retries=0) for _ in range(2))
    phi.fail(status=429, retry_after=1.5)
    with pytest.raises(RateLimitError):
        first.invoke("Hi")

    assert not limiter.acquire(blocking=False)
    started = time.time()
    second.invoke("Hi")

    assert time.time() - started > 1


def test_other_chat_models_count_calls(limiter: TokenRateLimiter, clock: SimpleNamespace) -> None:
    """LangChain acquires the limiter before each of them."""
    answers = iter([AIMessage("a"), AIMessage("b"), AIMessage("c")])
    model = GenericFakeChatModel(messages=answers, rate_limiter=limiter)

    for _ in range(3):
        model.invoke("Hi")

    assert clock.slept == pytest.approx(1)


def test_deployments_have_quotas_of_their_own(clock: SimpleNamespace) -> None:
    """Unless `key` names one quota for all."""
    limiter = TokenRateLimiter(ONE_PER_SECOND, 62_000)
    with Emulator() as one, Emulator() as two:
        for phi in (one, two):
            model = limited(phi, limiter)
            model.invoke("Hi")
            model.invoke("Hi")

    assert clock.slept == 0


def test_copies_share_the_quota(limiter: TokenRateLimiter, clock: SimpleNamespace) -> None:
    """Pickles are settings, and the store counts for all of them."""
    for dumps, loads in [(pickle.dumps, pickle.loads), (cloudpickle.dumps, cloudpickle.loads)]:
        copied = loads(dumps(limiter))
        assert repr(copied) == repr(limiter)
        copied.acquire()

    assert not limiter.acquire(blocking=False)


def test_model_carries_its_limiter(phi: Emulator, limiter: TokenRateLimiter) -> None:
    """Through pickles, copies and assignment."""
    model = limited(phi, limiter)
    for carried in (pickle.loads(pickle.dumps(model)), model.model_copy()):
        assert repr(carried.rate_limiter) == repr(limiter)
    plain = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)
    plain.rate_limiter = limiter
    plain.invoke("Hi")
    plain.invoke("Hi")

    assert plain.rate_limiter is not None
    assert plain.rate_limiter.acquire(blocking=False)  # counts attempts, not LangChain's calls


def test_refused_settings_say_what_is_wrong() -> None:
    """A quota that is not positive, and a store that does not exist; no password is shown."""
    for arguments, message in [
        ({"requests_per_minute": 0}, "requests_per_minute must be at least 1, not 0"),
        ({"tokens_per_minute": -5}, "tokens_per_minute must be at least 1, not -5"),
        ({"store": "nowhere://host"}, "not a URL that limits supports"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            TokenRateLimiter(**arguments)
    with pytest.raises(ConnectionFailedError, match=r"redis://127\.0\.0\.1:9") as caught:
        TokenRateLimiter(store="redis://me:hidden@127.0.0.1:9")
    assert "hidden" not in str(caught.value)
