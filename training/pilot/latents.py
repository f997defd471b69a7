"""Fresh latents of a pilot run in blocks, and the quantiles of what they score."""

from __future__ import annotations

from collections.abc import Callable

import torch

from models.bundle import Bundle
from training.errors import TrainingRefused
from training.randomness import step_generator

QUANTILES = 1_001
"""A threshold for a share of 1% then lies between quantiles a tenth of it apart."""


@torch.no_grad()
def over_latents(
    bundle: Bundle, evaluate: Callable[[torch.Tensor], torch.Tensor], rows: int, block: int, seed: int
) -> torch.Tensor:
    """``evaluate`` on ``rows`` latents of the prior, ``block`` at a time; results [rows, ...] on the CPU.

    The random numbers are not those of sampling: no served latent was ever in a pilot run.
    """
    device = next(bundle.generator.parameters()).device
    blocks = (bundle.prior.sample(block, step_generator(seed, i)).to(device) for i in range(-(-rows // block)))
    return torch.cat([evaluate(z).cpu() for z in blocks])[:rows]


def score_quantiles(scores: torch.Tensor, what: str) -> tuple[float, ...]:
    """``QUANTILES`` evenly spaced quantiles of ``scores`` [rows]. Raises TrainingRefused where they tell nothing."""
    if not bool(torch.isfinite(scores).all()):
        raise TrainingRefused(f"{what} is NaN or infinite for some latents")
    if scores.max() == scores.min():
        raise TrainingRefused(f"{what} is the same for every latent, so it cannot choose between them")
    levels = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    return tuple(torch.quantile(scores.double(), levels).tolist())
