"""Who gets the next batch: deficit round robin over requests, in measured device time (Shreedhar and Varghese 1995).

Pure: no clock, no thread, no torch. A request is a ticket; tickets of one lane can share a batch. Each turn at the head
of the ring gives a ticket one quantum of device seconds; while it has some left it leads batches, and the tickets of
its lane share them, first those that have some left. What a batch really took is charged afterwards, so an expensive
one is paid off by turns foregone, and nobody starves: the ring moves past whoever is in debt, not runnable or gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil

from service.engine.shares import fair_shares

# A ticket of another lane waits for whoever leads until a quantum is spent: less than any batch worth the name takes.
# A batch that costs ten of them is paid off by nine turns foregone, so the share of the device is the same.
QUANTUM_SECONDS = 0.002
# Who owes more than a batch on a CPU (sizing.CPU_BATCH_FLOPS) does not fill up other leaders' batches: its rows may be
# as expensive as that again (a method that decodes forty rows for one), and everybody would wait for them.
FILLING_DEBT_SECONDS = 0.03


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
        self._ring.remove(ticket)

    def charge(self, ticket: Ticket, seconds: float) -> None:
        """Device time that was spent on a ticket's behalf, whether or not it came to rows."""
        ticket.deficit -= seconds

    def next_batch(self) -> list[Share]:
        """Shares of the next batch, its leader's first; empty when nobody is runnable."""
        leader = self._next_leader()
        if leader is None:
            return []
        mates = [
            ticket
            for ticket in self._ring
            if ticket.lane == leader.lane
            and ticket is not leader
            and ticket.wanted
            and ticket.deficit > -FILLING_DEBT_SECONDS
        ]
        # Whoever had least is first, so that the odd rows go round when there are more tickets than rows.
        mates.sort(key=lambda ticket: -ticket.deficit)
        party = [leader, *(ticket for ticket in mates if ticket.deficit > 0)]
        # What they leave would be idle: those little in debt fill it up, and owe that, too.
        indebted = [ticket for ticket in mates if ticket.deficit <= 0]
        left = leader.lane.capacity
        shares: list[Share] = []
        for group in (party, indebted):
            rows = fair_shares([ticket.wanted for ticket in group], left)
            left -= sum(rows)
            shares += [Share(ticket, given) for ticket, given in zip(group, rows, strict=True) if given]
        return shares

    def _next_leader(self) -> Ticket | None:
        runnable = [ticket for ticket in self._ring if ticket.wanted]
        if not runnable:
            return None
        head = self._ring[0]
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
