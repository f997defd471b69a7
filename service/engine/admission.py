"""Whether a request may wait: one decision at the door, in device seconds. Pure arithmetic."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from itertools import accumulate
from math import ceil, inf

LONGEST_RETRY_SECONDS = 600
# A kind is a model, a method and its parameters, which may be any numbers: those that never come again must not stay.
MAX_SPEEDS = 1_024


class Line:
    """The device ``seconds`` that each waiting request still needs, sorted and summed up once for many questions."""

    def __init__(self, seconds: Iterable[float]) -> None:
        self._seconds = sorted(seconds)
        self._sums = list(accumulate(self._seconds, initial=0.0))

    @property
    def shortest(self) -> float:
        """What the first to be done needs; 0 where nobody gets on."""
        return next((seconds for seconds in self._seconds if seconds), 0.0)

    def wait(self, work: float) -> float:
        """Seconds that one more request of ``work`` device seconds spends waiting under fair sharing.

        Until it is done each of the others gets as much of the device as it does, or what it still needs if that is
        less: parked bulk costs a small request next to nothing, and a large one all of it.
        """
        smaller = bisect_right(self._seconds, work)
        return self._sums[smaller] + work * (len(self._seconds) - smaller)


def retry_after(seconds: float) -> int:
    """The value of a Retry-After header: whole seconds, at least 1."""
    return min(max(1, ceil(seconds)), LONGEST_RETRY_SECONDS)


class Speed:
    """Device seconds a row of one kind of work: what was measured lately, or a guess until it was."""

    __slots__ = ("_measured", "seconds")
    MEMORY = 0.9
    FRESH_SECONDS = 60.0

    def __init__(self, guess: float) -> None:
        self.seconds, self._measured = guess, -inf

    def measured(self, rows: int, seconds: float, now: float) -> None:
        """``rows`` were made in ``seconds``."""
        latest = seconds / rows
        known = self._measured > -inf
        self.seconds = self.MEMORY * self.seconds + (1 - self.MEMORY) * latest if known else latest
        self._measured = now

    def fresh(self, now: float) -> bool:
        """Whether it was measured within the last minute. Nobody may be refused for ever for a guess, or for what was
        true once: who is refused measures nothing."""
        return now - self._measured <= self.FRESH_SECONDS


class Speeds:
    """Speeds by kind, the most recently used ones. Requests keep theirs: admission adds up those of all that wait."""

    def __init__(self, most: int = MAX_SPEEDS) -> None:
        self._speeds: OrderedDict[Hashable, Speed] = OrderedDict()
        self._most = most

    def of(self, kind: Hashable, guess: float) -> Speed:
        """The one of ``kind``, which starts with ``guess``."""
        speed = self._speeds.setdefault(kind, Speed(guess))
        self._speeds.move_to_end(kind)
        if len(self._speeds) > self._most:
            self._speeds.popitem(last=False)
        return speed
