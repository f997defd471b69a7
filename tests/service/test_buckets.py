"""The law of a token bucket, on a virtual clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.http.buckets import ROUNDING, Bucket, Rate, full, give_back, refilled, take

RATES = st.builds(Rate, st.floats(0.01, 1e5), st.integers(1, 10**6).map(float))
# Pauses and amounts of a caller that does as it likes.
ASKS = st.lists(st.tuples(st.floats(0, 1e4), st.integers(1, 10**6)), max_size=60)


@given(RATES, ASKS)
def test_never_more_than_the_capacity_the_rate_and_one_amount(rate: Rate, asks: list[tuple[float, int]]) -> None:
    bucket, now, taken = full(rate, 0.0), 0.0, 0.0
    for pause, amount in asks:
        now += pause
        bucket, wait = take(bucket, rate, amount, now)
        if not wait:
            # Before the last one the level was not below 0, so all before it fit.
            assert taken <= (rate.capacity + rate.per_second * now) * (1 + 1e-6)
            taken += amount


@given(RATES, ASKS)
def test_who_waits_as_told_gets_it_and_not_a_moment_earlier(rate: Rate, asks: list[tuple[float, int]]) -> None:
    moment = 1e-3 + 2 * ROUNDING * rate.capacity / rate.per_second  # callers are told whole seconds
    bucket, now = full(rate, 0.0), 0.0
    for pause, amount in asks:
        now += pause
        bucket, wait = take(bucket, rate, amount, now)
        if not wait:
            continue
        if wait > moment:
            assert take(bucket, rate, amount, now + wait - moment)[1] > 0
        now += wait
        bucket, again = take(bucket, rate, amount, now)
        assert again <= moment


@given(RATES, st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_full_bucket_serves_any_amount_and_then_owes_it(rate: Rate, amount: int, more: int) -> None:
    bucket, wait = take(full(rate, 0.0), rate, amount, 0.0)
    assert (wait, bucket.level) == (0, rate.capacity - amount)
    _, wait = take(bucket, rate, more, 0.0)
    missing = min(more, rate.capacity) - bucket.level
    assert wait == max(0.0, missing) / rate.per_second or abs(missing) <= 1e-9 * rate.capacity


@given(RATES, st.integers(1, 10**6), st.floats(0, 1e4))
def test_what_is_given_back_is_as_if_never_taken(rate: Rate, amount: int, later: float) -> None:
    bucket, _ = take(full(rate, 0.0), rate, amount, 0.0)
    assert give_back(bucket, rate, amount, later) == full(rate, later)


@given(RATES, st.floats(-1e6, 1e6), st.floats(0, 1e4))
def test_a_level_never_passes_the_capacity_and_a_clock_that_goes_back_changes_nothing(
    rate: Rate, level: float, later: float
) -> None:
    bucket = Bucket(min(level, rate.capacity), 10.0)
    assert bucket.level <= refilled(bucket, rate, 10.0 + later).level <= rate.capacity
    assert refilled(bucket, rate, 10.0 - later) == bucket
