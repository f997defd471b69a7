"""Weights that an objective wants of the latents of a pool, and their fit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from models.importance import ImportanceNetwork


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
