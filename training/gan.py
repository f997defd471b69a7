"""GAN pre-training: hinge or Wasserstein loss, lazily applied gradient penalty, EMA of the generator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from models.placement import place
from models.priors import Prior, PriorKind
from models.registry import build
from training.checkpoint import (
    OtherRunError,
    load_checkpoint,
    optimizer_state,
    restore_optimizer,
    save_checkpoint,
    save_tensors,
)
from training.data.dataset import Dataset
from training.losses import GanLoss, critic_loss, freeze, generator_loss, gradient_penalty
from training.progress import Progress
from training.randomness import step_generator
from training.writing import write_json

CHECKPOINT = "checkpoint.safetensors"
CONFIG = "config.json"
SNAPSHOTS = "snapshots"


@dataclass(frozen=True)
class GanConfig:
    """Everything a GAN run depends on besides the data. Defaults: Tanielian's thesis, table A.3, batch 64.

    ``penalty_every``: the gradient penalty is applied at every k-th step with k times its weight.
    ``cooldown``: share of the steps, at the end, over which both learning rates fall linearly to zero.
    ``precision``: of the layers' arithmetic in both networks; weights, losses and penalty are float32 in any case.
    """

    data: str
    prior: PriorKind = "normal"
    latent_dim: int = 100
    generator: str = "cnn28-generator"
    generator_config: dict[str, Any] = field(default_factory=dict)
    critic: str = "cnn28-critic"
    critic_config: dict[str, Any] = field(default_factory=dict)
    loss: GanLoss = "hinge"
    steps: int = 50_000
    batch: int = 64
    n_critic: int = 1
    lr_generator: float = 2e-4
    lr_critic: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.5)
    penalty: float = 10.0
    penalty_every: int = 4
    ema_decay: float = 0.999
    cooldown: float = 0.25
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0


class GanRun:
    """Networks, optimizers and step count of one run; ``step`` depends only on (config, data, step number)."""

    def __init__(self, config: GanConfig, data: Dataset, device: torch.device) -> None:
        self.config, self.data, self.device = config, data, device
        torch.manual_seed(config.seed)
        self.prior = Prior(config.prior, config.latent_dim)
        self.generator = build(config.generator, {"latent_dim": config.latent_dim, **config.generator_config})
        self.critic = build(config.critic, config.critic_config)
        self.ema = build(config.generator, {"latent_dim": config.latent_dim, **config.generator_config})
        self.ema.load_state_dict(self.generator.state_dict())
        for network in (self.generator, self.critic, self.ema):
            place(network, device)
        freeze(self.ema.eval())
        self.opt_generator = _adam(self.generator, config.lr_generator, config.betas)
        self.opt_critic = _adam(self.critic, config.lr_critic, config.betas)
        self.done = 0

    def step(self) -> dict[str, torch.Tensor]:
        """``n_critic`` critic updates, one generator update on the last fakes, one EMA update."""
        rng = step_generator(self.config.seed, self.done, self.device)
        self._set_learning_rates()
        for _ in range(self.config.n_critic):
            fake = self._forward(self.generator, self.prior.sample(self.config.batch, rng))
            critic_value = self._critic_step(fake.detach(), rng)
        freeze(self.critic)
        loss = generator_loss(self._forward(self.critic, fake))
        self.opt_generator.zero_grad()
        loss.backward()
        self.opt_generator.step()
        freeze(self.critic, False)
        self._update_ema()
        self.done += 1
        return {"loss/critic": critic_value, "loss/generator": loss.detach()}

    def _critic_step(self, fake: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        index = torch.randint(len(self.data), (self.config.batch,), generator=rng, device=self.device)
        real = self.data.batch(index.to(self.data.samples.device)).to(self.device)
        scores = self._forward(self.critic, torch.cat([real, fake]))
        loss = critic_loss(self.config.loss, scores[: len(real)], scores[len(real) :])
        value = loss.detach()
        if self.done % self.config.penalty_every == 0:
            penalty = gradient_penalty(self.critic, real, fake, rng)
            loss = loss + self.config.penalty * self.config.penalty_every * penalty
        self.opt_critic.zero_grad()
        loss.backward()
        self.opt_critic.step()
        return value

    def _forward(self, network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        """What ``network`` makes of ``inputs`` in the run's precision, as float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            outputs: torch.Tensor = network(inputs)
        return outputs.float()

    def _set_learning_rates(self) -> None:
        left = (self.config.steps - self.done) / max(self.config.cooldown * self.config.steps, 1)
        self.opt_generator.param_groups[0]["lr"] = self.config.lr_generator * min(1.0, left)
        self.opt_critic.param_groups[0]["lr"] = self.config.lr_critic * min(1.0, left)

    @torch.no_grad()
    def _update_ema(self) -> None:
        """Average parameters and, where the generator has batch normalisation, its running statistics."""
        decay = min(self.config.ema_decay, (1 + self.done) / (10 + self.done))
        for average, current in zip(_floats(self.ema), _floats(self.generator), strict=True):
            average.lerp_(current, 1 - decay)

    def _stateful(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "critic": self.critic, "ema": self.ema}

    def save(self, path: Path) -> None:
        state: dict[str, Any] = {name: network.state_dict() for name, network in self._stateful().items()}
        state["opt_generator"] = optimizer_state(self.opt_generator)
        state["opt_critic"] = optimizer_state(self.opt_critic)
        save_checkpoint(path, state, {"step": self.done, "config": asdict(self.config), "data": self.data.digest})

    def restore(self, path: Path) -> None:
        """Continue from ``path``; the run must have been started with the same settings (steps may grow)."""
        state, meta = load_checkpoint(path)
        ours, defaults = (json.loads(json.dumps(asdict(config))) for config in (self.config, GanConfig(data="")))
        saved = {**defaults, **meta["config"]}  # checkpoints of before do not have every setting
        differing = sorted(k for k in ours if k != "steps" and saved[k] != ours[k])
        if differing:
            raise OtherRunError(f"{path} was made with another {', '.join(differing)}; use another --out")
        if meta.get("data", self.data.digest) != self.data.digest:  # checkpoints of before do not say
            raise OtherRunError(f"{path} was made with other data of that name; use another --out")
        for name, network in self._stateful().items():
            network.load_state_dict(state[name])
        restore_optimizer(self.opt_generator, state["opt_generator"])
        restore_optimizer(self.opt_critic, state["opt_critic"])
        self.done = int(meta["step"])


def train_gan(
    config: GanConfig,
    data: Dataset,
    out: Path,
    device: torch.device,
    checkpoint_every: int = 500,
    snapshot_every: int = 2_500,
    on_snapshot: Callable[[GanRun], None] | None = None,
) -> GanRun:
    """Train to ``config.steps`` in folder ``out``, resuming from its checkpoint; EMA snapshots go to ``snapshots/``."""
    (out / SNAPSHOTS).mkdir(parents=True, exist_ok=True)
    run = GanRun(config, data, device)
    if (out / CHECKPOINT).exists():
        run.restore(out / CHECKPOINT)
    write_json(out / CONFIG, asdict(config))
    with Progress(out, total=config.steps, start=run.done) as progress:
        while run.done < config.steps:
            progress.update(run.step())
            last = run.done == config.steps
            if run.done % snapshot_every == 0 or last:  # before the checkpoint: a resumed run starts after both
                save_snapshot(run, out / SNAPSHOTS / f"step-{run.done:07d}.safetensors")
                if on_snapshot:
                    on_snapshot(run)
            if run.done % checkpoint_every == 0 or last:
                run.save(out / CHECKPOINT)
    return run


def _adam(network: nn.Module, lr: float, betas: tuple[float, float]) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=lr, betas=betas, fused=True)


def _floats(network: nn.Module) -> list[torch.Tensor]:
    return [value for value in network.state_dict().values() if value.is_floating_point()]


def save_snapshot(run: GanRun, path: Path) -> None:
    """The generator's average at this step, replaced atomically."""
    save_tensors(path, {key: value.contiguous().cpu() for key, value in run.ema.state_dict().items()})
