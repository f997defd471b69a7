"""simplicial: the simplex, the softmax rule, and the published thresholds by Monte Carlo."""

from __future__ import annotations

from functools import lru_cache
from math import e, sqrt
from pathlib import Path

import pytest
import torch

from models.bundle import Bundle
from models.pilot import SimplicialPilot
from sampling.methods import bind
from sampling.sampler import draw
from sampling.simplicial import SimplicialParameters, regular_simplex, simplicial_score
from sampling.streams import BlockStream
from tests.sampling.pilots import bundle_with

SEEDS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@pytest.mark.parametrize(("count", "dim"), [(2, 1), (2, 5), (3, 2), (10, 9), (10, 64), (101, 100)])
@pytest.mark.parametrize("radius", [1.0, 3.5])
def test_every_two_vertices_are_equally_far_apart_and_their_centre_is_zero(count: int, dim: int, radius: float) -> None:
    vertices = regular_simplex(count, dim, radius).double()
    assert vertices.shape == (count, dim)
    side = radius * sqrt(2 * count / (count - 1))
    torch.testing.assert_close(torch.pdist(vertices), torch.full((count * (count - 1) // 2,), side).double())
    torch.testing.assert_close(vertices.norm(dim=1), torch.full((count,), radius).double())
    torch.testing.assert_close(vertices.sum(0), torch.zeros(dim).double(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("count", "dim"), [(1, 3), (0, 3), (4, 2), (12, 10)])
def test_more_points_than_a_simplex_holds_are_refused(count: int, dim: int) -> None:
    with pytest.raises(ValueError, match=f"in {dim} dimensions from 2 to {dim + 1} points can be equidistant"):
        regular_simplex(count, dim)


def test_the_score_by_hand() -> None:
    """Between two seeds at distance 2 the softmax of minus the distances is a logistic function of their difference."""
    seeds = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    latents = torch.tensor([[0.0, 0.0], [0.0, 7.0], [1.0, 0.0], [-3.0, 0.0]])
    sure = e**2 / (1 + e**2)
    torch.testing.assert_close(simplicial_score(latents, seeds), torch.tensor([0.5, 0.5, sure, sure]))


def test_distances_keep_their_digits_far_from_zero() -> None:
    seeds, latents = regular_simplex(10, 64).double(), torch.randn(50, 64, generator=generator(0)).double() * 30
    exact = torch.softmax(-(latents[:, None] - seeds).norm(dim=2), dim=1).amax(1)
    torch.testing.assert_close(simplicial_score(latents.float(), seeds.float()).double(), exact, rtol=1e-4, atol=0)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


MONTE_CARLO_ROWS = 200_000


@lru_cache
def scores(kind: str) -> torch.Tensor:
    seeds = regular_simplex(10, 64) if kind == "regular" else torch.eye(64)[:10]
    parts = [simplicial_score(torch.randn(20_000, 64, generator=generator(i)), seeds) for i in range(10)]
    return torch.cat(parts)


@pytest.mark.parametrize(
    ("kind", "tau", "percent"),
    [("orthonormal", 0.135, 3.9), ("orthonormal", 0.14, 1.4), ("orthonormal", 0.1445, 0.5),
     ("regular", 0.135, 6.0), ("regular", 0.14, 2.3), ("regular", 0.1445, 1.0)],
)  # fmt: skip
def test_the_published_thresholds_accept_what_the_specification_says(kind: str, tau: float, percent: float) -> None:
    """Ten unit seeds in 64 dimensions; the printed numbers are rounded to a tenth of a percent."""
    share = float((scores(kind) > tau).double().mean())
    error = 4 * sqrt(share * (1 - share) / MONTE_CARLO_ROWS)
    assert abs(100 * share - percent) < 0.05 + 100 * error


def small(folder: Path) -> Bundle:
    """Quantiles from 1/2 to 1 in a straight line: acceptance 0.8 is a threshold of 0.6."""
    simplicial = SimplicialPilot(rows=1, seed=0, quantiles=(0.5, 1.0), kind="fitted", radius=1.0, seeds=SEEDS)
    return bundle_with(folder, simplicial=simplicial)


def test_a_block_passes_where_the_score_is_above_the_threshold(tmp_path: Path) -> None:
    bundle = small(tmp_path)
    sampler = bind(bundle, "simplicial", SimplicialParameters(acceptance=0.8))
    block = sampler.propose(BlockStream(0, sampler.block))
    latents = bundle.prior.draw(BlockStream(0, sampler.block).next())
    high = simplicial_score(latents, torch.tensor(SEEDS)) > 0.6
    assert 50 < int(high.sum()) < 450
    assert torch.equal(block.latents, latents[high])
    assert bundle.importance is not None and block.weights is not None
    torch.testing.assert_close(block.weights, bundle.importance(latents)[high])
    assert (block.cost.proposals, block.cost.importance_rows, block.cost.accepted) == (512, 512, int(high.sum()))
    assert block.cost.generator_rows == 0 and block.samples is None
    assert sampler.expected_acceptance == 0.8


def test_at_one_it_is_the_prior_bit_for_bit(tmp_path: Path) -> None:
    bundle = small(tmp_path)
    sampler, prior = bind(bundle, "simplicial", SimplicialParameters(acceptance=1)), bind(bundle, "prior")
    ours, theirs = (draw("simplicial", s.propose, 700, BlockStream(2, s.block)) for s in (sampler, prior))
    assert torch.equal(ours.latents, theirs.latents) and ours.cost == theirs.cost


def test_a_shorter_draw_is_the_beginning_of_a_longer_one(tmp_path: Path) -> None:
    sampler = bind(small(tmp_path), "simplicial", SimplicialParameters(acceptance=0.8))
    short, long = (draw("simplicial", sampler.propose, n, BlockStream(5, 32)).latents for n in (10, 64))
    assert torch.equal(short, long[:10])


def test_without_its_pilot_section_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="simplicial needs the constants 'simplicial' of a pilot run, which bundle"):
        bind(bundle_with(tmp_path), "simplicial")


@pytest.mark.parametrize("acceptance", [0.0, 0.004, 1.01, -1, float("nan"), "few"])
def test_an_acceptance_out_of_range_is_refused(acceptance: object) -> None:
    with pytest.raises(ValueError, match="acceptance"):
        SimplicialParameters(acceptance=acceptance)  # type: ignore[arg-type]
