"""Discrepancies, their scales, and the blockwise sum over pairs."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from training.data.synthetic import gaussian_grid
from training.weights.config import EnergyConfig
from training.weights.energy import EnergyObjective, anchored_loss, energy_loss
from training.weights.kernels import discrepancy, feature_map, ladder, potential, weighted_pairs
from training.weights.problem import Pool

RNG = torch.Generator().manual_seed(3)
KERNELS = ("euclidean", "laplace", "ladder")
GRID_DEVIATION = 0.05 / 2.828


def kernel(name: str) -> EnergyConfig:
    return EnergyConfig(kernel=name)  # type: ignore[arg-type]


def mean_of_pairs(values: torch.Tensor) -> float:
    n = len(values)
    return float(values.sum() - values.diagonal().sum()) / (n * (n - 1))


@pytest.mark.parametrize("name", KERNELS)
def test_a_discrepancy_is_zero_at_equal_points_and_one_on_average_between_real_rows(name: str) -> None:
    x = torch.randn(300, 5, generator=RNG)
    values = discrepancy(kernel(name), x)(x, x)
    assert float(values.diagonal().abs().max()) < 2e-2
    assert float(values.min()) > -1e-3
    assert mean_of_pairs(values) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", KERNELS)
def test_a_discrepancy_is_conditionally_negative_definite(name: str) -> None:
    x = torch.randn(60, 3, generator=RNG)
    values = discrepancy(kernel(name), x)(x, x).double()
    centre = torch.eye(60, dtype=torch.float64) - 1 / 60
    assert float(torch.linalg.eigvalsh(-centre @ values @ centre).min()) > -1e-2


def test_the_ladder_reaches_from_the_median_distance_to_the_width_of_a_mode() -> None:
    real = gaussian_grid(25, 2_000, seed=0).samples
    scales = ladder(real)
    assert scales[0] == pytest.approx(float(torch.pdist(real).median()), rel=1e-3)
    assert all(fine == pytest.approx(coarse / 4) for coarse, fine in pairwise(scales))
    assert scales[-1] < GRID_DEVIATION < scales[1]
    assert len(ladder(torch.randn(1_000, 64, generator=RNG))) == 1


def test_copies_in_the_data_do_not_make_the_ladder_endless() -> None:
    real = torch.randn(50, 2, generator=RNG).repeat(20, 1)
    assert len(ladder(real)) <= 6


def test_the_ladder_sees_the_bridges_between_narrow_modes_where_the_euclidean_distance_sees_nothing() -> None:
    """A fifth of the mass of 25 Gaussians is moved half way to the next mode, towards the left or the right alike."""
    real, other = (gaussian_grid(25, 1_500, seed=seed).samples for seed in (0, 1))
    bridge = other.clone()
    inwards = torch.where(bridge[:300, 0].abs() < 0.1, torch.arange(300) % 2 * 2 - 1.0, -bridge[:300, 0].sign())
    bridge[:300, 0] += inwards * 0.5 / 2**0.5
    relative = {}
    for name in ("euclidean", "ladder"):
        rho = discrepancy(kernel(name), real)
        distance = [2 * rho(real, y).mean() - mean_of_pairs(rho(y, y)) - 1 for y in (other, bridge)]
        relative[name] = float(distance[1] - distance[0])
    assert relative["ladder"] > 5 * max(relative["euclidean"], 0.0)


def test_several_spaces_count_alike_whatever_their_units() -> None:
    x = torch.randn(200, 5, generator=RNG)
    scaled = torch.cat([x[:, :3], 1000 * x[:, 3:]], dim=1)
    first, second = discrepancy(kernel("euclidean"), x[:, :3]), discrepancy(kernel("euclidean"), x[:, 3:])
    both = discrepancy(kernel("euclidean"), scaled, widths=(3, 2))
    wanted = (first(x[:, :3], x[:, :3]) + second(x[:, 3:], x[:, 3:])) / 2
    torch.testing.assert_close(both(scaled, scaled), wanted, atol=1e-2, rtol=1e-3)


def test_real_rows_that_are_one_point_are_refused() -> None:
    with pytest.raises(ValueError, match="all real rows have the same features"):
        discrepancy(kernel("euclidean"), torch.ones(10, 2))


@pytest.mark.parametrize("block", [1, 7, 32, 50, 512])
def test_the_blockwise_sum_over_pairs_is_the_direct_one_with_its_gradient(block: int) -> None:
    rows, weights = torch.randn(50, 3, generator=RNG), torch.rand(50, generator=RNG).requires_grad_()
    direct = weights @ torch.cdist(rows, rows).fill_diagonal_(0.0) @ weights
    (wanted,) = torch.autograd.grad(direct, weights)
    value = weighted_pairs(weights, rows, torch.cdist, block)
    (gradient,) = torch.autograd.grad(3 * value, weights)
    torch.testing.assert_close(value, direct)
    torch.testing.assert_close(gradient, 3 * wanted)


def test_only_a_block_of_pairs_stands_in_memory() -> None:
    sizes = []

    def rho(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sizes.append((len(x), len(y)))
        return torch.cdist(x, y)

    weighted_pairs(torch.ones(1_000), torch.randn(1_000, 2, generator=RNG), rho, block=256)
    assert max(max(pair) for pair in sizes) == 256
    assert len(sizes) == 10  # of 16 blocks: each pair once


def test_the_anchored_estimate_differs_from_the_plain_one_by_a_constant_on_average() -> None:
    """Over many batches, for two unlike weightings, and with less noise in the gradient at w = 1."""
    real, reference = torch.randn(2_000, 3, generator=RNG), torch.randn(4_000, 3, generator=RNG) * 0.7 + 0.3
    gaps: dict[str, list[float]] = {"half": [], "tilted": []}
    gradients: dict[str, list[torch.Tensor]] = {"plain": [], "anchored": []}
    centre = potential(torch.cdist, reference, reference).mean() / 2
    for _ in range(150):
        y = torch.randn(40, 3, generator=RNG) * 0.7 + 0.3
        cross, own = potential(torch.cdist, y, real), potential(torch.cdist, y, reference)
        for name, w in (("half", (y[:, 0] > 0) * 2.5 + 0.05), ("tilted", torch.sigmoid(y[:, 1]) + 0.1)):
            plain = energy_loss(w, cross, weighted_pairs(w, y, torch.cdist), 0.0)
            gaps[name].append(float(plain - anchored_loss(w, cross - own, own - centre, y, torch.cdist)))
        flat = torch.ones(40, requires_grad=True)
        for name, loss in (
            ("plain", energy_loss(flat, cross, weighted_pairs(flat, y, torch.cdist), 0.0)),
            ("anchored", anchored_loss(flat, cross - own, own - centre, y, torch.cdist)),
        ):
            (gradient,) = torch.autograd.grad(loss, flat)
            witness = 2 * (cross - own) / len(y)
            gradients[name].append(gradient - (witness - witness.mean()))
    apart = torch.tensor(gaps["half"]) - torch.tensor(gaps["tilted"])
    assert abs(float(apart.mean())) < 3 * float(apart.std()) / len(apart) ** 0.5
    noise = {name: float(torch.cat(values).std()) for name, values in gradients.items()}
    assert noise["anchored"] < 1e-6 < noise["plain"] / 10


def test_the_anchored_estimate_does_not_reward_flat_weights_for_being_flat() -> None:
    """Random weights, independent of the rows, leave the law as it is: the mean must be that of flat ones, zero."""
    values = []
    reference = torch.randn(4_000, 4, generator=RNG)
    centre = potential(torch.cdist, reference, reference).mean() / 2
    for _ in range(300):
        y = torch.randn(30, 4, generator=RNG)
        own = potential(torch.cdist, y, reference)
        spiky = torch.where(torch.rand(30, generator=RNG) < 1 / 3, 3.0, 0.0) + 1e-6
        values.append(float(anchored_loss(spiky, torch.zeros(30), own - centre, y, torch.cdist)))
    spread = torch.tensor(values)
    assert abs(float(spread.mean())) < 3 * float(spread.std()) / len(values) ** 0.5


def test_the_objective_prefers_weights_that_remove_the_shifted_half() -> None:
    real = torch.randn(800, 2, generator=RNG)
    half = torch.arange(1_000) % 2
    pool = Pool(half[:, None].float(), torch.randn(1_000, 2, generator=RNG) + 3 * half[:, None])
    for reference in (0, 500):
        objective = EnergyObjective(EnergyConfig(batch=500, reference_rows=reference), pool, real)
        losses = [float(objective.loss(Tilt(tilt), torch.Generator().manual_seed(1))) for tilt in (0.9, 0.0, -0.9)]  # type: ignore[arg-type]
        assert losses == sorted(losses)


class Tilt(torch.nn.Module):
    """1 + tilt for the first kind of latent, 1 - tilt for the second."""

    def __init__(self, tilt: float) -> None:
        super().__init__()
        self.tilt = tilt

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return 1 + self.tilt * (1 - 2 * z.squeeze(1))


def test_whitened_real_features_have_unit_covariance() -> None:
    real = torch.randn(20_000, 3, generator=RNG) @ torch.tensor([[2.0, 0, 0], [1, 1, 0], [0, 0, 0.5]])
    white = feature_map(real, whiten=True)(real)
    torch.testing.assert_close(torch.cov(white.T), torch.eye(3), atol=0.02, rtol=0)
