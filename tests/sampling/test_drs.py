"""drs samples the law min(r, M) * generator: closed forms with a generator that is the identity."""

from __future__ import annotations

from functools import partial
from math import exp, log, sqrt

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import kstest, norm

from models.importance import ImportanceNetwork
from models.pilot import DrsPilot
from models.priors import Prior
from sampling.draw import Draw, RejectionStalled
from sampling.drs import (
    MAX_SHIFT,
    DrsParameters,
    acceptance_logit,
    expected_acceptance,
    log_acceptance,
    propose_drs,
    shift_at,
)
from sampling.ratio import Judge
from sampling.sampler import draw
from sampling.streams import BlockStream
from tests.sampling.ratios import (
    BOUND,
    NORMAL,
    TILT,
    Counting,
    flat_density,
    judge,
    pvalue,
    tilted,
    tilted_density,
)

ROWS, BLOCK = 30_000, 4_096
GRID = np.linspace(-1, 1, 200_001)


def sample(
    n: int = ROWS, bound: float = BOUND, shift: float | None = None, block: int = BLOCK, judging: Judge | None = None
) -> Draw:
    return draw("drs", partial(propose_drs, judging or judge(), bound, shift), n, BlockStream(3, block))


def decoded(drawn: Draw) -> np.ndarray:
    assert drawn.samples is not None
    return drawn.samples.double().numpy()


def assert_accepted(drawn: Draw, rate: float) -> None:
    assert abs(drawn.cost.acceptance_rate - rate) < 4 * sqrt(rate * (1 - rate) / drawn.cost.proposals)


@pytest.fixture(scope="module")
def plain() -> Draw:
    return sample()


def test_the_accepted_law_is_the_density_ratio_times_the_generator(plain: Draw) -> None:
    first, second = decoded(plain).T
    assert pvalue(first, tilted_density) > 1e-4
    assert pvalue(second, flat_density) > 1e-4


def test_the_acceptance_rate_is_one_over_the_bound(plain: Draw) -> None:
    assert_accepted(plain, exp(-BOUND))


def test_on_a_normal_prior_a_shifted_gaussian_comes_out() -> None:
    """r = exp(a x - a^2 / 2) turns N(0, 1) into N(a, 1); above the bound 8 it is cut, for 2e-5 of that law."""
    a, bound = 0.5, log(8.0)
    drawn = sample(20_000, bound, judging=judge(NORMAL, lambda x: a * x[:, 0] - a**2 / 2))
    first, second = decoded(drawn).T
    assert kstest(first, norm(a, 1).cdf).pvalue > 1e-4
    assert kstest(second, norm.cdf).pvalue > 1e-4
    assert_accepted(drawn, 1 / 8)


def test_a_ratio_above_the_frozen_bound_counts_as_the_bound_and_is_counted() -> None:
    bound = tilted(torch.tensor([[0.5, 0.0]])).item()
    drawn = sample(bound=bound)
    assert pvalue(decoded(drawn)[:, 0], lambda x: np.minimum(tilted_density(x), exp(TILT / 2))) > 1e-4
    assert_accepted(drawn, float(np.minimum(tilted_density(GRID), exp(TILT / 2)).mean() / exp(TILT / 2)))
    share = drawn.cost.above_bound / drawn.cost.proposals
    assert abs(share - 1 / 4) < 4 * sqrt(3 / 16 / drawn.cost.proposals)  # x above 1/2


@pytest.mark.parametrize("shift", [-1.5, 0.0, 1.0])
def test_a_shift_multiplies_the_odds_of_acceptance(shift: float) -> None:
    """Without epsilon the odds of p = r / M are p / (1 - p); the shift divides them by exp(shift)."""
    p = np.exp(TILT * (GRID - 1))
    shifted = p / (p + (1 - p) * exp(shift))
    drawn = sample(shift=shift)
    assert_accepted(drawn, float(shifted.mean()))
    density = partial(np.interp, xp=GRID, fp=shifted)
    assert pvalue(decoded(drawn)[:, 0], density) > 1e-4


def test_the_logit_is_finite_at_the_bound_and_above_it() -> None:
    logits = acceptance_logit(torch.tensor([-80.0, -1.0, 0.0, 5.0]) + BOUND, BOUND)
    assert torch.isfinite(logits).all()
    assert logits[3] == logits[2] > 13
    torch.testing.assert_close(torch.sigmoid(logits[1]), torch.tensor(exp(-1)), atol=1e-5, rtol=0)


def test_a_ratio_far_below_the_bound_underflows_to_never() -> None:
    rule = log_acceptance(torch.tensor([-1e6, 0.0]), 0.0, None)
    assert rule.exp().tolist() == [0.0, 1.0]


def pilot() -> DrsPilot:
    logits = acceptance_logit(tilted(torch.from_numpy(GRID)[:, None].double()), BOUND).numpy()
    percentiles = tuple(float(q) for q in np.percentile(logits, np.arange(101)))
    return DrsPilot(bound=BOUND, acceptance_rate=exp(-BOUND), logit_percentiles=percentiles, rows=len(GRID), seed=0)


def test_the_shift_of_a_percentile_is_read_off_between_its_neighbours() -> None:
    constants = pilot()
    assert shift_at(constants, 40) == constants.logit_percentiles[40]
    assert shift_at(constants, MAX_SHIFT) == constants.logit_percentiles[MAX_SHIFT]
    halfway = (constants.logit_percentiles[40] + constants.logit_percentiles[41]) / 2
    assert shift_at(constants, 40.5) == pytest.approx(halfway)


@pytest.mark.parametrize("percentile", [20.0, 60.0, 95.0])
def test_the_expected_acceptance_of_a_shift_is_what_is_seen(percentile: float) -> None:
    shift = shift_at(pilot(), percentile)
    seen = sample(shift=shift).cost.acceptance_rate
    assert seen == pytest.approx(expected_acceptance(pilot(), shift), rel=0.03)


def test_a_lower_percentile_accepts_more() -> None:
    rates = [expected_acceptance(pilot(), shift_at(pilot(), p)) for p in (5, 50, 95)]
    assert rates == sorted(rates, reverse=True)
    assert expected_acceptance(pilot(), None) == exp(-BOUND)


@pytest.mark.parametrize("shorter", [1, 10, 63])
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(shorter: int) -> None:
    short, long = sample(shorter, block=32), sample(64, block=32)
    assert torch.equal(short.latents, long.latents[:shorter])
    assert short.samples is not None and long.samples is not None
    assert torch.equal(short.samples, long.samples[:shorter])


def test_the_samples_are_the_decoded_latents_and_carry_their_weight() -> None:
    importance = ImportanceNetwork(2, hidden=(8,))
    drawn = sample(50, block=32, judging=judge(importance=importance))
    assert drawn.samples is not None and drawn.weights is not None
    assert torch.equal(drawn.samples, drawn.latents)
    torch.testing.assert_close(drawn.weights, importance(drawn.latents))
    assert drawn.cost.importance_rows == drawn.cost.accepted


def test_every_proposal_is_decoded_and_judged_once() -> None:
    judging = judge()
    cost = sample(50, block=32, judging=judging).cost
    assert isinstance(judging.generator, Counting) and isinstance(judging.log_ratio, Counting)
    assert judging.generator.rows == judging.log_ratio.rows == cost.proposals
    assert (cost.generator_rows, cost.critic_rows) == (cost.proposals, cost.proposals)
    assert (cost.importance_rows, cost.gradient_steps) == (0, 0)


def test_a_bound_that_nothing_reaches_ends_in_an_error() -> None:
    with pytest.raises(RejectionStalled, match="drs accepted 0 of"):
        sample(1, bound=200.0, judging=judge(Prior("uniform", 1)))


@pytest.mark.parametrize("shift", ["some", -1, 99.1, 100, float("nan"), None])
def test_a_shift_that_is_no_percentile_is_refused(shift: object) -> None:
    with pytest.raises(ValidationError):
        DrsParameters(shift=shift)  # type: ignore[arg-type]


def test_a_shift_may_come_as_text() -> None:
    assert DrsParameters.model_validate({"shift": "60"}).shift == 60.0
    assert DrsParameters.model_validate({}).shift == "none"
