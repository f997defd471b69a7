"""Constants of the methods that read a density ratio or a critic: calibration, DRS, MH, DOT."""

from __future__ import annotations

from math import isfinite

import numpy as np
import torch
from torch import nn

from models.bundle import Bundle
from models.pilot import PERCENTILES, ClassifierPilot, DotPilot, DrsPilot, MhPilot
from sampling.drs import acceptance_logit
from sampling.ratio import log_ratio_of
from training.data.dataset import as_network_input
from training.errors import TrainingRefused
from training.logistic import fit_logistic, log_loss, reliability
from training.randomness import step_generator

BLOCK = 500
BOUND_ROWS = 10_000  # of DRS's pilot pass (Azadi et al. 2019)
START_ROWS = 1_000
PAIRS, REPEATS = 100, 10  # as in Tanaka's 2-D demo


@torch.no_grad()
def scores_of(network: nn.Module, samples: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Raw scores [n] on the CPU of uint8 images, float images or points."""
    return torch.cat([network(as_network_input(rows).to(device)).cpu() for rows in samples.split(BLOCK)])


@torch.no_grad()
def generated(bundle: Bundle, rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Fresh latents [rows, dim] and samples [rows, ...], on the CPU."""
    device = device_of(bundle)
    latents, samples = [], []
    for block in range(-(-rows // BLOCK)):
        z = bundle.prior.sample(BLOCK, step_generator(seed, block))
        latents.append(z)
        samples.append(bundle.generator(z.to(device)).cpu())
    return torch.cat(latents)[:rows], torch.cat(samples)[:rows]


def device_of(bundle: Bundle) -> torch.device:
    return next(bundle.generator.parameters()).device


def measure_classifier(bundle: Bundle, calibration: torch.Tensor, check: torch.Tensor, seed: int) -> ClassifierPilot:
    """Calibrate the bundle's classifier on the real samples ``calibration``, then measure on those of ``check``.

    Neither part may have been trained on; each is met by as many fresh generated samples.
    """
    network, device = bundle.networks["classifier"], device_of(bundle)
    _, fake = generated(bundle, len(calibration) + len(check), seed)
    fake_scores = scores_of(network, fake, device)
    try:
        fit = fit_logistic(scores_of(network, calibration, device), fake_scores[: len(calibration)])
    except ValueError as error:
        raise TrainingRefused(f"the classifier cannot be calibrated: {error}") from error
    if not fit.slope > 0:
        raise TrainingRefused("the classifier scores generated samples above real ones: train it longer")
    real_log = fit.log_ratio(scores_of(network, check, device))
    fake_log = fit.log_ratio(fake_scores[len(calibration) :])
    return ClassifierPilot(
        slope=fit.slope,
        intercept=fit.intercept,
        reliability=reliability(real_log, fake_log),
        log_loss=log_loss(real_log, fake_log),
        rows=2 * len(check),
        seed=seed,
    )


def measure_drs(bundle: Bundle, seed: int, rows: int = BOUND_ROWS) -> DrsPilot:
    """The bound of the log density ratio over ``rows`` generated samples, and the acceptance logits below it."""
    _, samples = generated(bundle, rows, seed)
    log_ratios = _log_ratios(bundle, samples).double()
    bound = float(log_ratios.max())
    logits = acceptance_logit(log_ratios, bound).numpy()
    return DrsPilot(
        bound=bound,
        acceptance_rate=float((log_ratios - bound).exp().mean()),
        logit_percentiles=tuple(float(q) for q in np.percentile(logits, np.arange(PERCENTILES))),
        rows=rows,
        seed=seed,
    )


def measure_mh(bundle: Bundle, held_out: torch.Tensor, rows: int = START_ROWS) -> MhPilot:
    """Log density ratios of at most ``rows`` real samples that nothing was trained on."""
    return MhPilot(real_log_ratios=tuple(float(v) for v in _log_ratios(bundle, held_out[:rows])))


@torch.no_grad()
def measure_dot(bundle: Bundle, seed: int) -> DotPilot:
    """Effective Lipschitz constants of the bundle's Wasserstein critic between generated samples, and latents."""
    latents, samples = generated(bundle, 2 * PAIRS * REPEATS, seed)
    scores = scores_of(bundle.networks["wasserstein_critic"], samples, device_of(bundle))
    target, latent = (_steepness(scores, points.flatten(1)) for points in (samples, latents))
    if not (target > 0 and isfinite(target) and latent > 0 and isfinite(latent)):
        raise TrainingRefused("the Wasserstein critic is constant on generated samples: train it longer")
    return DotPilot(target_constant=target, latent_constant=latent, pairs=PAIRS, repeats=REPEATS, seed=seed)


def _steepness(scores: torch.Tensor, points: torch.Tensor) -> float:
    """max |s1 - s2| / |p1 - p2| over PAIRS disjoint pairs, averaged over REPEATS."""
    rise = (scores[0::2] - scores[1::2]).abs()
    run = (points[0::2] - points[1::2]).norm(dim=1).clamp(min=torch.finfo(points.dtype).tiny)
    return float((rise / run).view(REPEATS, PAIRS).amax(dim=1).mean())


def _log_ratios(bundle: Bundle, samples: torch.Tensor) -> torch.Tensor:
    ratio = log_ratio_of(bundle)
    return ratio.slope * scores_of(bundle.networks["classifier"], samples, device_of(bundle)) + ratio.intercept
