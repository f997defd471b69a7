"""What a streaming format is: bytes before, for and after the rows of an answer."""

from __future__ import annotations

from typing import Protocol

from service.engine.portions import Portion, Summary


class Writer(Protocol):
    """One answer being written. Its calls come in this order and never at the same time, from any thread.

    What they return, put together, does not depend on how the rows are cut into portions. Memory is bounded: what is
    returned is not kept.
    """

    def start(self) -> bytes:
        """What comes before the first row."""

    def add(self, portion: Portion) -> bytes:
        """The next rows."""

    def finish(self, summary: Summary) -> bytes:
        """What comes after the last row."""
