"""What ``jbt`` needs of a pilot run: the norms of the generator's Jacobian over fresh latents."""

from __future__ import annotations

import torch

from models.bundle import Bundle
from models.pilot import JbtPilot
from sampling.jacobian import draw_probes, jacobian_score, which_derivative
from training.pilot.latents import over_latents, score_quantiles

PROBES = 10
ROWS = 10_000
"""A kept share of 0.9 is then met within 0.003 (one standard error). Each latent takes as long as thirty decoded."""
BLOCK = 50


def jbt_pilot(bundle: Bundle, seed: int, rows: int = ROWS) -> JbtPilot:
    """Score ``rows`` latents of ``bundle`` with common probes drawn from ``seed``. Raises TrainingRefused."""
    device = next(bundle.generator.parameters()).device
    derivative = which_derivative(bundle.generator, torch.zeros(1, bundle.prior.dim, device=device))
    probes = draw_probes(PROBES, bundle.prior.dim, seed).to(device)

    def score(latents: torch.Tensor) -> torch.Tensor:
        return jacobian_score(bundle.generator, latents, probes, derivative).score

    scores = over_latents(bundle, score, rows, BLOCK, seed)
    quantiles = score_quantiles(scores, "the norm of the generator's Jacobian")
    return JbtPilot(rows=rows, seed=seed, quantiles=quantiles, probes=PROBES, probe_seed=seed, derivative=derivative)
