"""Importance training: one loop for every objective, selected on held-out training data, resumable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from models.importance import ImportanceNetwork
from training.data.dataset import Dataset
from training.features import features_of
from training.progress import Progress
from training.randomness import step_generator
from training.weights.adversarial import AdversarialObjective
from training.weights.calibrate import normalise_mean
from training.weights.config import AdversarialConfig, EnergyConfig, WeightsConfig
from training.weights.energy import EnergyObjective, HeldOutEnergy
from training.weights.problem import Problem, digest, make_pool
from training.weights.run import WeightsRun
from training.weights.transport import TransportObjective

CHECKPOINT = "weights-checkpoint.safetensors"
POOL_SEED, HELD_OUT_SEED, NORMALISE_SEED = 1_000_001, 1_000_002, 1_000_003
"""Offsets from the run's seed, so that pools, held-out latents and steps never share a stream."""


class Objective(Protocol):
    """What the loop needs: a loss for a batch drawn with ``rng``."""

    def loss(self, network: ImportanceNetwork, rng: torch.Generator) -> torch.Tensor: ...


@dataclass(frozen=True)
class TrainedWeights:
    """The selected network, normalised; held-out energy distances at each validation and of what is returned."""

    network: ImportanceNetwork
    history: list[tuple[int, float]]
    unweighted: float
    held_out: float


def train_weights(config: WeightsConfig, problem: Problem, out: Path, pools: Path | None = None) -> TrainedWeights:
    """Train w in folder ``out``, resuming from its checkpoint; the average with the best held-out energy wins.

    ``pools``: folder where pools of latents are kept for other runs on the same generator; ``out`` without it.
    """
    out.mkdir(parents=True, exist_ok=True)
    pools = pools or out
    pools.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    network = ImportanceNetwork(problem.prior.dim, config.hidden, config.head, config.cap, config.negative_slope).to(
        problem.device
    )
    key = f"{digest(problem.generator)}-{digest(problem.features)}-{problem.real.name}-{len(problem.real)}"
    run = WeightsRun(network, config, key)
    held_out, training = _real_features(config, problem)
    pool = make_pool(problem, config.held_out_rows, config.seed + HELD_OUT_SEED, pools / "held-out.safetensors")
    validate = HeldOutEnergy(pool.to(problem.device), held_out)
    objective = _objective(config, problem, training, network, pools)
    modules, optimizers = _extra_state(objective)
    if (out / CHECKPOINT).exists():
        run.restore(out / CHECKPOINT, modules, optimizers)
    else:
        run.consider(validate(run.average))  # flat weights: what training has to beat
    _loop(run, objective, validate, out)
    best = run.best
    if config.normalise:
        normalise_mean(best, problem.prior, config.seed + NORMALISE_SEED)
    final = validate(best)  # the shift of the bias is no rescaling: score what is shipped
    return TrainedWeights(best.cpu(), run.history, run.history[0][1], final)


def _loop(run: WeightsRun, objective: Objective, validate: HeldOutEnergy, out: Path) -> None:
    config = run.config
    modules, optimizers = _extra_state(objective)
    with Progress(out, total=config.steps, start=run.done, title=config.objective.name) as progress:
        while run.done < config.steps and not run.stale:
            rng = step_generator(config.seed, run.done, next(run.network.parameters()).device)
            if isinstance(objective, AdversarialObjective):
                objective.prepare(run.network, run.done, rng)
            loss = objective.loss(run.network, rng)
            run.descend(loss)
            progress.update({"loss/weights": loss.detach()})
            if run.done % config.validate_every == 0 or run.done == config.steps:
                run.consider(validate(run.average))
                progress.scalar("held_out/energy_distance", run.history[-1][1])
                run.save(out / CHECKPOINT, modules, optimizers)


def _real_features(config: WeightsConfig, problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    held, kept = (features_of(problem.features, part.samples, problem.device) for part in _split(config, problem))
    return held.to(problem.device), kept.to(problem.device)


def _split(config: WeightsConfig, problem: Problem) -> tuple[Dataset, Dataset]:
    return problem.split_real(min(config.held_out_real, len(problem.real) // 4))


def _objective(
    config: WeightsConfig, problem: Problem, real: torch.Tensor, network: ImportanceNetwork, pools: Path
) -> Objective:
    settings = config.objective
    if isinstance(settings, AdversarialConfig):
        _, kept = _split(config, problem)
        return AdversarialObjective(settings, replace(problem, real=kept), config.cap)
    pool = make_pool(problem, config.pool_rows, config.seed + POOL_SEED, pools / "pool.safetensors").to(problem.device)
    if isinstance(settings, EnergyConfig):
        return EnergyObjective(settings, pool, real)
    return TransportObjective(settings, pool, real, network, config.seed)


def _extra_state(objective: Objective) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
    if isinstance(objective, AdversarialObjective):
        return {"critic": objective.critic}, {"opt_critic": objective.optimizer}
    return {}, {}
