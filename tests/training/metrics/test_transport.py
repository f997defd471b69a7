"""EMD: a shift costs the shift, and no matching is cheaper."""

from __future__ import annotations

from itertools import permutations

import ot
import pytest
import torch

from tests.training.metrics.samples import column, normal
from training.metrics.transport import emd


@pytest.mark.parametrize(("power", "expected"), [(1.0, 5.0), (2.0, 25.0)])
def test_shifted_points_are_the_shift_apart_to_the_power(power: float, expected: float) -> None:
    real = normal(100, 2, seed=0)
    shifted = real + torch.tensor([3.0, -4.0])
    assert emd(real, shifted.flip(0), power) == pytest.approx(expected, rel=1e-6)


def test_identical_sets_in_another_order_are_zero_apart() -> None:
    real = normal(64, 8, seed=1)
    assert emd(real, real.roll(7, 0)) == 0.0


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_it_is_the_cheapest_of_all_matchings(power: float) -> None:
    real, fake = normal(6, 3, seed=2), normal(6, 3, seed=3)
    cost = (real.double()[:, None] - fake.double()).norm(dim=2) ** power
    cheapest = min(float(cost[range(6), order].mean()) for order in permutations(range(6)))
    assert emd(real, fake, power) == pytest.approx(cheapest, rel=1e-12)


def test_it_agrees_with_the_network_simplex_of_pot() -> None:
    real, fake = normal(200, 4, seed=4), normal(200, 4, seed=5, shift=0.3)
    cost = torch.cdist(real.double(), fake.double()).numpy()
    assert emd(real, fake) == pytest.approx(float(ot.emd2([], [], cost)), rel=1e-9)


def test_by_hand_it_is_a_mean_and_not_a_sum() -> None:
    assert emd(column(0.0, 10.0), column(11.0, 2.0)) == 1.5
    assert emd(column(0.0, 10.0), column(11.0, 2.0), power=2) == 2.5


def test_sets_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="not 5 and 6; cut the larger one"):
        emd(normal(5, 2, seed=0), normal(6, 2, seed=1))


@pytest.mark.parametrize("power", [0.0, -1.0, float("nan")])
def test_the_power_must_be_positive(power: float) -> None:
    with pytest.raises(ValueError, match=r"power must be positive.*use 1"):
        emd(normal(5, 2, seed=0), normal(5, 2, seed=1), power)
