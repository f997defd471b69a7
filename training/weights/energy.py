"""The energy objective: weights that minimise the energy distance to the data, with no critic."""

from __future__ import annotations

import torch

from models.importance import ImportanceNetwork
from training.weights.config import EnergyConfig
from training.weights.kernels import Discrepancy, discrepancy, feature_map, potential, weighted_pairs
from training.weights.problem import Pool


def energy_loss(weights: torch.Tensor, cross: torch.Tensor, pairs: torch.Tensor, mean_penalty: float) -> torch.Tensor:
    """2 sum_j w_j cross_j / sum_j w_j - sum_{j != k} w_j w_k rho_jk / sum_{j != k} w_j w_k + penalty (mean w - 1)^2.

    ``weights`` [n], ``cross`` [n] the mean discrepancy of each generated row to the data, ``pairs`` the sum
    sum_{j != k} w_j w_k rho_jk over generated rows (``weighted_pairs``). Up to the data's own constant term, this
    estimates the energy distance. Both averages are over the weights that take part in them: dividing the second by
    n (n - 1) instead would shrink it by cv^2 / (n - 1) and so pull the weights towards flat ones.
    """
    total = weights.sum()
    within = pairs / (total.square() - weights.square().sum())
    return 2 * (weights @ cross) / total - within + mean_penalty * (weights.mean() - 1) ** 2


def anchored_loss(
    weights: torch.Tensor, witness: torch.Tensor, centre: torch.Tensor, rows: torch.Tensor, rho: Discrepancy
) -> torch.Tensor:
    """The same estimate anchored at flat weights, up to a constant: 2 mean v t - sum_{j != k} d_j d_k h_jk / n (n - 1).

    v = w / mean w, d = v - 1, ``witness`` t [n] the mean discrepancy of a row to the data less that to generated rows,
    ``centre`` f [n] the latter less half its mean, h_jk = rho_jk - f_j - f_k, which is zero on average over either
    side. E[v v' rho] = 2 E[v f] + E[d d' h] + constant, so the mean is that of ``energy_loss``; but at w = 1 the
    gradient is t itself, without a batch's noise in it. Centred, because d sums to zero over a batch: uncentred, the
    missing diagonal would punish spread weights by cv^2 / (n - 1) times the mean distance.
    """
    n = len(weights)
    v = weights / weights.mean()
    d = v - 1
    spread: torch.Tensor = weighted_pairs(d, rows, rho) - 2 * ((d * centre) @ (d.sum() - d))
    value: torch.Tensor = 2 * (v @ witness) / n - spread / (n * (n - 1))
    return value


class EnergyObjective:
    """Holds the pool and its exact potentials; ``loss`` draws a batch of latents from the pool."""

    def __init__(self, config: EnergyConfig, pool: Pool, real: torch.Tensor, widths: tuple[int, ...] = ()) -> None:
        """``pool`` and the features ``real`` [n, f] of the data live on one device; ``widths`` of the spaces in f."""
        if config.whiten:
            to_space = feature_map(real, whiten=True)
            pool, real = Pool(pool.latents, to_space(pool.features)), to_space(real)
        self.config, self.latents, self.features = config, pool.latents, pool.features
        self.rho = discrepancy(config, real, widths)
        self.cross = potential(self.rho, self.features, real)
        self.anchored = config.reference_rows > 0
        if self.anchored:
            reference = pool.features[: config.reference_rows]
            own = potential(self.rho, self.features, reference)
            own[: len(reference)] *= len(reference) / (len(reference) - 1)  # a reference row met itself at distance 0
            self.witness, self.centre = self.cross - own, own - own.mean() / 2

    def loss(self, network: ImportanceNetwork, rng: torch.Generator) -> torch.Tensor:
        index = torch.randint(len(self.latents), (self.config.batch,), generator=rng, device=rng.device)
        weights, rows = network(self.latents[index]), self.features[index]
        if not self.anchored:
            pairs = weighted_pairs(weights, rows, self.rho)
            return energy_loss(weights, self.cross[index], pairs, self.config.mean_penalty)
        loss = anchored_loss(weights, self.witness[index], self.centre[index], rows, self.rho)
        loss += self.config.mean_penalty * (weights.mean() - 1) ** 2
        return loss
