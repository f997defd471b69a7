"""Student confidence intervals of a metric over independent draws."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import isfinite, sqrt
from statistics import fmean, stdev
from typing import NamedTuple

from scipy.stats import t

CONFIDENCE = 0.97  # of the published tables: 10 draws, "97% interval"


class Interval(NamedTuple):
    """mean +- half_width, in the unit of the values."""

    mean: float
    half_width: float


def student_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Two-sided interval t_{n-1} s / sqrt(n) of at least 2 independent values. Raises ValueError.

    It covers the spread of what was drawn anew (points, or training seeds), and nothing else.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie between 0 and 1, not {confidence}; use for example 0.97")
    numbers = [float(value) for value in values]
    if len(numbers) < 2:
        raise ValueError(f"an interval needs at least 2 values, not {len(numbers)}; repeat the measurement")
    if not all(map(isfinite, numbers)):
        raise ValueError("the values hold NaN or infinity; find the draw whose metric failed")
    return Interval(fmean(numbers), _quantile(confidence, len(numbers) - 1) * stdev(numbers) / sqrt(len(numbers)))


@cache
def _quantile(confidence: float, freedom: int) -> float:
    return float(t.ppf((1 + confidence) / 2, freedom))


def paired_difference(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Interval of first - second, measured in pairs (same draw, same seed). Raises ValueError.

    Zero outside the interval: they differ. Pairing removes the spread that both share.
    """
    if len(first) != len(second):
        raise ValueError(f"paired values differ in number, {len(first)} and {len(second)}; measure both on each draw")
    return student_interval([a - b for a, b in zip(first, second, strict=True)], confidence)
