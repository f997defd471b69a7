"""The least-squares density ratio: exact where a closed form is known, flat where nothing is to gain, clipped."""

from __future__ import annotations

import pytest
import torch

from models.importance import ImportanceNetwork
from training.errors import TrainingRefused
from training.weights.config import EnergyConfig, EnergyLeastSquaresConfig, LeastSquaresConfig
from training.weights.energy import EnergyObjective
from training.weights.least_squares import (
    basis,
    energy_least_squares_objective,
    least_squares_objective,
    least_squares_ratio,
)
from training.weights.problem import Pool

RNG = torch.Generator().manual_seed(12)
SMALL = LeastSquaresConfig(functions=300)


def normal(rows: int, dim: int = 2) -> torch.Tensor:
    return torch.randn(rows, dim, generator=RNG)


def test_the_ratio_of_two_shifted_normals_is_found() -> None:
    """N(x; 0, I) / N(x; s, I) = exp(|s|^2 / 2 - s x)."""
    shift = torch.tensor([0.5, 0.0])
    real, fake = normal(20_000), normal(20_000) + shift
    found = least_squares_ratio(SMALL, fake, real, seed=0)
    true = (0.125 - fake @ shift).exp()
    assert float(found.mean()) == pytest.approx(1.0, abs=1e-3)
    assert float(torch.corrcoef(torch.stack([found, true]))[0, 1]) > 0.97
    assert float((found - true).abs().mean()) < 0.1


def test_it_minimises_the_squared_error_of_the_ratio() -> None:
    """The gradient of E_fake[r^2] / 2 - E_real[r] + penalty is zero at what the closed form gives."""
    config = LeastSquaresConfig(functions=20, ridge=5e-3)
    real, fake = normal(4_000), normal(5_000) * 1.5
    functions = basis(config, real, 3)
    columns, data = (functions(rows).double() - functions(fake).double().mean(0) for rows in (fake, real))
    ratio = least_squares_ratio(config, fake, real, 3).double()
    a = torch.linalg.lstsq(columns, (ratio - 1)[:, None]).solution[:, 0].requires_grad_()
    penalty = config.ridge * columns.square().mean(0).sum() * a.square().sum() / 2
    loss = (1 + columns @ a).square().mean() / 2 - (1 + data @ a).mean() + penalty
    (gradient,) = torch.autograd.grad(loss, a)
    assert float(gradient.abs().max()) < 1e-4 * float(data.mean(0).abs().max())


@pytest.mark.parametrize("dim", [2, 64])
def test_equal_laws_have_a_ratio_of_one(dim: int) -> None:
    """Up to the noise of fitting k functions to n rows of each side, sqrt(2 k / n) at most."""
    found = least_squares_ratio(LeastSquaresConfig(functions=500), normal(20_000, dim), normal(20_000, dim), seed=0)
    assert float(found.std()) < (2 * 500 / 20_000) ** 0.5
    assert float(found.mean()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("width", [0.5, 2.0])
def test_inner_products_of_the_basis_are_a_gaussian_kernel_of_the_width_asked_for(width: float) -> None:
    """2 E cos(x f + p) cos(y f + p) = exp(-|x - y|^2 / (2 s^2)), s = width times the median distance."""
    real = normal(2_000)
    functions = basis(LeastSquaresConfig(functions=20_000, width=width), real, seed=0)
    x, y = normal(50), normal(50)
    median = torch.pdist(real).median()
    wanted = (-torch.cdist(x, y).square() / (2 * (width * median) ** 2)).exp()
    torch.testing.assert_close(2 * functions(x) @ functions(y).T / 20_000, wanted, rtol=0, atol=0.05)


def test_a_stronger_ridge_keeps_the_ratio_nearer_to_one() -> None:
    real, fake = normal(5_000), normal(5_000) * 1.5
    weak, strong = (
        least_squares_ratio(LeastSquaresConfig(functions=200, ridge=ridge), fake, real, seed=0).std()
        for ridge in (1e-4, 1.0)
    )
    assert float(strong) < 0.7 * float(weak)


def test_only_the_rows_to_fit_on_decide_the_solution() -> None:
    config = LeastSquaresConfig(functions=50, fit_rows=1_000)
    real, fake = normal(2_000), normal(3_000)
    whole, cut = least_squares_ratio(config, fake, real, 0), least_squares_ratio(config, fake[:1_000], real, 0)
    torch.testing.assert_close(whole[:1_000], cut)


def test_targets_are_clipped_to_what_rejection_can_do() -> None:
    real, fake = normal(5_000) * 0.3, normal(5_000)
    assert float(least_squares_ratio(SMALL, fake, real, 0).max()) > 3.0
    objective = least_squares_objective(SMALL, Pool(fake, fake), real, ImportanceNetwork(2, (4,)), seed=0)
    assert float(objective.targets.weights.min()) == 0.0 and float(objective.targets.weights.max()) == 3.0


def test_the_ratio_does_not_depend_on_the_unit_of_the_features() -> None:
    real, fake = normal(3_000), normal(3_000) * 1.5
    once = least_squares_ratio(SMALL, fake, real, 0)
    torch.testing.assert_close(once, least_squares_ratio(SMALL, 1e3 * fake, 1e3 * real, 0), rtol=0, atol=1e-2)


def test_a_relu_head_is_refused() -> None:
    with pytest.raises(TrainingRefused, match="use the bounded head"):
        least_squares_objective(
            SMALL, Pool(normal(10), normal(10)), normal(10), ImportanceNetwork(2, (4,), head="relu"), 0
        )


def test_energy_least_squares_is_the_energy_objective_and_a_fit_to_the_ratio() -> None:
    real, fake = normal(3_000), normal(3_000) * 2
    pool, network = Pool(fake, fake), ImportanceNetwork(2, (8,))
    config = EnergyLeastSquaresConfig(pull=0.5, ratio=SMALL, energy=EnergyConfig(kernel="ladder", batch=256))
    together = energy_least_squares_objective(config, pool, real, network, seed=3).loss(
        network, torch.Generator().manual_seed(5)
    )
    rng = torch.Generator().manual_seed(5)
    energy = EnergyObjective(config.energy, pool, real).loss(network, rng)
    fit = least_squares_objective(SMALL, pool, real, network, seed=3).loss(network, rng)
    torch.testing.assert_close(together, energy + 0.5 * fit)
