"""Decoded rows whose request was cancelled before it got any of them: as good for the next one that asks the same.

Samples are independent, and nobody has seen these: handing them on is no different from having made them for whoever
comes next. Without this every client that hangs up half-way would waste half of what was made for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from dataclasses import dataclass

from sampling.parameters import Parameters
from service.engine.rows import Pixels
from service.engine.supply import Take, split

# Of all keys together; a contact sheet's worth of 28x28 images is 0.2 MiB.
MAX_RETURNED_BYTES = 64 * 2**20
ReturnKey = tuple[str, str, Parameters]
"""Digest of the bundle, method, parameters."""


@dataclass(frozen=True)
class Returned:
    """Rows of a model that lie here, with their latents and weights."""

    model: str
    take: Take
    rows: Pixels

    @property
    def nbytes(self) -> int:
        weights = 0 if self.take.weights is None else self.take.weights.nbytes
        return self.rows.nbytes + self.take.latents.nbytes + weights

    def copy(self) -> Returned:
        """In memory of its own."""
        weights = None if self.take.weights is None else self.take.weights.clone()
        return Returned(self.model, Take(self.take.latents.clone(), weights, self.take.proposals), self.rows.copy())


class Returns:
    """First in, first out, by ReturnKey; ``dropped`` is told what goes: model and rows."""

    def __init__(self, dropped: Callable[[str, int], None], most_bytes: int = MAX_RETURNED_BYTES) -> None:
        self._dropped, self._most = dropped, most_bytes
        self._lying: dict[ReturnKey, deque[Returned]] = {}
        self._bytes = 0

    def put(self, key: ReturnKey, returned: Returned) -> bool:
        """What lies here longest makes room. False where there is not enough for it alone.

        A copy is kept: the first rows of an answer would hold the memory of all of it, which nobody counts any more.
        """
        if returned.nbytes > self._most:
            return False
        while self._bytes + returned.nbytes > self._most:
            self._drop(next(iter(self._lying)))
        self._bytes += returned.nbytes
        self._lying.setdefault(key, deque()).append(returned.copy())
        return True

    def take(self, key: ReturnKey, most: int) -> Returned | None:
        """Up to ``most`` rows of one former request, or None."""
        lying = self._lying.get(key)
        if not lying:
            return None
        first = lying.popleft()
        if len(first.rows) > most:
            mine, rest = split(first.take, most)
            lying.appendleft(Returned(first.model, rest, first.rows[most:]))
            first = Returned(first.model, mine, first.rows[:most])
        if not lying:
            del self._lying[key]
        self._bytes -= first.nbytes
        return first

    def trim(self, used: Container[str]) -> None:
        """Let go what belongs to a bundle whose digest is not ``used``."""
        for key in [key for key in self._lying if key[0] not in used]:
            self._drop(key)

    def _drop(self, key: ReturnKey) -> None:
        gone = self._lying.pop(key)
        self._bytes -= sum(each.nbytes for each in gone)
        self._dropped(gone[0].model, sum(len(each.rows) for each in gone))
