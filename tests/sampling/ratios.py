"""A generator that is the identity and density ratios that are formulas: every law then has a closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import chisquare

from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.ratio import Judge

UNIFORM, NORMAL = Prior("uniform", 2), Prior("normal", 2)
TILT = 1.5
"""Of the ratio exp(TILT x) / E: on the uniform prior its mean is one with E = sinh(TILT) / TILT."""
MEAN = float(np.sinh(TILT) / TILT)
BOUND = TILT - float(np.log(MEAN))  # log r at x = 1


class Counting:
    """A function of tensors that counts the rows it is asked for."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.function, self.rows = function, 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.rows += len(x)
        return self.function(x)


def tilted(x: torch.Tensor) -> torch.Tensor:
    """log r of the first coordinate."""
    return TILT * x[:, 0] - float(np.log(MEAN))


def judge(
    prior: Prior = UNIFORM,
    log_ratio: Callable[[torch.Tensor], torch.Tensor] = tilted,
    importance: ImportanceNetwork | None = None,
) -> Judge:
    return Judge(prior, Counting(lambda z: z.clone()), Counting(log_ratio), importance)


def pvalue(x: np.ndarray, density: Callable[[np.ndarray], np.ndarray], bins: int = 20) -> float:
    """Chi-square of values in [-1, 1] against an unnormalised density."""
    edges = np.linspace(-1, 1, bins + 1)
    fine = (np.arange(bins * 500) + 0.5) * 2 / (bins * 500) - 1
    expected = density(fine).reshape(bins, 500).sum(axis=1)
    counts = np.histogram(x, edges)[0]
    return float(chisquare(counts, expected / expected.sum() * counts.sum()).pvalue)


def tilted_density(x: np.ndarray) -> np.ndarray:
    return np.exp(TILT * x)


def flat_density(x: np.ndarray) -> np.ndarray:
    return np.ones_like(x)
