"""Precision and recall, density and coverage: identical, far, swapped, and small cases by hand."""

from __future__ import annotations

import pytest
import torch

from tests.training.metrics.samples import column, normal
from training.metrics.neighbours import density_coverage, knn_radii, precision_recall, recall


@pytest.mark.parametrize("k", [1, 3, 5])
def test_identical_sets_have_precision_and_recall_one(k: int) -> None:
    real = normal(1_100, 16, seed=0, shift=10.0)
    assert precision_recall(real, real.flip(0), k) == (1.0, 1.0)


def test_far_sets_have_precision_and_recall_zero() -> None:
    assert precision_recall(normal(64, 4, seed=1), normal(64, 4, seed=2, shift=100.0)) == (0.0, 0.0)
    assert density_coverage(normal(64, 4, seed=1), normal(64, 4, seed=2, shift=100.0)) == (0.0, 0.0)


def test_swapping_real_and_fake_swaps_precision_and_recall() -> None:
    real, fake = normal(200, 4, seed=3), normal(150, 4, seed=4, scale=0.4)
    found = precision_recall(real, fake)
    assert precision_recall(fake, real) == (found.recall, found.precision)
    assert recall(real, fake) == found.recall
    assert found.precision > found.recall  # too narrow a generator: all of it is real, much of the real is missing


def test_the_radius_is_the_distance_to_the_kth_other_point() -> None:
    x = column(0.0, 1.0, 3.0, 7.0).double()
    assert knn_radii(x, 1).tolist() == [1.0, 1.0, 2.0, 4.0]
    assert knn_radii(x, 2).tolist() == [3.0, 2.0, 3.0, 6.0]


def test_precision_and_recall_by_hand() -> None:
    """k = 1: real balls [-1, 1], [0, 2], [1, 11]; fake balls [-1.5, -0.5], [-2, -1], [5, 8], [6.5, 9.5]."""
    real, fake = column(0.0, 1.0, 6.0), column(-1.0, -1.5, 6.5, 8.0)
    precision, recalled = precision_recall(real, fake, k=1)
    assert precision == 3 / 4  # all but -1.5; -1 lies on the edge of the first ball, and the edge counts
    assert recalled == pytest.approx(1 / 3)  # 6 alone


def test_density_and_coverage_by_hand() -> None:
    """k = 1: real balls around 0, 1, 6 with radii 1, 1, 5; the fakes 0.5, 0.5, 2.5 make 2 + 2 + 1 memberships."""
    real, fake = column(0.0, 1.0, 6.0), column(0.5, 0.5, 2.5, 40.0)
    density, coverage = density_coverage(real, fake, k=1)
    assert (density, coverage) == (5 / 4, 1.0)
    density, coverage = density_coverage(real, column(-0.5, 40.0), k=1)
    assert (density, coverage) == (1 / 2, 1 / 3)


def test_a_fake_on_the_edge_counts_only_in_closed_balls() -> None:
    real, fake = column(0.0, 2.0, 10.0), column(-2.0)
    assert density_coverage(real, fake, k=1) == (0.0, 0.0)
    assert density_coverage(real, fake, k=1, closed=True) == (1.0, 1 / 3)


def test_duplicates_have_balls_of_radius_zero() -> None:
    real = column(0.0, 0.0, 5.0, 5.0)
    assert precision_recall(real, real, k=1) == (1.0, 1.0)
    assert density_coverage(real, real, k=1) == (0.0, 0.0)
    assert density_coverage(real, real, k=1, closed=True) == (2.0, 1.0)


def test_equal_laws_have_density_and_coverage_near_their_expectations() -> None:
    """Naeem et al. 2020, density 1, coverage 1 - 2^-k for large sets of one size."""
    draws = [density_coverage(normal(500, 8, seed=s), normal(500, 8, seed=100 + s), k=3) for s in range(10)]
    density, coverage = torch.tensor(draws).mean(dim=0).tolist()
    assert density == pytest.approx(1.0, abs=0.05)
    assert coverage == pytest.approx(1 - 2**-3, abs=0.02)


def test_too_few_samples_for_k() -> None:
    few, many = normal(3, 2, seed=0), normal(9, 2, seed=1)
    with pytest.raises(ValueError, match=r"real has 3 sample.*k = 3 needs at least 4; draw more"):
        precision_recall(few, many)
    with pytest.raises(ValueError, match=r"fake has 3 sample.*k = 3 needs at least 4; draw more"):
        precision_recall(many, few)
    with pytest.raises(ValueError, match=r"real has 3 sample.*needs at least 4"):
        density_coverage(few, many)
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        precision_recall(many, many, k=0)
