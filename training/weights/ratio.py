"""The ratio objective: a calibrated density ratio in feature space, capped and distilled into w."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import log

import torch
from torch import nn
from torch.nn.functional import softplus

from models.importance import ImportanceNetwork
from models.mlp import leaky_mlp
from training.logistic import fit_logistic, log_loss
from training.randomness import step_generator
from training.weights.config import EnergyRatioConfig, RatioConfig
from training.weights.energy import EnergyObjective
from training.weights.problem import Pool
from training.weights.targets import PulledObjective, TargetsObjective, fit_of

STREAM, SPLIT_STREAM, START_STREAM = 104, 105, 106
BLOCK = 10_000
BISECTIONS = 60
LOG_SCALES = (-40.0, 40.0)
MAX_LOG_RATIO = 30.0


def ratio_objective(
    config: RatioConfig, pool: Pool, real: torch.Tensor, network: ImportanceNetwork, seed: int
) -> TargetsObjective:
    """Targets min(cap, c r(y)) with mean one, r the density ratio of data to generated samples."""
    return _fit(config, pool, crossed_log_ratio(config, pool.features, real, seed).values, network)


def energy_ratio_objective(
    config: EnergyRatioConfig,
    pool: Pool,
    real: torch.Tensor,
    network: ImportanceNetwork,
    seed: int,
    widths: tuple[int, ...] = (),
) -> PulledObjective:
    """``pool`` and the features ``real`` [n, f] of the data; ``widths`` of the spaces in f."""
    found = crossed_log_ratio(config.ratio, pool.features, real, seed)
    ratio = _fit(config.ratio, pool, found.values, network)
    return PulledObjective(EnergyObjective(config.energy, pool, real, widths), ratio, config.pull * found.information)


def _fit(config: RatioConfig, pool: Pool, log_ratio: torch.Tensor, network: ImportanceNetwork) -> TargetsObjective:
    return fit_of(config.name, capped_ratio(log_ratio, network.cap), pool, network, config.batch)


@dataclass(frozen=True)
class LogRatio:
    """``values`` [N] of generated rows; ``information``: the share of log 2 that they take off the log loss."""

    values: torch.Tensor
    information: float


def crossed_log_ratio(config: RatioConfig, fake: torch.Tensor, real: torch.Tensor, seed: int) -> LogRatio:
    """log density ratio [N] of the data ``real`` [n, f] to the generated rows ``fake`` [N, f].

    Two halves of each: the classifier of one half stops early on the other one's log loss, is calibrated on it
    (logistic) and scores it, so that no row is scored by a classifier that has seen it.
    """
    mean, spread = real.mean(0), real.std(0).clamp(min=float(real.std()) * 1e-3)
    real, fake = (real - mean) / spread, (fake - mean) / spread
    halves = [
        torch.randperm(len(rows), generator=step_generator(seed + SPLIT_STREAM, k)).to(rows.device).chunk(2)
        for k, rows in enumerate((real, fake))
    ]
    found = torch.zeros(len(fake), dtype=torch.float64, device=fake.device)
    information = 0.0
    for side in (0, 1):
        one, other = ((real[halves[0][k]], fake[halves[1][k]]) for k in (side, 1 - side))
        half = _half_log_ratio(config, one, other, (seed, side))
        found[halves[1][1 - side]] = half.values
        information += half.information / 2
    return LogRatio(found, information)


def capped_ratio(log_ratio: torch.Tensor, cap: float) -> torch.Tensor:
    """Weights min(cap, c r) [N] float32 with mean 1; c by bisection."""
    ratio = log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    low, high = LOG_SCALES
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if float((ratio + middle).exp().clamp(max=cap).mean()) < 1:
            low = middle
        else:
            high = middle
    return (ratio + (low + high) / 2).exp().clamp(max=cap).float()


def _half_log_ratio(
    config: RatioConfig,
    own: tuple[torch.Tensor, torch.Tensor],
    other: tuple[torch.Tensor, torch.Tensor],
    stream: tuple[int, int],
) -> LogRatio:
    """Of the generated rows of ``other`` (real, fake), by a classifier trained on ``own``."""
    network = _classifier(config, own[0].shape[1], stream).to(own[0].device)
    best, best_loss, since = copy.deepcopy(network), float("inf"), 0
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    rows = min(len(other[0]), len(other[1]))  # a log loss of as many of each
    for step in range(config.steps):
        rng = step_generator(stream[0] + STREAM + stream[1], step, own[0].device)
        real, fake = (
            part[torch.randint(len(part), (config.classifier_batch,), generator=rng, device=rng.device)] for part in own
        )
        loss = (softplus(-network(real)).mean() + softplus(network(fake)).mean()) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % config.check_every == 0:
            score = log_loss(_scores(network, other[0][:rows]), _scores(network, other[1][:rows]))
            since = 0 if score < best_loss else since + 1
            if score < best_loss:
                best_loss = score
                best.load_state_dict(network.state_dict())
            if since >= config.patience:
                break
    real_scores, fake_scores = _scores(best, other[0]), _scores(best, other[1])
    if not float(torch.cat([real_scores, fake_scores]).std()) > 0:
        return LogRatio(torch.zeros(len(fake_scores), dtype=torch.float64, device=fake_scores.device), 0.0)
    fit = fit_logistic(real_scores[:rows], fake_scores[:rows])
    left = log_loss(fit.log_ratio(real_scores[:rows]), fit.log_ratio(fake_scores[:rows])) / log(2)
    return LogRatio(fit.log_ratio(fake_scores), max(0.0, 1 - left))


def _classifier(config: RatioConfig, width: int, stream: tuple[int, int]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream[0] + START_STREAM + stream[1])
        return leaky_mlp(width, tuple(config.hidden), 1)


@torch.no_grad()
def _scores(network: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    return torch.cat([network(block).squeeze(1) for block in rows.split(BLOCK)])
