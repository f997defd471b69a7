"""The best capped weights: within the cap, of mean one, and as good as a closed form says."""

from __future__ import annotations

import pytest
import torch

from training.evaluation.compare import Table
from training.reproduce.attainable import Attainable, accepted, best_weights, project
from training.reproduce.measure import Measured

CAP = 3.0


def two_clusters(left: int, right: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    points = torch.randn(left + right, 2, generator=rng) * 0.1
    points[left:, 0] += 5
    return points


def test_a_projection_keeps_what_is_allowed_and_mends_what_is_not() -> None:
    allowed = torch.tensor([0.5, 1.5, 1.0])
    torch.testing.assert_close(project(allowed, CAP), allowed)
    mended = project(torch.tensor([9.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), CAP)
    assert float(mended.mean()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(mended[:2], torch.full((2,), CAP))
    torch.testing.assert_close(mended[2:], torch.full((6,), 1 / 3), rtol=0, atol=1e-5)


def test_the_best_weights_restore_the_shares_of_the_target() -> None:
    pool, target = two_clusters(300, 100, 0), two_clusters(200, 200, 1)
    weights = best_weights(pool, target, CAP, 200)
    assert float(weights.min()) >= 0 and float(weights.max()) <= CAP
    assert float(weights.mean()) == pytest.approx(1, abs=1e-4)
    assert float(weights[300:].sum()) / len(pool) == pytest.approx(0.5, abs=0.02)


def test_where_the_cap_binds_the_weights_stop_at_it() -> None:
    pool, target = two_clusters(360, 40, 0), two_clusters(200, 200, 1)
    weights = best_weights(pool, target, CAP, 200)
    assert float(weights[360:].mean()) == pytest.approx(CAP, rel=0.02)


def test_a_matching_pool_keeps_nearly_flat_weights_on_average() -> None:
    pool, target = two_clusters(200, 200, 0), two_clusters(200, 200, 1)
    weights = best_weights(pool, target, CAP, 200)
    assert float(weights[200:].mean()) == pytest.approx(1, abs=0.05)


def test_rejection_takes_rows_by_their_weight_and_never_runs_dry() -> None:
    pool = torch.arange(6_000.0)[:, None]
    weights = torch.cat([torch.zeros(3_000), torch.full((3_000,), CAP)])
    assert float(accepted(pool, weights, CAP, 1_000, 0).min()) >= 3_000
    assert accepted(pool[:4], torch.tensor([CAP, 0, 0, 0]), CAP, 3, 0).flatten().tolist() == [0, 0, 0]


def test_a_share_compares_the_same_blocks() -> None:
    """The blocks of the first half, which the best weights were fitted to, play no part."""
    table = Table({"prior": {"fid": [0.0, 4.0, 4.0]}, "latentrs": {"fid": [9.0, 3.0, 3.0]}}, 10)
    measured = Measured(table, {}, 30)
    best = Attainable(Table({"attainable": {"fid": [2.0, 2.0]}}, 10), 1)
    assert best.share(measured, "latentrs", "fid") == pytest.approx(0.5)
    nothing = Attainable(Table({"attainable": {"fid": [4.0, 4.0]}}, 10), 1)
    assert nothing.share(measured, "latentrs", "fid") is None
