"""Capped optimal transport by clipped Sinkhorn iterations: any device, no linear program."""

from __future__ import annotations

import math

import torch

START = 1.0
SHRINK = 0.5
"""The regularisation starts at the mean cost and is halved down to the wanted one: each level warm-starts the next."""
MAX_ITERATIONS = 2_000
CHECK_EVERY = 10
TOLERANCE = 1e-3
"""Largest excess of a column over its capacity, relative to it, at which a level is finished."""


@torch.no_grad()
def sinkhorn_targets(cost: torch.Tensor, cap: float, regularisation: float) -> torch.Tensor:
    """Target weights t [N] in [0, cap] with mean 1, from ``cost`` [n, N] of each real to each generated row.

    Entropic form of: each row sends mass 1/n, each column takes at most cap/N. ``regularisation`` is a fraction of
    the mean absolute cost. In the scaling form u = a / (K v), v = min(b / (K^T u), 1); here in the log domain, so
    that no scale underflows (Benamou et al. 2015, projections onto an equality and an inequality).
    """
    n, columns = cost.shape
    unit = float(cost.abs().mean())
    if unit == 0:
        return torch.ones(columns, device=cost.device)
    scaled = cost.double() / unit
    log_row, log_cap = -math.log(n), math.log(cap / columns)
    column = torch.zeros(columns, dtype=torch.float64, device=cost.device)
    for level in _levels(regularisation):
        kernel = scaled / -level
        for iteration in range(1, MAX_ITERATIONS + 1):
            row = log_row - torch.logsumexp(kernel + column / level, dim=1)
            sent = torch.logsumexp(kernel + row[:, None], dim=0)
            wanted = level * (log_cap - sent).clamp(max=0.0)
            excess = float((sent + column / level - log_cap).max())
            if iteration % CHECK_EVERY == 0 and excess < TOLERANCE:
                break
            column = wanted
    taken = torch.exp(sent + column / level) * columns
    return _within_cap(taken, cap).float()


def _levels(regularisation: float) -> list[float]:
    count = max(0, math.ceil(math.log(regularisation / START) / math.log(SHRINK)))
    return [START * SHRINK**k for k in range(count)] + [regularisation]


def _within_cap(taken: torch.Tensor, cap: float) -> torch.Tensor:
    """``taken`` [N] of mean 1 up to the tolerance, cut at ``cap``; what is cut goes to the others in proportion."""
    for _ in range(CHECK_EVERY):
        taken = taken.clamp(max=cap)
        free = taken < cap
        missing = len(taken) - taken.sum()
        taken = torch.where(free, taken * (1 + missing / taken[free].sum().clamp(min=1e-300)), taken)
    return taken.clamp(max=cap)
