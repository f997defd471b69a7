"""sir: the exact law for few candidates, the density ratio in the limit."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import chisquare

from models.importance import ImportanceNetwork
from sampling.draw import Draw
from sampling.ratio import Judge
from sampling.sampler import draw
from sampling.sir import SirParameters, propose_sir, resample
from sampling.streams import BlockStream
from tests.sampling.ratios import Counting, flat_density, judge, pvalue, tilted_density

ROWS = 30_000
RATIOS = torch.tensor([0.1, 0.5, 2.4])
"""Of three equally likely bins of the first coordinate; their mean is one."""


def bins(x: torch.Tensor) -> torch.Tensor:
    return ((x[:, 0] + 1) * 1.5).long().clamp(0, 2)


def sample(candidates: int, n: int = ROWS, sets: int = 500, judging: Judge | None = None) -> Draw:
    propose = partial(propose_sir, judging or judge(), candidates)
    return draw("sir", propose, n, BlockStream(13, sets * candidates))


def enumerated(candidates: int) -> np.ndarray:
    """P(output in bin b) over every tuple of bins that N candidates can fall into."""
    law = np.zeros(3)
    for drawn in product(range(3), repeat=candidates):
        r = RATIOS.double().numpy()[list(drawn)]
        np.add.at(law, list(drawn), r / r.sum() / 3**candidates)
    return law


@pytest.mark.parametrize("candidates", [1, 2, 3, 5])
def test_for_few_candidates_the_law_is_the_enumerated_one(candidates: int) -> None:
    drawn = sample(candidates, judging=judge(log_ratio=lambda x: RATIOS[bins(x)].log()))
    assert drawn.samples is not None
    counts = torch.bincount(bins(drawn.samples), minlength=3).numpy()
    expected = enumerated(candidates)
    assert expected.sum() == pytest.approx(1)
    assert chisquare(counts, expected * ROWS).pvalue > 1e-4


def test_the_law_tends_to_the_density_ratio_as_candidates_grow() -> None:
    target = 1 / np.tanh(1.5) - 1 / 1.5  # mean of the first coordinate
    drawn = {candidates: sample(candidates).samples for candidates in (1, 2, 4, 8, 16, 100)}
    first = {candidates: x[:, 0].double().numpy() for candidates, x in drawn.items() if x is not None}
    gaps = [target - x.mean() for candidates, x in first.items() if candidates < 100]
    assert gaps == sorted(gaps, reverse=True)
    assert pvalue(first[1], flat_density) > 1e-4 > pvalue(first[1], tilted_density)
    assert pvalue(first[100], tilted_density) > 1e-4 > pvalue(first[2], tilted_density)


def test_resampling_by_hand() -> None:
    log_ratios = torch.tensor([[1.0, 2.0, 1.0]]).log()
    uniforms = {0.0: 0, 0.24: 0, 0.26: 1, 0.74: 1, 0.76: 2, 0.9999999999999999: 2}
    for uniform, index in uniforms.items():
        assert resample(log_ratios, torch.tensor([uniform], dtype=torch.float64)).item() == index


def test_a_candidate_without_weight_is_never_taken_and_scale_does_not_matter() -> None:
    log_ratios = torch.tensor([[-1e4, 900.0, -1e4]])
    for uniform in (0.0, 0.5, 1 - 1e-16):
        assert resample(log_ratios, torch.tensor([uniform], dtype=torch.float64)).item() == 1


@pytest.mark.parametrize("sets", [1, 3])
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(sets: int) -> None:
    short, long = (sample(5, n, sets) for n in (10, 64))
    assert torch.equal(short.latents, long.latents[:10])
    assert short.samples is not None and long.samples is not None
    assert torch.equal(short.samples, long.samples[:10]) and torch.equal(short.samples, short.latents)


def test_every_candidate_is_decoded_and_judged_once_and_one_in_n_comes_out() -> None:
    judging = judge(importance=ImportanceNetwork(2, hidden=(8,)))
    cost = sample(8, 6, sets=4, judging=judging).cost
    assert isinstance(judging.generator, Counting) and isinstance(judging.log_ratio, Counting)
    assert judging.generator.rows == judging.log_ratio.rows == cost.proposals == 64
    assert (cost.accepted, cost.generator_rows, cost.critic_rows, cost.gradient_steps) == (8, 64, 64, 0)
    assert cost.importance_rows == 8


@pytest.mark.parametrize("candidates", [0, 641, 2.5, "many"])
def test_a_number_out_of_range_is_refused(candidates: object) -> None:
    with pytest.raises(ValidationError, match="candidates"):
        SirParameters(candidates=candidates)  # type: ignore[arg-type]
