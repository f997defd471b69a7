"""The yardstick of model selection: a discrepancy on held-out rows, and whether a gain stands out of its noise."""

from __future__ import annotations

import torch

from models.importance import ImportanceNetwork
from training.weights.config import EnergyConfig
from training.weights.energy import energy_loss
from training.weights.kernels import Discrepancy, potential
from training.weights.problem import Pool

YARDSTICK = EnergyConfig(kernel="ladder")
"""Of selection. The Euclidean distance alone did not see that half the samples of 25 Gaussians lay between modes."""
BLOCK = 1_000


class HeldOutEnergy:
    """Energy distance between held-out data and held-out generated rows under the law that rejection samples.

    That law is min(w, cap) times the prior. ``rho`` is the distance that it integrates, in the training features.
    Unbiased but for the ratio of weights, a bias of the order of 1 / n.
    """

    def __init__(self, pool: Pool, real: torch.Tensor, rho: Discrepancy = torch.cdist) -> None:
        self.latents, self.features, self.real, self.rho = pool.latents, pool.features, real, rho
        self.cross = potential(rho, pool.features, real)
        self.within = rho(pool.features, pool.features).fill_diagonal_(0.0)
        n = len(real)
        own = sum(_off_diagonal(rho, real, start) for start in range(0, n, BLOCK))
        self.constant = own / (n * (n - 1))

    @torch.no_grad()
    def __call__(self, network: ImportanceNetwork) -> float:
        weights = self._weights(network)
        if float(weights.sum()) <= 0:
            return float("inf")
        return float(energy_loss(weights, self.cross, weights @ self.within @ weights, 0.0)) - self.constant

    def distance(self, weights: torch.Tensor) -> float:
        """With ``weights`` [n] of the held-out rows, whatever they are of; in float64."""
        return float(self._estimate(weights.double())) - self.constant

    def gain(self, network: ImportanceNetwork) -> tuple[float, float]:
        """``gain_of`` the network's weights."""
        return self.gain_of(self._weights(network))

    def gain_of(self, weights: torch.Tensor) -> tuple[float, float]:
        """How far the distance is below that of flat weights, and the standard error of that difference.

        From the first-order influence of each held-out row, real and generated, on the difference. In float64: the
        difference of two distances has few of their digits left.
        """
        weights = weights.double()
        flat = torch.ones_like(weights)
        difference = float(self._estimate(flat) - self._estimate(weights))
        generated = self._influence(weights) - self._influence(flat)
        moved = 2 * (weights / weights.sum() - 1 / len(weights))
        real = torch.cat([self.rho(rows, self.features).double() @ moved for rows in self.real.split(BLOCK)])
        variance = float(generated.var() / len(generated) + real.var() / len(real))
        return difference, variance**0.5

    @torch.no_grad()
    def _weights(self, network: ImportanceNetwork) -> torch.Tensor:
        weights: torch.Tensor = network(self.latents).clamp(max=network.cap)
        return weights

    def _estimate(self, weights: torch.Tensor) -> torch.Tensor:
        return energy_loss(weights, self.cross.double(), weights @ self._within(weights), 0.0)

    def _within(self, weights: torch.Tensor) -> torch.Tensor:
        """Sum over generated rows of their weight times the distance to each, [n]."""
        return torch.cat([rows.double() @ weights for rows in self.within.split(BLOCK)])

    def _influence(self, weights: torch.Tensor) -> torch.Tensor:
        """Of each generated row, [n], mean zero under the weights."""
        share = weights / weights.sum()
        slope = 2 * (self.cross.double() - self._within(share))
        return weights / weights.mean() * (slope - share @ slope)


def _off_diagonal(rho: Discrepancy, real: torch.Tensor, start: int) -> float:
    rows = slice(start, start + BLOCK)
    values = rho(real[rows], real).double()
    return float(values.sum() - values[:, rows].diagonal().sum())
