"""Seeded streams: sample i is its own first accepted unit, so its law is that of the rejection."""

from __future__ import annotations

from functools import partial
from math import sqrt

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, geom, kstest, norm

from sampling.latentrs import propose_latentrs
from sampling.mh import propose_mh
from sampling.prior import propose_prior
from sampling.randomness import Counters, RowRandomness
from sampling.sampler import Sampler
from sampling.seeded import OneBlock, draw_seeded, window_size
from sampling.sir import propose_sir
from tests.sampling.laws import constant, known
from tests.sampling.ratios import flat_density, judge, pvalue, tilted_density
from tests.sampling.test_latentrs import NORMAL, UNIFORM, gaussian_bump, step
from tests.sampling.test_seeded import FAR, latentrs, same

ROWS = 10_000


def test_each_sample_is_the_first_accepted_one_of_its_own_attempts() -> None:
    """Against attempts evaluated one by one; this w is elementwise, so its bits are the same in any shape."""
    importance = known(step, cap=5.0)
    drawn = draw_seeded(latentrs(importance, 1 / 5), 60, seed=9, offset=FAR)
    for i in range(60):
        for attempt in range(200):
            numbers = RowRandomness(Counters(9, np.array([FAR + i]), np.array([attempt])))
            alone = propose_latentrs(NORMAL, importance, OneBlock(numbers, 1, "cpu"))
            if len(alone.latents):
                assert torch.equal(alone.latents[0], drawn.latents[i])
                break
        else:
            raise AssertionError("nothing was accepted")


def test_the_prior_gives_what_a_rejection_tries_first() -> None:
    plain = draw_seeded(Sampler("prior", partial(propose_prior, NORMAL, None), 64, expected_acceptance=1.0), 64, 3)
    everything = draw_seeded(latentrs(constant(3.0, 3.0)), 64, 3)
    assert torch.equal(plain.latents, everything.latents)


LAWS = {
    "smooth": (NORMAL, gaussian_bump, 3.0, 1 / 3, norm(0.5, sqrt(0.5)).cdf, norm.cdf),
    "half plane": (NORMAL, step, 2.0, 1 / 2, lambda x: np.clip(2 * norm.cdf(x) - 1, 0, 1), norm.cdf),
    "ramp": (UNIFORM, lambda z: 1 + z[:, 0], 2.0, 1 / 2, lambda x: (1 + x) ** 2 / 4, lambda x: (1 + x) / 2),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("expected", [None, 0.99])
def test_the_law_is_the_reweighted_prior_whatever_the_window(name: str, expected: float | None) -> None:
    """``expected`` is what the window goes by: right or wrong, it may change the cost and nothing else."""
    prior, formula, cap, acceptance, tilted, untouched = LAWS[name]
    drawn = draw_seeded(latentrs(known(formula, cap), expected, prior), ROWS, seed=21)
    first, second = drawn.latents.double().numpy().T
    assert kstest(first, tilted).pvalue > 1e-4
    assert kstest(second, untouched).pvalue > 1e-4
    for one, two in ((first, second), (first[:-1], first[1:]), (second[:-1], second[1:])):
        assert abs(np.corrcoef(one, two)[0, 1]) < 4 / sqrt(ROWS)
    assert drawn.weights is not None
    torch.testing.assert_close(drawn.weights, formula(drawn.latents))
    error = sqrt(acceptance * (1 - acceptance) / drawn.cost.proposals)
    assert abs(drawn.cost.acceptance_rate - acceptance) < 4 * error  # surplus counts on both sides


def test_the_window_changes_no_sample_where_neighbours_do_not_matter() -> None:
    importance = known(gaussian_bump, cap=3.0)
    small, large = (draw_seeded(latentrs(importance, expected), 500, seed=2) for expected in (0.01, 0.99))
    assert same(small, large) and small.cost.proposals > 1.5 * large.cost.proposals


def test_the_number_of_attempts_of_a_sample_is_geometric() -> None:
    """Which attempt was taken is found by comparing with all of them."""
    rows = 4_000
    drawn, attempts = draw_seeded(latentrs(constant(1.0, 3.0)), rows, seed=8), np.zeros(rows, np.int64)
    for attempt in range(40):
        numbers = RowRandomness(Counters(8, np.arange(rows), np.full(rows, attempt)))
        attempts[(NORMAL.draw(numbers) == drawn.latents).all(dim=1).numpy()] = attempt + 1
    counts = np.bincount(np.minimum(attempts, 12), minlength=13)[1:]
    law = geom(1 / 3).pmf(np.arange(1, 13))
    law[-1] = geom(1 / 3).sf(11)
    assert chisquare(counts, law * rows).pvalue > 1e-4


def test_chains_and_sets_keep_their_laws_and_are_never_rejected() -> None:
    starts = torch.tensor([-50.0])
    chains = Sampler("mh", partial(propose_mh, judge(), starts, 40), 4_000, expected_acceptance=1 / 40, unit=40)
    sets = Sampler("sir", partial(propose_sir, judge(), 100), 10_000, expected_acceptance=1 / 100, unit=100)
    for sampler in (chains, sets):
        assert window_size(sampler) == sampler.units == 100
        drawn = draw_seeded(sampler, 5_000, seed=4)
        assert drawn.samples is not None and drawn.cost.accepted == 5_000
        first, second = drawn.samples.double().numpy().T
        assert pvalue(first, tilted_density) > 1e-4 and pvalue(second, flat_density) > 1e-4
