"""Hausdorff distances by hand."""

from __future__ import annotations

from tests.training.metrics.samples import column, normal
from training.metrics.hausdorff import average_hausdorff

REAL, FAKE = column(0.0, 1.0, 10.0), column(0.5, 2.0)


def test_the_average_is_one_sided() -> None:
    assert average_hausdorff(REAL, FAKE) == (0.5 + 0.5 + 8.0) / 3
    assert average_hausdorff(FAKE, REAL) == (0.5 + 1.0) / 2


def test_identical_sets_are_zero_apart() -> None:
    real = normal(1_100, 32, seed=2, shift=50.0)
    assert average_hausdorff(real, real) == 0.0
