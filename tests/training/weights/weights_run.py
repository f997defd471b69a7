"""A tiny run of each objective; as a program it forks one a name, announces the first checkpoint and waits for the end.

The parent touches no tensor before it forks.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stderr, suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path

import torch

from models.critics import MlpCritic
from training.presets import WEIGHTS_PRESETS
from training.weights.cases import make_case
from training.weights.config import EnergyLeastSquaresConfig, RatioConfig, TransportConfig, WeightsConfig
from training.weights.problem import Problem
from training.weights.run import WeightsRun
from training.weights.train import TrainedWeights, train_weights

NAMES = ("energy", "transport", "ratio", "least-squares", "energy-least-squares", "adversarial", "refine",
         "paper-mnist")  # fmt: skip
STEPS, EVERY = 8, 4


def config(name: str, seed: int = 0) -> WeightsConfig:
    return _small(replace(WEIGHTS_PRESETS[name], seed=seed))


def _small(whole: WeightsConfig) -> WeightsConfig:
    objective = whole.objective
    if isinstance(objective, EnergyLeastSquaresConfig):
        parts = replace(objective.energy, batch=16), replace(objective.ratio, batch=16)
        objective = replace(objective, energy=parts[0], ratio=parts[1])
    else:
        objective = replace(objective, batch=16)
    if isinstance(objective, TransportConfig):
        objective = replace(objective, batches=3, held_out_batches=1, real_rows=30)
    if isinstance(objective, RatioConfig):
        objective = replace(objective, hidden=(8,), steps=20, check_every=10, classifier_batch=16)
    return replace(
        whole, objective=objective, hidden=(8,), steps=STEPS, validate_every=EVERY, pool_rows=400, held_out_rows=100,
        held_out_real=100, lr=1e-2, start=whole.start and _small(whole.start),
    )  # fmt: skip


def problem() -> Problem:
    torch.manual_seed(0)
    return replace(make_case("shifted", 2).problem, critic=MlpCritic(2, (8,)))


def train(name: str, folder: Path, seed: int = 0) -> TrainedWeights:
    """On one thread, wherever it runs: bits depend on their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with redirect_stderr(StringIO()):
            return train_weights(config(name, seed), problem(), folder)
    finally:
        torch.set_num_threads(threads)


def _announce_and_wait(name: str, folder: Path, silent: int) -> None:
    save = WeightsRun.save

    def saved(run: WeightsRun, *arguments: object) -> None:
        save(run, *arguments)  # type: ignore[arg-type]
        if run.config.objective.name == config(name).objective.name:
            sys.stdout.write(f"{name} {os.getpid()}\n")
            sys.stdout.flush()
            os.read(silent, 1)  # never comes to the end by itself

    WeightsRun.save = saved  # type: ignore[method-assign]
    train(name, folder / name)


if __name__ == "__main__":
    with suppress(ImportError):
        import torch.utils.tensorboard  # once, not in every child
    silent, _held = os.pipe()
    for name in NAMES:
        if os.fork() == 0:
            _announce_and_wait(name, Path(sys.argv[1]), silent)
            os._exit(1)
    for _ in NAMES:
        os.wait()
