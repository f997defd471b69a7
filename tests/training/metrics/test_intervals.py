"""Student intervals against SciPy and against how often they cover the truth."""

from __future__ import annotations

from math import sqrt
from statistics import stdev

import numpy as np
import pytest
from scipy import stats

from training.metrics.intervals import paired_difference, student_interval

VALUES = [3.1, 2.7, 3.3, 2.9, 3.0, 3.6, 2.2, 3.1, 2.8, 3.4]


@pytest.mark.parametrize("confidence", [0.5, 0.97, 0.999])
def test_it_is_scipys_interval(confidence: float) -> None:
    mean, half_width = student_interval(VALUES, confidence)
    low, high = stats.t.interval(confidence, len(VALUES) - 1, np.mean(VALUES), stats.sem(VALUES))
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high), rel=1e-12)


def test_ten_draws_at_97_percent_give_2574_standard_errors() -> None:
    """The normal quantile would give 2.170."""
    assert student_interval(VALUES).half_width == pytest.approx(2.574 * stdev(VALUES) / sqrt(10), rel=2e-4)


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(5.0, 2.0, size=(4_000, 4))
    covered = sum(abs(mean - 5.0) <= half for mean, half in (student_interval(row.tolist(), 0.9) for row in draws))
    assert abs(covered / 4_000 - 0.9) < 4 * sqrt(0.9 * 0.1 / 4_000)


def test_pairing_removes_the_common_spread() -> None:
    better = [value - 0.1 for value in VALUES]
    difference = paired_difference(VALUES, better)
    assert difference.mean == pytest.approx(0.1)
    assert difference.half_width < 1e-12
    assert paired_difference(better, VALUES).mean == pytest.approx(-0.1)


def test_broken_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 values, not 1; repeat"):
        student_interval([1.0])
    with pytest.raises(ValueError, match="NaN or infinity; find the draw"):
        student_interval([1.0, float("nan")])
    with pytest.raises(ValueError, match="differ in number, 2 and 3; measure both"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])
    for confidence in (0.0, 1.0, 97.0):
        with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
            student_interval(VALUES, confidence)
