"""The energy objective: weights that minimise the energy distance to the data, with no critic."""

from __future__ import annotations

import torch

from models.importance import ImportanceNetwork
from training.weights.config import EnergyConfig
from training.weights.kernels import discrepancy, feature_map, potential
from training.weights.problem import Pool


def energy_loss(weights: torch.Tensor, cross: torch.Tensor, within: torch.Tensor, mean_penalty: float) -> torch.Tensor:
    """2 sum_j w_j cross_j / sum_j w_j - sum_{j != k} w_j w_k within_jk / sum_{j != k} w_j w_k + penalty (mean w - 1)^2.

    ``weights`` [n], ``cross`` [n] the mean discrepancy of each generated row to the data, ``within`` [n, n] the
    discrepancy between generated rows (zero diagonal). Up to the data's own constant term, this estimates the
    energy distance. Both averages are over the weights that take part in them: dividing the second by n (n - 1)
    instead would shrink it by cv^2 / (n - 1) and so pull the weights towards flat ones.
    """
    total = weights.sum()
    pairs = total.square() - weights.square().sum()
    within_term = (weights @ within @ weights) / pairs
    return 2 * (weights @ cross) / total - within_term + mean_penalty * (weights.mean() - 1) ** 2


class EnergyObjective:
    """Holds the pool and the exact cross term; ``loss`` draws a batch of latents from the pool."""

    def __init__(self, config: EnergyConfig, pool: Pool, real: torch.Tensor) -> None:
        """``pool`` and the features ``real`` [n, f] of the data live on one device."""
        to_space = feature_map(real, config.whiten)
        real = to_space(real)
        self.config, self.latents = config, pool.latents
        self.features = to_space(pool.features)
        self.rho = discrepancy(config, real)
        self.cross = potential(self.rho, self.features, real)

    def loss(self, network: ImportanceNetwork, rng: torch.Generator) -> torch.Tensor:
        index = torch.randint(len(self.latents), (self.config.batch,), generator=rng, device=rng.device)
        rows = self.features[index]
        within = self.rho(rows, rows).fill_diagonal_(0.0)
        return energy_loss(network(self.latents[index]), self.cross[index], within, self.config.mean_penalty)


class HeldOutEnergy:
    """Energy distance between held-out data and held-out generated rows under the law that rejection samples.

    That law is min(w, cap) times the prior. The yardstick of model selection for every objective; Euclidean, in
    the training features.
    """

    def __init__(self, pool: Pool, real: torch.Tensor) -> None:
        self.latents = pool.latents
        self.cross = potential(torch.cdist, pool.features, real)
        self.within = torch.cdist(pool.features, pool.features).fill_diagonal_(0.0)
        n = len(real)
        self.constant = float(potential(torch.cdist, real, real).mean()) * n / (n - 1)

    @torch.no_grad()
    def __call__(self, network: ImportanceNetwork) -> float:
        weights = network(self.latents).clamp(max=network.cap)
        if float(weights.sum()) <= 0:
            return float("inf")
        return float(energy_loss(weights, self.cross, self.within, 0.0)) - self.constant
