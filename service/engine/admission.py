"""Whether a request may wait: one decision at the door, in device seconds. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

LONGEST_RETRY_SECONDS = 600


def fair_wait(work: float, others: Iterable[float]) -> float:
    """Seconds that a request of ``work`` device seconds spends waiting for ``others`` under fair sharing.

    Until it is done each of the others gets as much of the device as it does, or what it still needs if that is
    less: parked bulk costs a small request next to nothing, and a large one all of it.
    """
    return sum(min(other, work) for other in others)


def retry_after(seconds: float) -> int:
    """The value of a Retry-After header: whole seconds, at least 1."""
    return min(max(1, ceil(seconds)), LONGEST_RETRY_SECONDS)


class Speeds:
    """Device seconds a row by kind of work: what was measured lately, or a guess until it was."""

    MEMORY = 0.9

    def __init__(self) -> None:
        self._seconds: dict[object, float] = {}

    def of(self, kind: object, guess: float) -> float:
        return self._seconds.get(kind, guess)

    def measured(self, kind: object, rows: int, seconds: float) -> None:
        """``rows`` of a kind of work were made in ``seconds``."""
        now = seconds / rows
        before = self._seconds.get(kind, now)
        self._seconds[kind] = self.MEMORY * before + (1 - self.MEMORY) * now

    def forget(self, kinds: Iterable[object]) -> None:
        for kind in list(kinds):
            self._seconds.pop(kind, None)
