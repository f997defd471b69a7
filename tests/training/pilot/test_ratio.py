"""Pilot constants of DRS, MH and DOT: closed forms where classifier and critic are linear."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from pathlib import Path

import pytest
import torch

from models.bundle import Bundle
from models.pilot import PERCENTILES, Pilot
from tests.training.ratio_bundles import SHIFT, analytic_log_ratio, gaussian_data, linear_bundle
from training.errors import TrainingRefused
from training.logistic import log_loss, reliability
from training.pilot.ratio import PAIRS, REPEATS, generated, measure_classifier, measure_dot, measure_drs, measure_mh


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return linear_bundle(tmp_path_factory.mktemp("linear"))


@pytest.fixture(scope="module")
def calibrated(bundle: Bundle) -> Bundle:
    data = gaussian_data(8_000).samples
    section = measure_classifier(bundle, data[:4_000], data[4_000:], seed=1)
    pilot = Pilot(classifier=section)
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"pilot": pilot}))


def test_calibration_undoes_scale_and_offset(calibrated: Bundle) -> None:
    """Scores are l / 2 + 3, so l = 2 score - 6; 8,000 samples know the slope to about 3%."""
    section = calibrated.manifest.pilot.classifier
    assert section is not None
    assert section.slope == pytest.approx(2.0, rel=0.1)
    assert section.intercept == pytest.approx(-3 * section.slope, abs=0.15)
    assert abs(section.reliability) < 4 and section.rows == 8_000 and section.seed == 1
    x = torch.cat(
        [gaussian_data(20_000, 5).samples, torch.randn(20_000, 2, generator=torch.Generator().manual_seed(6))]
    )
    labels = torch.arange(40_000) < 20_000
    best = torch.nn.functional.binary_cross_entropy_with_logits(analytic_log_ratio(x), labels.float())
    assert section.log_loss == pytest.approx(float(best), abs=0.02)


def test_quality_is_measured_on_samples_that_the_calibration_did_not_see(calibrated: Bundle) -> None:
    section = calibrated.manifest.pilot.classifier
    assert section is not None
    _, fake = generated(calibrated, 8_000, seed=1)
    parts = (gaussian_data(8_000).samples[4_000:], fake[4_000:])
    real_log, fake_log = (section.slope * calibrated.networks["classifier"](x) + section.intercept for x in parts)
    assert section.log_loss == pytest.approx(log_loss(real_log, fake_log), abs=1e-6)
    assert section.reliability == pytest.approx(reliability(real_log, fake_log), abs=1e-3)


def test_the_bound_is_the_largest_log_ratio_of_the_pilot_pass(calibrated: Bundle) -> None:
    pilot = measure_drs(calibrated, seed=3, rows=2_000)
    section = calibrated.manifest.pilot.classifier
    assert section is not None
    _, samples = generated(calibrated, 2_000, seed=3)
    scores = calibrated.networks["classifier"](samples)
    log_ratios = (section.slope * scores + section.intercept).double()
    assert pilot.bound == pytest.approx(float(log_ratios.max()))
    assert pilot.acceptance_rate == pytest.approx(float((log_ratios - log_ratios.max()).exp().mean()), rel=1e-4)
    assert len(pilot.logit_percentiles) == PERCENTILES
    assert list(pilot.logit_percentiles) == sorted(pilot.logit_percentiles)
    # The median of the logit is that of the median ratio r / M: log p - log(1 - p).
    p = float((log_ratios - log_ratios.max()).exp().median())
    assert torch.sigmoid(torch.tensor(pilot.logit_percentiles[50])).item() == pytest.approx(p, rel=0.01)


def test_chains_start_at_the_log_ratios_of_real_samples(calibrated: Bundle) -> None:
    """Under the data l is N(|SHIFT|^2 / 2, |SHIFT|^2)."""
    real = torch.tensor(measure_mh(calibrated, gaussian_data(3_000, 8).samples, rows=2_000).real_log_ratios)
    square = float(SHIFT.square().sum())
    assert len(real) == 2_000
    assert float(real.mean()) == pytest.approx(square / 2, abs=0.15)
    assert float(real.std()) == pytest.approx(sqrt(square), rel=0.12)


def test_the_effective_lipschitz_constant_of_a_linear_critic_is_just_below_its_slope(bundle: Bundle) -> None:
    """Some of 100 random directions lies within a few degrees of the gradient; samples are their latents here."""
    pilot = measure_dot(bundle, seed=4)
    steepest = 0.5 * float(SHIFT.norm())
    assert 0.995 * steepest < pilot.target_constant <= steepest * (1 + 1e-5)
    assert pilot.latent_constant == pilot.target_constant
    assert (pilot.pairs, pilot.repeats) == (PAIRS, REPEATS)


def test_constants_repeat_with_their_seed(calibrated: Bundle) -> None:
    assert measure_drs(calibrated, 3, 500) == measure_drs(calibrated, 3, 500) != measure_drs(calibrated, 4, 500)
    assert measure_dot(calibrated, 3) == measure_dot(calibrated, 3) != measure_dot(calibrated, 4)


def test_a_classifier_that_prefers_generated_samples_is_refused(tmp_path: Path) -> None:
    backwards = linear_bundle(tmp_path, scale=-0.5)
    data = gaussian_data(400).samples
    with pytest.raises(TrainingRefused, match="scores generated samples above real ones"):
        measure_classifier(backwards, data[:200], data[200:], seed=0)


def test_networks_that_say_nothing_are_refused(tmp_path: Path) -> None:
    flat = linear_bundle(tmp_path, scale=0.0)
    data = gaussian_data(400).samples
    with pytest.raises(TrainingRefused, match="cannot be calibrated: the scores are all the same"):
        measure_classifier(flat, data[:200], data[200:], seed=0)
    with pytest.raises(TrainingRefused, match="Wasserstein critic is constant"):
        measure_dot(flat, seed=0)
