"""Hausdorff distances: how far the points of one set are from another set."""

from __future__ import annotations

import torch

from training.metrics.distances import nearest_distances
from training.metrics.inputs import same_space


def average_hausdorff(of: torch.Tensor, to: torch.Tensor) -> float:
    """Mean over the rows of ``of`` [n, d] of the distance to the nearest row of ``to`` [m, d]; one-sided.

    (real, fake) tells what the generator misses, (fake, real) what it invents. Raises ValueError.
    """
    of, to = same_space(of, to, names=("first", "second"))
    return float(nearest_distances(of, to).mean())
