"""The least-squares objective: a density ratio in closed form in feature space, distilled into w.

uLSIF (Kanamori, Hido and Sugiyama 2009, A least-squares approach to direct importance estimation) with the basis of
Rahimi and Recht 2007 (Random features for large-scale kernel machines).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch

from models.importance import ImportanceNetwork
from training.randomness import step_generator
from training.weights.config import EnergyLeastSquaresConfig, LeastSquaresConfig
from training.weights.energy import EnergyObjective
from training.weights.kernels import SCALE_ROWS, median_distance
from training.weights.problem import Pool
from training.weights.targets import PulledObjective, TargetsObjective, fit_of

BASIS_STREAM = 107
BLOCK = 10_000


def least_squares_objective(
    config: LeastSquaresConfig, pool: Pool, real: torch.Tensor, network: ImportanceNetwork, seed: int
) -> TargetsObjective:
    """``pool`` and the features ``real`` [n, f] of the data; targets are the ratio clipped to [0, cap]."""
    weights = least_squares_ratio(config, pool.features, real, seed).clamp(0, network.cap)
    return fit_of(config.name, weights, pool, network, config.batch)


def energy_least_squares_objective(
    config: EnergyLeastSquaresConfig,
    pool: Pool,
    real: torch.Tensor,
    network: ImportanceNetwork,
    seed: int,
    widths: tuple[int, ...] = (),
) -> PulledObjective:
    """``widths`` of the spaces in f; the ratio is one over all their columns."""
    ratio = least_squares_objective(config.ratio, pool, real, network, seed)
    return PulledObjective(EnergyObjective(config.energy, pool, real, widths), ratio, config.pull)


@dataclass(frozen=True)
class Basis:
    """Rows [n, f] -> cos(x . frequencies + phases) [n, k]: inner products are those of a Gaussian kernel."""

    frequencies: torch.Tensor
    phases: torch.Tensor

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.phases, rows, self.frequencies).cos_()


def basis(config: LeastSquaresConfig, real: torch.Tensor, seed: int) -> Basis:
    """Of ``config.functions`` functions, as wide as ``config.width`` times the median distance of ``real`` [n, f]."""
    rng = step_generator(seed + BASIS_STREAM, 0)
    width = config.width * median_distance(real[:SCALE_ROWS])
    frequencies = torch.randn(real.shape[1], config.functions, generator=rng) / width
    phases = 2 * pi * torch.rand(config.functions, generator=rng)
    return Basis(frequencies.to(real), phases.to(real))


def least_squares_ratio(config: LeastSquaresConfig, fake: torch.Tensor, real: torch.Tensor, seed: int) -> torch.Tensor:
    """r(y) = 1 + a . (b(y) - mean b) [N] of the generated rows ``fake`` [N, f]: the density ratio of the data ``real``
    [n, f] to them; it may be negative.

    a minimises E_fake[r^2] / 2 - E_real[r] + ridge tr(C) |a|^2 / 2, C the covariance of the basis functions over
    ``config.fit_rows`` generated rows: a = (C + ridge tr(C) I)^-1 (mean_real b - mean_fake b).
    """
    functions = basis(config, real, seed)
    some = fake[: config.fit_rows]
    centre = _mean(functions, some)
    covariance = torch.zeros(config.functions, config.functions, dtype=torch.float64, device=fake.device)
    for rows in some.split(BLOCK):
        block = functions(rows) - centre
        covariance += (block.T @ block).double()
    covariance /= len(some)
    covariance.diagonal().add_(config.ridge * covariance.trace())
    solution = torch.linalg.solve(covariance, (_mean(functions, real) - centre).double()).to(fake.dtype)
    return torch.cat([1 + (functions(rows) - centre) @ solution for rows in fake.split(BLOCK)])


def _mean(functions: Basis, rows: torch.Tensor) -> torch.Tensor:
    """Of every basis function, [k]; summed in float64."""
    total = sum(functions(block).sum(0, dtype=torch.float64) for block in rows.split(BLOCK))
    assert isinstance(total, torch.Tensor)
    return (total / len(rows)).to(rows.dtype)
