"""The scheduler on a virtual clock: nobody starves, nobody gets more than asked for, device time is shared evenly."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from service.engine.scheduler import FILLING_DEBT_SECONDS, QUANTUM_SECONDS, Lane, Scheduler, Share, Ticket

LANES = (Lane("images", 8), Lane("points", 32), Lane("slow", 1))
MAX_COST = 0.3


class RingMachine(RuleBasedStateMachine):
    """Random admissions, batches of random cost and outcome on two devices, slow readers, hang-ups."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler()
        self.asked: dict[Ticket, int] = {}
        self.made: dict[Ticket, int] = {}
        # Batches since a ticket last got something although it could have.
        self.waited: dict[Ticket, int] = {}
        self.flying: dict[int, list[Share]] = {0: [], 1: []}
        self.hurried = False

    @rule(target=tickets, rows=st.integers(1, 100), lane=st.sampled_from(LANES), ordered=st.booleans())
    def admit(self, rows: int, lane: Lane, ordered: bool) -> Ticket:
        ticket = Ticket(rows, lane, ordered=ordered)
        self.scheduler.admit(ticket)
        self.asked[ticket], self.made[ticket], self.waited[ticket] = rows, 0, 0
        return ticket

    @rule(ticket=tickets, room=st.none() | st.integers(0, 20))
    def the_reader_takes(self, ticket: Ticket, room: int | None) -> None:
        ticket.room = room
        if ticket in self.waited:
            self.waited[ticket] = 0

    @rule(ticket=consumes(tickets))
    def hang_up(self, ticket: Ticket) -> None:
        self.leave(ticket)

    def leave(self, ticket: Ticket) -> None:
        if self.waited.pop(ticket, None) is not None:
            self.scheduler.leave(ticket)

    @rule(device=st.sampled_from((0, 1)))
    def take(self, device: int) -> None:
        if self.flying[device]:
            return
        wants = {ticket: ticket.wanted(device) for ticket in self.waited}
        shares = self.flying[device] = self.scheduler.next_batch(device)
        assert bool(shares) == any(wants.values())
        assert len({share.ticket for share in shares}) == len(shares)
        assert len({share.ticket.lane for share in shares}) <= 1
        assert sum(share.rows for share in shares) <= min((share.ticket.lane.capacity for share in shares), default=0)
        for ticket in self.waited:
            self.waited[ticket] += bool(wants[ticket])
        elsewhere = {share.ticket for share in self.flying[1 - device]}
        for ticket, rows in ((share.ticket, share.rows) for share in shares):
            assert 0 < rows <= wants[ticket]
            assert not (ticket.ordered and ticket in elsewhere)
            assert not ticket.ordered or ticket.home == device
            self.waited[ticket] = 0

    @rule(device=st.sampled_from((0, 1)), cost=st.floats(0, MAX_COST), part=st.sampled_from((0.0, 0.5, 1.0)))
    def settle(self, device: int, cost: float, part: float) -> None:
        shares, self.flying[device] = self.flying[device], []
        for share in shares:
            made = int(share.rows * part)
            self.scheduler.charge(share.ticket, cost * share.rows / sum(each.rows for each in shares))
            share.ticket.settle(share.rows, made)
            self.made[share.ticket] += made
            if self.made[share.ticket] == self.asked[share.ticket]:
                self.leave(share.ticket)

    @rule()
    def hurry(self) -> None:
        """From here on the short go first, and the long wait as long as it takes."""
        self.scheduler.finish(lambda ticket: float(ticket.rows + ticket.taken))
        self.waited = dict.fromkeys(self.waited, 0)
        self.hurried = True

    @invariant()
    def every_row_is_made_or_being_made_or_missing(self) -> None:
        for ticket, asked in self.asked.items():
            flying = sum(share.rows for shares in self.flying.values() for share in shares if share.ticket is ticket)
            assert ticket.taken == flying
            assert self.made[ticket] + flying + ticket.rows == asked
            assert ticket.rows >= 0

    @invariant()
    def nobody_starves(self) -> None:
        """Others pay their debts while a ticket waits, so its own debt, in quanta, times the others bounds the wait."""
        if self.hurried:
            return
        live = len(self.scheduler)
        debt = MAX_COST / QUANTUM_SECONDS + 2
        assert all(waits <= debt * 4 * max(live, 1) + 200 for waits in self.waited.values())


RingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestRing = RingMachine.TestCase


def served(scheduler: Scheduler, cost: dict[Ticket, float], batches: int) -> dict[Ticket, float]:
    """Device seconds that each ticket attained over so many batches; rows never run out."""
    attained = dict.fromkeys(cost, 0.0)
    for _ in range(batches):
        for share in scheduler.next_batch():
            seconds = share.rows * cost[share.ticket]
            scheduler.charge(share.ticket, seconds)
            attained[share.ticket] += seconds
    return attained


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LANES), st.floats(1e-4, 0.05)), min_size=2, max_size=6))
def test_requests_that_are_never_done_get_equal_device_time_whatever_their_rows_cost(
    kinds: list[tuple[Lane, float]],
) -> None:
    scheduler = Scheduler()
    cost = {Ticket(10**9, lane): row_seconds for lane, row_seconds in kinds}
    for ticket in cost:
        scheduler.admit(ticket)
    attained = served(scheduler, cost, 3_000)
    largest_batch = max(ticket.lane.capacity * seconds for ticket, seconds in cost.items())
    most = FILLING_DEBT_SECONDS + 2 * (largest_batch + QUANTUM_SECONDS)
    assert max(attained.values()) - min(attained.values()) <= most + 1e-6


def test_a_request_for_one_row_is_in_the_very_next_batch_of_its_lane() -> None:
    scheduler, lane = Scheduler(), Lane("images", 8)
    bulk = Ticket(100_000, lane)
    scheduler.admit(bulk)
    for _ in range(50):
        for share in scheduler.next_batch():
            scheduler.charge(share.ticket, 0.013)
    one = Ticket(1, lane)
    scheduler.admit(one)
    assert {share.ticket: share.rows for share in scheduler.next_batch()} == {bulk: 7, one: 1}


def test_a_request_of_another_lane_waits_no_longer_than_a_quantum_and_a_batch() -> None:
    scheduler, seconds = Scheduler(), 0.013
    bulk, one = Ticket(100_000, LANES[0]), Ticket(1, LANES[1])
    scheduler.admit(bulk)
    assert scheduler.next_batch()[0].ticket is bulk
    scheduler.charge(bulk, seconds)
    scheduler.admit(one)
    waited = 0.0
    while (leader := scheduler.next_batch()[0].ticket) is not one:
        scheduler.charge(leader, seconds)
        waited += seconds
    assert waited <= QUANTUM_SECONDS + seconds


def test_more_tickets_than_rows_take_the_odd_rows_in_turn() -> None:
    scheduler, lane = Scheduler(), Lane("small", 2)
    tickets = [Ticket(10**6, lane) for _ in range(5)]
    for ticket in tickets:
        scheduler.admit(ticket)
    rows = dict.fromkeys(tickets, 0)
    for _ in range(500):
        for share in scheduler.next_batch():
            scheduler.charge(share.ticket, 0.001 * share.rows)
            rows[share.ticket] += share.rows
    assert max(rows.values()) - min(rows.values()) <= (FILLING_DEBT_SECONDS + 2 * QUANTUM_SECONDS) / 0.001


def test_of_many_equal_requests_some_are_done_all_the_time() -> None:
    """Equal shares would have all hundred done in the last hundredth of the time."""
    scheduler, lane, seconds = Scheduler(), Lane("images", 32), 0.013
    for _ in range(100):
        scheduler.admit(Ticket(64, lane))
    batches = 0
    while len(scheduler) > 50:
        batches += 1
        for share in scheduler.next_batch():
            scheduler.charge(share.ticket, seconds * share.rows / 32)
            share.ticket.settle(share.rows, share.rows)
            if not share.ticket.rows:
                scheduler.leave(share.ticket)
    assert batches <= 0.6 * 100 * 64 / 32


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 60), st.integers(1, 2))
def test_when_time_is_short_as_many_are_done_as_can_be(rows: list[int], batches: int, lanes: int) -> None:
    """A row costs a second whoever it is for: who is cut off after so many batches needed more than all others."""
    scheduler, kinds = Scheduler(), [Lane(name, 4) for name in range(lanes)]
    tickets = [Ticket(n, kinds[i % lanes]) for i, n in enumerate(rows)]
    for ticket in tickets:
        scheduler.admit(ticket)
    scheduler.finish(lambda ticket: float(ticket.rows))
    done = []
    for _ in range(batches):
        for share in scheduler.next_batch():
            share.ticket.settle(share.rows, share.rows)
            if not share.ticket.rows:
                scheduler.leave(share.ticket)
                done.append(share.ticket)
    needed = dict(zip(tickets, rows, strict=True))
    for kind in kinds:
        among = [needed[ticket] for ticket in done if ticket.lane == kind]
        assert among == sorted(needed[ticket] for ticket in tickets if ticket.lane == kind)[: len(among)]
    if lanes == 1:
        possible, left = 0, batches * 4
        for n in sorted(rows):
            left -= n
            possible += left >= 0
        assert len(done) == possible


def test_when_time_is_short_who_cannot_go_on_holds_nobody_up() -> None:
    scheduler, lane = Scheduler(), Lane("images", 8)
    stuck, streamed, last = Ticket(1, lane, room=0), Ticket(20, lane, ordered=True), Ticket(30, lane)
    for ticket in (last, streamed, stuck):
        scheduler.admit(ticket)
    scheduler.finish(lambda ticket: float(ticket.rows))
    assert [(share.ticket, share.rows) for share in scheduler.next_batch(0)] == [(streamed, 8)]
    assert [(share.ticket, share.rows) for share in scheduler.next_batch(1)] == [(last, 8)], "the stream is on its way"
    stuck.room = 1
    assert [(share.ticket, share.rows) for share in scheduler.next_batch(1)] == [(stuck, 1), (last, 7)]


def test_a_slow_reader_costs_nothing_and_loses_nothing() -> None:
    scheduler, lane = Scheduler(), Lane("images", 8)
    slow, quick = Ticket(100, lane, room=0), Ticket(10**6, lane)
    scheduler.admit(slow)
    scheduler.admit(quick)
    for _ in range(100):
        shares = scheduler.next_batch()
        assert [(share.ticket, share.rows) for share in shares] == [(quick, 8)]
        scheduler.charge(quick, 0.013)
    slow.room = 3
    shares = {share.ticket: share.rows for share in scheduler.next_batch()}
    assert 1 <= shares[slow] <= 3
    assert sum(shares.values()) == 8


def test_an_ordered_request_stays_on_its_device_one_batch_at_a_time() -> None:
    scheduler, lane = Scheduler(), Lane("images", 8)
    stream, bulk = Ticket(100, lane, ordered=True), Ticket(100, lane)
    scheduler.admit(stream)
    assert [share.rows for share in scheduler.next_batch(device=1)] == [8]
    assert scheduler.next_batch(device=0) == scheduler.next_batch(device=1) == []
    scheduler.admit(bulk)
    assert [share.ticket for share in scheduler.next_batch(device=0)] == [bulk]
    assert [share.ticket for share in scheduler.next_batch(device=1)] == [bulk]
    stream.settle(8, 5)
    assert (stream.rows, stream.home) == (95, 1)
    assert stream.wanted(0) == 0 < stream.wanted(1)


def test_a_slow_reader_waits_for_nobody_once_nothing_is_made_for_it() -> None:
    scheduler, ticket = Scheduler(), Ticket(100, Lane("images", 8), room=8)
    scheduler.admit(ticket)
    scheduler.next_batch()
    assert ticket.room == 0
    assert not ticket.stuck
    ticket.settle(8, 8)
    assert ticket.stuck


def test_a_reader_who_got_more_than_there_was_room_for_has_room_once_it_took_them() -> None:
    ticket = Ticket(100, Lane("images", 8), room=2)
    ticket.take(2, device=0)
    ticket.settle(2, 8)
    assert ticket.stuck and not ticket.wanted()
    assert ticket.room is not None
    ticket.room += 8
    assert ticket.wanted() == 2


def test_a_debt_of_a_minute_is_paid_off_at_once_when_nobody_else_wants_the_device() -> None:
    scheduler = Scheduler()
    lonely = Ticket(100, LANES[0])
    scheduler.admit(lonely)
    scheduler.charge(lonely, 3_600.0)
    assert scheduler.next_batch()[0].ticket is lonely
    assert 0 < lonely.deficit <= QUANTUM_SECONDS
