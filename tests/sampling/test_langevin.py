"""langevin's chains have the law w^(1/T) * prior: closed forms, with Kolmogorov-Smirnov tests."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from scipy.stats import kstest, norm, rayleigh, uniform

from models.importance import ImportanceNetwork
from models.priors import Prior
from sampling.block import Block
from sampling.draw import Cost
from sampling.langevin import LONGEST_PULL, LangevinParameters, look, propose_langevin
from sampling.methods import bind
from sampling.sampler import BlockSizes, draw
from sampling.streams import BlockStream
from tests.sampling.laws import KnownWeight, known, ramp_bundle

NORMAL, UNIFORM = Prior("normal", 2), Prior("uniform", 2)
CHAINS = 20_000
TILT = known(lambda z: torch.exp(0.8 * z[:, 0] - 0.5 * z[:, 1]), cap=3.0)
BUMP = known(lambda z: torch.exp(-((z[:, 0] - 1) ** 2) / 2), cap=3.0)
SIGMOID = known(lambda z: 2 * z[:, 0], cap=3.0, head="bounded")
HALF = known(lambda z: z[:, 0], cap=3.0)
RAMP = known(lambda z: 1 + z[:, 0], cap=2.0)


def chains(prior: Prior, importance: ImportanceNetwork, rows: int = CHAINS, seed: int = 5, **parameters: Any) -> Block:
    settings = LangevinParameters(**{"steps": 30, **parameters})
    return propose_langevin(prior, importance, settings, BlockStream(seed, rows))


def agrees(values: torch.Tensor, cdf: Callable[[Any], Any]) -> bool:
    return bool(kstest(values.double().numpy(), cdf).pvalue > 1e-4)


@pytest.mark.parametrize(("step_size", "steps"), [(0.2, 60), (0.5, 30), (1.0, 10)])
def test_an_exponential_weight_shifts_the_normal_law(step_size: float, steps: int) -> None:
    first, second = chains(NORMAL, TILT, step_size=step_size, steps=steps).latents.T
    assert agrees(first, norm(0.8, 1).cdf) and agrees(second, norm(-0.5, 1).cdf)
    assert abs(float(((first - 0.8) * (second + 0.5)).mean())) < 4 / sqrt(CHAINS)


def test_the_temperature_is_the_inverse_exponent_of_the_weight() -> None:
    cold, hot = (chains(NORMAL, TILT, temperature=t).latents for t in (0.5, 2.0))
    assert agrees(cold[:, 0], norm(1.6, 1).cdf) and agrees(hot[:, 0], norm(0.4, 1).cdf)


@pytest.mark.parametrize(("step_size", "steps"), [(0.3, 40), (0.7, 30), (1.0, 30)])
def test_a_bump_narrows_the_normal_law_however_coarse_the_steps(step_size: float, steps: int) -> None:
    """N(1/2, 1/2). A step of 1 without the correction would leave a variance of 2."""
    first, second = chains(NORMAL, BUMP, step_size=step_size, steps=steps).latents.T
    assert agrees(first, norm(0.5, sqrt(0.5)).cdf) and agrees(second, norm.cdf)


def test_a_cold_bump_is_narrower_still() -> None:
    """exp(-(x - 1)^2) times the prior: N(2/3, 1/3)."""
    first = chains(NORMAL, BUMP, temperature=0.5, steps=40).latents[:, 0]
    assert agrees(first, norm(2 / 3, sqrt(1 / 3)).cdf)


def test_the_bounded_head_gives_its_own_law() -> None:
    """3 sigmoid(2x) has an even part that is constant: |x| keeps the prior's law, and P(x > 0) = E[sigmoid(2|x|)]."""
    first = chains(NORMAL, SIGMOID).latents[:, 0]
    assert agrees(first.abs(), lambda x: 2 * norm.cdf(x) - 1)
    positive = float(
        torch.sigmoid(2 * torch.linspace(-6, 6, 4_001)[2_000:])
        .mul(2 * torch.from_numpy(norm.pdf(torch.linspace(-6, 6, 4_001)[2_000:].numpy())))
        .sum()
        * 0.003
    )
    assert abs(float((first > 0).double().mean()) - positive) < 4 * 0.5 / sqrt(CHAINS) + 1e-3


def test_a_uniform_prior_keeps_to_its_cube_and_to_its_law() -> None:
    """Density (1 + x) / 2: its distribution function is ((1 + x) / 2)^2."""
    for step_size, steps in ((0.3, 40), (1.0, 30)):
        latents = chains(UNIFORM, RAMP, step_size=step_size, steps=steps).latents
        assert latents.abs().max() <= 1
        assert agrees(latents[:, 0], lambda x: ((1 + x) / 2) ** 2)
        assert agrees(latents[:, 1], uniform(-1, 2).cdf)


def test_chains_that_start_where_w_is_zero_come_out_of_it_or_not_at_all() -> None:
    """w = relu(x): the law of x is Rayleigh's."""
    block = chains(NORMAL, HALF, steps=40)
    assert agrees(block.latents[:, 0], rayleigh.cdf)
    walked = chains(NORMAL, HALF, rows=4_000, steps=200, step_size=0.05)  # no single step is long enough
    assert walked.cost.acceptance_rate > 0.99 and agrees(walked.latents[:, 0], rayleigh.cdf)
    short = chains(NORMAL, HALF, steps=1, step_size=0.05)
    assert short.cost.proposals == CHAINS and 0.4 < short.cost.acceptance_rate < 0.7
    assert short.weights is not None and (short.weights > 0).all() and len(short.weights) == short.cost.accepted
    assert torch.isfinite(short.latents).all()


def test_no_pull_is_longer_than_it_may_be_and_none_is_no_number() -> None:
    places = torch.tensor([[-1.0, 0.0], [1e-40, 0.0], [1e-3, 0.0], [1.0, 0.0]])
    pulls = look(NORMAL, HALF, places, temperature=1.0).gradient[:, 0]
    torch.testing.assert_close(pulls, torch.tensor([0.0, 0.0, LONGEST_PULL, 1.0]))


def test_the_law_does_not_depend_on_the_number_of_dimensions() -> None:
    wide = Prior("normal", 256)
    latents = chains(wide, known(lambda z: torch.exp(-((z[:, 0] - 1) ** 2) / 2), 3.0), rows=4_000).latents
    assert agrees(latents[:, 0], norm(0.5, sqrt(0.5)).cdf) and agrees(latents[:, 255], norm.cdf)


def test_the_cost_counts_a_forward_and_a_backward_row_a_look() -> None:
    weight = known(lambda z: torch.exp(z[:, 0]), cap=3.0)
    assert isinstance(weight, KnownWeight)
    block = chains(NORMAL, weight, rows=50, steps=7)
    assert weight.rows == 50 * 8
    assert block.cost == Cost(proposals=50, accepted=50, importance_rows=2 * 50 * 8, gradient_steps=50 * 8)


def test_the_weights_are_those_of_the_latents_and_the_proposed_ones_the_priors() -> None:
    block = chains(NORMAL, TILT, rows=64)
    assert block.weights is not None and block.proposed_weights is not None
    torch.testing.assert_close(block.weights, TILT(block.latents))
    torch.testing.assert_close(block.proposed_weights, TILT(NORMAL.draw(BlockStream(5, 64).next())))
    assert not block.latents.requires_grad and not block.weights.requires_grad


@pytest.mark.parametrize("shorter", [1, 10, 63])
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(shorter: int) -> None:
    def latents(n: int) -> torch.Tensor:
        sampler = bind(ramp_bundle(), "langevin", sizes=BlockSizes(latents=64))
        return draw("langevin", sampler.propose, n, BlockStream(5, sampler.block)).latents

    assert torch.equal(latents(shorter), latents(64)[:shorter])


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"steps": 201}, {"step_size": 0}, {"step_size": 1.1}, {"temperature": 0}]
)
def test_parameters_out_of_bounds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        LangevinParameters(**wrong)  # type: ignore[arg-type]
