"""What a key may use, on a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.problems import CODES, ProblemError
from service.http.quotas import Account, Lease, Quotas
from service.settings import QuotaSettings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def account(clock: Clock | None = None, **quota: Any) -> Account:
    return Account(QuotaSettings(**quota), clock or Clock())


def refused(refusal: pytest.ExceptionInfo[ProblemError]) -> tuple[str, int]:
    """Code and seconds."""
    error = refusal.value
    assert CODES[error.code][0] == 429
    assert f"again in {error.headers['Retry-After']} s" in error.detail
    return error.code, int(error.headers["Retry-After"])


def test_a_key_without_bounds_is_never_refused() -> None:
    free = account()
    for _ in range(1_000):
        free.enter().charge(10**9)
    assert free.in_flight == 1_000


def test_requests_come_in_a_burst_and_then_at_the_rate() -> None:
    clock = Clock()
    bounded = account(clock, requests_per_second=0.5, burst=3)
    for _ in range(3):
        bounded.enter().close(refused=False)
    with pytest.raises(ProblemError, match=r"0\.5 requests a second") as refusal:
        bounded.enter()
    assert refused(refusal) == ("too_many_requests", 2)
    clock.now = 2.0
    bounded.enter()
    with pytest.raises(ProblemError):
        bounded.enter()


def test_one_seconds_worth_is_the_burst_that_nobody_set() -> None:
    bounded = account(requests_per_second=2.5)
    assert [bounded.enter() for _ in range(3)]
    with pytest.raises(ProblemError):
        bounded.enter()


def test_rows_are_charged_by_the_minute_and_a_large_request_makes_the_next_one_wait() -> None:
    clock = Clock()
    bounded = account(clock, rows_per_minute=600)
    bounded.enter().charge(1_200)
    with pytest.raises(ProblemError, match="600 samples a minute") as refusal:
        bounded.enter().charge(1)
    assert refused(refusal) == ("too_many_rows", 61)
    clock.now = 61.0
    bounded.enter().charge(1)


def test_as_many_at_once_as_the_quota_says_and_the_wait_is_learned() -> None:
    clock = Clock()
    bounded = account(clock, concurrent=2)
    for _ in range(200):  # requests of ten seconds
        lease = bounded.enter()
        clock.now += 10
        lease.close(refused=False)
    leases = [bounded.enter(), bounded.enter()]
    with pytest.raises(ProblemError, match="2 requests of this key are in flight") as refusal:
        bounded.enter()
    assert refused(refusal) == ("too_many_at_once", 5)
    leases[0].close(refused=False)
    bounded.enter()


def test_one_too_many_at_once_costs_no_request_of_the_rate() -> None:
    bounded = account(concurrent=1, requests_per_second=1, burst=2)
    lease = bounded.enter()
    for _ in range(5):
        with pytest.raises(ProblemError, match="in flight"):
            bounded.enter()
    lease.close(refused=False)
    bounded.enter()


def test_a_refused_request_gets_its_rows_back_and_a_served_one_does_not() -> None:
    bounded = account(rows_per_minute=100)
    lease = bounded.enter()
    lease.charge(100)
    lease.close(refused=True)
    lease = bounded.enter()
    lease.charge(100)
    lease.close(refused=False)
    with pytest.raises(ProblemError):
        bounded.enter().charge(1)


@given(st.lists(st.tuples(st.integers(1, 50), *[st.integers(0, 99)] * 2, st.booleans()), max_size=30))
def test_nothing_is_given_back_that_was_delivered_or_not_charged(work: list[tuple[int, int, int, bool]]) -> None:
    bounded = account(rows_per_minute=10_000)
    used = 0
    for rows, delivered, unused, refused in work:
        lease = bounded.enter()
        lease.charge(rows)
        lease.deliver(delivered)
        lease.give_back(unused)
        lease.close(refused)
        used += min(rows, delivered) if refused else max(rows - unused, min(rows, delivered))
    bounded.enter().charge(10_000 - used)
    with pytest.raises(ProblemError):
        bounded.enter().charge(1)


def test_accounts_are_those_of_the_keys_and_their_use_outlives_a_reread() -> None:
    quotas = Quotas(Clock())
    one = QuotaSettings(concurrent=1)
    quotas.reread({"a": one, "b": one})
    leases = [quotas.enter("a"), quotas.enter("b")]
    quotas.reread({"a": one})
    with pytest.raises(ProblemError):
        quotas.enter("a")
    with pytest.raises(KeyError):
        quotas.enter("b")
    for lease in leases:
        lease.close(refused=False)
    assert quotas.enter("a")


def test_another_quota_begins_anew_and_still_counts_what_is_in_flight() -> None:
    quotas = Quotas(Clock())
    quotas.reread({"a": QuotaSettings(concurrent=1)})
    lease = quotas.enter("a")
    quotas.reread({"a": QuotaSettings(concurrent=2)})
    quotas.enter("a")
    with pytest.raises(ProblemError):
        quotas.enter("a")
    lease.close(refused=False)
    quotas.enter("a")


def test_a_lease_without_an_account_lets_everything_pass() -> None:
    lease = Lease()
    lease.charge(10**9)
    lease.close(refused=True)
