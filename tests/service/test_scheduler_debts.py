"""What requests that leave in debt may take of the others' time, and when it is given back."""

from __future__ import annotations

import random
from collections import deque
from itertools import accumulate
from statistics import quantiles

import pytest

from service.engine.scheduler import Lane, Scheduler, Ticket


@pytest.mark.parametrize("own_lanes", [False, True])
@pytest.mark.parametrize("capacity", [1, 32])
def test_bulk_goes_on_beside_small_requests_that_come_and_go(own_lanes: bool, capacity: int) -> None:
    """Two clients that ask again as soon as they are answered; a batch costs the same whoever it is for."""
    scheduler, lane, seconds = Scheduler(), Lane("images", capacity), 0.013
    bulk = Ticket(10**9, lane)
    scheduler.admit(bulk)
    spent = dict.fromkeys(("bulk", "small"), 0.0)
    for client in range(2):
        scheduler.admit(Ticket(1, Lane(client, capacity) if own_lanes else lane))
    for batch in range(3_000):
        shares = scheduler.next_batch()
        total = sum(share.rows for share in shares)
        for share in shares:
            cost = seconds * share.rows / total
            scheduler.charge(share.ticket, cost)
            spent["bulk" if share.ticket is bulk else "small"] += cost
            if share.ticket is not bulk:
                scheduler.leave(share.ticket)
                scheduler.admit(Ticket(1, Lane(batch, capacity) if own_lanes else lane))
    assert spent["bulk"] >= 0.25 * sum(spent.values())


def test_where_a_batch_holds_one_row_single_samples_wait_for_no_bulk_but_the_batch_that_runs() -> None:
    """Poisson arrivals, 0.2 a batch, against the same queue without bulk that has just been at it: 3.0 batches at p99,
    where each paid for by a batch of the bulk makes 3.9."""
    scheduler, lane, seconds = Scheduler(), Lane("images", 1), 0.022
    bulk = Ticket(10**9, lane)
    scheduler.admit(bulk)
    rng = random.Random(0)
    arrivals = deque(accumulate(rng.expovariate(0.2 / seconds) for _ in range(10_000)))
    arrived: dict[Ticket, float] = {}
    waited: list[float] = []
    now = 0.0
    while arrivals or arrived:
        while arrivals and arrivals[0] <= now:
            single = Ticket(1, lane)
            scheduler.admit(single)
            arrived[single] = arrivals.popleft()
        (share,) = scheduler.next_batch()
        now += seconds
        scheduler.charge(share.ticket, seconds)
        if share.ticket is not bulk:
            scheduler.leave(share.ticket)
            waited.append((now - arrived.pop(share.ticket)) / seconds)
    assert 2 < quantiles(waited, n=100)[98] < 3.2


def singles_before_bulk(alone: int) -> int:
    """How many single samples, always one there, go before a large request that comes when ``alone`` have gone by."""
    scheduler, lane, seconds = Scheduler(), Lane("images", 1), 0.022

    def turn() -> Ticket:
        (share,) = scheduler.next_batch()
        scheduler.charge(share.ticket, seconds)
        if share.ticket is not bulk:
            scheduler.leave(share.ticket)
        return share.ticket

    bulk = Ticket(10**9, lane)
    for _ in range(alone):
        scheduler.admit(Ticket(1, lane))
        turn()
    scheduler.admit(bulk)
    assert turn() is bulk
    for gone in range(100):
        scheduler.admit(Ticket(1, lane))
        if turn() is bulk:
            return gone
    raise AssertionError("it starves")


def test_what_is_forgiven_is_not_used_up_by_samples_that_nobody_else_waits_for() -> None:
    assert singles_before_bulk(alone=20) == singles_before_bulk(alone=0) > 2
