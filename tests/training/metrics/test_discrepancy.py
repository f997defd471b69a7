"""Energy, KID and ladder distance: unbiased, so zero on average for equal laws, and right against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from math import erf, exp, pi, sqrt

import pytest
import torch
from scipy.stats import energy_distance as root_of_v_statistic

from tests.training.metrics.samples import column, normal
from training.metrics import discrepancy
from training.metrics.discrepancy import energy_distance, kid, ladder_distance

Metric = Callable[[torch.Tensor, torch.Tensor], float]
DRAWS, ROWS = 2_000, 8


def polynomial_kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def v_energy(real: torch.Tensor, fake: torch.Tensor) -> float:
    """The biased statistic: every sample is also compared with itself."""
    pairs = ((real, fake), (real, real), (fake, fake))
    across, within, other = (float(torch.cdist(a.double(), b.double()).mean()) for a, b in pairs)
    return 2 * across - within - other


def v_kid(real: torch.Tensor, fake: torch.Tensor) -> float:
    pairs = ((real, fake), (real, real), (fake, fake))
    across, within, other = (float(polynomial_kernel(a, b).mean()) for a, b in pairs)
    return within + other - 2 * across


def z_score_of_the_mean(metric: Metric) -> float:
    """Mean over many small draws of one law, in its own standard errors."""
    draws = [metric(normal(ROWS, 3, seed=2 * i), normal(ROWS, 3, seed=2 * i + 1)) for i in range(DRAWS)]
    values = torch.tensor(draws, dtype=torch.float64)
    return float(values.mean() / (values.std() / sqrt(DRAWS)))


@pytest.mark.parametrize("metric", [energy_distance, kid, ladder_distance])
def test_it_is_unbiased(metric: Metric) -> None:
    assert abs(z_score_of_the_mean(metric)) < 3


@pytest.mark.parametrize("metric", [v_energy, v_kid])
def test_the_v_statistic_would_not_pass_for_unbiased(metric: Metric) -> None:
    assert z_score_of_the_mean(metric) > 10


@pytest.mark.parametrize("metric", [energy_distance, kid, ladder_distance])
def test_it_may_be_negative(metric: Metric) -> None:
    values = [metric(normal(ROWS, 3, seed=2 * i), normal(ROWS, 3, seed=2 * i + 1)) for i in range(20)]
    assert min(values) < 0 < max(values)


def mean_absolute_normal(mean: float, std: float) -> float:
    """E|X| for X ~ N(mean, std^2)."""
    return std * sqrt(2 / pi) * exp(-(mean**2) / (2 * std**2)) + mean * erf(mean / (std * sqrt(2)))


def test_the_energy_distance_of_two_normals_on_a_line_is_the_closed_form() -> None:
    shift, scale = 1.0, 2.0
    expected = (
        2 * mean_absolute_normal(shift, sqrt(1 + scale**2))
        - mean_absolute_normal(0, sqrt(2))
        - mean_absolute_normal(0, scale * sqrt(2))
    )
    draws = [
        energy_distance(normal(1_000, 1, seed=i), normal(1_000, 1, seed=500 + i, shift=shift, scale=scale))
        for i in range(40)
    ]
    values = torch.tensor(draws)
    assert abs(float(values.mean()) - expected) < 3 * float(values.std()) / sqrt(40)
    assert float(values.std()) / sqrt(40) < expected / 50  # tight enough to tell the factor of 2 or a root


def test_by_hand() -> None:
    real, fake = column(0.0, 1.0), column(2.0, 4.0)
    assert energy_distance(real, fake) == pytest.approx(2 * (2 + 4 + 1 + 3) / 4 - 1 - 2)
    across = (1 + 1 + 3**3 + 5**3) / 4  # kernel (xy + 1)^3 at d = 1
    assert kid(real, fake) == pytest.approx(1 + 9**3 - 2 * across)


def test_the_kernel_divides_by_the_dimension() -> None:
    real, fake = torch.ones(2, 5), torch.zeros(2, 5)
    assert kid(real, fake) == pytest.approx(2**3 + 1 - 2)


def test_it_is_the_root_of_nothing_and_differs_from_scipy_by_the_diagonal() -> None:
    real, fake = normal(40, 1, seed=0), normal(40, 1, seed=1, shift=1.0)
    within = sum(float(torch.cdist(x.double(), x.double()).mean()) for x in (real, fake)) / 39
    biased = root_of_v_statistic(real.flatten().numpy(), fake.flatten().numpy()) ** 2
    assert energy_distance(real, fake) == pytest.approx(biased - within, rel=1e-6)


@pytest.mark.parametrize("metric", [energy_distance, kid, ladder_distance])
def test_blocks_change_nothing_but_rounding(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(50, 6, seed=2), normal(37, 6, seed=3, shift=0.2)
    whole = metric(real, fake)
    monkeypatch.setattr("training.metrics.distances.BLOCK_ROWS", 7)
    monkeypatch.setattr(discrepancy, "BLOCK_ROWS", 7)
    assert metric(real, fake) == pytest.approx(whole, rel=1e-9, abs=1e-7)


@pytest.mark.parametrize("metric", [energy_distance, kid, ladder_distance])
def test_one_sample_has_no_pairs(metric: Metric) -> None:
    with pytest.raises(ValueError, match="needs at least 2; draw more"):
        metric(normal(1, 3, seed=0), normal(5, 3, seed=1))


def test_the_ladder_sees_narrow_modes_where_plain_distances_see_none() -> None:
    """Two modes of deviation 0.01, their samples spread to 0.05: a hundredth of the distance between them.

    How many samples fall on a mode is random, and is nearly all the noise there is.
    """
    modes = torch.tensor([[0.0, 0.0], [4.0, 0.0]])

    def blurred(std: float, seed: int) -> torch.Tensor:
        rows = torch.randint(2, (800,), generator=torch.Generator().manual_seed(seed))
        return modes[rows] + std * normal(800, 2, seed=seed)

    def ratio_to_equal(metric: Metric) -> float:
        """Distance of the blurred to the data, in standard deviations of that of fresh data."""
        equal = torch.tensor([metric(blurred(0.01, 0), blurred(0.01, seed)) for seed in range(1, 21)])
        return (metric(blurred(0.01, 0), blurred(0.05, 30)) - float(equal.mean())) / float(equal.std())

    assert ratio_to_equal(ladder_distance) > 10
    assert ratio_to_equal(energy_distance) < 3
