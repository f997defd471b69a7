"""The pools: chosen latents of unseeded work, shared by all requests for the same model, method and parameters.

Each latent is handed out once, in order of arrival. Pools are few, the least recently used one goes; they are seeded
by the operating system, and filled when the device has nothing better to do.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Container

from service.engine.supply import Supply, SupplyKey

# Every method of one model fits at its defaults. What a dropped one held is at most a pool's worth, so a second
# request with rare parameters pays one block, while parameters that nobody asks for again hold no memory.
MAX_SUPPLIES = 16
# Whoever comes while a pool is being filled waits for the block: no longer than for two batches of somebody else's.
LONGEST_FILLING_SECONDS = 0.04


def stocked(supply: Supply) -> bool:
    """Whether idle time may fill it, as far as its blocks so far tell."""
    return supply.block_seconds <= LONGEST_FILLING_SECONDS and not supply.broken


class Supplies:
    """Supplies by SupplyKey; ``dropped`` is told what goes, between two turns: ``trim``.

    ``rows``: latents to have ready in each; ``decoded_rows``: of a method that comes with the decoded rows, too.
    """

    def __init__(self, dropped: Callable[[Supply], None], rows: int = 0, most: int = MAX_SUPPLIES) -> None:
        self._dropped, self._rows, self._most = dropped, rows, most
        self._supplies: OrderedDict[SupplyKey, Supply] = OrderedDict()
        self._doomed: deque[str] = deque()  # whoever dooms may be another thread

    def get(self, key: SupplyKey, make: Callable[[], Supply]) -> Supply:
        """The supply of ``key``, made if there is none; it is now the most recently used one."""
        if key not in self._supplies:
            self._supplies[key] = make()
        self._supplies.move_to_end(key)
        return self._supplies[key]

    def hungry(self) -> Supply | None:
        """The most recently used supply that should be filled while the device is idle, or None."""
        for supply in reversed(self._supplies.values()):
            enough = min(supply.sampler.block, self._rows) if supply.decodes else self._rows
            if supply.ready < enough and supply.block_seconds and stocked(supply):
                return supply
        return None

    def drop(self, digest: str) -> None:
        """The bundle is no longer served: what is here of it goes with the next ``trim``."""
        self._doomed.append(digest)

    def trim(self, used: Container[str]) -> None:
        """Let go what is too much, and what belongs to a bundle that was dropped or whose digest is not ``used``."""
        doomed = {self._doomed.popleft() for _ in range(len(self._doomed))}
        gone = [key for key in self._supplies if key[0] in doomed or key[0] not in used]
        for key in gone:
            self._dropped(self._supplies.pop(key))
        while len(self._supplies) > self._most:
            self._dropped(self._supplies.popitem(last=False)[1])
