"""Importance training: one loop for every objective, selected on held-out training data, resumable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from models.importance import ImportanceNetwork
from training.errors import TrainingRefused
from training.features import features_of
from training.progress import Progress
from training.randomness import step_generator
from training.weights.adversarial import AdversarialObjective
from training.weights.calibrate import normalise_mean
from training.weights.config import AdversarialConfig, WeightsConfig
from training.weights.held_out import YARDSTICK, HeldOutEnergy
from training.weights.kernels import discrepancy
from training.weights.objectives import Objective, extra_state, make_objective
from training.weights.problem import Problem, digest, make_pool
from training.weights.run import WeightsRun

CHECKPOINT = "weights-checkpoint.safetensors"
START_FOLDER = "start"
HELD_OUT_SEED, NORMALISE_SEED = 1_000_002, 1_000_003
"""Offsets from the run's seed, so that pools, held-out latents and steps never share a stream."""
LEAST_REAL = 200
"""A quarter is held out; fewer rows leave nothing to select by."""
SURE = 2.0
"""Standard errors by which weights must beat flat ones on held-out rows: without, 64-D noise was learned as weights."""


@dataclass(frozen=True)
class TrainedWeights:
    """The selected network, normalised; held-out energy distances at each validation and of what is returned.

    ``gain``, ``error``: how far the selected weights' distance is below that of flat ones, and its standard error;
    ``flat`` when no weights beat flat ones beyond the noise, and flat ones are returned.
    """

    network: ImportanceNetwork
    history: list[tuple[int, float]]
    unweighted: float
    held_out: float
    gain: float
    error: float
    flat: bool


def train_weights(config: WeightsConfig, problem: Problem, out: Path, pools: Path | None = None) -> TrainedWeights:
    """Train w in folder ``out``, resuming from its checkpoint; the average with the best held-out energy wins.

    ``pools``: folder where pools of latents are kept for other runs on the same generator; ``out`` without it.
    Raises TrainingRefused for too little data, for features that are not finite, and for a loss that is not.
    """
    if len(problem.real) < LEAST_REAL:
        raise TrainingRefused(f"{problem.real.name} has {len(problem.real)} rows, weights need at least {LEAST_REAL}")
    out.mkdir(parents=True, exist_ok=True)
    pools = pools or out
    pools.mkdir(parents=True, exist_ok=True)
    network = _fresh(config, problem)
    run = WeightsRun(network, config, _key(config, problem))
    held_out, training = problem.split_real(min(config.held_out_real, len(problem.real) // 4))
    validate = _validation(config, problem, features_of(problem.features, held_out.samples, problem.device), pools)
    objective = make_objective(config, replace(problem, real=training), network, pools)
    modules, optimizers = extra_state(objective)
    if (out / CHECKPOINT).exists():
        run.restore(out / CHECKPOINT, modules, optimizers)
    else:
        run.consider(validate(run.average))  # flat weights: what training has to beat
        if config.start is not None:
            run.adopt(_start(config, problem, out, pools))
            run.consider(validate(run.average))
    _loop(run, objective, validate, out)
    return _finish(config, problem, run, validate)


def _key(config: WeightsConfig, problem: Problem) -> str:
    """What a checkpoint belongs to besides its settings: everything of ``problem`` that they read."""
    parts = [digest(problem.generator), digest(problem.features), problem.real.digest]
    if "critic" in config.spaces or any(
        isinstance(each.objective, AdversarialConfig) for each in (config, config.start or config)
    ):
        parts.append(digest(problem.critic))
    return "-".join(parts)


def _fresh(config: WeightsConfig, problem: Problem) -> ImportanceNetwork:
    torch.manual_seed(config.seed)
    dim = problem.prior.dim
    network = ImportanceNetwork(
        dim, config.hidden, config.head, config.cap, config.negative_slope, config.frequencies_in(dim),
        config.activation,
    )  # fmt: skip
    return network.to(problem.device)


def _start(config: WeightsConfig, problem: Problem, out: Path, pools: Path) -> ImportanceNetwork:
    """Weights of the settings to start from, for the same network and rows."""
    assert config.start is not None
    same = ("hidden", "activation", "negative_slope", "head", "cap", "frequencies", "spaces", "pool_rows",
            "held_out_rows", "held_out_real", "seed")  # fmt: skip
    start = replace(config.start, **{name: getattr(config, name) for name in same})
    return train_weights(start, problem, out / START_FOLDER, pools).network.to(problem.device)


def _validation(config: WeightsConfig, problem: Problem, real: torch.Tensor, pools: Path) -> HeldOutEnergy:
    pool = make_pool(problem, config.held_out_rows, config.seed + HELD_OUT_SEED, pools / "held-out.safetensors")
    real = real.to(problem.device)
    return HeldOutEnergy(pool.to(problem.device), real, discrepancy(YARDSTICK, real))


def _loop(run: WeightsRun, objective: Objective, validate: HeldOutEnergy, out: Path) -> None:
    config = run.config
    modules, optimizers = extra_state(objective)
    with Progress(out, total=config.steps, start=run.done, title=config.name) as progress:
        while run.done < config.steps and not run.stale:
            rng = step_generator(config.seed, run.done, next(run.network.parameters()).device)
            if isinstance(objective, AdversarialObjective):
                objective.prepare(run.network, run.done, rng)
            loss = objective.loss(run.network, rng)
            run.descend(loss)
            progress.update({"loss/weights": loss.detach()})
            if run.done % config.validate_every == 0 or run.done == config.steps:
                if not torch.isfinite(loss):
                    raise TrainingRefused(f"the loss of {config.name} is not finite at step {run.done}: lower --lr")
                run.consider(validate(run.average))
                progress.scalar("held_out/energy_distance", run.history[-1][1])
                run.save(out / CHECKPOINT, modules, optimizers)


def _finish(config: WeightsConfig, problem: Problem, run: WeightsRun, validate: HeldOutEnergy) -> TrainedWeights:
    """The best average if it beats flat weights beyond the noise, else flat ones; normalised and scored as shipped."""
    best, unweighted = run.best, run.history[0][1]
    gain, error = validate.gain(best)
    flat = not gain > SURE * error
    if flat:
        best = _fresh(config, problem).requires_grad_(False)
    if config.normalise:
        normalise_mean(best, problem.prior, config.seed + NORMALISE_SEED)
    final = validate(best)  # the shift of the bias is no rescaling: score what is shipped
    return TrainedWeights(best.cpu(), run.history, unweighted, final, gain, error, flat)
