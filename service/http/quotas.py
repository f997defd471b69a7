"""What a key may use: requests a second, rows a minute, requests at once. The clock is injected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from time import monotonic

from starlette.requests import Request

from service.http.buckets import Rate, full, give_back, take
from service.http.problems import ProblemError
from service.settings import QuotaSettings

# Weight of the past in the mean duration of a key's requests: it forgets in about ten of them.
DURATION_MEMORY = 0.9
LEASE = "winnow.lease"  # where a request's scope has it
Clock = Callable[[], float]


class Meter:
    """A bucket and its rate; without a rate it never says no."""

    def __init__(self, rate: Rate | None, clock: Clock) -> None:
        self._rate, self._clock = rate, clock
        self._bucket = full(rate, clock()) if rate else None

    def take(self, amount: int, code: str, what: str) -> None:
        """Raises ProblemError (429, ``code``) with the time after which it would not."""
        if self._rate and self._bucket:
            self._bucket, wait = take(self._bucket, self._rate, amount, self._clock())
            if wait:
                raise refusal(code, f"The quota of this key is {what}", wait)

    def give_back(self, amount: int) -> None:
        if self._rate and self._bucket:
            self._bucket = give_back(self._bucket, self._rate, amount, self._clock())


class Account:
    """What one key has used lately. Only the event loop touches it."""

    def __init__(self, quota: QuotaSettings, clock: Clock) -> None:
        self._clock, self.in_flight, self._mean_seconds = clock, 0, 0.0
        self._start(quota)

    def _start(self, quota: QuotaSettings) -> None:
        self._quota = quota
        self._requests, self._rows = Meter(request_rate(quota), self._clock), Meter(row_rate(quota), self._clock)

    def reread(self, quota: QuotaSettings) -> None:
        """Another quota begins anew; what is in flight stays counted."""
        if quota != self._quota:
            self._start(quota)

    def enter(self) -> Lease:
        """One request begins. Raises ProblemError (429)."""
        most, per_second = self._quota.concurrent, self._quota.requests_per_second
        if most is not None and self.in_flight >= most:
            # One of them ends every so often, on average.
            raise refusal("too_many_at_once", f"{most} requests of this key are in flight", self._mean_seconds / most)
        self._requests.take(1, "too_many_requests", f"{per_second or 0:g} requests a second")
        self.in_flight += 1
        return Lease(self, self._clock())

    def charge(self, rows: int) -> None:
        self._rows.take(rows, "too_many_rows", f"{self._quota.rows_per_minute} samples a minute")

    def give_back(self, rows: int) -> None:
        self._rows.give_back(rows)

    def leave(self, entered: float) -> None:
        self.in_flight -= 1
        spent = self._clock() - entered
        self._mean_seconds = DURATION_MEMORY * self._mean_seconds + (1 - DURATION_MEMORY) * spent


class Lease:
    """One request's place in its account; without an account nothing is counted."""

    def __init__(self, account: Account | None = None, entered: float = 0.0) -> None:
        self._account, self._entered, self._rows = account, entered, 0

    def charge(self, rows: int) -> None:
        """``rows`` are about to be made. Raises ProblemError (429)."""
        if self._account is not None:
            self._account.charge(rows)
            self._rows += rows

    def give_back(self, rows: int) -> None:
        """``rows`` of those charged were not made after all."""
        rows = min(rows, self._rows)
        self._rows -= rows
        if self._account is not None:
            self._account.give_back(rows)

    def deliver(self, rows: int) -> None:
        """``rows`` of those charged are with the client: whatever comes, they are not given back."""
        self._rows -= min(rows, self._rows)

    def close(self, refused: bool) -> None:
        """The request is over; ``refused``: what was not delivered was made for nobody."""
        if self._account is not None:
            if refused:
                self.give_back(self._rows)
            self._account.leave(self._entered)


class Quotas:
    """An account a key, and none but those: the keys file bounds the memory."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, Account] = {}

    def reread(self, quotas: Mapping[str, QuotaSettings]) -> None:
        """By name of the key; accounts of keys that are gone go with them."""
        self._accounts = {name: self._accounts.get(name) or Account(quotas[name], self._clock) for name in quotas}
        for name, account in self._accounts.items():
            account.reread(quotas[name])

    def enter(self, name: str) -> Lease:
        """Raises ProblemError (429)."""
        return self._accounts[name].enter()


def charge_rows(request: Request, rows: int) -> None:
    """Charge ``rows`` to the key of ``request``, just before they are asked of the engine. Raises ProblemError (429).

    What ends in an error is given back, but for rows that were delivered before it; what a client that hangs up did
    not use is not.
    """
    lease = request.scope.get(LEASE)
    if isinstance(lease, Lease):
        lease.charge(rows)


def deliver_rows(request: Request, rows: int) -> None:
    """``rows`` of those that were charged are on their way to the client, before the answer is whole."""
    lease = request.scope.get(LEASE)
    if isinstance(lease, Lease):
        lease.deliver(rows)


def request_rate(quota: QuotaSettings) -> Rate | None:
    """One second's worth may come at once, unless the quota says otherwise."""
    if quota.requests_per_second is None:
        return None
    return Rate(quota.requests_per_second, quota.burst or max(1, ceil(quota.requests_per_second)))


def row_rate(quota: QuotaSettings) -> Rate | None:
    """One minute's worth may come at once."""
    return None if quota.rows_per_minute is None else Rate(quota.rows_per_minute / 60, quota.rows_per_minute)


def refusal(code: str, why: str, wait: float) -> ProblemError:
    """``wait``: seconds until it would go through."""
    seconds = max(1, ceil(wait))
    return ProblemError(code, f"{why}; try again in {seconds} s.", headers={"Retry-After": str(seconds)})
