"""Metrics of k-nearest-neighbour balls: improved precision and recall, density and coverage."""

from __future__ import annotations

from typing import NamedTuple

import torch

from training.metrics.distances import distance_blocks
from training.metrics.inputs import same_space

DEFAULT_K = 3  # of Issenhuth et al. 2022


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1]."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density >= 0 (1 for equal laws, may exceed it), coverage a share in [0, 1]."""

    density: float
    coverage: float


def precision_recall(real: torch.Tensor, fake: torch.Tensor, k: int = DEFAULT_K) -> PrecisionRecall:
    """Improved precision and recall (Kynkaanniemi et al. 2019) of features [n, d] and [m, d], n, m > k.

    Precision: share of fakes inside the ball of at least one real, whose radius is the distance to its
    k-th neighbour among the reals, itself excluded; the edge belongs to the ball (<=). Recall: the roles
    swapped. Raises ValueError.
    """
    real, fake = _checked(real, fake, k)
    return PrecisionRecall(_share_inside(fake, real, k), _share_inside(real, fake, k))


def recall(real: torch.Tensor, fake: torch.Tensor, k: int = DEFAULT_K) -> float:
    """The second of ``precision_recall`` alone. Raises ValueError."""
    real, fake = _checked(real, fake, k)
    return _share_inside(real, fake, k)


def density_coverage(
    real: torch.Tensor, fake: torch.Tensor, k: int = DEFAULT_K, closed: bool = False
) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020) of features [n, d] and [m, d], n > k.

    Density: memberships of fakes in the reals' balls over k m. Coverage: share of reals whose own ball
    holds at least one fake. Balls are open as in the authors' package ``prdc`` (<), unless ``closed`` (<=,
    as in ``precision_recall``): that matters only where there are duplicates. Raises ValueError.
    """
    real, fake = _checked(real, fake, k, fake_at_least=1)
    radii = knn_radii(real, k)
    memberships, covered = 0, torch.zeros(len(real), dtype=torch.bool)
    for rows, distance in distance_blocks(real, fake):
        edge = radii[rows, None]
        inside = distance <= edge if closed else distance < edge
        memberships += int(inside.sum())
        covered[rows] = inside.any(dim=1)
    return DensityCoverage(memberships / (k * len(fake)), float(covered.double().mean()))


def knn_radii(samples: torch.Tensor, k: int) -> torch.Tensor:
    """Distance of each row of [n, d] to its k-th nearest other row, [n]; needs n > k."""
    radii = torch.empty(len(samples), dtype=samples.dtype)
    for rows, distance in distance_blocks(samples, samples):
        # Each row finds itself at distance 0, exactly: the k-th other is the (k + 1)-th smallest.
        radii[rows] = distance.topk(k + 1, dim=1, largest=False).values[:, -1]
    return radii


def _share_inside(samples: torch.Tensor, others: torch.Tensor, k: int) -> float:
    """Share of ``samples`` inside the ball of at least one of the ``others``."""
    radii = knn_radii(others, k)
    inside = sum(int((distance <= radii).any(dim=1).sum()) for _, distance in distance_blocks(samples, others))
    return inside / len(samples)


def _checked(
    real: torch.Tensor, fake: torch.Tensor, k: int, fake_at_least: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}; the field uses 3 or 5")
    real, fake = same_space(real, fake)
    for name, samples, needed in (("real", real, k + 1), ("fake", fake, fake_at_least or k + 1)):
        if len(samples) < needed:
            raise ValueError(f"{name} has {len(samples)} sample(s), k = {k} needs at least {needed}; draw more")
    return real, fake
