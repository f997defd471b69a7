"""Weights that an objective wants of the latents of a pool, and their fit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from models.importance import ImportanceNetwork
from training.errors import TrainingRefused
from training.weights.energy import EnergyObjective
from training.weights.problem import Pool


@dataclass(frozen=True)
class Targets:
    """Latents [n, d] and target weights [n] in [0, cap]."""

    latents: torch.Tensor
    weights: torch.Tensor

    def loss(self, score: torch.Tensor, rows: torch.Tensor, cap: float) -> torch.Tensor:
        """Cross-entropy of cap * sigmoid(score): a proper score, so the fit is the mean target given the latent."""
        return binary_cross_entropy_with_logits(score, self.weights[rows] / cap)


@dataclass(frozen=True)
class TargetsObjective:
    """Fits h + ``offset`` [n] to the targets, so that h alone is what the targets say beyond the offset."""

    targets: Targets
    offset: torch.Tensor
    cap: float
    batch: int

    def loss(self, network: ImportanceNetwork, rng: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(self.offset), (self.batch,), generator=rng, device=rng.device)
        return self.targets.loss(network.score(self.targets.latents[rows]) + self.offset[rows], rows, self.cap)


def fit_of(name: str, weights: torch.Tensor, pool: Pool, network: ImportanceNetwork, batch: int) -> TargetsObjective:
    """Of h itself to ``weights`` [n] of the pool's latents. Raises TrainingRefused for a head that is not bounded."""
    if network.head != "bounded":
        raise TrainingRefused(f"the {name} objective fits cap * sigmoid(h): use the bounded head")
    return TargetsObjective(Targets(pool.latents, weights), torch.zeros_like(weights), network.cap, batch)


@dataclass(frozen=True)
class PulledObjective:
    """An energy objective, and with weight ``pull`` the fit to a density ratio's targets.

    The energy distance sees well how much mass is where and badly how narrow a mode is; a ratio the reverse: it says
    nothing about where the mass of a mode that is missing should go.
    """

    energy: EnergyObjective
    ratio: TargetsObjective
    pull: float

    def loss(self, network: ImportanceNetwork, rng: torch.Generator) -> torch.Tensor:
        return self.energy.loss(network, rng) + self.pull * self.ratio.loss(network, rng)
