"""The yardstick of selection: unbiased, of the law that rejection samples, with an error that covers."""

from __future__ import annotations

from statistics import fmean, stdev

import pytest
import torch

from models.importance import ImportanceNetwork
from training.metrics.discrepancy import energy_distance
from training.weights.held_out import HeldOutEnergy
from training.weights.problem import Pool

RNG = torch.Generator().manual_seed(5)


class Given(torch.nn.Module):
    """The latent is the weight."""

    cap = 3.0

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z.squeeze(1)


GIVEN = Given()


def scored(weights: torch.Tensor, fake: torch.Tensor, real: torch.Tensor) -> HeldOutEnergy:
    return HeldOutEnergy(Pool(weights[:, None], fake), real)


def test_for_flat_weights_it_is_the_energy_distance() -> None:
    real, fake = torch.randn(150, 3, generator=RNG), torch.randn(120, 3, generator=RNG) + 0.4
    held = scored(torch.ones(120), fake, real)
    assert held(GIVEN) == pytest.approx(energy_distance(real, fake), abs=1e-4)  # type: ignore[arg-type]


def test_it_is_unbiased_under_weights() -> None:
    """The junk half carries no weight, the rest is the data's law: the mean over draws is zero within its error."""
    values = []
    for _ in range(200):
        junk = torch.arange(60) < 30
        fake = torch.randn(60, 3, generator=RNG) + 2.0 * junk[:, None]
        held = scored(2.0 * ~junk, fake, torch.randn(50, 3, generator=RNG))
        values.append(held(GIVEN))  # type: ignore[arg-type]
    assert abs(fmean(values)) < 3 * stdev(values) / len(values) ** 0.5


def test_above_the_cap_a_weight_counts_as_the_cap() -> None:
    real, fake = torch.randn(100, 2, generator=RNG), torch.randn(100, 2, generator=RNG)
    weights = torch.where(torch.arange(100) % 2 == 0, 50.0, 1.0)
    capped = scored(weights.clamp(max=3.0), fake, real)(GIVEN)  # type: ignore[arg-type]
    assert scored(weights, fake, real)(GIVEN) == capped  # type: ignore[arg-type]


def test_a_dead_network_scores_worst() -> None:
    real = torch.randn(20, 2, generator=RNG)
    assert scored(torch.zeros(20), real, real)(GIVEN) == float("inf")  # type: ignore[arg-type]


def test_weights_that_remove_the_shifted_half_gain_far_beyond_the_error() -> None:
    real, half = torch.randn(500, 2, generator=RNG), torch.arange(600) % 2
    fake = torch.randn(600, 2, generator=RNG) + 3 * half[:, None]
    held = scored(2.0 * (1 - half) + 1e-3, fake, real)
    gain, error = held.gain(GIVEN)  # type: ignore[arg-type]
    assert gain == pytest.approx(held(ImportanceNetwork(1, (4,))) - held(GIVEN), abs=1e-6)  # type: ignore[arg-type]
    assert gain > 10 * error > 0


def test_the_error_of_a_gain_covers_the_spread_of_gains_over_draws() -> None:
    """Weights independent of the rows gain nothing: gain / error is standard normal, or nearly."""
    ratios = []
    for _ in range(150):
        weights = torch.where(torch.rand(200, generator=RNG) < 1 / 3, 2.9, 0.05)
        held = scored(weights, torch.randn(200, 4, generator=RNG), torch.randn(150, 4, generator=RNG) + 0.5)
        gain, error = held.gain(GIVEN)  # type: ignore[arg-type]
        ratios.append(gain / error)
    assert abs(fmean(ratios)) < 0.35
    assert 0.75 < stdev(ratios) < 1.3


def test_the_error_covers_the_spread_that_few_real_rows_make() -> None:
    """Weights that tilt the law: most of the spread of their gain comes from which 60 real rows are held out."""
    gains, errors = [], []
    for _ in range(150):
        fake = torch.randn(400, 3, generator=RNG)
        held = scored(torch.sigmoid(6 * fake[:, 0]) * 2.9, fake, torch.randn(60, 3, generator=RNG) + 0.3)
        gain, error = held.gain(GIVEN)  # type: ignore[arg-type]
        gains.append(gain)
        errors.append(error)
    assert 0.75 < stdev(gains) / fmean(errors) < 1.3


def test_a_gain_that_is_small_beside_the_distance_keeps_its_digits() -> None:
    real, fake = torch.randn(300, 2, generator=RNG), torch.randn(300, 2, generator=RNG)
    weights = 1 + 1e-5 * torch.randn(300, generator=RNG)
    gain, _ = scored(weights, fake, real).gain(GIVEN)  # type: ignore[arg-type]
    whole = scored(weights.double(), fake.double(), real.double())
    assert gain == pytest.approx(whole.gain(GIVEN)[0], rel=0.02)  # type: ignore[arg-type]
