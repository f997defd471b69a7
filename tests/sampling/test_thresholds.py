"""Thresholds: shares of the prior on stored quantiles."""

from __future__ import annotations

import pytest

from sampling.thresholds import threshold


@pytest.mark.parametrize(
    ("share", "score"), [(0.0, 1.0), (0.5, 3.0), (1.0, 11.0), (0.25, 2.0), (0.75, 7.0), (0.875, 9.0)]
)
def test_a_share_is_interpolated_between_evenly_spaced_levels(share: float, score: float) -> None:
    assert threshold((1.0, 3.0, 11.0), share) == pytest.approx(score)
