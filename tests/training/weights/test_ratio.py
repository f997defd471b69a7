"""The density ratio: crossed, calibrated, capped."""

from __future__ import annotations

import pytest
import torch

from models.importance import ImportanceNetwork
from training.weights.config import EnergyConfig, EnergyRatioConfig, RatioConfig
from training.weights.energy import EnergyObjective
from training.weights.problem import Pool
from training.weights.ratio import capped_ratio, crossed_log_ratio, energy_ratio_objective, ratio_objective

RNG = torch.Generator().manual_seed(9)
SMALL = RatioConfig(hidden=(32,), steps=200, check_every=25)


def test_the_log_ratio_of_two_shifted_normals_is_found() -> None:
    """log N(x; 0, I) - log N(x; s, I) is linear in x: |s|^2 / 2 - s x."""
    shift = torch.tensor([1.0, 0.0])
    real, fake = torch.randn(3_000, 2, generator=RNG), torch.randn(3_000, 2, generator=RNG) + shift
    found = crossed_log_ratio(SMALL, fake, real, seed=0).values
    true = 0.5 - fake @ shift
    assert float(torch.corrcoef(torch.stack([found.float(), true]))[0, 1]) > 0.97
    assert float((found - true).abs().mean()) < 0.25


def test_equal_laws_have_a_ratio_near_one() -> None:
    real, fake = torch.randn(2_000, 8, generator=RNG), torch.randn(2_000, 8, generator=RNG)
    assert float(crossed_log_ratio(SMALL, fake, real, seed=0).values.abs().mean()) < 0.15


def test_no_row_is_scored_by_a_classifier_that_was_trained_on_it() -> None:
    """Rows of noise in many dimensions: a classifier tells those it has seen from the others, and only those."""
    real, fake = torch.randn(120, 64, generator=RNG), torch.randn(120, 64, generator=RNG)
    found = crossed_log_ratio(RatioConfig(hidden=(256,), steps=200, patience=100), fake, real, seed=0).values
    assert float(found.mean()) > -0.3


@pytest.mark.parametrize("cap", [1.5, 3.0])
def test_capped_weights_have_mean_one_and_follow_the_ratio_below_the_cap(cap: float) -> None:
    log_ratio = torch.randn(5_000, generator=RNG, dtype=torch.float64) * 2
    weights = capped_ratio(log_ratio, cap)
    assert float(weights.mean()) == pytest.approx(1.0, abs=1e-4)
    assert float(weights.max()) <= cap + 1e-6
    below = weights < cap * 0.999
    scale = weights[below].double().log() - log_ratio[below]
    assert float(scale.std()) < 1e-5


def test_ratios_of_any_size_stay_finite() -> None:
    weights = capped_ratio(torch.tensor([-1e4, 0.0, 1e4, 5.0], dtype=torch.float64), 3.0)
    assert torch.isfinite(weights).all() and float(weights.mean()) == pytest.approx(1.0, abs=1e-4)


def test_a_relu_head_is_refused() -> None:
    pool = Pool(torch.zeros(10, 2), torch.randn(10, 2, generator=RNG))
    with pytest.raises(ValueError, match="use the bounded head"):
        ratio_objective(SMALL, pool, pool.features, ImportanceNetwork(2, (4,), head="relu"), seed=0)


def test_a_ratio_knows_as_much_as_it_takes_off_the_log_loss_of_rows_it_has_not_seen() -> None:
    """Normals two apart: the exact log ratio takes 0.486 of log 2 off (numerical integral), of equal ones nothing."""
    real, same = (torch.randn(6_000, 1, generator=RNG) for _ in range(2))
    assert crossed_log_ratio(SMALL, same + 2, real, seed=0).information == pytest.approx(0.486, abs=0.03)
    assert crossed_log_ratio(SMALL, same, real, seed=0).information < 0.005


def test_energy_ratio_is_the_energy_objective_and_a_fit_to_the_ratio_as_strong_as_its_knowledge() -> None:
    real, fake = torch.randn(3_000, 2, generator=RNG), torch.randn(3_000, 2, generator=RNG) * 2
    pool, network = Pool(fake, fake), ImportanceNetwork(2, (8,))
    config = EnergyRatioConfig(pull=0.5, ratio=SMALL, energy=EnergyConfig(kernel="ladder", batch=256))
    objective = energy_ratio_objective(config, pool, real, network, seed=3)
    known = crossed_log_ratio(SMALL, fake, real, seed=3)
    assert objective.pull == pytest.approx(0.5 * known.information) and objective.pull > 0.05

    together = objective.loss(network, torch.Generator().manual_seed(5))
    rng = torch.Generator().manual_seed(5)
    energy = EnergyObjective(config.energy, pool, real).loss(network, rng)
    fit = ratio_objective(SMALL, pool, real, network, seed=3).loss(network, rng)
    torch.testing.assert_close(together, energy + objective.pull * fit)
