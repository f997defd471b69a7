"""FID against closed forms and against the matrix square root."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import sqrtm

from tests.training.metrics.samples import normal
from training.metrics.fid import fid, fit_gaussian, frechet_distance


def by_matrix_square_root(real: torch.Tensor, fake: torch.Tensor) -> float:
    shift = (real.mean(0) - fake.mean(0)).square().sum()
    first, second = real.T.cov().numpy(), fake.T.cov().numpy()
    return float(shift + (first + second - 2 * sqrtm(first @ second).real).trace())


def correlated(n: int, dim: int, seed: int) -> torch.Tensor:
    mixing = torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed + 1000))
    return normal(n, dim, seed).double() @ mixing.double() + seed


@pytest.mark.parametrize("dim", [2, 7, 32])
def test_it_agrees_with_the_matrix_square_root(dim: int) -> None:
    real, fake = correlated(300, dim, seed=0), correlated(200, dim, seed=1)
    assert fid(real, fake) == pytest.approx(by_matrix_square_root(real, fake), rel=1e-9)


def test_two_gaussian_samples_come_close_to_the_closed_form() -> None:
    """N(0, I) and N(shift, diag(scale^2)): |shift|^2 + sum (scale - 1)^2; 1% is six deviations at this size."""
    shift, scale = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.5, 2.0, 3.0])
    real, fake = normal(200_000, 3, seed=2), normal(200_000, 3, seed=3) * scale + shift
    expected = float(shift.square().sum() + (scale - 1).square().sum())
    assert fid(real, fake) == pytest.approx(expected, rel=0.01)


def test_a_shift_costs_its_square_and_a_scaling_what_it_does_to_the_deviations() -> None:
    real = correlated(100, 5, seed=4)
    assert fid(real, real + 2.0) == pytest.approx(5 * 4.0, rel=1e-9)
    centred = real - real.mean(0)
    assert fid(centred, 3 * centred) == pytest.approx(4.0 * float(centred.T.cov().trace()), rel=1e-9)


def test_identical_sets_are_zero_apart_even_with_fewer_samples_than_dimensions() -> None:
    for rows in (4, 300):
        real = normal(rows, 64, seed=5)
        assert 0 <= fid(real, real.flip(0)) < 1e-10


def test_a_dead_feature_is_no_trouble() -> None:
    real, fake = normal(50, 4, seed=6), normal(50, 4, seed=7)
    padded = [torch.cat([x, torch.zeros(50, 3)], dim=1) for x in (real, fake)]
    assert fid(*padded) == pytest.approx(fid(real, fake), rel=1e-9)


def test_statistics_can_be_kept_and_used_again() -> None:
    real, fake = normal(50, 4, seed=8), normal(60, 4, seed=9, scale=2.0)
    kept = fit_gaussian(real)
    assert frechet_distance(kept, fit_gaussian(fake)) == fid(real, fake)
    torch.testing.assert_close(kept.root.T @ kept.root, real.double().T.cov())


def test_it_is_symmetric() -> None:
    real, fake = correlated(60, 6, seed=10), correlated(90, 6, seed=11)
    assert fid(real, fake) == pytest.approx(fid(fake, real), rel=1e-12)


def test_one_sample_has_no_covariance() -> None:
    with pytest.raises(ValueError, match=r"fake has 1 sample.*needs at least 2; draw more"):
        fid(normal(5, 3, seed=0), normal(1, 3, seed=1))


def test_a_weight_counts_like_so_many_copies() -> None:
    rows, counts = correlated(40, 3, seed=10), torch.arange(40) % 3
    kept, n = fit_gaussian(rows, weights=counts), int(counts.sum())
    copies = rows.repeat_interleave(counts, dim=0)
    covariance = (kept.root.T @ kept.root) * (1 - float((counts / n).square().sum()))
    assert torch.allclose(kept.mean, copies.mean(0))
    assert torch.allclose(covariance, copies.T.cov(correction=0))


def test_equal_weights_are_none() -> None:
    rows = correlated(30, 3, seed=11)
    plain, weighted = fit_gaussian(rows), fit_gaussian(rows, weights=torch.full((30,), 0.7))
    assert torch.allclose(plain.mean, weighted.mean)
    assert torch.allclose(plain.root.T @ plain.root, weighted.root.T @ weighted.root)
