"""Capped transport: the linear program, its entropic form, the levers against bias."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.importance import ImportanceNetwork
from training.weights.config import TransportConfig
from training.weights.problem import Pool
from training.weights.sinkhorn import sinkhorn_targets
from training.weights.transport import exact_targets, solve_programs, transport_objective, transport_targets

RNG = torch.Generator().manual_seed(3)
RAW = TransportConfig(null_subtraction=False)
SINKHORN = replace(RAW, solver="sinkhorn", regularisation=0.005)


@pytest.mark.parametrize("config", [RAW, SINKHORN], ids=["exact", "sinkhorn"])
def test_targets_have_mean_one_within_the_cap_and_all_mass_beside_the_data(config: TransportConfig) -> None:
    real = torch.randn(100, 2, generator=RNG)
    fake = torch.cat([torch.randn(50, 2, generator=RNG), torch.randn(50, 2, generator=RNG) + 50])
    targets = transport_targets(config, real, fake, cap=3.0)
    assert float(targets.mean()) == pytest.approx(1.0, abs=1e-4)
    assert float(targets.max()) <= 3.0 + 1e-6 and float(targets.min()) >= -1e-9
    assert float(targets[50:].sum()) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("config", [RAW, SINKHORN], ids=["exact", "sinkhorn"])
def test_with_a_cap_of_one_and_a_bit_hardly_any_mass_can_move(config: TransportConfig) -> None:
    real, fake = torch.zeros(40, 2), torch.randn(40, 2, generator=RNG) * 10
    targets = transport_targets(replace(config, power=2), real, fake, cap=1.01)
    assert float(targets.min()) >= 1 - 0.01 * 40 - 1e-3
    assert float(targets.max()) <= 1.01 + 1e-6


@pytest.mark.parametrize("dim", [2, 16])
def test_sinkhorn_comes_to_the_exact_targets_as_the_regularisation_falls(dim: int) -> None:
    real = torch.randn(80, dim, generator=RNG)
    fake = torch.randn(80, dim, generator=RNG) * torch.where(torch.arange(80) < 40, 1.0, 1.5)[:, None]
    cost = torch.cdist(real, fake)
    exact = exact_targets(cost, 3.0)
    gaps = [float((sinkhorn_targets(cost, 3.0, r) - exact).abs().mean()) for r in (0.2, 0.02, 0.002)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.12


def test_a_cost_that_is_zero_everywhere_leaves_the_weights_flat() -> None:
    assert torch.equal(sinkhorn_targets(torch.zeros(5, 7), 3.0, 0.01), torch.ones(7))


@pytest.mark.parametrize("config", [RAW, SINKHORN], ids=["exact", "sinkhorn"])
def test_the_squared_cost_shrinks_further_than_the_distance(config: TransportConfig) -> None:
    """What a power changes: one far row costs as much as many near ones."""
    real = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    fake = torch.tensor([[0.0], [1.0], [2.0], [30.0]])
    one, two = (transport_targets(replace(config, power=p), real, fake, cap=1.5) for p in (1, 2))
    assert float(one[3]) == pytest.approx(0.0, abs=1e-3) and float(two[3]) == pytest.approx(0.0, abs=1e-3)
    squared = torch.tensor([[0.0, 9.0]])
    assert torch.equal(exact_targets(squared, 3.0), exact_targets(squared.sqrt(), 3.0))


def test_a_debiased_cost_does_not_shrink_a_perfect_generator_in_many_dimensions() -> None:
    def correlation(debiased: bool) -> float:
        real, fake, twin = (torch.randn(300, 32, generator=RNG) for _ in range(3))
        targets = transport_targets(RAW, real, fake, 3.0, twin if debiased else None)
        return float(torch.corrcoef(torch.stack([targets, fake.norm(dim=1)]))[0, 1])

    assert correlation(False) < -0.5
    assert abs(correlation(True)) < 0.35


def test_programs_take_disjoint_rows_and_twins_are_none_of_them() -> None:
    pool = Pool(torch.arange(1_000.0)[:, None], torch.randn(1_000, 2, generator=RNG))
    real = torch.randn(200, 2, generator=RNG)
    config = replace(RAW, real_rows=50, ratio=2, batches=20)
    plain = solve_programs(config, pool, real, 3.0, (0, 101))
    assert len(plain.latents) == 1_000 == len(plain.latents.unique())
    twins = solve_programs(replace(config, debiased_cost=True), pool, real, 3.0, (0, 101))
    assert len(twins.latents) == 600 == len(twins.latents.unique())  # 100 of every 150


def test_too_small_a_pool_and_a_relu_head_are_refused() -> None:
    pool = Pool(torch.zeros(100, 2), torch.randn(100, 2, generator=RNG))
    real = torch.randn(200, 2, generator=RNG)
    with pytest.raises(ValueError, match="raise --pool-rows"):
        transport_objective(RAW, pool, real, ImportanceNetwork(2, (4,)), seed=0)
    with pytest.raises(ValueError, match="use the bounded head"):
        transport_objective(RAW, pool, real, ImportanceNetwork(2, (4,), head="relu"), seed=0)
