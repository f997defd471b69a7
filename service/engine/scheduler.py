"""Who gets the next batch: deficit round robin over requests, in measured device time (Shreedhar and Varghese 1995).

Pure: no clock, no thread, no torch. A request is a ticket; tickets of one lane can share a batch. Each turn at the head
of the ring gives a ticket one quantum of device seconds; while it has some left it leads batches, and the tickets of
its lane fill them up, on credit. What a batch really took is charged afterwards, so an expensive
one is paid off by turns foregone, and nobody starves: the ring moves past whoever is in debt, not runnable or gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil

# A ticket of another lane waits for whoever leads until a quantum is spent: less than any batch worth the name takes.
# A batch that costs ten of them is paid off by nine turns foregone, so the share of the device is the same.
QUANTUM_SECONDS = 0.002
# So much may a ticket owe and still fill up other leaders' batches: two batches on a CPU (sizing.CPU_BATCH_FLOPS), 64
# images of 28x28. Its rows may be as expensive as a method makes them, and everybody in the batch waits for them.
FILLING_DEBT_SECONDS = 0.03
# Of a batch, for its leader whatever the others want: the ring alone decides when a large request goes on.
LEADERS_PART = 1 / 8


@dataclass(frozen=True)
class Lane:
    """Whose rows can go through the device together, and how many at once."""

    key: Hashable
    capacity: int


@dataclass(eq=False)
class Ticket:
    """A request in the ring. ``rows``: not made yet. ``room``: rows that its reader still takes, None for all."""

    rows: int
    lane: Lane
    room: int | None = None
    deficit: float = QUANTUM_SECONDS

    @property
    def wanted(self) -> int:
        """Rows that may be made for it now; 0 while its reader is slow."""
        return self.rows if self.room is None else min(self.rows, self.room)


@dataclass(frozen=True)
class Share:
    """Rows of a batch that are for one ticket."""

    ticket: Ticket
    rows: int


class Scheduler:
    """The ring. Every method takes time linear in the number of tickets, at most."""

    def __init__(self, quantum: float = QUANTUM_SECONDS) -> None:
        self._quantum = quantum
        self._ring: deque[Ticket] = deque()
        # Whether the head of the ring has had its quantum for this turn.
        self._credited = True

    def __len__(self) -> int:
        return len(self._ring)

    @property
    def tickets(self) -> Sequence[Ticket]:
        """In the order of their turns."""
        return tuple(self._ring)

    def admit(self, ticket: Ticket) -> None:
        """A new ticket may join the very next batch of its lane; it leads one when the ring comes round."""
        ticket.deficit = self._quantum
        self._ring.append(ticket)

    def leave(self, ticket: Ticket) -> None:
        """What a ticket still owes the others get: a stream of small requests must not run on forgiven debts."""
        if self._ring[0] is ticket:
            self._credited = False
        self._ring.remove(ticket)
        if ticket.deficit < 0:
            for other in self._ring:
                other.deficit = min(other.deficit - ticket.deficit, self._quantum)

    def charge(self, ticket: Ticket, seconds: float) -> None:
        """Device time that was spent on a ticket's behalf, whether or not it came to rows."""
        ticket.deficit -= seconds

    def next_batch(self) -> list[Share]:
        """Shares of the next batch, its leader's first; empty when nobody is runnable.

        The leader is sure of a part. The rest goes to the tickets of its lane, whoever misses fewest rows first, as
        far as they are not deep in debt: small requests are done in the next batch, and of a thousand equal
        ones some are done all the time, where equal shares would have all of them done at the end.
        """
        leader = self._next_leader()
        if leader is None:
            return []
        lane, left = leader.lane, leader.lane.capacity
        sure = min(leader.wanted, ceil(left * LEADERS_PART))
        left -= sure
        shares: list[Share] = []
        mates = [t for t in self._ring if t.lane == lane and t.deficit > -FILLING_DEBT_SECONDS and t is not leader]
        for mate in sorted(mates, key=_missing):
            if not left:
                break
            if rows := min(mate.wanted, left):
                shares.append(Share(mate, rows))
                left -= rows
        return [Share(leader, sure + min(leader.wanted - sure, left)), *shares]

    def _next_leader(self) -> Ticket | None:
        runnable = [ticket for ticket in self._ring if ticket.wanted]
        if not runnable:
            return None
        head = self._ring[0]
        if not self._credited and head.wanted:  # whoever was before it has left, so its turn begins here
            head.deficit = min(head.deficit + self._quantum, self._quantum)
        self._credited = True
        if head.wanted and head.deficit > 0:
            return head
        self._skip_rounds(runnable)
        while True:
            self._ring.rotate(-1)
            head = self._ring[0]
            if head.wanted:
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
