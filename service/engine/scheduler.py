"""Who gets the next batch: deficit round robin over requests, in measured device time (Shreedhar and Varghese 1995).

Pure: no clock, no thread, no torch. A request is a ticket; tickets of one lane can share a batch. Each turn at the head
of the ring gives a ticket one quantum of device seconds; while it has some left it leads batches, and the tickets of
its lane fill them up, on credit. What a batch really took is charged afterwards, so an expensive
one is paid off by turns foregone, and nobody starves: the ring moves past whoever is in debt, not runnable or gone.

Several devices ask in turn, each for its own batch. Rows that one has taken no other gets, until ``settle`` says what
became of them.

A request that is done in one batch pays nothing off. The others get what it owed, or they would wait for a stream of
such for ever; but not while such take less than their part of the time, or each would have a batch of a large request
before it, which had the device for itself until a moment ago.

Once nobody comes any more and time is short (``finish``), even shares would have everybody done at the end, or cut off
there: the shortest go first then, so that as many as possible are done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import ceil

# A ticket of another lane waits for whoever leads until a quantum is spent: less than any batch worth the name takes.
# A batch that costs ten of them is paid off by nine turns foregone, so the share of the device is the same.
QUANTUM_SECONDS = 0.002
# So much may a ticket owe and still fill up other leaders' batches: two batches on a CPU (sizing.CPU_BATCH_FLOPS), 64
# images of 28x28. Its rows may be as expensive as a method makes them, and everybody in the batch waits for them.
FILLING_DEBT_SECONDS = 0.03
# What those that leave in debt may take of the device's time before the others get it back, and how much of that may be
# saved up: eight batches on a CPU. Single samples beside a large request wait for the batch that runs and for each
# other, until they take a quarter of the time.
FORGIVEN_PART = 1 / 4
FORGIVEN_SECONDS = 0.1
# Of a batch, for its leader whatever the others want: the ring alone decides when a large request goes on.
LEADERS_PART = 1 / 8


@dataclass(frozen=True)
class Lane:
    """Whose rows can go through the device together, and how many at once."""

    key: Hashable
    capacity: int


@dataclass(eq=False)
class Ticket:
    """A request in the ring. ``rows``: not made, nor being made. ``room``: rows that its reader still takes, None for
    all; below 0 where a device made more than it was asked for. ``ordered``: its rows come out of one stream, on one
    device at a time, which is its ``home`` from then on. ``taken``: rows that are being made.
    """

    rows: int
    lane: Lane
    room: int | None = None
    ordered: bool = False
    home: int | None = None
    taken: int = 0
    deficit: float = QUANTUM_SECONDS

    @property
    def stuck(self) -> bool:
        """Its reader takes nothing, and nothing is being made for it."""
        return self.room is not None and self.room <= 0 and not self.taken

    @property
    def held(self) -> bool:
        """A device is at its stream, which nobody else must touch."""
        return self.ordered and self.taken > 0

    def wanted(self, device: int = 0) -> int:
        """Rows that may be made for it now on ``device``; 0 while its reader is slow."""
        if self.held or self.home not in (None, device):
            return 0
        return self.rows if self.room is None else max(0, min(self.rows, self.room))

    def take(self, rows: int, device: int) -> Share:
        """``rows`` are being made from now on."""
        self._move(rows)
        self.taken += rows
        if self.ordered:
            self.home = device
        return Share(self, rows)

    def settle(self, taken: int, made: int) -> None:
        """Of ``taken`` rows ``made`` were; a device may have made more than it was asked for."""
        self.taken -= taken
        self._move(made - taken)

    def _move(self, rows: int) -> None:
        self.rows -= rows
        if self.room is not None:
            self.room -= rows


@dataclass(frozen=True)
class Share:
    """Rows of a batch that are for one ticket."""

    ticket: Ticket
    rows: int


class Scheduler:
    """The ring. Time grows with the number of tickets, for a batch of many small ones like that of sorting them."""

    def __init__(self, quantum: float = QUANTUM_SECONDS) -> None:
        self._quantum = quantum
        self._ring: deque[Ticket] = deque()
        # Whether the head of the ring has had its quantum for this turn.
        self._credited = True
        self._finishing = False
        self._forgiven = FORGIVEN_SECONDS

    def __len__(self) -> int:
        return len(self._ring)

    def admit(self, ticket: Ticket) -> None:
        """A new ticket may join the very next batch of its lane; it leads one when the ring comes round."""
        ticket.deficit = self._quantum
        self._ring.append(ticket)

    def leave(self, ticket: Ticket) -> None:
        """What a ticket still owes, beyond what may be forgiven, the others get: a stream of small requests must not
        starve them."""
        if self._ring[0] is ticket:
            self._credited = False
        self._ring.remove(ticket)
        if not self._ring:
            return
        debt = max(0.0, -ticket.deficit)
        forgiven = min(debt, self._forgiven)
        self._forgiven -= forgiven
        if debt > forgiven:
            for other in self._ring:
                other.deficit = min(other.deficit + debt - forgiven, self._quantum)

    def charge(self, ticket: Ticket, seconds: float) -> None:
        """Device time that was spent on a ticket's behalf, whether or not it came to rows."""
        ticket.deficit -= seconds
        self._forgiven = min(self._forgiven + FORGIVEN_PART * seconds, FORGIVEN_SECONDS)

    def finish(self, needed: Callable[[Ticket], float]) -> None:
        """From now on whoever needed the fewest device seconds, as ``needed`` says now, goes before all others."""
        self._ring = deque(sorted(self._ring, key=needed))
        self._finishing = True

    def next_batch(self, device: int = 0) -> list[Share]:
        """Shares of the next batch of ``device``, its leader's first, all taken; empty when nobody is runnable.

        The leader is sure of a part. The rest goes to the tickets of its lane, whoever misses fewest rows first, as
        far as they are not deep in debt: small requests are done in the next batch, and of a thousand equal
        ones some are done all the time, where equal shares would have all of them done at the end.
        """
        if self._finishing:
            return self._first_in_line(device)
        leader = self._next_leader(device)
        if leader is None:
            return []
        lane, left, most = leader.lane, leader.lane.capacity, leader.wanted(device)
        sure = min(most, ceil(left * LEADERS_PART))
        left -= sure
        shares: list[Share] = []
        mates = [t for t in self._ring if t.lane == lane and t.deficit > -FILLING_DEBT_SECONDS and t is not leader]
        for mate in sorted(mates, key=_missing):
            if not left:
                break
            if rows := min(mate.wanted(device), left):
                shares.append(mate.take(rows, device))
                left -= rows
        return [leader.take(sure + min(most - sure, left), device), *shares]

    def _first_in_line(self, device: int) -> list[Share]:
        """The first ticket that is runnable, then those of its lane behind it, each with all that there is room for."""
        shares: list[Share] = []
        left = 0
        for ticket in self._ring:
            if not (wanted := ticket.wanted(device)):
                continue
            if not shares:
                left = ticket.lane.capacity
            elif ticket.lane != shares[0].ticket.lane:
                continue
            shares.append(ticket.take(min(wanted, left), device))
            left -= shares[-1].rows
            if not left:
                break
        return shares

    def _next_leader(self, device: int) -> Ticket | None:
        runnable = [ticket for ticket in self._ring if ticket.wanted(device)]
        if not runnable:
            return None
        head = self._ring[0]
        if not self._credited and head.wanted(device):  # whoever was before it has left, so its turn begins here
            head.deficit = min(head.deficit + self._quantum, self._quantum)
        self._credited = True
        if head.wanted(device) and head.deficit > 0:
            return head
        self._skip_rounds(runnable)
        while True:
            self._ring.rotate(-1)
            head = self._ring[0]
            if head.wanted(device):
                head.deficit = min(head.deficit + self._quantum, self._quantum)
                if head.deficit > 0:
                    return head

    def _skip_rounds(self, runnable: list[Ticket]) -> None:
        """Rounds in which everybody would stay in debt, at once."""
        rounds = ceil(-max(ticket.deficit for ticket in runnable) / self._quantum) - 1
        if rounds > 0:
            for ticket in runnable:
                ticket.deficit += rounds * self._quantum


def _missing(ticket: Ticket) -> int:
    return ticket.rows
