"""Logistic calibration of a classifier's raw scores, and whether it holds on data it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch.nn.functional import softplus

NEWTON_STEPS = 50
TOLERANCE = 1e-10
RIDGE = 1e-6
"""Of a slope in units of the scores' deviation: scores that separate perfectly would send it to infinity."""


@dataclass(frozen=True)
class LogisticFit:
    """log odds of being real = slope * score + intercept."""

    slope: float
    intercept: float

    def log_ratio(self, scores: torch.Tensor) -> torch.Tensor:
        return self.slope * scores.double() + self.intercept


def fit_logistic(real: torch.Tensor, fake: torch.Tensor) -> LogisticFit:
    """Maximum likelihood by Newton's method from scores [n] each of equally many real and generated samples.

    With equal numbers the log odds are the log density ratio. Raises ValueError for scores that are constant.
    """
    scores = torch.cat([real, fake]).double()
    centre, spread = scores.mean(), scores.std()
    if not spread > 0:
        raise ValueError("the scores are all the same: nothing to calibrate")
    design = torch.stack([(scores - centre) / spread, torch.ones_like(scores)], dim=1)
    labels = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).double().to(scores.device)
    ridge = RIDGE * torch.eye(2, dtype=torch.float64, device=scores.device)
    theta = torch.zeros(2, dtype=torch.float64, device=scores.device)
    for _ in range(NEWTON_STEPS):
        theta, change = _newton_step(theta, design, labels, ridge)
        if change < TOLERANCE:
            break
    slope = float(theta[0] / spread)
    return LogisticFit(slope, float(theta[1]) - slope * float(centre))


def _newton_step(
    theta: torch.Tensor, design: torch.Tensor, labels: torch.Tensor, ridge: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """The step is halved until the loss no longer rises: far from the optimum a full one overshoots."""
    p = torch.sigmoid(design @ theta)
    gradient = design.T @ (p - labels) / len(labels) + ridge @ theta
    curvature = design.T @ (design * (p * (1 - p))[:, None]) / len(labels) + ridge
    direction = torch.linalg.solve(curvature, gradient)
    before, size = _loss(theta, design, labels, ridge), 1.0
    while size > TOLERANCE and _loss(theta - size * direction, design, labels, ridge) > before:
        size /= 2
    return theta - size * direction, float(size * direction.abs().max())


def _loss(theta: torch.Tensor, design: torch.Tensor, labels: torch.Tensor, ridge: torch.Tensor) -> float:
    logits = design @ theta
    return float((softplus(logits) - labels * logits).mean() + theta @ ridge @ theta / 2)


def log_loss(real: torch.Tensor, fake: torch.Tensor) -> float:
    """Mean cross-entropy of log odds [n] each of real and generated samples; log 2 knows nothing."""
    return float((softplus(-real.double()).sum() + softplus(fake.double()).sum()) / (len(real) + len(fake)))


def reliability(real: torch.Tensor, fake: torch.Tensor) -> float:
    """Z = sum(y - p) / sqrt(sum p (1 - p)) of log odds [n] each (Turner et al. 2019), near 0 where p is calibrated.

    N(0, 1) if each label were drawn by a coin. The two numbers are fixed here, which leaves it narrower: a deviation
    of 0.45 for scores that overlap like N(0, 1) and N(1, 1).
    """
    p = torch.sigmoid(torch.cat([real, fake]).double())
    return float(len(real) - p.sum()) / sqrt(float((p * (1 - p)).sum()))
