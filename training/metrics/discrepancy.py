"""Unbiased discrepancies: zero on average for equal laws at any sample size, so they may come out negative."""

from __future__ import annotations

import torch

from training.metrics.distances import BLOCK_ROWS, distance_blocks
from training.metrics.inputs import same_space
from training.weights.config import EnergyConfig
from training.weights.kernels import discrepancy

KID_DEGREE = 3


def energy_distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| of features [n, d] and [m, d], n, m >= 2, in the features' units.

    U-statistic (Szekely and Rizzo 2013 without the diagonal): each pair of different samples counts, no
    sample is compared with itself. Not the square root that some libraries return. Raises ValueError.
    """
    real, fake = same_space(real, fake, at_least=2)
    across = sum(float(block.sum()) for _, block in distance_blocks(real, fake, exact=False))
    return 2 * across / (len(real) * len(fake)) - _mean_pair_distance(real) - _mean_pair_distance(fake)


def kid(real: torch.Tensor, fake: torch.Tensor) -> float:
    """Kernel inception distance: unbiased squared MMD with k(x, y) = (x.y / d + 1)^3 (Binkowski et al. 2018).

    Features [n, d] and [m, d], n, m >= 2. All pairs are used, in blocks; the authors average over subsets
    of 1,000 for memory's sake, which has the same mean and a larger variance. Raises ValueError.
    """
    real, fake = same_space(real, fake, at_least=2)
    across = _kernel_sum(real, fake) / (len(real) * len(fake))
    return _mean_pair_kernel(real) + _mean_pair_kernel(fake) - 2 * across


def ladder_distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    """The energy distance with, in place of |x - y|, its sum with Laplace kernels at the scales of ``real``.

    Features [n, d] and [m, d], n, m >= 2; the unit is the mean over pairs of real rows. Scales go from the median
    distance of real rows down to their nearest neighbours': unlike |x - y| it sees how narrow a mode is. Raises
    ValueError; TrainingRefused where all real rows are one point.
    """
    real, fake = same_space(real, fake, at_least=2)
    rho = discrepancy(EnergyConfig(kernel="ladder"), real)

    def total(x: torch.Tensor, y: torch.Tensor) -> float:
        return sum(float(rho(rows, y).double().sum()) for rows in x.split(BLOCK_ROWS))

    def within(x: torch.Tensor) -> float:
        own = sum(float(rho(rows, rows).diagonal().double().sum()) for rows in x.split(BLOCK_ROWS))
        return (total(x, x) - own) / (len(x) * (len(x) - 1))

    return 2 * total(real, fake) / (len(real) * len(fake)) - within(real) - within(fake)


def _mean_pair_distance(x: torch.Tensor) -> float:
    total = 0.0
    for rows, block in distance_blocks(x, x, exact=False):
        own = block[:, rows].diagonal().sum()  # zero but for rounding
        total += float(block.sum() - own)
    return total / (len(x) * (len(x) - 1))


def _mean_pair_kernel(x: torch.Tensor) -> float:
    own = float((x.square().sum(dim=1) / x.shape[1] + 1).pow(KID_DEGREE).sum())
    return (_kernel_sum(x, x) - own) / (len(x) * (len(x) - 1))


def _kernel_sum(x: torch.Tensor, y: torch.Tensor) -> float:
    total = 0.0
    for start in range(0, len(x), BLOCK_ROWS):
        total += float((x[start : start + BLOCK_ROWS] @ y.T / x.shape[1] + 1).pow_(KID_DEGREE).sum())
    return total
