"""Constructed problems with a known answer: which latents are junk is written into the generator."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from models.priors import Prior
from training.data.synthetic import standard_normal
from training.presets import WEIGHTS_PRESETS
from training.weights.config import EnergyConfig, TransportConfig, WeightsConfig
from training.weights.problem import Problem

JUNK_SHARE = 0.4
JUNK_ABOVE = 0.2533  # the standard normal's 60% quantile
CPU = torch.device("cpu")
DATA_ROWS = 8_000


class JunkGenerator(nn.Module):
    """Latent [n, dim + 1] -> point [n, dim]: the first coordinate decides whether the others are spoilt."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        good = z[:, 1:]
        return torch.where(is_junk(z)[:, None], good * self.scale + self.shift, good)


def is_junk(z: torch.Tensor) -> torch.Tensor:
    return z[:, 0] > JUNK_ABOVE


def junk_problem(dim: int, scale: float, shift: float) -> Problem:
    """Data N(0, I_dim); 40% of the generated points are scaled by ``scale`` and moved by ``shift``."""
    data = standard_normal(dim, DATA_ROWS, seed=1)
    return Problem(Prior("normal", dim + 1), JunkGenerator(scale, shift).eval(), None, data, CPU)


def perfect_problem(dim: int) -> Problem:
    """Data N(0, I_dim) and the identity as generator: nothing to gain."""
    data = standard_normal(dim, DATA_ROWS, seed=1)
    return Problem(Prior("normal", dim), nn.Identity().eval(), None, data, CPU)


def small(preset: str, steps: int = 200) -> WeightsConfig:
    """A preset cut down to a few seconds."""
    config = replace(
        WEIGHTS_PRESETS[preset],
        hidden=(64, 64),
        steps=steps,
        validate_every=25,
        pool_rows=12_000,
        held_out_rows=2_000,
        held_out_real=2_000,
    )
    if isinstance(config.objective, EnergyConfig):
        return replace(config, objective=replace(config.objective, batch=512))
    if isinstance(config.objective, TransportConfig):
        objective = replace(config.objective, batches=12, held_out_batches=2, real_rows=400, batch=512)
        return replace(config, objective=objective)
    return config


def junk_share(weights: torch.Tensor, z: torch.Tensor) -> float:
    """Share of junk among what rejection by ``weights`` lets through."""
    return float((weights * is_junk(z)).sum() / weights.sum())
