"""Fine-tune a critic against a frozen generator, as a classifier or a Wasserstein critic; resumable."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.functional import softplus

from training.averaging import follow, is_best, is_stale
from training.checkpoint import (
    OtherRunError,
    load_checkpoint,
    optimizer_state,
    restore_optimizer,
    save_checkpoint,
)
from training.data.dataset import Dataset
from training.losses import critic_loss, freeze, gradient_penalty
from training.progress import Progress
from training.randomness import step_generator
from training.weights.problem import Problem, digest

RatioLoss = Literal["cross-entropy", "wasserstein"]


@dataclass(frozen=True)
class FinetuneConfig:
    """Everything a run depends on besides data and networks. ``penalty``: weight of the gradient penalty.

    ``patience``: stop after this many validations without a better held-out score, where there is a score.
    """

    loss: RatioLoss
    steps: int
    penalty: float
    batch: int = 128
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.9)
    ema_decay: float = 0.99
    validate_every: int = 100
    patience: int = 10
    seed: int = 0


Score = Callable[[nn.Module], float]
"""Of a critic on held-out data: lower is better."""


class FinetuneRun:
    """The critic, its average, the best average so far; ``step`` depends only on (settings, data, step number)."""

    def __init__(self, config: FinetuneConfig, problem: Problem, training: Dataset) -> None:
        assert problem.critic is not None
        self.config, self.problem, self.training = config, problem, training
        self.network = copy.deepcopy(problem.critic).to(problem.device).train()
        freeze(self.network, False)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.lr, betas=config.betas)
        self.done = 0
        self.history: list[tuple[int, float]] = []

    def step(self) -> torch.Tensor:
        """One update on fresh real and generated rows, one update of the average; the loss without its penalty."""
        config, device = self.config, self.problem.device
        rng = step_generator(config.seed, self.done, device)
        index = torch.randint(len(self.training), (config.batch,), generator=rng, device=device)
        real = self.training.batch(index.to(self.training.samples.device)).to(device)
        fake = self.problem.generate(self.problem.prior.sample(config.batch, rng))
        scores = self.network(torch.cat([real, fake]))
        loss = ratio_loss(config.loss, scores[: len(real)], scores[len(real) :])
        value = loss.detach()
        if config.penalty:
            loss = loss + config.penalty * gradient_penalty(self.network, real, fake, rng)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        follow(self.average, self.network, self.done, config.ema_decay)
        self.done += 1
        return value

    def consider(self, score: float) -> None:
        """Keep the average if it is the best so far."""
        if is_best(self.history, score):
            self.best.load_state_dict(self.average.state_dict())
        self.history.append((self.done, score))

    @property
    def stale(self) -> bool:
        return is_stale(self.history, self.config.patience)

    def save(self, path: Path) -> None:
        state: dict[str, Any] = {name: network.state_dict() for name, network in self._networks().items()}
        state["optimizer"] = optimizer_state(self.optimizer)
        save_checkpoint(path, state, {"step": self.done, "history": self.history, **self._identity()})

    def restore(self, path: Path) -> None:
        """Continue from ``path``; it must come from the same settings (steps may grow), networks and data."""
        state, meta = load_checkpoint(path)
        if any(meta.get(name) != value for name, value in self._identity().items()):
            raise OtherRunError(
                f"{path} belongs to other settings, networks or data; use another --out, or delete its folder"
            )
        for name, network in self._networks().items():
            network.load_state_dict(state[name])
        restore_optimizer(self.optimizer, state["optimizer"])
        self.done = int(meta["step"])
        self.history = [(int(step), float(score)) for step, score in meta["history"]]

    def _networks(self) -> dict[str, nn.Module]:
        return {"network": self.network, "average": self.average, "best": self.best}

    def _identity(self) -> dict[str, Any]:
        settings = json.loads(json.dumps(asdict(self.config)))
        del settings["steps"]
        networks = f"{digest(self.problem.generator)}-{digest(self.problem.critic)}"
        return {"settings": settings, "key": f"{networks}-{self.training.digest}"}


def ratio_loss(kind: RatioLoss, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Loss from scores [n] each: cross-entropy with real rows as class 1 (mean over both), or Wasserstein."""
    if kind == "cross-entropy":
        return (softplus(-real).mean() + softplus(fake).mean()) / 2
    return critic_loss("wasserstein", real, fake)


def finetune(
    config: FinetuneConfig,
    problem: Problem,
    training: Dataset,
    checkpoint: Path,
    score: Score | None = None,
    on_step: Callable[[FinetuneRun], None] | None = None,
) -> FinetuneRun:
    """Train from the problem's critic, resuming from ``checkpoint``. ``best`` is the average with the lowest held-out
    ``score``; without a score, the average at the end."""
    run = FinetuneRun(config, problem, training)
    if checkpoint.exists():
        run.restore(checkpoint)
    elif score:
        run.consider(score(run.average))
    with Progress(checkpoint.parent, config.steps, run.done, title=config.loss) as progress:
        while run.done < config.steps and not run.stale:
            progress.update({f"loss/{config.loss}": run.step()})
            if run.done % config.validate_every == 0 or run.done == config.steps:
                if score:
                    run.consider(score(run.average))
                    progress.scalar(f"held_out/{config.loss}", run.history[-1][1])
                run.save(checkpoint)
            if on_step:
                on_step(run)
    if score is None:
        run.best.load_state_dict(run.average.state_dict())
    return run
