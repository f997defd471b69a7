"""A share of the prior as a threshold on a score, from the quantiles that a pilot run stored."""

from __future__ import annotations

import numpy as np


def threshold(quantiles: tuple[float, ...], share: float) -> float:
    """The score that a ``share`` of the prior's latents lies below, by linear interpolation between quantiles."""
    return float(np.interp(share, np.linspace(0, 1, len(quantiles)), quantiles))
