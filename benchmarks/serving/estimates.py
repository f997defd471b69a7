"""Numbers of a measurement, each with the interval that its repetitions allow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, log
from typing import NamedTuple

import numpy as np
from scipy.stats import linregress, t

from training.metrics.intervals import CONFIDENCE, Interval, student_interval

QUANTILES = (0.5, 0.9, 0.99, 0.999)
RESAMPLES = 2_000


class Bounds(NamedTuple):
    """An estimate between two limits, and how many repetitions it comes from."""

    value: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def ratio_interval(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> Bounds:
    """Geometric mean of first / second over interleaved pairs, all positive: Student's interval of the logarithms."""
    if len(first) != len(second):
        raise ValueError(f"paired values differ in number, {len(first)} and {len(second)}")
    mean, half = student_interval([log(a / b) for a, b in zip(first, second, strict=True)], confidence)
    return Bounds(exp(mean), exp(mean - half), exp(mean + half), len(first))


def quantile(values: Sequence[float], q: float) -> float | None:
    """The smallest value that at least a share ``q`` does not exceed; None when too few values lie beyond to tell."""
    if len(values) * (1 - q) < 1 - 1e-9:
        return None
    return float(np.quantile(values, q, method="inverted_cdf"))


def bootstrap_difference(
    first: Sequence[Sequence[float]],
    second: Sequence[Sequence[float]],
    statistic: Callable[[np.ndarray], float] = lambda values: float(np.median(values)),
    confidence: float = CONFIDENCE,
) -> Bounds:
    """statistic(first) - statistic(second), of rounds measured in turn; whole rounds (pairs of them) are resampled.

    Values within a round share the machine's mood, so they are not independent, the rounds are more so.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"a bootstrap needs at least 2 pairs of rounds, not {len(first)} and {len(second)}")
    ours, theirs = [np.asarray(part) for part in first], [np.asarray(part) for part in second]
    rng = np.random.default_rng(0)

    def difference(rounds: np.ndarray) -> float:
        return statistic(np.concatenate([ours[i] for i in rounds])) - statistic(
            np.concatenate([theirs[i] for i in rounds])
        )

    drawn = [difference(rng.integers(0, len(ours), len(ours))) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Bounds(difference(np.arange(len(ours))), float(low), float(high), len(ours))


def slope_interval(times: Sequence[float], values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Least squares slope of ``values`` over ``times`` (at least 3), with Student's interval."""
    if len(times) != len(values) or len(times) < 3:
        raise ValueError(f"a slope needs at least 3 points, not {len(times)} and {len(values)}")
    fit = linregress(times, values)
    return Interval(float(fit.slope), float(t.ppf((1 + confidence) / 2, len(times) - 2)) * float(fit.stderr))


def segment_means(values: Sequence[float], segments: int) -> list[float]:
    """Means of consecutive parts of about equal length, which are far less correlated than the values."""
    return [float(part.mean()) for part in np.array_split(np.asarray(values, float), segments)]
