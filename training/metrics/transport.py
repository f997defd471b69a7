"""Earth mover's distance between equal-size sets, by exact matching."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment

from training.metrics.inputs import same_space


def emd(real: torch.Tensor, fake: torch.Tensor, power: float = 1.0) -> float:
    """min over matchings of mean_i ||x_i - y_sigma(i)||^power, features [n, d] both.

    Power 1 is W1 in the features' units, power 2 is W2 squared (not its root). A mean, not the sum that
    Issenhuth et al. 2022 print. Never zero for finite samples of one law: put a real-real floor beside it.
    Memory 8 n^2 bytes; about 1 s at n = 2048 on one core. Raises ValueError.
    """
    if not power > 0:
        raise ValueError(f"the power must be positive, not {power}; use 1 (W1) or 2 (W2 squared)")
    real, fake = same_space(real, fake)
    if len(real) != len(fake):
        raise ValueError(f"EMD matches sets of one size, not {len(real)} and {len(fake)}; cut the larger one")
    cost = torch.cdist(real, fake, compute_mode="donot_use_mm_for_euclid_dist").pow_(power).numpy()
    # Between uniform equal-size sets a vertex of the transport polytope is a matching; SciPy's solver is
    # exact, has no iteration limit, and at n = 2048, d = 128 takes half the time of POT's network simplex.
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())
