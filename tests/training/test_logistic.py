"""Logistic calibration finds the maximum of the likelihood; Z tells a calibrated classifier from another."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from training.logistic import fit_logistic, log_loss, reliability


def scores(rows: int, gap: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of real N(gap, 1) and generated N(0, 1): the log ratio is gap s - gap^2 / 2."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(rows, generator=rng) + gap, torch.randn(rows, generator=rng)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-3, 50.0), (200.0, -7.0)])
def test_the_fit_is_the_maximum_likelihood_at_any_scale(scale: float, offset: float) -> None:
    real, fake = (scale * part.double() + offset for part in scores(2_000, 1.0, seed=0))
    ours = fit_logistic(real, fake)
    x = ((torch.cat([real, fake]) - offset) / scale).numpy()[:, None]
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(x, np.repeat([1, 0], 2_000))
    assert ours.slope * scale == pytest.approx(float(theirs.coef_[0, 0]), rel=1e-3)
    assert ours.intercept + ours.slope * offset == pytest.approx(float(theirs.intercept_[0]), abs=1e-3)


def test_scores_that_separate_perfectly_keep_a_finite_slope() -> None:
    fit = fit_logistic(torch.linspace(1, 2, 50), torch.linspace(-2, -1, 50))
    assert 0 < fit.slope < 1e6


def test_constant_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="all the same"):
        fit_logistic(torch.ones(5), torch.ones(5))


def test_the_reliability_of_the_true_log_ratio_is_centred_and_narrower_than_a_standard_normal() -> None:
    """Equal numbers of both classes are fixed in advance: only p varies, by Var(p | real) + Var(p | generated)."""
    values, rows = [], 200
    for seed in range(300):
        real, fake = (part - 0.5 for part in scores(rows, 1.0, seed))
        values.append(reliability(real, fake))
    real, fake = (torch.sigmoid(part - 0.5) for part in scores(100_000, 1.0, 1))
    p = torch.cat([real, fake])
    expected = float(((real.var() + fake.var()) / (2 * (p * (1 - p)).mean())).sqrt())
    assert expected < 0.5
    assert abs(float(np.mean(values))) < 4 * expected / 300**0.5
    assert float(np.std(values)) == pytest.approx(expected, rel=4 / 600**0.5)


def test_the_reliability_of_a_shifted_log_ratio_is_large() -> None:
    real, fake = (part - 0.5 + 0.5 for part in scores(4_000, 1.0, 0))
    assert reliability(real, fake) < -6
    real, fake = (part - 0.5 - 0.5 for part in scores(4_000, 1.0, 0))
    assert reliability(real, fake) > 6


def test_log_loss_by_hand() -> None:
    assert log_loss(torch.zeros(3), torch.zeros(3)) == pytest.approx(log(2))
    assert log_loss(torch.tensor([log(3.0)]), torch.tensor([log(3.0)])) == pytest.approx((log(4 / 3) + log(4)) / 2)
