"""The shared supplies of unseeded work: few, the least recently used one goes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from service.engine.supply import Supply, SupplyKey

# Every method of one model fits at its defaults. What a dropped one held is at most about one block, so a second
# request with rare parameters pays one block, while parameters that nobody asks for again hold no memory.
MAX_SUPPLIES = 16


class Supplies:
    """Supplies by (model, method, parameters); ``dropped`` is told what goes."""

    def __init__(self, dropped: Callable[[Supply], None], most: int = MAX_SUPPLIES) -> None:
        self._dropped, self._most = dropped, most
        self._supplies: OrderedDict[SupplyKey, Supply] = OrderedDict()

    def get(self, key: SupplyKey, make: Callable[[], Supply]) -> Supply:
        """The supply of ``key``, made if there is none; it is now the most recently used one."""
        if key not in self._supplies:
            self._supplies[key] = make()
            while len(self._supplies) > self._most:
                self._dropped(self._supplies.popitem(last=False)[1])
        self._supplies.move_to_end(key)
        return self._supplies[key]
