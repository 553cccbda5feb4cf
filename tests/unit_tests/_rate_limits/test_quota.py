"""Claims on a quota: when they may be used, over virtual minutes."""

import random
import uuid
from collections.abc import Callable

from langchain_azure_phi3._rate_limits.quota import Meter
from langchain_azure_phi3._rate_limits.store import Store

START = 1_800_000_000.3  # seconds since the epoch

Sent = list[tuple[float, int]]


def meters(per_minute: int, count: int = 1) -> list[Meter]:
    """Meters of as many processes, which share one store and key."""
    store, key = Store("memory://"), uuid.uuid4().hex
    return [Meter(store, key, per_minute) for _ in range(count)]


def send(meter: Meter, seconds: float, cost: Callable[[], int], now: float = START) -> Sent:
    """Claim one request after another, as soon as each may be sent."""
    sent: Sent = []
    end = now + seconds
    while now < end:
        amount = cost()
        now = max(now, meter.claim(amount, now).usable_at)
        sent.append((now, amount))
    return sent


def most_in_a_minute(sent: Sent) -> int:
    """What the fullest 60 seconds hold, wherever they begin."""
    most = first = total = 0
    for time, amount in sent:
        total += amount
        while sent[first][0] <= time - 60:
            total -= sent[first][1]
            first += 1
        most = max(most, total)
    return most


def test_no_minute_exceeds_the_quota() -> None:
    """Whether the load is steady, or begins anew after pauses of any length."""
    rng = random.Random(7)
    for per_minute in [60, 1000, 200_000]:
        (meter,) = meters(per_minute)
        most = max(1, per_minute // 200)
        sent = send(meter, 150, lambda most=most: rng.randint(1, most))
        for _ in range(5):
            pause = sent[-1][0] + rng.uniform(0, 90)
            sent += send(meter, 40, lambda most=most: rng.randint(1, most), now=pause)

        assert most_in_a_minute(sent) <= per_minute


def test_steady_load_uses_nearly_all_of_the_quota() -> None:
    """More than nine tenths of it, with requests of very different sizes."""
    rng = random.Random(3)
    for per_minute in [60, 1000, 200_000]:
        (meter,) = meters(per_minute)
        sent = send(meter, 300, lambda n=per_minute: rng.choice([1, 1 + n // 50, 1 + n // 10]))

        assert sum(amount for _, amount in sent) > 0.9 * per_minute * 5


def test_meters_with_one_key_share_a_quota() -> None:
    """Four that claim in turn get as much as one."""
    shared = meters(6_000, count=4)
    now = START
    sent: Sent = []
    while now < START + 120:
        usable = [max(now, meter.claim(10, now).usable_at) for meter in shared]
        sent += [(time, 10) for time in sorted(usable)]
        now = max(usable)

    assert most_in_a_minute(sent) <= 6_000
    assert sum(amount for _, amount in sent) > 0.9 * 12_000


def test_claims_are_usable_in_their_order() -> None:
    """Large and small ones of several processes wait in one queue."""
    shared = meters(6_200, count=3)

    usable = [shared[n % 3].claim(70, START).usable_at for n in range(30)]

    assert usable == sorted(usable)
    assert usable[-1] - usable[0] > 15  # 100 units per second


def test_large_claims_take_several_windows() -> None:
    """The next one waits until the large one is paid for."""
    (meter,) = meters(62_000)

    meter.claim(10_000, START)

    assert 8 <= meter.claim(1, START).usable_at - START <= 10


def test_claim_larger_than_the_quota_takes_a_minute() -> None:
    """It is the server that decides whether it can be served at all."""
    (meter,) = meters(100)
    meter.claim(10_000_000, START)

    assert 58 <= meter.claim(1, START).usable_at - START <= 62


def test_returned_units_pay_for_the_next_claims() -> None:
    """For one minute; what was used on top is paid as well."""
    (meter,) = meters(62_000)
    meter.claim(30_000, START)

    meter.give_back(29_000, START)
    assert meter.claim(29_000, START).usable_at == 0.0

    meter.give_back(29_000, START)
    assert meter.claim(1_000, START + 61).usable_at != 0.0

    meter.give_back(-5_000, START + 70)
    meter.claim(1, START + 70)
    assert meter.claim(1, START + 70).usable_at > START + 70 + 3


def test_canceled_claims_free_their_windows() -> None:
    """For all processes, and with what earlier claims had left over."""
    one, two = meters(62_000, count=2)
    one.give_back(2_000, START)

    one.cancel(one.claim(9_000, START), START)

    assert two.claim(1, START).usable_at <= START
    assert one.claim(2_000, START).usable_at == 0.0


def test_server_with_less_left_is_believed() -> None:
    """Other programs use the deployment too: this second offers no more than the rest."""
    (meter,) = meters(62_000)
    meter.claim(1_000, START)  # the window before

    meter.lower(0)

    assert meter.claim(1, START).usable_at >= int(START) + 1
    meter.lower(50_000)
    assert meter.claim(1, START + 10).usable_at <= START + 10
