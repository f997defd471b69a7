"""From settings to an objective: what the training loop descends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from models.importance import ImportanceNetwork
from training.features import features_of
from training.weights.adversarial import AdversarialObjective
from training.weights.config import (
    AdversarialConfig,
    EnergyConfig,
    EnergyLeastSquaresConfig,
    EnergyRatioConfig,
    LeastSquaresConfig,
    RatioConfig,
    TransportConfig,
    WeightsConfig,
)
from training.weights.energy import EnergyObjective
from training.weights.least_squares import energy_least_squares_objective, least_squares_objective
from training.weights.problem import Problem, make_pool
from training.weights.ratio import energy_ratio_objective, ratio_objective
from training.weights.spaces import feature_space
from training.weights.transport import transport_objective

POOL_SEED = 1_000_001


class Objective(Protocol):
    """What the loop needs: a loss for a batch drawn with ``rng``."""

    def loss(self, network: ImportanceNetwork, rng: torch.Generator) -> torch.Tensor: ...


def make_objective(config: WeightsConfig, problem: Problem, network: ImportanceNetwork, pools: Path) -> Objective:
    """The objective of ``config`` on ``problem``, whose data are the rows that training may read.

    ``network`` is at its flat start; ``pools`` keeps the pool of latents for other runs on the same generator.
    """
    settings = config.objective
    if isinstance(settings, AdversarialConfig):
        return AdversarialObjective(settings, problem, config.cap)
    features, widths = feature_space(problem, config.spaces)
    problem = replace(problem, features=features)
    name = "pool" if config.spaces == ("features",) else f"pool-{'-'.join(config.spaces)}"
    cached = make_pool(problem, config.pool_rows, config.seed + POOL_SEED, pools / f"{name}.safetensors")
    pool = cached.to(problem.device)
    real = features_of(features, problem.real.samples, problem.device).to(problem.device)
    made: Objective
    match settings:
        case EnergyConfig():
            made = EnergyObjective(settings, pool, real, widths)
        case RatioConfig():
            made = ratio_objective(settings, pool, real, network, config.seed)
        case EnergyRatioConfig():
            made = energy_ratio_objective(settings, pool, real, network, config.seed, widths)
        case LeastSquaresConfig():
            made = least_squares_objective(settings, pool, real, network, config.seed)
        case EnergyLeastSquaresConfig():
            made = energy_least_squares_objective(settings, pool, real, network, config.seed, widths)
        case TransportConfig():
            made = transport_objective(settings, pool, real, network, config.seed)
    return made


def extra_state(objective: Objective) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
    """Networks and optimizers that a checkpoint must hold besides those of w."""
    if isinstance(objective, AdversarialObjective):
        return {"critic": objective.critic}, {"opt_critic": objective.optimizer}
    return {}, {}
