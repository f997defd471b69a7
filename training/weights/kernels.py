"""Distances that an energy objective integrates: Euclidean, or a sum of Laplace kernels; optionally whitened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from training.weights.config import EnergyConfig

MEDIAN_ROWS = 2_000
WHITEN_FLOOR = 1e-2  # of the mean eigenvalue: below it a direction is noise and is not blown up
BLOCK = 1_000

Discrepancy = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class FeatureMap:
    """Linear map applied to features before distances are taken."""

    mean: torch.Tensor
    matrix: torch.Tensor | None

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        return features if self.matrix is None else (features - self.mean) @ self.matrix


def feature_map(real: torch.Tensor, whiten: bool) -> FeatureMap:
    """Identity, or the inverse square root of the covariance of ``real`` [n, f] with a floor on its eigenvalues."""
    mean = real.mean(0)
    if not whiten:
        return FeatureMap(mean, None)
    values, vectors = torch.linalg.eigh(torch.cov(real.double().T))
    values = values.clamp(min=float(values.mean()) * WHITEN_FLOOR)
    matrix = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    return FeatureMap(mean, matrix.float())


def discrepancy(config: EnergyConfig, real: torch.Tensor) -> Discrepancy:
    """rho(x, y) [n, m] >= 0, zero at x = y and conditionally negative definite, from rows x [n, f] and y [m, f].

    Laplace: the mean over scales s of 1 - exp(-|x - y| / (s * median)), which sees finer structure than |x - y|.
    """
    if config.kernel == "euclidean":
        return torch.cdist
    rows = real[:MEDIAN_ROWS]
    median = torch.pdist(rows).median()
    lengths = [float(median) * scale for scale in config.scales]

    def laplace(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        distance = torch.cdist(x, y)
        return torch.stack([1 - torch.exp(-distance / length) for length in lengths]).mean(0)

    return laplace


@torch.no_grad()
def potential(rho: Discrepancy, points: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """mean_i rho(x_i, y_j) over all real rows, [m], blockwise: the exact cross term, not a batch estimate."""
    total = torch.zeros(len(points), device=points.device)
    for x in real.split(BLOCK):
        for at, y in enumerate(points.split(BLOCK)):
            total[at * BLOCK : at * BLOCK + len(y)] += rho(x, y).sum(0)
    return total / len(real)
