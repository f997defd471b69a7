"""Rows on their way from the device loop to one reader: bounded, so that a slow reader stops its own work only."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from service.engine.portions import Portion


def nobody() -> None:
    """Whoever has not asked to be told."""


class Outbox:
    """``put`` by the device loop, ``take`` by the reader. ``capacity``: rows that may lie here.

    The reader is told of the first portion that lies here and of the one with which it is ``pressing``: telling it of
    each would wake the event loop for every batch.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._portions: deque[Portion] = deque()
        self._rows = 0
        self._lock = threading.Lock()
        self._listener: Callable[[], None] = nobody
        self._closed = False

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when there is something new to be told, from the thread that brought it; and now."""
        self._listener = listener
        listener()

    def put(self, portion: Portion) -> bool:
        """False when the reader is gone: the portion is nobody's."""
        with self._lock:
            if self._closed:
                return False
            before = self.ready, self.pressing
            self._portions.append(portion)
            self._rows += portion.n
            news = (self.ready, self.pressing) != before
        if news:
            self._listener()
        return True

    @property
    def ready(self) -> bool:
        """Something lies here."""
        return self._rows > 0

    @property
    def pressing(self) -> bool:
        """Half of the room is taken: whoever makes the rows will soon have to wait."""
        return 2 * self._rows >= self.capacity

    def tell(self) -> None:
        """Something changed that is not a portion."""
        self._listener()

    def take(self) -> list[Portion]:
        """Everything that lies here, in order; may be nothing."""
        with self._lock:
            portions = list(self._portions)
            self._portions.clear()
            self._rows = 0
        return portions

    def close(self) -> list[Portion]:
        """The reader takes no more; what still lies here, which nobody gets."""
        with self._lock:
            self._closed = True
        return self.take()


def rows_in(portions: Iterable[Portion]) -> int:
    """Rows of all portions."""
    return sum(portion.n for portion in portions)
