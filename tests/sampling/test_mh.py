"""mh: the stationary law is the density ratio times the generator, whatever the chain started at."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.importance import ImportanceNetwork
from sampling.draw import Draw
from sampling.mh import MhParameters, pick, propose_mh, run_chains
from sampling.ratio import Judge
from sampling.sampler import draw
from sampling.streams import BlockStream
from tests.sampling.ratios import Counting, flat_density, judge, pvalue, tilted, tilted_density

ROWS = 20_000
LOW, HIGH = torch.tensor([-50.0]), torch.tensor([50.0])
"""Starts that accept anything, and nothing."""


def sample(
    candidates: int, starts: torch.Tensor, n: int = ROWS, chains: int = 500, judging: Judge | None = None
) -> Draw:
    propose = partial(propose_mh, judging or judge(), starts, candidates)
    return draw("mh", propose, n, BlockStream(11, chains * candidates))


def decoded(drawn: Draw) -> np.ndarray:
    assert drawn.samples is not None
    return drawn.samples.double().numpy()


def test_long_chains_have_the_stationary_law_from_any_start() -> None:
    for starts in (LOW, HIGH):
        first, second = decoded(sample(40, starts)).T
        assert pvalue(first, tilted_density) > 1e-4
        assert pvalue(second, flat_density) > 1e-4


def test_a_chain_of_one_proposal_is_the_generator() -> None:
    for starts in (LOW, HIGH):
        first = decoded(sample(1, starts))[:, 0]
        assert pvalue(first, flat_density) > 1e-4 > pvalue(first, tilted_density)


def test_the_law_comes_closer_with_every_doubling_of_the_chain() -> None:
    """Mean of the first coordinate: 0 for the generator, coth(a) - 1/a under exp(a x)."""
    target = 1 / np.tanh(1.5) - 1 / 1.5
    gaps = [target - decoded(sample(candidates, LOW))[:, 0].mean() for candidates in (1, 2, 4, 8, 16)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] == pytest.approx(target, abs=0.02) and abs(gaps[-1]) < 0.02


def test_a_chain_started_at_real_samples_is_in_equilibrium_among_those_that_moved() -> None:
    """One step from equilibrium: what is accepted has the density of q(x) E[min(1, r(x) / r(y))] over y of the data."""
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.uniform(-1, 1, (400_000, 1)))
    kept = torch.from_numpy(generator.uniform(size=len(x))) < (1.5 * (x[:, 0] - 1)).exp()
    real = tilted(x[kept]).float()
    log_ratios = tilted(torch.from_numpy(generator.uniform(-1, 1, (60_000, 1))))[:, None].float()
    starts = real[torch.from_numpy(generator.integers(len(real), size=60_000))]
    uniform = torch.from_numpy(generator.uniform(size=(60_000, 1))).float()
    moved = run_chains(log_ratios, starts, uniform) == 0
    state = torch.where(moved, log_ratios[:, 0], starts)
    position = ((state + tilted(torch.zeros(1, 1)).neg()) / 1.5).double().numpy()
    assert pvalue(position, tilted_density) > 1e-4


def test_chains_by_hand() -> None:
    log_ratios = torch.tensor([[0.0, -1.0, 1.0], [0.0, -1.0, 1.0], [0.0, -1.0, 1.0]])
    starts = torch.tensor([0.0, 5.0, -5.0])
    half = torch.full((3, 3), 0.5)
    # exp(-1) = 0.37 is refused at 0.5; from 5 nothing is accepted; a rise always is.
    assert run_chains(log_ratios, starts, half).tolist() == [2, -1, 2]
    assert run_chains(log_ratios, starts, torch.full((3, 3), 0.3)).tolist() == [2, -1, 2]
    falling = torch.tensor([[2.0, 1.0, 0.5]])
    assert run_chains(falling, torch.tensor([0.0]), torch.tensor([[0.9, 0.9, 0.9]])).tolist() == [0]
    assert run_chains(falling, torch.tensor([0.0]), torch.tensor([[0.9, 0.3, 0.9]])).tolist() == [1]


def test_a_chain_that_never_moved_restarts_at_its_first_proposal_with_new_uniforms() -> None:
    log_ratios = torch.tensor([[1.0, 0.0, -9.0]])
    stuck = torch.tensor([90.0])
    first = torch.full((1, 3), 0.99)
    # From the first proposal, 1.0, the second is accepted below exp(-1) = 0.37.
    assert pick(log_ratios, stuck, torch.stack([first, torch.full((1, 3), 0.36)])).tolist() == [1]
    assert pick(log_ratios, stuck, torch.stack([first, torch.full((1, 3), 0.38)])).tolist() == [0]
    # A chain that moved is not run again.
    assert pick(log_ratios, torch.tensor([-9.0]), torch.stack([first, torch.zeros(1, 3)])).tolist() == [0]


@pytest.mark.parametrize("chains", [1, 3])
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(chains: int) -> None:
    short, long = (sample(8, torch.tensor([0.0, 0.5]), n, chains) for n in (10, 64))
    assert torch.equal(short.latents, long.latents[:10])
    assert short.samples is not None and long.samples is not None
    assert torch.equal(short.samples, long.samples[:10]) and torch.equal(short.samples, short.latents)


def test_every_candidate_is_decoded_and_judged_once_and_one_in_k_comes_out() -> None:
    judging = judge(importance=ImportanceNetwork(2, hidden=(8,)))
    drawn = sample(8, LOW, 6, chains=4, judging=judging)
    cost = drawn.cost
    assert isinstance(judging.generator, Counting) and isinstance(judging.log_ratio, Counting)
    assert judging.generator.rows == judging.log_ratio.rows == cost.proposals == 64
    assert (cost.accepted, cost.generator_rows, cost.critic_rows, cost.gradient_steps) == (8, 64, 64, 0)
    assert drawn.weights is not None and len(drawn.weights) == 6 and cost.importance_rows == 8


@pytest.mark.parametrize("candidates", [0, 641, 2.5, "many"])
def test_a_length_out_of_range_is_refused(candidates: object) -> None:
    with pytest.raises(ValidationError, match="candidates"):
        MhParameters(candidates=candidates)  # type: ignore[arg-type]
