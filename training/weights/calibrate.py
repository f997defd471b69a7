"""After training: E[w] = 1 on fresh latents, and the calibration that goes into the bundle."""

from __future__ import annotations

import torch
from torch import nn

from models.importance import ImportanceNetwork
from models.manifest import Calibration
from models.priors import Prior
from sampling.ascent import uphill
from training.errors import TrainingRefused
from training.randomness import step_generator

ROWS = 100_000
"""The standard error of E[w] at a cap of 3 is then below 0.005."""
BLOCK = 10_000
BISECTIONS = 60
BIAS_RANGE = 20.0
QUANTILES = 1_001
STEEP, SHARE_OF_NORM = 0.9, 1 / 15
"""A step of the ascent where log w is steep (this quantile of its slope) moves a latent by no more of its norm."""
LEAST_SLOPE = 1e-6


@torch.no_grad()
def fresh_scores(network: ImportanceNetwork, prior: Prior, seed: int, rows: int = ROWS) -> torch.Tensor:
    """Pre-activations h [rows] of fresh latents, on the CPU."""
    device = next(network.parameters()).device
    blocks = (prior.sample(BLOCK, step_generator(seed, block)).to(device) for block in range(-(-rows // BLOCK)))
    return torch.cat([network.score(z).cpu() for z in blocks])[:rows]


@torch.no_grad()
def normalise_mean(network: ImportanceNetwork, prior: Prior, seed: int) -> None:
    """Shift the output bias of a bounded head until E[w] = 1 (bisection); a ReLU head is left as trained."""
    if network.head != "bounded":
        return
    scores = fresh_scores(network, prior, seed).double()
    low, high = -BIAS_RANGE, BIAS_RANGE
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if float(torch.sigmoid(scores + middle).mean()) * network.cap < 1:
            low = middle
        else:
            high = middle
    output = network.body[-1]
    assert isinstance(output, nn.Linear)
    output.bias.add_((low + high) / 2)


@torch.no_grad()
def calibrate(network: ImportanceNetwork, prior: Prior, seed: int, rows: int = ROWS) -> Calibration:
    """Mean weight, share above the cap, acceptance rate, effective sample size and quantiles on ``rows`` latents."""
    scores = fresh_scores(network, prior, seed, rows)
    weights = network.weigh(scores).double()
    if float(weights.max()) <= 0:
        raise TrainingRefused("every weight is zero: the importance network is dead; train it again with another seed")
    levels = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    return Calibration(
        rows=rows,
        seed=seed,
        mean_weight=float(weights.mean()),
        share_above_cap=float((weights > network.cap).double().mean()),
        acceptance_rate=float((weights / network.cap).clamp(max=1).mean()),
        effective_sample_size=float(weights.sum() ** 2 / (len(weights) * weights.square().sum())),
        weight_quantiles=tuple(float(q) for q in torch.quantile(weights, levels)),
    )


def longest_step(network: ImportanceNetwork, prior: Prior, seed: int) -> float:
    """The step size, one digit, from which on an ascent of ``network`` overshoots what it climbs."""
    z = prior.sample(BLOCK, step_generator(seed, 0)).to(next(network.parameters()).device)
    slope = float(uphill(network, z)[1].norm(dim=1).quantile(STEEP))
    return float(f"{SHARE_OF_NORM * float(z.norm(dim=1).mean()) / max(slope, LEAST_SLOPE):.0e}")
