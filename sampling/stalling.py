"""The end of a rejection that accepts next to nothing."""

from __future__ import annotations

from sampling.draw import Cost
from sampling.sampler import MAX_PROPOSALS_PER_SAMPLE, WAY_OUT, stalled

WINDOW_SAMPLES = 100
"""Acceptances that a window would hold at the lowest rate allowed: enough to tell that rate to a tenth."""


class StallWatch:
    """Adds up what a stream costs; ``max_proposals``: the most that a sample may cost, on average over a window."""

    def __init__(self, max_proposals: int = MAX_PROPOSALS_PER_SAMPLE) -> None:
        self._window, self._max_proposals = Cost(), max_proposals

    def add(self, cost: Cost) -> None:
        self._window += cost

    def verdict(self, method: str, bundle: str = "") -> str | None:
        """A sentence if too few were accepted over a full window, which then starts anew; None while all is well."""
        if self._window.proposals < WINDOW_SAMPLES * self._max_proposals:
            return None
        window, self._window = self._window, Cost()
        if window.accepted * self._max_proposals >= window.proposals:
            return None
        return (
            f"{stalled(method, window)}{bundle and f' with bundle {bundle}'}, a rate of {window.acceptance_rate:.2g}; "
            f"at least one in {self._max_proposals} must pass (limits.max_proposals_per_sample): {WAY_OUT}."
        )
