"""prior: latents as they come, and what they cost."""

from __future__ import annotations

import torch

from models.priors import Prior
from sampling.prior import propose_prior, sample_prior
from sampling.streams import BlockStream
from tests.sampling.laws import KnownWeight, known

PRIOR = Prior("normal", 2)


def test_everything_is_accepted_and_nothing_evaluated_without_a_w() -> None:
    draw = sample_prior(PRIOR, None, 70, BlockStream(0, 32))
    assert draw.latents.shape == (70, 2) and draw.weights is None and draw.samples is None
    assert (draw.cost.proposals, draw.cost.accepted, draw.cost.importance_rows) == (96, 96, 0)
    assert draw.cost.acceptance_rate == 1.0


def test_weights_come_along_where_there_is_a_w() -> None:
    importance = known(lambda z: z[:, 0].abs(), cap=2.0)
    draw = sample_prior(PRIOR, importance, 70, BlockStream(0, 32))
    assert isinstance(importance, KnownWeight)
    assert draw.cost.importance_rows == importance.rows == 96  # three whole blocks
    assert draw.weights is not None and torch.equal(draw.weights, draw.latents[:, 0].abs())
    assert torch.equal(draw.latents, sample_prior(PRIOR, None, 70, BlockStream(0, 32)).latents)


def test_the_law_is_the_prior() -> None:
    z = sample_prior(PRIOR, None, 40_000, BlockStream(1, 1_000)).latents
    assert z.mean(dim=0).abs().max() < 4 / 40_000**0.5
    torch.testing.assert_close(z.T.cov(), torch.eye(2), atol=0.03, rtol=0)
    assert len(torch.unique(z, dim=0)) == 40_000


def test_a_shorter_draw_is_the_beginning_of_a_longer_one() -> None:
    short, long = (sample_prior(PRIOR, None, n, BlockStream(5, 32)).latents for n in (10, 64))
    assert torch.equal(short, long[:10])


def test_a_block_passes_whole() -> None:
    block = propose_prior(PRIOR, None, BlockStream(5, 32))
    assert block.cost.accepted == len(block.latents) == 32 and block.weights is None
    assert torch.equal(block.latents, sample_prior(PRIOR, None, 32, BlockStream(5, 32)).latents)
