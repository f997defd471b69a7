"""jbt keeps the latents where the generator stretches least, in the share that was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chi2, kstest
from torch import nn

from models.bundle import Bundle
from models.pilot import JbtPilot
from sampling.draw import Draw
from sampling.jacobian import draw_probes, jacobian_score
from sampling.jbt import JbtParameters
from sampling.methods import bind
from sampling.sampler import BlockSizes, draw
from sampling.streams import BlockStream
from tests.sampling.pilots import bundle_with

SIZES = BlockSizes(latents=512, decoded=4_096)
PROBES, PROBE_SEED = 10, 4


class Cubic(nn.Module):
    """x = z |z|^2: its Jacobian |z|^2 I + 2 z z' has squared norm (d + 8) |z|^4, so the lowest are near 0."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z * z.square().sum(1, keepdim=True)


def cubic_pilot(dim: int, derivative: str = "exact") -> JbtPilot:
    """Quantiles of the expected score (d + 8) |z|^4, where |z|^2 is chi-square."""
    levels = np.linspace(0, 1, 1_001)[:-1]
    squares = np.append(chi2(dim).ppf(levels), 60.0)
    quantiles = tuple((dim + 8) * squares**2)
    return JbtPilot(rows=1, seed=0, quantiles=quantiles, probes=400, probe_seed=PROBE_SEED, derivative=derivative)  # type: ignore[arg-type]


def cubic(folder: Path) -> Bundle:
    return bundle_with(folder, Cubic(), dim=2, jbt=cubic_pilot(2))


def drawn(bundle: Bundle, keep: float, n: int, seed: int = 0, sizes: BlockSizes = SIZES) -> Draw:
    sampler = bind(bundle, "jbt", JbtParameters(keep=keep), sizes)
    return draw("jbt", sampler.propose, n, BlockStream(seed, sampler.block))


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_of_a_cubic_generator_the_disc_around_zero_is_kept(tmp_path: Path, keep: float) -> None:
    """With hundreds of probes the score is within a few percent of the norm, so the edge is nearly a circle."""
    result = drawn(cubic(tmp_path), keep, 1_500, sizes=BlockSizes(512, 16_000))
    squares = result.latents.square().sum(1).double().numpy()
    edge = chi2(2).ppf(keep)
    assert squares.max() < 1.2 * edge
    assert (squares < 0.8 * edge).mean() > 0.7
    inner = squares[squares < 0.8 * edge]
    assert kstest(inner, lambda x: chi2(2).cdf(x) / chi2(2).cdf(0.8 * edge)).pvalue > 1e-4  # the prior there
    expected = result.cost.proposals * keep
    assert (
        abs(result.cost.accepted - expected) < 4 * (expected * (1 - keep)) ** 0.5 + 0.03 * expected
    )  # the second: of the probes


def small(folder: Path, derivative: str = "exact", bound: float = 3.0) -> Bundle:
    """The small bundle; quantiles 0 to ``bound`` in a straight line, so keep = 0.5 is a threshold of half of it."""
    jbt = JbtPilot(
        rows=1, seed=0, quantiles=(0.0, bound), probes=PROBES, probe_seed=PROBE_SEED, derivative=derivative  # type: ignore[arg-type]
    )  # fmt: skip
    return bundle_with(folder, jbt=jbt)


@pytest.mark.parametrize("derivative", ["exact", "difference"])
def test_what_comes_out_scores_at_most_the_threshold_and_nothing_else_was_dropped(
    tmp_path: Path, derivative: str
) -> None:
    bundle, stream = small(tmp_path, derivative), BlockStream(0, 64)
    sampler = bind(bundle, "jbt", JbtParameters(keep=0.5), BlockSizes(512, 8 * 64))
    assert sampler.block == 64 and sampler.expected_acceptance == 0.5
    block = sampler.propose(stream)
    latents = bundle.prior.draw(BlockStream(0, 64).next())
    probes = draw_probes(PROBES, 3, PROBE_SEED)
    low = jacobian_score(bundle.generator, latents, probes, "exact").score <= 1.5
    assert 5 < int(low.sum()) < 60
    assert torch.equal(block.latents, latents[low])
    assert block.weights is not None and bundle.importance is not None
    torch.testing.assert_close(block.weights, bundle.importance(latents)[low])
    assert block.proposed_weights is not None and len(block.proposed_weights) == 64


def test_the_samples_come_along_and_the_generator_is_called_once_a_block(tmp_path: Path) -> None:
    bundle, calls = small(tmp_path), []
    bundle.generator.register_forward_hook(lambda _, inputs, output: calls.append(len(inputs[0])))
    sampler = bind(bundle, "jbt", JbtParameters(keep=0.5), BlockSizes(512, 64))
    result = draw("jbt", sampler.propose, 50, BlockStream(1, sampler.block))
    blocks = result.cost.proposals // sampler.block
    assert calls == [sampler.block] * blocks
    assert result.samples is not None and len(result.samples) == 50
    torch.testing.assert_close(result.samples, bundle.generator(result.latents))
    assert result.cost.generator_rows == (PROBES + 2) * result.cost.proposals
    assert result.cost.gradient_steps == (PROBES + 1) * result.cost.proposals
    assert result.cost.importance_rows == result.cost.proposals


def test_at_one_it_is_the_prior_bit_for_bit_and_nothing_is_decoded(tmp_path: Path) -> None:
    bundle = small(tmp_path)
    sampler, prior = bind(bundle, "jbt", JbtParameters(keep=1)), bind(bundle, "prior")
    assert sampler.block == prior.block and sampler.expected_acceptance == 1
    ours, theirs = (draw("jbt", s.propose, 700, BlockStream(2, s.block)) for s in (sampler, prior))
    assert torch.equal(ours.latents, theirs.latents)
    assert ours.cost == theirs.cost and ours.samples is None


def test_a_shorter_draw_is_the_beginning_of_a_longer_one(tmp_path: Path) -> None:
    bundle = small(tmp_path)
    short, long = (drawn(bundle, 0.5, n, seed=5, sizes=BlockSizes()) for n in (10, 64))
    assert torch.equal(short.latents, long.latents[:10])
    assert short.samples is not None and long.samples is not None
    assert torch.equal(short.samples, long.samples[:10])


def test_a_block_may_be_all_refused(tmp_path: Path) -> None:
    sampler = bind(small(tmp_path, bound=1e-6), "jbt", JbtParameters(keep=0.5))
    block = sampler.propose(BlockStream(0, sampler.block))
    assert block.latents.shape == (0, 3) and block.cost.accepted == 0
    assert block.samples is not None and block.samples.shape == (0, 2)


def test_without_its_pilot_section_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="jbt needs the constants 'jbt' of a pilot run, which bundle small lacks"):
        bind(bundle_with(tmp_path), "jbt")


@pytest.mark.parametrize("keep", [0.0, 0.009, 1.01, -1, float("nan"), "most"])
def test_a_share_out_of_range_is_refused(keep: object) -> None:
    with pytest.raises(ValueError, match="keep"):
        JbtParameters(keep=keep)  # type: ignore[arg-type]
