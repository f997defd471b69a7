"""The acceptance dial: a share of the proposals that passes, and the law min(w, b) * prior of what does."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import chisquare

from sampling.dial import dial_report, expected_acceptance, reachable, solve_bound, turn_dial
from sampling.draw import Cost, Draw
from sampling.latentrs import LatentRSParameters
from sampling.latentrsga import LatentRSGAParameters
from sampling.method import MethodUnavailable
from sampling.methods import bind
from sampling.sampler import BlockSizes, draw
from sampling.streams import BlockStream
from tests.sampling.laws import ramp_bundle

BUNDLE = ramp_bundle()
SIZES = BlockSizes(latents=4_096)
ROWS = 40_000
HALF_ZERO = tuple([0.0] * 501 + [2 * level / 500 for level in range(1, 501)])
"""P(w > 0) = 1/2, uniform on (0, 2] there: E[min(1, w / b)] = (1 - b / 4) / 2."""


def latentrs(n: int, acceptance: float | None, seed: int = 3) -> Draw:
    sampler = bind(BUNDLE, "latentrs", LatentRSParameters(acceptance=acceptance), SIZES)
    return draw("latentrs", sampler.propose, n, BlockStream(seed, sampler.block))


@pytest.mark.parametrize("acceptance", [0.5, 0.55, 0.7, 0.9, 0.95])
def test_the_bound_is_the_one_on_paper(acceptance: float) -> None:
    dial = turn_dial(BUNDLE, acceptance)
    assert dial.bound == pytest.approx(4 * (1 - acceptance), abs=2e-3)
    assert dial.expected == pytest.approx(acceptance, abs=1e-6)


@pytest.mark.parametrize("acceptance", [0.55, 0.7, 0.9])
def test_as_many_pass_as_were_asked_for(acceptance: float) -> None:
    cost = latentrs(ROWS, acceptance).cost
    assert abs(cost.acceptance_rate - acceptance) < 4 * sqrt(acceptance * (1 - acceptance) / cost.proposals)


@pytest.mark.parametrize("acceptance", [0.55, 0.7, 0.9])
def test_what_passes_has_the_law_of_w_cut_at_the_bound(acceptance: float) -> None:
    bound = 4 * (1 - acceptance)
    edges = np.linspace(0, 2, 41)
    below = np.minimum(edges, bound)
    mass = below**2 / 2 + bound * (edges - below)
    counts = np.histogram(latentrs(ROWS, acceptance).latents[:, 0].double() + 1, edges)[0]
    assert counts.sum() == ROWS
    assert chisquare(counts, np.diff(mass) / mass[-1] * ROWS).pvalue > 1e-4


def test_an_acceptance_of_one_is_exactly_the_prior() -> None:
    prior = bind(BUNDLE, "prior", sizes=SIZES)
    plain = draw("prior", prior.propose, 5_000, BlockStream(3, prior.block))
    assert torch.equal(latentrs(5_000, 1.0).latents, plain.latents)


def test_an_acceptance_of_one_passes_weights_of_zero_too() -> None:
    bundle = ramp_bundle(HALF_ZERO)
    with torch.no_grad():
        bundle.importance.body[-1].bias.fill_(0.0)  # type: ignore[union-attr, operator]
    sampler = bind(bundle, "latentrs", LatentRSParameters(acceptance=1), SIZES)
    block = sampler.propose(BlockStream(0, sampler.block))
    assert len(block.latents) == sampler.block and bool((block.weights == 0).any())
    assert sampler.expected_acceptance == 1


def test_without_a_rate_the_bound_is_the_cap_as_trained() -> None:
    sampler = bind(BUNDLE, "latentrs", sizes=SIZES)
    assert (turn_dial(BUNDLE, None).bound, sampler.expected_acceptance) == (2.0, 0.5)
    assert torch.equal(
        latentrs(100, None).latents, draw("latentrs", sampler.propose, 100, BlockStream(3, 4_096)).latents
    )


@pytest.mark.parametrize("method", ["latentrs", "latentrsga"])
def test_the_sampler_expects_what_the_dial_says(method: str) -> None:
    parameters = {"latentrs": LatentRSParameters, "latentrsga": LatentRSGAParameters}[method](acceptance=0.7)
    sampler = bind(BUNDLE, method, parameters)
    assert sampler.expected_acceptance == pytest.approx(0.7, abs=1e-6)
    cost = sum((sampler.propose(stream).cost for stream in [BlockStream(1, 512)] * 20), Cost())
    assert abs(cost.acceptance_rate - 0.7) < 4 * sqrt(0.21 / cost.proposals)


@pytest.mark.parametrize("acceptance", [0.01, 0.2, 0.499])
def test_a_rate_below_the_range_is_refused_with_the_range(acceptance: float) -> None:
    with pytest.raises(ValueError, match=rf"acceptance={acceptance:g} .* bundle ramp: its weights allow 0.5 to 0.9995"):
        turn_dial(BUNDLE, acceptance)


def test_a_rate_above_the_share_of_positive_weights_is_refused_but_for_the_prior() -> None:
    bundle = ramp_bundle(HALF_ZERO)
    with pytest.raises(ValueError, match=r"allow 0.25 to 0.4995, and 1, which is the prior"):
        turn_dial(bundle, 0.6)
    assert turn_dial(bundle, 0.4).bound == pytest.approx(0.8, abs=4e-3)
    assert turn_dial(bundle, 1).expected == 1


def test_the_ends_that_the_refusal_shows_can_be_asked_for() -> None:
    for quantiles in (None, HALF_ZERO):
        bundle = ramp_bundle(quantiles) if quantiles else BUNDLE
        calibration = bundle.manifest.calibration
        assert calibration is not None
        lowest, highest = reachable(calibration)
        assert expected_acceptance(calibration, solve_bound(calibration, lowest)) == pytest.approx(lowest, abs=1e-6)
        for end in (0.25, 0.4995) if quantiles else (0.5, 0.9995):
            assert turn_dial(bundle, end).expected == pytest.approx(end, abs=1e-3)
        assert lowest < highest <= 1


def test_equal_weights_leave_nothing_to_dial() -> None:
    with pytest.raises(ValueError, match=r"allow 1 alone \(they are all equal\)"):
        turn_dial(ramp_bundle((1.0, 1.0, 1.0)), 0.5)


@pytest.mark.parametrize("acceptance", [0.0, -0.1, 1.01])
def test_what_is_no_rate_is_refused(acceptance: float) -> None:
    for parameters in (LatentRSParameters, LatentRSGAParameters):
        with pytest.raises(ValidationError, match="acceptance"):
            parameters(acceptance=acceptance)


@pytest.mark.parametrize("parameters", [LatentRSParameters, LatentRSGAParameters])
def test_a_bundle_without_calibration_has_no_dial(
    parameters: type[LatentRSParameters] | type[LatentRSGAParameters],
) -> None:
    bundle = ramp_bundle(None)
    method = {LatentRSParameters: "latentrs", LatentRSGAParameters: "latentrsga"}[parameters]
    with pytest.raises(MethodUnavailable, match="needs the calibration of the weights, which bundle ramp lacks"):
        bind(bundle, method, parameters(acceptance=0.5))
    assert bind(bundle, method, parameters()).expected_acceptance is None
    assert bind(bundle, method, parameters(acceptance=1)).expected_acceptance == 1
    with pytest.raises(MethodUnavailable, match="lacks importance weights or their calibration"):
        dial_report(bundle)


def test_the_report_says_what_a_rate_does_to_the_weights() -> None:
    report = dial_report(BUNDLE, 0.7)
    assert report.expected_acceptance == pytest.approx(0.7, abs=1e-6)
    assert (report.mean_weight, report.share_above_cap) == (1.0, 0.0)
    assert report.share_above_bound == pytest.approx(0.4, abs=1e-3)
    assert (report.lowest, report.highest) == pytest.approx((0.5, 1.0), abs=1e-3)
    assert report.law == "min(w, 1.2) * prior"
    assert dial_report(BUNDLE, 1).law == "prior"
    assert (dial_report(BUNDLE).bound, dial_report(BUNDLE).share_above_bound) == (2.0, 0.0)


@pytest.mark.parametrize("shorter", [1, 10, 63])
def test_a_shorter_draw_is_the_beginning_of_a_longer_one_at_any_rate(shorter: int) -> None:
    assert torch.equal(latentrs(shorter, 0.7).latents, latentrs(64, 0.7).latents[:shorter])


def test_a_higher_rate_keeps_all_that_a_lower_one_lets_pass() -> None:
    few, many = (set(map(tuple, latentrs(n, a).latents.tolist())) for n, a in ((500, 0.55), (2_000, 0.9)))
    assert few < many
